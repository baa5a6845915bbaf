"""How much longer does a whole search take than the rows and distances in it, for one query?

A whole call takes an embedding set and returns a table of hits: it checks that query and gallery fit, leaves out the
query's own file and its person in its own camera, and lays out what is left. Its anchor is what cannot be spared:

- `Index.search`: `nearest`, with the squared lengths that an `Index` keeps;
- `search`: `nearest`, which measures the lengths itself, in one more pass over the vectors;
- `Index.search` of a graph (`hnsw`): the candidates that faiss proposes, measured and ranked.

The galleries have 4,000 to 1,000,000 vectors of 256 numbers and a manifest as people have them: a folder for each
person, names of people and cameras as text, twenty images of a person by six cameras. Every query is an image of the
gallery, so that itself and some of its neighbours are left out. Whole call and anchor alternate, with another query
each time; the last column but one is the median of their differences, in milliseconds.

Somebody whom one camera has taken two hundred times is the worst case: all of what is found first must be left out, and
the gallery is searched once more with all pairs listed.

What was tried or weighed, without gain:

- numbers for all labels, kept with the set: quick afterwards, but the first call of a process pays for a million;
- asking for more again and again, instead of listing pairs: each round is a whole product more;
- resolving the files of all that was found, not only of possible answers: dear where images lie in many folders;
- `iloc` on the manifest, and columns set one by one: each takes as long as laying out the whole table does now;
- to keep the columns of a manifest at hand: a tenth of the call, but a set would not notice that its manifest changed.
"""
import time
from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import faiss
import numpy as np
import pandas as pd
from report import finish, options, table

from siamese_nbdev.checks import counted
from siamese_nbdev.embeddings import EmbeddingSet
from siamese_nbdev.neighbours import nearest, pair_distances, rank_pairs, squared_lengths
from siamese_nbdev.retrieval import SPARE, Index, search

top_k = 10
size = 256
images_per_person = 20
often = 200  # images of somebody by one camera


@dataclass(eq=False)
class Call:
    "A whole call beside what cannot be spared of it; both take a query."
    name: str
    whole: Callable[[EmbeddingSet], pd.DataFrame]
    anchor: Callable[[EmbeddingSet], tuple]
    goal: str


def make_gallery(count: int) -> EmbeddingSet:
    "Draw people at random, and images around each of them."
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((count, size), dtype=np.float32)
    people = vectors.reshape(-1, images_per_person, size)  # a view
    people += rng.standard_normal((len(people), 1, size), dtype=np.float32)
    vectors[:often] = vectors[0] + 0.1 * vectors[:often]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    rows = np.arange(count)
    numbers = rows // images_per_person
    cameras = rows % 6
    numbers[:often] = 0
    cameras[:often] = 0
    path = [f"people/{person:05d}/c{camera}_{row:07d}.jpg" for row, person, camera in zip(rows, numbers, cameras)]
    label = [f"{person:05d}" for person in numbers]
    camera = [f"c{camera}" for camera in cameras]
    return EmbeddingSet(vectors, pd.DataFrame(dict(path=path, label=label, camera=camera), dtype="str"))


def exact_calls(gallery: EmbeddingSet) -> list[Call]:
    "Prepare the calls that look at every vector."
    vectors = gallery.vectors
    squares = squared_lengths(vectors)
    index = Index(gallery)
    return [
        Call(
            "`Index.search`",
            partial(index.search, top_k=top_k),
            lambda query: nearest(query.vectors, vectors, top_k, squares=squares),
            "1 ms",
        ),
        Call(
            "`search`",
            partial(search, gallery=gallery, top_k=top_k),
            lambda query: nearest(query.vectors, vectors, top_k),
            "1 ms",
        ),
    ]


