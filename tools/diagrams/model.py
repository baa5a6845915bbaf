"The drawings of 02_model: one network and a ruler, the size of images, pooling, the head, and the sphere."
import math
from collections.abc import Iterator

import torch
from canvas import Drawing

from siamese_nbdev.model import AveragePool, BandPool, GeMPool, GridPool

# One channel of a feature map, the one that the page pools by hand.
one_map = torch.tensor([[0.0, 2.0], [2.0, 0.0], [0.0, 4.0], [6.0, 2.0]], dtype=torch.float64)


def person(drawing: Drawing, x: float, y: float, color: str, size=1.0, has_bag=False) -> None:
    "Draw somebody who stands with the feet at (x, y)."
    def at(dx: float, dy: float) -> tuple[float, float]:
        return x + dx * size, y + dy * size

    drawing.circle(*at(0, -76), 9 * size, fill="soft")
    drawing.line(*at(-6, -34), *at(-9, -4), "ink", 7 * size)
    drawing.line(*at(6, -34), *at(9, -4), "ink", 7 * size)
    drawing.line(*at(-13, -58), *at(-18, -34), color, 6 * size)
    drawing.line(*at(13, -58), *at(18, -34), color, 6 * size)
    left, upper = at(-13, -64)
    drawing.rect(left, upper, 26 * size, 34 * size, fill=color, radius=7 * size)
    if has_bag:
        left, upper = at(12, -34)
        drawing.rect(left, upper, 13 * size, 13 * size, fill="second", radius=2)


def ruler(drawing: Drawing, first: tuple[float, float], second: tuple[float, float], color="ink") -> None:
    "Draw a line with ticks between two points."
    length = math.dist(first, second)
    along = ((second[0] - first[0]) / length, (second[1] - first[1]) / length)
    across = (-along[1], along[0])
    drawing.line(*first, *second, color, 2)
    ticks = 10
    for tick in range(ticks + 1):
        x = first[0] + along[0] * length * tick / ticks
        y = first[1] + along[1] * length * tick / ticks
        reach = 6 if tick % 5 == 0 else 3.5
        drawing.line(x, y, x + across[0] * reach, y + across[1] * reach, color, 1.3)


def on_circle(center: tuple[float, float], radius: float, degrees: float) -> tuple[float, float]:
    "Return a point of a circle; angles grow against the clock, from the right."
    angle = math.radians(degrees)
    return center[0] + radius * math.cos(angle), center[1] - radius * math.sin(angle)


def model_siamese() -> Drawing:
    "Two images, one network, two points, a ruler."
    drawing = Drawing(
        760, 300, "One network, two images, a ruler",
        "Two pictures of people pass through one and the same network. Each becomes a point on a circle; a ruler "
        "between the two points reads their distance.",
    )
    for top, color, has_bag in ((34, "anchor", True), (166, "negative", False)):
        drawing.rect(24, top, 74, 110, fill="panel", color="line")
        person(drawing, 58, top + 102, color, 1.12, has_bag)
    drawing.text(61, 22, "two images", 14, "soft")
    drawing.rect(182, 34, 222, 242, fill="panel", color="ink", radius=10)
    drawing.text(293, 22, "one network", 14, "soft")
    drawing.text(293, 146, "the same weights", 15, bold=True)
    drawing.text(293, 168, "for both", 15, bold=True)
    center = (585, 158)
    radius = 112.0
    first = on_circle(center, radius, 67.5)
    second = on_circle(center, radius, 22.5)
    for y, color in ((89, "anchor"), (221, "negative")):
        drawing.arrow(104, y, 178, y, color, 2.2)
        drawing.line(186, y, 400, y, color, 1.6, dash="2 6")
    drawing.circle(*center, radius, color="line", width=2)
    drawing.arrow(408, 89, first[0] - 11, first[1] + 4, "anchor", 2.2)
    drawing.arrow(408, 221, second[0] - 10, second[1] + 7, "negative", 2.2)
    ruler(drawing, first, second)
    drawing.mark("disc", *first, 9, "anchor")
    drawing.mark("triangle", *second, 9, "negative")
    distance = 2 * math.sin(math.radians(45) / 2)
    drawing.text(center[0] + 8, 22, "two points", 14, "soft")
    drawing.text(716, 58, f"{distance:.2f}", 19, bold=True)
    drawing.text(716, 77, "apart", 14, "soft")
    return drawing


