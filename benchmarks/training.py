"""How fast does `fit` train? Images per second against the bare network, the original tutorial's loop and a peer's.

Six loops train the same network on the same pedestrians, in turns, so that a busy minute of the machine hits all:

- bare: forward pass, losses, backward pass and optimiser step, over and over on one batch of tensors in memory;
- returned: the same, without `keeping_memory`: the C library may return freed memory to the system after each step;
- fit: our training, with everything it does (drawing batches, augmentation, notes), its images cached, validation off,
  in the precision that it takes on this device;
- float32: the same, told to stay in float32, as on a processor without matrix units for bfloat16;
- original: the loop of the tutorial that this project grew from: one `skimage.io` read per image, three forward passes
  per batch;
- peer: the loop that pytorch-metric-learning documents, with its sampler, miner and loss, fed by our cached data set.

One clock measures all: it notes the time after each step of an optimiser. Memory and time to the first step come from a
fresh process each.
"""
import json
import time
from dataclasses import dataclass, field

import numpy as np
import skimage.io
import torch
import torch.nn.functional as F
from report import device, finish, in_child, in_turn, options, peak_bytes, peer_update, table
from torch import nn
from torch.optim.optimizer import register_optimizer_step_post_hook
from torch.utils.data import DataLoader, Dataset

from siamese_nbdev.dataset import BalancedBatchSampler, ImageDataset, augment, draw_triplets
from siamese_nbdev.loss import TripletLoss
from siamese_nbdev.model import SiameseNet
from siamese_nbdev.pedestrians import make_pedestrians
from siamese_nbdev.runs import Trainee
from siamese_nbdev.runtime import deterministic, keeping_memory
from siamese_nbdev.training import fit

batch_size = 64
images_per_class = 4
triplets_per_batch = 32
names = {
    "bare": "bare forward and backward pass",
    "returned": "the same, memory returned",
    "fit": "`fit`",
    "float32": '`fit`, `precision="float32"`',
    "original": "original tutorial's loop",
    "peer": "pytorch-metric-learning's loop",
}
ticks = []  # when each optimiser step ended


def tick(*_):
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    ticks.append(time.perf_counter())


def pedestrians(images: int):
    "Return the manifest of whole identities, about so many images."
    people = make_pedestrians("data")
    people = people[people["split"] == "train"]
    sizes = people["label"].value_counts(sort=False).cumsum()
    return people[people["label"].isin(sizes.index[sizes <= images])]


def one_batch(train, image_size):
    "Return the images and labels of one P x K batch, on the device."
    dataset = ImageDataset(train, image_size, transform=augment)
    rows = next(iter(BalancedBatchSampler(train["label"])))
    images, labels = zip(*[dataset[row] for row in rows], strict=True)
    return torch.stack(images).to(device(), memory_format=torch.channels_last), torch.tensor(labels).to(device())


def make_bare(train, keep_memory=True):
    trainee = Trainee(SiameseNet(), train["label"].nunique()).to(device(), memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(trainee.parameters(), lr=1e-4)
    triplet_loss = TripletLoss()
    images, labels = one_batch(train, trainee.encoder.image_size)
    mixed = images.is_cuda and torch.cuda.is_bf16_supported()  # a processor's bare pass is float32

    def run(steps: int):
        trainee.train()
        with deterministic(), keeping_memory(keep_memory):
            for _ in range(steps):
                with torch.autocast(images.device.type, torch.bfloat16, enabled=mixed):
                    embeddings, _, logits = trainee(images)
                loss = triplet_loss(embeddings, labels) + F.cross_entropy(logits, labels, label_smoothing=0.1)
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()
    return run, batch_size


def make_fit(train, precision="auto"):
    model = SiameseNet()
    batches = dict(classes_per_batch=batch_size // images_per_class, images_per_class=images_per_class)

    def run(steps: int):
        "Train two epochs; only steps of the second are counted, because the first one decodes the images."
        return fit(model, train, epochs=2, glance=0, transform=augment, precision=precision, **batches)
    return run, batch_size


class TutorialTriplets(Dataset):
    "Triplets as the tutorial reads them: three files an item, every time."
    def __init__(self, train):
        rows = draw_triplets(train["label"].to_numpy(), np.random.default_rng(0))
        self.paths = train["path"].to_numpy()[rows]

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, number):
        pictures = [skimage.io.imread(path) for path in self.paths[number]]
        return tuple(torch.from_numpy(pixels).permute(2, 0, 1) / 255.0 for pixels in pictures)


def make_original(train):
    model = SiameseNet().to(device())
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)
    triplet_loss = nn.TripletMarginLoss()
    loader = DataLoader(TutorialTriplets(train), batch_size=triplets_per_batch, shuffle=True, drop_last=True)

    def run(steps: int):
        model.train()
        done = 0
        while done < steps:
            for batch in loader:
                anchors, positives, negatives = (model(images.to(device())) for images in batch)
                loss = triplet_loss(anchors, positives, negatives)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                loss.item()
                done += 1
                if done == steps: break
    return run, 3 * triplets_per_batch


