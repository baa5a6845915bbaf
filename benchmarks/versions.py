"""What does the code as it stands cost beside an earlier version: embedding, saving, loading and training?

The earlier version is a git revision, checked out beside; both do the same work in fresh processes, in turns. Every
figure is the median over the rounds of the ratio within a round, of seconds and of the processor's seconds (which
other programs disturb less).
"""
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from report import finish, in_child, in_turn, options, table, top

works = {
    "embed": "`embed_images` into a folder",
    "memory": "`embed_images` without a folder",
    "fit": "`fit`, one epoch and its checkpoint",
    "open": "`EmbeddingSet.load` and `save`, 50,000 vectors, 10 times",
}


def embed(people, folder: Path, out: Path | None):
    "Embed images with the frozen network."
    from siamese_nbdev.embeddings import embed_images
    from siamese_nbdev.model import SiameseNet

    model = SiameseNet(pretrained=True, head=None)
    embed_images(model, people.iloc[:32])  # what happens only once
    yield
    embed_images(model, people, out=out)


def train(people, folder: Path):
    "Train for an epoch."
    from siamese_nbdev.model import SiameseNet
    from siamese_nbdev.training import fit

    train, valid = people[people["split"] == "train"], people[people["split"] == "valid"]
    model = SiameseNet(pretrained=True)
    yield
    fit(model, train.iloc[:640], valid, epochs=1, out=folder / "fit", progress=False)


def save_and_load(people, folder: Path):
    "Write vectors and read them back."
    import numpy as np
    import pandas as pd

    from siamese_nbdev.embeddings import EmbeddingSet

    vectors = np.random.default_rng(0).standard_normal((50_000, 128), dtype=np.float32)
    embeddings = EmbeddingSet(vectors, pd.DataFrame(dict(path=[f"{row}.png" for row in range(len(vectors))])))
    yield
    for number in range(10):
        embeddings.save(folder / f"{number}")
        EmbeddingSet.load(folder / f"{number}")


def measure(work: str, images: int) -> dict:
    "Do one work in this process, with the package that its path leads to."
    from siamese_nbdev.pedestrians import make_pedestrians

    people = make_pedestrians("data")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if work == "fit": steps = train(people, folder)
        elif work == "open": steps = save_and_load(people, folder)
        else: steps = embed(people.iloc[:images], folder, folder / "set" if work == "embed" else None)
        next(steps)
        started, busy = time.perf_counter(), time.process_time()
        next(steps, None)
        return dict(seconds=time.perf_counter() - started, processor=time.process_time() - busy)


def ratio(rounds: list[dict], what: str) -> str:
    "Set the median of now over then, and the range of the rounds."
    ratios = sorted(one["now"][what] / one["then"][what] for one in rounds)
    return f"{statistics.median(ratios):.3f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"


def main():
    if sys.argv[1:2] == ["--measure"]:
        print(json.dumps(measure(sys.argv[2], int(sys.argv[3]))))
        return
    parser = options(__doc__.splitlines()[0])
    parser.add_argument("revision", help="the earlier version, as git names it")
    parser.add_argument("--rounds", type=int, default=7, help="how often each version has its turn")
    parser.add_argument("--works", nargs="*", default=list(works), choices=list(works), help="what to measure")
    chosen = parser.parse_args()
    rounds, images = (1, 64) if chosen.quick else (chosen.rounds, 1200)
    rows = []
    with tempfile.TemporaryDirectory() as name:
        earlier = Path(name, "earlier")
        subprocess.run(["git", "worktree", "add", "-q", "--detach", str(earlier), chosen.revision], check=True)
        places = {"then": earlier, "now": top}
        try:
            for work in chosen.works:
                found = []
                for number in range(rounds):
                    one = {}
                    for version in in_turn(places, number):
                        paths = os.pathsep.join([str(places[version]), str(top / "benchmarks")])
                        one[version] = in_child(__file__, "--measure", work, images, PYTHONPATH=paths)
                    found.append(one)
                middle = statistics.median(one["now"]["seconds"] for one in found)
                rows.append([works[work], f"{middle:.2f}", ratio(found, "seconds"), ratio(found, "processor")])
                print(*rows[-1], flush=True)
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", str(earlier)], check=True)
    columns = ["", "seconds now", "seconds, now / then (range)", "processor's seconds, now / then"]
    named = subprocess.run(["git", "log", "-1", "--format=%h of %as", chosen.revision], capture_output=True, text=True)
    title = f"What this version costs beside {named.stdout.strip()}"
    finish(title, [table(columns, rows)], chosen.out)


if __name__ == "__main__":
    main()
