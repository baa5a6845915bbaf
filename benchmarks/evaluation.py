"""How long does `evaluate_retrieval` take, and how much memory, for 3,000 queries against 20,000 gallery images? Against pytorch-metric-learning's calculator.

Every run is a fresh process, which makes the same random vectors of 1,500 people, evaluates them once on a small part to warm up, then once whole, and notes
seconds and the most memory it held above what vectors and libraries take. The ways run in turns.

- evaluate_retrieval: all its figures, with the intervals of 1,000 bootstrap draws;
- the same with six cameras, so that the query's own camera is left out;
- pytorch-metric-learning: its AccuracyCalculator with the figures it has in common with ours (precision at 1, R-precision, mAP@R, mAP), over the whole gallery,
  with its default search (faiss) and with plain distances of torch.

The scripts check that the figures in common agree.
"""
import json
import sys
import time

import numpy as np
import pandas as pd
import torch

from report import finish, in_child, in_turn, options, peak_bytes, reset_peak, table

ways = {"ours": "`evaluate_retrieval`, all figures and intervals", "cameras": "`evaluate_retrieval`, with six cameras",
        "faiss": "pytorch-metric-learning, faiss", "torch": "pytorch-metric-learning, torch distances"}
common = dict(rank_1="precision_at_1", r_precision="r_precision", map_at_r="mean_average_precision_at_r", mean_average_precision="mean_average_precision")


def vectors_of(count: int, size: int, people: int, seed: int, centres) -> tuple[np.ndarray, np.ndarray]:
    "Draw unit vectors around the centres of people, with enough noise that some are confused."
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(count) % people)
    vectors = centres[labels] + rng.normal(size=(count, size), scale=2.5).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True), labels


def measure(way: str, queries: int, gallery: int, size: int, people: int) -> dict:
    "Evaluate once in this process; return seconds, peak memory in bytes above the vectors', and the figures in common."
    centres = np.random.default_rng(0).normal(size=(people, size)).astype(np.float32)
    (query, asked), (answers, known) = vectors_of(queries, size, people, 1, centres), vectors_of(gallery, size, people, 2, centres)
    if way in ("ours", "cameras"):
        from siamese_nbdev.embeddings import EmbeddingSet
        from siamese_nbdev.evaluation import evaluate_retrieval
        def embedding_set(name, vectors, labels):
            manifest = pd.DataFrame(dict(path=[f"{name}{row}.jpg" for row in range(len(labels))], label=labels.astype(str)))
            if way == "cameras": manifest["camera"] = [f"c{row % 6}" for row in range(len(labels))]
            return EmbeddingSet(vectors, manifest)
        sets = embedding_set("q", query, asked), embedding_set("g", answers, known)
        def run(part): return evaluate_retrieval(*(one.select(np.arange(len(one)) % part == 0) if part > 1 else one for one in sets)).value
    else:
        from pytorch_metric_learning.distances import LpDistance
        from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator
        from pytorch_metric_learning.utils.inference import CustomKNN
        tensors = [torch.from_numpy(one) for one in (query, asked, answers, known)]
        def run(part):
            some = [one[::part].contiguous() for one in tensors]
            calculator = AccuracyCalculator(include=tuple(common.values()), k=len(some[2]), knn_func=CustomKNN(LpDistance()) if way == "torch" else None)
            found = calculator.get_accuracy(*some)
            return {name: found[other] for name, other in common.items()}
    run(20)  # warm up: libraries load, threads start
    reset_peak()
    resident, started = peak_bytes(), time.perf_counter()
    figures = run(1)
    return dict(seconds=time.perf_counter() - started, memory=max(0, peak_bytes() - resident), figures={name: float(figures[name]) for name in common})


def in_fresh_process(way: str, arguments) -> dict:
    "Measure in a fresh process; one that dies, of memory for one, is told apart."
    try: return in_child(__file__, "--way", way, *(word for name in ("queries", "gallery", "size", "people") for word in (f"--{name}", getattr(arguments, name))))
    except RuntimeError as error: return dict(died=str(error)[-300:])


if __name__ == "__main__":
    parser = options(__doc__.splitlines()[0])
    parser.add_argument("--queries", type=int, default=3000)
    parser.add_argument("--gallery", type=int, default=20_000)
    parser.add_argument("--size", type=int, default=512, help="numbers in a vector")
    parser.add_argument("--people", type=int, default=1500)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--way", help="internal: measure this way in this process")
    arguments = parser.parse_args()
    if arguments.quick: arguments.queries, arguments.gallery, arguments.people, arguments.rounds = 300, 2000, 150, 1
    if arguments.way:
        print(json.dumps(measure(arguments.way, arguments.queries, arguments.gallery, arguments.size, arguments.people)))
        sys.exit()
    runs = {way: [] for way in ways}
    for number in range(arguments.rounds):
        for way in in_turn(ways, number):
            if not any("died" in run for run in runs[way]): runs[way].append(in_fresh_process(way, arguments))
            print(f"round {number + 1}: {way} {runs[way][-1]}", file=sys.stderr, flush=True)
    well = {way: some for way, some in runs.items() if not any("died" in run for run in some)}
    median = lambda way, name: np.median([run[name] for run in well[way]])
    ratio = lambda way, name: np.median([mine[name] / ours[name] for mine, ours in zip(well[way], well["ours"])])
    rows = [[words, f"{median(way, 'seconds'):.1f}", f"{ratio(way, 'seconds'):.2f}", f"{median(way, 'memory') / 1e6:,.0f}", f"{ratio(way, 'memory'):.2f}"] if way in well
            else [words, "did not finish", "", "", ""] for way, words in ways.items()]
    apart = max((abs(runs["ours"][0]["figures"][name] - runs[way][0]["figures"][name]) for way in ("faiss", "torch") if way in well for name in common), default=float("nan"))
    assert not apart > 1e-6, f"the calculators disagree by {apart}"
    parts = [f"{arguments.queries:,} queries against {arguments.gallery:,} images of {arguments.people:,} people, vectors of {arguments.size} numbers; medians of {arguments.rounds} rounds in turns, each in a fresh process. "
             f"Rank-1 {runs['ours'][0]['figures']['rank_1']:.1%}, mAP {runs['ours'][0]['figures']['mean_average_precision']:.1%}; the calculators' common figures differ by {apart:.1e} at most.",
             table(["", "seconds", "times ours", "peak memory, MB", "times ours"], rows)]
    finish("Evaluating a retrieval", parts, arguments.out)
