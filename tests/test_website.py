"The site's own tools: links, contrast, the reference, and the checks that hold the pages together."
import sys
from pathlib import Path

import pytest

top = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(top / "tools"))

import website  # noqa: E402
import website_checks  # noqa: E402


def test_contrast_is_that_of_wcag():
    assert website_checks.contrast("#000000", "#ffffff") == pytest.approx(21)
    assert website_checks.contrast("#777777", "#ffffff") == pytest.approx(4.478, abs=1e-3)  # just too pale for text
    assert website_checks.contrast("#a8561b", "#a8561b") == pytest.approx(1)


@pytest.mark.parametrize(
    ("heading", "anchor"),
    [
        ("The map", "the-map"),
        ("`fit` and its options", "fit-and-its-options"),
        ("03_loss: The triplet loss", "loss-the-triplet-loss"),
        ("P x K, drawn by hand", "p-x-k-drawn-by-hand"),
        ("Named {#by-hand .wide}", "by-hand"),
    ],
)
def test_anchors_are_those_of_pandoc(heading: str, anchor: str):
    assert website_checks.anchor_of(heading) == anchor


def test_names_are_linked_once_and_never_inside_code():
    text = "\n".join(["# `fit`", "`fit` and `fit()`, [`fit`](x.ipynb), `walk`", "```", "`fit`", "```", "`TripletLoss`"])
    lines = website.linked(text, "applications/recipe.ipynb").splitlines()
    assert lines[1] == "[`fit`](../04_training.ipynb#fit) and `fit()`, [`fit`](x.ipynb), `walk`"
    assert [lines[0], *lines[2:5]] == ["# `fit`", "```", "`fit`", "```"]
    assert lines[5] == "[`TripletLoss`](../03_loss.ipynb#tripletloss)"
    assert website.linked("`fit`", "04_training.ipynb") == "[`fit`](#fit)"  # on its own page


def test_the_reference_lists_every_parameter():
    text = website.Reference(None, "fit")._repr_markdown_()
    assert text.startswith("### `fit` {#fit}") and "/siamese_nbdev/training.py#L" in text
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    node = website.places()["fit"].node
    assert len(rows) == len(node.args.args) + len(node.args.kwonlyargs)
    assert all(line.count(" | ") == 2 and not line.endswith("|  |") for line in rows), "a parameter without a meaning"
    assert "| `out` | `str` or `Path` or `None` = `None` |" in text


def test_the_reference_explains_every_field_and_every_method():
    text = website.Reference(None, "Options")._repr_markdown_()  # its fields are those of the class it builds on
    assert "| `epochs` | `int` = `6` | Passes" in text
    for name, place in website.places().items():
        if isinstance(place.node, website.ast.ClassDef):
            comments = website.comments_of(website.module_source(place.module))
            rows = website.class_parameters(place.node, place.module)
            assert all(row.meaning for row in rows), f"{name}: a field without a meaning"
            for method, _, takes in website.methods_of(place.node, comments):
                parameters = [word for word in method.strip("`)").partition("(")[2].split(", ") if word]
                assert takes.count("`: ") == len(parameters), f"{name}.{method}: a parameter without a meaning"


def test_a_broken_link_is_told(tmp_path: Path):
    page = website_checks.nbs / "index.ipynb"
    assert website_checks.link_problem(page, "03_loss.ipynb#tripletloss") == ""
    assert "no such place" in website_checks.link_problem(page, "03_loss.ipynb#nowhere")
    assert "not there" in website_checks.link_problem(page, "nothing.ipynb")
    assert "leads out" in website_checks.link_problem(page, "../CONTRIBUTING.md")
    links = '<a href="#a">a</a> <a href="#b">b</a> <a href="c.html">c</a>'
    (tmp_path / "index.html").write_text(f'<h2 id="a">A</h2>{links}')
    (tmp_path / "d.html").write_text('<script src="https://example.org/x.js"></script><a href="index.html#a">a</a>')
    problems = sorted(website_checks.built_problems(tmp_path))
    assert len(problems) == 3 and "loads https://example.org/x.js" in problems[0]
    assert "#b has no such place" in problems[1] and "c.html is broken" in problems[2]


def test_styles_that_do_not_compile_are_told():
    assert website_checks.compiled("$a: #ffffff; b { color: $a; }") == []
    assert website_checks.compiled("b { color: $nobody; }")