def scene(drawing: Drawing, x: float, y: float, across: float, down: float, *, has_people=True) -> None:
    "Draw a wheel between two people, 120 x 100 before it is scaled, or 50 x 100 of it without the people."
    width = 120 if has_people else 50
    drawing.rect(x, y, width * across, 100 * down, fill="panel", color="ink", radius=2)
    middle = (x + width / 2 * across, y + 50 * down)
    radius = 21
    drawing.add(
        "ellipse", cx=middle[0], cy=middle[1], rx=radius * across, ry=radius * down, classes="s s-anchor",
        stroke_width=4,
    )
    for turn in range(4):
        angle = math.pi * turn / 4
        dx = radius * across * math.cos(angle)
        dy = radius * down * math.sin(angle)
        drawing.line(middle[0] - dx, middle[1] - dy, middle[0] + dx, middle[1] + dy, "anchor", 1.5)
    if has_people:
        for offset, color in ((19, "second"), (101, "third")):
            thin_person(drawing, x + offset * across, y + 93 * down, color, 0.85 * across, 0.85 * down)


def model_resize() -> Drawing:
    "What the size of the input keeps and what it distorts."
    drawing = Drawing(
        760, 290, "Three pictures on their way to 128 x 64 pixels",
        "An upright picture keeps its shapes. A wide one is squeezed, and a wheel becomes a narrow ellipse. Cut out "
        "first, the wheel stays whole and round, and the people beside it are lost.",
    )
    top = 52.0
    high = 160.0
    thin = high / 2
    columns = (
        (10.0, "upright: kept", "every shape stays"),
        (255.0, "wide: squeezed", "an ellipse, thin people"),
        (510.0, "wide: cut out first", "a wheel, but no people"),
    )
    for left, title, says in columns:
        drawing.text(left + 118, 28, title, 16, bold=True)
        drawing.text(left + 118, 262, says, 14, "soft")
    # The upright picture has the proportions of the input.
    left = columns[0][0]
    drawing.rect(left + 20, top, thin, high, fill="panel", color="ink", radius=2)
    person(drawing, left + 20 + thin / 2, top + 150, "anchor", 1.65)
    drawing.arrow(left + 108, top + high / 2, left + 134, top + high / 2)
    drawing.rect(left + 142, top, thin, high, fill="panel", color="ink", radius=2)
    person(drawing, left + 142 + thin / 2, top + 150, "anchor", 1.65)
    # The wide one is 120 x 100 on the page; both ends are as high as the upright picture.
    left = columns[1][0]
    scene(drawing, left, top + 30, 1, 1)
    drawing.arrow(left + 126, top + high / 2, left + 148, top + high / 2)
    scene(drawing, left + 155, top, thin / 120, high / 100)
    left = columns[2][0]
    scene(drawing, left, top + 30, 1, 1)
    drawing.rect(left + 35, top + 31, 50, 98, fill=None, color="negative", radius=0, stroke=2.5, dash="5 4")
    drawing.arrow(left + 126, top + high / 2, left + 148, top + high / 2)
    scene(drawing, left + 155, top, thin / 50, high / 100, has_people=False)
    return drawing


def thin_person(drawing: Drawing, x: float, y: float, color: str, across: float, down: float) -> None:
    "Draw somebody whose width and height are scaled apart."
    drawing.add("ellipse", cx=x, cy=y - 76 * down, rx=9 * across, ry=9 * down, classes="f-soft")
    drawing.line(x - 6 * across, y - 34 * down, x - 9 * across, y - 4 * down, "ink", 7 * across)
    drawing.line(x + 6 * across, y - 34 * down, x + 9 * across, y - 4 * down, "ink", 7 * across)
    drawing.rect(x - 13 * across, y - 64 * down, 26 * across, 34 * down, fill=color, radius=3)


def steps(low: float, high: float) -> list[float]:
    "Return angles from one to another."
    return [low + (high - low) * step / 40 for step in range(41)]


def small_map(drawing: Drawing, x: float, y: float, cell: float, *, is_bare=False) -> None:
    "Draw the feature map, the darker the larger a number."
    for row, values in enumerate(one_map.tolist()):
        for column, value in enumerate(values):
            left = x + column * cell
            upper = y + row * cell
            drawing.rect(left, upper, cell, cell, fill="ground", color="line", radius=0)
            drawing.rect(left, upper, cell, cell, fill="anchor", radius=0, opacity=0.5 * value / 6)
            if not is_bare:
                drawing.text(left + cell / 2, upper + cell / 2 + 6, f"{value:g}", 17, bold=True)


