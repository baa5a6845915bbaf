"What the benchmark scripts share: the machine in one line, a table in Markdown, turns, fresh processes, peak memory, the peer's training step."
import argparse
import json
import os
import platform
import re
import subprocess
import sys
from pathlib import Path

import torch

top = Path(__file__).resolve().parent.parent


def options(description: str) -> argparse.ArgumentParser:
    "Start a parser with the two options that every script has, and move to the project's top folder."
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--out", type=lambda name: Path(name).absolute(), help="also write the table to this file")
    parser.add_argument("--quick", action="store_true", help="a smoke test of a minute or two: right columns, meaningless numbers")
    os.chdir(top)
    return parser


def device() -> torch.device: return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def machine() -> str:
    "Describe where the numbers come from."
    try: processor = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text()).group(1)
    except (OSError, AttributeError): processor = platform.processor() or platform.machine()
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    return f"Machine: {os.cpu_count()} cores ({processor}), {gpu}; Python {platform.python_version()}, torch {torch.__version__.split('+')[0]} with {torch.get_num_threads()} threads; {platform.system()}."


def table(head: list[str], rows: list[list]) -> str:
    "Set rows under a head, as Markdown: the first column to the left, the others to the right."
    line = lambda cells: "| " + " | ".join(str(cell) for cell in cells) + " |"
    return "\n".join([line(head), "|---|" + "---:|" * (len(head) - 1), *map(line, rows)])


def in_turn(items, number: int) -> list:
    "Rotate what is compared: nobody is always first, or always after the same one."
    items = list(items)
    return items[number % len(items):] + items[:number % len(items)]


def in_child(script: str, *words, **environment) -> dict:
    "Run a script in a fresh process and return the JSON of its last line."
    done = subprocess.run([sys.executable, "-W", "ignore", script, *map(str, words)], capture_output=True, text=True, env=os.environ | environment)
    if done.returncode: raise RuntimeError(f"Expected {Path(script).name} {' '.join(map(str, words))} to run in a process of its own, but it ended with {done.returncode}: {done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def peak_bytes(on_gpu: bool = False) -> int:
    "Return the most memory this process has held so far: resident in RAM, or on the GPU if asked and there is one."
    if on_gpu and torch.cuda.is_available(): return torch.cuda.max_memory_allocated()
    try: return 1024 * int(re.search(r"VmHWM:\s*(\d+)", Path("/proc/self/status").read_text()).group(1))
    except (OSError, AttributeError):  # no Linux
        import resource
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if platform.system() == "Darwin" else 1024)


def reset_peak():
    "Let the kernel forget the peak of memory so far, where it can (Linux)."
    try: Path("/proc/self/clear_refs").write_text("5")
    except OSError: pass


def peer_update(model: torch.nn.Module, rate: float):
    "Return pytorch-metric-learning's documented training step: cosine similarity, semi-hard miner, triplet margin loss over non-zero triplets, Adam."
    from pytorch_metric_learning import distances, losses, miners, reducers
    optimizer, cosine = torch.optim.Adam(model.parameters(), lr=rate), distances.CosineSimilarity()
    triplet_loss = losses.TripletMarginLoss(margin=0.2, distance=cosine, reducer=reducers.ThresholdReducer(low=0))
    miner = miners.TripletMarginMiner(margin=0.2, distance=cosine, type_of_triplets="semihard")
    def update(batch):
        images, labels = (part.to(device()) for part in batch)
        optimizer.zero_grad()
        embeddings = model(images)
        triplet_loss(embeddings, labels, miner(embeddings, labels)).backward()
        optimizer.step()
    return update


def finish(title: str, parts: list[str], out: Path | None):
    "Print a result and, if wished, write it to a file."
    text = "\n\n".join([f"# {title}", *parts, machine()]) + "\n"
    print("\n" + text)
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text, encoding="utf-8")
