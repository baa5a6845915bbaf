"""What the benchmark scripts share: the machine in one line, a table in Markdown, turns, fresh processes, peak memory,
the peer's training step."""
import argparse
import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from siamese_nbdev.checks import counted

top = Path(__file__).resolve().parent.parent


def absolute_path(name: str) -> Path:
    "Read a file's name from the command line, before the folder changes."
    return Path(name).absolute()


def options(description: str) -> argparse.ArgumentParser:
    "Start a parser with the two options that every script has, and move to the project's top folder."
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--out", type=absolute_path, help="also write the table to this file")
    quick = "a smoke test of a minute or two: right columns, meaningless numbers"
    parser.add_argument("--quick", action="store_true", help=quick)
    os.chdir(top)
    return parser


def device() -> torch.device:
    "Return the GPU where there is one, else the processor."
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def processor_name() -> str:
    "Return what the processor calls itself."
    try:
        found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    except OSError:
        found = None
    return found[1] if found else platform.processor() or platform.machine()


def machine(threads: int | None = None) -> str:
    "Describe where the numbers come from; with how many threads, unless it is those of this process."
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    version = torch.__version__.split("+")[0]
    return (
        f"Machine: {os.cpu_count()} cores ({processor_name()}), {gpu}; Python {platform.python_version()}, "
        f"torch {version} with {counted(threads or torch.get_num_threads(), 'thread')}; {platform.system()}."
    )


def table_row(cells: list) -> str:
    "Set one row of a table."
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def table(head: list[str], rows: list[list]) -> str:
    "Set rows under a head, as Markdown: the first column to the left, the others to the right."
    line = "|---|" + "---:|" * (len(head) - 1)
    return "\n".join([table_row(head), line, *map(table_row, rows)])


def in_turn(items, number: int) -> list:
    "Rotate what is compared: nobody is always first, or always after the same one."
    items = list(items)
    return items[number % len(items):] + items[:number % len(items)]


def in_child(script: str, *words, **environment) -> Any:
    "Run a script in a fresh process and return the JSON of its last line."
    arguments = [str(word) for word in words]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", script, *arguments],
        capture_output=True,
        text=True,
        env=os.environ | environment,
    )
    if done.returncode:
        raise RuntimeError(
            f"Expected {Path(script).name} {' '.join(arguments)} to run in a process of its own, "
            f"but it ended with {done.returncode}: {done.stderr[-2000:]}"
        )
    return json.loads(done.stdout.splitlines()[-1])


def peak_bytes(on_gpu: bool = False) -> int:
    "Return the most memory this process has held so far: resident in RAM, or on the GPU if asked and there is one."
    if on_gpu and torch.cuda.is_available(): return torch.cuda.max_memory_allocated()
    try:
        found = re.search(r"VmHWM:\s*(\d+)", Path("/proc/self/status").read_text())
    except OSError:
        found = None
    if found: return 1024 * int(found[1])
    import resource  # no Linux; Windows has neither
    unit = 1 if platform.system() == "Darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def reset_peak() -> None:
    "Let the kernel forget the peak of memory so far, where it can (Linux)."
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peer_update(model: nn.Module, rate: float) -> Callable[[tuple[Tensor, Tensor]], None]:
    """Return pytorch-metric-learning's documented training step: cosine similarity, semi-hard miner, triplet margin
    loss over non-zero triplets, Adam."""
    from pytorch_metric_learning import distances, losses, miners, reducers
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    cosine = distances.CosineSimilarity()
    triplet_loss = losses.TripletMarginLoss(margin=0.2, distance=cosine, reducer=reducers.ThresholdReducer(low=0))
    miner = miners.TripletMarginMiner(margin=0.2, distance=cosine, type_of_triplets="semihard")

    def update(batch):
        images, labels = (part.to(device()) for part in batch)
        optimizer.zero_grad()
        embeddings = model(images)
        triplet_loss(embeddings, labels, miner(embeddings, labels)).backward()
        optimizer.step()

    return update


def finish(title: str, parts: list[str], out: Path | None, threads: int | None = None) -> None:
    "Print a result and, if wished, write it to a file; `threads` are those of the child that measured, if it was one."
    text = "\n\n".join([f"# {title}", *parts, machine(threads)]) + "\n"
    print("\n" + text)
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text, encoding="utf-8")
