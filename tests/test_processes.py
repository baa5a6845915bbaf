"""Two processes get the gradients of one, share out an epoch's batches, and end equal; workers change nothing."""
import os
import socket
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from siamese_nbdev.dataset import BalancedBatchSampler

gradients_code = """
import itertools, os, sys, torch
from types import SimpleNamespace
from accelerate import Accelerator
from siamese_nbdev.loss import TripletLoss
from siamese_nbdev.model import SiameseNet
from siamese_nbdev.runs import Trainee
from siamese_nbdev.training import Options, batch_loss
torch.set_num_threads(1)
accelerator = Accelerator(cpu=True)
torch.manual_seed(0)
# The encoder in double precision: untrained, it puts all embeddings close together, where the rounding of a processor's
# convolutions shows in the gradients.
images, labels = torch.rand(16, 3, 64, 32).double(), torch.arange(4).repeat(4)
# The last picture of a person is the first one again, and in another process's part of the batch.
shown = torch.arange(16) % 12
encoder = SiameseNet("test_efficientnet", pretrained=False, image_size=(64, 32), embedding_size=8, head="linear")
trainee = accelerator.prepare(Trainee(encoder.double(), classes=4))
trainee.eval()  # running statistics: local batch statistics would remain a difference between one process and two
share = 16 // accelerator.num_processes
mine = slice(accelerator.process_index * share, (accelerator.process_index + 1) * share)


def whole_batch(loss, identity_weight):
    "The loss that `fit` goes downhill on; a stand-in for a run, with what a step looks at."
    options = Options(identity_weight=identity_weight)
    run = SimpleNamespace(options=options, accelerator=accelerator, trainee=trainee, loss=loss, mixed=False, step=0)
    return batch_loss(run, (images[mine], labels[mine]), shown[mine])[0]


def own_part(loss, identity_weight):
    "Plain data parallelism: each process mines its own part."
    every_weight = sum(weight.sum() for weight in trainee.parameters())
    return loss(trainee(images[mine])[0], labels[mine], pictures=shown[mine]) + 0 * every_weight


found = {}
for mining, weight in itertools.product(("semi_hard", "batch_hard", "all", "weighted"), (0., 1.)):
    for gathers, measure in ((True, whole_batch), (False, own_part)):
        accelerator.unwrap_model(trainee).zero_grad()
        loss = TripletLoss(0.3, mining=mining)
        accelerator.backward(measure(loss, weight))
        if gathers and mining != "batch_hard":
            triplets = 4 * (4 * 3 - 2) * (12 if mining == "all" else 1)
            assert loss.triplets == triplets, f"{loss.triplets} triplets of {triplets}: a picture was its own positive"
        parameters = accelerator.unwrap_model(trainee).named_parameters()
        found[mining, weight, gathers] = {name: value.grad.clone() for name, value in parameters}
if accelerator.is_main_process:
    torch.save(found, sys.argv[1])
accelerator.wait_for_everyone()
accelerator.end_training()
# gloo's threads may outlive their group, and an ordinary exit then aborts now and then (pytorch issue 190489)
os._exit(0)
"""

fit_code = """
import os, sys, pandas as pd, torch
from pathlib import Path
from accelerate import PartialState
from siamese_nbdev.model import SiameseNet
from siamese_nbdev.training import fit, resume
torch.set_num_threads(1)
folder, workers, out, dies_at = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
people, seen = pd.read_csv(folder / "people.csv", dtype=str), []


def note(image, seed):
    "Write down which image this is: its first pixel says so."
    seen.append(int((image[0, 0, 0] * 255).round()))
    if len(seen) == dies_at:
        sys.exit("the lights go out")
    return image


torch.manual_seed(0)
model = SiameseNet("test_efficientnet", pretrained=False, image_size=(64, 32))
if Path(out, "run.json").exists():
    model, history = resume(out, transform=note, progress=False)
else:
    train, valid = (people[people.split == split] for split in ("train", "valid"))
    options = dict(epochs=3, averaging=0.9, classes_per_batch=4, images_per_class=2, glance=0, checkpoint_steps=1)
    out = None if out == "none" else out
    history = fit(model, train, valid, out=out, workers=workers, transform=note, progress=False, **options)
state = PartialState()
found = dict(weights=model.state_dict(), seen=seen, scores=history[["loss", "valid_map"]].values.tolist())
torch.save(found, folder / f"{state.process_index}.pt")
if state.num_processes > 1:
    state.wait_for_everyone()
    state.destroy_process_group()
    os._exit(0)  # as above
"""


def environment(rank, processes, port):
    "What a process has to know of the others; nothing where it is alone."
    alone = dict(os.environ, ACCELERATE_USE_CPU="true", OMP_NUM_THREADS="1")
    if processes == 1: return alone
    return alone | dict(
        MASTER_ADDR="127.0.0.1",
        MASTER_PORT=str(port),
        WORLD_SIZE=str(processes),
        LOCAL_WORLD_SIZE=str(processes),
        RANK=str(rank),
        LOCAL_RANK=str(rank),
        USE_LIBUV="0",  # torch on Windows comes without libuv
    )


