"""Two processes get the gradients of one: mining over the gathered batch, with the default triplet loss."""
import os
import socket
import subprocess
import sys

import numpy as np
import torch

code = """
import sys, torch
from types import SimpleNamespace
from accelerate import Accelerator
from siamese_nbdev.loss import TripletLoss
from siamese_nbdev.model import SiameseNet
from siamese_nbdev.training import Trainee, batch_loss
torch.set_num_threads(1)
accelerator = Accelerator(cpu=True)
torch.manual_seed(0)
images, labels = torch.rand(16, 3, 64, 32), torch.arange(4).repeat(4)
trainee = accelerator.prepare(Trainee(SiameseNet("test_efficientnet", pretrained=False, image_size=(64, 32), embedding_size=8, head="linear")))
trainee.eval()  # running statistics: local batch statistics would remain a difference between one process and two
gathers = sys.argv[2] == "gather"
mine = slice(accelerator.process_index * 16 // accelerator.num_processes, (accelerator.process_index + 1) * 16 // accelerator.num_processes)
if not gathers: accelerator.gather = lambda value: value  # plain data parallelism: each process mines its own part
run = SimpleNamespace(accelerator=accelerator, trainee=trainee, loss=TripletLoss(0.3, mining=sys.argv[3]), mixed=False, options={})
if gathers: loss, note = batch_loss(run, (images[mine], labels[mine]))
else: loss = run.loss(trainee(images[mine])[0], labels[mine])
accelerator.backward(loss)
if accelerator.is_main_process: torch.save({name: weight.grad for name, weight in accelerator.unwrap_model(trainee).named_parameters()}, sys.argv[1])
accelerator.end_training()
"""


def gradients(path, processes, way, mining):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = dict(os.environ, MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), WORLD_SIZE=str(processes), LOCAL_WORLD_SIZE=str(processes), ACCELERATE_USE_CPU="true", OMP_NUM_THREADS="1")
    if processes == 1: shared = dict(os.environ, ACCELERATE_USE_CPU="true", OMP_NUM_THREADS="1")
    started = [subprocess.Popen([sys.executable, "-c", code, str(path), way, mining], stderr=subprocess.PIPE, text=True,
                                env=shared if processes == 1 else shared | dict(RANK=str(rank), LOCAL_RANK=str(rank))) for rank in range(processes)]
    for process in started:
        _, errors = process.communicate(timeout=180)
        assert process.returncode == 0, errors[-3000:]
    return torch.load(path, weights_only=True)


def largest_gap(first, second): return max((first[name] - second[name]).abs().max().item() for name in first)


def test_two_processes_have_the_gradients_of_one(tmp_path):
    for mining in ("semi_hard", "all"):
        one, two = (gradients(tmp_path / f"{count}.pt", count, "gather", mining) for count in (1, 2))
        assert max(value.abs().max().item() for value in one.values()) > 1e-3, "no gradient to compare"
        assert largest_gap(one, two) < 1e-5


def test_without_gathering_it_is_another_loss(tmp_path):
    one, apart = gradients(tmp_path / "1.pt", 1, "gather", "all"), gradients(tmp_path / "2.pt", 2, "apart", "all")
    assert largest_gap(one, apart) > 1e-3
