"""How fast does `embed_images` turn JPEG files into vectors? Images per second against the bare network and the
original tutorial's loop.

The same network embeds the same pedestrians in several ways, in turns, so that a busy minute of the machine hits all:

- bare: forward passes over batches of tensors that lie in memory, with all of torch's threads on one batch;
- decode: reading and decoding the files, in as many threads as torch has, without any network;
- embed_images: from files to vectors, with everything it does;
- original: the loop of the tutorial that this project grew from: one `skimage.io` read and one forward pass an image.

The bare network and `embed_images` run in float32 and in bfloat16. In bfloat16 decoding is no longer small beside the
network, so the yardstick there is what both together allow on these cores, 1 / (time of the network + time of
decoding), from the same round. Each ratio is the median over the rounds of the ratio within a round.
"""
import json
import sys
import tempfile
import threading
import time
from argparse import Namespace
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd
import skimage.io
import torch
from report import device, finish, in_child, in_turn, options, table
from torch import Tensor

from siamese_nbdev.dataset import load_image
from siamese_nbdev.embeddings import embed_batch, embed_images
from siamese_nbdev.model import SiameseNet
from siamese_nbdev.pedestrians import make_pedestrians

digits = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass
class Way:
    "One way through the images."
    run: Callable[[], object]
    images: int  # How many it goes through


def pedestrians(count: int) -> pd.DataFrame:
    "Return the manifest of some rendered pedestrians."
    people = make_pedestrians("data")
    return people[["path", "label"]].iloc[:count].reset_index(drop=True)


def read_batch(paths: list[str], image_size: tuple[int, int]) -> Tensor:
    "Read images as floats in [0, 1]."
    return torch.stack([load_image(path, image_size) for path in paths]).float().div_(255)


def bare(model: SiameseNet, images: Tensor, batch_size: int, dtype: torch.dtype) -> None:
    "Embed images that lie in memory."
    for row in range(0, len(images), batch_size):
        embed_batch(model, images[row:row + batch_size], dtype=dtype)


def decode(model: SiameseNet, paths: list[str], batch_size: int) -> None:
    "Read images, in as many threads as torch has."
    batches = [paths[row:row + batch_size] for row in range(0, len(paths), batch_size)]
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        list(pool.map(partial(read_batch, image_size=model.image_size), batches))


def original(model: SiameseNet, paths: list[str]) -> None:
    "Read and embed one image after the other."
    with torch.inference_mode():
        for path in paths:
            image = torch.from_numpy(skimage.io.imread(path)).permute(2, 0, 1)
            model(image[None].to(device()) / 255.0).cpu().numpy()


