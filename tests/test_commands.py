"""The command on real photographs, and without a network."""
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

top = Path(__file__).resolve().parent.parent
faces = top.parent / "shared" / "data" / "att_faces" / "att_faces.zip"
offline = """
import socket, sys
def refuse(self, address):
    if self.family != getattr(socket, "AF_UNIX", None): raise AssertionError(f"a network connection was attempted: {address}")
socket.socket.connect = refuse
socket.getaddrinfo = lambda *a, **k: (_ for _ in ()).throw(AssertionError(f"a name was looked up: {a}"))
from siamese_nbdev.cli import main
sys.argv = ["siamese-nbdev", *sys.argv[1:]]
main()
"""


def command(*arguments, **options):
    "Run siamese-nbdev in a process of its own that may not touch the network."
    return subprocess.run([sys.executable, "-c", offline, *map(str, arguments)], text=True, capture_output=True, timeout=600, **options)


@pytest.mark.skipif(not faces.exists(), reason=f"the AT&T faces are not here ({faces.name} in the folder shared beside the project)")
def test_run_on_real_photographs(tmp_path):
    with zipfile.ZipFile(faces) as archive: archive.extractall(tmp_path / "faces")
    done = command("run", tmp_path / "faces", "--epochs", 2, "--out", tmp_path / "out", "--no-report")
    assert done.returncode == 0, done.stderr[-2000:]
    assert "240 images of 24 identities to train on, 80 of 8 to choose by, 80 of 8 to test on" in done.stdout
    assert "2 epochs at 96 x 96: about" in done.stdout and done.stdout.count("points of mAP (95 % interval") == 2  # on valid, which chooses, and on test
    scores = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert scores["trained"]["rank_1"]["value"] > 0.8 and scores["frozen"]["rank_1"]["value"] > 0.5
    for name in ("model/model.safetensors", "embeddings/vectors.npy", "history.csv", "closest.png"): assert (tmp_path / "out" / name).stat().st_size > 0
    photo = next((tmp_path / "faces").rglob("*.pgm"))
    found = command("search", photo, "--index", tmp_path / "out", "--top-k", 3, "--json")
    assert found.returncode == 0 and len(json.loads(found.stdout)) == 3, found.stderr
    index = (tmp_path / "out" / "index" / "manifest.csv").read_text()
    assert len(index.splitlines()) == 401 and str(photo) in index  # everything can be found, not only the test images


def test_a_folder_that_is_not_here(tmp_path):
    done = command("run", tmp_path / "nowhere")
    assert done.returncode == 2 and len(done.stderr.strip().splitlines()) == 1 and "nowhere" in done.stderr


def test_package_works_without_nbdev(tmp_path):
    code = ("import sys; sys.modules['nbdev'] = sys.modules['fastcore'] = sys.modules['IPython'] = None\n"
            "import torch\nfrom siamese_nbdev.model import SiameseNet\nfrom siamese_nbdev.loss import TripletLoss\n"
            "model = SiameseNet('test_efficientnet', pretrained=False, image_size=(64, 32), embedding_size=8)\n"
            "TripletLoss()(model(torch.rand(8, 3, 64, 32)), torch.arange(4).repeat(2)).backward()\nprint('trained')")
    done = subprocess.run([sys.executable, "-c", code], text=True, capture_output=True, env={**os.environ, "PYTHONPATH": str(top)})
    assert done.stdout.strip() == "trained", done.stderr
