"""What grows how fast? Listing, splitting, pairs, evaluation, near-duplicates and the report, at three sizes each.

Every row is a fresh process that does one thing at one size, and notes its seconds and the most memory that it held
above what it began with. "Growth" is the exponent between the smallest and the largest size: 1 is linear (n log n is
about 1.1 here), 2 is the square, which only what compares all images with all may have: evaluation, label errors.
"""
import json
import math
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from report import finish, in_child, options, peak_bytes, reset_peak, table

per_identity = 20  # images of an identity


def write_images(folder: Path, count: int, each: int = per_identity) -> None:
    "Write small images of other pixels each, so many to an identity."
    rng = np.random.default_rng(0)
    for number in range(count):
        place = folder / f"{number // each:05}"
        if number % each == 0:
            place.mkdir(parents=True)
        pixels = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(place / f"{number % each:02}.png", compress_level=1)


def listed(count: int) -> pd.DataFrame:
    "Return a manifest of files that nobody opens."
    rows = range(count)
    return pd.DataFrame(dict(path=[f"{row}.png" for row in rows], label=[f"{row // per_identity:05}" for row in rows]))


def embedded(count: int, dimension: int = 128):
    "Return unit vectors around the centres of their identities."
    from siamese_nbdev.embeddings import EmbeddingSet

    rng = np.random.default_rng(0)
    centres = rng.normal(size=(count // per_identity + 1, dimension)).astype(np.float32)
    vectors = centres[np.arange(count) // per_identity] + rng.normal(size=(count, dimension)).astype(np.float32)
    return EmbeddingSet(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), listed(count))


def folder_of_images(count: int):
    "List a folder, look at every file, and split by identity."
    from siamese_nbdev.data import audit_split, check_images, images_from_folder, split_by_label

    with tempfile.TemporaryDirectory() as folder:
        write_images(Path(folder), count)
        yield
        images = images_from_folder(folder)
        check_images(images)
        audit_split(split_by_label(images))


def pairs_of_verification(count: int):
    "Draw ten thousand pairs of each kind."
    from siamese_nbdev.verification import verification_pairs

    embeddings = embedded(count)
    yield
    verification_pairs(embeddings, pairs_per_kind=10_000)


def pairs_of_one_identity(count: int):
    "Draw ten thousand pairs where half of the images show one identity."
    from siamese_nbdev.embeddings import EmbeddingSet
    from siamese_nbdev.verification import verification_pairs

    embeddings = embedded(count)
    labels = embeddings.manifest["label"].mask(np.arange(count) < count // 2, "somebody")
    embeddings = EmbeddingSet(embeddings.vectors, embeddings.manifest.assign(label=labels))
    yield
    verification_pairs(embeddings, pairs_per_kind=10_000)


def evaluation(count: int):
    "Let every image query all others."
    from siamese_nbdev.evaluation import evaluate_retrieval

    embeddings = embedded(count)
    yield
    evaluate_retrieval(embeddings)


def duplicates(count: int):
    "Look for near-duplicates: vectors propose, and the pictures are compared."
    from siamese_nbdev.evaluation import near_duplicates

    with tempfile.TemporaryDirectory() as folder:
        write_images(Path(folder), count)
        embeddings = embedded(count)
        files = sorted(str(path) for path in Path(folder).rglob("*.png"))
        embeddings = type(embeddings)(embeddings.vectors, embeddings.manifest.assign(path=files))
        yield
        near_duplicates(embeddings)


def label_errors(count: int):
    "Look for labels that the neighbours contradict."
    from siamese_nbdev.evaluation import find_label_errors

    embeddings = embedded(count)
    yield
    find_label_errors(embeddings)


def report_of_run(count: int):
    "Run on a folder for one epoch, and write the report."
    from siamese_nbdev.pipeline import execute_plan, plan_run
    from siamese_nbdev.report import write_report

    with tempfile.TemporaryDirectory() as folder:
        write_images(Path(folder, "images"), count, each=4)
        plan = plan_run(Path(folder, "images"), Path(folder, "run"), epochs=1, image_size=(64, 64), folds=0)
        execute_plan(plan, say=lambda text: None)
        yield
        write_report(plan.out, say=lambda text: None)


stages = {
    "folder": (folder_of_images, "`images_from_folder`, `check_images`, `split_by_label`, `audit_split`", 200_000),
    "pairs": (pairs_of_verification, "`verification_pairs`, 10,000 of a kind", 200_000),
    "one": (pairs_of_one_identity, "the same, half of the images of one identity", 40_000),
    "duplicates": (duplicates, "`near_duplicates`", 20_000),
    "labels": (label_errors, "`find_label_errors`", 40_000),
    "evaluation": (evaluation, "`evaluate_retrieval`, all against all", 20_000),
    "report": (report_of_run, "`write_report`, 4 images an identity", 20_000),
}


def measure(stage: str, count: int) -> dict:
    "Do one thing at one size, in this process."
    work = stages[stage][0](count)
    next(work)
    reset_peak()
    before = peak_bytes()
    started = time.perf_counter()
    next(work, None)
    return dict(seconds=time.perf_counter() - started, memory=peak_bytes() - before)


def growth(sizes: list[int], values: list[float]) -> str:
    "Return the exponent between the smallest and the largest size."
    if min(values) <= 0: return "-"
    return f"{math.log(values[-1] / values[0]) / math.log(sizes[-1] / sizes[0]):.2f}"


def main():
    if sys.argv[1:2] == ["--measure"]:
        print(json.dumps(measure(sys.argv[2], int(sys.argv[3]))))
        return
    parser = options(__doc__.splitlines()[0])
    parser.add_argument("--stages", nargs="*", default=list(stages), choices=list(stages), help="what to measure")
    chosen = parser.parse_args()
    rows = []
    for stage in chosen.stages:
        _, title, largest = stages[stage]
        sizes = [100, 200, 400] if chosen.quick else [largest // 10, largest // 3, largest]
        found = [in_child(__file__, "--measure", stage, size) for size in sizes]
        seconds = [one["seconds"] for one in found]
        memory = [one["memory"] / 1e6 for one in found]
        rows += [
            [title if number == 0 else "", f"{size:,}", f"{seconds[number]:.1f}", f"{memory[number]:,.0f}", "", ""]
            for number, size in enumerate(sizes)
        ]
        rows[-1][-2:] = [growth(sizes, seconds), growth(sizes, memory)]
        print(*rows[-3:], sep="\n", flush=True)
    columns = ["", "images", "seconds", "MB", "growth of seconds", "of memory"]
    finish("What grows how fast", [table(columns, rows)], chosen.out)


if __name__ == "__main__":
    main()