def model_pooling() -> Drawing:
    "One feature map, pooled in four ways."
    drawing = Drawing(
        760, 346, "Four ways to pool a feature map",
        "One map of 4 x 2 numbers: average, generalised mean, two horizontal bands, and the grid that keeps all.",
    )
    maps = one_map[None, None]
    average = AveragePool()(maps).item()
    gem = GeMPool(3)(maps).item()
    means_and_deviations = [f"{value:.2f}" for value in BandPool((2,))(maps)[0].tolist()]
    grid = [f"{value:g}" for value in GridPool()(maps)[0].tolist()]
    columns = (
        ("average", [f"{average:.2f}"], "the mean", "place is forgotten"),
        ("GeM", [f"{gem:.2f}"], "large ones count more", "place is forgotten"),
        ("bands", [*means_and_deviations], "mean, deviation", "left, right forgotten"),
        ("grid", grid, "all places", "nothing is forgotten"),
    )
    cell = 42.0
    top = 46.0
    for number, (name, values, says, forgets) in enumerate(columns):
        middle = 97 + number * 189.0
        left = middle - cell
        drawing.text(middle, 28, "bands (here two)" if name == "bands" else name, 17, bold=True)
        small_map(drawing, left, top, cell)
        if name == "bands":
            for upper in (top, top + 2 * cell):
                drawing.rect(left - 4, upper + 2, 2 * cell + 8, 2 * cell - 4, fill=None, color="accent", stroke=3)
        elif name == "grid":
            for row in range(4):
                for column in range(2):
                    drawing.rect(
                        left + column * cell + 3, top + row * cell + 3, cell - 6, cell - 6, fill=None, color="accent",
                        stroke=2, radius=3,
                    )
        else:
            drawing.rect(left - 4, top - 2, 2 * cell + 8, 4 * cell + 4, fill=None, color="accent", stroke=3)
        drawing.arrow(middle, top + 4 * cell + 8, middle, top + 4 * cell + 30)
        y = top + 4 * cell + 55
        if name == "bands":
            upper_mean, lower_mean, upper_deviation, lower_deviation = values
            drawing.text(middle, y - 5, f"{upper_mean}  {upper_deviation}", 17, "accent", bold=True)
            drawing.text(middle, y + 17, f"{lower_mean}  {lower_deviation}", 17, "accent", bold=True)
        elif name == "grid":
            drawing.text(middle, y + 6, " ".join(values), 17, "accent", bold=True)
        else:
            drawing.text(middle, y + 6, values[0], 20, "accent", bold=True)
        drawing.text(middle, y + 42, says, 14)
        drawing.text(middle, y + 62, forgets, 14, "soft")
    return drawing


def bars(drawing: Drawing, x: float, y: float, heights: list[int], color: str) -> None:
    "Draw a vector as bars around a middle line."
    for number, height in enumerate(heights):
        upper = y - height if height > 0 else y
        drawing.rect(x + 9 * number, upper, 6, abs(height), fill=color, radius=1)


def model_heads() -> Drawing:
    "With a head, and without."
    drawing = Drawing(
        560, 296, "With a head, and with head=None",
        "Above, the pooled vector passes a head with weights to train, becomes another vector and lands on the "
        "sphere. Below there is no head: the pooled vector goes straight to the sphere.",
    )
    pooled = [30, 4, 18, 44, 2, 9, 25, 3]
    shaped = [12, -16, 6, 20, -20, -9, 15, -7]
    drawing.text(66, 30, "pooled vector", 17, "soft")
    drawing.text(233, 30, "head", 17, "soft")
    drawing.text(490, 30, "on the sphere", 17, "soft")
    for y, has_head in ((96, True), (226, False)):
        bars(drawing, 30, y + 24, pooled, "anchor")
        drawing.line(26, y + 25, 104, y + 25, "line")
        drawing.text(66, y + 50, "1,280 numbers", 16, "soft")
        if has_head:
            drawing.arrow(112, y, 134, y)
            drawing.rect(140, y - 46, 186, 92, fill="panel", color="accent", stroke=2.5)
            drawing.text(233, y - 18, "BatchNorm,", 18, bold=True)
            drawing.text(233, y + 5, "a matrix or both", 18, bold=True)
            drawing.text(233, y + 31, "weights to train", 17, "accent")
            drawing.arrow(332, y, 354, y)
            bars(drawing, 362, y, shaped, "accent")
            drawing.arrow(438, y, 450, y)
        else:
            drawing.arrow(112, y, 450, y)
            drawing.rect(140, y - 42, 186, 84, fill=None, color="line", dash="5 5")
            drawing.text(233, y - 13, "head=None", 18, bold=True)
            drawing.text(233, y + 27, "nothing to train", 17, "soft")
        drawing.circle(494, y, 40, color="line", width=2)
        tip = on_circle((494, y), 40, 62 if has_head else 24)
        drawing.mark("disc", *tip, 7, "accent" if has_head else "anchor")
        drawing.line(494, y, *tip, "soft", 1.5)
    return drawing


