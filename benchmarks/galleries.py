"""What does it cost to keep a collection that lives: in a folder, in LanceDB, in a file of Milvus, on a Milvus server?

1,000, 10,000 and 100,000 embeddings of 256 numbers, length 1, in clouds around their identities (20 images each), with
label and camera. Each engine at each size runs in processes of its own:

- add all: seconds of one call; add one: milliseconds of adding one image to all of them, median of a few;
- open: seconds from the start of a new process to its first answer, imports too;
- search: milliseconds of one query with its manifest row, the ten closest images, median of sixty, or of as many as
  thirty seconds allow; the same among the images of one camera of six (filter), and leaving out the query's camera
  (cameras);
- equal: of these queries, how many got the table of an exact search among all embeddings, row by row;
- remove: milliseconds of removing one identity;
- disk: megabytes per thousand images, after all of it; memory: the most that the searching process held.

"Growth" is the exponent between 10,000 and 100,000 images: 1 is linear, 0 does not grow. Approximate kinds are one row
each at the largest size: recall is the share of the true ten that were found. The plan for 100 million images is
arithmetic on what was measured here, made by this script; nobody has run it. Finished rows are kept in a JSON file
beside the output: interrupted, the script continues; delete the file after a change to what it measures.
"""
import json
import math
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from siamese_nbdev.embeddings import EmbeddingSet
from siamese_nbdev.retrieval import search
from siamese_nbdev.serve import open_gallery

if sys.argv[1:2] != ["--child"]:  # what is measured runs in processes that do not import torch
    from report import finish, in_child, options, table

size = 256  # numbers in an embedding
queries = 60
names = {"folder": "{}/folder", "LanceDB": "lance:{}/lance", "milvus-lite": "milvus:{}/images.db"}
kinds = [("folder", "ivf"), ("folder", "hnsw"), ("LanceDB", "ivf"), ("Milvus server", "hnsw")]
patience = 30  # seconds for one kind of search


def images(count: int, first: int = 0, seed: int = 0) -> EmbeddingSet:
    "Make embeddings with a manifest; their files are nowhere."
    generator = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(size=(5000, size)).astype(np.float32)
    numbers = np.arange(first, first + count)
    vectors = centres[numbers // 20 % 5000] + 0.7 * generator.normal(size=(count, size)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    table = dict(
        path=[f"photos/{number // 20 % 5000:05}/{number:08}.jpg" for number in numbers],
        label=[f"{number // 20 % 5000:05}" for number in numbers],
        camera=[f"c{number % 6}" for number in numbers],
    )
    return EmbeddingSet(vectors.astype(np.float32), pd.DataFrame(table), dict(model_id="benchmark", flip=False))


def milliseconds(call, repeats: int) -> float:
    "Return the median time of a call that takes a number."
    took = []
    for number in range(repeats):
        started = time.perf_counter()
        call(number)
        took.append(time.perf_counter() - started)
        if sum(took) > patience: break
    return 1000 * float(np.median(took))


def peak_bytes() -> int:
    "Return the most memory this process has held so far (Linux)."
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith("VmHWM")).split()[1])


def fill(place: str, kind: str, count: int) -> dict:
    "Make a gallery, add one by one to it, and remove somebody."
    with open_gallery(place, kind=kind) as gallery:
        whole = images(count)
        started = time.perf_counter()
        gallery.add(whole)
        seconds = time.perf_counter() - started
        if kind != "exact": return dict(add=seconds)  # a graph that lets go of an image is built again
        one = milliseconds(lambda number: gallery.add(images(1, 20 * 10**6 + 20 * number, seed=number + 1)), 5)
        for number in range(5):
            gallery.remove(dict(path=f"photos/{number % 5000:05}/{20 * 10**6 + 20 * number:08}.jpg"))
        assert len(gallery) == count
    return dict(add=seconds, one=one)


