"""How good does a recipe get for its image passes? Frozen, the original tutorial, pytorch-metric-learning and ours.

All start from the same ImageNet backbone, see the same pedestrians of `train`, keep the weights that were best on
`valid` so far, and are scored once on `test`, people whom none has seen. The peer gets our augmentation and a learning
rate chosen on `valid` for each budget.

- frozen: pooled ImageNet features, nothing trained;
- original: random triplets, three forward passes, pixels divided by 255 and no more, linear head, embeddings left long
  or short, Adam 1e-3;
- peer: pytorch-metric-learning's TripletMarginLoss, TripletMarginMiner (both cosine, margin 0.2, semi-hard) and
  MPerClassSampler, Adam; once on a plain network (linear head, strides as trained), once on exactly our network;
- ours: `fit` with its defaults.

Finished cells are kept in a JSON file beside the output: an interrupted run continues where it stopped.
"""
import json
from argparse import Namespace
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from report import device, finish, options, peer_update, table
from torch import nn
from torch.utils.data import DataLoader

from siamese_nbdev.data import split_query_gallery
from siamese_nbdev.dataset import ImageDataset, TripletDataset, choose_transform
from siamese_nbdev.embeddings import embed_images
from siamese_nbdev.evaluation import bootstrap_interval, compare_retrieval, evaluate_queries
from siamese_nbdev.model import SiameseNet
from siamese_nbdev.pedestrians import make_pedestrians
from siamese_nbdev.training import fit, validate

metrics = {"rank_1": "Rank-1", "mean_average_precision": "mAP"}
titles = {
    "frozen": "frozen backbone",
    "original": "original tutorial",
    "peer plain": "pytorch-metric-learning, plain network",
    "peer ours": "pytorch-metric-learning, our network",
    "ours": "ours (`fit`)",
}


@dataclass
class Data:
    "What all recipes learn from and are judged by."
    train: pd.DataFrame
    valid: pd.DataFrame
    query: pd.DataFrame
    gallery: pd.DataFrame
    valid_set: ImageDataset


def few_people(manifest: pd.DataFrame) -> pd.DataFrame:
    return manifest[manifest["label"].isin(sorted(manifest["label"].unique())[:16])]


def load_data(quick: bool) -> Data:
    people = make_pedestrians("data")
    parts = [people[people["split"] == split] for split in ("train", "valid", "test")]
    train, valid, test = map(few_people, parts) if quick else parts
    query, gallery = split_query_gallery(test)
    return Data(train, valid, query, gallery, valid_set=ImageDataset(valid, (128, 64), cache=True))


def test_scores(model: SiameseNet, data: Data) -> dict:
    "Score every query of `test`; plain lists, so that they fit in JSON."
    query, gallery = (embed_images(model, part, progress=False) for part in (data.query, data.gallery))
    scores = evaluate_queries(query, gallery)
    return {name: scores[name].tolist() for name in ("path", "label", *metrics)}


def copy_of(model: nn.Module) -> dict:
    return {name: value.clone() for name, value in model.state_dict().items()}


def train_and_score(model, batches, update, images: int, chosen, data) -> dict:
    "Train batch by batch; validate after each unit of image passes; at each budget score the best weights so far."
    results = {}
    best = -1.0
    weights = None
    passes = 0
    model.train()
    for batch in batches:
        update(batch)
        passes += images
        if passes % chosen.unit: continue
        score = validate(model, data.valid, dataset=data.valid_set)["mean_average_precision"]
        if score > best:
            best = score
            weights = copy_of(model)
        if passes in chosen.budgets:
            now = copy_of(model)
            model.load_state_dict(weights)
            results[str(passes)] = dict(valid_map=best, test=test_scores(model.eval(), data))
            model.load_state_dict(now)
            model.train()
        if passes >= max(chosen.budgets): return results


def endless(dataset, **options):
    "Yield batches for ever, with new draws in every round."
    epoch = 0
    while True:
        dataset.set_epoch(epoch)
        yield from DataLoader(dataset, **options)
        epoch += 1


