"Which outputs are old: those of a page whose code, or the code of the package that it reaches, has changed since."
import json
import sys
from pathlib import Path

import pytest

top = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(top / "tools"))
import book  # noqa: E402
import reach  # noqa: E402

page = """
from siamese_nbdev.lower import called
called(3)
"""
lower = '''
"A module."
from typing import TYPE_CHECKING
from math import floor as rounded
from siamese_nbdev.ground import helper

if TYPE_CHECKING:
    from siamese_nbdev.late import Late

scale = 2

def called(value):
    "Call."
    return inside(value) * scale

def inside(value):
    from siamese_nbdev.late import late
    return helper(late(rounded(value)))

def not_called(value):
    return value
'''
ground = "table = dict(plain=lambda value: value)\n\n\ndef helper(value):\n    return table['plain'](value)\n"
late = """
class Late:
    def call(self, value):
        return value

def late(value):
    return Late().call(value)
"""


@pytest.fixture
def package(tmp_path, monkeypatch):
    "A small package, and a function that changes one of its modules and tells whether the page's outputs are old then."
    texts = dict(lower=lower, ground=ground, late=late)
    monkeypatch.setattr(reach, "package", tmp_path)

    def digest(**changed):
        for name, text in (texts | changed).items():
            (tmp_path / f"{name}.py").write_text(text)
        reach.forget()
        return reach.package_digests([page])

    yield digest
    reach.forget()


@pytest.mark.parametrize(
    "module, old, new, is_old",
    [
        ("lower", '"Call."', '"Call it."', False),
        ("lower", "    return value", "    return value + 1  # nobody calls it", False),
        ("lower", "scale = 2", "scale = 2  # twice", False),
        ("lower", "scale = 2", "scale = 3", True),
        ("lower", "late(rounded(value))", "late(rounded(value) + 1)", True),
        ("lower", "import floor as", "import ceil as", True),
        ("lower", "def inside(value):", "def inside(value: float) -> float:", False),
        ("lower", "import Late", "import Late, late", False),
        ("ground", "value: value)", "value: -value)", True),
        ("late", "        return value\n", "        return value + 1\n", True),
        ("late", "def late(value):\n", "def late(value, more=None):\n", True),
        ("late", "def late", "def earlier():\n    pass\n\ndef late", False),
    ],
)
def test_what_is_reached(package, module, old, new, is_old):
    "Only code that the page reaches counts, however deep it lies; comments and docstrings do not."
    text = dict(lower=lower, ground=ground, late=late)[module]
    assert text.count(old) == 1
    assert (package() != package(**{module: text.replace(old, new)})) == is_old


def test_only_changed_modules_differ(package):
    "The digests say in which modules what a page reaches has changed."
    before, after = package(), package(late=late.replace("        return value\n", "        return -value\n"))
    assert {module for module in before if before[module] != after[module]} == {"late"}


@pytest.mark.parametrize(
    "cell",
    [
        "!siamese-nbdev demo",
        "found = !siamese-nbdev --help",
        "run(['siamese-nbdev', 'demo'])",
        "from siamese_nbdev.cli import main",
        "run([sys.executable, '-m', 'siamese_nbdev.cli'])",
    ],
)
def test_the_command_reaches_its_module(cell):
    "A page that calls the command line depends on all of it."
    assert ("cli", "main") not in reach.reached(["from siamese_nbdev.checks import InputError"])
    assert {("cli", name) for name in reach.definitions("cli")} <= reach.reached([cell])


def test_programs_written_as_text_are_reached():
    "What a page has another process do counts like what it does itself; sentences about the package do not."
    program = "code = '''\nfrom siamese_nbdev.training import fit\nfit()\n'''"
    assert ("training", "fit") in reach.reached([program])
    assert reach.reached(["print('siamese_nbdev is installed')"]) == set()


def test_help_counts():
    "The docstring of a command is what it prints as its help; that of another function is not printed."
    def changed(decorator):
        code = f"{decorator}def run(\n    out: int,\n):\n    'Run.'\n    return out\n"
        return reach.code_digest(code) != reach.code_digest(code.replace("Run.", "Run it."))

    assert changed("@app.command('run')\n") and not changed("@cache\n") and not changed("")


@pytest.fixture
def write(package, tmp_path, monkeypatch):
    "A function that writes an executed page, with a network and with a change that came after."
    package()
    notebooks = tmp_path / "nbs"
    notebooks.mkdir()
    monkeypatch.setattr(book, "top", tmp_path)

    def written(name, network="a", change=lambda page: None, more=""):
        source = f"from siamese_nbdev.lower import called as demo_model\nmodel = demo_model(3)  # {name}{more}"
        outputs = [dict(output_type="stream", name="stdout", text=["one\n", "two\n"])]
        page = dict(cells=[dict(cell_type="code", source=source, outputs=outputs, metadata={})], metadata={})
        page["metadata"]["executed"] = dict(**book.state(page), network=network, minutes=0.2)
        page["metadata"]["executed"]["seal"] = book.seal(page, page["metadata"]["executed"])
        change(page)
        (notebooks / f"{name}.ipynb").write_text(json.dumps(page))

    return written


