"""How fast does `embed_images` turn JPEG files into vectors? Images per second against the bare network and the original tutorial's loop.

The same network embeds the same pedestrians in several ways, in turns, so that a busy minute of the machine hits all of them:

- bare: forward passes over batches of tensors that lie in memory, with all of torch's threads on one batch;
- decode: reading and decoding the files, in as many threads as torch has, without any network;
- embed_images: from files to vectors, with everything it does;
- original: the loop of the tutorial that this project grew from: one `skimage.io` read and one forward pass an image.

The bare network and `embed_images` run in float32 and in bfloat16. In bfloat16 decoding is no longer small beside the network, so the yardstick there is
what both together allow on these cores, 1 / (time of the network + time of decoding), from the same round.
Each ratio is the median over the rounds of the ratio within a round.
"""
import json
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor

import pandas as pd
import skimage.io
import torch

from report import device, finish, in_child, in_turn, options, table
from siamese_nbdev.dataset import load_image
from siamese_nbdev.embeddings import embed_batch, embed_images
from siamese_nbdev.model import SiameseNet
from siamese_nbdev.pedestrians import make_pedestrians

digits = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def ways(model, manifest, batch_size: int) -> dict:
    "Return what is timed: name -> function of nothing that goes through all images once."
    paths = list(manifest["path"])
    images = torch.stack([load_image(path, model.image_size) for path in paths]).float().div_(255)
    few = paths[:max(1, len(paths) // 8)]  # one image at a time is slow

    def bare(dtype):
        for row in range(0, len(images), batch_size): embed_batch(model, images[row:row + batch_size], dtype=dtype)

    def decode():
        with ThreadPoolExecutor(torch.get_num_threads()) as pool:
            list(pool.map(lambda row: torch.stack([load_image(path, model.image_size) for path in paths[row:row + batch_size]]).float().div_(255), range(0, len(paths), batch_size)))

    def original():
        with torch.inference_mode():
            for path in few: model(torch.from_numpy(skimage.io.imread(path)).permute(2, 0, 1)[None].to(device()) / 255.0).cpu().numpy()

    found = {"decode": (decode, len(paths)), "original": (original, len(few))}
    for name, dtype in digits.items():
        found[f"bare, {name}"] = (lambda dtype=dtype: bare(dtype), len(paths))
        found[f"embed_images, {name}"] = (lambda dtype=dtype: embed_images(model, manifest, batch_size=batch_size, dtype=dtype, progress=False), len(paths))
    return found


def seconds_an_image(work: dict, rounds: int) -> pd.DataFrame:
    "Time all ways in turns; one row a round, one column a way."
    rows = []
    for number in range(rounds + 1):
        row = {}
        for name, (run, images) in in_turn(work.items(), number):
            started = time.perf_counter()
            run()
            row[name] = (time.perf_counter() - started) / images
        if number: rows.append(row)  # the first round warms up
        print(f"round {number} of {rounds}", file=sys.stderr, flush=True)
    return pd.DataFrame(rows)


def memory_of(images: int, folder: str) -> int:
    "Embed so many images into a file with a small network and wide vectors; return the private memory that this took at most, in bytes."
    import threading
    manifest = pd.concat([pedestrians(64)] * (images // 64 + 1), ignore_index=True)[:images]
    model = SiameseNet("test_efficientnet", pretrained=False, image_size=(32, 32), head="linear", embedding_size=4096)
    embed_images(model, manifest[:64], progress=False)
    private = lambda: 1024 * int(next(line for line in open("/proc/self/status") if line.startswith("RssAnon")).split()[1])
    before, seen, is_done = private(), [0], threading.Event()
    def watch():
        while not is_done.wait(0.02): seen.append(private())
    watcher = threading.Thread(target=watch)
    watcher.start()
    embed_images(model, manifest, out=folder, progress=False)
    is_done.set()
    watcher.join()
    return max(seen) - before


def pedestrians(images: int) -> pd.DataFrame: return make_pedestrians("data")[["path", "label"]].iloc[:images].reset_index(drop=True)


def memory_in_child(images: int) -> float:
    "Return the memory of `memory_of` in MB, from a fresh process."
    with tempfile.TemporaryDirectory() as folder:
        return in_child(__file__, "--memory", images, "--folder", folder) / 1e6


if __name__ == "__main__":
    parser = options(__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7, help="rounds that count")
    parser.add_argument("--images", type=int, default=512, help="images in a round")
    parser.add_argument("--batch-size", type=int, default=32, help="images in a batch, for the bare network and for embed_images")
    parser.add_argument("--memory", type=int, help="internal: measure memory for so many images in this process")
    parser.add_argument("--folder", help="internal: where the vectors go")
    arguments = parser.parse_args()
    if arguments.memory:
        print(json.dumps(memory_of(arguments.memory, arguments.folder)))
        sys.exit()
    if arguments.quick: arguments.rounds, arguments.images = 2, 96
    model = SiameseNet(pretrained=True).to(device()).eval()
    times = seconds_an_image(ways(model, pedestrians(arguments.images), arguments.batch_size), arguments.rounds)

    speed = lambda name: f"{1 / times[name].median():,.0f}"
    ratio = lambda first, second: f"{(times[second] / times[first]).median():.2f}"
    rows = []
    for name in digits:
        times[f"both, {name}"] = times[f"bare, {name}"] + times["decode"]
        for way, words in (("bare", "bare network, tensors in memory"), ("both", "network and decoding on the same cores, computed"), ("embed_images", "`embed_images`, from JPEG files")):
            column = f"{way}, {name}"
            rows.append([f"{words}, {name}", speed(column), ratio(column, f"bare, {name}"), ratio(column, f"both, {name}"), ratio(column, "original")])
    rows.append(["decoding alone", speed("decode"), "", "", ""])
    rows.append(["original tutorial: one image at a time, float32", speed("original"), ratio("original", "bare, float32"), ratio("original", "both, float32"), "1.00"])
    sizes = (256, 1024) if arguments.quick else (1024, 8192)
    parts = [f"{arguments.images} pedestrians of 64 x 128 pixels, {model.config['backbone']} with embeddings of {model.embedding_size}, batches of {arguments.batch_size}; medians of {arguments.rounds} rounds in turns.",
             table(["", "images/s", "times bare", "times network and decoding", "times original"], rows)]
    if sys.platform == "linux": parts.append("Memory with `out=`: " + ", ".join(f"{size:,} images ({size * 4096 * 4 / 1e6:,.0f} MB of vectors) took {memory_in_child(size):.0f} MB" for size in sizes) + " of private memory (a small network, wide vectors, a fresh process each).")
    finish("Embedding images", parts, arguments.out)
