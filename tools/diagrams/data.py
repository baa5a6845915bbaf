"Drawings of 00_data: the manifest, the split that leaks, queries and gallery, and three ways in."
from collections.abc import Iterator

import numpy as np
from canvas import Drawing


def person(drawing: Drawing, x: float, y: float, color: str, side: int = 0) -> None:
    "A small picture of somebody: a frame, a head, a body; `side` moves the figure within the frame."
    drawing.rect(x, y, 40, 56, fill="panel", color="line", radius=3)
    drawing.circle(x + 20 + side, y + 16, 7, fill=color)
    drawing.rect(x + 12 + side, y + 26, 16, 24, fill=color, radius=4)


def manifest() -> Drawing:
    "Four image files become four rows of a table."
    drawing = Drawing(
        700, 300, "From files to a manifest",
        "Four pictures, three of which show the same person from two cameras. On the right a table with "
        "one row per picture: path, label and camera.",
    )
    rows = [("1.jpg", "ann", "c1", "first", -4), ("2.jpg", "ann", "c2", "first", 5), ("3.jpg", "ann", "c2", "first", 0)]
    rows.append(("4.jpg", "bob", "c1", "second", 3))
    drawing.text(110, 28, "image files", 16, bold=True)
    drawing.text(500, 28, "manifest: one row per image", 16, bold=True)
    drawing.rect(330, 42, 340, 240, fill=None, color="line", radius=4)
    for x, name in ((390, "path"), (500, "label"), (610, "camera")):
        drawing.text(x, 62, name, 15, "soft", bold=True, mono=True)
    drawing.line(330, 70, 670, 70)
    for number, (name, label, camera, color, side) in enumerate(rows):
        x = 50 + number % 2 * 70
        y = 52 + number // 2 * 116
        person(drawing, x, y, color, side)
        drawing.text(x + 20, y + 76, name, 14, mono=True)
        line = 100 + number * 51
        for column, (place, value) in enumerate(((390, name), (500, label), (610, camera))):
            drawing.text(place, line + 5, value, 16, color if column == 1 else "ink", bold=column == 1, mono=True)
    drawing.arrow(210, 160, 315, 160, width=2.5, head=12)
    drawing.text(262, 148, "who is it?", 14, "soft")
    return drawing


people = ["ann", "bob", "cid", "dora", "eve", "finn"]
images_each = 6


def panel(drawing: Drawing, left: float, title: str, is_valid: np.ndarray) -> None:
    "People by images, each for training or validation; who is on both sides is marked, and counted."
    drawing.text(left + 165, 30, title, 17, bold=True)
    for row, name in enumerate(people):
        y = 52 + row * 40
        drawing.text(left + 48, y + 21, name, 15, align="end")
        for column in range(images_each):
            x = left + 58 + column * 36
            drawing.rect(x, y, 30, 30, fill="panel", radius=4)
            if is_valid[row, column]:
                drawing.mark("diamond", x + 15, y + 15, 9, "accent")
            else:
                drawing.mark("disc", x + 15, y + 15, 8, "anchor")
        is_mixed = is_valid[row].any() and not is_valid[row].all()
        if is_mixed:
            drawing.text(left + 280, y + 21, "on both", 14, "negative", "start", bold=True)
    judged = is_valid.any(axis=1)
    leaking = judged & ~is_valid.all(axis=1)
    words = f"{leaking.sum()} of {judged.sum()} validation people"
    color = "negative" if leaking.any() else "positive"
    drawing.text(left + 165, 318, words, 16, color, bold=True)
    drawing.text(left + 165, 339, "are also trained on", 16, color, bold=True)


def leak() -> Drawing:
    "The same images split twice: each image on its own, and each person as a whole."
    by_row = np.random.RandomState(3).rand(len(people), images_each) < 0.25
    by_identity = np.zeros_like(by_row)
    by_identity[[1, 4]] = True
    drawing = Drawing(
        760, 392, "A split by row and a split by identity",
        "Two grids of six people by six images. Split by row, blue discs (training) and orange diamonds (validation) "
        "mix within people. Split by identity, each person's row is of one kind.",
    )
    panel(drawing, 6, "split by row", by_row)
    panel(drawing, 388, "split by identity", by_identity)
    drawing.line(374, 20, 374, 345, dash="4 5")
    drawing.mark("disc", 236, 372, 8, "anchor")
    drawing.text(252, 377, "to train on", 15, align="start")
    drawing.mark("diamond", 416, 372, 9, "accent")
    drawing.text(432, 377, "to validate on", 15, align="start")
    return drawing


