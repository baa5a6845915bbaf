"The server behind the page: what it answers, whom it refuses, what an upload may be, and what a kill leaves."
import asyncio
import base64
import hashlib
import io
import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from serving import make_run, people, photo

from siamese_nbdev.checks import InputError
from siamese_nbdev.cli import main
from siamese_nbdev.model import load_model
from siamese_nbdev.retrieval import Index
from siamese_nbdev.serve import create_app, open_gallery
from siamese_nbdev.server import (
    Refusal,
    name_for_others,
    need_packages,
    page_script,
    page_style,
    prompt_protocol,
    read_there,
    whole_page,
    without_paths,
)
from siamese_nbdev.verification import load_threshold

pytest.importorskip("fastapi", reason='needs the extra: pip install "siamese-nbdev[serve]"')
from starlette.testclient import TestClient  # noqa: E402

top = Path(__file__).resolve().parent.parent
secret = "a token of the tests"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    "A run that nobody changes."
    return make_run(tmp_path_factory.mktemp("made"))


@pytest.fixture(scope="module")
def asked(made):
    "A client of a server of that run, for questions."
    with client_of(made) as client:
        yield client


@pytest.fixture
def run(made, tmp_path):
    "A copy of the run, to be changed."
    shutil.copytree(made.parent, tmp_path / "copy")
    return tmp_path / "copy" / made.name


def client_of(run, **options):
    "Serve a run without a socket, called as a browser would call it."
    return TestClient(create_app(run, **options), base_url="http://127.0.0.1:8000", client=("127.0.0.1", 1))


def search(client, *contents, **form):
    "Ask with pictures."
    files = [("images", (f"{number}.png", content)) for number, content in enumerate(contents)]
    return client.post("/search", files=files, data=form)


def add(client, content, name="photo.png", **known):
    "Add a picture."
    return client.post("/images", files=dict(image=(name, content)), data=dict(columns=json.dumps(known)))


def refusal(answer, status=400):
    "Return the sentence of a refusal, which says nothing of this machine."
    assert answer.status_code == status, answer.text
    detail = answer.json()["detail"]
    assert list(answer.json()) == ["detail"] and "Traceback" not in detail and "/" not in detail.replace("Bearer", "")
    return detail


# ---------------------------------------------------------------- the page and its headers


def test_the_page_loads_nothing_from_elsewhere(asked):
    answer = asked.get("/")
    assert answer.status_code == 200 and answer.text == whole_page()
    addresses = re.findall(r"[a-z]+://[^\s\"'`)]+|url\(|@import|//[a-z]+\.[a-z]+", answer.text)
    assert addresses == []
    policy = answer.headers["content-security-policy"]
    for text, kind in ((page_style, "style"), (page_script, "script")):
        hashed = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{hashed}'" in policy
        assert f"<{kind}>{text}</{kind}>" in answer.text
    assert "default-src 'none'" in policy and "http" not in policy and "unsafe" not in policy
    assert not re.search(r"\son[a-z]+=|\sstyle=", answer.text.replace(page_script, ""))  # a policy would stop them


def test_every_answer_has_its_headers(asked):
    for path in ("/", "/health", "/about", "/images", "/images/nothing", "/nothing", "/openapi.json"):
        headers = asked.get(path).headers
        assert headers["x-content-type-options"] == "nosniff" and headers["referrer-policy"] == "no-referrer"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["cache-control"] == "no-store" and "access-control-allow-origin" not in headers


def test_the_interface_describes_itself(asked):
    paths = asked.get("/openapi.json").json()["paths"]
    expected = {"/health", "/about", "/search", "/verify", "/images", "/images/{name}", "/images/{name}/restore"}
    assert set(paths) == expected
    assert set(paths["/images"]) == {"get", "post"} and set(paths["/images/{name}"]) == {"get", "delete"}
    assert asked.get("/docs").status_code == 404  # its page would load from elsewhere


# ---------------------------------------------------------------- questions