def launch(code, processes, *arguments, expected=0):
    "Run code in one process, or in several joined by gloo; each has to end with the expected status."
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-c", code, *map(str, arguments)]
    started = [
        subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment(rank, processes, port))
        for rank in range(processes)
    ]
    try:
        for process in started:
            _, errors = process.communicate(timeout=180)
            assert process.returncode == expected, errors[-3000:]
    finally:
        for process in started:
            process.kill()  # nobody waits for a process whose partner has died


def largest_gap(first, second):
    return max((first[name] - second[name]).abs().max().item() for name in first)


def changed(first, second):
    "Names of the weights in which two networks differ."
    return [name for name, value in first.items() if not torch.equal(value, second[name])]


@pytest.fixture(scope="module")
def gradients(tmp_path_factory):
    "The gradients that one process and two find for the same 16 images."
    folder = tmp_path_factory.mktemp("gradients")
    for processes in (1, 2):
        launch(gradients_code, processes, folder / f"{processes}.pt")
    return [torch.load(folder / f"{processes}.pt", weights_only=True) for processes in (1, 2)]


@pytest.mark.parametrize("identity_weight", [0., 1.])
@pytest.mark.parametrize("mining", ["semi_hard", "batch_hard", "all", "weighted"])
def test_two_processes_have_the_gradients_of_one(gradients, mining, identity_weight):
    one, two = (found[mining, identity_weight, True] for found in gradients)
    assert max(value.abs().max().item() for value in one.values()) > 1e-3, "no gradient to compare"
    assert largest_gap(one, two) < 1e-5


@pytest.mark.parametrize("mining", ["semi_hard", "batch_hard", "all", "weighted"])
def test_without_gathering_it_is_another_loss(gradients, mining):
    one = gradients[0][mining, 0., True]
    apart = gradients[1][mining, 0., False]
    assert largest_gap(one, gradients[0][mining, 0., False]) < 1e-5, "alone there is nothing to gather"
    assert largest_gap(one, apart) > 1e-3


@pytest.fixture
def people(tmp_path):
    "Noise in 72 pictures of 12 people; the first pixel of each is its number."
    rng = np.random.default_rng(0)
    rows = []
    for number in range(72):
        person = number // 6
        darkness = [1 + (person >> bit & 1) for bit in range(3)]
        pixels = (rng.integers(0, 256, (64, 32, 3)) / darkness).astype(np.uint8)
        pixels[0, 0] = number
        path = str(tmp_path / f"{number:02d}.png")
        Image.fromarray(pixels).save(path)
        rows.append(dict(path=path, label=f"{person:02d}", split="train" if number < 48 else "valid"))
    pd.DataFrame(rows).to_csv(tmp_path / "people.csv", index=False)
    return pd.DataFrame(rows)


def planned_batches(people):
    "The batches of three epochs, as the sampler makes them."
    sampler = BalancedBatchSampler(people.label[people.split == "train"], 4, 2, seed=42)
    for epoch in range(3):
        sampler.set_epoch(epoch)
        yield from map(tuple, sampler)


def batches_seen(found):
    "The batches of a process, from the images that it saw."
    return [tuple(found["seen"][first:first + 8]) for first in range(0, len(found["seen"]), 8)]


def load_processes(folder):
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(2)]


@pytest.mark.parametrize("keeps", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_two_processes_use_every_batch_once_and_end_equal(people, tmp_path, keeps):
    launch(fit_code, 2, tmp_path, 0, tmp_path / "run" if keeps else "none", 0)
    first, second = load_processes(tmp_path)
    batches = [batches_seen(found) for found in (first, second)]
    assert len(batches[0]) == len(batches[1]) == 9
    assert sorted(batches[0] + batches[1]) == sorted(planned_batches(people))
    assert first["scores"] == second["scores"], "the processes would not stop early together"
    assert changed(first["weights"], second["weights"]) == []


@pytest.mark.slow
def test_two_processes_that_died_are_resumed(people, tmp_path):
    launch(fit_code, 2, tmp_path, 0, tmp_path / "whole", 0)
    whole = load_processes(tmp_path)
    launch(fit_code, 2, tmp_path, 0, tmp_path / "run", 38, expected=1)  # in the second epoch, between two checkpoints
    launch(fit_code, 2, tmp_path, 0, tmp_path / "run", 0)
    for one, resumed in zip(whole, load_processes(tmp_path), strict=True):
        assert resumed["scores"] == one["scores"]
        assert changed(one["weights"], resumed["weights"]) == []


def test_worker_processes_change_nothing(people, tmp_path):
    launch(fit_code, 1, tmp_path, 0, "none", 0)
    alone = torch.load(tmp_path / "0.pt", weights_only=True)
    assert batches_seen(alone) == list(planned_batches(people))
    if sys.platform != "linux": return  # elsewhere workers cannot be given code from a string
    launch(fit_code, 1, tmp_path, 2, "none", 0)
    helped = torch.load(tmp_path / "0.pt", weights_only=True)
    assert alone["scores"] == helped["scores"]
    assert changed(alone["weights"], helped["weights"]) == []
