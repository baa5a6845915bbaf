"""Do one stage of the pipeline again and again while it is killed, or while the disk is full; says what was counted.

Run by `test_stages.py` in a process of its own: `python stages.py STAGE kill|full FOLDER TIMES`. Each trial forks,
does the stage there and is killed at a random moment, or meets a limit of a random size on every file. Then the stage
is done undisturbed in the same place, and what lies there must be what it makes in a fresh one, to the byte.
"""
import hashlib
import json
import os
import random
import re
import shutil
import signal
import sys
import threading
import time
import traceback
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from drawing import draw

from siamese_nbdev import downloads
from siamese_nbdev.data import images_from_folder
from siamese_nbdev.embeddings import EmbeddingSet, embed_images
from siamese_nbdev.model import SiameseNet, save_model
from siamese_nbdev.pedestrians import make_pedestrians
from siamese_nbdev.pipeline import execute_plan, plan_run
from siamese_nbdev.report import write_report
from siamese_nbdev.retrieval import Index
from siamese_nbdev.training import fit, resume

torch.set_num_threads(1)
warnings.simplefilter("ignore")
stage, what, here, times = sys.argv[1], sys.argv[2], Path(sys.argv[3]), int(sys.argv[4])
names = [f"{letter}{number}" for letter in "abcdef" for number in range(2)]


def network():
    "Build the same small network each time."
    torch.manual_seed(0)
    options = dict(image_size=(64, 32), embedding_size=8, head="linear")
    return SiameseNet("test_efficientnet", pretrained=False, **options).eval()


def people():
    "Drawn identities; a third of them are set aside."
    manifest = images_from_folder(draw(here / "photos", names, images=4))
    return manifest.assign(split=np.where(manifest["label"] < "e", "train", "valid"))


def random_set(count=4_000):
    "Vectors at random."
    vectors = np.random.default_rng(0).standard_normal((count, 64)).astype(np.float32)
    return EmbeddingSet(vectors, pd.DataFrame(dict(path=[f"{row}.png" for row in range(count)])))


# ---- each prepares once, and returns what is done in a folder

def rendering():
    "Render walking people."
    options = dict(people=9, cameras=2, shots=(2, 2), image_size=(64, 32), workers=1, progress=False)
    return lambda folder: make_pedestrians(folder, **options)


def fetching():
    "Fetch a data set from a server on this machine."
    from test_downloads import Shelf, digest_of, in_folder, packed

    os.environ["NO_PROXY"] = "127.0.0.1"
    rng = random.Random(0)
    files = {f"{who}/{number}.png": rng.randbytes(20_000) for who in ("ann", "bob") for number in range(20)}
    content = packed(in_folder("toy-main", files))
    shelf = Shelf()
    shelf.files = {"toy.zip": content}
    threading.Thread(target=shelf.serve_forever, args=(0.02,), daemon=True).start()
    archive = downloads.Archive(
        url=f"{shelf.address}/toy.zip",
        name="toy.zip",
        wanted=r"[^/]+/(\w+/\d+\.png)",
        files=len(files),
        most_bytes=2_000_000,
        sha256=hashlib.sha256(content).hexdigest(),
    )
    downloads.datasets["toy"] = downloads.Dataset("the toy", (archive,), digest_of(files), "Toy: noise.")
    return lambda folder: downloads.fetch_dataset("toy", folder, retries=0, progress=False)


def training():
    "Train, or go on."
    train, valid = (part for _, part in people().groupby("split"))
    sizes = dict(classes_per_batch=2, images_per_class=2, checkpoint_steps=1, glance=0, epochs=2, progress=False)

    def work(folder):
        if (folder / "run.json").exists():
            resume(folder, progress=False)
        else:
            fit(network(), train, valid, out=folder, **sizes)

    return work


def saving():
    "Save a network."
    model = network()
    return lambda folder: save_model(model, folder)


def embedding():
    "Embed pictures into a folder."
    model, pictures = network(), people()
    return lambda folder: embed_images(model, pictures, out=folder, batch_size=8, progress=False)


def indexing():
    "Build an approximate index and save it."
    vectors = random_set()
    return lambda folder: Index(vectors, "ivf").save(folder)


