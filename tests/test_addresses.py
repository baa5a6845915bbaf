"Pictures in a bucket and in an archive go through the whole library, and nothing of their addresses is misread."
import http.server
import json
import threading
import zipfile
from pathlib import Path

import fsspec
import numpy as np
import pandas as pd
import pytest
import torch
from fsspec.registry import known_implementations
from PIL import Image

from siamese_nbdev.checks import InputError
from siamese_nbdev.data import (
    as_manifest,
    audit_split,
    check_images,
    images_from_csv,
    read_image,
    read_triplets,
    split_by_label,
)
from siamese_nbdev.embeddings import EmbeddingSet, embed_images
from siamese_nbdev.manifests import content_keys, file_keys, signs_of
from siamese_nbdev.model import SiameseNet
from siamese_nbdev.pictures import facts_of, is_address, known_protocols, web_protocols
from siamese_nbdev.retrieval import search
from siamese_nbdev.training import fit, resume
from siamese_nbdev.verification import verify_pair

names = [f"{person}/{number}.png" for person in "abcdef" for number in range(4)]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    "Noise in 24 pictures of 6 people, as files; we work beside them."
    rng = np.random.default_rng(0)
    for name in names:
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def manifest_of(kind, folder):
    "List the pictures as files, in a bucket of this process, or in an archive."
    if kind == "files":
        paths = [f"photos/{name}" for name in names]
    elif kind == "bucket":
        bucket = fsspec.filesystem("memory")
        bucket.store.clear()
        bucket.pipe({f"/photos/{name}": (folder / "photos" / name).read_bytes() for name in names})
        paths = [f"memory://photos/{name}" for name in names]
    else:
        with zipfile.ZipFile(folder / "photos.zip", "w") as archive:
            for name in names:
                archive.write(folder / "photos" / name, name)
        paths = [f"zip://{name}::photos.zip" for name in names]
    return pd.DataFrame(dict(path=paths, label=[name[0] for name in names]))


def small_network():
    torch.manual_seed(0)
    return SiameseNet("test_efficientnet", pretrained=False, image_size=(32, 32))


@pytest.mark.parametrize("kind", ["bucket", "archive"])
def test_pictures_elsewhere_are_those_of_files(folder, kind):
    files, there = manifest_of("files", folder), manifest_of(kind, folder)
    assert as_manifest(there)["path"].tolist() == there["path"].tolist()
    assert len(set(file_keys(there["path"]))) == len(there)
    assert content_keys(there["path"].tolist()).tolist() == list(range(24))
    assert content_keys([*files["path"], *there["path"]])[:24].tolist() == list(range(24))
    assert (content_keys([*files["path"], *there["path"]])[24:] == np.arange(24)).all(), "the bytes are the same"
    assert not len(check_images(there, progress=False))
    split = split_by_label(there, valid=0.2, test=0.2)
    audit_split(split, pictures=True, progress=False)
    model = small_network()
    here, elsewhere = (embed_images(model, table, progress=False) for table in (files, there))
    assert here.vectors.tobytes() == elsewhere.vectors.tobytes()
    hits = search(there["path"][5], elsewhere, model=model, top_k=3)
    expected = search(files["path"][5], here, model=model, top_k=3)
    assert hits["distance"].tolist() == expected["distance"].tolist()
    assert hits["label"].tolist() == expected["label"].tolist()
    assert set(hits["path"]) <= set(there["path"])
    assert verify_pair(there["path"][0], files["path"][0], model=model, threshold=0.5)


@pytest.mark.parametrize("kind", ["bucket", "archive"])
def test_a_saved_set_leads_back_to_pictures_elsewhere(folder, kind, monkeypatch, recwarn):
    there = manifest_of(kind, folder)
    model = small_network()
    whole = embed_images(model, there, out="runs/set", progress=False)
    assert whole.manifest["path"].tolist() == there["path"].tolist()
    (folder / "deep" / "er").mkdir(parents=True)
    monkeypatch.chdir(folder / "deep" / "er")
    again = EmbeddingSet.load("../../runs/set")
    for path, saved in zip(again.manifest["path"], there["path"]):
        assert np.array_equal(read_image(path), np.asarray(Image.open(folder / "photos" / saved.split("::")[0][-7:])))
    assert not [warning for warning in recwarn if "not where they were" in str(warning.message)]
    assert not any(":/" in path and "://" not in path for path in again.manifest["path"])