def train_original(chosen, data) -> dict:
    model = SiameseNet(head="linear", embedding_size=512, last_stride=None, normalize=False).to(device())
    model.mean.zero_()
    model.std.fill_(1)  # the tutorial divides pixels by 255, and no more
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    triplet_loss = nn.TripletMarginLoss()
    triplets = TripletDataset(data.train, model.image_size, seed=chosen.seed, cache=True)

    def update(batch):
        loss = triplet_loss(*(model(images.to(device())) for images in batch))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    batches = endless(triplets, batch_size=32, shuffle=True, drop_last=True)
    return train_and_score(model, batches, update, 96, chosen, data)


def train_peer(chosen, data, rate: float, network: dict) -> dict:
    from pytorch_metric_learning.samplers import MPerClassSampler
    model = SiameseNet(**network).to(device())
    transform = choose_transform("auto", max(chosen.budgets) // chosen.unit)  # as fit chooses it
    dataset = ImageDataset(data.train, model.image_size, transform=transform, seed=chosen.seed, cache=True)
    sampler = MPerClassSampler(dataset.class_ids, m=4, batch_size=64, length_before_new_iter=chosen.unit)
    batches = endless(dataset, batch_size=64, sampler=sampler)
    return train_and_score(model, batches, peer_update(model, rate), 64, chosen, data)


def train_ours(chosen, data, budget: int) -> dict:
    model = SiameseNet()
    epochs = budget // chosen.unit
    history = fit(model, data.train, data.valid, epochs=epochs, glance=0, seed=chosen.seed, progress=False)
    return {str(budget): dict(valid_map=history["valid_map"].max(), test=test_scores(model, data))}


def cell(name: str, cells: dict, chosen, make) -> dict:
    "Return a finished cell; make and keep it if it is not there."
    if name not in cells:
        if chosen.cells is not None and chosen.made >= chosen.cells:
            raise SystemExit(f"made {chosen.made} cells; run again for the rest")
        print(f"{name} ...", flush=True)
        torch.manual_seed(chosen.seed)
        np.random.seed(chosen.seed)  # the peer's sampler draws from it
        cells[name] = make()
        chosen.made += 1
        chosen.kept.parent.mkdir(parents=True, exist_ok=True)
        chosen.kept.with_suffix(".tmp").write_text(json.dumps(cells))
        chosen.kept.with_suffix(".tmp").replace(chosen.kept)
    return cells[name]


def tuned_peer(kind: str, network: dict, cells: dict, chosen, data) -> dict:
    "Try learning rates, more of them while the best lies at an edge; return what was best on `valid` for each budget."
    rates = list(chosen.rates)
    while True:
        tried = {}
        for rate in sorted(rates):
            train = partial(train_peer, chosen, data, rate, network)
            tried[rate] = cell(f"{kind}, rate {rate:g}", cells, chosen, train)
        best = {budget: best_rate(tried, budget) for budget in chosen.budgets}
        last = best[max(chosen.budgets)]
        if chosen.quick or last not in (min(rates), max(rates)) or len(rates) > 5: break
        further = last / 3.16 if last == min(rates) else last * 3.16
        rates.append(float(f"{further:.0e}"))
    return {str(budget): tried[rate][str(budget)] | dict(rate=rate) for budget, rate in best.items()}


def best_rate(tried: dict, budget: int) -> float:
    "Return the learning rate that was best on `valid` at a budget; the lower one wins a tie."
    return max(tried, key=lambda rate: tried[rate][str(budget)]["valid_map"])


def per_cent(value: float, low: float, high: float, signed: bool = False) -> str:
    sign = "+" if signed else ""
    return f"{100 * value:{sign}.1f} ({100 * low:{sign}.1f} to {100 * high:{sign}.1f})"


def report(results: dict, chosen, data) -> list[str]:
    "Set all recipes side by side for every budget, and say who is ahead beyond chance."
    rows = []
    ties = []  # where the largest budget leaves ours not ahead beyond chance
    behind = []
    for budget in chosen.budgets:
        ours = pd.DataFrame(results["ours"][str(budget)]["test"])
        for kind, by_budget in results.items():
            one = by_budget.get(str(budget)) or by_budget["0"]
            row = [f"{budget:,}", titles[kind], f"{one['rate']:g}" if "rate" in one else "", *scores_of(one)]
            if kind == "ours":
                rows.append(row + ["", ""])
                continue
            gaps = compare_retrieval(pd.DataFrame(one["test"]), ours)
            rows.append(row + [gap_of(gaps, name) for name in metrics])
            for name, title in metrics.items():
                if gaps.loc[name, "high"] < 0:
                    behind.append(f"{titles[kind]}, {title} at {budget:,}")
                if budget == max(chosen.budgets) and gaps.loc[name, "low"] <= 0:
                    ties.append(f"{titles[kind]}, {title}")
    head = ["image passes", "recipe", "learning rate chosen on `valid`"]
    head += [f"{title}, %" for title in metrics.values()]
    head += [f"ours ahead in {title}, points" for title in metrics.values()]
    return [table(head, rows), verdict_of(ties, behind, chosen), note_of(chosen, data)]


def scores_of(one: dict) -> list[str]:
    "Set the figures of one recipe beside their intervals."
    scores = pd.DataFrame(one["test"])
    low, high = bootstrap_interval(scores[list(metrics)].to_numpy(), scores["label"].to_numpy())
    return [per_cent(scores[name].mean(), low[i], high[i]) for i, name in enumerate(metrics)]


def gap_of(gaps: pd.DataFrame, name: str) -> str:
    "Set a paired difference beside its interval."
    return per_cent(*gaps.loc[name, ["difference", "low", "high"]], signed=True)


def verdict_of(ties: list[str], behind: list[str], chosen: Namespace) -> str:
    "Say who is ahead beyond chance."
    most = f"{max(chosen.budgets):,}"
    exceptions = f", except of: {'; '.join(ties)}" if ties else ""
    ahead = f"At {most} image passes ours is ahead of every other row by more than the paired interval{exceptions}. "
    if not behind: return ahead + "Nowhere is it behind by more than the interval."
    return ahead + f"It is behind by more than the interval in: {'; '.join(behind)}."


def note_of(chosen: Namespace, data: Data) -> str:
    "Say what was measured, and what the intervals mean."
    return (
        f"{len(data.query)} queries against {len(data.gallery)} images of {data.query['label'].nunique()} people of "
        "`test`. In brackets: 95 % interval over people; for differences, of the paired difference. "
        f"One training run a row (seed {chosen.seed}): the intervals say how sure we are for these networks, not how "
        "another seed would turn out. The rate of the original is its own (0.001), those of ours are the defaults."
    )


def prepare(chosen: Namespace):
    "Settle what the command line leaves open."
    chosen.made = 0
    chosen.rates = [3e-4] if chosen.quick else [1e-4, 3e-4, 1e-3]
    # One unit is an epoch of ours, and a whole number of the peer's batches (64 images) and the original's (96).
    chosen.unit = 192 if chosen.quick else 1920
    chosen.budgets = [192, 384] if chosen.quick else [1920, 5760, 9600]
    beside = chosen.out or Path("benchmarks/results/recipes.md").absolute()
    chosen.kept = beside.with_suffix(".quick.json" if chosen.quick else ".json")


def score_frozen(data: Data) -> dict:
    "Score the backbone that nothing has trained but ImageNet."
    return {"0": dict(test=test_scores(SiameseNet(head=None).to(device()).eval(), data))}


def main():
    parser = options(__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=42, help="seeds networks, batches and augmentation")
    parser.add_argument("--cells", type=int, help="stop after so many new cells; run again for the rest")
    chosen = parser.parse_args()
    prepare(chosen)
    data = load_data(chosen.quick)
    cells = json.loads(chosen.kept.read_text()) if chosen.kept.exists() else {}
    results = {"frozen": cell("frozen", cells, chosen, lambda: score_frozen(data))}
    results["original"] = cell("original", cells, chosen, lambda: train_original(chosen, data))
    plain = dict(head="linear", embedding_size=512, last_stride=None)
    results["peer plain"] = tuned_peer("peer plain", plain, cells, chosen, data)
    results["peer ours"] = tuned_peer("peer ours", {}, cells, chosen, data)
    results["ours"] = {}
    for budget in chosen.budgets:
        results["ours"] |= cell(f"ours, {budget} passes", cells, chosen, partial(train_ours, chosen, data, budget))
    finish("Retrieval for image passes", report(results, chosen, data), chosen.out)


if __name__ == "__main__":
    main()
