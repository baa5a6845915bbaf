"""The threshold, a figure to play with, computes what the library computes: numbers in node, words in a browser."""
import json
import math
import re
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from playing import browser, node, seen_in_browser

from siamese_nbdev.verification import equal_error_rate, evaluate_verification, fit_threshold, roc

top = Path(__file__).resolve().parent.parent
figure = top / "nbs" / "figures" / "threshold.js"

in_node = """
const { readFileSync } = require("fs");
const figure = require(process.argv[1]);
const cases = JSON.parse(readFileSync(0, "utf-8"));
console.log(JSON.stringify(cases.map(({ pairs, thresholds, targets }) => {
  const known = pairs || figure.pairs;
  return {
    pairs: known,
    counts: thresholds.map((threshold) => figure.confusion(known, threshold)),
    roc: figure.roc(known).slice(1),
    equal: figure.equalErrorRate(known),
    largest: targets.map((target) => figure.largestDistance(known, target)),
    flips: thresholds.slice(1).map((to, row) => figure.flipped(known, thresholds[row], to).length),
    unseen: figure.highestUnseenRate(known.filter((pair) => !pair.isSame).length),
    levels: figure.heap(known.map((pair) => pair.distance).sort((a, b) => a - b), 0.03),
  };
})));
"""


def random_pairs(seed: int) -> list[dict]:
    "Draw pairs: scattered, with ties, wholly apart, or all at one distance."
    rng = np.random.default_rng(seed)
    is_same = np.append(rng.random(60) < 0.4, [True, False])
    distances = (0.4 * rng.random(62) + 0.3 * ~is_same).round(1 + seed % 3)
    if seed % 5 == 3:
        distances = rng.random(62) + 2.0 * ~is_same
    if seed % 5 == 4:
        distances = np.full(62, 0.5)
    return [dict(distance=float(d), isSame=bool(kind)) for d, kind in zip(distances, is_same, strict=True)]


def as_table(pairs: list[dict]) -> pd.DataFrame:
    "Turn pairs of the figure into a table of the library."
    return pd.DataFrame(dict(distance=[p["distance"] for p in pairs], is_same=[p["isSame"] for p in pairs]))


def rates_at(table: pd.DataFrame, threshold: float) -> tuple[float, float]:
    "Return false accept and false reject rate, as the library counts them."
    scores = evaluate_verification(table, false_accept_rates=(), threshold=threshold, repeats=0)["value"]
    return scores["false_accept_rate"], 1 - scores["true_accept_rate"]


