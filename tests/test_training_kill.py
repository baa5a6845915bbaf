"""Kill real training processes at random moments; the resumed run ends with the weights of an uninterrupted one, bit for bit."""
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from siamese_nbdev.model import load_model

code = """
import sys, torch
from pathlib import Path
import pandas as pd
from siamese_nbdev.model import SiameseNet
from siamese_nbdev.training import fit, resume
torch.set_num_threads(1)
out, data = Path(sys.argv[1]), sys.argv[2]
if (out / "run.json").exists(): resume(out, progress=False)
else:
    people = pd.read_csv(data, dtype=str)
    torch.manual_seed(0)
    model = SiameseNet("test_efficientnet", pretrained=False, image_size=(64, 32), embedding_size=16)
    fit(model, people[people.split == "train"], people[people.split == "valid"], epochs=4, out=out, classes_per_batch=4, images_per_class=2,
        checkpoint_steps=1, averaging=0.9, glance=0, progress=False)
(out / "done").touch()
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder, rng, rows = tmp_path_factory.mktemp("images"), np.random.default_rng(0), []
    for person in range(12):
        colour = rng.integers(0, 255, 3)
        for shot in range(6):
            path = folder / f"{person}_{shot}.png"
            Image.fromarray((rng.integers(0, 60, (64, 32, 3)) + colour * 0.7).astype(np.uint8)).save(path)
            rows.append(dict(path=str(path), label=str(person), split="train" if person < 8 else "valid"))
    pd.DataFrame(rows).to_csv(folder / "people.csv", index=False)
    return str(folder / "people.csv")


def start(out, data): return subprocess.Popen([sys.executable, "-c", code, str(out), data], stderr=subprocess.PIPE, text=True)


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("whole") / "run"
    process = start(out, data)
    assert process.wait(timeout=120) == 0, process.stderr.read()
    return out


def check(out, data, whole, seed):
    rng, kills = random.Random(seed), 0
    while not (out / "done").exists():
        process = start(out, data)
        # Wait until it trains (run.json, then a checkpoint newer than ours), so that the kill hits the training.
        began = time.time()
        while process.poll() is None and not ((out / "last.pt").exists() and (out / "last.pt").stat().st_mtime > began) and time.time() - began < 60: time.sleep(0.005)
        time.sleep(rng.uniform(0, 0.6))
        if process.poll() is None and kills < 3:
            process.send_signal(signal.SIGKILL)
            kills += 1
            process.wait()
        else: assert process.wait(timeout=120) == 0, process.stderr.read()
    assert kills > 0, "the run finished before it could be killed"
    states = [torch.load(folder / "last.pt", weights_only=True) for folder in (whole, out)]
    for name, value in states[0]["trainee"].items(): assert torch.equal(value, states[1]["trainee"][name]), name
    for name, value in states[0]["averaged"].items(): assert torch.equal(value, states[1]["averaged"][name]), name
    assert load_model(out / "model").model_id() == load_model(whole / "model").model_id()
    histories = [pd.read_csv(folder / "history.csv").drop(columns=["seconds", "images_per_second"]) for folder in (whole, out)]
    pd.testing.assert_frame_equal(*histories, check_exact=True)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
def test_killed_run_ends_with_the_same_weights(data, whole, tmp_path): check(tmp_path / "run", data, whole, seed=0)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
@pytest.mark.parametrize("seed", range(1, 8))
def test_killed_run_ends_with_the_same_weights_again(data, whole, tmp_path, seed): check(tmp_path / "run", data, whole, seed)


def test_unwritable_folder_leaves_the_earlier_checkpoint(data, whole, tmp_path):
    from siamese_nbdev.training import replacing
    good = tmp_path / "last.pt"
    good.write_bytes(b"good")
    with pytest.raises(OSError, match="what stood there before is intact"):
        with replacing(good) as file:
            file.write_bytes(b"half")
            raise OSError(28, "No space left on device")
    assert good.read_bytes() == b"good" and [p.name for p in tmp_path.iterdir()] == ["last.pt"]
