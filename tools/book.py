"""Execute pages in full and save their outputs: `python tools/book.py [--all] [nbs/04_training.ipynb ...]`.

Without names, the pages that are out of date are executed, two at a time, in reading order; each is saved when it is
done, so an interrupted book goes on where it was stopped. A page notes in its metadata what it was executed with: the
digest of its code, of the package's code that it uses and of the network that pages share, versions, processor and
minutes. `--all` executes every page, names execute these, `--stale` only lists what is out of date, and `--fold` only
folds the machinery away.
"""
import base64
import hashlib
import io
import json
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path

import reach

top = Path(__file__).resolve().parent.parent
shared_network = top / "runs" / "demo_model" / "model"
duration = re.compile(r"(runs in )about (?:an?|[\d.]+) (?:second|minute)s?( on 2 cores)")
machinery = re.compile(r"^#\|\s*(export|exporti|hide)\s*$", re.M)


def pages() -> list[Path]:
    "Return every notebook in reading order: appendix, walk, solutions, applications and the rest, the index last."
    paths = (top / "nbs").rglob("*.ipynb")
    found = [path for path in paths if not any(part[0] in "._" for part in path.relative_to(top).parts)]
    rank = {"appendix": 0, "nbs": 1, "solutions": 2, "applications": 3}
    return sorted(found, key=lambda path: (path.stem == "index", rank.get(path.parent.name, 4), path.name))


# What a page was executed with


def state(notebook: dict) -> dict[str, str]:
    "Say what a page would be executed with now: digests of its code and of the package's code that it reaches."
    code = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    own = reach.digest_of([reach.code_digest(cell) for cell in code])
    return dict(code=own, package=reach.package_digest("\n".join(code)))


def uses_shared_network(notebook: dict) -> bool:
    "Tell whether a page loads the network that pages share."
    return "demo_model(" in "\n".join("".join(cell["source"]) for cell in notebook["cells"])


def network_digest() -> str:
    "Return the digest of the weights that pages share; empty where they are not there."
    files = sorted(shared_network.rglob("*.safetensors"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16] if files else ""


def processor() -> str:
    "Name the processor and its cores, without the machine."
    cpuinfo = Path("/proc/cpuinfo")
    text = cpuinfo.read_text(encoding="utf-8") if cpuinfo.exists() else ""
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.M)
    return f"{found[1].strip() if found else platform.machine()}, {os.cpu_count()} cores"


def executed_with(notebook: dict, seconds: float) -> dict:
    "Return the note that a page carries in its metadata."
    versions = {name: metadata.version(name) for name in ("torch", "timm", "numpy", "scikit-learn")}
    note = dict(**state(notebook), versions=versions, processor=processor(), minutes=round(seconds / 60, 1))
    if uses_shared_network(notebook):
        note["network"] = network_digest()
    return note


def is_old(notebook: dict) -> bool:
    "Tell whether saved outputs are of other code than there is now."
    noted = notebook["metadata"].get("executed", {})
    has_code = any(cell["cell_type"] == "code" for cell in notebook["cells"])
    return has_code and any(noted.get(name) != value for name, value in state(notebook).items())


def is_stale(page: Path) -> bool:
    "Tell whether a page's saved outputs are of other code, or of another shared network, than there is now."
    notebook = json.loads(page.read_text(encoding="utf-8"))
    noted = notebook["metadata"].get("executed", {})
    return is_old(notebook) or (uses_shared_network(notebook) and noted.get("network") != network_digest())


def age_problems() -> Iterator[str]:
    "Name the pages whose outputs are older than their code or than the code they reach, or of another network."
    networks: dict[str, list[str]] = {}
    for page in pages():
        notebook = json.loads(page.read_text(encoding="utf-8"))
        name = str(page.relative_to(top))
        if is_old(notebook):
            yield f"{name}: its outputs are older than its code, or than the package's code that it reaches: make book"
        if network := notebook["metadata"].get("executed", {}).get("network"):
            networks.setdefault(network, []).append(name)
    if len(networks) > 1:
        rarest = min(networks, key=lambda network: len(networks[network]))
        yield f"pages show {len(networks)} shared networks; one only on {', '.join(networks[rarest])}: make book"


# Outputs, as they are saved


def drop_progress(notebook: dict) -> None:
    "Remove progress bars and the empty lines round them, and join what they parted: they say nothing on a page."
    def is_bar(output: dict) -> bool:
        text = output.get("text", "")
        return output.get("name") == "stderr" and ("\r" in text or not text.strip())

    for cell in notebook["cells"]:
        if cell["cell_type"] != "code":
            continue
        kept: list[dict] = []
        for output in cell["outputs"]:
            if is_bar(output):
                continue
            if kept and output["output_type"] == "stream" and kept[-1].get("name") == output["name"]:
                kept[-1]["text"] += output["text"]
            else:
                kept.append(output)
        cell["outputs"] = kept