def graph_call(gallery: EmbeddingSet) -> Call:
    "Build a graph and prepare its call."
    index = Index(gallery, "hnsw")

    def anchor(query):
        who, rows = index.backend.candidates(query.vectors, top_k + SPARE)
        distances = pair_distances(query.vectors, gallery.vectors, who, rows, "euclidean")
        return rank_pairs(who, rows, distances, 1, top_k)

    return Call("`Index.search`, hnsw", partial(index.search, top_k=top_k), anchor, "1 ms")


def seconds_of(call: Callable, query: EmbeddingSet, clock: Callable[[], float]) -> float:
    "Time a call once."
    started = clock()
    call(query)
    return clock() - started


def measure(call: Call, queries: list[EmbeddingSet], calls: int, clock: Callable[[], float]) -> list[str]:
    "Time a whole call and its anchor in alternation; returns the median of each and of the difference, in words."
    seconds = []
    for number in range(-3, calls):
        query = queries[number % len(queries)]
        ways = [call.anchor, call.whole]
        order = (0, 1) if number % 2 else (1, 0)
        pair = {way: seconds_of(ways[way], query, clock) for way in order}
        if number >= 0:  # the first ones warm up
            seconds.append([pair[0], pair[1], pair[1] - pair[0]])
    return [f"{1e3 * value:.2f} ms" for value in np.median(seconds, axis=0)]


def some_queries(gallery: EmbeddingSet, rows: np.ndarray) -> list[EmbeddingSet]:
    "Take images of a gallery, one by one, as queries."
    return [gallery.select([row]) for row in rows]


def rows_of_table(count: int, calls: int, graphs: int, clock: Callable[[], float]) -> list[list]:
    "Measure all calls in a gallery."
    gallery = make_gallery(count)
    usual = some_queries(gallery, np.linspace(often, count - 1, 20).astype(int))
    crowded = some_queries(gallery, np.arange(0, often, 10))
    rows = []
    exact = exact_calls(gallery)
    for call in exact:
        rows.append([f"{count:,}", call.name, *measure(call, usual, calls, clock), call.goal])
    index = exact[0]
    rows.append([f"{count:,}", f"{index.name}, worst case", *measure(index, crowded, calls, clock), ""])
    if count <= graphs:
        graph = graph_call(gallery)
        rows.append([f"{count:,}", graph.name, *measure(graph, usual, 3 * calls, clock), graph.goal])
    return rows


def main(arguments: Namespace) -> None:
    counts = [4_000, 20_000] if arguments.quick else [4_000, 100_000, 1_000_000]
    calls = 10 if arguments.quick else arguments.calls
    clock = time.thread_time if arguments.busy else time.perf_counter
    rows = []
    for count in counts:
        few = min(calls, 30) if count == 1_000_000 else calls
        rows += rows_of_table(count, few, arguments.graphs, clock)
    head = ["vectors", "call", "rows and distances", "whole call", "above", "goal"]
    parts = [
        f"One query, the {top_k} nearest of vectors of {size} numbers; medians of {calls} calls (of {min(calls, 30)} "
        "in the largest gallery, of three times as many for graphs), each beside its anchor. Worst case: somebody "
        f"whom one camera has taken {often} times."
        + (" The machine was busy: times are those that the processor worked on a call." if arguments.busy else ""),
        table(head, rows),
        f"faiss {faiss.__version__} with {counted(faiss.omp_get_max_threads(), 'thread')}, numpy {np.__version__}, "
        f"pandas {pd.__version__}.",
    ]
    finish("Whole calls", parts, arguments.out)


if __name__ == "__main__":
    parser = options(__doc__.splitlines()[0])
    graphs = "build no graph of more vectors: of 1,000,000 without clusters it takes more than a quarter of an hour"
    parser.add_argument("--calls", type=int, default=200, help="whole calls and anchors to time, of each kind")
    parser.add_argument("--graphs", type=int, default=100_000, help=graphs)
    busy = "count the time that the processor works on a call, with one thread (OMP_NUM_THREADS=1), not the clock's"
    parser.add_argument("--busy", action="store_true", help=busy)
    main(parser.parse_args())