def model_sphere() -> Drawing:
    "What dividing by the length does, and why a distance then depends on the angle alone."
    drawing = Drawing(
        760, 340, "What normalisation does",
        "Left: arrows of many lengths are cut or stretched until their tips lie on a circle. Right: two arrows of "
        "length 1 with an angle between them; the straight line between their tips is their distance.",
    )
    center = (180, 180)
    radius = 92.0
    drawing.text(190, 26, "only directions are left", 16, bold=True)
    drawing.circle(*center, radius, color="line", width=2)
    arrows = ((14, 1.55), (52, 0.48), (97, 1.4), (141, 0.62), (196, 1.62), (243, 0.4), (287, 1.28), (331, 0.68))
    for degrees, length in arrows:
        tip = on_circle(center, radius * length, degrees)
        edge = on_circle(center, radius, degrees)
        inner = min(length, 1) * radius - (9 if length < 1 else 0)
        drawing.line(*center, *on_circle(center, inner, degrees), "anchor", 1.5)
        drawing.line(*edge, *tip, "soft", 1.5, dash="3 3")
        drawing.circle(*tip, 4.5, fill="ground", color="soft", width=2)
        drawing.mark("disc", *edge, 6.5, "anchor")
    drawing.circle(64, 318, 4.5, fill="ground", color="soft", width=2)
    drawing.text(76, 323, "before", 14, "soft", align="start")
    drawing.mark("disc", 168, 318, 6.5, "anchor")
    drawing.text(180, 323, "after: length 1", 14, "anchor", align="start")
    center = (410, 240)
    radius = 170.0
    drawing.text(430, 26, "the distance is an angle", 16, bold=True, align="start")
    drawing.path([on_circle(center, radius, degrees) for degrees in steps(-8, 98)], "line", 2)
    first = on_circle(center, radius, 10)
    second = on_circle(center, radius, 70)
    for tip, color, kind in ((first, "anchor", "disc"), (second, "positive", "square")):
        drawing.line(*center, *tip, color, 2.5)
        drawing.mark(kind, *tip, 8, color)
    drawing.line(*first, *second, "ink", 2.5)
    drawing.path([on_circle(center, 46, degrees) for degrees in steps(10, 70)], "soft", 2)
    middle = on_circle(center, 66, 40)
    drawing.text(middle[0], middle[1] + 6, "60°", 15, "soft")
    chord = on_circle(center, 126, 40)
    drawing.text(chord[0] + 2, chord[1] + 10, f"{2 * math.sin(math.radians(30)):.2f}", 17, bold=True)
    drawing.text(666, 76, "angle", 14, "soft", align="end")
    drawing.text(744, 76, "distance", 14, "soft", align="end")
    for row, degrees in enumerate((0, 60, 90, 180)):
        y = 104 + 26 * row
        distance = 2 * math.sin(math.radians(degrees) / 2)
        drawing.text(666, y, f"{degrees}°", 15, align="end", bold=degrees == 60)
        drawing.text(744, y, f"{distance:.2f}", 15, align="end", bold=degrees == 60)
    drawing.text(420, 300, "distance = 2 sin (angle / 2)", 15, align="start")
    drawing.text(420, 323, "never more than 2", 14, "soft", align="start")
    return drawing


def drawings() -> Iterator[tuple[str, Drawing]]:
    "Yield the drawings of the page."
    for draw in (model_siamese, model_resize, model_pooling, model_heads, model_sphere):
        yield draw.__name__, draw()
