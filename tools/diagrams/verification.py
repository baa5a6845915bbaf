"Drawings of the page on verification: two hills, equal errors, few pairs, drawn people, a gallery, the figure's still."
import json
import math
import re
from collections.abc import Iterator

import pandas as pd
from canvas import Drawing, top

from siamese_nbdev.verification import equal_error_rate, roc

width = 760.0


def bell(x: float, mean: float, spread: float) -> float:
    "Height of a normal density."
    return math.exp(-0.5 * ((x - mean) / spread) ** 2) / (spread * math.sqrt(2 * math.pi))


def below(x: float, mean: float, spread: float) -> float:
    "Share of a normal distribution up to x."
    return 0.5 * (1 + math.erf((x - mean) / (spread * math.sqrt(2))))


def hatched(drawing: Drawing, hill, start: float, end: float, at, base: float, color: str) -> None:
    "Shade the part of a hill between two distances, and hatch it."
    steps = [start + (end - start) * step / 60 for step in range(61)]
    outline = [(at(x), base - hill(x)) for x in steps]
    drawing.polygon([(at(start), base), *outline, (at(end), base)], color, opacity=0.35)
    for step in range(1, 60, 3):
        x = steps[step]
        tall = hill(x)
        if tall > 3:
            drawing.line(at(x), base, at(x) + min(5, 0.3 * tall), base - tall + 1.5, color, 1.6)


def hills() -> Drawing:
    "Two hills of distances with a threshold, both errors hatched, beside the table of the four cases."
    same = (0.72, 0.19)
    different = (1.36, 0.23)
    threshold = 0.98
    base = 238.0
    drawing = Drawing(
        width, 300, "Two hills and a threshold",
        "Distances of pairs of one person form a hill on the left, of two people one on the right. The threshold cuts "
        "off the right foot of the first, friends sent away, and the left foot of the second, strangers let in. "
        "A table beside counts both kinds of pairs, accepted and rejected.",
    )

    def at(x: float) -> float:
        return 24 + 236 * x

    def hill_of(kind):
        return lambda x: 82 * bell(x, *kind)

    drawing.rect(at(0), 34, at(threshold) - at(0), base - 34, fill="panel", radius=0)
    for kind, color in ((same, "positive"), (different, "negative")):
        drawing.path([(at(x / 100), base - hill_of(kind)(x / 100)) for x in range(0, 206, 2)], color, 2.4)
    hatched(drawing, hill_of(same), threshold, 1.5, at, base, "positive")
    hatched(drawing, hill_of(different), 0.55, threshold, at, base, "negative")
    drawing.line(at(0), base, at(2.06), base, "soft")
    drawing.line(at(threshold), 34, at(threshold), base + 6, "ink", 2.2, dash="7 4")
    drawing.text(at(threshold), 24, "threshold", 16, bold=True)
    drawing.text(at(0.02) + 4, 58, "accepted", 15, "soft", "start")
    drawing.text(at(2.05), 58, "rejected", 15, "soft", "end")
    drawing.mark("square", at(0.36), 116, 6, "positive")
    drawing.text(at(0.36), 140, "same", 16, "positive", bold=True)
    drawing.mark("triangle", at(1.84), 116, 6, "negative")
    drawing.text(at(1.84), 140, "different", 16, "negative", bold=True)
    drawing.text(at(0), base + 22, "0", 14, "soft", "start")
    drawing.text(at(2.05), base + 22, "distance", 15, "soft", "end")
    drawing.text(at(0.9), base + 48, "strangers let in", 15, "negative", "end", bold=True)
    drawing.text(at(1.12), base + 48, "friends sent away", 15, "positive", "start", bold=True)
    drawing.arrow(at(0.78), base + 34, at(0.92), base - 8, "negative", head=7)
    drawing.arrow(at(1.22), base + 34, at(1.06), base - 10, "positive", head=7)
    count_cases(drawing, 1 - below(threshold, *same), below(threshold, *different))
    return drawing


def count_cases(drawing: Drawing, false_reject_rate: float, false_accept_rate: float) -> None:
    "Write the table of the four cases, for 100 same pairs and 1,000 different ones."
    left = 546.0
    lost = round(100 * false_reject_rate)
    came = round(1000 * false_accept_rate)
    drawing.text(left + 82, 60, "accepted", 14, "soft")
    drawing.text(left + 162, 60, "rejected", 14, "soft")
    rows = [
        ("same", "positive", (100 - lost, False), (lost, True), f"{lost} of 100 lost"),
        ("different", "negative", (came, True), (1000 - came, False), f"{came} of 1,000 let in"),
    ]
    for number, (name, color, *cells, rate) in enumerate(rows):
        y = 72 + 86 * number
        drawing.text(left + 34, y + 31, name, 14, color, "end", bold=True)
        for column, (count, is_wrong) in enumerate(cells):
            x = left + 44 + 80 * column
            edge = color if is_wrong else "line"
            drawing.rect(x, y, 74, 50, fill="panel" if is_wrong else None, color=edge, stroke=2.5)
            drawing.text(x + 37, y + 31, f"{count}", 17, color if is_wrong else "ink", bold=is_wrong)
        drawing.text(left + 122, y + 68, rate, 14, color, bold=True)


