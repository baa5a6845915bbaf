"""How fast is our search among 4,000, 100,000 and 1,000,000 vectors of 256 numbers, for one query and for a hundred?

What is timed: query vectors in, rows and distances of the ten nearest out, everything in memory, nothing built inside the clock.

- ours: `nearest` with the squared lengths that an `Index` keeps; its distances are measured again in double precision and ties are stable;
- faiss: `IndexFlatL2`, exact too, with as many threads;
- scikit-learn: `NearestNeighbors(algorithm="brute")`;
- loop: the distance to each row, one by one, in Python with numpy, then a sort; timed for one query and multiplied by their number.

The ways run in turns; a turn repeats a call until it has lasted a while, and its first call does not count. Times and ratios are medians over the turns; a
ratio above 1 says how many times longer the other way takes. `Index.search` and `search` are the whole calls, with what must not count left out and the table
of hits laid out. Then: the memory of a search among a million vectors mapped from a file, in a process of its own; and approximate search among clustered
vectors, embeddings of the rendered pedestrians pushed a little, brought to 256 numbers.
"""
import json
import sys
import tempfile
import time
from pathlib import Path

import faiss
import numpy as np
import pandas as pd
import sklearn
from sklearn.neighbors import NearestNeighbors

from report import finish, in_child, in_turn, options, peak_bytes, table
from siamese_nbdev.embeddings import EmbeddingSet, embed_images
from siamese_nbdev.pedestrians import make_pedestrians
from siamese_nbdev.neighbours import nearest, pair_distances, rank_pairs, squared_lengths
from siamese_nbdev.retrieval import Index, search
from siamese_nbdev.training import demo_model

top_k, size = 10, 256


def unit(vectors: np.ndarray) -> np.ndarray:
    "Bring vectors to length 1."
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def random_vectors(count: int, seed: int) -> np.ndarray:
    "Draw directions at random."
    return unit(np.random.default_rng(seed).standard_normal((count, size), dtype=np.float32))