def make_peer(train):
    from pytorch_metric_learning.samplers import MPerClassSampler
    model = SiameseNet().to(device())
    update = peer_update(model, rate=1e-4)
    dataset = ImageDataset(train, model.image_size, transform=augment, cache=True)
    for row in range(len(dataset)):
        dataset.pixels(row)
    sizes = dict(m=images_per_class, batch_size=batch_size)

    def run(steps: int):
        model.train()
        sampler = MPerClassSampler(dataset.class_ids, length_before_new_iter=steps * batch_size, **sizes)
        for batch in DataLoader(dataset, batch_size=batch_size, sampler=sampler):
            update(batch)
    return run, batch_size


ways = {
    "bare": make_bare,
    "returned": lambda train: make_bare(train, keep_memory=False),
    "fit": make_fit,
    "float32": lambda train: make_fit(train, precision="float32"),
    "original": make_original,
    "peer": make_peer,
}


def in_fresh_process(way: str, images: int) -> dict:
    "Measure peak memory, and the seconds from the start of a process to the end of its first step."
    started = time.time()
    return in_child(__file__, "--child", way, "--images", images, "--started", repr(started))


def child(way: str, images: int, started: float):
    first = []
    hook = register_optimizer_step_post_hook(lambda *_: first or first.append(time.time()))
    run, _ = ways[way](pedestrians(images))
    run(images // batch_size)
    hook.remove()
    print(json.dumps(dict(seconds=first[0] - started, bytes=peak_bytes(on_gpu=True))))


@dataclass
class Speeds:
    "What the rounds found."
    rates: dict[str, list[float]] = field(default_factory=lambda: {way: [] for way in ways})  # images a second, by way
    reported: list[float] = field(default_factory=list)  # what fit's history says of itself


def measure_round(runs: dict, steps: int, number: int, found: Speeds):
    "Let every loop have its turn, and note how many images a second it used."
    for way in in_turn(ways, number):
        ticks.clear()
        run, images = runs[way]
        history = run(steps)
        counted = ticks[-(len(ticks) // 2):] if way in ("fit", "float32") else ticks  # fit's second epoch
        found.rates[way].append(images * (len(counted) - 1) / (counted[-1] - counted[0]))
        if way == "fit":
            found.reported.append(history["images_per_second"].iloc[-1])


def against_bare(way: str, found: Speeds) -> str:
    "Set a loop's speed against that of the bare pass: the median of the rounds' ratios."
    ratio = np.median(np.array(found.rates[way]) / found.rates["bare"])
    return "" if way == "bare" else f"{ratio:.2f} x"


def row_of(way: str, fresh: dict, found: Speeds) -> list[str]:
    "Return one row of the table."
    rates = found.rates[way]
    return [
        names[way],
        f"{np.median(rates):.1f}",
        f"{min(rates):.1f} to {max(rates):.1f}",
        against_bare(way, found),
        f"{fresh[way]['bytes'] / 1e6:,.0f}",
        f"{fresh[way]['seconds']:.1f}",
    ]


def notes_of(rounds: int, images: int, found: Speeds) -> list[str]:
    "Say what was measured, and how."
    how = (
        f"Medians of {rounds} rounds in turns, {images} pedestrians of 128 x 64, batches of {batch_size} "
        f"({triplets_per_batch} triplets for the original loop, counted as {3 * triplets_per_batch} images), the same "
        "network in all loops. Ratios are medians of the rounds' ratios. `fit` itself reports "
        f"{np.median(found.reported):.1f} images/s in its history."
    )
    first_step = (
        "Time to first step counts from the start of a fresh process: importing, reading the weights, and the first "
        "batch. Peak memory is that process's too, libraries included."
    )
    return [how, first_step]


def main():
    parser = options(__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=640, help="training images in memory")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each loop")
    parser.add_argument("--child", choices=ways, help="measure one loop in this process (the script calls itself so)")
    parser.add_argument("--started", type=float, default=0.0, help="when the parent started this process")
    chosen = parser.parse_args()
    if chosen.child: return child(chosen.child, chosen.images, chosen.started)
    if chosen.quick:
        chosen.images = 256
        chosen.rounds = 1
    fresh = {way: in_fresh_process(way, chosen.images) for way in ways}
    train = pedestrians(chosen.images)
    runs = {way: make(train) for way, make in ways.items()}
    found = Speeds()
    register_optimizer_step_post_hook(tick)
    runs["bare"][0](2)  # the first steps of a process warm up
    for number in range(chosen.rounds):
        measure_round(runs, chosen.images // batch_size, number, found)
        speeds = ", ".join(f"{way} {found.rates[way][-1]:.1f}" for way in ways)
        print(f"round {number + 1} of {chosen.rounds}: {speeds}", flush=True)
    memory = "GPU memory, MB" if torch.cuda.is_available() else "peak memory of the process, MB"
    head = ["loop", "images/s", "lowest to highest", "against the bare pass", memory, "time to first step, s"]
    rows = [row_of(way, fresh, found) for way in ways]
    finish("Training speed", [table(head, rows), *notes_of(chosen.rounds, len(train), found)], chosen.out)


if __name__ == "__main__":
    main()
