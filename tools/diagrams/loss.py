"The drawings of 03_loss: one triplet and its step, one small batch with what each miner picks in it, and the floor."
import math
from collections.abc import Iterator

import torch
from canvas import Drawing

from siamese_nbdev.loss import (
    TripletLoss,
    batch_hard_triplets,
    pairwise_distances,
    semi_hard_triplets,
    triplet_margin_loss,
)

# The batch of the page: three people with three images each. nbs/figures/miner.js begins with the same points.
points = torch.tensor(
    [
        [0.0, 0.0], [0.3, -0.2], [0.9, 0.0],
        [0.3, 0.4], [-0.3, 0.7], [0.5, 1.3],
        [1.2, 1.7], [0.5, 1.0], [1.6, -0.1],
    ],
    dtype=torch.float64,
)
labels = torch.arange(3).repeat_interleave(3)
names = [f"{person}{image}" for person in "ABC" for image in (1, 2, 3)]
margin = 0.3
dresses = (("disc", "first"), ("square", "second"), ("triangle", "third"))
distances = pairwise_distances(points)


def picks_of(anchor: int) -> dict[str, list[tuple[int, int]]]:
    "Return what each miner of the library picks for an anchor: pairs of positive and negative rows."
    found = {}
    for name, miner in (("batch-hard", batch_hard_triplets), ("semi-hard", semi_hard_triplets)):
        rows = zip(*(indices.tolist() for indices in miner(distances, labels)), strict=True)
        found[name] = [(p, n) for a, p, n in rows if a == anchor]
    return found


class Map:
    "A piece of the plane at some place of a drawing; y grows upwards."

    def __init__(self, drawing: Drawing, x: float, y: float, scale: float, low=(-0.5, -0.4), high=(1.85, 1.9)):
        self.drawing = drawing
        self.left = x
        self.bottom = y
        self.scale = scale
        self.low = low
        self.high = high

    def at(self, point) -> tuple[float, float]:
        "Return where a point of the plane lies on the drawing."
        x = self.left + (float(point[0]) - self.low[0]) * self.scale
        y = self.bottom - (float(point[1]) - self.low[1]) * self.scale
        return x, y

    def ground(self, fill="panel") -> None:
        "Draw the sheet."
        width = (self.high[0] - self.low[0]) * self.scale
        height = (self.high[1] - self.low[1]) * self.scale
        self.drawing.rect(self.left, self.bottom - height, width, height, fill=fill, radius=4)

    def grid(self, words=True) -> None:
        "Draw a line for each half unit, with its number."
        for axis in (0, 1):
            for half in range(math.ceil(self.low[axis] * 2), math.floor(self.high[axis] * 2) + 1):
                value = half / 2
                first = [value, value]
                second = [value, value]
                first[1 - axis] = self.low[1 - axis]
                second[1 - axis] = self.high[1 - axis]
                x, y = self.at(first)
                self.drawing.line(x, y, *self.at(second), color="line", width=1)
                if words:
                    shift = (0, 18) if axis == 0 else (-6, 5)
                    align = "middle" if axis == 0 else "end"
                    self.drawing.text(x + shift[0], y + shift[1], f"{value:g}", 13, "soft", align)

    def edge(self, center, radius: float) -> list[tuple[float, float]]:
        "Return points of a circle, moved to the border of the sheet where they lie outside it."
        ring = []
        for step in range(181):
            angle = step * math.pi / 90
            x = center[0] + radius * math.cos(angle)
            y = center[1] + radius * math.sin(angle)
            ring.append((min(max(x, self.low[0]), self.high[0]), min(max(y, self.low[1]), self.high[1])))
        return ring

    def disc(self, center, radius: float, fill: str, opacity: float) -> None:
        "Fill the part of a disc that lies on the sheet."
        ring = self.edge((float(center[0]), float(center[1])), radius)
        self.drawing.polygon([self.at(point) for point in ring], fill, opacity)

    def circle(self, center, radius: float, color: str, dash: str | None = None, width=1.8) -> None:
        "Draw the part of a circle that lies on the sheet."
        piece: list[tuple[float, float]] = []
        middle = (float(center[0]), float(center[1]))
        for point in [*self.edge(middle, radius), (math.inf, math.inf)]:
            if abs(math.dist(point, middle) - radius) < 1e-9:
                piece.append(self.at(point))
                continue
            if len(piece) > 1:
                self.drawing.path(piece, color, width, dash)
            piece = []


