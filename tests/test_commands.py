"""The command on real photographs, and without a network."""
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

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


@pytest.mark.skipif(not faces.exists(), reason=no_faces)
def test_run_on_real_photographs(tmp_path):
    out = tmp_path / "out"
    with zipfile.ZipFile(faces) as archive:
        archive.extractall(tmp_path / "faces")
    done = command("run", tmp_path / "faces", "--epochs", 2, "--out", out, "--no-report")
    assert done.returncode == 0, done.stderr[-2000:]
    assert "240 images of 24 identities to train on, 80 of 8 to choose by, 80 of 8 to test on" in done.stdout
    assert "2 epochs at 96 x 96: about" in done.stdout
    assert done.stdout.count("points of mAP (95 % interval") == 2  # on valid, which chooses, and on test
    scores = json.loads((out / "metrics.json").read_text())
    assert scores["trained"]["rank_1"]["value"] > 0.8
    assert scores["frozen"]["rank_1"]["value"] > 0.5
    for name in ("model/model.safetensors", "embeddings/vectors.npy", "history.csv", "closest.png"):
        assert (out / name).stat().st_size > 0
    photo = next((tmp_path / "faces").rglob("*.pgm"))
    found = command("search", photo, "--index", out, "--top-k", 3, "--json")
    assert found.returncode == 0, found.stderr
    assert len(json.loads(found.stdout)) == 3
    index = (out / "index" / "manifest.csv").read_text()
    assert len(index.splitlines()) == 401 and str(photo) in index  # everything can be found, not only the test images


def test_a_folder_that_is_not_here(tmp_path):
    done = command("run", tmp_path / "nowhere")
    assert done.returncode == 2 and len(done.stderr.strip().splitlines()) == 1 and "nowhere" in done.stderr


without_nbdev = """
import sys
sys.modules["nbdev"] = sys.modules["fastcore"] = sys.modules["IPython"] = None
import torch
from siamese_nbdev.loss import TripletLoss
from siamese_nbdev.model import SiameseNet
model = SiameseNet("test_efficientnet", pretrained=False, image_size=(64, 32), embedding_size=8)
TripletLoss()(model(torch.rand(8, 3, 64, 32)), torch.arange(4).repeat(2)).backward()
print("trained")
"""


def test_package_works_without_nbdev():
    words = [sys.executable, "-c", without_nbdev]
    done = subprocess.run(words, text=True, capture_output=True, env={**os.environ, "PYTHONPATH": str(top)})
    assert done.stdout.strip() == "trained", done.stderr
