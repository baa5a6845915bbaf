"What the benchmark scripts share: the machine in one line, a table in Markdown, peak memory, a file to write to."
import argparse
import os
import platform
import re
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


def peak_bytes() -> int:
    "Return the most memory this process has held so far: on the GPU if there is one, else resident in RAM."
    if torch.cuda.is_available(): return torch.cuda.max_memory_allocated()
    try: return 1024 * int(re.search(r"VmHWM:\s*(\d+)", Path("/proc/self/status").read_text()).group(1))
    except (OSError, AttributeError):  # no Linux
        import resource
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if platform.system() == "Darwin" else 1024)


def finish(title: str, parts: list[str], out: Path | None):
    "Print a result and, if wished, write it to a file."
    text = "\n\n".join([f"# {title}", *parts, machine()]) + "\n"
    print("\n" + text)
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text, encoding="utf-8")