def set_output(page, text):
    page["cells"][0]["outputs"][0]["text"] = text


def set_source(page, text):
    page["cells"][0]["source"] += text


@pytest.mark.parametrize(
    "change, problem",
    [
        (lambda page: set_source(page, "  # a comment"), ""),
        (lambda page: set_output(page, "one\ntwo\n"), ""),
        (lambda page: set_source(page, "\nprint(model)"), "its code has changed"),
        (lambda page: set_source(page, "\nprint("), "cannot be read"),
        (lambda page: set_output(page, "three"), "its outputs or its note were changed"),
        (lambda page: page["cells"][0].update(outputs=[]), "its outputs or its note were changed"),
        (lambda page: page["metadata"]["executed"].update(minutes=9), "its outputs or its note were changed"),
        (lambda page: page["metadata"]["executed"].update(package="lower:0"), "what it uses of ground, late, lower"),
        (lambda page: page["metadata"]["executed"].pop("network"), "does not say which network"),
        (lambda page: page["metadata"].clear(), "never executed"),
    ],
)
def test_old_pages_are_named(write, change, problem):
    "A page is named, with the reason, where its code, its outputs or its note are not those of one execution."
    write("one")
    write("two", change=change)
    found = list(book.age_problems())
    assert len(found) == bool(problem)
    assert all(one.startswith("nbs/two.ipynb: ") and problem in one for one in found)


def test_other_networks_are_named(write):
    "Pages with another network than most are named, all of them."
    for name, network in dict(one="a", two="b", three="a", four="c").items():
        write(name, network=network)
    (problem,) = book.age_problems()
    assert "3 shared networks" in problem and "nbs/four.ipynb, nbs/two.ipynb" in problem


def test_results_that_are_shown_count(write, tmp_path):
    "A page is old where results of benchmarks that it shows are others now; the rest of them does not matter."
    results = tmp_path / "benchmarks" / "results"
    results.mkdir(parents=True)
    for name in ("speed", "memory"):
        (results / f"{name}.md").write_text("1")
    write("one", more="\nprint(open('../benchmarks/results/speed.md').read())")
    (results / "memory.md").write_text("2")
    assert list(book.age_problems()) == []
    (results / "speed.md").write_text("2")
    (problem,) = book.age_problems()
    assert "results of benchmarks" in problem


def executed_page(folder, source):
    "Write a page with one cell that was never executed."
    page = folder / "nbs" / "page.ipynb"
    page.parent.mkdir(exist_ok=True)
    cell = dict(cell_type="code", source=source, outputs=[], metadata={}, execution_count=None, id="a")
    kernel = dict(kernelspec=dict(name="python3", display_name="Python 3", language="python"))
    page.write_text(json.dumps(dict(cells=[cell], metadata=kernel, nbformat=4, nbformat_minor=5)))
    return page


def test_an_execution_is_sealed(package, tmp_path, monkeypatch):
    "What the book saves counts as up to date; nothing else is left in the folder."
    package()
    monkeypatch.setattr(book, "top", tmp_path)
    page = executed_page(tmp_path, "1 + 1")
    book.execute(page)
    assert book.read(page)["cells"][0]["outputs"][0]["data"]["text/plain"] in ("2", ["2"])
    assert not book.is_stale(page) and list(book.age_problems()) == []
    assert [path.name for path in page.parent.iterdir()] == ["page.ipynb"]


def test_what_is_not_saved(package, tmp_path, monkeypatch):
    "A page that skipped something, or that changed while it ran, is not saved."
    package()
    monkeypatch.setattr(book, "top", tmp_path)
    page = executed_page(tmp_path, "1 + 1")
    notebook = book.read(page)
    before = book.circumstances(notebook)
    book.check_whole(notebook, before, page)
    skipped = [dict(output_type="stream", name="stdout", text="Skipped: no faces here")]
    with pytest.raises(SystemExit, match="skips cells"):
        book.check_whole(dict(cells=[dict(outputs=skipped)]), before, page)
    executed_page(tmp_path, "1 + 2")
    with pytest.raises(SystemExit, match="meanwhile"):
        book.check_whole(notebook, before, page)
    executed_page(tmp_path, "1 + 1")
    (tmp_path / "late.py").write_text("late = 1")
    book.check_whole(notebook, before, page)  # the page reaches nothing there
