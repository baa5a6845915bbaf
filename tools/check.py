"""Everything that CI checks, counted: `python tools/check.py [clean] [export] [readme] [outputs] [imports] [notebooks] [pytest]`.

Without names all of them run. The last line is `N passed, N failed`; the exit status is 1 if anything failed.
"""
import json, os, re, shutil, subprocess, sys, tempfile, time
import xml.etree.ElementTree as ElementTree
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

top = Path(__file__).resolve().parent.parent
results: list[tuple[str, bool]] = []


def report(name: str, ok: bool, seconds: float, detail: str = ""):
    "Count one result and print it, with what went wrong."
    results.append((name, ok))
    print(f"{'ok    ' if ok else 'FAILED'} {name} ({seconds:.0f} s)", flush=True)
    if not ok and detail: print("\n".join("       " + line for line in detail.strip().splitlines()[-60:]), flush=True)


def run(command: list, **options) -> tuple[bool, str]:
    "Run a command from the top folder and return whether it succeeded, with its output."
    done = subprocess.run([str(c) for c in command], cwd=options.pop("cwd", top), text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, errors="replace", **options)
    return done.returncode == 0, done.stdout


def nbdev(name: str) -> Path: return Path(sys.executable).parent / name


def notebooks() -> list[Path]:
    return sorted(p for p in (top / "nbs").rglob("*.ipynb")
                  if not any(part.startswith((".", "_")) for part in p.relative_to(top).parts))


def differences(a: Path, b: Path, pattern: str) -> str:
    "Name the files below two folders whose contents differ."
    names = {p.relative_to(root) for root in (a, b) for p in root.rglob(pattern)
             if "__pycache__" not in p.parts and ".ipynb_checkpoints" not in p.parts}
    read = lambda p: p.read_text(encoding="utf-8") if p.exists() else None
    return "\n".join(str(n) for n in sorted(names) if read(a / n) != read(b / n))


def check_sync(kind: str):
    "Run nbdev_clean or nbdev_export on a copy; nothing may change."
    started = time.time()
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        for name in ("settings.ini", "setup.py", "pyproject.toml"): shutil.copy(top / name, copy)
        for name in ("nbs", "siamese_nbdev"):
            shutil.copytree(top / name, copy / name, ignore=shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints", "runs"))
        ok, text = run([nbdev("nbdev_clean" if kind == "clean" else "nbdev_export")], cwd=copy)
        changed = differences(top / "nbs", copy / "nbs", "*.ipynb") if kind == "clean" else \
            differences(top / "siamese_nbdev", copy / "siamese_nbdev", "*.py")
    advice = {"clean": "not clean (run nbdev_clean):", "export": "out of step with its notebook (run nbdev_export):"}[kind]
    report({"clean": "notebooks are clean", "export": "package equals its notebooks"}[kind], ok and not changed,
           time.time() - started, f"{advice}\n{changed}" if changed else text)


def check_readme():
    started = time.time()
    ok, text = run([sys.executable, "tools/readme.py", "--check"])
    report("README follows nbs/index.ipynb", ok, time.time() - started, text)


def check_outputs():
    "Saved outputs hold no error, no warning, no progress bar and no path of somebody's machine."
    started, found = time.time(), []
    private = re.compile(r"(?<![\w.])/(?:tmp|root|work|home|Users)/[\w.-]+")
    for page in notebooks():
        for number, cell in enumerate(json.loads(page.read_text(encoding="utf-8"))["cells"]):
            for output in cell.get("outputs", []):
                text = json.dumps({k: v for k, v in (output.get("data") or {"text": output.get("text", "")}).items() if not k.startswith("image")})
                if output["output_type"] == "error": found.append(f"{page.name} cell {number}: a saved error")
                if private.search(text): found.append(f"{page.name} cell {number}: {private.search(text).group()}")
                if re.search(r"warning:", text, re.I): found.append(f"{page.name} cell {number}: a warning")
                if output.get("name") == "stderr" and "\\r" in text: found.append(f"{page.name} cell {number}: a progress bar")
    report("saved outputs are fit to publish", not found, time.time() - started, "\n".join(found))


def modules() -> list[str]:
    return ["siamese_nbdev" if path.stem == "__init__" else f"siamese_nbdev.{path.stem}" for path in sorted((top / "siamese_nbdev").glob("*.py")) if path.stem != "_modidx"]


def check_import(module: str):
    "A module imports in a fresh interpreter in which nbdev and fastcore do not exist."
    blocked = "import sys; sys.modules['nbdev'] = sys.modules['fastcore'] = sys.modules['IPython'] = None; import importlib; importlib.import_module(sys.argv[1])"
    started = time.time()
    ok, text = run([sys.executable, "-W", "error::SyntaxWarning", "-c", blocked, module])
    report(f"import {module} without nbdev", ok, time.time() - started, text)


def prepare():
    "Render the pedestrians and train the small network that pages load, once, before pages run side by side."
    started = time.time()
    done = subprocess.run([sys.executable, "-c", "from siamese_nbdev.training import demo_model; demo_model('.')"], cwd=top)
    report("pedestrians rendered, small network trained", done.returncode == 0, time.time() - started)


one_thread = {**os.environ, "OMP_NUM_THREADS": "1", "MPLBACKEND": "agg"}  # two checks run side by side


def check_notebook(page: Path):
    "Run one notebook as nbdev_test does."
    started = time.time()
    ok, text = run([nbdev("nbdev_test"), "--path", page, "--n_workers", "0"], env=one_thread, timeout=900)
    skipped = re.findall(r"^SKIPPED:.*$", text, re.M)
    report(f"{page.relative_to(top)}{''.join(' [' + s + ']' for s in skipped)}", ok, time.time() - started, text)


def check_pytest():
    started = time.time()
    with tempfile.TemporaryDirectory() as folder:
        ok, text = run([sys.executable, "-m", "pytest", "-q", "-rs", "--junitxml", f"{folder}/junit.xml"], env=one_thread)
        print(text, flush=True)
        if not Path(folder, "junit.xml").exists(): return report("pytest", False, time.time() - started, text)
        for case in ElementTree.parse(f"{folder}/junit.xml").iter("testcase"):
            if case.find("skipped") is None:
                results.append((case.get("name"), case.find("failure") is None and case.find("error") is None))
        if not ok and all(r for _, r in results): report("pytest", False, time.time() - started, text)


def main(wanted: list[str]):
    started = time.time()
    run_all = not wanted
    for kind in ("clean", "export"):
        if run_all or kind in wanted: check_sync(kind)
    if run_all or "readme" in wanted: check_readme()
    if run_all or "outputs" in wanted: check_outputs()
    if run_all or "notebooks" in wanted: prepare()
    with ThreadPoolExecutor(2) as pool:  # the longest first
        jobs = [pool.submit(check_pytest)] if run_all or "pytest" in wanted else []
        if run_all or "notebooks" in wanted: jobs += [pool.submit(check_notebook, page) for page in notebooks()]
        if run_all or "imports" in wanted: jobs += [pool.submit(check_import, module) for module in modules()]
        for job in jobs: job.result()
    failed = [name for name, ok in results if not ok]
    print(f"took {(time.time() - started) / 60:.1f} minutes" + "".join(f"\nFAILED {name}" for name in failed))
    print(f"{len(results) - len(failed)} passed, {len(failed)} failed")
    return bool(failed)


if __name__ == "__main__": sys.exit(main(sys.argv[1:]))