@pytest.mark.parametrize("kind", ["bucket", "archive"])
def test_what_changes_elsewhere_is_noticed(folder, kind):
    there = manifest_of(kind, folder)
    paths = there["path"].tolist()
    before = signs_of([*paths, paths[0].replace("0.png", "9.png")])
    assert all(before[:-1]) and before[-1] == "" and len(set(before)) == 25
    Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(folder / "photos" / names[3])
    manifest_of(kind, folder)
    after = signs_of(paths)
    assert [row for row in range(24) if before[row] != after[row]] == [3]


@pytest.mark.parametrize("kind", ["bucket", "archive"])
def test_training_on_pictures_elsewhere(folder, kind):
    there = manifest_of(kind, folder)
    train, valid = there[there.label < "e"], there[there.label >= "e"]
    sizes = dict(classes_per_batch=4, images_per_class=2, glance=0, progress=False, cache=False)
    if kind == "archive":
        sizes |= dict(workers=2)  # which must not read past each other in the one archive
    model = small_network()
    fit(model, train, valid, epochs=2, out="runs/there", **sizes)
    files = manifest_of("files", folder)
    other = small_network()
    fit(other, files[files.label < "e"], files[files.label >= "e"], epochs=2, **sizes)
    assert model.model_id() == other.model_id()
    again, history = resume("runs/there", progress=False)
    assert again.model_id() == model.model_id() and len(history) == 2


def test_lists_of_addresses(folder):
    there = pd.concat([manifest_of("bucket", folder)[:4], manifest_of("archive", folder)[4:], pd.DataFrame(
        dict(path=["photos/a/1.png"], label=["a"])
    )])
    (folder / "lists").mkdir()
    listed = there.assign(path=[path.replace("::photos", "::../photos") for path in there["path"]])
    listed.loc[listed.path.str.startswith("photos"), "path"] = "../photos/a/1.png"
    listed.to_csv("lists/list.csv", index=False)
    read = images_from_csv("lists/list.csv")
    assert len(read) == 25
    assert set(map(str, read["path"])) >= set(there["path"][:4])
    assert not len(check_images(read, progress=False).query("problem not in ('duplicate content', 'lone identity')"))
    listed.assign(path=[path.replace("a/2", "a/7") for path in listed["path"]]).to_csv("lists/list.csv", index=False)
    with pytest.raises(FileNotFoundError, match="1 of 25 are not there, the first memory://photos/a/7.png"):
        images_from_csv("lists/list.csv")
    three = dict(Anchor="memory://photos/a/0.png", Positive="memory://photos/a/1.png", Negative="memory://photos/b/0.png")
    fsspec.filesystem("memory").pipe("/photos/b/0.png", (folder / "photos/b/0.png").read_bytes())
    pd.DataFrame([three]).to_csv("lists/triplets.csv", index=False)
    labels = pd.DataFrame(dict(path=list(three.values()), label=["a", "a", "b"]))
    assert read_triplets("lists/triplets.csv", manifest=labels).loc[0, "Anchor"] == three["Anchor"]


def test_what_is_wrong_elsewhere_is_named(folder):
    there = manifest_of("bucket", folder)
    bucket = fsspec.filesystem("memory")
    bucket.pipe("/photos/a/1.png", b"")
    bucket.pipe("/photos/a/2.png", b"Dear reader")
    bucket.rm("/photos/a/3.png")
    problems = check_images(there, progress=False).set_index("path")["problem"]
    assert problems[:3].tolist() == ["zero bytes", "not an image", "missing"]
    with pytest.warns(UserWarning, match="Left out 3 of 24 images"):
        assert len(embed_images(small_network(), there, progress=False)) == 21


