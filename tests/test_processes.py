"""Two processes get the gradients of one, share out an epoch's batches, and end with equal weights; workers change nothing."""
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
import os, sys, torch
from types import SimpleNamespace
from accelerate import Accelerator
from siamese_nbdev.loss import TripletLoss
from siamese_nbdev.model import SiameseNet
from siamese_nbdev.training import Trainee, batch_loss
torch.set_num_threads(1)
accelerator = Accelerator(cpu=True)
torch.manual_seed(0)
# The encoder in double precision: untrained, it puts all embeddings close together, where the rounding of a processor's convolutions shows in the gradients.
images, labels = torch.rand(16, 3, 64, 32).double(), torch.arange(4).repeat(4)
trainee = accelerator.prepare(Trainee(SiameseNet("test_efficientnet", pretrained=False, image_size=(64, 32), embedding_size=8, head="linear").double(), classes=4))
trainee.eval()  # running statistics: local batch statistics would remain a difference between one process and two
mine = slice(accelerator.process_index * 16 // accelerator.num_processes, (accelerator.process_index + 1) * 16 // accelerator.num_processes)
found = {}
for mining in ("semi_hard", "batch_hard", "all"):
    for identity_weight in (0., 1.):
        for gathers in (True, False):
            run = SimpleNamespace(accelerator=accelerator, trainee=trainee, loss=TripletLoss(0.3, mining=mining), mixed=False, options=dict(identity_weight=identity_weight))
            accelerator.unwrap_model(trainee).zero_grad()
            if gathers: loss = batch_loss(run, (images[mine], labels[mine]))[0]
            else: loss = run.loss(trainee(images[mine])[0], labels[mine]) + 0 * sum(weight.sum() for weight in trainee.parameters())  # plain data parallelism: each process mines its own part
            accelerator.backward(loss)
            found[mining, identity_weight, gathers] = {name: weight.grad.clone() for name, weight in accelerator.unwrap_model(trainee).named_parameters()}
if accelerator.is_main_process: torch.save(found, sys.argv[1])
accelerator.wait_for_everyone()
accelerator.end_training()
os._exit(0)  # gloo's threads may outlive their group, and an ordinary exit then aborts now and then (pytorch issue 190489)
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
    if len(seen) == dies_at: sys.exit("the lights go out")
    return image


torch.manual_seed(0)
model = SiameseNet("test_efficientnet", pretrained=False, image_size=(64, 32))
if Path(out, "run.json").exists(): model, history = resume(out, transform=note, progress=False)
else: history = fit(model, people[people.split == "train"], people[people.split == "valid"], out=None if out == "none" else out, epochs=3, averaging=0.9, workers=workers,
                    transform=note, classes_per_batch=4, images_per_class=2, glance=0, checkpoint_steps=1, progress=False)
state = PartialState()
torch.save(dict(weights=model.state_dict(), seen=seen, scores=history[["loss", "valid_map"]].values.tolist()), folder / f"{state.process_index}.pt")
if state.num_processes > 1:
    state.wait_for_everyone()
    state.destroy_process_group()
    os._exit(0)  # as above
"""


def launch(code, processes, *arguments, expected=0):
    "Run code in one process, or in several joined by gloo; each has to end with the expected status."
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    alone = dict(os.environ, ACCELERATE_USE_CPU="true", OMP_NUM_THREADS="1")
    shared = alone | dict(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), WORLD_SIZE=str(processes), LOCAL_WORLD_SIZE=str(processes), USE_LIBUV="0")  # torch on Windows comes without libuv
    started = [subprocess.Popen([sys.executable, "-c", code, *map(str, arguments)], stderr=subprocess.PIPE, text=True,
                                env=alone if processes == 1 else shared | dict(RANK=str(rank), LOCAL_RANK=str(rank))) for rank in range(processes)]
    try:
        for process in started:
            _, errors = process.communicate(timeout=180)
            assert process.returncode == expected, errors[-3000:]
    finally:
        for process in started: process.kill()  # nobody waits for a process whose partner has died


def largest_gap(first, second): return max((first[name] - second[name]).abs().max().item() for name in first)


@pytest.fixture(scope="module")
def gradients(tmp_path_factory):
    "The gradients that one process and two find for the same 16 images."
    folder = tmp_path_factory.mktemp("gradients")
    for processes in (1, 2): launch(gradients_code, processes, folder / f"{processes}.pt")
    return [torch.load(folder / f"{processes}.pt", weights_only=True) for processes in (1, 2)]


@pytest.mark.parametrize("identity_weight", [0., 1.])
@pytest.mark.parametrize("mining", ["semi_hard", "batch_hard", "all"])
def test_two_processes_have_the_gradients_of_one(gradients, mining, identity_weight):
    one, two = (found[mining, identity_weight, True] for found in gradients)
    assert max(value.abs().max().item() for value in one.values()) > 1e-3, "no gradient to compare"
    assert largest_gap(one, two) < 1e-5


@pytest.mark.parametrize("mining", ["semi_hard", "batch_hard", "all"])
def test_without_gathering_it_is_another_loss(gradients, mining):
    one, apart = gradients[0][mining, 0., True], gradients[1][mining, 0., False]
    assert largest_gap(one, gradients[0][mining, 0., False]) < 1e-5, "alone there is nothing to gather"
    assert largest_gap(one, apart) > 1e-3


@pytest.fixture
def people(tmp_path):
    "Noise in 72 pictures of 12 people; the first pixel of each is its number."
    rng, rows = np.random.default_rng(0), []
    for number in range(72):
        pixels = (rng.integers(0, 256, (64, 32, 3)) / [1 + (number // 6 >> bit & 1) for bit in range(3)]).astype(np.uint8)
        pixels[0, 0] = number
        Image.fromarray(pixels).save(tmp_path / f"{number:02d}.png")
        rows.append(dict(path=str(tmp_path / f"{number:02d}.png"), label=f"{number // 6:02d}", split="train" if number < 48 else "valid"))
    pd.DataFrame(rows).to_csv(tmp_path / "people.csv", index=False)
    return pd.DataFrame(rows)


def planned_batches(people):
    "The batches of three epochs, as the sampler makes them."
    sampler = BalancedBatchSampler(people.label[people.split == "train"], 4, 2, seed=42)
    for epoch in range(3):
        sampler.set_epoch(epoch)
        yield from map(tuple, sampler)


@pytest.mark.parametrize("keeps", [False, True])
def test_two_processes_use_every_batch_once_and_end_equal(people, tmp_path, keeps):
    launch(fit_code, 2, tmp_path, 0, tmp_path / "run" if keeps else "none", 0)
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2))
    batches = [[tuple(found["seen"][i:i + 8]) for i in range(0, len(found["seen"]), 8)] for found in (first, second)]
    assert len(batches[0]) == len(batches[1]) == 9 and sorted(batches[0] + batches[1]) == sorted(planned_batches(people))
    assert first["scores"] == second["scores"], "the processes would not stop early together"
    assert [name for name, value in first["weights"].items() if not torch.equal(value, second["weights"][name])] == []


@pytest.mark.slow
def test_two_processes_that_died_are_resumed(people, tmp_path):
    launch(fit_code, 2, tmp_path, 0, tmp_path / "whole", 0)
    whole = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2)]
    launch(fit_code, 2, tmp_path, 0, tmp_path / "run", 38, expected=1)  # in the second epoch, between two checkpoints
    launch(fit_code, 2, tmp_path, 0, tmp_path / "run", 0)
    for rank in range(2):
        resumed = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        assert resumed["scores"] == whole[rank]["scores"]
        assert [name for name, value in whole[rank]["weights"].items() if not torch.equal(value, resumed["weights"][name])] == []


def test_worker_processes_change_nothing(people, tmp_path):
    launch(fit_code, 1, tmp_path, 0, "none", 0)
    alone = torch.load(tmp_path / "0.pt", weights_only=True)
    assert [tuple(alone["seen"][i:i + 8]) for i in range(0, len(alone["seen"]), 8)] == list(planned_batches(people))
    if sys.platform != "linux": return  # elsewhere workers cannot be given code from a string
    launch(fit_code, 1, tmp_path, 2, "none", 0)
    helped = torch.load(tmp_path / "0.pt", weights_only=True)
    assert alone["scores"] == helped["scores"]
    assert all(torch.equal(value, helped["weights"][name]) for name, value in alone["weights"].items())