def person_mark(drawing: Drawing, row: int, x: float, y: float, size=8.0) -> None:
    "Draw an image of the batch as its person's shape."
    kind, color = dresses[int(labels[row])]
    drawing.mark(kind, x, y, size, color)


def name_beside(drawing: Drawing, row: int, x: float, y: float, below: tuple[int, ...] = ()) -> None:
    "Write the name of an image beside its mark; C2 has the outer circle on its right, so its name is on the left."
    if names[row] == "C2":
        drawing.text(x - 13, y + 5, names[row], 16, bold=True, align="end")
        return
    drawing.text(x + 14, y + (20 if row in below else -6), names[row], 16, bold=True, align="start")


def loss_triplet() -> Drawing:
    "One triplet before and after a step against the gradient."
    step = 0.15
    drawing = Drawing(
        760, 322, "A triplet before and after one step",
        "Left: the negative is nearer to the anchor than the positive; arrows show where a step moves the points. "
        "Right: after the step the positive is nearer, though not yet by the margin.",
    )
    triplet = points[[0, 2, 3]].clone().requires_grad_()
    loss = triplet_margin_loss(*triplet[:, None], margin=margin)
    loss.backward()
    before = triplet.detach()
    after = before - step * triplet.grad
    later = triplet_margin_loss(*after[:, None], margin=margin)
    roles = (("anchor", "disc"), ("positive", "square"), ("negative", "triangle"))
    for left, title, three, value in ((20, "before", before, loss), (390, "after one step", after, later)):
        sheet = Map(drawing, left, 306, 262, low=(-0.29, -0.27), high=(1.04, 0.7))
        sheet.ground()
        drawing.text(left + 4, 36, title, 16, bold=True, align="start")
        drawing.text(left + 346, 36, f"loss {float(value.detach()):.2f}", 16, bold=True, align="end")
        anchor, positive, negative = (sheet.at(point) for point in three)
        if three is after:
            for point, (color, _) in zip(before, roles, strict=True):
                drawing.circle(*sheet.at(point), 8, color=color, dash="3 3")
        drawing.line(*anchor, *positive, "positive", 2)
        drawing.line(*anchor, *negative, "negative", 2)
        to_positive = math.dist(three[0], three[1])
        to_negative = math.dist(three[0], three[2])
        drawing.text(
            (anchor[0] + positive[0]) / 2 + 14, (anchor[1] + positive[1]) / 2 - 9, f"{to_positive:.2f}", 15, "positive",
        )
        drawing.text(
            (anchor[0] + negative[0]) / 2 - 12, (anchor[1] + negative[1]) / 2 - 6, f"{to_negative:.2f}", 15, "negative",
            align="end",
        )
        for point, (color, kind) in zip(three, roles, strict=True):
            drawing.mark(kind, *sheet.at(point), 9, color)
        if three is before:
            for old, new, (color, _) in zip(before, after, roles, strict=True):
                drawing.arrow(*sheet.at(old), *sheet.at(new), color, 3, head=11)
        drawing.text(anchor[0] - 14, anchor[1] + 5, "anchor", 15, "anchor", align="end")
        drawing.text(positive[0] + 4, positive[1] + 32, "positive", 15, "positive")
        drawing.text(negative[0] + 18, negative[1] - 2, "negative", 15, "negative", align="start")
    return drawing


def loss_batch() -> Drawing:
    "The batch of the page, with coordinates."
    drawing = Drawing(
        760, 540, "A batch of three people with three images each",
        "Nine points in the plane: A1, A2, A3 of person A, B1 to B3 of person B, C1 to C3 of person C, with their "
        "coordinates beside them. C3 lies far from the other two images of C, near A3.",
    )
    sheet = Map(drawing, 44, 508, 212)
    sheet.ground()
    sheet.grid()
    for row, point in enumerate(points):
        x, y = sheet.at(point)
        person_mark(drawing, row, x, y)
        drawing.text(x + 13, y - 6, names[row], 16, bold=True, align="start")
    for row, point in enumerate(points):
        y = 62 + 38 * row + 22 * int(labels[row])
        person_mark(drawing, row, 584, y - 5)
        drawing.text(604, y, names[row], 16, bold=True, align="start")
        place = f"({float(point[0]):g}, {float(point[1]):g})"
        drawing.text(644, y, place, 16, align="start")
    return drawing


