"""How long does `rerank` take, and how much memory, for 2,000, 6,000 and 19,281 images (Market-1501: 3,368 queries and
15,913 of gallery)? Against the same method with dense tables, and against a bare search of the collection in itself.

Every run is a fresh process, which makes the same vectors around the centres of people (25 images each), works once
on a small part to warm up, then once on all, and notes seconds and the most memory it held. The ways run in turns.

- rerank: ours, with sparse tables; k1 = 20, k2 = 6;
- dense: the textbook's form, with tables of all images against all; not for the largest collection, where they would
  take some 17 GB;
- nearest: nothing but the k1 nearest others of every image, which re-ranking needs in any case.

The script checks that both forms give the same distances.

Tried without gain: parts of 256, 1,024 and 4,096 rows instead of 512 (as fast, or slower by a third at 4,096).
"""
import json
import sys
import time
from argparse import Namespace
from collections.abc import Callable

import numpy as np
import pandas as pd
from report import finish, in_child, in_turn, options, peak_bytes, reset_peak, table

from siamese_nbdev.embeddings import EmbeddingSet
from siamese_nbdev.galleries import parts_of
from siamese_nbdev.neighbours import distances_between, nearest
from siamese_nbdev.retrieval import rerank

k1 = 20
k2 = 6
weight = 0.3
size = 512
images_per_person = 25
queries_of_market = 3368 / 19_281
ways = {
    "ours": "`rerank`",
    "dense": "the same with dense tables",
    "nearest": f"`nearest`, the {k1} nearest others of every image",
}


