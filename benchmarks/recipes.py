"""How good does a recipe get for its image passes? The frozen backbone, the original tutorial, pytorch-metric-learning and ours.

All start from the same ImageNet backbone, see the same pedestrians of `train`, keep the weights that were best on `valid` so far, and are
scored once on `test`, people whom none has seen. The peer gets our augmentation and a learning rate chosen on `valid` for each budget.

- frozen: pooled ImageNet features, nothing trained;
- original: random triplets, three forward passes, pixels divided by 255 and no more, linear head, embeddings left long or short, Adam 1e-3;
- peer: pytorch-metric-learning's TripletMarginLoss, TripletMarginMiner (both cosine, margin 0.2, semi-hard) and MPerClassSampler, Adam;
  once on a plain network (linear head, strides as trained), once on exactly our network;
- ours: `fit` with its defaults.

Finished cells are kept in a JSON file beside the output: an interrupted run continues where it stopped.
"""
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.utils.data import DataLoader

from report import device, finish, options, peer_update, table
from siamese_nbdev.data import split_query_gallery
from siamese_nbdev.dataset import ImageDataset, TripletDataset, choose_transform
from siamese_nbdev.embeddings import embed_images
from siamese_nbdev.evaluation import bootstrap_interval, compare_retrieval, evaluate_queries
from siamese_nbdev.model import SiameseNet
from siamese_nbdev.pedestrians import make_pedestrians
from siamese_nbdev.training import fit, validate

metrics = {"rank_1": "Rank-1", "mean_average_precision": "mAP"}
titles = {"frozen": "frozen backbone", "original": "original tutorial", "peer plain": "pytorch-metric-learning, plain network", "peer ours": "pytorch-metric-learning, our network", "ours": "ours (`fit`)"}


def load_data(quick: bool) -> SimpleNamespace:
    people = make_pedestrians("data")
    train, valid, test = (people[people["split"] == split] for split in ("train", "valid", "test"))
    if quick: train, valid, test = (part[part["label"].isin(sorted(part["label"].unique())[:16])] for part in (train, valid, test))
    query, gallery = split_query_gallery(test)
    return SimpleNamespace(train=train, valid=valid, query=query, gallery=gallery, valid_set=ImageDataset(valid, (128, 64), cache=True))


def test_scores(model: SiameseNet, data: SimpleNamespace) -> dict:
    "Score every query of `test`; plain lists, so that they fit in JSON."
    scores = evaluate_queries(embed_images(model, data.query, progress=False), embed_images(model, data.gallery, progress=False))
    return {name: scores[name].tolist() for name in ("path", "label", *metrics)}


def copy_of(model: nn.Module) -> dict: return {name: value.clone() for name, value in model.state_dict().items()}


def train_and_score(model, batches, update, images: int, chosen, data) -> dict:
    "Train batch by batch; validate after each unit of image passes; at each budget score the weights that were best so far."
    results, best, weights, passes = {}, -1.0, None, 0
    model.train()
    for batch in batches:
        update(batch)
        passes += images
        if passes % chosen.unit: continue
        score = validate(model, data.valid, dataset=data.valid_set)["mean_average_precision"]
        if score > best: best, weights = score, copy_of(model)
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
    model.mean.zero_(), model.std.fill_(1)  # the tutorial divides pixels by 255, and no more
    optimizer, triplet_loss = torch.optim.Adam(model.parameters(), lr=1e-3), nn.TripletMarginLoss()
    triplets = TripletDataset(data.train, model.image_size, seed=chosen.seed, cache=True)

    def update(batch):
        loss = triplet_loss(*(model(images.to(device())) for images in batch))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return train_and_score(model, endless(triplets, batch_size=32, shuffle=True, drop_last=True), update, 96, chosen, data)


