"""The figures to play with compute what the library computes: in node for numbers, in a browser for what is shown."""
import json
import math
import subprocess
from pathlib import Path

import pytest
import torch
from playing import browser, node, seen_in_browser

from siamese_nbdev.loss import (
    TripletLoss,
    all_triplets,
    batch_hard_triplets,
    pairwise_distances,
    semi_hard_triplets,
)

top = Path(__file__).resolve().parent.parent
figure = top / "nbs" / "figures" / "miner.js"
minings = ("all", "batch_hard", "semi_hard", "weighted")

in_node = """
const { readFileSync } = require("fs");
const miner = require(process.argv[1]);
const cases = JSON.parse(readFileSync(0, "utf-8"));
const found = cases.map(({ points, labels, options }) => {
  const distances = miner.pairwiseDistances(points);
  const { loss, triplets, active, uninformed } = miner.tripletLoss(points, labels, options);
  return {
    distances, loss, triplets, active, uninformed: Number.isNaN(uninformed) ? null : uninformed,
    all: miner.allTriplets(labels),
    batch_hard: miner.batchHardTriplets(distances, labels),
    semi_hard: miner.semiHardTriplets(distances, labels),
  };
});
console.log(JSON.stringify(found));
"""


def random_cases() -> list[dict]:
    "Draw batches: scattered points, points on a coarse grid with ties and duplicates, all on one point, lone people."
    cases = []
    for seed in range(120):
        rng = torch.Generator().manual_seed(seed)
        size = int(torch.randint(1, 13, (), generator=rng))
        labels = torch.randint(0, 4, (size,), generator=rng)
        points = torch.randn(size, 2, generator=rng, dtype=torch.float64)
        if seed % 4 == 1:
            points = torch.randint(0, 3, (size, 2), generator=rng).double()
        if seed % 4 == 2:
            points = torch.ones(size, 2, dtype=torch.float64)
        options = dict(
            mining=minings[seed % 7 % 4],
            margin=(0.1, 0.3, 1.0)[seed % 3],
            reduction=("nonzero", "mean")[seed // 3 % 2],
            temperature=(0.1, 0.5)[seed % 2],
        )
        cases.append(dict(points=points.tolist(), labels=labels.tolist(), options=options))
    return cases


def as_lists(triplets) -> list[list[int]]:
    "Turn three tensors of rows into a list of triplets."
    return [list(rows) for rows in zip(*(indices.tolist() for indices in triplets))]


def loss_of(points, labels, options) -> tuple[float, TripletLoss]:
    "Return the loss of the library, and the object that knows the rest."
    loss = TripletLoss(**options)
    value = loss(torch.tensor(points, dtype=torch.float64), torch.tensor(labels))
    return value.item(), loss


@pytest.mark.skipif(node is None, reason="node is not installed")
def test_the_miner_computes_what_the_library_computes():
    cases = random_cases()
    done = subprocess.run(
        [node, "-e", in_node, str(figure)], input=json.dumps(cases), capture_output=True, text=True, timeout=120,
    )
    assert done.returncode == 0, done.stderr
    for case, found in zip(cases, json.loads(done.stdout), strict=True):
        points = torch.tensor(case["points"], dtype=torch.float64)
        labels = torch.tensor(case["labels"])
        distances = pairwise_distances(points)
        torch.testing.assert_close(torch.tensor(found["distances"], dtype=torch.float64), distances, rtol=0, atol=1e-6)
        assert found["all"] == as_lists(all_triplets(labels))
        assert found["batch_hard"] == as_lists(batch_hard_triplets(distances, labels)), case
        assert found["semi_hard"] == as_lists(semi_hard_triplets(distances, labels)), case
        value, loss = loss_of(**case)
        assert math.isclose(found["loss"], value, abs_tol=1e-6), case
        assert found["triplets"] == loss.triplets
        assert math.isclose(found["active"] / max(loss.triplets, 1), loss.active_share, abs_tol=1e-9), case
        if found["uninformed"] is None:
            assert math.isnan(loss.uninformed)
        else:
            assert math.isclose(found["uninformed"], loss.uninformed, abs_tol=1e-6)


steps = """
addEventListener("load", () => {
  const miner = window.siameseFigures.miner;
  const seen = [];
  const look = (name) => seen.push({
    name, state: miner.state(), loss: miner.shownLoss(), words: document.querySelector(".miner .said").textContent,
    rows: document.querySelectorAll(".miner li").length, label: document.activeElement.getAttribute("aria-label"),
  });
  const press = (key, more = {}) => {
    const event = new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true, ...more });
    document.activeElement.dispatchEvent(event);
  };
  const choose = (name, value) => {
    const field = document.querySelector(`.miner [name=${name}]`);
    field.value = value;
    field.dispatchEvent(new Event(field.type === "range" ? "input" : "change", { bubbles: true }));
  };
  look("start");
  for (const mining of ["all", "batch_hard", "weighted", "semi_hard"]) { choose("mining", mining); look(mining); }
  miner.point("B1").focus();
  press("ArrowRight"); press("ArrowUp"); press("ArrowUp"); press("ArrowLeft", { shiftKey: true });
  look("keys");
  press("Enter");
  look("anchor");
  choose("margin", "0.7"); choose("reduction", "mean"); look("margin");
  miner.moveTo("C3", 0.35, 0.55); look("moved");
  const point = miner.point("A1");
  point.setPointerCapture = () => {};
  const box = point.getBoundingClientRect();
  const at = (dx, dy) => ({
    pointerId: 1, bubbles: true, clientX: box.x + box.width / 2 + dx, clientY: box.y + box.height / 2 + dy,
  });
  point.dispatchEvent(new PointerEvent("pointerdown", at(0, 0)));
  point.dispatchEvent(new PointerEvent("pointermove", at(40, -60)));
  point.dispatchEvent(new PointerEvent("pointerup", at(40, -60)));
  look("dragged");
  choose("mining", "batch_hard"); choose("reduction", "nonzero"); look("before");
  for (let time = 0; time < 40; time++) document.querySelector(".miner [name=shrink]").click();
  look("shrunk");
  const frame = document.querySelector(".miner");
  const wide = Math.max(...[...frame.querySelectorAll("*")].map((one) => one.getBoundingClientRect().right));
  const pre = document.createElement("pre");
  pre.id = "seen";
  pre.textContent = JSON.stringify({ seen, wide, window: innerWidth, images: document.images.length });
  document.body.append(pre);
});
"""


@pytest.mark.skipif(browser is None, reason="no Chromium or Chrome is installed")
@pytest.mark.parametrize("width", [390, 900])
def test_the_miner_shows_what_the_library_computes(tmp_path, width):
    result = seen_in_browser(figure, steps, tmp_path, width)
    assert result["images"] == 0  # the still picture has made way
    assert result["wide"] <= result["window"] == width
    seen = {step["name"]: step for step in result["seen"]}
    labels = [0, 0, 0, 1, 1, 1, 2, 2, 2]
    for name, step in seen.items():
        state = step["state"]
        options = {key: state[key] for key in ("mining", "margin", "reduction")}
        value, loss = loss_of(state["points"], labels, options)
        assert math.isclose(step["loss"], value, abs_tol=1e-6), name
        assert f"loss {value:.3f}, uninformed {loss.uninformed:.3f}" in step["words"], name
        assert f": {loss.triplets} " in step["words"], name
    assert [seen[mining]["state"]["mining"] for mining in minings] == list(minings)
    assert [seen[mining]["rows"] for mining in minings] == [12, 1, 2, 2]
    assert seen["keys"]["state"]["points"][3] == [0.15, 0.5]  # B1 was at (0.3, 0.4)
    assert seen["keys"]["loss"] != seen["semi_hard"]["loss"]
    assert seen["keys"]["label"].startswith("B1 at 0.15, 0.50: a hard negative")
    assert seen["anchor"]["state"]["anchor"] == 3
    assert seen["margin"]["state"]["margin"] == 0.7
    assert seen["moved"]["state"]["points"][8] == [0.35, 0.55]
    x, y = seen["dragged"]["state"]["points"][0]
    assert x > 0.05 and y > 0.05
    assert seen["dragged"]["state"]["anchor"] == 3  # a drag is no click
    assert math.isclose(seen["shrunk"]["loss"], 0.7, abs_tol=1e-4)  # all on one point: the margin
    assert seen["before"]["loss"] > 0.8
