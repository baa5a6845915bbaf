"""How long does `evaluate_retrieval` take, and how much memory, for 3,000 queries against 20,000 gallery images?
Against pytorch-metric-learning's calculator.

Every run is a fresh process, which makes the same random vectors of 1,500 people, evaluates them once on a small part
to warm up, then once whole, and notes seconds and the most memory it held above what vectors and libraries take. The
ways run in turns.

- evaluate_retrieval: all its figures, with the intervals of 1,000 bootstrap draws;
- the same with six cameras, so that the query's own camera is left out;
- pytorch-metric-learning: its AccuracyCalculator with the figures it has in common with ours (precision at 1,
  R-precision, mAP@R, mAP), over the whole gallery, with its default search (faiss) and with plain distances of torch.

The scripts check that the figures in common agree.
"""
import json
import sys
import time
from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from report import finish, in_child, in_turn, options, peak_bytes, reset_peak, table

ways = {
    "ours": "`evaluate_retrieval`, all figures and intervals",
    "cameras": "`evaluate_retrieval`, with six cameras",
    "faiss": "pytorch-metric-learning, faiss",
    "torch": "pytorch-metric-learning, torch distances",
}
common = {
    "rank_1": "precision_at_1",
    "r_precision": "r_precision",
    "map_at_r": "mean_average_precision_at_r",
    "mean_average_precision": "mean_average_precision",
}


@dataclass(eq=False)
class Vectors:
    "Unit vectors and the number of the person that each shows."
    vectors: np.ndarray
    labels: np.ndarray


def vectors_of(count: int, people: int, seed: int, centres: np.ndarray) -> Vectors:
    "Draw unit vectors around the centres of people, with enough noise that some are confused."
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(count) % people)
    noise = rng.normal(size=(count, centres.shape[1]), scale=2.5)
    vectors = centres[labels] + noise.astype(np.float32)
    return Vectors(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), labels)


def our_way(query: Vectors, gallery: Vectors, with_cameras: bool) -> Callable:
    "Return a function that evaluates every n-th vector with `evaluate_retrieval`."
    from siamese_nbdev.embeddings import EmbeddingSet
    from siamese_nbdev.evaluation import evaluate_retrieval

    def embedding_set(name, part):
        rows = range(len(part.labels))
        manifest = pd.DataFrame(dict(path=[f"{name}{row}.jpg" for row in rows], label=part.labels.astype(str)))
        if with_cameras:
            manifest["camera"] = [f"c{row % 6}" for row in rows]
        return EmbeddingSet(part.vectors, manifest)

    asked = embedding_set("q", query)
    known = embedding_set("g", gallery)

    def run(step):
        if step == 1: return evaluate_retrieval(asked, known).value
        some = [part.select(np.arange(0, len(part), step)) for part in (asked, known)]
        return evaluate_retrieval(*some).value

    return run


def their_way(query: Vectors, gallery: Vectors, with_torch: bool) -> Callable:
    "Return a function that evaluates every n-th vector with pytorch-metric-learning."
    from pytorch_metric_learning.distances import LpDistance
    from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator
    from pytorch_metric_learning.utils.inference import CustomKNN

    arrays = (query.vectors, query.labels, gallery.vectors, gallery.labels)
    tensors = [torch.from_numpy(array) for array in arrays]

    def run(step):
        some = [tensor[::step].contiguous() for tensor in tensors]
        search = CustomKNN(LpDistance()) if with_torch else None
        calculator = AccuracyCalculator(include=tuple(common.values()), k=len(some[2]), knn_func=search)
        found = calculator.get_accuracy(*some)
        return {name: found[other] for name, other in common.items()}

    return run