def six_pairs() -> pd.DataFrame:
    "Return the six pairs of the page."
    is_same = [True, True, True, False, False, False]
    return pd.DataFrame(dict(distance=[1.0, 2.0, 5.0, 4.0, 6.0, 7.0], is_same=is_same))


def eer() -> Drawing:
    "Both error rates of the six pairs over the threshold, and where they meet."
    six = six_pairs()
    curve = roc(six)
    rate, distance = equal_error_rate(six)
    drawing = Drawing(
        width, 322, "The equal error rate of six pairs",
        "Over the threshold the false reject rate falls in steps from one to zero and the false accept rate rises "
        f"in steps from zero to one. At a threshold of {distance:g} both are one third.",
    )

    def place(threshold: float, share: float) -> tuple[float, float]:
        return 110 + 74 * threshold, 246 - 190 * share

    for share, name in ((0, "0"), (1 / 3, "1/3"), (2 / 3, "2/3"), (1, "1")):
        x, y = place(0, share)
        drawing.line(x, y, place(8, share)[0], y, "line", 1)
        drawing.text(x - 10, y + 5, name, 15, "soft", "end")
    thresholds = [0.0, *curve["threshold"][1:], 8.0]
    for column, color, words, spot in (
        ("false_accept_rate", "negative", "false accept rate", (6.85, 0.91)),
        ("true_accept_rate", "positive", "false reject rate", (1.2, 0.91)),
    ):
        rates = curve[column] if column.startswith("false") else 1 - curve[column]
        steps = []
        for threshold, end, share in zip(thresholds, thresholds[1:], rates, strict=False):
            shift = 2.5 if color == "negative" else -2.5
            steps += [(place(at, share)[0], place(at, share)[1] + shift) for at in (threshold, end)]
        drawing.path(steps, color, 3)
        drawing.text(*place(*spot), words, 15, color, "end" if color == "negative" else "start", bold=True)
    for pair in six.itertuples():
        kind, color = ("square", "positive") if pair.is_same else ("triangle", "negative")
        drawing.mark(kind, place(pair.distance, 0)[0], 262, 6, color)
    for threshold in range(0, 9, 2):
        drawing.text(place(threshold, 0)[0], 288, f"{threshold}", 15, "soft")
    drawing.text(place(4, 0)[0], 312, "threshold", 15, "soft")
    x, y = place(distance, rate)
    drawing.circle(x, y, 11, color="ink", width=2.4)
    drawing.arrow(x + 58, y - 66, x + 12, y - 14, "ink")
    drawing.text(x + 64, y - 72, f"both 1/3, at {distance:g}", 16, "ink", "start", bold=True)
    return drawing


def three() -> Drawing:
    "The chance to see no error among 300 pairs, over the true rate."
    pairs = 300
    drawing = Drawing(
        width, 300, "How few pairs bound a small rate",
        "The chance to see no error at all among 300 independent pairs falls with the true rate: from one at a rate of "
        "zero to one in twenty at a rate of one per cent.",
    )

    def place(percent: float, share: float) -> tuple[float, float]:
        return 96 + 300 * percent, 240 - 184 * share

    def unseen(percent: float) -> float:
        return (1 - percent / 100) ** pairs

    drawing.text(96, 26, f"chance to see no error among {pairs} pairs", 16, "ink", "start", bold=True)
    for share, name in ((0, "0"), (0.5, "1/2"), (1, "1")):
        x, y = place(0, share)
        drawing.line(x, y, place(2.1, 0)[0], y, "line", 1)
        drawing.text(x - 10, y + 5, name, 15, "soft", "end")
    curve = [place(step / 50, unseen(step / 50)) for step in range(106)]
    bound = 100 * 3 / pairs
    drawing.polygon([place(0, 0), *[spot for spot in curve if spot[0] <= place(bound, 0)[0] + 0.1], place(bound, 0)],
                    "anchor", opacity=0.18)
    drawing.path(curve, "anchor", 3)
    x, y = place(bound, unseen(bound))
    drawing.line(x, y, x, 240, "ink", 1.6, dash="5 4")
    drawing.circle(x, y, 6, fill="ink")
    drawing.arrow(x + 58, y - 98, x + 6, y - 11, "ink")
    drawing.text(x + 20, y - 130, f"true rate 3/{pairs} = {bound:g} %:", 16, "ink", "start", bold=True)
    drawing.text(x + 20, y - 108, f"still nothing seen in 1 of {1 / unseen(bound):.0f} studies", 15, "ink", "start")
    half = 100 * (1 - 0.5 ** (1 / pairs))
    x, y = place(half, 0.5)
    drawing.circle(x, y, 5, fill="anchor")
    drawing.text(x + 14, y - 10, f"{half:.2f} %: every other study", 15, "anchor", "start")
    for percent in (0, 0.5, 1, 1.5, 2):
        drawing.text(place(percent, 0)[0], 264, f"{percent:g} %", 15, "soft")
    drawing.text(place(1, 0)[0], 288, "true false accept rate", 15, "soft")
    return drawing