def test_a_search_is_that_of_the_index(asked, made):
    answer = search(asked, photo("ann", 9), photo("zoe"), top_k="24")
    assert answer.status_code == 200, answer.text
    found = answer.json()
    pictures = [np.asarray(Image.open(io.BytesIO(photo(name, shot)))) for name, shot in (("ann", 9), ("zoe", 0))]
    hits = Index.load(made).search(pictures, model=load_model(made / "model"), top_k=24)
    for query, (_, table) in zip(found["queries"], hits.groupby("query", sort=False), strict=True):
        assert [hit["label"] for hit in query["hits"]] == table["label"].tolist()
        assert [hit["name"] for hit in query["hits"]] == [Path(path).name for path in table["path"]]
        np.testing.assert_allclose([hit["distance"] for hit in query["hits"]], table["distance"], atol=1e-5)
    limit = asked.get("/about").json()["limits"][0]["distance"]
    near = [[hit["label"] for hit in query["hits"] if hit["distance"] <= limit] for query in found["queries"]]
    assert near == [["ann"] * 4, []]
    assert found["searched"] == 24 and found["took"]["embedding"] > 0


def test_no_answer_holds_a_path(asked, made):
    texts = [search(asked, photo()).text, asked.get("/images").text, asked.get("/about").text]
    for text in texts:
        assert str(made.parent) not in text and "photos" not in text
        assert not re.search(r"[\w.]/[\w.]", text)


def test_filters(asked):
    where = json.dumps(dict(camera=["2"]))
    hits = search(asked, photo(), where=where, top_k="50").json()["queries"][0]["hits"]
    assert len(hits) == 12 and {hit["camera"] for hit in hits} == {"2"}
    listed = asked.get("/images", params=dict(where=where, count=5)).json()
    assert listed["count"] == 12 and len(listed["images"]) == 5
    assert "one of" in refusal(search(asked, photo(), where=json.dumps(dict(path="a.png"))))
    assert "JSON" in refusal(search(asked, photo(), where="[" * 5000))
    assert "JSON" in refusal(search(asked, photo(), where='["camera"]'))
    refusal(search(asked, photo(), where=json.dumps(dict(camera=["9"]))))
    assert "top_k" in refusal(search(asked, photo(), top_k="0"), 422)


def test_verify_and_its_map(asked):
    answer = asked.post("/verify", files=dict(first=photo("ann", 9), second=photo("ann", 8))).json()
    assert answer["is_same"] is True and "at most the threshold" in answer["words"]
    assert "95 % interval 0.20% to 3.00%" in answer["rates"]
    shares = np.array(answer["map"]["shares"])
    assert abs(shares.sum() - answer["map"]["similarity"]) < 1e-3
    assert abs(answer["distance"] ** 2 - (2 - 2 * answer["map"]["similarity"])) < 1e-3
    np.testing.assert_allclose(shares.sum(axis=(2, 3)), answer["map"]["values"][0], atol=1e-4)
    assert asked.post("/verify", files=dict(first=photo("ann"), second=photo("zoe"))).json()["is_same"] is False
    own = search(asked, photo("bob")).json()["queries"][0]["hits"][0]
    named = asked.post("/verify", files=dict(first=photo("bob")), data=dict(second_id=own["id"])).json()
    assert named["is_same"] is True and named["distance"] < 1e-3
    strict = asked.post("/verify", files=dict(first=photo(), second=photo("ann", 8)), data=dict(threshold="0")).json()
    assert strict["is_same"] is False and not strict["rates"]
    assert "Expected two pictures" in refusal(asked.post("/verify", files=dict(first=photo())))
    refusal(asked.post("/verify", files=dict(first=photo()), data=dict(second_id="other")), 404)


def test_pictures_are_shown_by_id_alone(asked, made):
    entry = asked.get("/images").json()["images"][0]
    answer = asked.get(f"/images/{entry['id']}")
    assert answer.headers["content-type"] == "image/jpeg"
    assert Image.open(io.BytesIO(answer.content)).format == "JPEG"
    inside = next((made.parent / "photos").rglob("*.png"))
    climbing = ["..%2f..%2fetc%2fpasswd", "%2fetc%2fpasswd", str(inside).replace("/", "%2f")]
    for name in [*climbing, "0" * 24, "%00", "a" * 5000]:
        assert asked.get(f"/images/{name}").status_code == 404
        assert asked.delete(f"/images/{name}").status_code == 404
    assert asked.get("/images/../../etc/passwd").status_code == 404


def test_metadata_of_a_file_stays_here(run):
    exif = Image.Exif()
    exif[0x010E] = "taken at home"
    with client_of(run) as client:
        name = add(client, photo("gus", kind="JPEG", exif=exif)).json()["id"]
        assert b"taken at home" in next((run / "added").iterdir()).read_bytes()
        assert b"taken at home" not in client.get(f"/images/{name}").content