def all_ways(model: SiameseNet, manifest: pd.DataFrame, batch_size: int) -> dict[str, Way]:
    "Return what is timed, by name."
    paths = list(manifest["path"])
    images = read_batch(paths, model.image_size)
    few = paths[:max(1, len(paths) // 8)]  # one image at a time is slow
    found = {
        "decode": Way(partial(decode, model, paths, batch_size), len(paths)),
        "original": Way(partial(original, model, few), len(few)),
    }
    for name, dtype in digits.items():
        found[f"bare, {name}"] = Way(partial(bare, model, images, batch_size, dtype), len(paths))
        whole = partial(embed_images, model, manifest, batch_size=batch_size, dtype=dtype, progress=False)
        found[f"embed_images, {name}"] = Way(whole, len(paths))
    return found


def seconds_per_image(ways: dict[str, Way], rounds: int) -> pd.DataFrame:
    "Time all ways in turns; one row a round, one column a way."
    rows = []
    for number in range(rounds + 1):
        row = {}
        for name, way in in_turn(ways.items(), number):
            started = time.perf_counter()
            way.run()
            row[name] = (time.perf_counter() - started) / way.images
        if number:  # the first round warms up
            rows.append(row)
        print(f"round {number} of {rounds}", file=sys.stderr, flush=True)
    return pd.DataFrame(rows)


def private_bytes() -> int:
    "Return the memory of this process that no other shares and that no file backs (Linux)."
    lines = Path("/proc/self/status").read_text().splitlines()
    [line] = [line for line in lines if line.startswith("RssAnon")]
    return 1024 * int(line.split()[1])


def memory_of(images: int, folder: str) -> int:
    """Embed so many images into a file with a small network and wide vectors; return the private memory that this took
    at most, in bytes."""
    manifest = pd.concat([pedestrians(64)] * (images // 64 + 1), ignore_index=True)[:images]
    small = dict(backbone="test_efficientnet", pretrained=False, image_size=(32, 32))
    model = SiameseNet(**small, head="linear", embedding_size=4096)
    embed_images(model, manifest[:64], progress=False)
    before = private_bytes()
    seen = [0]
    is_done = threading.Event()

    def watch():
        while not is_done.wait(0.02):
            seen.append(private_bytes())

    watcher = threading.Thread(target=watch)
    watcher.start()
    embed_images(model, manifest, out=folder, progress=False)
    is_done.set()
    watcher.join()
    return max(seen) - before


def memory_text(sizes: tuple[int, ...]) -> str:
    "Say what embedding into a file takes, each in a fresh process."
    parts = []
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            megabytes = in_child(__file__, "--memory", size, "--folder", folder) / 1e6
        parts.append(f"{size:,} images ({size * 4096 * 4 / 1e6:,.0f} MB of vectors) took {megabytes:.0f} MB")
    ending = "of private memory (a small network, wide vectors, a fresh process each)"
    return f"Memory with `out=`: {', '.join(parts)} {ending}."


def speed(times: pd.DataFrame, way: str) -> str:
    "Write images per second."
    return f"{1 / times[way].median():,.0f}"


def ratio(times: pd.DataFrame, way: str, other: str) -> str:
    "Write how many times as fast as another a way is."
    return f"{(times[other] / times[way]).median():.2f}"


def speed_rows(times: pd.DataFrame) -> list[list]:
    "Set the rows of the table."
    kinds = {
        "bare": "bare network, tensors in memory",
        "both": "network and decoding on the same cores, computed",
        "embed_images": "`embed_images`, from JPEG files",
    }
    rows = []
    for name in digits:
        times[f"both, {name}"] = times[f"bare, {name}"] + times["decode"]
        yardsticks = (f"bare, {name}", f"both, {name}", "original")
        for kind, words in kinds.items():
            way = f"{kind}, {name}"
            ratios = [ratio(times, way, other) for other in yardsticks]
            rows.append([f"{words}, {name}", speed(times, way), *ratios])
    rows.append(["decoding alone", speed(times, "decode"), "", "", ""])
    ratios = [ratio(times, "original", other) for other in ("bare, float32", "both, float32")]
    words = "original tutorial: one image at a time, float32"
    rows.append([words, speed(times, "original"), *ratios, "1.00"])
    return rows


def main(arguments: Namespace) -> None:
    model = SiameseNet(pretrained=True).to(device()).eval()
    ways = all_ways(model, pedestrians(arguments.images), arguments.batch_size)
    times = seconds_per_image(ways, arguments.rounds)
    text = (
        f"{arguments.images} pedestrians of 128 x 64 pixels (height x width), {model.config['backbone']} "
        f"with embeddings of {model.embedding_size}, batches of {arguments.batch_size}; "
        f"medians of {arguments.rounds} rounds in turns."
    )
    head = ["", "images/s", "times bare", "times network and decoding", "times original"]
    parts = [text, table(head, speed_rows(times))]
    if sys.platform == "linux":
        parts.append(memory_text((256, 1024) if arguments.quick else (1024, 8192)))
    finish("Embedding images", parts, arguments.out)


if __name__ == "__main__":
    parser = options(__doc__.partition("\n\n")[0])
    parser.add_argument("--rounds", type=int, default=7, help="rounds that count")
    parser.add_argument("--images", type=int, default=512, help="images in a round")
    batch_size = "images in a batch, for the bare network and for embed_images"
    parser.add_argument("--batch-size", type=int, default=32, help=batch_size)
    parser.add_argument("--memory", type=int, help="internal: measure memory for so many images in this process")
    parser.add_argument("--folder", help="internal: where the vectors go")
    arguments = parser.parse_args()
    if arguments.memory:
        print(json.dumps(memory_of(arguments.memory, arguments.folder)))
        sys.exit()
    if arguments.quick:
        arguments.rounds = 2
        arguments.images = 96
    main(arguments)
