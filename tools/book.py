"""Execute pages in full and save their outputs: `python tools/book.py [--all] [nbs/04_training.ipynb ...]`.

Without names, the pages that are out of date are executed, two at a time, in reading order; each is saved when it is
done, so an interrupted book goes on where it was stopped. A page notes in its metadata what it was executed with:
digests of its code, of the package's code that it uses, of what it reads from `benchmarks/results` and of the network
that pages share, versions, processor and minutes; a last digest seals these together with the outputs. `--all`
executes every page, names execute these, `--stale` only lists what is out of date, and `--fold` only folds the
machinery away. The index, which quotes the other pages, follows whatever was executed.
"""
import base64
import hashlib
import io
import json
import os
import platform
import re
import shutil
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


def code_cells(notebook: dict) -> list[str]:
    "Return the code of a page, cell by cell."
    return ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]


def own_digest(cells: list[str]) -> str:
    "Return a digest of a page's code; of functions whose source it prints every letter counts."
    shown = set(re.findall(r"getsource\((\w+)\)", "\n".join(cells)))
    printed = [cell for cell in cells if shown & set(re.findall(r"^def (\w+)", cell, re.M))]
    return reach.digest_of([*map(reach.code_digest, cells), *printed])


def results_digest(cells: list[str]) -> str:
    "Return a digest of the saved results of benchmarks that a page names; empty where it reads none."
    code = "\n".join(cells)
    if "benchmarks/results" not in code:
        return ""
    files = sorted((top / "benchmarks" / "results").glob("*.md"))
    named = [file for file in files if f'"{file.stem}"' in code or f"results/{file.name}" in code]
    return reach.digest_of([file.read_text(encoding="utf-8") for file in named])


def quoted_digest(notebook: dict) -> str:
    "Return a digest of what the index quotes, the notes of all other pages; empty for these."
    if "rglob(\"*.ipynb\")" not in "\n".join(code_cells(notebook)):
        return ""
    return reach.digest_of([str(noted(read(page)).get("seal")) for page in pages() if page.stem != "index"])


def state(notebook: dict) -> dict[str, str]:
    "Say what a page would be executed with now: digests of its code, and of what it reaches, reads and quotes."
    cells = code_cells(notebook)
    modules = reach.package_digests(cells)
    package = " ".join(f"{module}:{digest}" for module, digest in modules.items())
    read_too = dict(results=results_digest(cells), quoted=quoted_digest(notebook))
    return dict(code=own_digest(cells), package=package) | {name: value for name, value in read_too.items() if value}


def read(page: Path) -> dict:
    "Read a notebook."
    return json.loads(page.read_text(encoding="utf-8"))


def noted(notebook: dict) -> dict:
    "Return the note of a page's last execution; empty where it has none."
    return notebook["metadata"].get("executed", {})


def seal(notebook: dict, note: dict) -> str:
    "Return one digest of a note and of the outputs that it stands for, so that neither is changed without the other."
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    outputs = json.dumps([cell["outputs"] for cell in cells], sort_keys=True)
    plain = json.loads(outputs, object_hook=lambda each: {name: joined(value) for name, value in each.items()})
    kept = {name: value for name, value in note.items() if name != "seal"}
    return reach.digest_of([json.dumps([plain, kept], sort_keys=True)])


def joined(value: object) -> object:
    "Join the lines into which notebooks part a text."
    is_lines = isinstance(value, list) and all(isinstance(line, str) for line in value)
    return "".join(value) if is_lines else value


def uses_shared_network(notebook: dict) -> bool:
    "Tell whether a page loads the network that pages share."
    return "demo_model(" in "\n".join(code_cells(notebook))


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


def circumstances(notebook: dict) -> dict:
    "Return what a page is executed with: its state, versions, processor, and the network that pages share."
    versions = {name: metadata.version(name) for name in ("torch", "timm", "numpy", "pandas", "scikit-learn")}
    note = dict(**state(notebook), versions=versions, processor=processor())
    return note | (dict(network=network_digest()) if uses_shared_network(notebook) else {})


def differences(notebook: dict) -> Iterator[str]:
    "Say what has changed since a page was executed."
    note, now = noted(notebook), state(notebook)
    if not note:
        yield "it was never executed by tools/book.py"
        return
    if note.get("code") != now["code"]:
        yield "its code has changed"
    pairs = set(note.get("package", "").split()) ^ set(now["package"].split())
    if changed := sorted({pair.partition(":")[0] for pair in pairs}):
        yield f"what it uses of {', '.join(changed)} has changed"
    if note.get("results") != now.get("results"):
        yield "the results of benchmarks that it shows have changed"
    if note.get("quoted") != now.get("quoted"):
        yield "pages that it quotes were executed since"
    if uses_shared_network(notebook) and not note.get("network"):
        yield "its note does not say which network it loaded"
    if note.get("seal") != seal(notebook, note):
        yield "its outputs or its note were changed by something else than tools/book.py"


def is_stale(page: Path) -> bool:
    "Tell whether a page's saved outputs are old, or of another shared network than the one that lies here."
    notebook = read(page)
    if not code_cells(notebook):
        return False
    here = network_digest()
    is_other = uses_shared_network(notebook) and here and noted(notebook).get("network") != here
    return bool(is_other) or any(differences(notebook))


