"""Collections that live: killed in the middle, two writers at once, opened again, without the extras, on a server."""
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from drawing import draw
from living import batch
from serving import make_run

from siamese_nbdev import stores
from siamese_nbdev.checks import InputError
from siamese_nbdev.data import images_from_folder
from siamese_nbdev.embeddings import EmbeddingSet, embed_images
from siamese_nbdev.model import SiameseNet, load_model
from siamese_nbdev.pipeline import execute_plan, plan_run, presence_in, read_presence
from siamese_nbdev.retrieval import Index, search
from siamese_nbdev.serve import open_gallery
from siamese_nbdev.stores import Changes

packages = dict(folder="numpy", lance="lancedb", milvus="milvus_lite")
engines = [
    pytest.param(name, marks=pytest.mark.skipif(not find_spec(package), reason=f"{package} is not installed"))
    for name, package in packages.items()
]
places = dict(folder="{}/folder", lance="lance:{}/lance", milvus="milvus:{}/images.db")

shared_code = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
import numpy as np
from living import batch
from siamese_nbdev.serve import open_gallery
"""
adding_code = shared_code + """
with open_gallery(sys.argv[1]) as gallery:
    for number in range(int(sys.argv[2]), int(sys.argv[3])):
        gallery.add(batch(number))
        print(number, flush=True)
