"""The report of a run: one HTML file that loads nothing, and what happens if it cannot be made."""
import json
import os
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from siamese_nbdev.checks import InputError
from siamese_nbdev.pipeline import Plan, execute_plan, plan_run
from siamese_nbdev.report import report_page, write_report

top = Path(__file__).resolve().parent.parent
page = top / "nbs" / "applications" / "your_own_images.ipynb"
for name in ("papermill", "nbconvert", "ipykernel"):
    pytest.importorskip(name, reason="a report needs the extra [report]")


odd_names = {1: "A$^$B", 2: "漢字", 3: "\\frac{x"}


def draw(folder, identities, images=4):
    "Write pictures of some identities: a pattern of large squares each, with noise."
    for identity in range(identities):
        pattern = np.kron(np.random.default_rng(identity).integers(0, 255, (4, 4, 3)), np.ones((16, 16, 1)))
        place = folder if images == 1 else folder / (odd_names.get(identity) or f"number {identity} <b>&")
        place.mkdir(parents=True, exist_ok=True)
        for number in range(images):
            noise = np.random.default_rng([identity, number]).normal(0, 30, pattern.shape)
            pixels = (pattern + noise).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(place / f"{identity}-{number}.png")
    return folder


offline = """
import socket
plain, resolve, here = socket.socket.connect, socket.getaddrinfo, ("127.0.0.1", "::1", "localhost", None)
def connect(self, address):
    if isinstance(address, tuple) and address[0] not in here:
        raise AssertionError(f"a network connection was attempted: {address}")
    return plain(self, address)
def getaddrinfo(host, *rest, **options):
    if host not in here:
        raise AssertionError(f"a name was looked up: {host}")
    return resolve(host, *rest, **options)
socket.socket.connect, socket.getaddrinfo = connect, getaddrinfo
"""


def command(*arguments, place):
    "Run siamese-nbdev, and the kernel it starts, without nbdev and fastcore and with no other host in reach."
    blocked = place / "blocked"
    blocked.mkdir(exist_ok=True)
    (blocked / "sitecustomize.py").write_text(offline)  # Python reads it whenever it starts
    for name in ("nbdev", "fastcore"):
        (blocked / name).mkdir(parents=True, exist_ok=True)
        (blocked / name / "__init__.py").write_text(f"raise ImportError('{name} is for development only')")
    return subprocess.run(
        [sys.executable, "-m", "siamese_nbdev.cli", *map(str, arguments)],
        text=True,
        capture_output=True,
        timeout=300,
        cwd=place,
        env=os.environ | dict(PYTHONPATH=os.pathsep.join([str(blocked), str(top)]), MPLBACKEND="agg"),
    )


class Loads(HTMLParser):
    "Collects whatever a page would load or link to, its text, and the number of its pictures."
    loading = ("src", "href", "srcset", "data", "action", "poster", "background")

    def __init__(self, text):
        super().__init__()
        self.addresses = []
        self.tags = []
        self.words = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.addresses += [value for name, value in attributes if name in self.loading]

    def handle_data(self, text):
        self.words.append(text)


def check_self_contained(file):
    "A page that asks no host for anything; returns its words and how many pictures it holds."
    text = file.read_text(encoding="utf-8")
    head = text.split("<body>")[0]
    found = Loads(text)
    strangers = [address[:80] for address in found.addresses if not address.startswith(("data:image/", "#"))]
    assert not strangers
    assert not {"script", "link", "iframe", "object", "embed", "base"} & set(found.tags)
    assert "url(" not in head and "@import" not in text and "default-src 'none'" in head
    return " ".join(found.words), found.tags.count("img")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    "A run with labels, made by the command."
    place = tmp_path_factory.mktemp("labelled")
    draw(place / "mine", 6)
    (place / "mine" / "number 0 <b>&" / "letter.jpg").write_text("Dear reader")
    done = command("run", "mine", "--out", "run", "--epochs", 1, "--image-size", 64, 64, place=place)
    assert done.returncode == 0, done.stderr[-3000:]
    return place, done


def test_report_of_a_run(finished):
    place, done = finished
    words, pictures = check_self_contained(place / "run" / "report.html")
    assert "number 0 <b>&" in words and "How good is it" in words and "not an image" in words and pictures >= 6
    # The folder's own report, without what is only of the book.
    assert "mine" in words and "../../runs" not in words and "pedestrians" not in words
    files = ["model/model.safetensors", "embeddings/vectors.npy", "history.csv", "metrics.json"]
    for name in [*files, "closest.png", "index/index.json", "report.ipynb"]:
        assert (place / "run" / name).stat().st_size > 0
    verdict = [line for line in done.stdout.splitlines() if line.startswith("Training ")]
    assert len(verdict) == 1 and verdict[0].rstrip(".") in words
    assert ("Keep the frozen backbone" in verdict[0]) == ("did harm" in verdict[0])
    assert "epoch 1/1" in done.stderr and "seconds and" in done.stdout  # progress in the terminal, and a prediction


