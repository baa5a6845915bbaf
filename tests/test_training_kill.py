"""Kill real training processes at random moments; a resumed run ends with the weights of an uninterrupted one."""
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
import torch
from counting import count
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
    function = getattr(module, name)
    calls = []
    def call(*arguments, **options):
        calls.append(0)
        if len(calls) == int(number):
            act()
        return function(*arguments, **options)
    setattr(module, name, call)


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def fill_disk(size=100_000):
    "From now on the system refuses to write more than this into one file, as a full disk would."
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def lock_folder():
    out.chmod(0o555)
    if os.geteuid() == 0:
        os.seteuid(65534)  # nothing is closed to root


if what == "step":
    before_call(training, "batch_loss", die)
if what == "rename":
    before_call(os, "replace", die)
if what == "byte":
    # The system kills the process in the middle of the first file that grows larger: a checkpoint or a network.
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    fill_disk(int(number))
if what == "full":
    before_call(training, "batch_loss", fill_disk)
if what == "locked":
    before_call(training, "batch_loss", lock_folder)


class Restless:
    "A loss of another library on embeddings that are jostled a little, so that it matters which random numbers come."
    loss = MultiSimilarityLoss()

    def __call__(self, embeddings, labels):
        return self.loss(embeddings + 0.02 * torch.randn(embeddings.shape), labels)


loss = Restless() if kind == "early" else None
if (out / "run.json").exists():
    training.resume(out, loss=loss, progress=False)
else:
    people = pd.read_csv(data, dtype=str)
    torch.manual_seed(0)
    size = dict(image_size=(64, 32), head="batchnorm_linear", embedding_size=16)
    model = SiameseNet("test_efficientnet", pretrained=False, **size)
    options = dict(classes_per_batch=4, images_per_class=2, checkpoint_steps=2, glance=0, progress=False)
    if kind == "early":
        options |= dict(averaging=0.9, patience=2, epochs=9, identity_weight=1.)
    if kind == "plain":
        options |= dict(mining="batch_hard", workers=1, epochs=4)
        model.freeze_backbone(("conv_stem", "bn1"))
    train, valid = (people[people.split == split] for split in ("train", "valid"))
    training.fit(model, train, valid, out=out, loss=loss, **options)
(out / "done").touch()
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    rows = []
    for person in range(12):
        colour = rng.integers(0, 255, 3)
        for shot in range(6):
            path = folder / f"{person}_{shot}.png"
            pixels = rng.integers(0, 60, (64, 32, 3)) + colour * 0.7
            Image.fromarray(pixels.astype(np.uint8)).save(path)
            rows.append(dict(path=str(path), label=str(person), split="train" if person < 8 else "valid"))
    pd.DataFrame(rows).to_csv(folder / "people.csv", index=False)
    return str(folder / "people.csv")


def start(out, data, kind, moment="never:0"):
    command = [sys.executable, "-c", code, str(out), data, kind, moment]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def finish(process):
    assert process.wait(timeout=120) == 0, process.stderr.read()


def written_at(path):
    "When a file was last written; 0 where there is none."
    return path.stat().st_mtime_ns if path.exists() else 0


def kill_from_outside(process, out, rng):
    "Kill at a random time after the process has written its first checkpoint."
    before = written_at(out / "last.pt")
    while process.poll() is None and written_at(out / "last.pt") <= before:
        time.sleep(0.002)
    time.sleep(rng.uniform(0, 0.3))
    process.kill()


def kill(out, data, kind, moment, rng):
    "Run until the moment of death; return whether the process died of it."
    process = start(out, data, kind, moment)
    if moment.startswith("outside"):
        kill_from_outside(process, out, rng)
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


times = ("seconds", "images_per_second")