def network_problems(networks: dict[str, list[str]]) -> Iterator[str]:
    "Name the pages that show another network than most do."
    if len(networks) > 1:
        common = max(networks, key=lambda network: len(networks[network]))
        others = [name for network, names in networks.items() if network != common for name in names]
        yield f"pages show {len(networks)} shared networks; another than most on {', '.join(others)}: make book"


def age_problems() -> Iterator[str]:
    "Name the pages whose outputs are older than what they were made by, what has changed, and what to do."
    networks: dict[str, list[str]] = {}
    for page in pages():
        name = page.relative_to(top).as_posix()
        try:
            notebook = read(page)
            found = list(differences(notebook)) if code_cells(notebook) else []
        except (SyntaxError, ValueError, KeyError) as error:
            yield f"{name}: cannot be read ({error})"
            continue
        note = noted(notebook)
        if found:
            took = f"  # it took {note['minutes']} minutes" if "minutes" in note else ""
            yield f"{name}: {'; '.join(found)}: python tools/book.py {name}{took}"
        if network := note.get("network"):
            networks.setdefault(network, []).append(name)
    yield from network_problems(networks)


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


def write(notebook: dict, page: Path) -> None:
    "Write a notebook as nbdev does."
    text = json.dumps(notebook, indent=1, sort_keys=True, ensure_ascii=False)
    page.write_text(text + "\n", encoding="utf-8", newline="\n")


def fold_page(page: Path) -> None:
    "Fold the machinery of a saved page."
    notebook = read(page)
    if fold(notebook):
        write(notebook, page)


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


def save(notebook: dict, page: Path) -> None:
    "Save a page that was executed, cleaned and sealed; a page appears whole or not at all."
    import nbformat
    from nbdev.clean import nbdev_clean

    beside = page.with_name(f"_{page.stem}_executed.ipynb")
    try:
        nbformat.write(notebook, beside)
        nbdev_clean(str(beside))
        cleaned = read(beside)
        cleaned["metadata"]["executed"]["seal"] = seal(cleaned, noted(cleaned))
        write(cleaned, beside)
        os.replace(beside, page)
    finally:
        beside.unlink(missing_ok=True)


def check_whole(notebook: dict, before: dict, page: Path) -> None:
    "Refuse outputs that would not be what they seem: data that were missing, code that changed meanwhile."
    shown = json.dumps([cell.get("outputs", []) for cell in notebook["cells"]])
    if "Skipped:" in shown:
        raise SystemExit(f"{page.name} was not saved: it skips cells whose data are missing here (see its output)")
    reach.forget()
    if circumstances(read(page)) != before:
        raise SystemExit(f"{page.name} was not saved: the page, the package or the network changed meanwhile")


def execute(page: Path) -> None:
    "Run one page top to bottom in its own folder and save it, cleaned, with the note of what it ran with."
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(page, as_version=4)
    before = circumstances(notebook)
    started = time.time()
    place = {"metadata": {"path": str(page.parent)}}
    NotebookClient(notebook, timeout=2400, kernel_name="python3", resources=place).execute()
    seconds = time.time() - started
    check_whole(notebook, before, page)
    drop_progress(notebook)
    shrink_figures(notebook)
    fold(notebook)
    state_duration(notebook, seconds)
    notebook.metadata["executed"] = dict(**before, minutes=round(seconds / 60, 1))
    save(notebook, page)
    print(f"{page.relative_to(top)}: {seconds:.0f} s", flush=True)


def execute_apart(page: Path) -> bool:
    "Execute a page in a process of its own, one thread each, and tell whether it succeeded."
    path = os.pathsep.join([str(top), *filter(None, [os.environ.get("PYTHONPATH")])])  # the package beside this script
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path}
    environment.pop("MPLBACKEND", None)  # with a backend of its own a page would save no figure
    command = [sys.executable, __file__, "--here", str(page)]
    done = subprocess.run(command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    print(done.stdout[-3000:] if done.returncode else done.stdout.splitlines()[-1], flush=True)
    return done.returncode == 0


def train_shared_network() -> None:
    "Render the pedestrians and train the network that pages share, again where the code that makes them has changed."
    code = "from siamese_nbdev.training import demo_model; demo_model('.')"
    made_by = shared_network.parent / "made_by"
    now = json.dumps(reach.package_digests([code]))
    is_other = not made_by.exists() or made_by.read_text(encoding="utf-8") != now
    if shared_network.exists() and is_other:
        print("The shared network here was trained by other code, or by nobody knows which: it is trained again")
        shutil.rmtree(shared_network.parent)
        shutil.rmtree(top / "data" / "pedestrians", ignore_errors=True)
    environment = {**os.environ, "PYTHONPATH": str(top)}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
    made_by.write_text(now, encoding="utf-8")


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
    if "--stale" in arguments:
        print("\n".join(str(page.relative_to(top)) for page in pages() if is_stale(page)))
        return 0
    train_shared_network()
    chosen = named or [page for page in pages() if "--all" in arguments or is_stale(page)]
    last = [page for page in pages() if page.stem == "index" and chosen]  # it quotes the others
    first = [page for page in chosen if page not in last]
    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(execute_apart, first))
    done += [execute_apart(page) for page in last]
    failed = [page.relative_to(top) for page, ok in zip(first + last, done, strict=True) if not ok]
    print("\n".join(f"FAILED {name}" for name in failed) or f"{len(first + last)} pages were executed")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
