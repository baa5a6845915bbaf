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
from siamese_nbdev.training import resume

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
code = """
import os, resource, signal, sys
from pathlib import Path
import pandas as pd, torch
from pytorch_metric_learning.losses import MultiSimilarityLoss
from siamese_nbdev import training
from siamese_nbdev.model import SiameseNet

torch.set_num_threads(1)
out, data, kind, (what, number) = Path(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4].split(":")


def before_call(module, name, act):
    "Act right before a function of a module is called for the given time."
    function, calls = getattr(module, name), []
    def call(*arguments, **options):
        calls.append(0)
        if len(calls) == int(number): act()
        return function(*arguments, **options)
    setattr(module, name, call)


def die(): os.kill(os.getpid(), signal.SIGKILL)


def fill_disk(size=100_000):
    "From now on the system refuses to write more than this into one file, as a full disk would."
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def lock_folder():
    out.chmod(0o555)
    if os.geteuid() == 0: os.seteuid(65534)  # nothing is closed to root


if what == "step": before_call(training, "batch_loss", die)
if what == "rename": before_call(os, "replace", die)
if what == "byte":
    # The system kills the process in the middle of the first file that grows larger: a checkpoint or a network.
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    fill_disk(int(number))
if what == "full": before_call(training, "batch_loss", fill_disk)
if what == "locked": before_call(training, "batch_loss", lock_folder)


class Restless:
    "A loss of another library on embeddings that are jostled a little, so that it matters which random numbers come."
    loss = MultiSimilarityLoss()
    def __call__(self, embeddings, labels): return self.loss(embeddings + 0.02 * torch.randn(embeddings.shape), labels)


loss = Restless() if kind == "early" else None
if (out / "run.json").exists(): training.resume(out, loss=loss, progress=False)
else:
    people = pd.read_csv(data, dtype=str)
    torch.manual_seed(0)
    model = SiameseNet("test_efficientnet", pretrained=False, image_size=(64, 32), head="batchnorm_linear", embedding_size=16)
    options = dict(early=dict(averaging=0.9, patience=2, epochs=9), plain=dict(mining="batch_hard", workers=1, epochs=4))[kind]
    if kind == "plain": model.freeze_backbone(("conv_stem", "bn1"))
    training.fit(model, people[people.split == "train"], people[people.split == "valid"], out=out, loss=loss, classes_per_batch=4, images_per_class=2,
                 checkpoint_steps=2, glance=0, progress=False, **options)
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


def start(out, data, kind, moment="never:0"): return subprocess.Popen([sys.executable, "-c", code, str(out), data, kind, moment], stderr=subprocess.PIPE, text=True)


def finish(process): assert process.wait(timeout=120) == 0, process.stderr.read()


def kill_from_outside(process, out, rng):
    "Kill at a random time after the process has written its first checkpoint."
    before = (out / "last.pt").stat().st_mtime_ns if (out / "last.pt").exists() else 0
    while process.poll() is None and not ((out / "last.pt").exists() and (out / "last.pt").stat().st_mtime_ns > before): time.sleep(0.002)
    time.sleep(rng.uniform(0, 0.3))
    process.kill()


def kill(out, data, kind, moment, rng):
    "Run until the moment of death; return whether the process died of it."
    process = start(out, data, kind, moment)
    if moment.startswith("outside"): kill_from_outside(process, out, rng)
    process.wait(timeout=120)
    assert process.returncode in (0, -signal.SIGKILL, -signal.SIGXFSZ), process.stderr.read()
    return process.returncode < 0


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    "Uninterrupted runs, one of each kind, made when first asked for."
    made = {}
    def run(kind):
        if kind not in made:
            made[kind] = tmp_path_factory.mktemp(kind) / "run"
            finish(start(made[kind], data, kind))
        return made[kind]
    return run


def same(first, second):
    "Compare nested dictionaries, lists, tensors and numbers, exactly; NaN equals NaN, and times do not count."
    if isinstance(first, torch.Tensor): return torch.equal(first, second)
    if isinstance(first, dict): return first.keys() == second.keys() and all(same(value, second[name]) for name, value in first.items() if name not in ("seconds", "images_per_second"))
    if isinstance(first, (list, tuple)): return len(first) == len(second) and all(map(same, first, second))
    return first == second or first != first and second != second


def check_equal(out, whole):
    states = [torch.load(folder / "last.pt", weights_only=True) for folder in (whole, out)]
    for state in states: state["random"] = state["random"]["torch"]  # fit seeds no other generator
    for name, value in states[0].items(): assert same(value, states[1][name]), f"{name} differs"
    assert load_model(out / "model").model_id() == load_model(whole / "model").model_id()
    histories = [pd.read_csv(folder / "history.csv").drop(columns=["seconds", "images_per_second"]) for folder in (whole, out)]
    pd.testing.assert_frame_equal(*histories, check_exact=True)


def test_run_killed_three_times_ends_with_the_same_weights(data, whole, tmp_path):
    # Averaged weights, early stopping and a loss of the user's own; before the first checkpoint, while one is written, inside an epoch.
    rng, out = random.Random(0), tmp_path / "run"
    for moment in ("step:2", f"byte:{rng.randint(50_000, 1_000_000)}", f"step:{rng.randint(5, 10)}"):
        assert kill(out, data, "early", moment, rng), f"the run ended before {moment}"
        assert (out / "last.pt").exists() == (moment[:4] == "step" and moment != "step:2")
    finish(start(out, data, "early"))
    check_equal(out, whole("early"))
    assert len(pd.read_csv(out / "history.csv")) < 9, "it did not stop early"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["early", "plain"])
def test_run_killed_ten_times_ends_with_the_same_weights(data, whole, tmp_path, kind):
    kills, seed, seen = 0, 0, set()
    while kills < 10:
        out, rng = tmp_path / f"run{seed}", random.Random(seed)
        # Some kills lose steps, none loses a checkpoint: a run comes to its end however often it dies, so we may need several.
        while kills < 10 and not (out / "done").exists():
            moment = rng.choice([f"step:{rng.randint(1, 8)}", f"byte:{rng.randint(400_000, 1_000_000)}", f"rename:{rng.randint(1, 8)}", "outside:0"])
            if kill(out, data, kind, moment, rng): kills, seen = kills + 1, seen | {moment.split(":")[0]}
        if not (out / "done").exists(): finish(start(out, data, kind))
        check_equal(out, whole(kind))
        seed += 1
    assert len(seen) >= 3, seen


def test_finished_run_stays_as_it_is(data, whole):
    out = whole("early")
    before = (out / "last.pt").read_bytes(), load_model(out / "model").model_id(), len(pd.read_csv(out / "history.csv"))
    model, history = resume(out, loss=lambda embeddings, labels: embeddings.sum(), progress=False)
    assert ((out / "last.pt").read_bytes(), model.model_id(), len(history)) == before


@pytest.mark.parametrize("trouble", ["full:9", "locked:9"])
def test_full_disk_or_locked_folder_leaves_the_earlier_checkpoint(data, whole, tmp_path, trouble):
    out = tmp_path / "run"
    process = start(out, data, "early", trouble)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 1 and "OSError: Could not write" in errors and "is intact" in errors and "resume(" in errors, errors[-3000:]
    out.chmod(0o755)
    assert torch.load(out / "last.pt", weights_only=True)["epoch"] == 1 and not [path for path in out.iterdir() if path.suffix in (".tmp", ".next")]
    finish(start(out, data, "early"))
    check_equal(out, whole("early"))