def ask(place: str, count: int) -> dict:
    "Search in a gallery that is there, and compare with an exact search."
    whole = images(count)
    asking = images(queries, 10**7, seed=5)
    asking.manifest["label"] = [f"{number % (count // 20):05}" for number in range(queries)]
    with open_gallery(place) as gallery:
        found = {}
        wishes = dict(search={}, filter=dict(where=dict(camera="c3")), cameras=dict(exclude_same_camera=True))
        answers = {name: [] for name in wishes}
        for name, wish in wishes.items():
            options = dict(exclude_same_camera=False) | wish

            def one(number, options=options, kept=answers[name]):
                kept.append(gallery.search(asking.select([number]), **options))

            found[name] = milliseconds(one, queries)
        memory = peak_bytes()
        plain = answers["search"]
        exact = [search(asking.select([number]), whole, exclude_same_camera=False) for number in range(len(plain))]
        found["asked"] = len(plain)
        found["equal"] = sum(mine.equals(true) for mine, true in zip(plain, exact, strict=True))
        shares = [len({*mine["path"]} & {*true["path"]}) / 10 for mine, true in zip(plain, exact, strict=True)]
        found["recall"] = float(np.mean(shares))
        if gallery.kind == "exact":
            found["remove"] = milliseconds(lambda number: gallery.remove(dict(label=f"{number + 7:05}")), 3)
        found["memory"] = memory
    return found


def first_answer(place: str) -> None:
    "Open a gallery and ask it once: what a new process does."
    with open_gallery(place) as gallery:
        gallery.search(images(1, 10**7), top_k=10)


def bytes_of(place: str) -> int:
    "Add up the files of a gallery."
    path = Path(place.partition(":")[2] or place)
    files = [path] if path.is_file() else list(path.rglob("*"))
    return sum(file.stat().st_size for file in files if file.is_file())


def measured_once(rows: Path | None, engine: str, kind: str, count: int, server: str | None) -> dict:
    "Measure one engine at one size, or read what was measured before."
    known = json.loads(rows.read_text()) if rows and rows.exists() else {}
    name = f"{engine}, {kind}, {count}"
    if name not in known:
        known[name] = measure(engine, kind, count, server)
        print(name, known[name], flush=True)
        if rows:
            rows.write_text(json.dumps(known, indent=1))
    return known[name]


def measure(engine: str, kind: str, count: int, server: str | None) -> dict:
    "Measure one engine at one size."
    folder = tempfile.mkdtemp()
    try:
        at_server = f"milvus:{server}/benchmark_{kind}_{count}"
        place = at_server if engine == "Milvus server" else names[engine].format(folder)
        found = in_child(__file__, "--child", "fill", place, kind, count)
        started = time.perf_counter()
        in_child(__file__, "--child", "first", place)
        found["open"] = time.perf_counter() - started
        found |= in_child(__file__, "--child", "ask", place, count)
        found["disk"] = math.nan if "://" in place else bytes_of(place) / count / 1000
        return found
    finally:
        shutil.rmtree(folder)


def child(words: list[str]) -> None:
    "Do one thing in a process of its own, and print what was measured."
    task, place, *rest = words
    if task == "fill":
        print(json.dumps(fill(place, rest[0], int(rest[1]))))
    elif task == "ask":
        print(json.dumps(ask(place, int(rest[0]))))
    else:
        first_answer(place)
        print("{}")


columns = dict(
    add=("add all, s", "{:.2f}"),
    one=("add one, ms", "{:.0f}"),
    open=("open, s", "{:.1f}"),
    search=("search, ms", "{:.1f}"),
    filter=("filter, ms", "{:.1f}"),
    cameras=("cameras, ms", "{:.1f}"),
    remove=("remove, ms", "{:.0f}"),
    disk=("disk, MB per 1,000", "{:.2f}"),
)


def row_of(name: str, found: dict) -> list:
    "Set one row."
    cells = ["-" if math.isnan(found[key]) else form.format(found[key]) for key, (_, form) in columns.items()]
    return [name, *cells, f"{found['equal']} of {found['asked']}", f"{found['memory'] / 1e6:.0f}"]


def growth_of(engine: str, measured: dict, counts: list[int]) -> list:
    "Set the exponents between the two largest sizes."
    small, large = (measured[engine, count] for count in counts[-2:])
    ratio = math.log(counts[-1] / counts[-2])
    keys = ("add", "one", "search", "filter", "remove")
    return [engine, *(f"{math.log(large[key] / small[key]) / ratio:.1f}" for key in keys)]


def half_precision(count: int) -> tuple[float, float]:
    "Return what float16 changes: the largest error of a distance, and the share of the closest ten that stay."
    whole = images(count)
    rounded = EmbeddingSet(whole.vectors.astype(np.float16).astype(np.float32), whole.manifest, whole.meta)
    asking = images(queries, 10**7, seed=5)
    asking.manifest["label"] = None
    exact = search(asking, whole)
    other = search(asking, rounded)
    pairs = zip(exact.groupby("query", sort=False), other.groupby("query", sort=False), strict=True)
    stay = [len({*mine[1]["path"]} & {*theirs[1]["path"]}) / 10 for mine, theirs in pairs]
    error = np.abs(exact["distance"].to_numpy() - other["distance"].to_numpy()).max()
    return float(error), float(np.mean(stay))