def test_nothing_is_trained_twice(finished):
    place, _ = finished
    text = (place / "run" / "report.ipynb").read_text(encoding="utf-8")
    assert not (place / "run.1").exists() and "epoch 1/1" not in text
    assert any("injected-parameters" in cell["metadata"].get("tags", []) for cell in json.loads(text)["cells"])


def test_a_report_that_fails_halfway(finished, monkeypatch):
    place, _ = finished
    monkeypatch.chdir(place)
    shutil.copytree("run", "broken")
    lost = Path(Plan.load(Path("broken")).images["path"].iloc[0])
    lost.rename("elsewhere.png")
    try:
        with pytest.raises(InputError, match="The report stopped.*Nothing else is lost.*siamese-nbdev report broken"):
            write_report(Path("broken"))
    finally:
        Path("elsewhere.png").rename(lost)
    assert not Path("broken/report.html").exists()
    assert lost.name in Path("broken/report.ipynb").read_text(encoding="utf-8")
    for name in ("model/model.safetensors", "metrics.json", "index/vectors.npy", "closest.png"):
        assert Path("broken", name).read_bytes() == Path("run", name).read_bytes()


def test_an_interrupted_run_goes_on(finished, monkeypatch, capsys):
    "What is measured is read, what is missing is made; nothing is trained again, and the results are the same."
    place, _ = finished
    monkeypatch.chdir(place)
    shutil.copytree("run", "halfway")
    for name in ("index/index.json", "index/meta.json", "duplicates.csv"):
        Path("halfway", name).unlink()
    results = execute_plan(Plan.load(Path("halfway")))
    said = capsys.readouterr()
    assert said.out.startswith("Index of all 24 images") and "epoch 1/1" not in said.err
    expected = execute_plan(Plan.load(Path("run")))
    assert np.array_equal(results.index.embeddings.vectors, expected.index.embeddings.vectors)
    assert results.metrics_table() == expected.metrics_table()
    assert Path("halfway/duplicates.csv").read_bytes() == Path("run/duplicates.csv").read_bytes()


def test_without_papermill_everything_but_the_report(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "papermill", None)
    plan = plan_run(draw(tmp_path / "flat", 5, images=1), tmp_path / "run", image_size=(64, 64))
    results = execute_plan(plan)
    with pytest.warns(UserWarning, match="papermill is not installed.*siamese-nbdev\\[report\\]"):
        assert write_report(plan.out) is None
    assert len(results.index) == 5 and not (plan.out / "report.html").exists()


def test_a_folder_without_labels(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copy(draw(Path("flat"), 7, images=1) / "0-0.png", "flat/0-again.png")
    plan = plan_run("flat", "run", image_size=(64, 64))
    execute_plan(plan)
    assert write_report(plan.out) == Path("run/report.html") and not Path("run/model").exists()
    words, pictures = check_self_contained(tmp_path / "run" / "report.html")
    assert "No labels, so nothing is trained or measured" in words and "How good is it" not in words
    assert "0-again.png" in words and pictures >= 4


def test_the_page_travels_in_the_package(tmp_path):
    pytest.importorskip("setuptools")
    build = [sys.executable, "setup.py", "-q", "build"]
    places = ["--build-base", str(tmp_path), "--build-lib", str(tmp_path / "lib")]
    done = subprocess.run([*build, *places], cwd=top, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    package = tmp_path / "lib" / "siamese_nbdev"
    inside, book = (json.loads(file.read_text(encoding="utf-8")) for file in (package / "report.ipynb", page))
    assert [cell["source"] for cell in inside["cells"]] == [cell["source"] for cell in book["cells"]]
    assert not any(cell.get("outputs") for cell in inside["cells"])
    assert any("parameters" in cell["metadata"].get("tags", []) for cell in inside["cells"])
    assert (package / "py.typed").exists(), "type checkers look for this file"
    assert report_page() == page, "in a checkout the book's page is used"


def tags(file):
    "List the tags of each cell."
    return [cell["metadata"].get("tags", []) for cell in json.loads(file.read_text(encoding="utf-8"))["cells"]]


def test_tags_survive_cleaning(tmp_path):
    pytest.importorskip("nbdev")
    shutil.copy(top / "settings.ini", tmp_path)
    (tmp_path / "nbs").mkdir()
    shutil.copy(page, tmp_path / "nbs")
    clean = [Path(sys.executable).parent / "nbdev_clean", "--fname", "nbs/your_own_images.ipynb"]
    done = subprocess.run(clean, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert tags(tmp_path / "nbs" / "your_own_images.ipynb") == tags(page)
    assert sum("parameters" in found for found in tags(page)) == 1