def loss_zones() -> Drawing:
    "The zones round A1 with A3 as its positive."
    drawing = Drawing(
        760, 540, "The zones round the anchor A1 and its positive A3",
        "A circle round A1 through A3 and a second one, a margin wider. B1 and B2 lie inside the first: hard. C2 lies "
        "between the two: semi-hard. B3, C1 and C3 lie outside: easy.",
    )
    anchor = 0
    positive = 2
    near = float(distances[anchor, positive])
    sheet = Map(drawing, 14, 522, 210, low=(-1.27, -0.5), high=(2.2, 1.9))
    sheet.ground()
    sheet.disc(points[anchor], near + margin, "accent", 0.16)
    sheet.disc(points[anchor], near, "negative", 0.16)
    sheet.circle(points[anchor], near, "ink")
    sheet.circle(points[anchor], near + margin, "ink", "6 5")
    drawing.line(*sheet.at(points[anchor]), *sheet.at(points[positive]), "positive", 2.4)
    for row, point in enumerate(points):
        x, y = sheet.at(point)
        kind, color = ("square", "positive") if labels[row] == labels[anchor] else ("triangle", "negative")
        if row == anchor:
            kind, color = ("disc", "anchor")
        drawing.mark(kind, x, y, 9, color)
        name_beside(drawing, row, x, y, below=(1, 2))
    drawing.text(sheet.at((-0.02, 0))[0], sheet.at((0, -0.12))[1], "anchor", 15, "anchor", align="end")
    for word, place, color in (
        ("hard", (-0.52, 0.28), "negative"), ("semi-hard", (-0.13, 1.02), "accent"), ("easy", (-0.9, 1.35), "soft"),
    ):
        x, y = sheet.at(place)
        drawing.text(x, y, word, 17, color, bold=True)
    for number, (word, color, dash) in enumerate((
        ("positive: A3", "positive", None), (f"as far as A3: {near:.2f}", "ink", None),
        (f"a margin farther: {near + margin:.2f}", "ink", "6 5"),
    )):
        drawing.line(500, 160 + 27 * number, 540, 160 + 27 * number, color, 2.4 if number == 0 else 1.8, dash)
        drawing.text(550, 165 + 27 * number, word, 15, align="start")
    return drawing


def loss_table() -> Drawing:
    "All distances of the batch, with what the miners pick for A1."
    drawing = Drawing(
        760, 416, "The table of all distances, with the picks of batch-hard for the anchor A1",
        "A table of nine rows and nine columns; the row of A1 is marked. Batch-hard rings A3, the largest of its "
        "person, and B1, the smallest of the others.",
    )
    wide = 72
    high = 35
    left = 62
    top = 44
    for row in range(9):
        x = left + wide * row + wide / 2
        y = top + high * row + high / 2
        person_mark(drawing, row, x - 16, top - 18, 6)
        drawing.text(x + 8, top - 13, names[row], 15, bold=True)
        person_mark(drawing, row, 18, y, 6)
        drawing.text(30, y + 5, names[row], 15, bold=True, align="start")
    drawing.rect(left, top, 9 * wide, 9 * high, fill="panel", radius=3)
    for person in range(3):
        corner = (left + 3 * wide * person, top + 3 * high * person)
        drawing.rect(*corner, 3 * wide, 3 * high, fill="positive", radius=3, opacity=0.16)
    drawing.rect(left, top, 9 * wide, high, fill=None, color="anchor", radius=3, stroke=2.5)
    for row in range(9):
        for column in range(9):
            x = left + wide * column + wide / 2
            y = top + high * row + high / 2 + 5
            if row == column:
                drawing.text(x, y, "0", 15, "soft")
                continue
            drawing.text(x, y, f"{float(distances[row, column]):.2f}", 15, "ink", bold=row == 0)
    (positive, negative), = picks_of(0)["batch-hard"]
    for column, color in ((positive, "positive"), (negative, "negative")):
        x = left + wide * column + (wide - 56) / 2
        drawing.rect(x, top + (high - 25) / 2, 56, 25, fill=None, color=color, radius=12.5, stroke=2.6)
    line = top + 9 * high + 34
    drawing.rect(left, line - 17, 52, 22, fill=None, color="positive", radius=11, stroke=2.6)
    drawing.rect(left + 60, line - 17, 52, 22, fill=None, color="negative", radius=11, stroke=2.6)
    words = f"batch-hard for A1: {names[positive]} with {names[negative]}"
    drawing.text(left + 124, line, words, 15, align="start")
    drawing.rect(left + 470, line - 17, 52, 22, fill="positive", radius=3, opacity=0.16)
    drawing.text(left + 532, line, "one person", 15, align="start")
    return drawing


