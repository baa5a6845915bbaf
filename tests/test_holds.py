"""Folders hold: killed at any moment, with any bit flipped, with two at work, and written by earlier versions."""
import json
import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from counting import count
from PIL import Image

from siamese_nbdev.checks import InputError
from siamese_nbdev.embeddings import EmbeddingSet, embed_images
from siamese_nbdev.model import SiameseNet, load_model, save_model
from siamese_nbdev.retrieval import Index
from siamese_nbdev.training import fit, resume

has_kill = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")


# ---------------------------------------------------------------------------------------------------------------------
# Killed at random moments

killed_code = """
import os, random, signal, sys, time
from pathlib import Path
import numpy as np, pandas as pd, torch
from siamese_nbdev.embeddings import EmbeddingSet, embed_images
from siamese_nbdev.model import SiameseNet, load_model, save_model
from siamese_nbdev.retrieval import Index
torch.set_num_threads(1)
what, place, data, kills = sys.argv[1], Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
folder = place / "folder"


def in_own_process(function):
    "Run a function in a process of its own and return that process's number."
    number = os.fork()
    if number: return number
    function()
    os._exit(0)


def in_turn(save, first):
    "Save one and the other for ever."
    while True:
        for which in (first, 1 - first):
            save(which, folder)


def numbered(which):
    "A set whose every number and label says which one it is."
    count = 2000 + 500 * which  # also of another size
    paths = [f"{which}_{row}.png" for row in range(count)]
    rng = np.random.default_rng(which)
    table = pd.DataFrame(dict(path=paths, label=[str(which)] * count), dtype="str")
    return EmbeddingSet(rng.standard_normal((count, 64)).astype(np.float32), table, dict(model_id=str(which)))


def same_set(found):
    "Say which of the two sets this is, to the last number and label; -1 is neither."
    for which, right in enumerate(sets):
        is_same = found.vectors.shape == right.vectors.shape and (found.vectors == right.vectors).all()
        if is_same and (found.manifest.label == right.manifest.label).all(): return which
    return -1


if what in ("set", "index"):
    sets = [numbered(which) for which in (0, 1)]
if what == "set":
    save = lambda which, folder: sets[which].save(folder)
    read = lambda: same_set(EmbeddingSet.load(folder))
    longest = 0.15
if what == "index":
    indexes = [Index(each, "ivf", effort=1 + number) for number, each in enumerate(sets)]
    save = lambda which, folder: indexes[which].save(folder)
    def read():
        index = Index.load(folder)
        which = same_set(index.embeddings)
        return which if index.effort == 1 + which else -1
    longest = 0.2
if what in ("model", "embed"):
    models = []
    for which in (0, 1):
        torch.manual_seed(which)
        models.append(SiameseNet("test_efficientnet", pretrained=False, image_size=(64, 32)).eval())
if what == "model":
    ids = [model.model_id() for model in models]
    def save(which, folder):
        threshold = dict(threshold=dict(distance=which))
        save_model(models[which], folder, extra=threshold)
    def read():
        from siamese_nbdev.model import read_model_notes
        which = ids.index(load_model(folder).model_id())
        return which if read_model_notes(folder / "model.json")["extra"]["threshold"]["distance"] == which else -1
    longest = 0.15
if what == "embed":
    people = pd.read_csv(data, dtype=str)
    def save(which, folder):
        embed_images(models[which], people.iloc[6 * which:], out=folder, progress=False)
    def expected(which):
        return lambda: save(which, place / str(which))
    for which in (0, 1):
        os.waitpid(in_own_process(expected(which)), 0)
    sets = [EmbeddingSet.load(place / str(which)) for which in (0, 1)]
    read = lambda: same_set(EmbeddingSet.load(folder))
    longest = 1.5

os.waitpid(in_own_process(lambda: save(0, folder)), 0)
names = sorted(os.listdir(folder))
rng = random.Random(0)
seen, interrupted = [], 0
for kill in range(kills):
    number = in_own_process(lambda: in_turn(save, (kill + 1) % 2))
    time.sleep(rng.uniform(0.005, longest))
    os.kill(number, signal.SIGKILL)
    assert os.WTERMSIG(os.waitpid(number, 0)[1]) == signal.SIGKILL
    interrupted += any(name.startswith(".siamese") for name in os.listdir(folder))
    which = read()
    assert which in (0, 1), "a mixture was loaded"
    seen.append(which)
    left = set(os.listdir(folder)) - {".siamese.partial"}  # an embedding that will go on
    assert sorted(left) == names, left
print(kills, "kills,", interrupted, "in the middle of a save, loaded:", seen)
"""


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    "Forty-eight pictures of eight people; four of them are strangers."
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    rows = []
    for person in range(8):
        colour = rng.integers(0, 255, 3)
        for shot in range(6):
            path = folder / f"{person}_{shot}.png"
            pixels = rng.integers(0, 60, (64, 32, 3)) + colour * 0.7
            Image.fromarray(pixels.astype(np.uint8)).save(path)
            rows.append(dict(path=str(path), label=str(person), split="train" if person < 4 else "valid"))
    pd.DataFrame(rows).to_csv(folder / "people.csv", index=False)
    return folder / "people.csv"