def reporting():
    "Write the report of a run."
    people()
    shape = dict(image_size=(64, 64), epochs=1, folds=0)
    run = here / "a run"
    number = fork(lambda: execute_plan(plan_run(here / "photos", run, **shape), say=lambda text: None))
    assert os.waitpid(number, 0)[1] == 0

    def work(folder):
        write_report(folder, say=lambda text: None)

    work.before = lambda folder: shutil.copytree(run, folder)
    return work


works = dict(
    render=rendering, fetch=fetching, train=training, save=saving, embed=embedding, index=indexing, report=reporting
)


# ---- trials

def fork(work):
    "Do something in a process of its own and return its number; a refusal in one sentence ends it with 3."
    number = os.fork()
    if number: return number
    try:
        work()
    except Exception as error:
        said = str(error)
        is_sentence = isinstance(error, (ValueError, OSError)) and "\n" not in said and said.startswith("Could not")
        if not is_sentence:
            traceback.print_exc()
        os._exit(3 if is_sentence else 1)
    os._exit(0)


def files_in(folder):
    "List all files of a folder."
    return sorted(path for path in folder.rglob("*") if path.is_file())


def was_there(file):
    "Tell whether a file of the first result was laid out before the stage began."
    return (here / "a run" / file.relative_to(here / "whole0")).exists()


def contents(folder):
    "Digest every file that lies in a folder; times, durations and random names of a run do not count."
    found = {}
    for file in files_in(folder):
        name = file.relative_to(folder).as_posix()
        content = file.read_bytes()
        if name.endswith((".html", ".json", ".csv")):
            content = re.sub(rb'"(id|run)": "\w+"|\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:[\d.]+)?', b"", content)
            content = content.replace(str(folder.name).encode(), b"")
        if name.endswith(("history.csv", "last.pt", "checkpoint.json", "run.json")):
            content = b""  # seconds, images per second, and digests of what holds them
        found[name] = hashlib.sha256(content).hexdigest()
    return found


def limited(work, size):
    "Allow no file to grow beyond a size from now on, as on a full disk, and do it."
    import resource

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    work()


def prepare(work, folder):
    "Lay out what a stage works on, where there is such a thing."
    if hasattr(work, "before"):
        work.before(folder)


def undisturbed(work, folder):
    "Do it without trouble, and return how many seconds it took."
    if not folder.exists():
        prepare(work, folder)
    started = time.perf_counter()
    _, status = os.waitpid(fork(lambda: work(folder)), 0)
    assert status == 0, f"{stage}: it fails undisturbed in {folder.name}"
    return time.perf_counter() - started


def killed(work, folder, seconds):
    "Kill it after a while; says whether that came before its end."
    number = fork(lambda: work(folder))
    time.sleep(seconds)
    os.kill(number, signal.SIGKILL)
    return os.WIFSIGNALED(os.waitpid(number, 0)[1])


def refused(work, folder, size):
    "Do it on a full disk; says whether that was too small."
    number = fork(lambda: limited(lambda: work(folder), size))
    status = os.WEXITSTATUS(os.waitpid(number, 0)[1])
    assert status in (0, 3), f"{stage}: no sentence on a full disk"
    return status == 3


def main():
    work = works[stage]()
    seconds = undisturbed(work, here / "whole0")
    right = contents(here / "whole0")
    assert right, "nothing was made"
    largest = max(file.stat().st_size for file in files_in(here / "whole0") if not was_there(file))
    rng = random.Random(stage)
    done = tried = halfway = 0
    while done < times:
        tried += 1
        assert tried < 20 * times + 20, "it is hardly ever interrupted"
        folder = here / f"{what}{tried}"
        prepare(work, folder)
        for _ in range(rng.randint(1, 3)):  # often not only once
            if what == "kill":
                is_hit = killed(work, folder, rng.uniform(0, seconds))
            else:
                is_hit = refused(work, folder, rng.randrange(largest))
            done += is_hit
            halfway += is_hit and folder.exists()
        undisturbed(work, folder)
        made = contents(folder)
        assert made == right, {name for name in made.keys() | right.keys() if made.get(name) != right.get(name)}
        shutil.rmtree(folder)
        left = {path.name for path in here.iterdir()} - {"whole0", "photos", "a run"}
        assert not left, f"{stage}: left behind {left}"
    print(json.dumps(dict(times=done, halfway=halfway, seconds=round(seconds, 2))))


main()
