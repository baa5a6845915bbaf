"""Odd surroundings: no locale, no home, warnings as errors, full disks, locked files, dead workers, damaged notes."""
import json
import os
import random
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from counting import count
from drawing import draw
from torch.utils.data import dataloader

from siamese_nbdev.checks import InputError
from siamese_nbdev.data import check_images, images_from_folder
from siamese_nbdev.embeddings import EmbeddingSet
from siamese_nbdev.files import check_writable
from siamese_nbdev.model import SiameseNet, load_model
from siamese_nbdev.pipeline import Plan, execute_plan, read_presence
from siamese_nbdev.retrieval import Index
from siamese_nbdev.training import fit, resume
from siamese_nbdev.verification import load_threshold

top = Path(__file__).resolve().parent.parent
run_main = "import sys; from siamese_nbdev.cli import main; sys.argv = ['siamese-nbdev', *sys.argv[1:]]; main()"
posix_only = pytest.mark.skipif(os.name != "posix", reason="file rights and limits of POSIX")


def command(*arguments, flags=(), **options):
    "Run siamese-nbdev in a process of its own."
    environment = os.environ | {"PYTHONPATH": str(top)} | options.pop("variables", {})
    environment = {name: value for name, value in environment.items() if value is not None}
    words = [sys.executable, *flags, "-c", run_main, *map(str, arguments)]
    return subprocess.run(words, text=True, encoding="utf-8", capture_output=True, env=environment, **options)


small = ["--image-size", 64, 64, "--no-report"]
warnings_as_errors = ["-W", "error"]
old = ("typer", "matplotlib._fontconfig_pattern", "matplotlib._mathtext")
for module in old:  # the oldest that we allow use what newer packages advise against
    warnings_as_errors += ["-W", f"default::DeprecationWarning:{module}"]
surroundings = {
    "python -O": dict(flags=["-O", "-B"]),  # -B: no byte code of its own beside that of others
    "POSIX locale": dict(variables=dict(LC_ALL="POSIX", LANG=None, PYTHONIOENCODING=None)),
    "no HOME": dict(variables=dict(HOME=None, XDG_CACHE_HOME=None, MPLCONFIGDIR=None)),
    "a HOME that is not there": dict(variables=dict(HOME="/nowhere/at/all", XDG_CACHE_HOME=None)),
    "umask 077": dict(flags=["-B"]) | (dict(umask=0o077) if os.name == "posix" else {}),
    "warnings as errors": dict(flags=warnings_as_errors),
}


def works(here, around, *labels):
    "Go from pictures to answers; every command has to end well."
    draw(here / "photos", ["ann", "Jürg", "cid", "dot", "eve", "fay"], images=4)
    picture = "photos/Jürg/0.png"
    calls = [
        ["run", "photos", "--out", "run", *small, *labels],
        ["search", picture, "--index", "run", "--top-k", "3", "--all", "--picture", "found.png"],
    ]
    if "--no-labels" not in labels:
        calls += [
            ["verify", picture, "photos/ann/0.png", "--model", "run", "--threshold", "0.01"],
            ["embed", "photos", "--model", "run", "--out", "set"],
            ["evaluate", "set"],
            ["report", "run"],
        ]
    for call in calls:
        done = command(*call, cwd=here, timeout=300, **around)
        assert done.returncode == (1 if call[0] == "verify" else 0), (call, done.stderr[-2000:])
        assert "Traceback" not in done.stderr
        if call[0] == "search":
            assert "Jürg" in done.stdout
    assert (here / "found.png").stat().st_size > 0


def test_several_surroundings_at_once(tmp_path):
    together = dict(flags=["-B", *warnings_as_errors], variables={})
    for name in ("POSIX locale", "a HOME that is not there"):
        together["variables"] |= surroundings[name]["variables"]
    works(tmp_path, together | (dict(umask=0o077) if os.name == "posix" else {}), "--no-labels")


@pytest.mark.slow
@pytest.mark.parametrize("name", surroundings)
def test_surroundings(name, tmp_path):
    works(tmp_path, surroundings[name], "--epochs", "1")


@contextmanager
def as_anybody():
    "Have no more rights than anybody, where the tests run as root."
    is_root = hasattr(os, "geteuid") and os.geteuid() == 0
    if is_root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)


