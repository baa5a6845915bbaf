"""Everything that CI checks, counted: `python tools/check.py [NAME ...]`, with the names `clean`, `export`, `readme`,
`outputs`, `age`, `prose`, `style`, `ruff`, `site`, `pyright`, `imports`, `notebooks` and `pytest`.

Without names all of them run. The last line is `N passed, N failed`; the exit status is 1 if anything failed.
"""
import json
import multiprocessing
import multiprocessing.forkserver
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import book
import style

top = Path(__file__).resolve().parent.parent
results: list[tuple[str, bool]] = []
side_by_side = {"OMP_NUM_THREADS": "1", "MPLBACKEND": "agg"}  # two checks run at a time
forks = multiprocessing.get_context("spawn" if os.name == "nt" else "forkserver")
longest = [  # these begin first
    *("your_own_images", "04_training", "many_devices", "13_serve", "06_retrieval", "07_evaluation", "14_cli"),
    *("08_verification", "resuming", "05_embeddings", "10_explain"),
]


def report(name: str, ok: bool, seconds: float, detail: str = "") -> None:
    "Count one result and print it, with what went wrong."
    results.append((name, ok))
    print(f"{'ok    ' if ok else 'FAILED'} {name} ({seconds:.0f} s)", flush=True)
    if not ok and detail:
        print("\n".join("       " + line for line in detail.strip().splitlines()[-60:]), flush=True)


def run(command: list, **options) -> tuple[bool, str]:
    "Run a command from the top folder and return whether it succeeded, with its output."
    done = subprocess.run(
        [str(part) for part in command],
        cwd=options.pop("cwd", top),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        errors="replace",
        **options,
    )
    return done.returncode == 0, done.stdout


def program(name: str) -> Path:
    "Return a program that lies beside this Python."
    return Path(sys.executable).parent / name


def differences(a: Path, b: Path, pattern: str) -> str:
    "Name the files below two folders whose contents differ."
    skipped = ("__pycache__", ".ipynb_checkpoints")
    names = {
        path.relative_to(root)
        for root in (a, b)
        for path in root.rglob(pattern)
        if not any(part in skipped for part in path.parts)
    }

    def content(path: Path) -> str | None:
        return path.read_text(encoding="utf-8") if path.exists() else None

    return "\n".join(str(name) for name in sorted(names) if content(a / name) != content(b / name))


def check_sync(kind: str) -> None:
    "Run nbdev_clean or nbdev_export on a copy; nothing may change."
    started = time.time()
    leave = shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints", "runs")
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        for name in ("settings.ini", "setup.py", "pyproject.toml"):
            shutil.copy(top / name, copy)
        for name in ("nbs", "siamese_nbdev"):
            shutil.copytree(top / name, copy / name, ignore=leave)
        ok, text = run([program(f"nbdev_{kind}")], cwd=copy)
        place, pattern = ("nbs", "*.ipynb") if kind == "clean" else ("siamese_nbdev", "*.py")
        changed = differences(top / place, copy / place, pattern)
    advice = {"clean": "not clean", "export": "out of step with its notebook"}[kind]
    detail = f"{advice} (run nbdev_{kind}):\n{changed}" if changed else text
    title = {"clean": "notebooks are clean", "export": "package equals its notebooks"}[kind]
    report(title, ok and not changed, time.time() - started, detail)


def check_command(title: str, command: list) -> None:
    "Run a command that says by its exit status whether all is well."
    started = time.time()
    ok, text = run(command)
    report(title, ok, time.time() - started, text)


def output_problems(output: dict) -> list[str]:
    "Say what in one saved output is not fit to publish."
    private = re.compile(r"(?<![\w.])/(?:tmp|root|work|home|Users)/[\w.-]+")
    shown = output.get("data") or {"text": output.get("text", "")}
    text = json.dumps({kind: value for kind, value in shown.items() if not kind.startswith("image")})
    found = []
    if output["output_type"] == "error":
        found.append("a saved error")
    if path := private.search(text):
        found.append(path.group())
    if "Skipped:" in text:
        found.append("a cell that was skipped, since its data were missing")
    if re.search(r"warning:", text, re.I):
        found.append("a warning")
    if output.get("name") == "stderr" and "\\r" in text:
        found.append("a progress bar")
    return found


def check_outputs() -> None:
    "Saved outputs hold no error, no warning, no progress bar and no path of somebody's machine."
    started = time.time()
    found = []
    for page in style.notebooks():
        for number, cell in enumerate(json.loads(page.read_text(encoding="utf-8"))["cells"]):
            for output in cell.get("outputs", []):
                found += [f"{page.name} cell {number}: {problem}" for problem in output_problems(output)]
    report("saved outputs are fit to publish", not found, time.time() - started, "\n".join(found))


def check_age() -> None:
    "Saved outputs are of the code as it stands, and of one shared network."
    started = time.time()
    found = list(book.age_problems())
    report("saved outputs are of the code as it stands", not found, time.time() - started, "\n".join(found))


def check_style() -> None:
    "Layout of cells, public names, and the direction of imports, each counted on its own."
    checks: dict[str, Callable] = {
        "cells are set wide": lambda: (problem for page in style.notebooks() for problem in style.cell_problems(page)),
        "machinery is folded": lambda: (problem for page in style.notebooks() for problem in style.fold_problems(page)),
        "public names equal the contract": style.public_problems,
        "pages import lower pages only": style.import_problems,
        "lines hold no more than they should": style.density_problems,
    }
    for title, look in checks.items():
        started = time.time()
        found = list(look())
        report(title, not found, time.time() - started, "\n".join(found))


