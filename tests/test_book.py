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
from siamese_nbdev.ground import helper

scale = 2

def called(value):
    "Call."
    return inside(value) * scale

def inside(value):
    from siamese_nbdev.late import late
    return helper(late(value))

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
        for remembered in (reach.definitions, reach.imports_of, reach.reached_from):
            remembered.cache_clear()
        return reach.package_digest(page)

    yield digest
    for remembered in (reach.definitions, reach.imports_of, reach.reached_from):
        remembered.cache_clear()


@pytest.mark.parametrize(
    "module, old, new, is_old",
    [
        ("lower", '"Call."', '"Call it."', False),
        ("lower", "    return value", "    return value + 1  # nobody calls it", False),
        ("lower", "scale = 2", "scale = 2  # twice", False),
        ("lower", "scale = 2", "scale = 3", True),
        ("lower", "return helper(late(value))", "return helper(late(value) + 1)", True),
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


def test_the_command_reaches_its_module():
    "A page that calls the command line depends on it."
    assert ("cli", "main") not in reach.reached("from siamese_nbdev.checks import InputError")
    whole = {("cli", name) for name in reach.definitions("cli")}
    assert whole <= reach.reached("!siamese-nbdev demo")


def test_old_pages_are_named(tmp_path, monkeypatch):
    "A page whose code was changed after its execution is named, and so are pages with another network than the others."
    notebooks = tmp_path / "nbs"
    notebooks.mkdir()
    monkeypatch.setattr(book, "top", tmp_path)

    def write(name, network="a", changed=""):
        source = f"from siamese_nbdev.training import demo_model\nmodel = demo_model('..')  # {name}"
        cell = dict(cell_type="code", source=source, outputs=[], metadata={})
        page = dict(cells=[cell], metadata={})
        page["metadata"]["executed"] = dict(**book.state(page), network=network)
        cell["source"] += changed
        (notebooks / f"{name}.ipynb").write_text(json.dumps(page))

    write("one")
    write("two", changed="  # a comment")
    write("three")
    assert list(book.age_problems()) == []
    write("two", changed="\nprint(model)")
    (problem,) = book.age_problems()
    assert problem.startswith("nbs/two.ipynb: ")
    write("two", network="b")
    (problem,) = book.age_problems()
    assert "2 shared networks" in problem and "nbs/two.ipynb" in problem
