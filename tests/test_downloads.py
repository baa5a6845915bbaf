"""Data sets from a server on this machine that also lies, from a folder of real files, by several processes at once."""
import hashlib
import io
import os
import random
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
import zipfile
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from siamese_nbdev import downloads
from siamese_nbdev.data import images_from_filenames, images_from_folder
from siamese_nbdev.downloads import Archive, Dataset, content_digest, datasets, fetch_dataset

shared = Path(__file__).resolve().parents[2] / "shared" / "data"
mirror = Path(os.environ.get("SIAMESE_NBDEV_DATA", shared))
has_mirror = pytest.mark.skipif(
    not (mirror / "omniglot").is_dir() or not (mirror / "att_faces").is_dir(),
    reason="the real archives are not here (folders omniglot and att_faces in shared/data beside the project)",
)
children = """
import sys
from siamese_nbdev.downloads import Archive, Dataset, datasets, fetch_dataset
datasets["toy"] = eval(sys.argv[1])
fetch_dataset("toy", sys.argv[2], retries=0, progress=False)
"""


def packed(files, method=zipfile.ZIP_DEFLATED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as bag:
        for path, content in files.items():
            bag.writestr(zipfile.ZipInfo(path), content, method)
    return buffer.getvalue()


def digest_of(files):
    return content_digest({path: hashlib.sha256(content).hexdigest() for path, content in files.items()})


def files_in(folder):
    files = [path for path in Path(folder).rglob("*") if path.is_file() and path.suffix != ".lock"]
    return {path.relative_to(folder).as_posix() for path in files}


def in_folder(name, files):
    "Return the same files one folder deeper, as code hosts pack a repository."
    return {f"{name}/{path}": content for path, content in files.items()}


noise = random.Random(0)
pictures = {f"{who}/{number}.png": noise.randbytes(5_000) for who in ("ann", "bob") for number in range(1, 7)}
endless = object()
good = packed(in_folder("toy-main", pictures | {"README": b"no picture"}))


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        shelf = self.server
        content = shelf.files.get(self.path.lstrip("/"))
        asked = self.headers.get("Range")
        start = int(re.fullmatch(r"bytes=(\d+)-", asked)[1]) if asked and shelf.resumes else 0
        shelf.asked.append((self.path, asked))
        time.sleep(shelf.delay)
        if content is None: return self.send_error(404)
        if content is endless: return self.pour()
        rest = content[start:]
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", len(rest))
        self.end_headers()
        sent = rest[:shelf.cut]
        shelf.sent.append((start, len(sent)))
        if shelf.drip:
            return self.drop(sent)
        self.wfile.write(sent)
        if shelf.cut:
            shelf.go_on.wait(30)  # the wire stays silent, then breaks

    def drop(self, content):
        "Send a byte at a time: the wire is never silent for long."
        for number in range(len(content)):
            self.wfile.write(content[number:number + 1])
            time.sleep(self.server.drip)

    def pour(self):
        "Send 200 MB without having said how much will come."
        self.send_response(200)
        self.end_headers()
        self.server.sent.append((0, 0))
        for number in range(3_000):
            self.wfile.write(bytes(65_536))
            self.server.sent[-1] = (0, (number + 1) * 65_536)

    def log_message(self, *_):
        "Say nothing: `asked` and `sent` have what we want to see."


class Shelf(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = {"toy.zip": good}  # what it has
        self.asked = []  # path and range of each request
        self.sent = []  # first byte and number of bytes of each answer
        self.cut = None  # break the connection after so many bytes
        self.resumes = True  # send the rest of a file where asked
        self.delay = 0  # seconds before each answer
        self.drip = 0  # seconds between two bytes
        self.go_on = threading.Event()
        self.go_on.set()
        self.address = f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, *_):
        "Say nothing: a client that hangs up is part of the play."


@pytest.fixture
def shelf(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server = Shelf()
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    archive = Archive(
        url=f"{server.address}/toy.zip",
        name="toy.zip",
        wanted=r"[^/]+/(\w+/\d\.png)",
        files=12,
        most_bytes=200_000,
        sha256=hashlib.sha256(good).hexdigest(),
    )
    monkeypatch.setitem(datasets, "toy", Dataset("the toy", (archive,), digest_of(pictures), "Toy: noise."))
    yield server
    server.go_on.set()
    server.shutdown()
    server.server_close()


def no_checksum():
    "Let the toy be packed anew on request: only its contents can be checked."
    toy = datasets["toy"]
    datasets["toy"] = replace(toy, archives=tuple(replace(archive, sha256=None) for archive in toy.archives))


def fetch(folder, **options):
    return fetch_dataset("toy", folder, **dict(retries=0, progress=False) | options)


def no_network(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("a network connection was attempted")
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def is_whole(folder):
    "Tell whether a folder holds the toy, all of it and nothing else."
    complete = files_in(folder) == set(pictures) | {"SHA256SUMS"}
    return complete and all((folder / path).read_bytes() == content for path, content in pictures.items())


def one_sentence(error, *said):
    "Check that a message is one sentence and says some things."
    text = str(error.value)
    assert "\n" not in text and text.startswith("Expected "), text
    assert all(word in text for word in said), text
    return text


def test_fetched_once(shelf, tmp_path, monkeypatch, capfd):
    folder = fetch(tmp_path)
    assert folder == tmp_path / "toy" and is_whole(folder)
    assert files_in(tmp_path) == {f"toy/{path}" for path in files_in(folder)}, "nothing else is left lying about"
    assert list(images_from_folder(folder).label.value_counts().items()) == [("ann", 6), ("bob", 6)]
    shown = capfd.readouterr()
    assert shown.out == "Toy: noise.\n" and shown.err == ""
    no_network(monkeypatch)
    assert fetch(tmp_path) == fetch(tmp_path, verify=True) == folder and shelf.asked == [("/toy.zip", None)]
    assert capfd.readouterr() == ("", "")


def test_progress_and_relative_paths(shelf, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    assert fetch_dataset("toy") == Path("data/toy")
    shown = capfd.readouterr()
    assert shown.out == "Toy: noise.\n"
    assert "toy.zip: 100%" in shown.err and "unpacking toy.zip: 100%" in shown.err
    assert str(tmp_path) not in shown.err


@pytest.mark.skipif(not shutil.which("sha256sum"), reason="no sha256sum here")
def test_sha256sum_agrees(shelf, tmp_path):
    folder = fetch(tmp_path)
    done = subprocess.run(["sha256sum", "-c", "SHA256SUMS"], cwd=folder, text=True, capture_output=True)
    assert done.returncode == 0 and done.stdout.count(": OK") == 12, done.stderr


def test_wrong_bytes(shelf, tmp_path):
    shelf.files["toy.zip"] = good[:-1] + b"?"
    with pytest.raises(ValueError) as error:
        fetch(tmp_path)
    one_sentence(error, "toy.zip", "SHA-256", "127.0.0.1")
    assert files_in(tmp_path) == set(), "nothing of it may stay"
    shelf.files["toy.zip"] = good
    assert is_whole(fetch(tmp_path)) and shelf.sent[-1] == (0, len(good))


def test_wrong_contents(shelf, tmp_path):
    no_checksum()
    changed = pictures | {"bob/6.png": b"another"}
    fewer = {path: content for path, content in pictures.items() if path != "bob/6.png"}
    for forged in (changed, fewer):
        shelf.files["toy.zip"] = packed(in_folder("toy-main", forged))
        with pytest.raises(ValueError) as error:
            fetch(tmp_path)
        one_sentence(error, "content digest", f"got {len(forged)} ")
        assert files_in(tmp_path) == set()
    other_order = dict(reversed(pictures.items()))
    shelf.files["toy.zip"] = packed(in_folder("another-name", other_order), zipfile.ZIP_STORED)
    assert is_whole(fetch(tmp_path)), "the same contents, packed otherwise, are right"


@pytest.mark.parametrize("checked", [True, False])
def test_cut_and_continued(shelf, tmp_path, checked):
    if not checked:
        no_checksum()
    shelf.cut = 20_000
    with pytest.raises(ConnectionError) as error:
        fetch(tmp_path)
    have = (tmp_path / ".toy" / "toy.zip.part").stat().st_size
    one_sentence(error, "toy.zip", f"{have:,} bytes", "call again")
    assert 10_000 < have <= 20_000 and files_in(tmp_path) == {".toy/toy.zip.part"}
    shelf.cut = None
    assert is_whole(fetch(tmp_path))
    assert shelf.asked[1] == ("/toy.zip", f"bytes={have}-")
    assert shelf.sent == [(0, 20_000), (have, len(good) - have)], "only the rest is sent"
    assert not (tmp_path / ".toy").exists()


def test_cut_and_started_over(shelf, tmp_path):
    shelf.cut = 20_000
    shelf.resumes = False
    for _ in range(2):
        with pytest.raises(ConnectionError):
            fetch(tmp_path)
    shelf.cut = None
    assert is_whole(fetch(tmp_path)) and shelf.sent[-1] == (0, len(good))


def test_cut_and_continued_at_once(shelf, tmp_path):
    shelf.cut = 40_000
    assert is_whole(fetch(tmp_path, retries=1)) and len(shelf.sent) == 2 and shelf.sent[1][0] > 0


def test_continued_with_another_file(shelf, tmp_path):
    shelf.cut = 20_000
    with pytest.raises(ConnectionError):
        fetch(tmp_path)
    shelf.cut = None
    shelf.files["toy.zip"] = bytes(len(good))
    with pytest.raises(ValueError):
        fetch(tmp_path)
    shelf.files["toy.zip"] = good
    assert is_whole(fetch(tmp_path)) and shelf.sent[-1] == (0, len(good)), "two halves of two files are not kept"


def test_not_found(shelf, tmp_path):
    del shelf.files["toy.zip"]
    with pytest.raises(FileNotFoundError) as error:
        fetch(tmp_path, retries=2)
    one_sentence(error, f"{shelf.address}/toy.zip", "404", "mirror=")
    assert files_in(tmp_path) == set() and len(shelf.asked) == 1


def test_silent_server(shelf, tmp_path):
    shelf.delay = 2
    with pytest.raises(ConnectionError) as error:
        fetch(tmp_path, timeout=0.3)
    one_sentence(error, "does not answer in time", "mirror=")


def test_unreachable_port(shelf, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        closed = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(ConnectionError) as error:
        fetch(tmp_path, mirror=closed)
    one_sentence(error, "no connection", "connect to the internet once", "mirror=")
    assert files_in(tmp_path) == set()


@pytest.mark.parametrize("name", ["omniglot", "att_faces", "person_reid"])
def test_offline(name, tmp_path, monkeypatch):
    for variable in list(os.environ):
        if variable.lower().endswith("_proxy"):
            monkeypatch.delenv(variable)

    def unknown(*_, **__):
        raise socket.gaierror(-3, "Temporary failure in name resolution")
    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(ConnectionError) as error:
        fetch_dataset(name, tmp_path)
    one_sentence(error, "no connection", "connect to the internet once", datasets[name].archives[0].name, "mirror=")
    assert files_in(tmp_path) == set()


first = next(iter(pictures))
link = zipfile.ZipInfo(f"toy/{first}")
link.external_attr = 0o120777 << 16


def with_link():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as bag:
        bag.writestr(link, "../../outside")
    return buffer.getvalue()


def with_lie(size, said):
    "Pack a member of so many bytes and let the archive announce another number."
    honest = packed({f"toy/{first}": bytes(size)})
    return honest.replace(size.to_bytes(4, "little"), said.to_bytes(4, "little"))


@pytest.mark.parametrize("archive, said", [
    (packed({f"toy/{first}": b"1", "toy/../../../escaped.png": b"2"}), "stay inside"),
    (packed({f"toy/{first}": b"1", "/escaped.png": b"2"}), "stay inside"),
    (packed({f"toy/{first}": b"1", "toy\\..\\..\\escaped.png": b"2"}), "stay inside"),
    (packed({"C:\\escaped.png": b"2"}), "stay inside"),
    (with_link(), "the link"),
    (packed({f"toy/{who}/1.png": b"1" for who in map(chr, range(97, 110))}), "at most 12 files"),
    (packed({f"toy/{first}": bytes(50_000_000)}), "at most 200,000 bytes unpacked"),
    (with_lie(size=50_000_000, said=10), "a zip file"),
    (packed({f"toy/{first}": b"1", f"other/{first}": b"2"}), "every file once"),
    (packed({"toy/README": b"1"}), "got 0 "),
    (good[:-30_000], "a zip file"),
    (b"<html>Log in to the hotel's network</html>", "a zip file"),
    (b"", "a zip file"),
])
def test_bad_archives(shelf, tmp_path, archive, said):
    no_checksum()
    shelf.files["toy.zip"] = archive
    with pytest.raises(ValueError) as error:
        fetch(tmp_path / "deep" / "data")
    one_sentence(error, said)
    assert files_in(tmp_path) == set() and not Path("/escaped.png").exists()
    shelf.files["toy.zip"] = good
    assert is_whole(fetch(tmp_path / "deep" / "data")), "the next call starts afresh"


def test_too_large_to_download(shelf, tmp_path):
    no_checksum()
    shelf.files["toy.zip"] = bytes(300_000)
    with pytest.raises(OSError) as error:
        fetch(tmp_path)
    one_sentence(error, "at most 200,000 bytes")
    assert files_in(tmp_path) == set()


def test_endless_download(shelf, tmp_path):
    no_checksum()
    shelf.files["toy.zip"] = endless
    with pytest.raises(OSError) as error:
        fetch(tmp_path)
    one_sentence(error, "at most 200,000 bytes")
    assert files_in(tmp_path) == set() and shelf.sent[0][1] < 50_000_000, "hang up instead of listening on"


def test_early_end_is_noticed(shelf, tmp_path, monkeypatch):
    "Some versions of urllib3 end quietly where a connection closes early."
    chunks = iter([good[:20_000], b""])
    monkeypatch.setattr(downloads, "read_some", lambda _: next(chunks))
    with pytest.raises(ConnectionError) as error:
        fetch(tmp_path)
    one_sentence(error, "broke after 20,000 bytes")


def test_a_server_that_drips_is_left(shelf, tmp_path):
    "A byte every half second kept a download waiting for ever."
    shelf.drip = 0.5
    before = time.monotonic()
    with pytest.raises(ConnectionError) as error:
        fetch(tmp_path, timeout=1.5, retries=2)
    assert time.monotonic() - before < 12
    one_sentence(error, "it came too slowly, and we stopped after", "call again to go on from there")
    part = tmp_path / ".toy" / "toy.zip.part"
    assert 2 <= part.stat().st_size < 20 and good.startswith(part.read_bytes())
    shelf.drip = 0
    assert is_whole(fetch(tmp_path))


def test_a_download_ends_some_time(shelf, tmp_path, monkeypatch):
    shelf.drip = 0.0001  # fast enough, yet all of it takes too long
    monkeypatch.setattr(downloads, "most_seconds", 0.5)
    before = time.monotonic()
    with pytest.raises(ConnectionError) as error:
        fetch(tmp_path, timeout=30, retries=5)
    assert time.monotonic() - before < 5
    one_sentence(error, "it came too slowly, and we stopped after")


def test_mirror_by_address(shelf, tmp_path):
    shelf.files = {"mirrors/toy.zip": good}
    assert is_whole(fetch(tmp_path, mirror=f"{shelf.address}/mirrors/"))


def test_mirror_must_be_right(shelf, tmp_path):
    (tmp_path / "mirror").mkdir()
    with pytest.raises(FileNotFoundError) as error:
        fetch(tmp_path / "data", mirror=tmp_path / "mirror")
    one_sentence(error, "toy.zip", "found none")
    (tmp_path / "mirror" / "toy.zip").write_bytes(good[:-1])
    with pytest.raises(ValueError) as error:
        fetch(tmp_path / "data", mirror=tmp_path / "mirror")
    one_sentence(error, "SHA-256")
    assert shelf.asked == [] and files_in(tmp_path / "data") == set()


def test_repair_keeps_what_is_mine(shelf, tmp_path, capfd):
    folder = fetch(tmp_path)
    (folder / "notes.txt").write_text("mine")
    (folder / first).unlink()
    capfd.readouterr()
    fetch(tmp_path)
    assert (folder / first).read_bytes() == pictures[first]
    assert (folder / "notes.txt").read_text() == "mine"
    assert capfd.readouterr().out == ""


def start(folder):
    command = [sys.executable, "-c", children, repr(datasets["toy"]), str(folder)]
    return subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_two_processes_at_once(shelf, tmp_path):
    shelf.delay = 0.5
    both = [start(tmp_path) for _ in range(2)]
    answers = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0], answers
    assert len(shelf.asked) == 1 and is_whole(tmp_path / "toy")
    waiting = f"Another program is fetching toy into {(tmp_path / 'toy').as_posix()}: waiting\n"
    assert sorted(answers) == [(waiting, ""), ("Toy: noise.\n", "")]


def test_killed_and_continued(shelf, tmp_path):
    shelf.cut = 20_000
    shelf.go_on.clear()
    process = start(tmp_path)
    part = tmp_path / ".toy" / "toy.zip.part"
    deadline = time.time() + 60
    while time.time() < deadline and not (part.exists() and part.stat().st_size > 0):
        time.sleep(0.05)
    process.kill()
    process.communicate(timeout=30)
    have = part.stat().st_size
    shelf.cut = None
    shelf.go_on.set()
    assert 0 < have < len(good) and not (tmp_path / "toy").exists()
    assert is_whole(fetch(tmp_path)) and not (tmp_path / ".toy").exists()
    assert shelf.sent[-1] == (have, len(good) - have)


@has_mirror
def test_real_omniglot(tmp_path, monkeypatch, capfd):
    no_network(monkeypatch)
    folder = fetch_dataset("omniglot", tmp_path, mirror=mirror, progress=False)
    assert "MIT" in capfd.readouterr().out
    first_set, second_set = (images_from_folder(folder / f"images_background_small{number}") for number in (1, 2))
    assert len(first_set) == 2_720 and len(second_set) == 3_120
    characters = first_set.label
    assert characters.value_counts().unique().tolist() == [20] and characters.str.split("/").str[0].nunique() == 5
    assert len(list(folder.glob("all_runs/run*/class_labels.txt"))) == 20
    assert len(list(folder.glob("all_runs/run*/t*/*.png"))) == 800
    assert fetch_dataset("omniglot", tmp_path, verify=True) == folder, "a second call needs neither mirror nor network"


@has_mirror
def test_real_faces(tmp_path, monkeypatch, capfd):
    no_network(monkeypatch)
    folder = fetch_dataset("att_faces", tmp_path, mirror=mirror, progress=False)
    faces = images_from_folder(folder)
    assert "Olivetti" in capfd.readouterr().out
    assert set(faces.label) == {f"s{number}" for number in range(1, 41)}
    assert faces.label.value_counts().unique().tolist() == [10]
    contents = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.pgm")}
    assert digest_of(contents) == "6ed153ff46fa026cdbfa0eed846b6ec0be19e006b3547ff5d19c26a082b3b97b"
    assert fetch_dataset("att_faces", tmp_path, verify=True) == folder


@has_mirror
def test_real_faces_as_their_origin_packs_them(shelf, tmp_path):
    with zipfile.ZipFile(next(mirror.rglob("att_faces.zip"))) as bag:
        names = [name for name in bag.namelist() if name.endswith(".pgm")]
        faces = {name.removeprefix("att_faces/"): bag.read(name) for name in names}
    repository = {"README.md": b"", "data/faces/training/s1/README": b""}
    for path, content in faces.items():
        part = "testing" if path.split("/")[0] in ("s5", "s6", "s7") else "training"
        repository[f"data/faces/{part}/{path}"] = content
    shelf.files["att_faces.zip"] = packed(in_folder("Facial-Similarity-f4a5352", repository))
    folder = fetch_dataset("att_faces", tmp_path, mirror=shelf.address, progress=False)
    assert len(images_from_folder(folder)) == 400 and len(files_in(folder)) == 401


def test_person_reid_as_its_origin_packs_it(shelf, tmp_path, monkeypatch, capfd):
    "The real one is not here: an archive of the same layout stands in, and the digest of its contents."
    names = [f"{who:04d}_c{camera}s1_000451_03.jpg" for who in (2, 7) for camera in (1, 3)]
    files = {"train.csv": b"Anchor,Negative,Positive\n"} | {f"train/{name}": noise.randbytes(300) for name in names}
    repository = files | {"train/Thumbs.db": b"", "README.md": b""}
    shelf.files["person_reid.zip"] = packed(in_folder("Person-Re-Id-Dataset-31e2c4c", repository))
    monkeypatch.setitem(datasets, "person_reid", replace(datasets["person_reid"], digest=digest_of(files)))
    folder = fetch_dataset("person_reid", tmp_path, mirror=shelf.address, progress=False)
    people = images_from_filenames(folder / "train")
    assert files_in(folder) == set(files) | {"SHA256SUMS"}
    assert people.label.tolist() == ["0002", "0002", "0007", "0007"] and people.camera.tolist() == ["1", "3", "1", "3"]
    assert "no licence given" in capfd.readouterr().out


def test_unknown_name():
    for name in ("mnist", None, ["omniglot"]):
        with pytest.raises(ValueError) as error:
            fetch_dataset(name)
        one_sentence(error, "omniglot, att_faces, person_reid")