class Pictures(http.server.BaseHTTPRequestHandler):
    "A web server with one picture."
    def do_GET(self):
        found = self.path == "/ann.png"
        self.send_response(200 if found else 404)
        self.end_headers()
        if found:
            self.wfile.write(Path("photos/a/0.png").read_bytes())
        self.server.asked.append(self.path)

    def log_message(self, *_):
        pass


def test_the_web_is_asked_where_the_user_allows_it(folder, monkeypatch):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Pictures)
    server.asked = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}/ann.png"
    listed = pd.DataFrame(dict(path=[address, "photos/b/0.png"]))
    try:
        with pytest.raises(InputError, match="allow_urls=True"):
            read_image(address)
        with pytest.warns(UserWarning, match="Left out 1 of 2 images"):
            embed_images(small_network(), listed, progress=False)
        assert not server.asked, "nobody was asked"
        ann = read_image(address, allow_urls=True)
        assert np.array_equal(ann, read_image("photos/a/0.png"))
        with pytest.raises(FileNotFoundError, match="found none at"):
            read_image(address.replace("ann", "bob"), allow_urls=True)
        monkeypatch.setenv("SIAMESE_NBDEV_ALLOW_URLS", "1")
        assert len(embed_images(small_network(), listed, out="runs/web", progress=False)) == 2
    finally:
        server.shutdown()


def test_only_listed_kinds_of_place_are_asked(folder, monkeypatch):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Pictures)
    server.asked = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    port = server.server_port
    # A list of references may hold templates, which fsspec renders, and addresses of the web.
    refs = dict(version=1, templates=dict(u="{{ 'http' }}"), refs={"a.jpg": [f"http://127.0.0.1:{port}/ann.png"]})
    (folder / "refs.json").write_text(json.dumps(refs))
    (folder / "reference").write_text(json.dumps(refs))
    others = sorted(name for name in set(known_implementations) - set(known_protocols) if is_address(f"{name}://"))
    assert {"reference", "webhdfs", "github", "sftp", "smb", "dask", "local", "file", "dir", "data"} <= set(others)
    addresses = [f"{name}://127.0.0.1:{port}/ann.png" for name in others]
    addresses += [f"simplecache::{address}" for address in addresses]
    addresses += [f"zip://a.png::{address}" for address in addresses]
    addresses += [f"zip://a.png::{name}::photos.zip" for name in others]
    addresses += ["reference://a.jpg::refs.json", "REFERENCE://a.jpg::refs.json", "filecache::reference://a.jpg::refs.json"]
    addresses += ["generic::memory://photos/a/0.png"]
    try:
        for allowed in ("0", "1"):  # the web is another matter
            monkeypatch.setenv("SIAMESE_NBDEV_ALLOW_URLS", allowed)
            for address in addresses:
                for ask in (read_image, facts_of):
                    with pytest.raises(InputError, match="copy its pictures|give the path itself"):
                        ask(address)
        monkeypatch.setenv("SIAMESE_NBDEV_ALLOW_URLS", "0")
        for name in web_protocols:
            for front in ("", "simplecache::", "zip://a.png::", "blockcache::zip://a.png::"):
                with pytest.raises(InputError, match="allow_urls=True"):
                    read_image(f"{front}{name}://127.0.0.1:{port}/ann.png")
        assert not server.asked
    finally:
        server.shutdown()
    # At the end of a chain, a file is a file, whatever it is called.
    with pytest.raises(InputError, match="not a zip file"):
        read_image("simplecache::zip://a.png::reference")


def test_archives_behind_other_places(folder):
    manifest_of("bucket", folder)
    manifest_of("archive", folder)
    bucket = fsspec.filesystem("memory")
    bucket.pipe("/photos.zip", (folder / "photos.zip").read_bytes())
    expected = read_image("photos/a/0.png")
    for address in ("zip://a/0.png::memory://photos.zip", "simplecache::memory://photos/a/0.png",
                    "simplecache::zip://a/0.png::photos.zip", "zip://a/0.png::simplecache::memory://photos.zip"):
        assert np.array_equal(read_image(address), expected), address
