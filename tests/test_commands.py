"""The command on real photographs, and without a network."""
import json
import os
import signal
import subprocess
import sys
import time
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from drawing import draw
from PIL import Image

from siamese_nbdev.cli import main, name_of
from siamese_nbdev.pipeline import Plan

top = Path(__file__).resolve().parent.parent
shared = Path(os.environ.get("SIAMESE_NBDEV_DATA", top.parent / "shared" / "data"))
faces = shared / "att_faces" / "att_faces.zip"
offline = """
import socket
import sys

def refuse(self, address):
    if self.family != getattr(socket, "AF_UNIX", None):
        raise AssertionError(f"a network connection was attempted: {address}")

def refuse_names(*arguments, **options):
    raise AssertionError(f"a name was looked up: {arguments}")

socket.socket.connect = refuse
socket.getaddrinfo = refuse_names
from siamese_nbdev.cli import main
sys.argv = ["siamese-nbdev", *sys.argv[1:]]
main()
"""


def command(*arguments, **options):
    "Run siamese-nbdev in a process of its own that may not touch the network."
    words = [sys.executable, "-c", offline, *map(str, arguments)]
    return subprocess.run(words, text=True, capture_output=True, timeout=600, **options)


no_faces = f"the AT&T faces are not here ({faces.name} in the folder shared beside the project)"


@pytest.mark.slow
@pytest.mark.skipif(not faces.exists(), reason=no_faces)
def test_run_on_real_photographs(tmp_path):
    out = tmp_path / "out"
    with zipfile.ZipFile(faces) as archive:
        half = [name for name in archive.namelist() if Path(name).parent.name in {f"s{n}" for n in range(1, 21)}]
        archive.extractall(tmp_path / "faces", half)
    done = command("run", tmp_path / "faces", "--epochs", 2, "--folds", 2, "--out", out, "--no-report")
    assert done.returncode == 0, done.stderr[-2000:]
    assert "120 images of 12 identities to train on, 40 of 4 to choose by, 40 of 4 to test on" in done.stdout
    assert "2 epochs at 96 x 96: about" in done.stdout
    assert "cross-validation, 16 identities set aside once each: about" in done.stdout
    figures = done.stdout.count("points of mAP (95 % interval")
    assert figures == 4  # of two recipes, in the advice, and on test
    scores = json.loads((out / "metrics.json").read_text())
    assert scores["trained"]["rank_1"]["value"] > 0.8
    assert scores["frozen"]["rank_1"]["value"] > 0.5
    for name in ("model/model.safetensors", "embeddings/vectors.npy", "history.csv", "closest.png"):
        assert (out / name).stat().st_size > 0
    photo = next((tmp_path / "faces").rglob("*.pgm"))
    found = command("search", photo, "--index", out, "--top-k", 3, "--json", "--all")
    assert found.returncode == 0, found.stderr
    assert len(json.loads(found.stdout)) == 3
    index = (out / "index" / "manifest.csv").read_text()
    assert len(index.splitlines()) == 201 and str(photo) in index  # everything can be found, not only the test images


def test_a_folder_that_is_not_here(tmp_path):
    done = command("run", tmp_path / "nowhere")
    assert done.returncode == 2 and len(done.stderr.strip().splitlines()) == 1 and "nowhere" in done.stderr


without_nbdev = """
import sys
import time
sys.modules["nbdev"] = sys.modules["fastcore"] = sys.modules["IPython"] = None
import torch
from siamese_nbdev.loss import TripletLoss
from siamese_nbdev.model import SiameseNet
model = SiameseNet("test_efficientnet", pretrained=False, image_size=(64, 32), embedding_size=8)
TripletLoss()(model(torch.rand(8, 3, 64, 32)), torch.arange(4).repeat(2)).backward()
print("trained")
"""


@pytest.mark.slow  # by default, `tools/check.py imports` imports every module without nbdev
def test_package_works_without_nbdev():
    words = [sys.executable, "-c", without_nbdev]
    done = subprocess.run(words, text=True, capture_output=True, env={**os.environ, "PYTHONPATH": str(top)})
    assert done.stdout.strip() == "trained", done.stderr


