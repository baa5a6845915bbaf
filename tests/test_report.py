"""The report of a run: one HTML file that loads nothing, and what happens if it cannot be made."""
import base64
import json
import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from drawing import draw

from siamese_nbdev.checks import InputError
from siamese_nbdev.pipeline import Plan, execute_plan, plan_run
from siamese_nbdev.report import write_report

top = Path(__file__).resolve().parent.parent


odd_names = ["number 0 <b>&", "A$^$B", "漢字", "\\frac{x", "number 4 <b>&", "number 5 <b>&"]


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
    "Run siamese-nbdev without nbdev and fastcore and with no other host in reach."
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
    draw(place / "mine", odd_names, images=4)
    (place / "mine" / "number 0 <b>&" / "letter.jpg").write_text("Dear reader")
    done = command("run", "mine", "--out", "run", "--epochs", 1, "--image-size", 64, 64, place=place)
    assert done.returncode == 0, done.stderr[-3000:]
    return place, done


def test_report_of_a_run(finished):
    place, done = finished
    words, pictures = check_self_contained(place / "run" / "report.html")
    assert "number 0 <b>&" in words and "Before and after training" in words and "not an image" in words
    assert pictures >= 15 and "Report on mine" in words and "24 images of 6 identities in mine" in words
    files = ["model/model.safetensors", "embeddings/vectors.npy", "history.csv", "metrics.json"]
    for name in [*files, "closest.png", "index/index.json", "labels.csv"]:
        assert (place / "run" / name).stat().st_size > 0
    endings = ("Keep the frozen backbone.", "Use the trained network.")
    verdict = [line for line in done.stdout.splitlines() if line.endswith(endings)]
    assert len(verdict) == 1 and verdict[0].rstrip(".") in words
    assert verdict[0].endswith(endings[1]) == verdict[0].startswith("Training helped")
    assert "1 file in problems.csv: not an image, the first mine/number 0 <b>&/letter.jpg" in done.stdout
    assert "epoch 1/1" in done.stderr and re.search("about . seconds? and", done.stdout)  # progress, and a prediction


def test_a_report_that_fails_halfway(finished, monkeypatch):
    place, _ = finished
    monkeypatch.chdir(place)
    shutil.copytree("run", "broken")
    lost = Path(Plan.load(Path("broken")).images["path"].iloc[0])
    lost.rename("elsewhere.png")
    try:
        stopped = f"The report stopped.*{re.escape(lost.name)}.*Nothing else is lost.*siamese-nbdev report broken"
        with pytest.raises(InputError, match=stopped):
            write_report(Path("broken"))
    finally:
        Path("elsewhere.png").rename(lost)
    for name in ("report.html", "model/model.safetensors", "metrics.json", "index/vectors.npy", "closest.png"):
        assert Path("broken", name).read_bytes() == Path("run", name).read_bytes()


def test_a_report_holds_pictures_and_nothing_else_of_their_files(finished, monkeypatch):
    place, _ = finished
    monkeypatch.chdir(place)
    shutil.copytree("run", "handed")
    closest = Path("handed", "closest.png")
    secret = b"my letter" * 100
    closest.write_bytes(closest.read_bytes() + secret)
    text = write_report(Path("handed")).read_text()
    assert base64.b64encode(secret).decode()[8:-8] not in text
    assert b"my letter" not in b"".join(base64.b64decode(data) for data in re.findall("base64,([^\"]+)", text))
    closest.write_bytes(secret)
    with pytest.raises(InputError, match="The report stopped"):
        write_report(Path("handed"))


def test_an_interrupted_run_goes_on(finished, monkeypatch, capsys):
    "What is measured is read, what is missing is made; nothing is trained again, and the results are the same."
    place, _ = finished
    monkeypatch.chdir(place)
    shutil.copytree("run", "halfway")
    for name in ("index/index.json", "index/meta.json", "duplicates.csv"):
        Path("halfway", name).unlink()
    results = execute_plan(Plan.load(Path("halfway")))
    said = capsys.readouterr()
    assert said.out.startswith("Index of 24 images") and "epoch 1/1" not in said.err
    expected = execute_plan(Plan.load(Path("run")))
    assert np.array_equal(results.index.embeddings.vectors, expected.index.embeddings.vectors)
    assert results.metrics_table() == expected.metrics_table()
    assert Path("halfway/duplicates.csv").read_bytes() == Path("run/duplicates.csv").read_bytes()


def test_a_folder_without_labels(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("flat").mkdir()
    for number, folder in enumerate(draw("drawn", list("abcdefg"), images=1).iterdir()):
        shutil.copy(folder / "0.png", f"flat/{number}.png")
    shutil.copy("flat/0.png", "flat/0-again.png")
    plan = plan_run("flat", "run", image_size=(64, 64))
    execute_plan(plan)
    assert write_report(plan.out) == Path("run/report.html") and not Path("run/model").exists()
    words, pictures = check_self_contained(tmp_path / "run" / "report.html")
    assert "no labels, so nothing was trained or measured" in words and "Before and after" not in words
    assert "0-again.png" in words and pictures >= 4


def test_a_run_that_was_interrupted_is_finished_by_its_report(finished, monkeypatch):
    place, _ = finished
    monkeypatch.chdir(place)
    shutil.copytree("run", "stopped")
    for name in ("index/index.json", "duplicates.csv", "labels.csv", "report.html"):
        Path("stopped", name).unlink()
    said = []
    assert write_report("stopped", say=said.append) == Path("stopped/report.html")
    assert said[0].startswith("Index of 24 images")
    for name in ("duplicates.csv", "labels.csv"):
        assert Path("stopped", name).read_bytes() == Path("run", name).read_bytes()


def test_labels_to_look_at_are_a_command(finished):
    place, done = finished
    listed = command("labels", "run", "--json", place=place)
    assert listed.returncode == 0, listed.stderr
    suspects = json.loads(listed.stdout)
    assert [set(suspect) for suspect in suspects] == len(suspects) * [{"path", "label", "suggested", "share"}]
    assert (f"{len(suspects)} image" in done.stdout) == bool(suspects)
    halfway = place / "without index"
    shutil.copytree(place / "run", halfway, ignore=shutil.ignore_patterns("index"))
    refused = command("labels", "without index", place=place)
    assert refused.returncode == 2 and "finish it with: siamese-nbdev resume 'without index'" in refused.stderr