# ---------------------------------------------------------------- a collection that changes


def test_add_remove_and_put_back(run):
    with client_of(run) as client:
        answer = add(client, photo("gus"), label="gus", camera="2")
        assert answer.json()["images"] == 25 and not answer.json()["is_replaced"]
        assert add(client, photo("gus"), label="gus").json() == answer.json() | dict(is_replaced=True)
        hit = search(client, photo("gus", 1)).json()["queries"][0]["hits"][0]
        assert (hit["label"], hit["id"]) == ("gus", answer.json()["id"])
        assert client.get("/images").json()["images"][0]["id"] == hit["id"]  # the newest first
        with open_gallery(run) as other:
            assert len(other) == 25
        assert client.delete(f"/images/{hit['id']}").json() == dict(images=24)
        refusal(client.delete(f"/images/{hit['id']}"), 404)
        refusal(client.get(f"/images/{hit['id']}"), 404)
        assert client.post(f"/images/{hit['id']}/restore").json() == dict(images=25)
        refusal(client.post(f"/images/{hit['id']}/restore"), 404)
        assert search(client, photo("gus")).json()["queries"][0]["hits"][0]["label"] == "gus"
        assert client.get(f"/images/{hit['id']}").status_code == 200


def test_only_files_that_the_server_wrote_are_deleted(run):
    with client_of(run) as client:
        added = add(client, photo("gus")).json()["id"]
        own = client.get("/images", params=dict(start=1)).json()["images"][0]["id"]
        for name in (added, own):
            assert client.delete(f"/images/{name}").status_code == 200
        assert len(list((run / "added").iterdir())) == 1  # as long as it can be put back
    assert list((run / "added").iterdir()) == []
    assert len(list((run.parent / "photos").rglob("*.png"))) == 24
    with open_gallery(run) as gallery:
        assert len(gallery) == 23


def test_pictures_of_the_owner_in_the_folder_of_additions_stay(run):
    "Somebody names a folder of pictures as the one that additions go to."
    photos = next(path for path in (run.parent / "photos").iterdir() if path.is_dir())
    before = {file.name: file.read_bytes() for file in photos.iterdir()}
    with client_of(run, added=photos) as client:
        listed = client.get("/images", params=dict(count=100)).json()["images"]
        for each in listed:
            assert client.delete(f"/images/{each['id']}").status_code == 200
    assert {file.name: file.read_bytes() for file in photos.iterdir()} == before


def test_what_was_known_of_a_picture_is_kept(run):
    with client_of(run) as client:
        name = add(client, photo("gus"), label="gus", camera="2").json()["id"]
        assert add(client, photo("gus"), camera="3").json()["is_replaced"]
        row, = [each for each in client.get("/images").json()["images"] if each["id"] == name]
        assert (row["label"], row["camera"]) == ("gus", "3")


def test_what_is_known_of_an_addition_is_checked(run):
    with client_of(run) as client:
        assert "one of" in refusal(add(client, photo("gus"), path="elsewhere"))
        assert "at most 200" in refusal(add(client, photo("gus"), label="x" * 201))
        assert "in one line" in refusal(add(client, photo("gus"), label="a\nb"))
        assert "JSON" in refusal(client.post("/images", files=dict(image=photo()), data=dict(columns="{")))
        assert not (run / "added").exists()
        assert client.get("/about").json()["images"] == 24


def test_an_addition_that_fails_leaves_nothing(run, monkeypatch):
    with client_of(run) as client:
        monkeypatch.setattr("siamese_nbdev.stores.Gallery.add", lambda *_: (_ for _ in ()).throw(OSError(28, "full")))
        answer = add(client, photo("gus"))
        assert answer.status_code == 500 and "log of the server" in answer.json()["detail"]
        assert list((run / "added").iterdir()) == []


def test_read_only(made):
    with client_of(made, read_only=True) as client:
        name = client.get("/images").json()["images"][0]["id"]
        assert add(client, photo("gus")).status_code == 405
        assert client.delete(f"/images/{name}").status_code == 405
        assert client.post(f"/images/{name}/restore").status_code == 404
        about = client.get("/about").json()
        assert about["is_read_only"] and not about["can_add"] and about["images"] == 24