def ruler(drawing: Drawing, y: float, anchor: int, left=40.0, scale=318.0, size: float | None = 9.0) -> None:
    "Lay the row of an anchor out on a ruler; without a size the negatives are left to the caller."
    drawing.line(left, y, left + 2.2 * scale, y, "soft", 1.5)
    for tenth in range(0, 23):
        tall = 9 if tenth % 5 == 0 else 4
        x = left + tenth / 10 * scale
        drawing.line(x, y, x, y + tall, "soft", 1.2)
        if tenth % 5 == 0:
            drawing.text(x, y + 25, f"{tenth / 10:g}", 13, "soft")
    for row in range(len(points)):
        x = left + float(distances[anchor, row]) * scale
        kind, color = ("square", "positive") if labels[row] == labels[anchor] else ("triangle", "negative")
        if row == anchor:
            kind, color = ("disc", "anchor")
        if kind == "triangle" and size is None:
            continue
        drawing.mark(kind, x, y - 12, size or 9.0, color)
        drawing.text(x, y - 28, names[row], 15, color, bold=True)


def loss_ruler() -> Drawing:
    "The row of A1 on a ruler, and what each miner takes from it."
    anchor = 0
    drawing = Drawing(
        760, 282, "The row of A1 on a ruler",
        "Distances from A1 in order: A2, B1, B2, A3, C2, B3, C3, C1. Batch-hard takes A3, the last of A, and B1, the "
        "first other. Semi-hard takes the first other to the right of each A: B1 for A2 and C2 for A3.",
    )
    left = 40.0
    scale = 318.0

    def x_of(row: int) -> float:
        return left + float(distances[anchor, row]) * scale

    y = 70.0
    ruler(drawing, y, anchor, left, scale)
    drawing.text(left + 2.2 * scale, y + 44, "distance from A1", 14, "soft", align="end")
    picks = picks_of(anchor)
    level = y + 44
    for name, dash in (("batch-hard", None), ("semi-hard", "7 5")):
        for positive, negative in picks[name]:
            gap = float(distances[anchor, positive] - distances[anchor, negative])
            loss = max(0.0, gap + margin)
            level += 40
            ends = sorted((x_of(positive), x_of(negative)))
            drawing.line(ends[0], level, ends[1], level, "ink", 1.8, dash)
            drawing.mark("square", x_of(positive), level, 7, "positive")
            drawing.mark("triangle", x_of(negative), level, 7, "negative")
            drawing.text(left, level + 5, name, 15, bold=True, align="start")
            words = f"{names[positive]}, {names[negative]}: loss {loss:.2f}"
            drawing.text(left + 2.2 * scale, level + 5, words, 15, align="end")
    return drawing


