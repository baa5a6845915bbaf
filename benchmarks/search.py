"""How fast is our search among 4,000, 100,000 and 1,000,000 vectors of 256 numbers, for one query and for a hundred?

What is timed: query vectors in, rows and distances of the ten nearest out, everything in memory, nothing built inside
the clock.

- ours: `nearest` with the squared lengths that an `Index` keeps; its distances are measured again in double precision
  and ties are stable;
- faiss: `IndexFlatL2`, exact too, with as many threads;
- scikit-learn: `NearestNeighbors(algorithm="brute")`;
- loop: the distance to each row, one by one, in Python with numpy, then a sort; timed for one query and multiplied by
  their number.

The ways run in turns; a turn repeats a call until it has lasted a while, and its first call does not count. Times and
ratios are medians over the turns; a ratio above 1 says how many times longer the other way takes. `Index.search` and
`search` are the whole calls, with what must not count left out and the table of hits laid out. Then: the memory of a
search among a million vectors mapped from a file, in a process of its own; and approximate search among clustered
vectors, embeddings of the rendered pedestrians pushed a little, brought to 256 numbers.
"""
import json
import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import faiss
import numpy as np
import pandas as pd
import sklearn
from report import finish, in_child, in_turn, options, peak_bytes, table
from sklearn.neighbors import NearestNeighbors

from siamese_nbdev.checks import counted
from siamese_nbdev.embeddings import EmbeddingSet, embed_images
from siamese_nbdev.neighbours import nearest, pair_distances, rank_pairs, squared_lengths
from siamese_nbdev.pedestrians import make_pedestrians
from siamese_nbdev.retrieval import Index, search
from siamese_nbdev.training import demo_model

top_k = 10
size = 256


def unit(vectors: np.ndarray) -> np.ndarray:
    "Bring vectors to length 1."
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def random_vectors(count: int, seed: int) -> np.ndarray:
    "Draw directions at random."
    return unit(np.random.default_rng(seed).standard_normal((count, size), dtype=np.float32))