def test_a_file_that_is_gone_is_said_without_its_path(tmp_path):
    with client_of(make_run(tmp_path, images=1)) as client:
        name = client.get("/images").json()["images"][0]["id"]
        shutil.rmtree(tmp_path / "photos")
        assert "whose file is gone" in refusal(client.get(f"/images/{name}"), 404)
        gone = client.post("/verify", files=dict(first=photo()), data=dict(second_id=name))
        assert "whose file is gone" in refusal(gone, 404)


def test_a_damaged_file_is_said_without_its_name(tmp_path):
    folder = tmp_path / "Anna Schmidt (HIV), 5"
    with client_of(make_run(folder, images=1)) as client:
        name = client.get("/images").json()["images"][0]["id"]
        for file in (folder / "photos").rglob("*.png"):
            file.write_bytes(b"no picture")
        for answer in (client.get(f"/images/{name}"),
                       client.post("/verify", files=dict(first=photo()), data=dict(second_id=name))):
            words = refusal(answer, 422)
            assert "take it out" in words and "HIV" not in words, words


def test_a_file_with_blanks_and_signs_in_its_name(tmp_path, monkeypatch):
    path = tmp_path / "Anna Schmidt (HIV).jpg"
    path.write_bytes(b"no picture")
    with pytest.raises(Refusal) as caught:
        read_there(path)
    assert caught.value.status == 422 and "Anna" not in str(caught.value) and "HIV" not in str(caught.value)


def test_long_sentences_take_no_time():
    started = time.perf_counter()
    for words in ("a" * 1_000_000, "a/" * 500_000, "." * 1_000_000, "C:" * 500_000):
        assert len(without_paths(words)) <= 2000
    assert time.perf_counter() - started < 5


def test_the_folder_of_a_backbone_is_named_to_nobody():
    for name in ("local-dir:/srv/ann/nets/x", "Local-Dir:nets", "/srv/ann/x", r"C:\Users\ann\x", "timm/ann"):
        assert name_for_others(name) == "a network of its own"
    for name in ("tf_efficientnet_lite0", "hf-hub:timm/resnet18.a1_in1k", "own:Pyramid", "an encoder"):
        assert name_for_others(name) == name


def test_about_names_no_folder(made):
    network = load_model(made / "model")
    with client_of(made, model=network) as client:
        network.config["backbone"] = "local-dir:/srv/ann/nets/x"
        answer = client.get("/about")
    assert "nets" not in answer.text and answer.json()["network"]["name"] == "a network of its own"


# ---------------------------------------------------------------- hostile uploads


def bomb(width=60_000, height=60_000):
    "Return a PNG of few bytes that declares billions of points."
    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


hostile = {
    "nothing": b"",
    "a bomb": bomb(),
    "a long bomb": bomb(2_000_000_000, 1),
    "cut short": photo()[:500],
    "a JPEG cut short": photo(kind="JPEG")[:300],
    "SVG": b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>',
    "HTML": b"<html><script>alert(1)</script></html>",
    "a program": b"\x7fELF" + bytes(100),
    "EPS": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n",
    "a zip": b"PK\x03\x04" + bytes(100),
    "TIFF of nothing": b"II*\0\x08\0\0\0\0\0",
    "an icon with a bomb": b"\0\0\1\0\1\0" + struct.pack("<4BHHLL", 16, 16, 0, 0, 1, 32, 1000, 22) + bomb(9_000, 9_000),
}


@pytest.mark.parametrize("content", hostile.values(), ids=hostile)
def test_hostile_uploads_are_refused(asked, made, content):
    for answer in (
        search(asked, content),
        search(asked, photo(), content),
        asked.post("/verify", files=dict(first=photo(), second=("b.png", content))),
        add(asked, content),
    ):
        assert "Expected" in refusal(answer)
    assert not (made / "added").exists() or not any((made / "added").iterdir())


def test_names_of_uploads_mean_nothing(run):
    names = ["../../evil.png", "/etc/passwd", "..\\evil.png", "a\0b.png", "x" * 3000, "evil.php"]
    with client_of(run) as client:
        for shot, name in enumerate(names):
            answer = add(client, photo("gus", shot), name)
            assert answer.status_code == 200 and "evil" not in answer.text, answer.text
    files = sorted((run / "added").iterdir())
    assert len(files) == len(names) and all(re.fullmatch(r"[0-9a-f]{32}\.png", file.name) for file in files)
    assert not list(run.parent.rglob("*evil*"))


