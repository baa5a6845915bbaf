"The strip on top of every page: the way of an image through the library, with a mark on where the reader is."
from collections.abc import Iterator

from canvas import Drawing

# Each stage: its page, and what it hands on, as short as it can be said.
rows = [
    [
        ("00_data", "who is on which image"),
        ("01_dataset", "triplets and batches"),
        ("02_model", "image to point"),
        ("03_loss", "which points attract"),
        ("04_training", "the loop"),
    ],
    [
        ("05_embeddings", "all images as points"),
        ("06_retrieval", "the nearest images"),
        ("07_evaluation", "how good, how sure"),
        ("08_verification", "same or not"),
        ("09_few_shot", "named from one look"),
        ("10_explain", "why these two"),
    ],
    [
        ("11_pipeline", "a folder, one run"),
        ("12_report", "one page to pass on"),
        ("13_serve", "for others to ask"),
        ("14_cli", "all of it from a shell"),
    ],
]
width = 760.0
left = 8.0
step = 46.0


def strip(page: str) -> Drawing:
    "Draw the strip with one page marked; an unknown page marks nothing."
    described = f"You are at {page}." if page else "The walk from image files to a finished run."
    drawing = Drawing(width, 3 * step + 16, "The way of an image through the pages", described)
    for row, stages in enumerate(rows):
        y = 10 + row * step
        each = (width - left - 8) / len(stages)
        for column, (name, says) in enumerate(stages):
            x = left + column * each
            is_here = name == page
            fill = "anchor" if is_here else "panel"
            drawing.rect(x, y, each - 10, 38, fill=fill)
            ink = "ground" if is_here else "ink"
            drawing.text(x + (each - 10) / 2, y + 17, name, 12, ink, bold=True)
            drawing.text(x + (each - 10) / 2, y + 31, says, 9.5, "ground" if is_here else "soft")
            if column:
                drawing.arrow(x - 9, y + 19, x - 1, y + 19, head=5)
    return drawing


def drawings() -> Iterator[tuple[str, Drawing]]:
    "Yield a strip for each page of the walk."
    for stages in rows:
        for name, _ in stages:
            yield f"strip_{name}", strip(name)
    yield "strip", strip("")