def measure(way: str, arguments: Namespace) -> dict:
    "Evaluate once in this process; return seconds, peak memory in bytes above the vectors', and the figures in common."
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(arguments.people, arguments.size)).astype(np.float32)
    query = vectors_of(arguments.queries, arguments.people, 1, centres)
    gallery = vectors_of(arguments.gallery, arguments.people, 2, centres)
    if way in ("ours", "cameras"):
        run = our_way(query, gallery, way == "cameras")
    else:
        run = their_way(query, gallery, way == "torch")
    run(20)  # warm up: libraries load, threads start
    reset_peak()
    resident = peak_bytes()
    started = time.perf_counter()
    figures = run(1)
    seconds = time.perf_counter() - started
    memory = max(0, peak_bytes() - resident)
    return dict(seconds=seconds, memory=memory, figures={name: float(figures[name]) for name in common})


def in_fresh_process(way: str, arguments: Namespace) -> dict:
    "Measure in a fresh process; one that dies, of memory for one, is told apart."
    words = []
    for name in ("queries", "gallery", "size", "people"):
        words += [f"--{name}", getattr(arguments, name)]
    try:
        return in_child(__file__, "--way", way, *words)
    except RuntimeError as error:
        return dict(died=str(error)[-300:])


def has_died(runs: list[dict]) -> bool:
    "Tell whether a way did not finish in one of its runs."
    return any("died" in run for run in runs)


def all_runs(arguments: Namespace) -> dict[str, list[dict]]:
    "Measure all ways in turns; one that died is not tried again."
    runs = {way: [] for way in ways}
    for number in range(arguments.rounds):
        for way in in_turn(ways, number):
            if not has_died(runs[way]):
                runs[way].append(in_fresh_process(way, arguments))
            print(f"round {number + 1}: {way} {runs[way][-1]}", file=sys.stderr, flush=True)
    return runs


def way_row(words: str, runs: list[dict], ours: list[dict]) -> list:
    "Set the row of one way: medians, and the medians of the ratios within a round."
    if has_died(runs): return [words, "did not finish", "", "", ""]
    row = [words]
    for name, digits, unit in (("seconds", ".1f", 1), ("memory", ",.0f", 1e6)):
        values = [run[name] / unit for run in runs]
        ratios = [mine[name] / our[name] for mine, our in zip(runs, ours, strict=True)]
        row += [f"{np.median(values):{digits}}", f"{np.median(ratios):.2f}"]
    return row


def largest_difference(runs: dict[str, list[dict]]) -> float:
    "Return how far the figures in common lie apart; NaN where nobody else finished."
    ours = runs["ours"][0]["figures"]
    apart = []
    for way in ("faiss", "torch"):
        if not has_died(runs[way]):
            figures = runs[way][0]["figures"]
            apart += [abs(ours[name] - figures[name]) for name in common]
    return max(apart, default=float("nan"))


def main(arguments: Namespace) -> None:
    runs = all_runs(arguments)
    rows = [way_row(words, runs[way], runs["ours"]) for way, words in ways.items()]
    apart = largest_difference(runs)
    assert not apart > 1e-6, f"the calculators disagree by {apart}"
    figures = runs["ours"][0]["figures"]
    text = (
        f"{arguments.queries:,} queries against {arguments.gallery:,} images of {arguments.people:,} people, "
        f"vectors of {arguments.size} numbers; medians of {arguments.rounds} rounds in turns, each in a fresh process. "
        f"Rank-1 {figures['rank_1']:.1%}, mAP {figures['mean_average_precision']:.1%}; "
        f"the calculators' common figures differ by {apart:.1e} at most."
    )
    head = ["", "seconds", "times ours", "peak memory, MB", "times ours"]
    finish("Evaluating a retrieval", [text, table(head, rows)], arguments.out)


if __name__ == "__main__":
    parser = options(__doc__.partition("\n\n")[0])
    parser.add_argument("--queries", type=int, default=3000)
    parser.add_argument("--gallery", type=int, default=20_000)
    parser.add_argument("--size", type=int, default=512, help="numbers in a vector")
    parser.add_argument("--people", type=int, default=1500)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--way", help="internal: measure this way in this process")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.queries = 300
        arguments.gallery = 2000
        arguments.people = 150
        arguments.rounds = 1
    if arguments.way:
        print(json.dumps(measure(arguments.way, arguments)))
        sys.exit()
    main(arguments)