def kill_while_saving(what, tmp_path, people, kills):
    command = [sys.executable, "-c", killed_code, what, str(tmp_path), str(people), str(kills)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    count(f"kill {what} over another one", times=kills, halfway=int(done.stdout.split()[2]))


@has_kill
@pytest.mark.parametrize("what, kills", [("set", 4), ("index", 3), ("model", 2), ("embed", 2)])
def test_killed_while_saving(what, kills, tmp_path, people):
    kill_while_saving(what, tmp_path, people, kills)


@has_kill
@pytest.mark.slow
@pytest.mark.parametrize("what, kills", [("set", 40), ("index", 30), ("model", 20), ("embed", 20)])
def test_killed_often_while_saving(what, kills, tmp_path, people):
    kill_while_saving(what, tmp_path, people, kills)


fit_code = """
import sys, pandas as pd, torch
from pathlib import Path
from siamese_nbdev.model import SiameseNet
from siamese_nbdev.training import fit, resume
torch.set_num_threads(1)
out, data = Path(sys.argv[1]), sys.argv[2]
print("begins", flush=True)
if (out / "run.json").exists():
    resume(out, progress=False)
else:
    people = pd.read_csv(data, dtype=str)
    torch.manual_seed(0)
    model = SiameseNet("test_efficientnet", pretrained=False, image_size=(64, 32), embedding_size=8, head="linear")
    train, valid = (people[people.split == split] for split in ("train", "valid"))
    sizes = dict(classes_per_batch=2, images_per_class=2, checkpoint_steps=1, glance=0)
    fit(model, train, valid, out=out, epochs=6, progress=False, **sizes)
"""


def start_fit(out, people):
    command = [sys.executable, "-c", fit_code, str(out), str(people)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def end_of(process):
    _, errors = process.communicate(timeout=180)
    assert process.returncode == 0, errors[-3000:]


def kill_while_training(tmp_path, people, kills):
    "Kill a training again and again; each time its checkpoint and its history are of one moment."
    end_of(start_fit(tmp_path / "whole", people))
    rng = random.Random(0)
    out = tmp_path / "killed"
    done = number = 0
    while done < kills:
        process = start_fit(out, people)
        process.stdout.readline()
        try:
            process.wait(timeout=rng.uniform(0.05, 1.5))
            out = tmp_path / f"killed{(number := number + 1)}"  # it came to its end: the next one
            continue
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
        done += 1
        if (out / "last.pt").exists() and not (out / ".siamese.next").exists():
            state = torch.load(out / "last.pt", weights_only=True)["progress"]
            history = pd.read_csv(out / "history.csv") if (out / "history.csv").exists() else []
            assert len(history) == state["epoch"], "checkpoint and history are of two moments"
    end_of(start_fit(out, people))
    assert load_model(out / "model").model_id() == load_model(tmp_path / "whole" / "model").model_id()
    count("kill training and its checkpoint", times=kills)
    states = [torch.load(run / "last.pt", weights_only=True) for run in (out, tmp_path / "whole")]
    for name, weight in states[0]["trainee"].items():
        assert torch.equal(weight, states[1]["trainee"][name])
    left = {path.name for path in out.rglob(".*")} | {path.name for path in out.parent.glob("*.lock")}
    assert not left, left


@has_kill
def test_killed_while_training(tmp_path, people):
    kill_while_training(tmp_path, people, kills=1)


@has_kill
@pytest.mark.slow
def test_killed_often_while_training(tmp_path, people):
    kill_while_training(tmp_path, people, kills=12)


# ---------------------------------------------------------------------------------------------------------------------
# One bit is another

@pytest.fixture(scope="module")
def folders(tmp_path_factory, people):
    "A set, an index, a network and a run that is over, and how to read each as numbers."
    place = tmp_path_factory.mktemp("whole")
    table = pd.read_csv(people, dtype=str)
    torch.manual_seed(0)
    options = dict(image_size=(64, 32), embedding_size=8, head="linear")
    model = SiameseNet("test_efficientnet", pretrained=False, **options)
    embed_images(model, table, out=place / "set", progress=False)
    rng = np.random.default_rng(0)
    table = pd.DataFrame(dict(path=[f"{row}.png" for row in range(400)], label=["a", "b"] * 200))
    gallery = EmbeddingSet(rng.standard_normal((400, 8)).astype(np.float32), table)
    Index(gallery, "ivf", effort=1).save(place / "index")
    save_model(model, place / "model")
    train, valid = (part for _, part in pd.read_csv(people, dtype=str).groupby("split"))
    sizes = dict(classes_per_batch=2, images_per_class=2, glance=0, epochs=1, progress=False)
    fit(model, train, valid, out=place / "run", **sizes)
    return place


def set_in(folder):
    found = EmbeddingSet.load(folder)
    return [np.array(found.vectors), found.manifest.drop(columns="path").to_csv(), len(found.manifest.path)]


def index_in(folder):
    index = Index.load(folder)
    query = EmbeddingSet(np.eye(8, dtype=np.float32), pd.DataFrame(dict(path=[f"q{row}" for row in range(8)])))
    return [np.array(index.embeddings.vectors), index.search(query, top_k=5).drop(columns="path").to_csv()]


def model_in(folder):
    model = load_model(folder)
    return [*(value.numpy() for value in model.state_dict().values()), model.config]


def run_in(folder):
    model, history = resume(folder, progress=False)
    weights = [value.numpy() for value in model.state_dict().values()]
    return [*weights, history.drop(columns="images_per_second").to_csv()]


readers = dict(set=set_in, index=index_in, model=model_in, run=run_in)


def same_numbers(first, second):
    return all(np.array_equal(one, other) if isinstance(one, np.ndarray) else one == other
               for one, other in zip(first, second, strict=True))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind, flips", [("set", 30), ("index", 20), ("model", 40), ("run", 12)])
def test_no_flipped_bit_goes_unnoticed(kind, flips, folders, tmp_path):
    rng = random.Random(kind)
    right = readers[kind](shutil.copytree(folders / kind, tmp_path / "whole"))
    tried = refused = 0
    for file in sorted(path for path in (folders / kind).rglob("*") if path.is_file()):
        name = file.relative_to(folders / kind)
        for _ in range(flips):
            copy = shutil.copytree(folders / kind, tmp_path / "copy")
            content = bytearray(file.read_bytes())
            content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
            (copy / name).write_bytes(content)
            tried += 1
            try:
                found = readers[kind](copy)
            except Exception:
                refused += 1
            else:
                is_a_table_of_figures = name.name == "history.csv"  # the checkpoint holds it too
                assert is_a_table_of_figures or same_numbers(found, right), f"{name}: other numbers"
            shutil.rmtree(copy)
    count(f"bits {kind}", times=tried, refused=refused)
    assert refused > tried / 2


def test_files_of_others_are_refused(folders, tmp_path):
    "Vectors of equal shape, a checkpoint of another run, a finished run without its best network."
    copy = shutil.copytree(folders / "set", tmp_path / "set")
    vectors = np.load(copy / "vectors.npy")
    for other in (vectors[::-1], vectors * 0, vectors.astype(np.float16), vectors.astype(">f4"), vectors[:-1]):
        np.save(copy / "vectors.npy", other)
        with pytest.raises(InputError, match="changed since"):
            EmbeddingSet.load(copy)
    run = shutil.copytree(folders / "run", tmp_path / "run")
    notes = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(notes | dict(id="another")))
    with pytest.raises(InputError, match="that of another run"):
        resume(run, progress=False)
    (run / "run.json").write_bytes((folders / "run" / "run.json").read_bytes())
    shutil.rmtree(run / "model")
    with pytest.raises(InputError, match="which holds its best weights"):
        resume(run, progress=False)


def test_large_sets_are_checked_when_they_are_used(tmp_path, monkeypatch):
    "Opening looks at a sample; comparing, copying and saving look at all."
    monkeypatch.setattr("siamese_nbdev.storage.CHECKED_AT_ONCE", 1000)
    rng = np.random.default_rng(0)
    table = pd.DataFrame(dict(path=[f"{row}.png" for row in range(5000)]))
    EmbeddingSet(rng.standard_normal((5000, 8)).astype(np.float32), table).save(tmp_path / "set")
    with open(tmp_path / "set" / "vectors.npy", "r+b") as stream:
        stream.seek(-8, os.SEEK_END)
        stream.write(np.float32(7).tobytes())
    for use in (EmbeddingSet.check, lambda found: found.select([0]), lambda found: found.save(tmp_path / "copy")):
        found = EmbeddingSet.load(tmp_path / "set")
        with pytest.raises(InputError, match="changed since"):
            use(found)
        del found
    assert not (tmp_path / "copy" / "vectors.npy").exists()


# ---------------------------------------------------------------------------------------------------------------------
# Two at work

two_code = """
import sys, time, pandas as pd, torch
from pathlib import Path
what, out, data, role = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4]
torch.set_num_threads(1)
inside, go_on = out.with_name("inside"), out.with_name("go on")


def wait(*_, **__):
    "The first one stays inside until the second one has been refused."
    inside.touch()
    while role == "first" and not go_on.exists():
        time.sleep(0.02)


from siamese_nbdev.model import SiameseNet
people = pd.read_csv(data, dtype=str)
torch.manual_seed(0)
model = SiameseNet("test_efficientnet", pretrained=False, image_size=(64, 32))
if what == "fit":
    from siamese_nbdev import training
    batch_loss = training.batch_loss
    training.batch_loss = lambda *arguments: (wait(), batch_loss(*arguments))[1]
    train, valid = (people[people.split == split] for split in ("train", "valid"))
    sizes = dict(classes_per_batch=2, images_per_class=2, glance=0, epochs=1, progress=False)
    training.fit(model, train, valid, out=out, **sizes)
if what == "embed":
    from siamese_nbdev.embeddings import embed_images
    model.register_forward_hook(wait)
    embed_images(model, people, out=out, progress=False)
if what == "run":
    from siamese_nbdev import cli, pipeline
    make_plan = pipeline.make_plan
    pipeline.make_plan = lambda *arguments: (wait(), make_plan(*arguments))[1]
    cli.app(["run", str(data.parent), "--out", str(out), "--no-labels", "--no-report"])
"""


@pytest.mark.parametrize("what", ["fit", "embed", "run"])
def test_two_in_one_folder(what, tmp_path, people):
    out = tmp_path / "out"

    def start(role):
        command = [sys.executable, "-c", two_code, what, str(out), str(people), role]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    first = start("first")
    try:
        while not (tmp_path / "inside").exists():
            assert first.poll() is None, first.communicate()[1][-3000:]
        second = start("second")
        said = "".join(second.communicate(timeout=180))
        (tmp_path / "go on").touch()
        _, errors = first.communicate(timeout=300)
    finally:
        first.kill()
    assert second.returncode != 0 and f"process {first.pid} on" in said, said[-3000:]
    assert "choose another folder" in said
    assert first.returncode == 0, errors[-3000:]
    assert {path.name for path in tmp_path.iterdir()} == {"out", "inside", "go on"}


# ---------------------------------------------------------------------------------------------------------------------
# Pictures that were replaced, and folders of earlier versions

def test_replaced_pictures(folders, people, tmp_path):
    "An embedding begins anew, and a run is refused."
    table = pd.read_csv(people, dtype=str)
    for row, path in enumerate(table["path"]):
        shutil.copy(path, tmp_path / f"{row}.png")
    table["path"] = [str(tmp_path / f"{row}.png") for row in range(len(table))]
    torch.manual_seed(0)
    model = SiameseNet("test_efficientnet", pretrained=False, image_size=(64, 32))
    calls = []

    def power_cut(*_):
        calls.append(1)
        if len(calls) == 3: raise ConnectionError

    hook = model.register_forward_pre_hook(power_cut)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(ConnectionError):
        patch.setattr("siamese_nbdev.storage.PartialSet.is_time_to_note", lambda partial, end: partial.out is not None)
        embed_images(model, table, out=tmp_path / "set", batch_size=16, progress=False)
    hook.remove()
    sizes = dict(classes_per_batch=2, images_per_class=2, glance=0, epochs=1, progress=False)
    train, valid = (table[table.split == split] for split in ("train", "valid"))
    fit(model, train, valid, out=tmp_path / "run", **sizes)
    shutil.copy(table["path"][30], table["path"][0])
    with pytest.raises(InputError, match=r"others: 1 of 48 have changed, such as .*0\.png"):
        resume(tmp_path / "run", progress=False)
    model = SiameseNet("test_efficientnet", pretrained=False, image_size=(64, 32))
    new = embed_images(model, table, out=tmp_path / "set", progress=False)
    np.testing.assert_array_equal(new.vectors, embed_images(model, table, progress=False).vectors)


def test_resumed_from_elsewhere(folders, people, tmp_path, monkeypatch):
    "A bare training with relative paths goes on from another working folder, and after the project was moved."
    project = tmp_path / "project"
    (project / "pictures").mkdir(parents=True)
    table = pd.read_csv(people, dtype=str)
    for path in table["path"]:
        shutil.copy(path, project / "pictures")
    table["path"] = [f"pictures/{Path(path).name}" for path in table["path"]]
    train, valid = (table[table.split == split] for split in ("train", "valid"))
    torch.manual_seed(0)
    model = SiameseNet("test_efficientnet", pretrained=False, image_size=(64, 32))
    monkeypatch.chdir(project)
    sizes = dict(classes_per_batch=2, images_per_class=2, glance=0, epochs=1, progress=False)
    fit(model, train, valid, out="runs/first", **sizes)
    (project / "runs/first/last.pt").unlink()  # as if it had been killed early
    for place, run in ((tmp_path, "project/runs/first"), (project / "runs", "first")):
        monkeypatch.chdir(place)
        again, _ = resume(run, progress=False)
        assert again.model_id() == model.model_id()
        (place / run / "last.pt").unlink()
    monkeypatch.chdir(tmp_path)
    project.rename(tmp_path / "moved")
    assert resume("moved/runs/first", progress=False)[0].model_id() == model.model_id()


def without(file, *names):
    "Take entries out of a JSON file, as if it had been written before they were noted."
    notes = json.loads(file.read_text())
    file.write_text(json.dumps({name: value for name, value in notes.items() if name not in names}))


@pytest.mark.filterwarnings("ignore")
def test_folders_of_earlier_versions(folders, tmp_path):
    "The layout before there were digests of vectors, of an index and of a checkpoint is read as ever."
    old = shutil.copytree(folders, tmp_path / "old")
    without(old / "set" / "meta.json", "vectors")
    without(old / "index" / "meta.json", "vectors", "places")
    index = Index.load(folders / "index")
    vectors = np.load(old / "index" / "vectors.npy")
    from siamese_nbdev.galleries import set_digest

    notes = dict(format=1, library="0.1.0", kind="ivf", metric="euclidean", effort=1)
    notes["set"] = set_digest(old / "index" / "meta.json", vectors)
    (old / "index" / "index.json").write_text(json.dumps(notes))
    without(old / "run" / "run.json", "id", "files", "places")
    for name in ("checkpoint.json", "pictures.csv"):
        (old / "run" / name).unlink()
    without(old / "run" / "model" / "model.json", "extra")
    for kind, read in readers.items():
        assert same_numbers(read(old / kind), read(folders / kind)), kind
    assert index.effort == 1