def same(first, second):
    "Compare nested dictionaries, lists, tensors and numbers, exactly; NaN equals NaN, and times do not count."
    if isinstance(first, torch.Tensor): return torch.equal(first, second)
    if isinstance(first, dict):
        counted = [name for name in first if name not in times]
        return first.keys() == second.keys() and all(same(first[name], second[name]) for name in counted)
    if isinstance(first, (list, tuple)): return len(first) == len(second) and all(map(same, first, second))
    return first == second or (first != first and second != second)


def check_equal(out, whole):
    states = [torch.load(folder / "last.pt", weights_only=True) for folder in (whole, out)]
    for state in states:
        state["random"] = state["random"]["torch"]  # fit seeds no other generator
    for name, value in states[0].items():
        assert same(value, states[1][name]), f"{name} differs"
    assert load_model(out / "model").model_id() == load_model(whole / "model").model_id()
    histories = [pd.read_csv(folder / "history.csv").drop(columns=list(times)) for folder in (whole, out)]
    pd.testing.assert_frame_equal(*histories, check_exact=True)


@pytest.mark.slow
def test_run_killed_three_times_ends_with_the_same_weights(data, whole, tmp_path):
    # Averaged weights, early stopping and a loss of the user's own; before the first checkpoint, while one is written,
    # inside an epoch.
    rng = random.Random(0)
    out = tmp_path / "run"
    for moment in ("step:2", f"byte:{rng.randint(50_000, 1_000_000)}", f"step:{rng.randint(5, 10)}"):
        assert kill(out, data, "early", moment, rng), f"the run ended before {moment}"
        assert (out / "last.pt").exists() == (moment[:4] == "step" and moment != "step:2")
    finish(start(out, data, "early"))
    check_equal(out, whole("early"))
    assert len(pd.read_csv(out / "history.csv")) < 9, "it did not stop early"


def random_moment(rng):
    "Draw when a process shall die."
    return rng.choice([
        f"step:{rng.randint(1, 8)}",
        f"byte:{rng.randint(400_000, 1_000_000)}",
        f"rename:{rng.randint(1, 8)}",
        "outside:0",
    ])


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["early", "plain"])
def test_run_killed_ten_times_ends_with_the_same_weights(data, whole, tmp_path, kind):
    kills = seed = 0
    seen = set()
    while kills < 10:
        out = tmp_path / f"run{seed}"
        rng = random.Random(seed)
        # Some kills lose steps, none loses a checkpoint: a run comes to its end however often it dies, so we may need
        # several.
        while kills < 10 and not (out / "done").exists():
            moment = random_moment(rng)
            if kill(out, data, kind, moment, rng):
                kills += 1
                seen.add(moment.split(":")[0])
        if not (out / "done").exists():
            finish(start(out, data, kind))
        check_equal(out, whole(kind))
        seed += 1
    assert len(seen) >= 3, seen
    count(f"kill {kind} training at chosen places", times=kills)


def test_finished_run_stays_as_it_is(data, whole):
    out = whole("early")
    checkpoint = (out / "last.pt").read_bytes()
    model_id = load_model(out / "model").model_id()
    epochs = len(pd.read_csv(out / "history.csv"))
    model, history = resume(out, loss=lambda embeddings, labels: embeddings.sum(), progress=False)
    assert (out / "last.pt").read_bytes() == checkpoint
    assert model.model_id() == model_id
    assert len(history) == epochs


@pytest.mark.parametrize("trouble", ["full:9", "locked:9"])
def test_full_disk_or_locked_folder_leaves_the_earlier_checkpoint(data, whole, tmp_path, trouble):
    out = tmp_path / "run"
    process = start(out, data, "early", trouble)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 1, errors[-3000:]
    for part in ("OSError: Could not write", "is intact", "resume("):
        assert part in errors, errors[-3000:]
    out.chmod(0o755)
    assert torch.load(out / "last.pt", weights_only=True)["progress"]["epoch"] == 1
    assert not [path for path in out.iterdir() if path.suffix in (".tmp", ".next")]
    finish(start(out, data, "early"))
    check_equal(out, whole("early"))