def loss_floor() -> Drawing:
    "Shrink the batch to one point: every loss ends at the margin."
    drawing = Drawing(
        760, 410, "The batch shrunk to one point, and the loss on the way",
        "Above, the nine points at full size, at half size and as one point. Below, the batch-hard loss falls in a "
        "straight line from 0.90 to 0.30, the semi-hard loss rises to 0.30; a dotted line marks the margin, 0.30.",
    )
    left = 96.0
    right = 560.0
    base = 366.0
    tall = 200.0

    def value(mining: str, size: float) -> float:
        return float(TripletLoss(margin, mining=mining, reduction="mean")(size * points, labels))

    def at(size: float, loss: float) -> tuple[float, float]:
        return left + (1 - size) * (right - left), base - loss * tall

    center = points.mean(dim=0)
    for size in (1.0, 0.5, 0.0):
        x = at(size, 0)[0]
        for row, point in enumerate(points):
            shift = (point - center) * size * 48
            person_mark(drawing, row, x + float(shift[0]), 72 - float(shift[1]), 4.5)
    drawing.line(left, base, right, base, "soft", 1.5)
    drawing.line(left, base, left, base - tall, "soft", 1.5)
    for tick in (0, 0.3, 0.6, 0.9):
        drawing.text(left - 10, at(1, tick)[1] + 5, f"{tick:.1f}", 14, "soft", align="end")
    drawing.text(left - 44, base - tall / 2, "loss", 15, "soft", align="end")
    for size, words in ((1.0, "full size"), (0.5, "half"), (0.0, "one point")):
        drawing.text(at(size, 0)[0], base + 22, words, 15, "soft")
    floor = at(0, margin)[1]
    drawing.line(left, floor, right + 10, floor, "ink", 2, "2 5")
    drawing.text(right + 18, floor + 5, "uninformed: 0.30", 15, align="start")
    for mining, name, color, dash, place in (
        ("batch_hard", "batch-hard", "negative", None, (0.78, 26)),
        ("semi_hard", "semi-hard", "anchor", "7 5", (0.8, 24)),
    ):
        line = [at(1 - step / 20, value(mining, 1 - step / 20)) for step in range(21)]
        drawing.path(line, color, 2.6, dash)
        for size in (1.0, 0.5, 0.0):
            drawing.circle(*at(size, value(mining, size)), 4.5, fill=color)
        x, y = at(place[0], value(mining, place[0]))
        shift = -14 if mining == "batch_hard" else place[1]
        drawing.text(x, y + shift, name, 15, color, align="start", bold=True)
    return drawing


def loss_weighted() -> Drawing:
    "How loudly each negative of A1 is heard, at three temperatures."
    anchor = 0
    drawing = Drawing(
        760, 352, "How loudly A1 hears each of its negatives",
        "Three rulers of distances from A1, for the temperatures 0.1, 0.3 and 1. At 0.1 the nearest negative, B1, is "
        "heard almost alone; at 1 all six are heard, the nearer the louder.",
    )
    left = 40.0
    scale = 318.0
    others = [row for row in range(len(points)) if labels[row] != labels[anchor]]
    far = distances[anchor, others]
    for number, temperature in enumerate((0.1, 0.3, 1.0)):
        base = 100 + 106 * number
        shares = torch.softmax(-far / temperature, dim=0)
        drawing.line(left, base, left + 2.2 * scale, base, "soft", 1.5)
        drawing.text(left + 2.2 * scale, base - 62, f"temperature {temperature:g}", 15, bold=True, align="end")
        drawing.mark("disc", left, base, 7, "anchor")
        drawing.text(left, base + 19, names[anchor], 14, "anchor", bold=True)
        for row, share in zip(others, shares, strict=True):
            x = left + float(distances[anchor, row]) * scale
            tall = 66 * float(share)
            drawing.rect(x - 9, base - tall, 18, tall, fill="negative", radius=1)
            shown = f"{100 * float(share):.0f} %"
            drawing.text(x, base - tall - 6, shown, 13, "negative", bold=float(share) > 0.2)
            drawing.text(x, base + 19, names[row], 14, "ink")
    return drawing


def loss_contrastive() -> Drawing:
    "What the contrastive loss asks, beside what the triplet loss asks."
    drawing = Drawing(
        760, 300, "Contrastive and triplet loss",
        "Left: the contrastive loss pulls the positive all the way onto the anchor and pushes the negative out of a "
        "fixed circle. Right: the triplet loss pulls and pushes only until the negative is a margin farther away than "
        "the positive.",
    )
    for left, title, words in (
        (20, "contrastive loss", "pull to zero, push to the margin"),
        (390, "triplet loss", "a margin farther than the positive"),
    ):
        drawing.rect(left, 12, 350, 276)
        drawing.text(left + 175, 40, title, 16, bold=True)
        drawing.text(left + 175, 276, words, 15, "soft")
        x = left + 140
        y = 160
        is_triplet = left > 100
        drawing.circle(x, y, 86, color="ink", width=1.8, dash="6 5")
        if is_triplet:
            drawing.circle(x, y, 50, color="ink", width=1.8)
        place = (x + 30, y + 40)
        drawing.mark("square", *place, 9, "positive")
        drawing.mark("disc", x, y, 9, "anchor")
        drawing.mark("triangle", x + 58, y - 30, 9, "negative")
        if is_triplet:
            drawing.arrow(x + 96, y, x + 89, y, "ink", 1.5, head=6)
            drawing.arrow(x + 40, y, x + 47, y, "ink", 1.5, head=6)
            drawing.line(x + 52, y, x + 84, y, "ink", 1.5)
            drawing.text(x + 102, y + 5, "margin", 15, align="start")
        else:
            drawing.arrow(place[0], place[1], x + 7, y + 10, "positive", 2.4, head=9)
            drawing.line(x, y, x - 86, y, "ink", 1.5)
            drawing.text(x - 46, y - 8, "margin", 15)
        drawing.arrow(x + 66, y - 35, x + 92, y - 48, "negative", 2.4, head=9)
        if is_triplet:
            drawing.arrow(place[0] - 7, place[1] - 9, place[0] - 14, place[1] - 19, "positive", 2.4, head=7)
    return drawing