short = ["--epochs", 1, "--image-size", 64, 64]
quick = [*short, "--folds", 0, "--no-report"]


@pytest.fixture
def here(tmp_path, monkeypatch):
    "Work in an empty folder, as the command line does."
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def shell(monkeypatch, capsys):
    "Call the command in this process; returns its exit status, what it printed, and its errors."
    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["siamese-nbdev", *map(str, arguments)])
        with warnings.catch_warnings():
            try:
                main()
                status = 0
            except SystemExit as stop:
                status = stop.code or 0
        said = capsys.readouterr()
        return status, said.out, said.err
    return call


def test_names_of_runs(here, shell):
    "Folders that differ behind a dot get two runs, and folders are called as they like."
    for name in ("my photos.v1", "my photos.v2"):
        draw(name, ["A$^$B", "<b>", "漢字", "d"])
        status, text, errors = shell("run", name, *quick)
        assert status == 0 and Path("runs", name, "metrics.json").exists(), errors
        assert f"--index 'runs/{name}'" in text
    Path("t.v2.csv").write_text("path,label\n")
    assert [name_of(Path(name)) for name in ("t.v2.csv", "a/..", "/", ".")] == ["t.v2", here.name, "root", here.name]
    # A call that fails leaves the earlier run where it is.
    status, _, errors = shell("run", "nowhere", "--out", "runs/my photos.v2")
    assert (status, Path("runs/my photos.v2").exists(), Path("runs/my photos.v2.1").exists()) == (2, True, False)


def test_run_twice_in_a_folder(here, shell, monkeypatch):
    "What we wrote and drew is no picture; the results never go where the images are."
    draw("photos", "abcd")
    monkeypatch.chdir("photos")
    run = Path("runs", "photos")
    listed = []
    for _ in range(2):
        status, text, errors = shell("run", ".", *quick)
        assert status == 0, errors
        listed.append(pd.read_csv(run / "images.csv")["path"].tolist())
        status, _, errors_of_search = shell("search", "d/0.png", "--index", run, "--picture", "d/found.png", "--all")
        assert status == 0 and Path("d/found.png").exists(), errors_of_search
    assert listed[0] == listed[1] and len(listed[0]) == 8
    assert errors.count("Left out 1 picture that a search or a run drew") == 1
    assert errors.count("folders of our own results") == 1
    status, text, errors = shell("run", ".", "--out", "d/result", *quick)
    assert status == 0 and pd.read_csv("d/result/images.csv")["path"].tolist() == listed[0], errors
    for place in (".", "..", "d/../"):
        status, _, errors = shell("run", ".", "--out", place)
        assert status == 2 and "does not hold the images" in errors and Path("d/0.png").exists()


def test_seed_mirror_and_backbone(here, shell):
    "What was chosen reaches split, training and notes, and an older plan is still understood."
    draw("photos", "abcd")
    chosen = ["--seed", 7, "--no-mirror"]
    status, text, errors = shell("run", "photos", *short, *chosen, "--no-report")
    assert status == 0, errors
    run = Path("runs/photos")
    plan = Plan.load(run)
    assert (plan.options.seed, plan.options.mirror) == (7, False)
    notes = json.loads((run / "run.json").read_text())
    assert (notes["transform"], notes["options"]["seed"]) == (None, 7)
    status, _, errors = shell("embed", "photos", "--model", run, "--out", "set", "--flip")
    assert status == 2 and "--no-mirror" in errors
    older = json.loads((run / "plan.json").read_text())
    del older["options"]
    (run / "plan.json").write_text(json.dumps(older))
    assert Plan.load(run).options.seed == 42
    status, _, errors = shell("run", "photos", *short, "--backbone", "no_such_network")
    assert status == 2 and "no_such_network" in errors and "Traceback" not in errors


