"Drawings of 05_embeddings: how an image becomes a row, and what happens when rows and names part."
from collections.abc import Iterator
from math import sqrt

from canvas import Drawing

people = {"ann": ("disc", "first"), "bob": ("square", "second"), "eve": ("triangle", "third")}


def portrait(drawing: Drawing, x: float, y: float, name: str) -> None:
    "Draw an image: a frame with somebody in it, told apart by colour and by the mark on the chest."
    kind, color = people[name]
    drawing.rect(x, y, 44, 66, fill="panel", color="line", radius=3)
    drawing.circle(x + 22, y + 17, 8, fill=color)
    drawing.rect(x + 10, y + 28, 24, 32, fill=color, radius=8)
    drawing.mark(kind, x + 22, y + 44, 5, "ground")


def written(value: float) -> str:
    "Write a number with two digits and a true minus sign."
    return f"{value:.2f}".replace("-", "\u2212")


def table(drawing: Drawing, x: float, y: float, cells: list[list[str]], widths: list[float], step: float) -> None:
    "Draw a table of text, one box around all of it."
    drawing.rect(x, y, sum(widths), step * len(cells), fill="panel", color="line", radius=4)
    for row, texts in enumerate(cells):
        left = x
        for text, width in zip(texts, widths, strict=True):
            drawing.text(left + width / 2, y + step * (row + 0.5) + 5, text, 14, mono=True)
            left += width
        if row:
            drawing.line(x, y + step * row, x + sum(widths), y + step * row, width=1)


def rows() -> Drawing:
    "Three images go through one network and become three rows beside their manifest."
    drawing = Drawing(
        760, 300, "One image, one row",
        "Three images go through one network. Each becomes one row of a table of vectors, which lies beside the "
        "manifest with one row per image: path, label and camera.",
    )
    names = ["ann", "ann", "bob"]
    raw = [(2, 1, -2), (2, 2, -1), (-1, 2, 2)]
    step = 78
    drawing.text(42, 30, "images", 15, "soft")
    drawing.text(181, 30, "one network", 15, "soft")
    drawing.text(391, 30, "vectors", 15, "soft")
    drawing.text(641, 30, "manifest", 15, "soft")
    drawing.polygon([(122, 46), (240, 96), (240, 228), (122, 278)], "panel")
    drawing.path([(122, 46), (240, 96), (240, 228), (122, 278), (122, 46)], "anchor", 2)
    drawing.text(176, 158, "same", 14)
    drawing.text(176, 176, "weights", 14)
    for row, name in enumerate(names):
        y = 48 + step * row
        portrait(drawing, 20, y, name)
        drawing.arrow(70, y + 33, 116, y + 33)
        drawing.arrow(246, 45 + step * (row + 0.5) + 4 * (1 - row), 284, 45 + step * (row + 0.5))
    lengths = [sqrt(sum(value * value for value in one)) for one in raw]
    vectors = [[written(v / length) for v in one] for one, length in zip(raw, lengths, strict=True)]
    table(drawing, 290, 45, vectors, [68, 68, 68], step)
    manifest = [["1.jpg", "ann", "c1"], ["2.jpg", "ann", "c2"], ["3.jpg", "bob", "c1"]]
    table(drawing, 530, 45, manifest, [88, 72, 60], step)
    for row in range(3):
        y = 45 + step * (row + 0.5)
        drawing.line(500, y, 524, y, "ink", 2.5)
    return drawing


def slip() -> Drawing:
    "Vectors and names in one order, and after only the names were sorted."
    drawing = Drawing(
        760, 266, "When rows and names part",
        "Left, four vectors lie beside their names and cameras, all of them right. Right, the names were sorted by "
        "camera and the vectors were not: three of four vectors have a wrong name.",
    )
    order = [("ann", "c3"), ("bob", "c2"), ("eve", "c1"), ("ann", "c1")]
    vectors = [name for name, _ in order]
    panels = [("as embedded", order), ("names sorted by camera", sorted(order, key=lambda pair: pair[1]))]
    for panel, (title, named) in enumerate(panels):
        x = 20 + 385 * panel
        drawing.text(x + 168, 28, title, 16, bold=True)
        drawing.text(x + 62, 54, "vectors", 14, "soft")
        drawing.text(x + 214, 54, "names", 14, "soft")
        for row, (whose, (name, camera)) in enumerate(zip(vectors, named, strict=True)):
            y = 66 + 47 * row
            is_right = whose == name
            kind, color = people[whose]
            drawing.rect(x, y, 124, 38, fill="panel", radius=4)
            for place in range(4):
                drawing.mark(kind, x + 20 + 28 * place, y + 19, 7, color)
            drawing.line(x + 128, y + 19, x + 144, y + 19, "ink" if is_right else "negative", 2.5)
            drawing.rect(x + 148, y, 132, 38, fill="panel", color=None if is_right else "negative", radius=4)
            kind, color = people[name]
            drawing.mark(kind, x + 168, y + 19, 7, color)
            drawing.text(x + 184, y + 24, name, 15, align="start")
            drawing.text(x + 262, y + 24, camera, 15, "soft")
            sign = "\u2713" if is_right else "\u2717"
            drawing.text(x + 302, y + 26, sign, 20, "positive" if is_right else "negative", bold=True)
    return drawing


def drawings() -> Iterator[tuple[str, Drawing]]:
    "Yield the drawings of the page."
    yield "embeddings_rows", rows()
    yield "embeddings_slip", slip()