def embedding_set(vectors: np.ndarray, name: str) -> EmbeddingSet:
    "Give vectors a manifest with people and cameras."
    rows = np.arange(len(vectors))
    manifest = pd.DataFrame(
        dict(
            path=[f"{name}/{row:07d}.jpg" for row in rows],
            label=(rows // 20).astype(str),
            camera=(rows % 6).astype(str),
        ),
        dtype="str",
    )
    return EmbeddingSet(vectors, manifest)


def in_turns(ways: dict[str, Callable], turns: int, least: float) -> dict[str, np.ndarray]:
    "Time calls in turns; returns seconds a call of each turn."
    seconds = {name: [] for name in ways}
    for turn in range(turns):
        for name, call in in_turn(ways.items(), turn):
            call()
            calls = 0
            started = time.perf_counter()
            while not calls or time.perf_counter() - started < least:
                call()
                calls += 1
            seconds[name].append((time.perf_counter() - started) / calls)
    return {name: np.array(values) for name, values in seconds.items()}


def loop(query: np.ndarray, gallery: np.ndarray) -> list[int]:
    "Search as a first attempt does."
    distances = [np.linalg.norm(query - row) for row in gallery]
    return sorted(range(len(distances)), key=distances.__getitem__)[:top_k]


def loop_seconds(vectors: np.ndarray) -> float:
    "Time the loop for one query, on a part where there are many vectors."
    some = vectors[:100_000]
    query = random_vectors(1, 1)[0]
    started = time.perf_counter()
    loop(query, some)
    return (time.perf_counter() - started) * len(vectors) / len(some)


def shown(seconds: float) -> str:
    "Write a time with its unit."
    if seconds >= 10: return f"{seconds:.1f} s"
    if seconds >= 1: return f"{seconds:.2f} s"
    if seconds >= 0.01: return f"{seconds * 1e3:.1f} ms"
    return f"{seconds * 1e3:.3f} ms"


def recall(found: np.ndarray, truth: np.ndarray) -> float:
    "Return which part of the true nearest is found."
    shares = [len(set(mine) & set(right)) / top_k for mine, right in zip(found, truth, strict=True)]
    return float(np.mean(shares))


class ExactWays:
    "One gallery of random vectors, prepared for all exact ways."
    def __init__(self, count: int):
        self.vectors = random_vectors(count, 0)
        self.squares = squared_lengths(self.vectors)
        self.flat = faiss.IndexFlatL2(size)
        self.flat.add(self.vectors)
        self.neighbours = NearestNeighbors(n_neighbors=top_k, algorithm="brute").fit(self.vectors)
        self.gallery = embedding_set(self.vectors, "gallery")
        self.index = Index(self.gallery)
        self.loop_seconds = loop_seconds(self.vectors)

    def compare(self, asked: int, turns: int, least: float) -> tuple[list, list]:
        "Time all ways for some queries; returns one row of each table."
        queries = random_vectors(asked, 1)
        ways = {
            "ours": partial(nearest, queries, self.vectors, top_k, squares=self.squares),
            "faiss": partial(self.flat.search, queries, top_k),
            "sklearn": partial(self.neighbours.kneighbors, queries),
        }
        same = recall(ways["ours"]()[0], ways["faiss"]()[1])
        assert same > 0.999, f"nearest and faiss agree on {same:.2%} only"
        many = len(self.vectors) * asked > 10 ** 7
        seconds = in_turns(ways, max(3, turns // 3) if many else turns, least)
        query = embedding_set(queries, "query")
        calls = {
            "index": partial(self.index.search, query, top_k=top_k),
            "search": partial(search, query, self.gallery, top_k=top_k),
        }
        whole = in_turns(calls, 3, 0)
        return self.vector_row(asked, seconds), self.call_row(asked, seconds, whole)

    def vector_row(self, asked: int, seconds: dict) -> list:
        "Set a row of the first table: times, and how many times longer than ours."
        ours = seconds["ours"]
        slow = self.loop_seconds * asked
        times = [shown(np.median(seconds[name])) for name in ("ours", "faiss", "sklearn")]
        ratios = [f"{np.median(seconds[name] / ours):.2f}" for name in ("faiss", "sklearn")]
        return [f"{len(self.vectors):,}", asked, *times, shown(slow), *ratios, f"{slow / np.median(ours):,.0f}"]

    def call_row(self, asked: int, seconds: dict, whole: dict) -> list:
        "Set a row of the second table: the whole calls."
        times = [shown(np.median(values)) for values in (seconds["ours"], whole["index"], whole["search"])]
        return [f"{len(self.vectors):,}", asked, *times]


def exact_rows(counts: list[int], turns: int, least: float) -> tuple[list, list]:
    "Compare the exact ways; returns the rows of two tables."
    vector_rows = []
    call_rows = []
    for count in counts:
        ways = ExactWays(count)
        for asked in (1, 100):
            vector_row, call_row = ways.compare(asked, turns, least)
            vector_rows.append(vector_row)
            call_rows.append(call_row)
        del ways  # before the next gallery is made
    return vector_rows, call_rows


def memory_in_child(folder: str) -> dict:
    "Search a saved set in this process and note the memory; libraries are loaded already."
    libraries = peak_bytes()
    gallery = EmbeddingSet.load(folder)
    opened = peak_bytes()
    for asked in (1, 100):
        search(embedding_set(random_vectors(asked, 1), "query"), gallery, top_k=top_k)
    return dict(libraries=libraries, opened=opened, peak=peak_bytes(), data=gallery.vectors.nbytes)


def memory_row(count: int) -> list:
    "Write a set to disk, search it in a fresh process, and return its memory in MB."
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "vectors.npy")
        vectors = np.lib.format.open_memmap(file, mode="w+", dtype=np.float32, shape=(count, size))
        for start in range(0, count, 100_000):
            part = vectors[start:start + 100_000]
            part[:] = random_vectors(len(part), start)
        vectors.flush()
        embedding_set(vectors, "gallery").write(Path(folder), Path(folder), stored=True)
        del vectors, part
        seen = in_child(__file__, "--child", folder)
    above = seen["peak"] - seen["data"] - seen["libraries"]
    manifest = seen["opened"] - seen["libraries"]
    values = (seen["data"], seen["libraries"], manifest, seen["peak"], above)
    return [f"{count:,}", *(f"{value / 1e6:,.0f} MB" for value in values)]


def pedestrian_vectors(quick: bool) -> np.ndarray:
    "Embed the rendered pedestrians with the small trained network and keep the 256 strongest directions."
    people = make_pedestrians("data")
    if quick:
        people = people[people.split == "valid"]
    vectors = embed_images(demo_model("."), people, progress=False).vectors
    strongest = np.linalg.svd(vectors, full_matrices=False)[2][:size]
    return unit(vectors @ strongest.T)


def clustered(images: np.ndarray, count: int, seed: int) -> np.ndarray:
    "Copy images' vectors and push each copy in a random direction, as far as the next image usually is."
    rng = np.random.default_rng(seed)
    to_next = np.median(nearest(images, images, 2)[1][:, 1])
    length = np.float32(to_next / images.shape[1] ** 0.5)
    copies = images[rng.integers(0, len(images), count)]
    return unit(copies + rng.standard_normal(copies.shape, dtype=np.float32) * length)


@dataclass(eq=False)
class Clusters:
    "A gallery of clustered vectors with its questions and their true answers."
    gallery: EmbeddingSet
    query: EmbeddingSet
    squares: np.ndarray
    truth: np.ndarray

    def exact(self, queries: np.ndarray) -> np.ndarray:
        "Find the rows of the nearest exactly."
        return nearest(queries, self.gallery.vectors, top_k, squares=self.squares)[0]

    def approximate(self, index: Index, queries: np.ndarray) -> np.ndarray:
        "Find the rows of the nearest among an index's candidates."
        vectors = self.gallery.vectors
        candidates = index.backend.candidates(queries, top_k)
        assert candidates is not None, f"an index of kind {index.kind} has no shortcut"
        who, rows = candidates
        distances = pair_distances(queries, vectors, who, rows, "euclidean")
        return rank_pairs(who, rows, distances, len(queries), top_k)[0]


def one_by_one(call: Callable, queries: np.ndarray) -> None:
    "Ask one query after the other."
    for row in range(len(queries)):
        call(queries[row:row + 1])


def approximate_row(clusters: Clusters, index: Index, turns: int) -> list:
    "Time one index with one effort."
    queries = clusters.query.vectors
    few = queries[:10]
    ask = partial(clusters.approximate, index)
    found = recall(ask(queries), clusters.truth)
    one = clusters.query.select([0])
    ways = {
        "exact, one by one": partial(one_by_one, clusters.exact, few),
        "one by one": partial(one_by_one, ask, queries),
        "exact, together": partial(clusters.exact, queries),
        "together": partial(ask, queries),
        "whole": partial(index.search, one, top_k=top_k),
    }
    seconds = in_turns(ways, turns, 0)
    exact_single = seconds["exact, one by one"] / len(few)
    single = seconds["one by one"] / len(queries)
    together = seconds["together"]
    return [
        index.kind,
        index.effort,
        f"{found:.3f}",
        shown(np.median(single)),
        f"{np.median(exact_single / single):.0f}",
        shown(np.median(together)),
        f"{np.median(seconds['exact, together'] / together):.0f}",
        shown(np.median(seconds["whole"])),
    ]


def approximate_rows(images: np.ndarray, counts: list[int], turns: int) -> list:
    "Compare the approximate indexes with exact search."
    rows = []
    for count in counts:
        vectors = clustered(images, count, 1)
        queries = clustered(images, 100, 2)
        squares = squared_lengths(vectors)
        truth = nearest(queries, vectors, top_k, squares=squares)[0]
        sets = embedding_set(vectors, "gallery"), embedding_set(queries, "query")
        clusters = Clusters(*sets, squares, truth)
        for kind, efforts in (("hnsw", (16, 32, 64)), ("ivf", (2, 4, 8))):
            started = time.perf_counter()
            index = Index(clusters.gallery, kind)
            building = time.perf_counter() - started
            for effort in efforts:
                index.effort = effort
                rows.append([f"{count:,}", *approximate_row(clusters, index, turns), f"{building:.0f} s"])
            del index
    return rows


def galleries(arguments: Namespace) -> list[int]:
    "Return the sizes of the galleries."
    if arguments.quick: return [4_000, 20_000]
    return [count for count in (4_000, 100_000, 1_000_000) if count <= arguments.largest]


def main(arguments: Namespace) -> None:
    counts = galleries(arguments)
    turns = 3 if arguments.quick else arguments.turns
    vector_rows, call_rows = exact_rows(counts, turns, 0.02 if arguments.quick else 0.1)
    memory = memory_row(counts[-1])
    images = pedestrian_vectors(arguments.quick)
    approximate = approximate_rows(images, counts[1:], 3)
    vector_head = ["vectors", "queries", "ours", "faiss flat", "scikit-learn", "Python loop"]
    vector_head += ["faiss : ours", "scikit-learn : ours", "loop : ours"]
    call_head = ["vectors", "queries", "rows and distances", "`Index.search`", "`search`"]
    memory_head = ["vectors", "the data", "libraries", "manifest", "peak", "above data and libraries"]
    approximate_head = ["vectors", "kind", "effort", "recall@10", "1 query", "times faster"]
    approximate_head += ["100 queries", "times faster", "whole call, 1 query", "building"]
    parts = [
        f"The {top_k} nearest of vectors of {size} numbers; medians of {turns} turns (a third for the largest). "
        "Ratios: how many times longer than ours; the goal is 0.95 or more for faiss.",
        table(vector_head, vector_rows),
        "The whole calls, with the table of hits; `search` also measures the gallery's lengths each time, "
        "an `Index` has them.",
        table(call_head, call_rows),
        "Memory of `search` among vectors mapped from a file, for 1 and then 100 queries. The last column is the peak "
        "less the data and the libraries; the goal is 500 MB at most.",
        table(memory_head, [memory]),
        "Approximate search in clustered vectors (embeddings of rendered pedestrians, each copy pushed a little), rows "
        "and distances alone, but for the whole call; "
        "the goal is a recall of 0.95 at 20 times the speed of exact search.",
        table(approximate_head, approximate),
        f"faiss {faiss.__version__} with {counted(faiss.omp_get_max_threads(), 'thread')}, "
        f"scikit-learn {sklearn.__version__}, numpy {np.__version__}.",
    ]
    finish("Search", parts, arguments.out)


if __name__ == "__main__":
    parser = options(__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=9, help="turns of every way")
    parser.add_argument("--largest", type=int, default=1_000_000, help="leave out galleries larger than this")
    parser.add_argument("--child", help="for the script itself: measure the memory of searching this saved set")
    arguments = parser.parse_args()
    if arguments.child:
        print(json.dumps(memory_in_child(arguments.child)))
        sys.exit()
    main(arguments)