def test_splits_of_the_users_own(here, shell):
    draw("parted/train", "abcdef")
    draw("parted/val", "gh")
    status, text, errors = shell("train", "parted", "--out", "net", *short)
    assert status == 0 and len(pd.read_csv("net/valid.csv")) == 4, errors
    status, text, errors = shell("run", "parted", *quick)
    assert status == 0 and errors.count("2 identities of train (4 images) set aside") == 1, errors
    assert "8 images of 4 identities to train on, 4 of 2 to choose by, 4 of 2 to test on" in text
    draw("closed/train", "abcdef")
    draw("closed/val", "abcdef", images=3)
    for call in (["run"], ["train", "--out", "closed_net"]):
        status, _, errors = shell(call[0], "closed", *call[1:], *short)
        assert status == 2 and "--resplit" in errors, errors
        also = ["--no-report"] if call[0] == "run" else []
        status, text, errors = shell(call[0], "closed", *call[1:], *short, *also, "--resplit")
        assert status == 0 and "your own split is ignored, on request" in errors, errors


def test_contradictions(here, shell):
    "Told by a run, refused by train."
    draw("torn", "abcdefgh")
    (Path("torn/b/again.png")).write_bytes(Path("torn/a/0.png").read_bytes())
    status, _, errors = shell("train", "torn", "--out", "net", *short)
    assert status == 2 and "--allow-contradictions" in errors, errors
    status, _, errors = shell("train", "torn", "--out", "net", *short, "--allow-contradictions")
    assert status == 0 and errors.count("hold the same bytes") == 1, errors
    status, text, errors = shell("run", "torn", *quick)
    assert status == 0 and errors.count("hold the same bytes") == 1, errors


def test_tables_and_levels(here, shell):
    "A table without labels can be embedded and searched; a level of folders can be named."
    draw("photos/one", "abcd")
    draw("photos/two", "abcd", images=3)
    status, text, errors = shell("run", "photos", "--depth", 2, *quick)
    assert status == 0 and "10 images of 2 identities to train on" in text, errors
    listed = pd.DataFrame(dict(file=sorted(map(str, Path("photos").rglob("*.png")))))
    listed.to_csv("list.csv", sep="\t", index=False)
    options = ["--path-column", "file", "--sep", "tab"]
    status, text, errors = shell("embed", "list.csv", "--model", "runs/photos", "--out", "set", *options)
    assert status == 0 and text.startswith("20 embeddings"), errors
    status, text, errors = shell("search", "photos/one/a/0.png", "--index", "set", "--model", "runs/photos", "--all")
    assert status == 0 and len(text.splitlines()) == 9, errors
    status, text, errors = shell("run", "list.csv", *options)
    assert status == 2 and "--label-column" in errors, errors
    status, text, errors = shell("run", "photos", "--depth", "two")
    assert status == 2 and "--depth" in errors, errors
    # The pictures move; the set is told where they are.
    Path("photos").rename("moved")
    status, text, errors = shell("evaluate", "runs/photos", "--root", "moved", "--json")
    assert status == 0 and "rank_1" in text, errors


def test_copies_flatter(here, shell):
    "A run says before the scores how many queries find a copy of themselves."
    draw("twice", "abcd", images=1)
    for name in "abcd":
        Image.open(f"twice/{name}/0.png").save(f"twice/{name}/copy.png", compress_level=1)
    status, text, errors = shell("run", "twice", *quick)
    assert status == 0 and "4 of 4 queries have a near-copy" in text, errors
    assert text.index("near-copy") < text.index("mAP")
    assert list(json.loads(Path("runs/twice/metrics.json").read_text())) == ["frozen", "trained"]


def test_mirror_twins_are_told(here, shell):
    "Every second identity is the mirror image of the one before."
    draw("hands", "abcdef", images=4)
    for file in list(Path("hands").rglob("*.png")):
        other = Path(f"{file.parent}-mirrored", file.name)
        other.parent.mkdir(exist_ok=True)
        noise = np.random.default_rng(list(str(file).encode())).normal(0, 20, (64, 64, 3))
        pixels = np.asarray(Image.open(file).transpose(Image.Transpose.FLIP_LEFT_RIGHT)) + noise
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(other)
    for more, expected in (([], 1), (["--no-mirror"], 0)):
        status, _, errors = shell("train", "hands", "--out", "net", *short, *more)
        assert status == 0 and errors.count("--no-mirror") == expected, errors