def run_in_node(cases: list[dict]) -> list[dict]:
    "Let the pure functions of the figure compute."
    done = subprocess.run(
        [node, "-e", in_node, str(figure)], input=json.dumps(cases), capture_output=True, text=True, timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.skipif(node is None, reason="node is not installed")
def test_the_threshold_computes_what_the_library_computes():
    thresholds = [round(0.025 * step, 3) for step in range(90)]
    cases = [dict(pairs=random_pairs(seed), thresholds=thresholds, targets=[0.2, 0.5]) for seed in range(40)]
    cases.append(dict(thresholds=thresholds, targets=[0.02, 0.05, 0.1]))  # the stored ones
    for case, found in zip(cases, run_in_node(cases), strict=True):
        table = as_table(found["pairs"])
        for threshold, counts in zip(thresholds, found["counts"], strict=True):
            expected = rates_at(table, threshold)
            rates = counts["falseAcceptRate"], counts["falseRejectRate"]
            assert np.allclose(rates, expected, rtol=0, atol=1e-12), threshold
            assert counts["friendsIn"] + counts["friendsOut"] == table["is_same"].sum()
        curve = roc(table)[1:]
        drawn = pd.DataFrame(found["roc"])
        assert np.allclose(drawn["threshold"], curve["threshold"], rtol=0, atol=1e-12)
        assert np.allclose(drawn["falseAcceptRate"], curve["false_accept_rate"], rtol=0, atol=1e-12)
        assert np.allclose(1 - drawn["falseRejectRate"], curve["true_accept_rate"], rtol=0, atol=1e-12)
        rate, distance = equal_error_rate(table)
        assert math.isclose(found["equal"]["rate"], rate, abs_tol=1e-12)
        assert found["equal"]["distance"] == distance
        accepted = [(table["distance"] <= threshold).sum() for threshold in thresholds]
        assert found["flips"] == np.diff(accepted).tolist()
        for target, largest in zip(case["targets"], found["largest"], strict=True):
            is_met = roc(table)["false_accept_rate"] <= target
            expected = roc(table)["threshold"][is_met].iloc[-1]
            assert largest == (None if expected == -np.inf else expected)  # JSON knows no infinity
    for target, largest in zip((0.02, 0.05, 0.1), found["largest"], strict=True):
        assert largest == fit_threshold(table, target, repeats=0).distance
    assert table["is_same"].value_counts().to_dict() == {False: 240, True: 120}
    assert math.isclose((1 - found["unseen"]) ** 240, 0.05, abs_tol=1e-12)


@pytest.mark.skipif(node is None, reason="node is not installed")
def test_marks_of_a_heap_do_not_overlap():
    found = run_in_node([dict(thresholds=[0, 1], targets=[])])[0]
    places = np.sort([pair["distance"] for pair in found["pairs"]])
    for level in set(found["levels"]):
        gaps = np.diff(places[np.array(found["levels"]) == level])
        assert (gaps >= 0.03).all()


steps = """
addEventListener("load", () => {
  const seen = [];
  const slider = document.querySelector(".threshold input");
  const look = (name) => seen.push({
    name,
    threshold: window.siameseFigures.threshold.state().threshold,
    label: document.querySelector(".threshold label").textContent,
    cells: [...document.querySelectorAll(".threshold td")].map((cell) => cell.textContent),
    said: document.querySelector(".threshold .said").textContent,
    flips: document.querySelector(".threshold .flips").textContent,
    wrong: [".same.wrong", ".different.wrong", ".flip"].map((kind) => document.querySelectorAll(`svg ${kind}`).length),
  });
  const slide = (value) => {
    slider.value = value;
    slider.dispatchEvent(new Event("input", { bubbles: true }));
  };
  look("start");
  for (const value of [0.3, 0.7, 0.85, 1.1, 1.2]) { slide(value); look(`at ${value}`); }
  slider.focus();
  slider.stepUp();  // what the arrow key does; a page may not press keys by script
  slider.dispatchEvent(new Event("input", { bubbles: true }));
  look("key");
  for (const name of ["none", "two", "equal"]) { document.querySelector(`[name=${name}]`).click(); look(name); }
  const frame = document.querySelector(".threshold");
  const wide = Math.max(...[...frame.querySelectorAll("*")].map((one) => one.getBoundingClientRect().right));
  const pre = document.createElement("pre");
  pre.id = "seen";
  pre.textContent = JSON.stringify({
    seen, wide, window: innerWidth, images: document.images.length, focus: document.activeElement.name,
    live: document.querySelector(".threshold .said").getAttribute("aria-live"),
    ground: getComputedStyle(frame).backgroundColor, outline: getComputedStyle(slider).outlineStyle,
  });
  document.body.append(pre);
});
"""


def stored_table() -> pd.DataFrame:
    "Read the pairs that the figure carries."
    rows = re.search(r"const stored = \[(.*?)\];", figure.read_text(encoding="utf-8"), re.S)
    assert rows
    pairs = json.loads(f"[{rows[1].rstrip().rstrip(',')}]")
    return as_table([dict(distance=far / 1000, isSame=first == second) for far, first, second in pairs])


@pytest.mark.skipif(browser is None, reason="no Chromium or Chrome is installed")
@pytest.mark.parametrize(("width", "theme"), [(390, "dark"), (900, "light")])
def test_the_threshold_shows_what_the_library_computes(tmp_path, width, theme):
    result = seen_in_browser(figure, steps, tmp_path, width, theme)
    assert result["images"] == 0  # the still picture has made way
    assert result["wide"] <= result["window"] == width
    assert (result["live"], result["focus"]) == ("polite", "threshold")
    assert result["ground"] == {"light": "rgb(255, 255, 255)", "dark": "rgb(27, 32, 38)"}[theme]
    table = stored_table()
    before = None
    for step in result["seen"]:
        threshold = step["threshold"]
        accepted = table["distance"] <= threshold
        false_accepts = int((accepted & ~table["is_same"]).sum())
        false_rejects = int((~accepted & table["is_same"]).sum())
        let_in, sent_away = rates_at(table, threshold)
        assert step["label"] == f"Threshold {threshold:.3f}"
        assert step["wrong"][:2] == [false_rejects, false_accepts], step["name"]
        assert step["cells"][1:3] == [str(120 - false_rejects), str(false_rejects)]
        assert step["cells"][4:6] == [str(false_accepts), str(240 - false_accepts)]
        for cell, rate in ((step["cells"][3], sent_away), (step["cells"][6], let_in)):
            assert abs(float(cell.removesuffix(" %")) - 100 * rate) <= 0.05 + 1e-9
        assert f"{false_accepts} of 240 strangers let in" in step["said"]
        assert f"{false_rejects} of 120 friends sent away" in step["said"]
        assert ("None among 240" in step["said"]) == (false_accepts == 0)
        if before is not None:
            flips = int(table["distance"].between(*sorted((before, threshold)), inclusive="right").sum())
            assert step["wrong"][2] == flips
            assert (f": {flips} now" if flips else "no pair changed") in step["flips"]
        before = threshold
    seen = {step["name"]: step for step in result["seen"]}
    assert seen["at 0.85"]["threshold"] == 0.85
    assert math.isclose(seen["key"]["threshold"], 1.205)
    assert seen["equal"]["threshold"] == seen["start"]["threshold"] == equal_error_rate(table)[1]
    assert seen["two"]["threshold"] == fit_threshold(table, 0.02, repeats=0).distance
    assert seen["none"]["wrong"][1] == 0