@posix_only
def test_what_may_not_be_read(tmp_path):
    "A locked file and a locked folder are a row and a warning."
    photos = draw(tmp_path / "photos", ["ann", "bob", "cid"], images=4)
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    whole = images_from_folder(photos)
    assert not len(check_images(whole, progress=False))  # this imports all that reading needs, as long as we may
    locked, inside = photos / "ann" / "0.png", photos / "bob"
    locked.chmod(0)
    inside.chmod(0)
    try:
        with as_anybody():
            if os.access(inside, os.R_OK, effective_ids=True): pytest.skip("these rights mean nothing here")
            with pytest.warns(UserWarning, match="folders that cannot be opened .*bob"):
                found = images_from_folder(photos)
            problems = check_images(whole, progress=False)
            with pytest.raises(OSError, match="Could not write into .*out"):
                check_writable(photos / "out")
    finally:
        inside.chmod(0o755)
    assert sorted(set(found.label)) == ["ann", "cid"]
    assert set(problems.problem) == {"unreadable"}
    assert sorted(problems.path) == sorted([str(locked), *(str(inside / f"{n}.png") for n in range(4))])


def limited(size):
    "Allow no file to grow beyond a size, as a disk does that is full."
    import resource

    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


@posix_only
def test_a_disk_that_is_full_is_noticed_first(tmp_path):
    draw(tmp_path / "photos", ["ann", "bob", "cid", "dot"], images=4)
    for call in (["run", "photos"], ["train", "photos"], ["embed", "photos", "--model", "run"]):
        done = command(*call, "--out", "out", cwd=tmp_path, preexec_fn=limited(500_000))
        assert done.returncode == 2 and "Could not write into out (File too large)" in done.stderr, done.stderr
        assert len(done.stderr.strip().splitlines()) == 1 and not (tmp_path / "out").exists()


@posix_only
@pytest.mark.slow
def test_a_disk_that_becomes_full_says_how_to_go_on(tmp_path):
    draw(tmp_path / "photos", ["ann", "bob", "cid", "dot", "eve", "fay"], images=4)
    run = ["run", "photos", "--out", "out", "--epochs", "1", *small]
    done = command(*run, cwd=tmp_path, preexec_fn=limited(2_000_000))
    last = done.stderr.strip().splitlines()[-1]
    assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr[-2000:]
    assert last.startswith("siamese-nbdev: Could not ") and last.endswith("siamese-nbdev resume out"), last
    done = command("resume", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]


class Deadly:
    "A transform that kills the process it runs in, unless that is the one that made it."
    def __init__(self):
        self.parent = os.getpid()

    def __call__(self, image, seed):
        if os.getpid() != self.parent:
            os.kill(os.getpid(), signal.SIGKILL)
        return image


@pytest.fixture
def people(tmp_path):
    manifest = images_from_folder(draw(tmp_path / "photos", ["ann", "bob", "cid", "dot"], images=4))
    return manifest.assign(split=np.where(manifest.label < "c", "train", "valid"))


def train(people, out, **options):
    torch.manual_seed(0)
    model = SiameseNet("test_efficientnet", pretrained=False, image_size=(64, 32))
    parts = (people[people.split == part] for part in ("train", "valid"))
    options = dict(epochs=1, classes_per_batch=2, images_per_class=2, glance=0, progress=False) | options
    return fit(model, *parts, out=out, **options)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere workers are not forked")
def test_a_worker_that_dies(people, tmp_path):
    out = tmp_path / "run"
    with pytest.raises(OSError, match="Could not read images in 1 processes .*workers=0") as caught:
        train(people, out, workers=1, transform=Deadly())
    assert f"resume({str(out)!r}, workers=0)" in str(caught.value)
    _, history = resume(out, transform=Deadly(), workers=0, progress=False)
    assert len(history) == 1


def test_without_shared_memory(people, tmp_path, monkeypatch):
    def lacking(*_, **__):
        raise FileNotFoundError(2, "No such file or directory: /dev/shm")
    monkeypatch.setattr(dataloader, "_MultiProcessingDataLoaderIter", lacking)
    with pytest.raises(OSError, match="Could not read images in 2 processes .*/dev/shm.*workers=0"):
        train(people, None, workers=2)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere workers are not forked")