def test_an_extra_that_is_missing(here, shell, monkeypatch):
    draw("photos", "abcd", images=1)
    status, _, errors = shell("run", "photos", "--no-labels", "--image-size", 64, 64, "--no-report")
    assert status == 0, errors
    index = Path("runs/photos/index/index.json")
    notes = json.loads(index.read_text()) | dict(kind="ivf")
    del notes["sha256"]  # as an earlier version wrote it
    index.write_text(json.dumps(notes))
    index.with_name("index.faiss").touch()
    monkeypatch.setitem(sys.modules, "faiss", None)
    status, _, errors = shell("search", "photos/a/0.png", "--index", "runs/photos")
    assert status == 2 and "siamese-nbdev[faiss]" in errors and "Traceback" not in errors


def test_an_interrupted_run_says_how_to_go_on(tmp_path):
    draw(tmp_path / "photos", ["ann", "bob", "cid", "dot", "eve"], images=4)
    words = [sys.executable, "-c", offline, "run", "photos", "--out", "my run", "--epochs", "40", "--no-report"]
    pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path)
    with subprocess.Popen([*words, "--image-size", "64", "64"], **pipes) as run:
        for line in run.stdout:
            if line.startswith("2/4"):
                break
        deadline = time.time() + 60
        while not (tmp_path / "my run" / "last.pt").exists() and time.time() < deadline:
            time.sleep(0.1)
        run.send_signal(signal.SIGINT)
        _, errors = run.communicate(timeout=120)
    assert run.returncode == 130 and "Traceback" not in errors, errors[-2000:]
    last = errors.strip().splitlines()[-1]
    assert last == "siamese-nbdev: stopped; what was finished is kept; go on with: siamese-nbdev resume 'my run'"
    for refused in (["search", "photos/ann/0.png", "--index", "my run"], ["evaluate", "my run"], ["labels", "my run"]):
        done = command(*refused, cwd=tmp_path)
        assert done.returncode == 2 and "siamese-nbdev resume 'my run'" in done.stderr, done.stderr
    done = command("resume", "my run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "2/4  training goes on from its last checkpoint, up to 40 epochs" in done.stdout
    assert (tmp_path / "my run" / "index" / "index.json").exists()


impatient = """
import importlib.abc, os, signal, sys

class Impatient(importlib.abc.MetaPathFinder):
    def find_spec(self, name, *_):
        if name == "typer": os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Impatient())
sys.argv = ["siamese-nbdev", "--version"]
from siamese_nbdev.cli import main
main()
"""


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_an_interruption_while_the_command_is_loaded():
    done = subprocess.run([sys.executable, "-c", impatient], capture_output=True, text=True, timeout=60)
    assert done.returncode == 130 and done.stdout == ""
    assert done.stderr.strip() == "siamese-nbdev: stopped; nothing had begun"


def test_results_do_not_mix(tmp_path):
    draw(tmp_path / "photos", ["ann", "bob", "cid", "dot"], images=3)
    done = command("run", "photos", "--out", "run", *quick, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    before = (tmp_path / "run" / "plan.json").read_bytes()
    for call in (["embed", "photos", "--model", "run"], ["train", "photos"]):
        done = command(*call, "--out", "run", cwd=tmp_path)
        assert done.returncode == 2 and "which holds a run; choose another for --out" in done.stderr, done.stderr
    assert (tmp_path / "run" / "plan.json").read_bytes() == before
    # Several pictures, and a folder of them, are one question each; what is searched is named.
    pictures = ["photos/ann", "photos/bob/0.png"]
    found = command("search", *pictures, "--index", "run", "--top-k", 2, "--json", "--all", cwd=tmp_path)
    assert found.returncode == 0 and "Searched in run/index (12 images)" in found.stderr, found.stderr
    queries = [hit["query"] for hit in json.loads(found.stdout)]
    assert len(queries) == 8 and len(set(queries)) == 4
    told = command("evaluate", "run", cwd=tmp_path)
    assert "test images of run/index ask" in told.stderr and "rank_1" in told.stdout
    version = command("--version")
    assert version.returncode == 0 and version.stdout.startswith("siamese-nbdev 0.")
