"Drawings of 01_dataset: an image becomes a tensor, a triplet, a P x K batch."
from collections.abc import Iterator

from canvas import Drawing

# A person of 6 x 4 pixels: sky, skin, coat, trousers, street; red, green and blue from 0 to 255.
colors = {
    "s": (153, 204, 255),
    "k": (255, 204, 153),
    "c": (204, 51, 0),
    "t": (51, 51, 102),
    "g": (153, 153, 153),
}
pixels = ["skks", "sccs", "sccs", "sccs", "stts", "gttg"]
cell = 34.0


def grid(drawing: Drawing, left: float, top: float, channel: int | None = None) -> None:
    "Draw the pixels, or the grey values of one channel."
    for row, line in enumerate(pixels):
        for column, letter in enumerate(line):
            color = colors[letter]
            if channel is not None:
                color = (color[channel],) * 3
            drawing.add(
                "rect", x=left + column * cell, y=top + row * cell, width=cell, height=cell,
                fill="#" + "".join(f"{value:02X}" for value in color),
            )
    drawing.rect(left, top, 4 * cell, 6 * cell, fill=None, color="line", radius=0)
    drawing.rect(left + cell, top + 2 * cell, cell, cell, fill=None, color="ground", radius=0, stroke=5)
    drawing.rect(left + cell, top + 2 * cell, cell, cell, fill=None, color="ink", radius=0, stroke=2)


def tensor() -> Drawing:
    "One picture of bytes becomes three planes of floats."
    coat = colors["c"]
    drawing = Drawing(
        760, 320, "From a picture to a tensor",
        "On the left a picture of 6 by 4 pixels with one pixel marked: its bytes are 204, 51, 0. On the right three "
        "planes, red, green and blue, in which the same pixel is 0.8, 0.2 and 0.0.",
    )
    drawing.text(88, 30, "(6, 4, 3) bytes", 16, bold=True)
    grid(drawing, 20, 50)
    drawing.text(88, 280, str(list(coat)), 16, mono=True)
    drawing.text(88, 304, "red, green, blue", 14, "soft")
    drawing.arrow(172, 152, 254, 152, width=2.5, head=12)
    drawing.text(212, 140, "/ 255", 15, "soft", mono=True)
    drawing.text(212, 178, "axes moved", 13, "soft")
    drawing.text(509, 30, "(3, 6, 4) floats", 16, bold=True)
    for channel, name in enumerate(("red", "green", "blue")):
        left = 270 + channel * 164.0
        grid(drawing, left, 50, channel)
        drawing.text(left + 2 * cell, 280, f"{coat[channel] / 255:.1f}", 16, mono=True)
        drawing.text(left + 2 * cell, 304, name, 14, "soft")
    return drawing


def faint(drawing: Drawing, x: float, y: float) -> None:
    "An image that has no role."
    drawing.circle(x, y, 9, color="line", width=2)


def triplet() -> Drawing:
    "People by images: an anchor, a positive of its row, a negative of another."
    drawing = Drawing(
        640, 240, "A triplet",
        "Rows are three people, columns their images. The anchor, a disc, and the positive, a square, are in ann's "
        "row; the negative, a triangle, is in cid's.",
    )
    roles = {(0, 1): ("disc", "anchor"), (0, 3): ("square", "positive"), (2, 2): ("triangle", "negative")}
    for row, (name, count) in enumerate((("ann", 5), ("bob", 3), ("cid", 4))):
        y = 46 + row * 70
        drawing.rect(80, y - 25, 290, 50)
        drawing.text(68, y + 6, name, 16, align="end")
        for column in range(count):
            x = 112 + column * 56
            if (row, column) in roles:
                kind, color = roles[row, column]
                drawing.mark(kind, x, y, 13, color)
            else:
                faint(drawing, x, y)
    for row, (kind, color, words) in enumerate([
        ("disc", "anchor", "anchor: any image"),
        ("square", "positive", "positive: same row"),
        ("triangle", "negative", "negative: another row"),
    ]):
        y = 46 + row * 70
        drawing.mark(kind, 406, y, 12, color)
        drawing.text(428, y + 6, words, 16, align="start")
    return drawing


def batch() -> Drawing:
    "Of all people P are dealt, and K images of each; every image of the batch can be an anchor."
    counts = [5, 3, 6, 4, 2, 5]
    dealt = {0: (1, 3, 4), 2: (0, 2, 5), 5: (1, 2, 4)}
    marks = [("disc", "first"), ("square", "second"), ("triangle", "third")]
    p, k = len(dealt), len(dealt[0])
    triplets = p * k * (k - 1) * (p - 1) * k
    drawing = Drawing(
        760, 330, "A batch of P people with K images each",
        f"On the left six people with two to six images each; three people and three images of each are dealt. On the "
        f"right these nine as a grid of {p} by {k}. One is ringed as anchor: its row holds {k - 1} positives, the "
        f"other rows {(p - 1) * k} negatives. The batch holds {triplets} triplets.",
    )
    drawing.text(160, 28, "all images", 16, bold=True)
    for row, count in enumerate(counts):
        y = 60 + row * 40
        drawing.rect(20, y - 17, 290, 34, fill="panel")
        for column in range(count):
            x = 46 + column * 48
            if column in dealt.get(row, ()):
                kind, color = marks[list(dealt).index(row)]
                drawing.mark(kind, x, y, 10, color)
            else:
                faint(drawing, x, y)
    drawing.text(160, 308, "six people, rows of different lengths", 14, "soft")
    drawing.arrow(322, 160, 392, 160, width=2.5, head=12)
    drawing.text(560, 28, f"one batch: P = {p}, K = {k}", 16, bold=True)
    for row, (kind, color) in enumerate(marks):
        y = 80 + row * 60
        drawing.rect(410, y - 26, 190, 52, fill="panel")
        for column in range(k):
            drawing.mark(kind, 445 + column * 60, y, 13, color)
        words = f"{k - 1} positives" if not row else f"{k} negatives"
        drawing.text(614, y + 6, words, 16, "positive" if not row else "negative", "start")
    drawing.circle(445, 80, 21, color="ink", width=2.5)
    drawing.text(560, 262, f"for the ringed anchor {k - 1} x {(p - 1) * k} = {(k - 1) * (p - 1) * k} triplets,", 15)
    drawing.text(560, 284, f"for all {p * k} images {triplets}", 15)
    return drawing


def drawings() -> Iterator[tuple[str, Drawing]]:
    "Yield the drawings of 01_dataset."
    yield "dataset_tensor", tensor()
    yield "dataset_triplet", triplet()
    yield "dataset_batch", batch()