def parquet_bytes(count: int) -> float | None:
    "Return bytes of a manifest's row as Parquet; None without pyarrow."
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        return None
    with tempfile.TemporaryDirectory() as folder:
        images(count).manifest.to_parquet(Path(folder) / "part.parquet", index=False)
        return (Path(folder) / "part.parquet").stat().st_size / count


def plan(millions: int, exact_ms: float, count: int, row_bytes: float | None) -> str:
    "Work out what a hundred million images need: bytes, machines, seconds."
    rows = millions * 1_000_000
    machine = 64e9 * 0.7  # bytes of memory that a machine of 64 GB has for vectors
    links = 2 * 16 * 4 * 1.1  # bytes of a graph with 16 links, per image
    ways = [
        ("float32", size * 4, 0),
        ("float16", size * 2, 0),
        ("float32 and a graph (HNSW, M 16)", size * 4, links),
        ("float16 and a graph (HNSW, M 16)", size * 2, links),
    ]
    lines = []
    for name, vector, extra in ways:
        total = rows * (vector + extra)
        lines.append([name, f"{vector + extra:.0f}", f"{total / 1e9:.0f}", max(1, math.ceil(total / machine))])
    text = table(["vectors", "bytes an image", "GB", "machines of 64 GB"], lines)
    seconds = exact_ms / 1000 * rows / count
    words = [f"One exact search of everything, at the pace of the folder here: {seconds:.0f} s on this machine."]
    if row_bytes is not None:
        words.append(
            f"Manifests as Parquet in parts: {row_bytes:.1f} bytes a row here, {row_bytes * rows / 1e9:.1f} GB in all, "
            f"in 64 parts of {rows / 64 / 1e6:.1f} million rows."
        )
    return text + "\n\n" + " ".join(words)


def main() -> None:
    "Measure all of it."
    parser = options(__doc__)
    parser.add_argument("--engines", nargs="*", default=list(names), help="which to measure")
    parser.add_argument("--server", help="address of a Milvus server, to measure it as well")
    arguments = parser.parse_args()
    counts = [200, 1000] if arguments.quick else [1000, 10_000, 100_000]
    engines = arguments.engines + (["Milvus server"] if arguments.server else [])
    kept = arguments.out.with_suffix(".json") if arguments.out else None
    measured = {}
    parts = []
    for count in counts:
        for engine in engines:
            measured[engine, count] = measured_once(kept, engine, "exact", count, arguments.server)
        head = [f"{count:,} images", *(title for title, _ in columns.values()), "equal", "memory, MB"]
        parts.append(table(head, [row_of(engine, measured[engine, count]) for engine in engines]))
    growth = [growth_of(engine, measured, counts) for engine in engines]
    parts.append(table(["growth", "add all", "add one", "search", "filter", "remove"], growth))
    rows = []
    for engine, kind in kinds:
        if engine in engines:
            found = measured_once(kept, engine, kind, counts[-1], arguments.server)
            cells = [f"{found[key]:.2f}" for key in ("add", "search", "filter")]
            equal = f"{found['equal']} of {found['asked']}"
            rows.append([f"{engine}, {kind}", *cells, f"{found['recall']:.3f}", equal])
    head = [f"approximate, {counts[-1]:,} images", "add all, s", "search, ms", "filter, ms", "recall", "equal"]
    parts.append(table(head, rows))
    error, stay = half_precision(min(counts[-1], 20_000))
    parts.append(f"float16 in place of float32: a distance is at most {error:.1g} off, and {stay:.1%} of the ten stay.")
    exact_ms = measured["folder", counts[-1]]["search"] if ("folder", counts[-1]) in measured else math.nan
    load = os.getloadavg()[2]
    cores = os.cpu_count()
    parts.append(f"Load of the machine while this ran: about {load:.0f} on {cores} cores; one of it is this script.")
    parts.append("## 100 million images, on paper")
    parts.append(plan(100, exact_ms, counts[-1], parquet_bytes(counts[-1])))
    finish("Galleries that live", parts, arguments.out)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        os.chdir(Path(__file__).resolve().parent.parent)
        child(sys.argv[2:])
    else:
        main()