def vectors_of(count: int) -> np.ndarray:
    "Draw unit vectors around the centres of people, with enough noise that some are confused."
    rng = np.random.default_rng(0)
    people = max(2, count // images_per_person)
    centres = rng.standard_normal((people, size), dtype=np.float32)
    vectors = centres[rng.integers(0, people, count)]
    vectors += 2.5 * rng.standard_normal((count, size), dtype=np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def queries_among(count: int) -> int:
    "Return how many of the images ask: the share of Market-1501."
    return round(count * queries_of_market)


def rerank_vectors(vectors: np.ndarray) -> np.ndarray:
    "Re-rank with the library; the first vectors are the queries."
    paths = [f"{row}.jpg" for row in range(len(vectors))]
    images = EmbeddingSet(vectors, pd.DataFrame(dict(path=paths)))
    queries = queries_among(len(vectors))
    asked = images.select(range(queries))
    known = images.select(range(queries, len(vectors)))
    return rerank(asked, known, k1=k1, k2=k2, weight=weight)


def rerank_densely(vectors: np.ndarray) -> np.ndarray:
    "Re-rank with tables of all images against all."
    shares = distances_between(vectors, vectors) ** 2
    np.fill_diagonal(shares, 0)
    shares /= shares.max(axis=1, keepdims=True)
    order = shares.argsort(axis=1, kind="stable")
    weights = np.where(dense_neighbourhoods(order), np.exp(-shares), 0)
    weights /= weights.sum(axis=1, keepdims=True)
    weights = weights[order[:, :k2]].mean(axis=1)
    queries = queries_among(len(vectors))
    gallery = weights[queries:]
    jaccard = np.empty((queries, len(gallery)), np.float32)
    for row in range(queries):
        held = np.flatnonzero(weights[row])
        overlap = np.minimum(weights[row, held], gallery[:, held]).sum(axis=1)
        jaccard[row] = 1 - overlap / (2 - overlap)
    return (1 - weight) * jaccard + weight * shares[:queries, queries:]


def dense_neighbourhoods(order: np.ndarray) -> np.ndarray:
    "Mark each image's mutual neighbours, and theirs where more than two thirds of them are known already."
    mutual = densely_mutual(order, k1)
    half = densely_mutual(order, round(k1 / 2))
    mutual_numbers = mutual.astype(np.float32)
    half_numbers = half.astype(np.float32)
    shared = mutual_numbers @ half_numbers.T
    joins = mutual & (3 * shared > 2 * half.sum(axis=1)[None, :])
    return mutual | (joins.astype(np.float32) @ half_numbers > 0)


def densely_mutual(order: np.ndarray, k: int) -> np.ndarray:
    "Mark which pairs have each other among their k nearest."
    near = np.zeros(order.shape, dtype=bool)
    np.put_along_axis(near, order[:, :k + 1], True, axis=1)
    return near & near.T


def find_nearest(vectors: np.ndarray) -> np.ndarray:
    "Find the nearest others of every image, as many at a time as `rerank` does."
    rows = np.arange(len(vectors))
    found = []
    for part in parts_of(len(vectors)):
        itself = rows[part] - part.start, rows[part]
        found.append(nearest(vectors[part], vectors, k1, excluded=itself)[0])
    return np.concatenate(found)


works: dict[str, Callable] = {"ours": rerank_vectors, "dense": rerank_densely, "nearest": find_nearest}


def measure(way: str, count: int) -> dict:
    "Work once in this process; return seconds, and peak memory in bytes: of the process, and above what it began with."
    vectors = vectors_of(count)
    works[way](vectors[:300])  # warm up: libraries load, threads start
    reset_peak()
    resident = peak_bytes()
    started = time.perf_counter()
    works[way](vectors)
    seconds = time.perf_counter() - started
    return dict(seconds=seconds, peak=peak_bytes(), above=max(0, peak_bytes() - resident))


def compare(count: int) -> dict:
    "Return how far the distances of both forms lie apart at most."
    vectors = vectors_of(count)
    return dict(apart=float(abs(rerank_vectors(vectors) - rerank_densely(vectors)).max()))


def ways_for(count: int, arguments: Namespace) -> list[str]:
    "List the ways that a collection of some size is worked on."
    return [way for way in ways if way != "dense" or count <= arguments.most_dense]


def runs_of(count: int, arguments: Namespace) -> dict[str, list[dict]]:
    "Measure the ways in turns, each in a fresh process."
    runs = {way: [] for way in ways_for(count, arguments)}
    for number in range(arguments.rounds):
        for way in in_turn(runs, number):
            runs[way].append(in_child(__file__, "--way", way, "--count", count))
            print(f"{count:,} images, round {number + 1}: {way} {runs[way][-1]}", file=sys.stderr, flush=True)
    return runs


def rows_for(count: int, runs: dict[str, list[dict]]) -> list[list]:
    "Set the rows of one size: medians, and the median of the ratios within a round."
    rows = []
    for way, mine in runs.items():
        ratio = np.median([own["seconds"] / our["seconds"] for own, our in zip(mine, runs["ours"])])
        seconds = np.median([run["seconds"] for run in mine])
        memory = [f"{np.median([run[name] for run in mine]) / 1e6:,.0f}" for name in ("above", "peak")]
        rows.append([f"{count:,}: {ways[way]}", f"{seconds:.1f}", f"{ratio:.2f}", *memory])
    return rows


def main(arguments: Namespace) -> None:
    rows = []
    for count in arguments.sizes:
        rows += rows_for(count, runs_of(count, arguments))
    compared = [count for count in arguments.sizes if count <= arguments.most_dense]
    apart = max(in_child(__file__, "--way", "compare", "--count", count)["apart"] for count in compared)
    assert apart < 1e-5, f"the two forms disagree by {apart}"
    text = (
        f"Vectors of {size} numbers, {images_per_person} images of each person; {queries_of_market:.1%} of the images "
        f"are queries, as in Market-1501 (19,281 images). Medians of {arguments.rounds} rounds in turns, each in a "
        f"fresh process. The distances of both forms differ by {apart:.1e} at most. The last column is the peak of the "
        "whole process, with libraries and vectors."
    )
    head = ["", "seconds", "times ours", "memory above vectors and libraries, MB", "peak of the process, MB"]
    finish("Re-ranking a retrieval", [text, table(head, rows)], arguments.out)


if __name__ == "__main__":
    parser = options(__doc__.partition("\n\n")[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[2000, 6000, 19_281], help="images of a collection")
    parser.add_argument("--most-dense", type=int, default=6000, help="largest collection for dense tables")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--way", help="internal: measure this way in this process")
    parser.add_argument("--count", type=int, help="internal: for this many images")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.sizes = [500, 1000]
        arguments.rounds = 1
    if arguments.way:
        found = compare(arguments.count) if arguments.way == "compare" else measure(arguments.way, arguments.count)
        print(json.dumps(found))
        sys.exit()
    main(arguments)