def people() -> Drawing:
    "Three draws from three people: two, one and no times each, and how often each pair then counts."
    times = {"ann": 2, "bob": 1, "cid": 0}
    looks = {"ann": ("disc", "first"), "bob": ("square", "second"), "cid": ("triangle", "third")}
    drawing = Drawing(
        width, 272, "Drawing people, counting pairs",
        "In three draws ann came twice, bob once, cid not at all. A pair of two people counts the product of both "
        "numbers: ann with bob twice. A pair of one person counts as often as that person. Pairs of cid do not count.",
    )
    drawing.text(30, 34, "three draws, with replacement", 16, "ink", "start", bold=True)
    often = ("not drawn", "once", "twice")
    for row, (name, count) in enumerate(times.items()):
        y = 74 + 62 * row
        kind, color = looks[name]
        drawing.text(30, y + 5, name, 16, color, "start", bold=True)
        for copy in range(count):
            drawing.mark(kind, 96 + 34 * copy, y, 11, color)
        drawing.text(188, y + 5, often[count], 15, "soft", "start")
    drawing.arrow(316, 136, 362, 136, "soft", 2.2)
    drawing.text(392, 34, "how often each pair counts", 16, "ink", "start", bold=True)
    for column, name in enumerate(times):
        kind, color = looks[name]
        drawing.text(486 + 98 * column, 62, name, 15, color, bold=True)
        drawing.text(428, 104 + 58 * column, name, 15, color, "end", bold=True)
    for row, first in enumerate(times):
        for column, second in enumerate(times):
            if column < row:
                continue
            count = times[first] if first == second else times[first] * times[second]
            words = f"{count}" if first == second else f"{times[first]} \u00b7 {times[second]} = {count}"
            color = "positive" if first == second else "negative"
            x = 440 + 98 * column
            y = 74 + 58 * row
            drawing.rect(x, y, 92, 50, fill="panel" if count else None, color=color if count else "line", stroke=2)
            drawing.text(x + 46, y + 30, words, 15, color if count else "soft", bold=bool(count))
    drawing.text(440, 264, "green: same person · red: two people", 14, "soft", "start")
    return drawing


def gallery() -> Drawing:
    "One query against larger and larger galleries, and the chance of a false alarm."
    rate = 0.01
    drawing = Drawing(
        width, 290, "A gallery multiplies false alarms",
        "One query meets 1, 10, 100 and 1,000 strangers. Each comparison accepts one stranger in a hundred. The chance "
        "that at least one is accepted is 1, 10, 63 and nearly 100 per cent.",
    )
    drawing.text(24, 30, "query", 15, "anchor", "start", bold=True)
    drawing.text(96, 30, "strangers in the gallery", 15, "negative", "start", bold=True)
    drawing.text(430, 30, "at least one is accepted", 15, "ink", "start", bold=True)
    for row, strangers in enumerate((1, 10, 100, 1000)):
        y = 66 + 60 * row
        drawing.mark("disc", 44, y, 9, "anchor")
        shown = min(strangers, 16)
        for number in range(shown):
            drawing.mark("triangle", 104 + 13 * number, y, 5, "negative")
        more = "" if shown == strangers else "…"
        drawing.text(104 + 13 * shown + 4, y + 5, f"{more} {strangers:,}", 15, "soft", "start")
        chance = 1 - (1 - rate) ** strangers
        drawing.rect(430, y - 15, 200, 30, fill="panel", radius=3)
        drawing.rect(430, y - 15, max(200 * chance, 2), 30, fill="negative", radius=min(3, 200 * chance))
        words = f"{100 * chance:.0f} %" if chance < 0.995 else "nearly 100 %"
        drawing.text(640, y + 6, words, 15, "ink", "start", bold=True)
    return drawing