def test_limits_of_a_request(made):
    with client_of(made, max_bytes=100_000, max_pixels=5_000) as client:
        assert search(client, photo(kind="JPEG")[:50]).status_code == 400
        assert client.get("/about").json()["bounds"] == dict(max_bytes=100_000, max_pixels=5_000, pictures=8)
        small = io.BytesIO()
        Image.new("RGB", (60, 60)).save(small, "PNG")
        assert search(client, small.getvalue()).status_code == 200
        assert "60 x 60" not in refusal(search(client, bomb(100, 60)))
        assert "more than 5,000" in refusal(search(client, bomb(100, 60)))
        assert "1 to 8 pictures" in refusal(search(client, *[small.getvalue()] * 9))
        assert "at most 100,000 bytes" in refusal(search(client, small.getvalue() + bytes(100_000)))
        assert "at most 300,000 bytes" in refusal(search(client, small.getvalue() + bytes(400_000)), 413)


# ---------------------------------------------------------------- strangers


def test_other_names_and_other_sites_are_refused(asked):
    assert refusal(asked.get("/about", headers=dict(host="evil.example.org")), 421)
    assert refusal(asked.get("/about", headers={"sec-fetch-site": "cross-site"}), 403)
    elsewhere = dict(origin="http://evil.example.org")
    assert asked.post("/search", files=dict(images=photo()), headers=elsewhere).status_code == 403
    assert asked.delete("/images/nothing", headers={"sec-fetch-site": "same-site"}).status_code == 403
    own = dict(origin="http://127.0.0.1:8000")
    assert asked.post("/search", files=dict(images=photo()), headers=own).status_code == 200
    assert asked.options("/search", headers=elsewhere | {"access-control-request-method": "POST"}).status_code == 403


def test_others_need_the_token(made):
    app = create_app(made, token=secret, names=("photos.example.org",))
    with TestClient(app, base_url="http://photos.example.org", client=("192.168.1.7", 1)) as client:
        for path in ("/", "/health", "/icon.svg", "/openapi.json"):
            assert client.get(path).status_code == 200
        for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": f"Basic {secret}"}):
            assert client.get("/about", headers=headers).status_code == 401
            assert client.post("/search", files=dict(images=photo()), headers=headers).status_code == 401
            assert client.get("/images", headers=headers, params=dict(token=secret)).status_code == 401
        assert client.get("/about", headers={"authorization": f"Bearer {secret}"}).status_code == 200
        assert client.cookies == {} and secret not in client.get("/").text
    with TestClient(create_app(made), base_url="http://192.168.1.2", client=("192.168.1.7", 1)) as client:
        assert "start the server with a token" in refusal(client.get("/about"), 403)


# ---------------------------------------------------------------- starting


def serve_command(*words):
    "Run the command in a process of its own."
    code = "import sys; from siamese_nbdev.cli import main; sys.argv[0] = 'siamese-nbdev'; main()"
    return [sys.executable, "-c", code, "serve", *map(str, words)]