def query() -> Drawing:
    "One query: what answers it, what does not count, what is wrong, and which images are queries themselves."
    drawing = Drawing(
        720, 310, "A query and its gallery",
        "Rows are people, columns are three cameras with two images each. The first image of each person and camera is "
        "a query, the second is in the gallery. For ann's query from camera 1, her gallery images from cameras 2 and 3 "
        "are right, the one from camera 1 does not count, the six of others are wrong.",
    )
    for camera in range(3):
        x = 70 + camera * 130
        drawing.rect(x, 44, 118, 180, fill="panel")
        drawing.text(x + 59, 34, f"camera {camera + 1}", 15, bold=True)
    for row, name in enumerate(("ann", "bob", "cid")):
        y = 74 + row * 60
        drawing.text(58, y + 6, name, 16, align="end")
        for number in range(6):
            camera, place = divmod(number, 2)
            x = 70 + camera * 130 + 33 + place * 52
            if number == 0 and row == 0:
                drawing.mark("disc", x, y, 11, "anchor")
                drawing.circle(x, y, 17, color="anchor", width=2)
            elif place == 0:
                other_query(drawing, x, y)
            elif row:
                drawing.mark("triangle", x, y, 10, "negative")
            elif camera == 0:
                not_counted(drawing, x, y)
            else:
                drawing.mark("square", x, y, 10, "positive")
    drawing.mark("disc", 494, 66, 11, "anchor")
    drawing.circle(494, 66, 17, color="anchor", width=2)
    drawing.mark("square", 494, 104, 10, "positive")
    drawing.mark("triangle", 494, 142, 10, "negative")
    not_counted(drawing, 494, 178)
    other_query(drawing, 494, 214)
    entries = ((66, "the query"), (104, "right"), (142, "wrong"), (178, "does not count"), (214, "another query"))
    for y, words in entries:
        drawing.text(518, y + 6, words, 15, align="start")
    drawing.text(360, 262, "Nine images are queries. The other nine are the gallery.", 15, "soft")
    drawing.text(360, 284, "ann again in camera 1, in the same light, is too easy to count.", 15, "soft")
    return drawing


def not_counted(drawing: Drawing, x: float, y: float) -> None:
    "An image of the gallery that is neither right nor wrong."
    drawing.mark("square", x, y, 10, "line")
    drawing.line(x - 14, y + 14, x + 14, y - 14, "ink", 2)


def other_query(drawing: Drawing, x: float, y: float) -> None:
    "An image that is a query itself, so it is not in the gallery."
    drawing.circle(x, y, 10, color="soft", width=1.8, dash="3 3")


def ways() -> Drawing:
    "Folder, file name and CSV file: three places where it is written who is on an image."
    drawing = Drawing(
        760, 230, "Three ways in",
        "A folder called ann with two files; a file name that begins with ann and a camera; a CSV file with the "
        "columns file and who. In each the word ann is marked: it becomes the label.",
    )
    panels = [
        ("folders", [[("photos/", 0)], [("  ann", 1), ("/", 0)], [("    1.jpg", 0)], [("    2.jpg", 0)]]),
        ("file names", [[("photos/", 0)], [("  ann", 1), ("_c1_1.jpg", 0)], [("  ann", 1), ("_c2_2.jpg", 0)]]),
        ("a CSV file", [[("file,who", 0)], [("1.jpg,", 0), ("ann", 1)], [("2.jpg,", 0), ("ann", 1)]]),
    ]
    letter = 9.7
    for number, (title, lines) in enumerate(panels):
        x = 12 + number * 250
        drawing.text(x + 118, 30, title, 16, bold=True)
        drawing.rect(x, 44, 236, 126)
        for row, parts in enumerate(lines):
            place = x + 20.0
            for words, is_label in parts:
                shown = words.lstrip()
                place += (len(words) - len(shown)) * letter
                color = "accent" if is_label else "ink"
                drawing.text(place, 72 + row * 26, shown, 16, color, "start", bold=bool(is_label), mono=True)
                place += len(shown) * letter
    drawing.text(380, 206, "the marked word becomes the label", 16, "accent", bold=True)
    return drawing


def drawings() -> Iterator[tuple[str, Drawing]]:
    "Yield the drawings of 00_data."
    yield "data_manifest", manifest()
    yield "data_leak", leak()
    yield "data_query", query()
    yield "data_ways", ways()