def heap(places: list[float], size: float) -> list[int]:
    "For each place, the lowest level on which no earlier mark lies nearer than a width."
    ends: list[float] = []
    levels = []
    for place in places:
        level = next((number for number, end in enumerate(ends) if place - end >= size), len(ends))
        if level == len(ends):
            ends.append(place)
        ends[level] = place
        levels.append(level)
    return levels


def stored_pairs() -> pd.DataFrame:
    "Read the pairs of the figure to play with."
    text = (top / "nbs" / "figures" / "threshold.js").read_text(encoding="utf-8")
    found = re.search(r"const stored = \[(.*?)\];", text, re.S)
    assert found, "no stored pairs in threshold.js"
    rows = json.loads(f"[{found[1].rstrip().rstrip(',')}]")
    return pd.DataFrame(
        [(thousandths / 1000, first == second) for thousandths, first, second in rows], columns=["distance", "is_same"],
    )


def hollow(drawing: Drawing, kind: str, x: float, y: float, size: float, color: str) -> None:
    "Draw the outline of a square or a triangle, as the figure to play with shows a pair on its right side."
    if kind == "square":
        drawing.rect(x - size, y - size, 2 * size, 2 * size, fill=None, color=color, radius=0, stroke=1.2)
    else:
        drawing.path([(x, y - size), (x + size, y + size), (x - size, y + size), (x, y - size)], color, 1.2)


def still() -> Drawing:
    "The figure to play with, standing still at the equal error rate."
    pairs = stored_pairs()
    _, threshold = equal_error_rate(pairs)
    parts = [pairs["distance"][pairs["is_same"] == kind].sort_values().tolist() for kind in (True, False)]
    farthest = math.ceil(pairs["distance"].max() * 10) / 10
    size = 7.2

    def at(distance: float) -> float:
        return 16 + (width - 32) / farthest * distance

    levels = [heap([at(distance) for distance in part], size + 1) for part in parts]
    middle = 44 + (max(levels[0]) + 1) * (size + 1)
    base = middle + (max(levels[1]) + 1) * (size + 1) + 34
    wrong = [sum(d > threshold for d in parts[0]), sum(d <= threshold for d in parts[1])]
    drawing = Drawing(
        width, base + 66, "The threshold, standing still",
        f"{len(parts[0])} pairs of one person above a level line, {len(parts[1])} of two people below it. "
        f"At a threshold of {threshold:.3f}, {wrong[0]} of the first and {wrong[1]} of the second are errors: these "
        "marks are filled, all others hollow.",
    )
    drawing.rect(8, 8, at(threshold) - 8, base - 8, fill="panel", radius=0)
    drawing.line(8, middle, width - 8, middle, "soft")
    looks = (("square", "positive"), ("triangle", "negative"))
    for number, (part, (kind, color)) in enumerate(zip(parts, looks, strict=True)):
        for distance, level in zip(part, levels[number], strict=True):
            away = (level + 0.5) * (size + 1) + 3
            is_wrong = (distance > threshold) if kind == "square" else (distance <= threshold)
            y = middle + away if number else middle - away
            if is_wrong:
                drawing.mark(kind, at(distance), y, 4.4, color)
            else:
                hollow(drawing, kind, at(distance), y, 2.9, color)
    drawing.line(at(threshold), 8, at(threshold), base, "ink", 2.2)
    drawing.text(at(threshold) - 8, 28, "accepted", 15, "ink", "end", bold=True)
    drawing.text(at(threshold) + 8, 28, "rejected", 15, "ink", "start", bold=True)
    drawing.text(18, 28, "same person", 15, "positive", "start", bold=True)
    drawing.text(18, base - 10, "two people", 15, "negative", "start", bold=True)
    for tick in range(0, int(farthest / 0.5) + 1):
        drawing.text(at(tick / 2), base + 20, f"{tick / 2:.1f}", 14, "soft", "middle" if tick else "start")
    drawing.text(width - 18, base - 10, "distance", 15, "soft", "end")
    drawing.text(
        18, base + 50,
        f"Threshold {threshold:.3f}: {wrong[1]} of {len(parts[1])} strangers let in, "
        f"{wrong[0]} of {len(parts[0])} friends sent away", 15, "ink", "start",
    )
    return drawing


def drawings() -> Iterator[tuple[str, Drawing]]:
    "Yield the drawings of the page."
    yield "verification_hills", hills()
    yield "verification_eer", eer()
    yield "verification_people", people()
    yield "verification_three", three()
    yield "verification_gallery", gallery()
    yield "verification_threshold", still()