def test_a_start_that_is_refused_is_one_line(made, tmp_path, monkeypatch, capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        cases = {
            "Expected a token to listen on 0.0.0.0": [made, "--host", "0.0.0.0"],
            "at least 16": [made, "--host", "0.0.0.0", "--token", "short"],
            "choose another with --port": [made, "--port", taken.getsockname()[1]],
            "Expected an embedding set": [tmp_path],
        }
        for words, arguments in cases.items():
            monkeypatch.setattr(sys, "argv", ["siamese-nbdev", "serve", *map(str, arguments)])
            with pytest.raises(SystemExit) as end:
                main()
            out, errors = capsys.readouterr()
            assert end.value.code == 2 and words in errors and not out
            assert len(errors.strip().splitlines()) == 1


def test_without_the_extra_it_says_what_to_install(made, monkeypatch):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(InputError, match=r'pip install "siamese-nbdev\[serve\]"'):
        need_packages()
    with pytest.raises(InputError, match="uvicorn"):
        create_app(made)


def test_another_network_is_refused(made, tmp_path):
    shutil.copytree(made.parent, tmp_path / "copy")
    run = tmp_path / "copy" / made.name
    meta = json.loads((run / "index" / "meta.json").read_text())
    assert meta["model_id"]
    other = make_run(tmp_path / "other", images=2)
    network = load_model(other / "model")
    for values in network.parameters():
        values.data += 0.01
    with pytest.raises(InputError):
        create_app(run, model=network)


def test_an_empty_collection_can_be_filled(tmp_path, made):
    gallery = open_gallery(tmp_path / "gallery")
    with client_of(gallery, model=load_model(made / "model"), added=tmp_path / "added") as client:
        assert client.get("/about").json()["images"] == 0
        assert search(client, photo()).json()["queries"] == [dict(hits=[])]
        assert client.get("/images").json() == dict(images=[], count=0)
        name = add(client, photo("ann"), label="ann").json()["id"]
        assert search(client, photo("ann", 1)).json()["queries"][0]["hits"][0]["label"] == "ann"
        assert client.delete(f"/images/{name}").json() == dict(images=0)
        assert client.post(f"/images/{name}/restore").json() == dict(images=1)


class Exported:
    "What stands in for a network that was exported: it embeds bytes, without torch."
    normalize = True
    config = dict(backbone="exported")

    def __init__(self, network, threshold):
        self.network = network.eval()
        self.image_size = network.image_size
        self.threshold = threshold

    def model_id(self):
        return self.network.model_id()

    def embed(self, images):
        with torch.inference_mode():
            return self.network(torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255).numpy()


def test_an_encoder_answers_as_the_network_does(made, asked):
    network = load_model(made / "model")
    with client_of(made, model=Exported(network, load_threshold(made / "model")), read_only=True) as client:
        assert client.get("/about").json()["network"]["name"] == "exported"
        own, other = (search(one, photo("ann", 9)).json()["queries"][0]["hits"] for one in (client, asked))
        assert [hit["name"] for hit in own] == [hit["name"] for hit in other]
        np.testing.assert_allclose([hit["distance"] for hit in own], [hit["distance"] for hit in other], atol=1e-5)
        pair = client.post("/verify", files=dict(first=photo("ann", 9), second=photo("ann"))).json()
        assert pair["is_same"] and pair["map"] is None and "exported" in pair["why_no_map"]


# ---------------------------------------------------------------- a real server


class Served:
    "A server in a process of its own."
    def __init__(self, run, *words):
        self.process = subprocess.Popen(
            serve_command(run, "--port", 0, *words),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | dict(PYTHONPATH=os.pathsep.join([str(top), os.environ.get("PYTHONPATH", "")])),
        )
        line = self.process.stdout.readline()
        found = re.search(r"http://\S+(?= in a browser)", line)
        assert found, self.process.communicate()
        self.address = found[0]

    def __enter__(self):
        for _ in range(200):
            try:
                httpx.get(f"{self.address}/health").raise_for_status()
                return self
            except httpx.HTTPError:
                time.sleep(0.1)
        raise AssertionError("the server does not answer")

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()

    def memory(self):
        "Return megabytes that the server holds."
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024


async def nothing(scope, receive, send):
    "Answer with nothing, but not at once."
    await asyncio.sleep(0.5)
    await send(dict(type="http.response.start", status=204, headers=[]))
    await send(dict(type="http.response.body", body=b""))


def test_connections_that_say_nothing_are_closed():
    import uvicorn

    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(nothing, lifespan="off", log_level="error", http=prompt_protocol(0.3))
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs=dict(sockets=[listening]), daemon=True)
    thread.start()
    whole = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    try:
        for said in (b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: a\r\n"):
            with socket.create_connection(listening.getsockname(), timeout=10) as silent:
                silent.sendall(said)
                assert silent.recv(100) == b"", said
        with socket.create_connection(listening.getsockname(), timeout=10) as asking:
            for _ in range(2):  # an answer may take longer than the head of a request
                asking.sendall(whole[:9])
                time.sleep(0.05)
                asking.sendall(whole[9:])
                assert asking.recv(100).startswith(b"HTTP/1.1 204")
            asking.sendall(whole[:9])
            assert asking.recv(100) == b""
    finally:
        server.should_exit = True
        thread.join()


@pytest.mark.slow
def test_ctrl_c_ends_it_with_one_line(made):
    with Served(made) as served:
        assert httpx.post(f"{served.address}/search", files=dict(images=photo())).status_code == 200
        served.process.send_signal(signal.SIGINT)
        out, errors = served.process.communicate(timeout=20)
    assert served.process.returncode == 130
    assert errors.strip().count("\n") == 0 and "stopped" in errors


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads memory as Linux tells it")
def test_two_hundred_at_once(made):
    with Served(made) as served:
        search_at(served, photo("ann"))
        before = served.memory()
        padding = bytes(3_000_000)  # behind the end of a picture, as some cameras leave it
        with ThreadPoolExecutor(200) as pool:
            names = [people[number % 6] for number in range(200)]
            answers = list(pool.map(lambda name: search_at(served, photo(name) + padding), names))
        statuses = [answer.status_code for answer in answers]
        assert set(statuses) <= {200, 503} and statuses.count(200) >= 32, statuses
        for name, answer in zip(names, answers, strict=True):
            if answer.status_code == 200:
                assert answer.json()["queries"][0]["hits"][0]["label"] == name
            else:
                assert int(answer.headers["retry-after"]) >= 1 and "ask again" in answer.json()["detail"]
        assert served.memory() - before < 300  # they were 600 MB
        with ThreadPoolExecutor(200) as pool:  # and with patience, everybody is answered
            assert all(pool.map(lambda name: patient(served, name), names))


def search_at(served, content):
    "Ask a server."
    return httpx.post(f"{served.address}/search", files=dict(images=("a.png", content)), timeout=60)


def patient(served, name):
    "Ask until there is an answer, as the page does."
    for attempt in range(60):
        answer = search_at(served, photo(name))
        if answer.status_code == 200:
            return answer.json()["queries"][0]["hits"][0]["label"] == name
        time.sleep(0.2 + 0.1 * (attempt % 5))
    return False


@pytest.mark.slow
def test_hostile_connections(made):
    with Served(made) as served:
        port = int(served.address.rsplit(":", 1)[1])
        for request in (
            b"GET /about HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Large: " + b"a" * 5_000_000,
            b"GET /about HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: evil.example.org\r\n\r\n",
            b"POST /search HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 99999999999\r\n\r\n",
            b"POST /search HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: -1\r\n\r\n",
            b"\x16\x03\x01 no HTTP at all\r\n\r\n",
        ):
            with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
                try:
                    connection.sendall(request)
                    head = connection.recv(100)
                except OSError:  # it hung up
                    continue
                assert not head or re.match(rb"HTTP/1.1 4\d\d", head), head
        slow = []  # callers that begin and do not go on
        for _ in range(20):
            connection = socket.create_connection(("127.0.0.1", port), timeout=10)
            connection.sendall(b"POST /search HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n\r\nabc")
            slow.append(connection)
        assert search_at(served, photo("ann")).status_code == 200
        for connection in slow:
            connection.close()
        assert httpx.get(f"{served.address}/health").json() == dict(status="ok")


@pytest.mark.slow
def test_a_kill_in_the_middle_of_an_addition(run):
    acknowledged = {}
    for attempt in range(5):
        with Served(run) as served:
            shots = range(100 * attempt, 100 * attempt + 100)
            adding = threading.Thread(target=add_until_killed, args=(served, shots, acknowledged))
            adding.start()
            time.sleep(0.7 + 0.31 * attempt)
            served.process.kill()
            adding.join()
        with open_gallery(run) as gallery:  # whole, and with everything that was acknowledged
            whole = gallery.read()
            stems = {Path(path).stem for path in whole.manifest["path"]}
            assert set(acknowledged) <= stems
            assert len(whole) == len(gallery) <= 24 + len(acknowledged) + attempt + 1
            assert np.isfinite(whole.vectors).all()
            assert all(Path(gallery.root, path).is_file() for path in whole.manifest["path"])
    assert len(acknowledged) >= 5
    frame = pd.DataFrame(dict(file=list(acknowledged), label=list(acknowledged.values())))
    labels = dict(zip((Path(path).stem for path in whole.manifest["path"]), whole.manifest["label"], strict=True))
    assert all(labels[row["file"]] == row["label"] for row in frame.to_dict("records"))


def add_until_killed(served, shots, acknowledged):
    "Add pictures one after the other, and note those that the server said it has."
    for shot in shots:
        content = photo("gus", shot)
        form = dict(columns=json.dumps(dict(label=f"gus {shot}")))
        try:
            answer = httpx.post(f"{served.address}/images", files=dict(image=content), data=form, timeout=20)
        except httpx.HTTPError:
            return
        if answer.status_code == 200:
            acknowledged[hashlib.sha256(content).hexdigest()[:32]] = f"gus {shot}"
