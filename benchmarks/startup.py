"""How long does a call wait before it works? The command and an import, each beside the packages it cannot do without.

Every figure comes from fresh processes, in turns with its anchor: a process that imports those packages and does
nothing. Seconds are what somebody waits, CPU seconds what the machine computes meanwhile, which a busy machine changes
less. Modules are compiled before, as they are after the first start of an installed package.

Tried without gain: a part of timm alone. `timm/__init__.py` imports all of timm, so a module of it costs as much; most
of it is torchvision, which timm imports, and of that `torch._dynamo`, which torchvision's operators import.
"""
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
from report import finish, in_turn, options, table

from siamese_nbdev.embeddings import embed_images
from siamese_nbdev.model import SiameseNet, save_model
from siamese_nbdev.pedestrians import make_pedestrians

rounds = 5
head = ["call", "seconds", "CPU seconds", "MB", "beside", "seconds", "CPU seconds", "MB", "ratio", "ratio of CPU"]

starter = """
import os, subprocess, sys, time
started = time.perf_counter()
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
usage = os.wait4(process.pid, 0)[2]
print(time.perf_counter() - started, usage.ru_utime + usage.ru_stime, usage.ru_maxrss)
"""  # a small process between us and what we measure: the peak of a child begins at its parent's


class Start(NamedTuple):
    "What one process took."
    seconds: float
    cpu: float
    megabytes: float


def start(words: list) -> Start:
    "Run this Python in a fresh process, whatever its status, and measure it."
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, "-W", "ignore", *map(str, words)]
    done = subprocess.run([sys.executable, "-S", "-c", starter, *command], env=environment, capture_output=True)
    seconds, cpu, peak = map(float, done.stdout.split())
    return Start(seconds, cpu, peak / (1e6 if sys.platform == "darwin" else 1e3))


def command(*words) -> list:
    "Call siamese-nbdev."
    return ["-m", "siamese_nbdev.cli", *words]


def imports(packages: str) -> list:
    "Import packages and end."
    return ["-c", f"import {packages}" if packages else "pass"]


def compare(name: str, call: list, packages: str, times: int) -> list:
    "Measure a call and its anchor in turns; returns a row of the table."
    ways = {"call": call, "anchor": imports(packages)}
    for words in ways.values():  # compiles modules, and brings files into memory
        start(words)
    taken = {way: [] for way in ways}
    for number in range(times):
        for way in in_turn(ways, number):
            taken[way].append(start(ways[way]))
    own, anchor = (np.array(taken[way]) for way in ways)
    cells = [f"{values[0]:.2f} | {values[1]:.2f} | {values[2]:.0f}" for values in map(middle, (own, anchor))]
    ratios = np.median(own / anchor, axis=0)
    beside = f"`import {packages}`" if packages else "an empty program"
    return [name, cells[0], beside, cells[1], f"{ratios[0]:.2f}", f"{ratios[1]:.2f}"]


def middle(values: np.ndarray) -> np.ndarray:
    "Return the median of each column."
    return np.median(values, axis=0)


def save_index(folder: Path, images: int) -> str:
    "Save a network and an embedding set beside it; returns one of the pictures."
    people = make_pedestrians("data").iloc[:images]
    model = SiameseNet()
    save_model(model, folder / "model")
    embed_images(model, people, progress=False).save(folder / "embeddings")
    return people["path"].iloc[0]


def main():
    chosen = options(__doc__.splitlines()[0]).parse_args()
    times = 1 if chosen.quick else rounds
    with tempfile.TemporaryDirectory() as folder:
        picture = save_index(Path(folder), 32 if chosen.quick else 1000)
        few = "numpy, pandas"
        calls = [
            ("`siamese-nbdev --help`", command("--help"), "typer"),
            ("an unknown command", command("nothing"), "typer"),
            ("`siamese-nbdev run` of no folder", command("run", "nowhere"), few),
            ("`siamese-nbdev evaluate` of a saved set", command("evaluate", folder), few),
            ("`import siamese_nbdev.retrieval`", imports("siamese_nbdev.retrieval"), few),
            ("the same", imports("siamese_nbdev.retrieval"), "pandas, matplotlib.pyplot, torch"),
            ("`import siamese_nbdev.training`", imports("siamese_nbdev.training"), "pandas, matplotlib.pyplot, torch"),
            ("`siamese-nbdev search` of a picture", command("search", picture, "--index", folder), "torch, timm"),
            ("an empty program", imports(""), ""),
        ]
        rows = []
        for name, call, packages in calls:
            rows.append(compare(name, call, packages, times))
            print(rows[-1], flush=True)
    note = (
        f"Medians of {times} fresh processes each, in turns; the ratio is the median over the turns. The saved set "
        f"holds {32 if chosen.quick else '1,000'} pictures; a search builds, fills and runs the network beside it."
    )
    finish("What a start costs", [note, table(head, rows)], chosen.out)


if __name__ == "__main__":
    main()