def check_ruff() -> None:
    "The linter passes over the package, the scripts and the notebooks."
    places = ["siamese_nbdev", "tools", "tests", "benchmarks", "setup.py", "nbs"]
    check_command("ruff", [program("ruff"), "check", "--quiet", *places])


def check_site() -> None:
    "What the site shows and where it leads, each check counted; the drawings are what their code draws."
    import website_checks

    for title, look in website_checks.checks.items():
        started = time.time()
        found = list(look())
        report(title, not found, time.time() - started, "\n".join(found))
    check_command("drawings equal their code", [sys.executable, "tools/diagrams", "--check"])


def check_pyright() -> None:
    "The types of the package hold."
    check_command("pyright", [program("pyright")])


def modules() -> list[str]:
    "List the modules of the package."
    stems = [path.stem for path in sorted((top / "siamese_nbdev").glob("*.py")) if path.stem != "_modidx"]
    return ["siamese_nbdev" if stem == "__init__" else f"siamese_nbdev.{stem}" for stem in stems]


import_alone = """
import importlib, sys, traceback
sys.modules["nbdev"] = sys.modules["fastcore"] = sys.modules["IPython"] = None
for name in sys.argv[1:]:
    for loaded in [known for known in sys.modules if known.split(".")[0] == "siamese_nbdev"]:
        del sys.modules[loaded]
    try:
        importlib.import_module(name)
        print("imported", name)
    except Exception:
        print(name, traceback.format_exc())
"""


def check_imports() -> None:
    "Every module imports on its own, nothing of the package loaded before, where nbdev and fastcore do not exist."
    started = time.time()
    _, text = run([sys.executable, "-W", "error::SyntaxWarning", "-c", import_alone, *modules()])
    lines = text.splitlines()
    for module in modules():
        is_imported = f"imported {module}" in lines
        report(f"import {module} without nbdev", is_imported, time.time() - started, text)


def prepare() -> None:
    "Render the pedestrians and train the small network that pages load, once, before pages run side by side."
    started = time.time()
    code = "from siamese_nbdev.training import demo_model; demo_model('.')"
    done = subprocess.run([sys.executable, "-c", code], cwd=top)
    report("pedestrians rendered, small network trained", done.returncode == 0, time.time() - started)


def check_notebook(page: Path) -> None:
    "Run one notebook as nbdev_test does, in a process of its own."
    started = time.time()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        log = Path(folder, "log")
        process = forks.Process(target=warm_page, args=(page, log))
        process.start()
        process.join(900)
        if process.is_alive():
            process.kill()
            process.join()
        text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
    skipped = "".join(f" [{line}]" for line in re.findall(r"^SKIPPED:.*$", text, re.M))
    report(f"{page.relative_to(top)}{skipped}", process.exitcode == 0, time.time() - started, text)


def begin_forks() -> None:
    "Start the server of forks, which imports the large packages once."
    forks.set_forkserver_preload(["warm"])
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(top / "tools"), *filter(None, [before])])  # where `warm` is
    multiprocessing.forkserver.ensure_running()
    del os.environ["PYTHONPATH"]
    if before:
        os.environ["PYTHONPATH"] = before


def warm_page(page: Path, log: Path) -> None:
    "Run a page where the large packages are imported already."
    from warm import run_page

    run_page(page, log)


def check_pytest() -> None:
    "Run the process tests and count each of them."
    started = time.time()
    with tempfile.TemporaryDirectory() as folder:
        listing = Path(folder, "junit.xml")
        ok, text = run([sys.executable, "-m", "pytest", "-q", "-rs", "--durations", "12", "--junitxml", listing])
        print(text, flush=True)
        cases = list(ElementTree.parse(listing).iter("testcase")) if listing.exists() else []
    for case in cases:
        if case.find("skipped") is None:
            passed = case.find("failure") is None and case.find("error") is None
            results.append((case.get("name", "test"), passed))
    if not cases or (not ok and all(passed for _, passed in results)):
        report("pytest", False, time.time() - started, text)


def in_order(pages: list[Path]) -> list[Path]:
    "Put the pages that take longest first, so that two workers end at about the same time."
    return sorted(pages, key=lambda page: page.stem not in longest)


def main(wanted: list[str]) -> bool:
    started = time.time()

    def is_wanted(name: str) -> bool:
        return not wanted or name in wanted

    for kind in ("clean", "export"):
        if is_wanted(kind):
            check_sync(kind)
    if is_wanted("readme"):
        check_command("README follows nbs/index.ipynb", [sys.executable, "tools/readme.py", "--check"])
    if is_wanted("prose"):
        check_command("prose says what pages print", [sys.executable, "tools/prose.py"])
    for name, check in dict(outputs=check_outputs, age=check_age, style=check_style, ruff=check_ruff).items():
        if is_wanted(name):
            check()
    if is_wanted("notebooks"):
        prepare()
    os.environ.update(side_by_side)
    if os.name != "nt":
        begin_forks()
    with ThreadPoolExecutor(2) as pool:
        jobs = [pool.submit(check_pytest)] if is_wanted("pytest") else []
        if is_wanted("notebooks"):
            jobs += [pool.submit(check_notebook, page) for page in in_order(style.notebooks())]
        if is_wanted("site"):
            jobs.append(pool.submit(check_site))
        if is_wanted("pyright"):
            jobs.append(pool.submit(check_pyright))
        if is_wanted("imports"):
            jobs.append(pool.submit(check_imports))
        for job in jobs:
            job.result()
    failed = [name for name, ok in results if not ok]
    print(f"took {(time.time() - started) / 60:.1f} minutes" + "".join(f"\nFAILED {name}" for name in failed))
    print(f"{len(results) - len(failed)} passed, {len(failed)} failed")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