def as_jpeg(encoded: str, limit: int) -> str:
    "Turn a PNG into a JPEG below a number of bytes, on a white ground; both in base64."
    from PIL import Image

    figure = Image.open(io.BytesIO(base64.b64decode(encoded))).convert("RGBA")
    figure = Image.alpha_composite(Image.new("RGBA", figure.size, "white"), figure).convert("RGB")
    small = io.BytesIO()
    for quality in (90, 85, 80, 70):
        small = io.BytesIO()
        figure.save(small, "JPEG", quality=quality, subsampling=0, optimize=True)
        if small.tell() < limit: break
    return base64.b64encode(small.getvalue()).decode()


def shrink_figures(notebook: dict, limit: int = 120_000) -> None:
    "Save large figures (grids of pictures) again as JPEG, which takes about a fifth of the bytes."
    for cell in notebook["cells"]:
        for output in cell.get("outputs", []):
            encoded = output.get("data", {}).get("image/png")
            if encoded is None or len(encoded) * 3 / 4 < limit: continue
            del output["data"]["image/png"]
            output["data"]["image/jpeg"] = as_jpeg(encoded, limit)


def is_machinery(cell: dict) -> bool:
    "Tell whether a cell is not part of the lesson: hidden, or in the package without being shown."
    return cell["cell_type"] == "code" and bool(machinery.search("".join(cell["source"])))


def fold(notebook: dict) -> bool:
    "Fold machinery in notebook viewers (one click opens it), unfold all else, and tell whether something changed."
    changed = False
    for cell in notebook["cells"]:
        wanted = {"source_hidden": True} if is_machinery(cell) else {}
        if cell["metadata"].get("jupyter", {}) != wanted:
            changed = True
            cell["metadata"].pop("jupyter", None)
            if wanted:
                cell["metadata"]["jupyter"] = wanted
    return changed


def fold_page(page: Path) -> None:
    "Fold the machinery of a saved page."
    notebook = json.loads(page.read_text(encoding="utf-8"))
    if fold(notebook):
        text = json.dumps(notebook, indent=1, sort_keys=True, ensure_ascii=False)
        page.write_text(text + "\n", encoding="utf-8", newline="\n")


def in_words(seconds: float) -> str:
    "Say how long a page took, roundly."
    if seconds < 55:
        return f"about {max(5, 5 * round(seconds / 5))} seconds"
    minutes = round(seconds / 60)
    return f"about {minutes} minutes" if minutes > 1 else "about a minute"


def state_duration(notebook: dict, seconds: float) -> None:
    "Write the measured time into the sentence of the opening that states it."
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            cell["source"] = duration.sub(rf"\g<1>{in_words(seconds)}\g<2>", cell["source"])


def execute(page: Path) -> None:
    "Run one page top to bottom in its own folder and save it, cleaned, with the note of what it ran with."
    import nbformat
    from nbclient import NotebookClient
    from nbdev.clean import nbdev_clean

    notebook = nbformat.read(page, as_version=4)
    started = time.time()
    place = {"metadata": {"path": str(page.parent)}}
    NotebookClient(notebook, timeout=2400, kernel_name="python3", resources=place).execute()
    seconds = time.time() - started
    drop_progress(notebook)
    shrink_figures(notebook)
    fold(notebook)
    state_duration(notebook, seconds)
    notebook.metadata["executed"] = executed_with(notebook, seconds)
    nbformat.write(notebook, page)
    nbdev_clean(str(page))
    print(f"{page.relative_to(top)}: {seconds:.0f} s", flush=True)


def execute_apart(page: Path) -> bool:
    "Execute a page in a process of its own, one thread each, and tell whether it succeeded."
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    environment.pop("MPLBACKEND", None)  # with a backend of its own a page would save no figure
    command = [sys.executable, __file__, "--here", str(page)]
    done = subprocess.run(command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    print(done.stdout[-3000:] if done.returncode else done.stdout.splitlines()[-1], flush=True)
    return done.returncode == 0


def train_shared_network() -> None:
    "Render the pedestrians and train the network that pages share, before any page needs it."
    subprocess.run([sys.executable, "-c", "from siamese_nbdev.training import demo_model; demo_model('.')"], check=True)


def main(arguments: list[str]) -> int:
    os.chdir(top)
    if unknown := {name for name in arguments if name.startswith("--")} - {"--all", "--fold", "--here", "--stale"}:
        print(__doc__, *(f"unknown: {name}" for name in unknown - {"--help"}), sep="\n")
        return int("--help" not in unknown)
    named = [Path(name).resolve() for name in arguments if not name.startswith("--")]
    if "--here" in arguments:
        for page in named:
            execute(page)
        return 0
    if "--fold" in arguments:
        for page in named or pages():
            fold_page(page)
        return 0
    chosen = named or [page for page in pages() if "--all" in arguments or is_stale(page)]
    if "--stale" in arguments:
        print("\n".join(str(page.relative_to(top)) for page in chosen))
        return 0
    train_shared_network()
    last = [page for page in chosen if page.stem == "index"]  # it quotes the minutes of the others
    first = [page for page in chosen if page not in last]
    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(execute_apart, first))
    done += [execute_apart(page) for page in last]
    failed = [page.relative_to(top) for page, ok in zip(first + last, done, strict=True) if not ok]
    print("\n".join(f"FAILED {name}" for name in failed) or f"{len(chosen)} pages are up to date")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