def embedding_set(vectors: np.ndarray, name: str) -> EmbeddingSet:
    "Give vectors a manifest with people and cameras."
    rows = np.arange(len(vectors))
    return EmbeddingSet(vectors, pd.DataFrame(dict(path=[f"{name}/{row:07d}.jpg" for row in rows], label=(rows // 20).astype(str), camera=(rows % 6).astype(str)), dtype="str"))


def in_turns(ways: dict, turns: int, least: float) -> dict[str, np.ndarray]:
    "Time calls in turns; returns seconds a call of each turn."
    seconds = {name: [] for name in ways}
    for turn in range(turns):
        for name, call in in_turn(ways.items(), turn):
            call()
            calls, started = 0, time.perf_counter()
            while not calls or time.perf_counter() - started < least: call(); calls += 1
            seconds[name].append((time.perf_counter() - started) / calls)
    return {name: np.array(values) for name, values in seconds.items()}


def loop(query: np.ndarray, gallery: np.ndarray) -> list[int]:
    "Search as a first attempt does."
    distances = [np.linalg.norm(query - row) for row in gallery]
    return sorted(range(len(distances)), key=distances.__getitem__)[:top_k]


def shown(seconds: float) -> str:
    "Write a time with its unit."
    return f"{seconds:.1f} s" if seconds >= 10 else f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1e3:.1f} ms" if seconds >= 0.01 else f"{seconds * 1e3:.3f} ms"


def exact_rows(counts: list[int], turns: int, least: float) -> tuple[list, list]:
    "Compare the exact ways; returns the rows of two tables."
    vectors_part, whole_calls = [], []
    for count in counts:
        vectors = random_vectors(count, 0)
        flat, squares, neighbours = faiss.IndexFlatL2(size), squared_lengths(vectors), NearestNeighbors(n_neighbors=top_k, algorithm="brute").fit(vectors)
        flat.add(vectors)
        gallery = embedding_set(vectors, "gallery")
        index = Index(gallery)
        started = time.perf_counter()
        loop(random_vectors(1, 1)[0], vectors[:100_000])
        one_loop = (time.perf_counter() - started) * max(1, count / 100_000)
        for asked in (1, 100):
            queries = random_vectors(asked, 1)
            found = nearest(queries, vectors, top_k, squares=squares)[0]
            same = np.mean([len(set(a) & set(b)) / top_k for a, b in zip(found, flat.search(queries, top_k)[1])])
            assert same > 0.999, f"nearest and faiss agree on {same:.2%} only"
            fewer = max(3, turns // 3) if count * asked > 10 ** 7 else turns
            seconds = in_turns({"ours": lambda: nearest(queries, vectors, top_k, squares=squares), "faiss": lambda: flat.search(queries, top_k),
                                "sklearn": lambda: neighbours.kneighbors(queries)}, fewer, least)
            ratio = lambda name: f"{np.median(seconds[name] / seconds['ours']):.2f}"
            slow = one_loop * asked
            vectors_part.append([f"{count:,}", asked, *(shown(np.median(seconds[name])) for name in ("ours", "faiss", "sklearn")), shown(slow), ratio("faiss"), ratio("sklearn"), f"{slow / np.median(seconds['ours']):,.0f}"])
            query = embedding_set(queries, "query")
            calls = in_turns({"index": lambda: index.search(query, top_k=top_k), "search": lambda: search(query, gallery, top_k=top_k)}, 3, 0)
            whole_calls.append([f"{count:,}", asked, shown(np.median(seconds["ours"])), *(shown(np.median(calls[name])) for name in ("index", "search"))])
        del flat, vectors, gallery, index, neighbours
    return vectors_part, whole_calls


def memory_in_child(folder: str) -> dict:
    "Search a saved set in this process and note the memory; libraries are loaded already."
    libraries = peak_bytes()
    gallery = EmbeddingSet.load(folder)
    opened, data = peak_bytes(), gallery.vectors.nbytes
    for asked in (1, 100): search(embedding_set(random_vectors(asked, 1), "query"), gallery, top_k=top_k)
    return dict(libraries=libraries, opened=opened, peak=peak_bytes(), data=data)


def memory_row(count: int) -> list:
    "Write a set to disk, search it in a fresh process, and return its memory in MB."
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        vectors = np.lib.format.open_memmap(folder / "vectors.npy", mode="w+", dtype=np.float32, shape=(count, size))
        for start in range(0, count, 100_000): vectors[start:start + 100_000] = random_vectors(min(100_000, count - start), start)
        vectors.flush()
        embedding_set(vectors, "gallery").describe(folder)
        del vectors
        seen = in_child(__file__, "--child", folder)
    megabytes = lambda value: f"{value / 1e6:,.0f} MB"
    return [f"{count:,}", megabytes(seen["data"]), megabytes(seen["libraries"]), megabytes(seen["opened"] - seen["libraries"]), megabytes(seen["peak"]), megabytes(seen["peak"] - seen["data"] - seen["libraries"])]


def pedestrian_vectors(quick: bool) -> np.ndarray:
    "Embed the rendered pedestrians with the small trained network and keep the 256 strongest directions."
    people = make_pedestrians("data")
    vectors = embed_images(demo_model("."), people[people.split == "valid"] if quick else people, progress=False).vectors
    return unit(vectors @ np.linalg.svd(vectors, full_matrices=False)[2][:size].T)


def clustered(images: np.ndarray, count: int, seed: int) -> np.ndarray:
    "Copy images' vectors and push each copy in a random direction, as far as the next image usually is."
    rng = np.random.default_rng(seed)
    far = np.median(nearest(images, images, 2)[1][:, 1])
    return unit(images[rng.integers(0, len(images), count)] + rng.standard_normal((count, images.shape[1]), dtype=np.float32) * np.float32(far / images.shape[1] ** 0.5))


def approximate_rows(images: np.ndarray, counts: list[int], turns: int) -> list:
    "Compare the approximate indexes with exact search."
    rows = []
    for count in counts:
        vectors, queries = clustered(images, count, 1), clustered(images, 100, 2)
        gallery, squares, query = embedding_set(vectors, "gallery"), squared_lengths(vectors), embedding_set(queries, "query")
        truth = nearest(queries, vectors, top_k, squares=squares)[0]
        for kind, efforts in (("hnsw", (16, 32, 64)), ("ivf", (2, 4, 8))):
            started = time.perf_counter()
            index = Index(gallery, kind)
            built = time.perf_counter() - started
            def ask(some):
                who, near = index.candidates(some, top_k)
                return rank_pairs(who, near, pair_distances(some, vectors, who, near, "euclidean"), len(some), top_k)[0]
            for index.effort in efforts:
                recall = np.mean([len(set(a) & set(b)) / top_k for a, b in zip(ask(queries), truth)])
                singles = lambda call, many: [call(queries[row:row + 1]) for row in range(many)]
                exact = lambda some: nearest(some, vectors, top_k, squares=squares)
                few = 10
                seconds = in_turns({"exact 1": lambda: singles(exact, few), "1": lambda: singles(ask, 100), "exact 100": lambda: exact(queries), "100": lambda: ask(queries),
                                    "whole": lambda: index.search(query.select([0]), top_k=top_k)}, turns, 0)
                rows.append([f"{count:,}", kind, index.effort, f"{recall:.3f}", shown(np.median(seconds["1"]) / 100), f"{np.median(seconds['exact 1'] / few / (seconds['1'] / 100)):.0f}",
                             shown(np.median(seconds["100"])), f"{np.median(seconds['exact 100'] / seconds['100']):.0f}", shown(np.median(seconds["whole"])), f"{built:.0f} s"])
            del index
    return rows


if __name__ == "__main__":
    parser = options(__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=9, help="turns of every way")
    parser.add_argument("--largest", type=int, default=1_000_000, help="leave out galleries larger than this")
    parser.add_argument("--child", help="for the script itself: measure the memory of searching this saved set")
    arguments = parser.parse_args()
    if arguments.child:
        print(json.dumps(memory_in_child(arguments.child)))
        sys.exit()
    counts = [4_000, 20_000] if arguments.quick else [count for count in (4_000, 100_000, 1_000_000) if count <= arguments.largest]
    turns = 3 if arguments.quick else arguments.turns
    vectors_part, whole_calls = exact_rows(counts, turns, 0.02 if arguments.quick else 0.1)
    memory = memory_row(counts[-1])
    approximate = approximate_rows(pedestrian_vectors(arguments.quick), [counts[-1]] if arguments.quick else counts[1:], 3)
    finish("Search", [
        f"The {top_k} nearest of vectors of {size} numbers; medians of {turns} turns (a third for the largest). Ratios: how many times longer than ours; the goal is 0.95 or more for faiss.",
        table(["vectors", "queries", "ours", "faiss flat", "scikit-learn", "Python loop", "faiss : ours", "scikit-learn : ours", "loop : ours"], vectors_part),
        "The whole calls, with the table of hits; `search` also measures the gallery's lengths each time, an `Index` has them.",
        table(["vectors", "queries", "rows and distances", "`Index.search`", "`search`"], whole_calls),
        "Memory of `search` among vectors mapped from a file, for 1 and then 100 queries. The last column is the peak less the data and the libraries; the goal is 500 MB at most.",
        table(["vectors", "the data", "libraries", "manifest", "peak", "above data and libraries"], [memory]),
        "Approximate search in clustered vectors (see above), rows and distances alone, but for the whole call; the goal is a recall of 0.95 at 20 times the speed of exact search.",
        table(["vectors", "kind", "effort", "recall@10", "1 query", "times faster", "100 queries", "times faster", "whole call, 1 query", "building"], approximate),
        f"faiss {faiss.__version__} with {faiss.omp_get_max_threads()} threads, scikit-learn {sklearn.__version__}, numpy {np.__version__}.",
    ], arguments.out)