"""
reading_code = shared_code + """
with open_gallery(sys.argv[1]) as gallery:
    images = gallery.read()
    numbers = images.manifest["path"].str.extract(r"(\\d+)")[0].astype(int).to_numpy()
    assert len(set(numbers)) == len(numbers) == len(gallery), "an image is there twice"
    for number in set(numbers // 200):
        mine = numbers // 200 == number
        whole = batch(number)
        assert np.array_equal(images.vectors[mine], whole.vectors[numbers[mine] % 200]), "a vector is another one"
        assert (images.manifest["label"][mine].to_numpy() == whole.labels[numbers[mine] % 200]).all()
    print(len(numbers), " ".join(str(number) for number in sorted(set(numbers // 200))))
"""


def start(code, *arguments):
    "Run Python in a process of its own."
    words = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def read(place):
    "Open a gallery in a new process; returns how many images it holds, and of which batches."
    reader = start(reading_code, place)
    out, errors = reader.communicate(timeout=120)
    assert reader.returncode == 0, errors[-2000:]
    count, *batches = map(int, out.split())
    return count, batches


@pytest.mark.parametrize("engine", engines)
def test_killed_in_the_middle(engine, tmp_path):
    "What was acknowledged is there, what was not is there whole or not at all, and work goes on."
    place = places[engine].format(tmp_path)
    first = 0
    for turn in range(2):
        writer = start(adding_code, place, first, 10_000)
        acknowledged = [int(writer.stdout.readline()) for _ in range(2)]
        time.sleep(random.Random(turn).uniform(0, 0.05))
        writer.send_signal(signal.SIGKILL)
        out, _ = writer.communicate(timeout=60)
        acknowledged += [int(line) for line in out.split("\n")[:-1]]
        count, batches = read(place)
        assert batches[:acknowledged[-1] + 1] == list(range(acknowledged[-1] + 1))
        assert batches[-1] <= acknowledged[-1] + 1 and count == 200 * len(batches)
        first = acknowledged[-1] + 1
    with open_gallery(place) as gallery:
        assert gallery.remove(dict(label="0007")) == count // 50
    assert read(place)[0] == count - count // 50


@pytest.mark.parametrize("engine", engines)
def test_two_writers(engine, tmp_path):
    "Two programs add at once: nothing is lost; of a file of milvus-lite, the second one is refused."
    place = places[engine].format(tmp_path)
    if engine == "milvus":
        writer = start(adding_code, place, 0, 10_000)
        assert writer.stdout.readline() == "0\n"
        with pytest.raises(InputError, match="another program"):
            len(open_gallery(place))
        writer.kill()
        writer.communicate(timeout=60)
        return
    writers = [start(adding_code, place, first, first + 6) for first in (0, 6)]
    for writer in writers:
        _, errors = writer.communicate(timeout=120)
        assert writer.returncode == 0, errors[-2000:]
    assert read(place) == (12 * 200, list(range(12)))


@pytest.mark.parametrize("engine", engines[:2])
def test_others_are_seen(engine, tmp_path):
    "A gallery that is open shows what another program adds."
    place = places[engine].format(tmp_path)
    with open_gallery(place) as gallery:
        gallery.add(batch(0))
        query = batch(1)
        before = gallery.search(query.select([5]), top_k=1)["distance"][0]
        assert before > 1
        writer = start(adding_code, place, 1, 2)
        assert writer.wait(60) == 0
        assert len(gallery) == 400
        moved = query.select([5])
        moved.manifest["path"] = "elsewhere.jpg"
        assert gallery.search(EmbeddingSet(moved.vectors, moved.manifest, moved.meta), top_k=1)["distance"][0] == 0


@pytest.mark.parametrize("engine", engines)
def test_many_threads(engine, tmp_path):
    "A server asks and adds from several threads at once."
    with open_gallery(places[engine].format(tmp_path)) as gallery:
        gallery.add(batch(0))

        def work(number):
            if number % 3 == 0:
                gallery.add(batch(1 + number // 3))
            return len(gallery.search(batch(50).select([number]), top_k=5))

        with ThreadPoolExecutor(6) as pool:
            assert list(pool.map(work, range(18))) == [5] * 18
        assert len(gallery) == 7 * 200


@pytest.mark.parametrize("engine", engines)
def test_sixty_queries(engine, tmp_path):
    "Near copies, ties and cameras: 60 of 60 queries get what exact search finds."
    generator = np.random.default_rng(3)
    points = generator.normal(size=(300, 16))
    vectors = points[generator.integers(0, 300, 3000)] + generator.normal(scale=1e-4, size=(3000, 16))
    vectors[::3] = points[generator.integers(0, 300, 1000)]  # a thousand in 300 places: ties
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    table = pd.DataFrame(dict(
        path=[f"{number}.jpg" for number in range(3000)],
        label=(np.arange(3000) % 40).astype(str),
        camera=(np.arange(3000) % 3).astype(str),
    ))
    whole = EmbeddingSet(vectors, table, dict(model_id="pencil"))
    with open_gallery(places[engine].format(tmp_path)) as gallery:
        gallery.add(whole)
        equal = 0
        for row in generator.choice(3000, 60, replace=False):
            wishes = dict(top_k=int(generator.integers(1, 30)))
            if row % 2:
                wishes["where"] = dict(camera=["0", "1"])
            query = whole.select([row])
            mine = gallery.search(query, **wishes)
            pd.testing.assert_frame_equal(mine, search(query, whole, **wishes))
            equal += 1
        assert equal == 60


def test_a_folder_moves_with_its_pictures(tmp_path, monkeypatch):
    "A project that moves as a whole finds its pictures, and one file stays one file."
    for engine in [name for name, package in packages.items() if find_spec(package)]:
        project = tmp_path / f"{engine} before"
        (project / "photos").mkdir(parents=True)
        for number in range(200):
            (project / f"photos/{number}.jpg").write_bytes(bytes([number]))
        monkeypatch.chdir(project)
        place = places[engine].format("runs")
        with open_gallery(place) as gallery:
            gallery.add(batch(0))
        moved = tmp_path / f"{engine} after"
        monkeypatch.chdir(tmp_path)
        shutil.move(project, moved)
        monkeypatch.chdir(moved / "photos")
        with open_gallery(places[engine].format("../runs")) as gallery:
            hits = gallery.search(batch(1).select([0]), top_k=3)
            assert all(Path(path).exists() for path in hits["path"]), engine
            assert gallery.find_path("7.jpg")
        monkeypatch.chdir(moved)
        with open_gallery(place) as gallery:
            counts = gallery.add(batch(0))
            assert (counts.added, counts.replaced, len(gallery)) == (0, 200, 200), engine


@pytest.mark.parametrize("package, place", [("lancedb", "lance:{}/x"), ("pymilvus", "milvus:{}/x.db")])
def test_without_extras(package, place, tmp_path):
    code = f"""
import sys
sys.modules["{package}"] = None
from siamese_nbdev.serve import open_gallery
try:
    open_gallery(sys.argv[1])
except ImportError as error:
    print(error)
"""
    done = start(code, place.format(tmp_path))
    out, errors = done.communicate(timeout=60)
    assert f'siamese-nbdev[{"lance" if "lance" in package else "milvus"}]' in out, errors
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("engine", engines)
def test_nothing_is_written_by_looking(engine, tmp_path):
    with open_gallery(places[engine].format(tmp_path / "nowhere")) as gallery:
        assert (len(gallery), gallery.meta, gallery.columns(), gallery.find_path("x")) == (0, {}, {}, False)
        with pytest.raises(InputError, match="add some"):
            gallery.search(batch(0))
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("kind", ["ivf", "hnsw"])
def test_a_faiss_index_lives(kind, tmp_path):
    "An approximate index in a folder takes images in, and lets them go."
    Index(batch(0), kind).save(tmp_path / "index")
    with open_gallery(tmp_path / "index") as gallery:
        assert gallery.kind == kind
        for number in range(1, 6):
            gallery.add(batch(number))
        gallery.remove(dict(label="0003"))
        assert (len(gallery), gallery.kind) == (1200 - 24, kind)
        whole = gallery.read()
        query = batch(9).select(range(60))
        mine = gallery.search(query, top_k=1)["path"].to_numpy()
        assert (mine == search(query, whole, top_k=1)["path"].to_numpy()).mean() > 0.9


server_packages = os.environ.get("SIAMESE_NBDEV_MILVUS")  # folder that holds the package milvus, where it is apart
has_server = find_spec("pymilvus") and (find_spec("milvus") or server_packages)
server_code = """
import sys, time
from milvus import default_server
default_server.set_base_dir(sys.argv[1])
default_server.start()
print(default_server.listen_port, flush=True)
sys.stdin.read()
default_server.stop()
"""


@pytest.mark.slow
@pytest.mark.skipif(not has_server, reason="the package milvus is not installed (a server that starts from Python)")
def test_a_server(tmp_path):
    "The same on a server: equal hits, two writers at once, a killed writer."
    environment = dict(os.environ)
    if server_packages:
        environment["PYTHONPATH"] = os.pathsep.join([server_packages, environment.get("PYTHONPATH", "")])
    words = [sys.executable, "-c", server_code, str(tmp_path)]
    server = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
    try:
        place = f"milvus:http://127.0.0.1:{int(server.stdout.readline())}/people"
        writers = [start(adding_code, place, first, first + 4) for first in (0, 4)]
        for writer in writers:
            _, errors = writer.communicate(timeout=300)
            assert writer.returncode == 0, errors[-2000:]
        killed = start(adding_code, place, 8, 10_000)
        acknowledged = [int(killed.stdout.readline()) for _ in range(2)]
        killed.kill()
        out, _ = killed.communicate(timeout=60)
        acknowledged += [int(line) for line in out.split("\n")[:-1]]
        count, batches = read(place)
        assert set(range(acknowledged[-1] + 1)) <= set(batches)
        with open_gallery(place) as gallery:
            whole = gallery.read()
            query = batch(99).select(range(10))
            for wishes in (dict(top_k=5), dict(top_k=3, where=dict(label=["0001", "0002"])), dict(max_distance=5.0)):
                for row in range(10):
                    asked = query.select([row])
                    mine = gallery.search(asked, **wishes)
                    pd.testing.assert_frame_equal(mine, search(asked, whole, **wishes))
            assert gallery.remove(dict(label="0003")) > 0
    finally:
        server.communicate("", timeout=60)


# ---------------------------------------------------------------- what an update takes over, and what it refuses


@pytest.fixture
def followed(tmp_path):
    "A folder of pictures, a network, and an index as a run makes it: with cameras, and without signs of the files."
    photos = draw(tmp_path / "photos", ["ann", "0002", "O'Brien"], images=3)
    torch.manual_seed(0)
    options = dict(image_size=(64, 32), embedding_size=8, head="linear")
    model = SiameseNet("test_efficientnet", pretrained=False, **options).eval()
    known = images_from_folder(photos).assign(camera="c1", split="train")
    Index(embed_images(model, known, progress=False)).save(tmp_path / "index")
    return photos, model, tmp_path / "index"


def test_an_update_keeps_what_is_known(followed):
    photos, model, index = followed
    with open_gallery(index) as gallery:
        assert gallery.update(photos, model) == Changes(0, 0, 0)
        shutil.copy(photos / "ann" / "0.png", photos / "0002" / "0.png")
        shutil.copy(photos / "ann" / "1.png", photos / "ann" / "new.png")
        assert gallery.update(photos, model) == Changes(1, 1, 0)
        manifest = gallery.read().manifest
    assert manifest["camera"].eq("c1").sum() == manifest["split"].eq("train").sum() == 9
    assert manifest["camera"].isna().sum() == 1 and set(manifest["label"]) == {"ann", "0002", "O'Brien"}


def test_an_update_forgets_what_is_no_picture_any_more(followed):
    photos, model, index = followed
    with open_gallery(index) as gallery:
        gallery.update(photos, model)
        for name in ("ann/0.png", "0002/new.png"):
            (photos / name).write_text("no picture")
        with pytest.warns(UserWarning, match="Left out") as said:
            assert gallery.update(photos, model) == Changes(0, 0, 1)
        assert len(said) == 1 and len(gallery) == 8 and not gallery.find_path(photos / "ann/0.png")


def test_a_run_knows_its_files(tmp_path, monkeypatch):
    "What a run has embedded is embedded once: the first update reads only what has changed since."
    photos = draw(tmp_path / "photos", ["ann", "bob", "cid"], images=4)
    plan = plan_run(photos, tmp_path / "run", image_size=(64, 64), labels=False)
    execute_plan(plan, say=lambda text: None)
    embedded = []

    def noting(model, manifest, **options):
        embedded.extend(manifest["path"])
        return embed_images(model, manifest, **options)

    monkeypatch.setattr(stores, "embed_images", noting)
    model = load_model(tmp_path / "run")
    with open_gallery(tmp_path / "run") as gallery:
        assert gallery.update(photos, model) == Changes(0, 0, 0) and embedded == []
        shutil.copy(photos / "ann" / "0.png", photos / "bob" / "0.png")
        assert gallery.update(photos, model) == Changes(0, 1, 0)
        assert [Path(path).parts[-2:] for path in embedded] == [("bob", "0.png")]


def test_an_opened_set_may_be_older_than_its_files(followed):
    "A picture that was replaced after it was embedded is embedded again, though the gallery took the set later."
    photos, model, index = followed
    shutil.copy(photos / "ann" / "0.png", photos / "0002" / "0.png")
    with open_gallery(index.parent / "gallery") as gallery:
        gallery.add(EmbeddingSet.load(index))
        assert gallery.update(photos, model) == Changes(0, 1, 0)
        assert gallery.update(photos, model) == Changes(0, 0, 0)


def test_who_is_near_follows_a_collection(tmp_path):
    "A collection that outgrows the distance noted with it has the distance measured anew, and says so of its new size."
    run = make_run(tmp_path)
    noted = run / "index" / "presence.json"
    before = read_presence(run / "index")
    model = load_model(run)
    with open_gallery(run) as gallery:
        rows = gallery.read()
        assert gallery.remove(dict(path=rows.manifest["path"][0])) == 1
        assert read_presence(run / "index") == before  # one of 24 is about as many
        added = draw(tmp_path / "more", [f"new{number}" for number in range(4)], images=4)
        gallery.add(embed_images(model, images_from_folder(added), progress=False))
        after = read_presence(run / "index")
        assert after.images == len(gallery) == 39 and after.identities == 10
        assert after == presence_in(gallery.read(), before.use_trained)
        gallery.remove(dict(label=list(set(gallery.read().labels) - {"ann"})))
        assert not noted.exists() and len(gallery) < 10  # too few to say anything


def test_an_update_by_another_network_is_refused(followed):
    photos, _, index = followed
    torch.manual_seed(1)
    other = SiameseNet("test_efficientnet", pretrained=False, image_size=(64, 32), embedding_size=8, head="linear")
    with open_gallery(index) as gallery, pytest.raises(InputError, match="model"):
        gallery.update(photos, other.eval())


@pytest.mark.parametrize("name", ["", "foo:bar", "s3://bucket/gallery", "lance:", "milvus:"])
def test_names_that_are_none(name):
    with pytest.raises(InputError, match="^Expected a "):
        open_gallery(name)
