"The drawings of many_devices: triplets apart and gathered, and what the mean of gradients does."
from collections.abc import Iterator

import torch
from canvas import Drawing

from siamese_nbdev.loss import count_triplets

# Two devices with four images each: two people on the first, two others on the second.
labels = torch.arange(4).repeat_interleave(2)
dresses = (("disc", "first"), ("square", "second"), ("triangle", "third"), ("diamond", "ink"))
cell = 25.0


def person(drawing: Drawing, image: int, x: float, y: float) -> None:
    "Draw an image as its person's shape."
    kind, color = dresses[int(labels[image])]
    drawing.mark(kind, x, y, 7, color)


def table(drawing: Drawing, left: float, top: float, gathered: bool) -> None:
    "Draw who is compared with whom: a row for each anchor, a column for each other image."
    for image in range(8):
        person(drawing, image, left - 16, top + (image + 0.5) * cell)
        person(drawing, image, left + (image + 0.5) * cell, top - 16)
    for row in range(8):
        for column in range(8):
            x = left + column * cell
            y = top + row * cell
            is_seen = gathered or row // 4 == column // 4
            drawing.rect(x + 1, y + 1, cell - 2, cell - 2, fill="panel" if is_seen else "ground", radius=3)
            if not is_seen or row == column:
                continue
            is_positive = int(labels[row]) == int(labels[column])
            kind, color = ("square", "positive") if is_positive else ("triangle", "negative")
            drawing.mark(kind, x + cell / 2, y + cell / 2, 5.5, color)
    for device in (0, 1):
        y = top + device * 4 * cell
        drawing.line(left - 34, y + 4, left - 34, y + 4 * cell - 4, "soft", 2)
        drawing.text(left - 42, y + 2 * cell + 5, f"device {device}", 13, "soft", align="end")
        drawing.rect(left, y, 8 * cell, 4 * cell, fill=None, color="line", radius=3)


def many_devices_triplets() -> Drawing:
    "Two devices with four images each, apart and gathered."
    drawing = Drawing(
        760, 322, "Triplets of two devices, apart and gathered",
        "Two tables of eight images. Apart, each device compares only its own four images; gathered, every anchor "
        "meets all eight, and has six negatives instead of two.",
    )
    apart = sum(count_triplets(part) for part in labels.chunk(2))
    joint = count_triplets(labels)
    for left, title, count, gathered in ((140, "apart", apart, False), (520, "gathered", joint, True)):
        drawing.text(left, 30, f"{title}: {count} triplets", 16, bold=True, align="start")
        table(drawing, left, 70, gathered)
    drawing.mark("square", 136, 302, 6, "positive")
    drawing.text(148, 307, "positive of this row", 14, align="start")
    drawing.mark("triangle", 332, 302, 6.5, "negative")
    drawing.text(344, 307, "negative", 14, align="start")
    drawing.rect(446, 292, 20, 20, fill="ground", color="line", radius=3)
    drawing.text(474, 307, "never compared", 14, align="start")
    return drawing


def many_devices_mean() -> Drawing:
    "The parts of a gradient, their mean, and the mean of twice the parts."
    first = (90.0, 31.0)
    second = (28.0, 92.0)
    mean = ((first[0] + second[0]) / 2, (first[1] + second[1]) / 2)
    drawing = Drawing(
        760, 232, "What the mean of gradients does",
        "Left: each device holds a part of the joint gradient. Middle: the mean of the two is half of their sum. "
        "Right: with the loss doubled before, the mean is the sum.",
    )

    def pane(left: float, title: str, below: str, scale: int) -> tuple[float, float]:
        drawing.rect(left, 42, 226, 146, fill="panel")
        drawing.text(left + 113, 28, title, 15, bold=True)
        drawing.text(left + 113, 214, below, 14, "soft")
        corner = (left + 50, 176)
        for (right, up), color in ((first, "first"), (second, "second")):
            dash = "4 4" if scale else None
            drawing.arrow(*corner, corner[0] + right, corner[1] - up, color, 2.2, dash=dash)
        return corner

    x, y = pane(20, "two parts", "one on each device", 0)
    drawing.text(x + first[0] + 10, y - first[1] + 2, "device 0", 13, "first", align="start")
    drawing.text(x + second[0] + 6, y - second[1] - 8, "device 1", 13, "second", align="start")
    x, y = pane(267, "their mean", "half of the joint gradient", 1)
    drawing.arrow(x, y, x + mean[0], y - mean[1], "ink", 3)
    x, y = pane(514, "each loss doubled", "the joint gradient", 2)
    drawing.arrow(x, y, x + 2 * mean[0], y - 2 * mean[1], "ink", 3)
    return drawing


def drawings() -> Iterator[tuple[str, Drawing]]:
    "Yield the drawings of this page."
    yield "many_devices_triplets", many_devices_triplets()
    yield "many_devices_mean", many_devices_mean()
