"""When does varying the training images pay? `random_flip` against all of `augment`, in a short run and a long one.

`fit(transform="auto")` takes `random_flip` below `long_run` epochs and `augment` from there on; this script is where
that comes from. Everything is trained on the pedestrians' `train` and judged on `valid`, people not trained on; the
difference is paired over queries, with a 95 % interval over people, and each row is one run.
"""
import numpy as np
import torch
from report import device, finish, options, table

from siamese_nbdev.dataset import augment, long_run, random_flip
from siamese_nbdev.embeddings import embed_images
from siamese_nbdev.evaluation import compare_retrieval, evaluate_queries
from siamese_nbdev.model import SiameseNet
from siamese_nbdev.pedestrians import make_pedestrians
from siamese_nbdev.training import fit

metrics = ["rank_1", "mean_average_precision"]


def scores(train, valid, epochs: int, transform):
    "Train with a transform, without choosing an epoch, and score every query."
    torch.manual_seed(42)
    model = SiameseNet().to(device())
    fit(model, train, epochs=epochs, transform=transform, glance=0, progress=False)
    return evaluate_queries(embed_images(model, valid, progress=False))


def per_cent(scores) -> str:
    "Set Rank-1 and mAP of a table of queries side by side."
    return " / ".join(f"{100 * np.mean(scores[name]):.1f}" for name in metrics)


def main():
    chosen = options(__doc__.splitlines()[0]).parse_args()
    people = make_pedestrians("data")
    train, valid = (people[people["split"] == name] for name in ("train", "valid"))
    if chosen.quick:
        train = train[train["label"].isin(sorted(train["label"].unique())[:16])]
    rows = []
    for epochs in (1, 2) if chosen.quick else (3, 12):
        plain, varied = (scores(train, valid, epochs, transform) for transform in (random_flip, augment))
        gain = 100 * compare_retrieval(plain, varied).loc[metrics]
        gains = [f"{row.difference:+.1f} ({row.low:+.1f} to {row.high:+.1f})" for row in gain.itertuples()]
        rows.append([epochs, f"{epochs * len(train):,}", per_cent(plain), per_cent(varied), *gains])
        print(rows[-1], flush=True)
    note = (
        f"Trained on {train['label'].nunique()} people, judged on {valid['label'].nunique()} others (`valid`); "
        f"Rank-1 / mAP in per cent. `fit` changes from one to the other at {long_run} epochs."
    )
    head = ["epochs", "image passes", "random_flip", "augment", "gain in Rank-1", "gain in mAP"]
    finish("Mirror images, or all of augment", [note, table(head, rows)], chosen.out)


if __name__ == "__main__":
    main()
