"""What does it cost to embed a picture with torch, ONNX Runtime and OpenVINO, and do they find the same people?

One thread of one process; every figure is the median over rounds in which the ways take turns:

- one picture: from its file to its vector, as for a search, the model being open already;
- batches: 32 images at a time that lie in memory;
- collection: `embed_images` from JPEG files, in CPU seconds of the whole process, which a busy machine changes less.

The network is the one that the pages share, trained on the pedestrians. Its figures are those of `valid`, every image
asking for the others; "distances" is the largest change of a distance between two of these images. The integers of 8
bits were scaled by images of `train`.
"""
import json
import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Callable
from functools import partial

import numpy as np
import pandas as pd
import torch
from report import finish, in_child, in_turn, options, table

from siamese_nbdev.embeddings import EmbeddingSet, choose_runner, embed_images
from siamese_nbdev.encoders import Runner
from siamese_nbdev.evaluation import evaluate_retrieval
from siamese_nbdev.neighbours import distances_between
from siamese_nbdev.pedestrians import make_pedestrians
from siamese_nbdev.serve import export_onnx, load_encoder
from siamese_nbdev.storage import read_batch
from siamese_nbdev.training import demo_model

ways = {  # name -> runtime and numbers
    "torch, float32": ("torch", None),
    "torch, bfloat16": ("torch", "bfloat16"),
    "ONNX Runtime, float32": ("onnx", None),
    "ONNX Runtime, int8": ("onnx", "int8"),
    "OpenVINO, float32": ("openvino", None),
    "OpenVINO, bfloat16": ("openvino", "bfloat16"),
    "OpenVINO, int8": ("openvino", "int8"),
}
named = ("ONNX Runtime, float32", "OpenVINO, bfloat16")  # in the sentence above the table
head = [
    "",
    "one picture: ms",
    "CPU ms",
    "of torch's",
    "batches: images/s",
    "collection: CPU ms",
    "of torch's",
    "distances",
    "Rank-1",
    "mAP",
]


def clocks() -> np.ndarray:
    "Read the clock on the wall and the one that counts what this process computes."
    return np.array([time.perf_counter(), time.process_time()])


def time_picture(runner: Runner, paths: list[str], image_size: tuple[int, int]) -> np.ndarray:
    "Embed pictures one after the other from their files; return seconds and CPU seconds for one."
    started = clocks()
    for path in paths:
        runner.embed(read_batch([path], image_size, "raise")[0])
    return (clocks() - started) / len(paths)


def time_batches(runner: Runner, pixels: np.ndarray, repeats: int) -> np.ndarray:
    "Embed a batch that lies in memory; return seconds and CPU seconds for one image."
    started = clocks()
    for _ in range(repeats):
        runner.embed(pixels)
    return (clocks() - started) / (repeats * len(pixels))


def time_collection(embed: Callable[[], EmbeddingSet]) -> np.ndarray:
    "Embed a collection from its files; return seconds and CPU seconds for one image."
    started = clocks()
    embedded = embed()
    return (clocks() - started) / len(embedded)


def measure(rounds: int, images: int) -> dict:
    "Time all ways in turns and measure what their vectors are worth; for a process that has one thread."
    torch.set_num_threads(1)
    model = demo_model(".")
    people = make_pedestrians("data")
    valid = people[people["split"] == "valid"].reset_index(drop=True).head(images)
    with tempfile.TemporaryDirectory() as folder:
        export_onnx(model, folder, calibration=people[people["split"] == "train"])
        encoder = load_encoder(folder)
        networks = {name: model if runtime == "torch" else encoder for name, (runtime, _) in ways.items()}
        runners = {name: choose_runner(networks[name], *ways[name]) for name in ways}
        paths = list(valid["path"])
        pixels, _ = read_batch(paths[:32], model.image_size, "raise")
        rows = []
        for number in range(rounds + 1):
            for name, runner in in_turn(runners.items(), number):
                runtime, dtype = ways[name]
                embed = partial(embed_images, networks[name], valid, runtime=runtime, dtype=dtype, progress=False)
                picture = time_picture(runner, paths[:32], model.image_size)
                batches = time_batches(runner, pixels, 2)
                collection = time_collection(embed)
                if number:  # the first round warms up
                    rows.append(dict(round=number, way=name, picture=picture[0], picture_cpu=picture[1],
                                     batches=batches[0], collection_cpu=collection[1]))
            print(f"round {number} of {rounds}", file=sys.stderr, flush=True)
        embedded = {}
        for name, (runtime, dtype) in ways.items():
            embedded[name] = embed_images(networks[name], valid, runtime=runtime, dtype=dtype, progress=False)
    return dict(rows=rows, figures=figures_of(embedded), images=len(valid))


def figures_of(embedded: dict[str, EmbeddingSet]) -> dict[str, dict]:
    "Measure each set, and how far its distances are from those of the first."
    figures = {}
    first = None
    for name, embeddings in embedded.items():
        distances = distances_between(embeddings.vectors, embeddings.vectors)
        np.fill_diagonal(distances, 0)  # an image and itself: the root of a rounding error
        first = distances if first is None else first
        scores = evaluate_retrieval(embeddings, repeats=2)["value"]
        figures[name] = dict(
            distances=float(np.abs(distances - first).max()),
            rank_1=float(scores["rank_1"]),
            mean_average_precision=float(scores["mean_average_precision"]),
        )
    return figures


def rows_of(measured: dict) -> list[list]:
    "Set the rows of the table."
    times = pd.DataFrame(measured["rows"])
    torch_times = times[times["way"] == "torch, float32"].set_index("round")
    rows = []
    for name in ways:
        own = times[times["way"] == name].set_index("round")
        shares = (own[["picture_cpu", "collection_cpu"]] / torch_times[["picture_cpu", "collection_cpu"]]).median()
        middle = own[["picture", "picture_cpu", "batches", "collection_cpu"]].median()
        figures = measured["figures"][name]
        rows.append([
            name,
            f"{1000 * middle['picture']:.2f}",
            f"{1000 * middle['picture_cpu']:.2f}",
            f"{shares['picture_cpu']:.2f}",
            f"{1 / middle['batches']:,.0f}",
            f"{1000 * middle['collection_cpu']:.2f}",
            f"{shares['collection_cpu']:.2f}",
            f"{figures['distances']:.1e}",
            f"{figures['rank_1']:.4f}",
            f"{figures['mean_average_precision']:.4f}",
        ])
    return rows


def main(arguments: Namespace) -> None:
    words = ["--child", "--rounds", arguments.rounds, "--images", arguments.images]
    measured = in_child(__file__, *words, OMP_NUM_THREADS="1")
    rows = rows_of(measured)
    shares = [f"{row[0]} {row[3]} for one picture and {row[6]} in a collection" for row in rows if row[0] in named]
    text = (
        f"{measured['images']} pedestrians of 128 x 64 pixels (height x width), tf_efficientnet_lite0, one thread; "
        f"medians of {arguments.rounds} rounds in turns. Share of torch's CPU time from files: {'; '.join(shares)}."
    )
    finish("Runtimes", [text, table(head, rows)], arguments.out, threads=1)


if __name__ == "__main__":
    parser = options(__doc__.partition("\n\n")[0])
    parser.add_argument("--rounds", type=int, default=7, help="rounds that count")
    parser.add_argument("--images", type=int, default=1000, help="images of the collection, at most")
    parser.add_argument("--child", action="store_true", help="internal: measure in this process")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.rounds = 2
        arguments.images = 64
    if arguments.child:
        print(json.dumps(measure(arguments.rounds, arguments.images)))
        sys.exit()
    main(arguments)