def train_peer(chosen, data, rate: float, network: dict) -> dict:
    from pytorch_metric_learning.samplers import MPerClassSampler
    model = SiameseNet(**network).to(device())
    transform = choose_transform("auto", max(chosen.budgets) // chosen.unit)  # as fit chooses it
    dataset = ImageDataset(data.train, model.image_size, transform=transform, seed=chosen.seed, cache=True)
    sampler = MPerClassSampler(dataset.class_ids, m=4, batch_size=64, length_before_new_iter=chosen.unit)
    return train_and_score(model, endless(dataset, batch_size=64, sampler=sampler), peer_update(model, rate), 64, chosen, data)


def train_ours(chosen, data, budget: int) -> dict:
    model = SiameseNet()
    history = fit(model, data.train, data.valid, epochs=budget // chosen.unit, glance=0, seed=chosen.seed, progress=False)
    return {str(budget): dict(valid_map=history["valid_map"].max(), test=test_scores(model, data))}


def cell(name: str, cells: dict, chosen, make) -> dict:
    "Return a finished cell; make and keep it if it is not there."
    if name not in cells:
        if chosen.cells is not None and chosen.made >= chosen.cells: raise SystemExit(f"made {chosen.made} cells; run again for the rest")
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
    "Try learning rates, more of them while the best lies at an edge; return for each budget the result that was best on `valid`."
    rates = list(chosen.rates)
    while True:
        tried = {rate: cell(f"{kind}, rate {rate:g}", cells, chosen, lambda: train_peer(chosen, data, rate, network)) for rate in sorted(rates)}
        best = {budget: max(sorted(rates), key=lambda rate: tried[rate][str(budget)]["valid_map"]) for budget in chosen.budgets}
        last = best[max(chosen.budgets)]
        if chosen.quick or last not in (min(rates), max(rates)) or len(rates) > 5: break
        rates.append(float(f"{last / 3.16 if last == min(rates) else last * 3.16:.0e}"))
    return {str(budget): tried[rate][str(budget)] | dict(rate=rate) for budget, rate in best.items()}


def per_cent(value: float, low: float, high: float, signed: bool = False) -> str:
    sign = "+" if signed else ""
    return f"{100 * value:{sign}.1f} ({100 * low:{sign}.1f} to {100 * high:{sign}.1f})"


def report(results: dict, chosen, data) -> list[str]:
    "Set all recipes side by side for every budget, and say who is ahead beyond chance."
    rows, ahead, behind = [], [], []
    for budget in map(str, chosen.budgets):
        ours = pd.DataFrame(results["ours"][budget]["test"])
        for kind, by_budget in results.items():
            one = by_budget.get(budget) or by_budget["0"]
            scores = pd.DataFrame(one["test"])
            low, high = bootstrap_interval(scores[list(metrics)].to_numpy(), scores["label"].to_numpy())
            row = [f"{int(budget):,}", titles[kind], f"{one['rate']:g}" if "rate" in one else ""] + [per_cent(scores[name].mean(), low[i], high[i]) for i, name in enumerate(metrics)]
            if kind == "ours": rows.append(row + ["", ""]); continue
            gaps = compare_retrieval(scores, ours)
            rows.append(row + [per_cent(*gaps.loc[name, ["difference", "low", "high"]], signed=True) for name in metrics])
            for name, title in metrics.items():
                if gaps.loc[name, "high"] < 0: behind.append(f"{titles[kind]}, {title} at {int(budget):,}")
                if budget == str(max(chosen.budgets)) and gaps.loc[name, "low"] <= 0: ahead.append(f"{titles[kind]}, {title}")
    head = ["image passes", "recipe", "learning rate chosen on `valid`", *(f"{title}, %" for title in metrics.values()), *(f"ours ahead in {title}, points" for title in metrics.values())]
    verdict = (f"At {max(chosen.budgets):,} image passes ours is ahead of every other row by more than the paired interval" + (f", except of: {'; '.join(ahead)}. " if ahead else ". ")
               + (f"It is behind by more than the interval in: {'; '.join(behind)}." if behind else "Nowhere is it behind by more than the interval."))
    note = (f"{len(data.query)} queries against {len(data.gallery)} images of {data.query['label'].nunique()} people of `test`. In brackets: 95 % interval over people; for differences, of the paired difference. "
            f"One training run a row (seed {chosen.seed}): the intervals say how sure we are for these networks, not how another seed would turn out. "
            "The rate of the original is its own (0.001), those of ours are the defaults.")
    return [table(head, rows), verdict, note]


def main():
    parser = options(__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=42, help="seeds networks, batches and augmentation")
    parser.add_argument("--cells", type=int, help="stop after so many new cells; run again for the rest")
    chosen = parser.parse_args()
    chosen.made, chosen.rates = 0, [3e-4] if chosen.quick else [1e-4, 3e-4, 1e-3]
    data = load_data(chosen.quick)
    # One unit is an epoch of ours, and a whole number of the peer's batches (64 images) and the original's (96).
    chosen.unit = 192 if chosen.quick else 1920
    chosen.budgets = [192, 384] if chosen.quick else [1920, 5760, 9600]
    chosen.kept = (chosen.out or Path("benchmarks/results/recipes.md").absolute()).with_suffix(".quick.json" if chosen.quick else ".json")
    cells = json.loads(chosen.kept.read_text()) if chosen.kept.exists() else {}
    results = {"frozen": cell("frozen", cells, chosen, lambda: {"0": dict(test=test_scores(SiameseNet(head=None).to(device()).eval(), data))})}
    results["original"] = cell("original", cells, chosen, lambda: train_original(chosen, data))
    results["peer plain"] = tuned_peer("peer plain", dict(head="linear", embedding_size=512, last_stride=None), cells, chosen, data)
    results["peer ours"] = tuned_peer("peer ours", {}, cells, chosen, data)
    results["ours"] = {}
    for budget in chosen.budgets: results["ours"] |= cell(f"ours, {budget} passes", cells, chosen, lambda: train_ours(chosen, data, budget))
    finish("Retrieval for image passes", report(results, chosen, data), chosen.out)


if __name__ == "__main__": main()