def test_a_picture_that_a_worker_cannot_read(people):
    Path(people.path[0]).write_bytes(b"Dear reader")
    with pytest.raises(InputError) as caught:
        train(people, None, workers=1)
    assert str(caught.value).startswith("Expected an image") and "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    "A finished run, with a threshold and a distance for presence."
    here = tmp_path_factory.mktemp("finished")
    draw(here / "photos", [f"{name}{number}" for name in "abcde" for number in range(8)], images=4)
    done = command("run", "photos", "--out", "run", "--epochs", "1", "--folds", "0", *small, cwd=here)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "threshold" in json.loads((here / "run/model/model.json").read_text())["extra"]
    return here


readers = {
    "plan.json": lambda run: Plan.load(run),
    "choice.json": lambda run: execute_plan(Plan.load(run), say=lambda _: None),
    "metrics.json": lambda run: execute_plan(Plan.load(run), say=lambda _: None),
    "copies.json": lambda run: execute_plan(Plan.load(run), say=lambda _: None),
    "index/presence.json": lambda run: read_presence(run / "index"),
    "index/index.json": lambda run: Index.load(run),
    "index/meta.json": lambda run: EmbeddingSet.load(run),
    "model/model.json": lambda run: (load_model(run / "model"), load_threshold(run / "model")),
    "run.json": lambda run: resume(run, progress=False),
}


def damaged(text):
    "Yield JSON that is empty, cut, of another kind, nested too deep, lacks an entry, or has another kind of entry."
    rng = random.Random(0)
    yield from ("", "null", "[]", "7", '"text"', "{}", "[" * 100_000, '{"a":' * 5_000, "9" * 5_000)
    yield from (text[:rng.randrange(len(text))] for _ in range(4))
    notes = json.loads(text)
    for name in notes:
        yield json.dumps({key: value for key, value in notes.items() if key != name})
        for value in (None, True, -1, float("nan"), "text", [], {}):
            yield json.dumps(notes | {name: value})


@pytest.mark.filterwarnings("ignore:The pictures of")
@pytest.mark.parametrize("name", readers)
def test_damaged_notes(name, finished, tmp_path, monkeypatch):
    "Whatever is wrong with our notes, they are read or refused; nothing else is raised."
    monkeypatch.chdir(finished)
    run = Path(shutil.copytree("run", tmp_path / "run"))  # to be resumed, and written to
    file = run / name
    refused = tried = 0
    for content in damaged(file.read_text()):
        tried += 1
        file.write_text(content)
        try:
            readers[name](run)
        except (InputError, FileNotFoundError) as error:
            refused += 1
            assert "\n" not in str(error) and len(str(error)) < 1500, error
    assert refused >= 13, "those that are no JSON object at all"
    count(f"notes {name}", times=tried, refused=refused)


thresholds = [float("nan"), float("inf"), -0.1, None, "0.5", True]


def test_damaged_thresholds(finished, monkeypatch):
    "A distance that is none decides nothing, wherever it stands."
    monkeypatch.chdir(finished)
    for file, entry, read in (
        (Path("run/index/presence.json"), lambda notes: notes, lambda: read_presence(Path("run/index"))),
        (Path("run/model/model.json"), lambda notes: notes["extra"]["threshold"], lambda: load_threshold("run/model")),
    ):
        whole = file.read_text()
        for value in thresholds:
            notes = json.loads(whole)
            entry(notes)["distance"] = value
            file.write_text(json.dumps(notes))
            with pytest.raises(InputError, match=file.name):
                read()
        file.write_text(whole)
    for option in (["search", "photos/a0/0.png", "--index", "run", "--max-distance"],
                   ["verify", "photos/a0/0.png", "photos/a0/1.png", "--model", "run", "--threshold"]):
        for value in ("nan", "inf", "-1"):
            done = command(*option, value, cwd=finished)
            assert done.returncode == 2 and option[-1] in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("state", [[], [1], dict(version=3), dict(version=3, progress={}), "text", torch.zeros(3)])
def test_damaged_checkpoint(people, tmp_path, state):
    train(people, tmp_path / "run")
    torch.save(state, tmp_path / "run" / "last.pt")
    with pytest.raises(InputError, match="last.pt"):
        resume(tmp_path / "run", progress=False)