def loss_miner() -> Drawing:
    "The still picture of the figure to play with, as it stands at the start: semi-hard, A1 the anchor."
    anchor = 0
    loss = TripletLoss(margin, mining="semi_hard")
    value = float(loss(points, labels))
    drawing = Drawing(
        760, 470, "The miner, at rest",
        "The nine points of the batch, the zones round the anchor A1, and the triplets that semi-hard mining picks for "
        f"it, with their losses. Beside it a bar with the loss of the whole batch, {value:.3f}, the mean of its "
        f"triplets with a loss, below the uninformed line at {margin:g}.",
    )
    sheet = Map(drawing, 14, 456, 186, low=(-0.95, -0.5), high=(1.95, 1.9))
    sheet.ground()
    near = float(distances[anchor, 2])
    sheet.disc(points[anchor], near + margin, "accent", 0.16)
    sheet.disc(points[anchor], near, "negative", 0.16)
    sheet.circle(points[anchor], near, "soft")
    sheet.circle(points[anchor], near + margin, "soft", "6 5")
    for positive, negative in picks_of(anchor)["semi-hard"]:
        drawing.line(*sheet.at(points[anchor]), *sheet.at(points[positive]), "positive", 2.4)
        drawing.line(*sheet.at(points[anchor]), *sheet.at(points[negative]), "negative", 2.4, "7 5")
    for row, point in enumerate(points):
        x, y = sheet.at(point)
        person_mark(drawing, row, x, y, 9)
        if row == anchor:  # its name stands clear of the ring around it
            drawing.text(x - 20, y - 12, names[row], 16, bold=True, align="end")
        else:
            name_beside(drawing, row, x, y)
    drawing.circle(*sheet.at(points[anchor]), 15, color="ink", width=2)
    drawing.text(574, 48, "miner: semi-hard", 15, align="start", bold=True)
    drawing.text(574, 72, "anchor: A1", 15, align="start")
    drawing.text(574, 96, f"margin: {margin:g}", 15, align="start")
    for number, (positive, negative) in enumerate(picks_of(anchor)["semi-hard"]):
        cost = max(0.0, float(distances[anchor, positive] - distances[anchor, negative]) + margin)
        words = f"{names[positive]}, {names[negative]}: loss {cost:.2f}"
        drawing.text(574, 126 + 22 * number, words, 15, align="start")
    base = 398.0
    tall = 170.0 / 0.4
    drawing.line(600, base, 730, base, "soft", 1.5)
    drawing.rect(624, base - value * tall, 50, value * tall, fill="anchor", radius=2)
    drawing.text(649, base - value * tall - 10, f"loss {value:.3f}", 15, bold=True)
    drawing.line(590, base - margin * tall, 740, base - margin * tall, "ink", 2, "2 5")
    drawing.text(665, base - margin * tall - 10, f"uninformed {margin:.3f}", 15)
    drawing.text(665, base + 24, "whole batch: mean of", 15, "soft")
    drawing.text(665, base + 44, "triplets with a loss", 15, "soft")
    return drawing


def drawings() -> Iterator[tuple[str, Drawing]]:
    "Yield the drawings of 03_loss."
    yield "loss_triplet", loss_triplet()
    yield "loss_batch", loss_batch()
    yield "loss_zones", loss_zones()
    yield "loss_table", loss_table()
    yield "loss_ruler", loss_ruler()
    yield "loss_floor", loss_floor()
    yield "loss_weighted", loss_weighted()
    yield "loss_contrastive", loss_contrastive()
    yield "loss_miner", loss_miner()
