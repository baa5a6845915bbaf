"""Which changes of the recipe pay? `fit` with one thing changed, on small images of more rendered people than usual.

The rendered pedestrians are nearly solved after a few passes, so these are others: 252 people to train on, 140
strangers to find, one image of each from every camera. Images are small (64x32), so that many runs fit into an hour;
larger ones are a row of their own. Every row is run with several seeds, and all rows of a seed see the same batches;
Rank-1 and mAP are those after the last step: the mean over the seeds, the lowest and the highest. The seconds are the
processor's.

Tried without gain beside these, in single runs on the same pictures. After one pass: batch-hard mining, half the rate,
no identity loss, the identity loss alone or on normalised vectors, 8 x 4 instead of 16 x 4, a margin under the weighted
loss, means of identities in place of their images. After three: small images in the first half of a run and large ones
in the second, which loses what the large ones bring, and the hinge on softly mined negatives. After ten: averaged
weights, erasing and cropping that grow, mirror images alone, another weight of the identity loss.
"""
import time

import torch
from report import device, finish, options, table

from siamese_nbdev.dataset import augment, random_flip
from siamese_nbdev.model import SiameseNet
from siamese_nbdev.pedestrians import make_pedestrians
from siamese_nbdev.training import fit, validate

small = (64, 32)
semi_hard = dict(mining="semi_hard")
variants = {
    "default: weighted": (small, dict()),
    "semi-hard": (small, semi_hard),
    "semi-hard, margin 0.1": (small, semi_hard | dict(margin=0.1)),
    "semi-hard, margin 0.6": (small, semi_hard | dict(margin=0.6)),
    "semi-hard, identity loss at 0.1": (small, semi_hard | dict(identity_weight=0.1)),
    "weighted, identity loss at 0.3": (small, dict(identity_weight=0.3)),
    "weighted, all of augment": (small, dict(transform=augment)),
    "weighted, averaged weights": (small, dict(averaging=0.99)),
    "weighted, 32 x 2": (small, dict(classes_per_batch=32, images_per_class=2)),
    "weighted, 8 x 8": (small, dict(classes_per_batch=8, images_per_class=8)),
    "weighted, linear head to 128": (small, dict(), dict(head="batchnorm_linear", embedding_size=128)),
    "weighted, 80x40": ((80, 40), dict()),
}


def scores(train, valid, image_size, changes: dict, build: dict, epochs: int, seed: int) -> tuple[float, float, float]:
    "Train without choosing an epoch, and score strangers; processor seconds, Rank-1 and mAP in per cent."
    torch.manual_seed(seed)
    model = SiameseNet(image_size=image_size, **build).to(device())
    started = time.process_time()
    fit(model, train, epochs=epochs, seed=seed, glance=0, progress=False, **dict(transform=random_flip) | changes)
    seconds = time.process_time() - started
    found = validate(model, valid)
    return seconds, 100 * found["rank_1"], 100 * found["mean_average_precision"]


def row_of(name: str, runs: list[tuple[float, float, float]]) -> list[str]:
    "Write the mean over the seeds, and between which values they lie."
    seconds, *figures = zip(*runs, strict=True)
    spans = [f"{sum(values) / len(values):.1f} ({min(values):.1f} to {max(values):.1f})" for values in figures]
    return [name, f"{sum(seconds) / len(seconds):.0f}", *spans]


def main():
    parser = options(__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=3, help="passes over the training images")
    parser.add_argument("--seeds", type=int, default=3, help="runs of each row; seeds of networks, batches, variation")
    chosen = parser.parse_args()
    people = make_pedestrians("data", people=400, shots=(2, 3), valid=0.35, test=0.02, seed=77)
    train = people[people["split"] == "train"]
    valid = people[people["split"] == "valid"].groupby(["label", "camera"]).head(1)
    if chosen.quick:
        train, valid = (part[part["label"].isin(sorted(part["label"].unique())[:16])] for part in (train, valid))
    rows = []
    for name, (image_size, changes, *build) in variants.items():
        options_of = build[0] if build else {}
        runs = [
            scores(train, valid, image_size, changes, options_of, chosen.epochs, seed) for seed in range(chosen.seeds)
        ]
        rows.append(row_of(name, runs))
        print(*rows[-1], flush=True)
    note = (
        f"{chosen.epochs * len(train):,} image passes over {train['label'].nunique()} people, judged on "
        f"{len(valid)} images of {valid['label'].nunique()} others. Each row is the mean of {chosen.seeds} runs with "
        "other seeds, with the lowest and the highest: rows whose spans overlap may differ by luck."
    )
    finish("Changes of the recipe", [note, table(["variant", "processor, s", "Rank-1, %", "mAP, %"], rows)], chosen.out)


if __name__ == "__main__":
    main()
