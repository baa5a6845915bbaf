"The drawings of the applications: cameras of a street, folds of people, a run of an exam, and a ladder of recipes."
from collections.abc import Iterator

from canvas import Drawing


def applications_cameras() -> Drawing:
    "Three cameras, the pictures in them, and the list that one query gets."
    drawing = Drawing(
        760, 384, "One query in three cameras",
        "Above: camera 1 took the query, a second picture of the same person and a stranger; cameras 2 and 3 took the "
        "person once each, and strangers. Below: the gallery by distance, with the picture of camera 1 passed over.",
    )
    pictures = {
        1: [("disc", "anchor", "query"), ("ring", "soft", "same person"), ("triangle", "negative", "stranger")],
        2: [("square", "positive", "right"), ("triangle", "negative", "stranger")],
        3: [("square", "positive", "right"), ("triangle", "negative", "stranger"), ("cross", "soft", "junk: -1")],
    }

    def picture(kind: str, color: str, x: float, y: float) -> None:
        drawing.rect(x - 17, y - 30, 34, 60, fill="ground", color="line", radius=3)
        if kind == "ring":
            drawing.rect(x - 8, y - 8, 16, 16, fill=None, color=color, radius=0, dash="3 3", stroke=2)
        elif kind == "cross":
            drawing.line(x - 8, y - 8, x + 8, y + 8, color, 2.2)
            drawing.line(x - 8, y + 8, x + 8, y - 8, color, 2.2)
        else:
            drawing.mark(kind, x, y, 9, color)

    for camera, shown in pictures.items():
        left = 14 + (camera - 1) * 248
        drawing.rect(left, 14, 236, 150)
        drawing.text(left + 12, 38, f"camera {camera}", 15, bold=True, align="start")
        for number, (kind, color, words) in enumerate(shown):
            x = left + 40 + number * 78
            picture(kind, color, x, 88)
            drawing.text(x, 142, words, 12)
    drawing.text(14, 202, "the gallery by distance from the query", 15, bold=True, align="start")
    ranked = [
        ("ring", "soft", "camera 1", "passed over"),
        ("triangle", "negative", "camera 3", "rank 1"),
        ("square", "positive", "camera 2", "rank 2"),
        ("triangle", "negative", "camera 1", "rank 3"),
        ("square", "positive", "camera 3", "rank 4"),
        ("triangle", "negative", "camera 2", "rank 5"),
    ]
    picture("disc", "anchor", 46, 252)
    drawing.text(46, 306, "query", 13)
    drawing.arrow(78, 252, 116, 252)
    for number, (kind, color, where, rank) in enumerate(ranked):
        x = 160 + number * 108
        picture(kind, color, x, 252)
        drawing.text(x, 306, where, 13)
        drawing.text(x, 326, rank, 13, "soft" if kind == "ring" else color, bold=kind != "ring")
    drawing.text(14, 364, "Rank-1 misses this query, Rank-5 finds it. Junk is in no list.", 14, "soft", align="start")
    return drawing


def applications_folds() -> Drawing:
    "Five networks, each trained on four folds of people and asked about the fifth."
    drawing = Drawing(
        760, 300, "Five folds of people",
        "Five rows, one for each network, and five columns of eight people. Each network learns from four columns and "
        "is asked about the one on the diagonal.",
    )
    left = 118.0
    for fold in range(5):
        x = left + fold * 104
        drawing.text(x + 48, 30, f"s{8 * fold + 1} to s{8 * fold + 8}", 13)
    for network in range(5):
        y = 42 + network * 42
        drawing.text(left - 12, y + 22, f"network {network + 1}", 13, align="end")
        for fold in range(5):
            x = left + fold * 104
            is_asked = fold == network
            drawing.rect(x, y, 96, 34, fill="anchor" if is_asked else "panel")
            if is_asked:
                drawing.text(x + 48, y + 22, "asked", 13, "ground", bold=True)
                continue
            for one in range(8):
                drawing.circle(x + 13 + one * 10, y + 17, 3.2, fill="soft")
        drawing.arrow(left + 522, y + 17, left + 544, y + 17, head=7)
    drawing.text(left + 554, 132, "pairs", 13, align="start")
    drawing.text(left + 554, 150, "inside", 13, align="start")
    drawing.text(left + 554, 168, "the fold", 13, align="start")
    drawing.circle(left + 5, 274, 3.2, fill="soft")
    drawing.text(left + 16, 279, "a person to learn from", 13, align="start")
    drawing.text(left + 516, 279, "everybody is asked about once", 13, "soft", align="end")
    return drawing


# Letters of our own, as lines on a sheet of 1 x 1.
letters = [
    [[(0.2, 0.15), (0.2, 0.85), (0.75, 0.85)], [(0.2, 0.5), (0.65, 0.4)]],
    [[(0.15, 0.8), (0.5, 0.15), (0.85, 0.8)], [(0.5, 0.15), (0.5, 0.85)]],
    [[(0.2, 0.2), (0.8, 0.2), (0.25, 0.8), (0.85, 0.8)]],
    [[(0.15, 0.25), (0.8, 0.25)], [(0.45, 0.25), (0.4, 0.6), (0.6, 0.85), (0.85, 0.6)]],
    [[(0.2, 0.8), (0.2, 0.2), (0.75, 0.35), (0.25, 0.55), (0.8, 0.85)]],
    [[(0.5, 0.1), (0.5, 0.9)], [(0.15, 0.35), (0.5, 0.55), (0.85, 0.35)]],
]


def applications_exam() -> Drawing:
    "One run of the exam: letters in one hand, and the same ones in another."
    drawing = Drawing(
        760, 292, "One run of the exam",
        "Above: six letters of one alphabet, each drawn once by one hand. Below: the same letters by another hand, in "
        "another order. An arrow leads from one of them to its nearest letter above.",
    )
    order = [3, 0, 5, 2, 4, 1]

    def letter(which: int, x: float, y: float, second: bool) -> None:
        drawing.rect(x, y, 66, 66, fill="panel", radius=4)
        for stroke in letters[which]:
            points = []
            for right, down in stroke:
                if second:
                    right, down = 0.13 + 0.78 * right + 0.2 * (0.5 - down), 0.1 + 0.8 * down + 0.1 * right
                points.append((x + 8 + 50 * right, y + 8 + 50 * down))
            drawing.path(points, "second" if second else "first", 3.2 if second else 2.4)

    for column in range(6):
        letter(column, 150 + column * 92, 26, False)
        letter(order[column], 150 + column * 92, 190, True)
    drawing.text(130, 56, "shown once,", 14, align="end")
    drawing.text(130, 75, "by one hand", 14, align="end")
    drawing.text(130, 220, "asked about,", 14, align="end")
    drawing.text(130, 239, "by another", 14, align="end")
    column = 2
    above = order[column]
    drawing.arrow(150 + column * 92 + 33, 186, 150 + above * 92 + 33, 98, "positive", 2.4, head=10)
    drawing.text(450, 136, "nearest?", 14, "positive")
    for y in (59, 223):
        for dot in range(3):
            drawing.circle(708 + dot * 12, y, 2.5, fill="soft")
    drawing.text(150, 280, "A run has twenty letters of one alphabet, the exam twenty runs.", 14, "soft", align="start")
    return drawing


rungs = [
    ("frozen backbone", None),
    ("textbook", None),
    ("images normalised", 0),
    ("embeddings normalised", 1),
    ("P x K, batch-hard", 2),
    ("semi-hard", 2),
    ("rate 3e-3, warm-up", 3),
    ("last stride 1", 1),
    ("BatchNorm head", 1),
    ("identity loss", 2),
    ("mirror images", 0),
    ("every negative, weighted", 2),
    ("flip averaging", 4),
]
ingredients = ("images", "network", "loss", "rate", "use")


def applications_ladder() -> Drawing:
    "The rungs of the recipe, and which ingredient each of them changes."
    step = 26.0
    drawing = Drawing(
        760, 96 + step * len(rungs), "The ladder of the recipe",
        "Thirteen rungs from above to below. A box marks the one ingredient that a rung changes: images, network, "
        "loss, rate or use; a line below it says that the next rungs keep the change.",
    )
    left = 226.0
    each = 102.0
    for column, name in enumerate(ingredients):
        drawing.text(left + column * each + each / 2, 28, name, 14, bold=True)
    bottom = 44 + step * len(rungs)
    for number, (name, changed) in enumerate(rungs):
        y = 44 + step * number + step / 2
        drawing.text(left - 14, y + 5, name, 13.5, align="end")
        drawing.line(left, y + step / 2, left + 5 * each, y + step / 2, "panel", 1)
        if changed is not None:
            x = left + changed * each + each / 2
            drawing.line(x, y, x, bottom, "line", 2)
    for number, (_, changed) in enumerate(rungs):
        y = 44 + step * number + step / 2
        if changed is not None:
            x = left + changed * each + each / 2
            drawing.rect(x - 34, y - 8, 68, 16, fill="anchor", radius=4)
    y = 44 + step / 2
    drawing.text(left + 2.5 * each, y + 5, "nothing is trained", 13, "soft")
    drawing.text(left + 2.5 * each, y + step + 5, "where the method usually begins", 13, "soft")
    note = "A box: what this rung changes. The line below: later rungs keep it."
    drawing.text(left, bottom + 34, note, 13.5, "soft", align="start")
    return drawing


def drawings() -> Iterator[tuple[str, Drawing]]:
    "Yield the drawings of the applications."
    yield "applications_cameras", applications_cameras()
    yield "applications_folds", applications_folds()
    yield "applications_exam", applications_exam()
    yield "applications_ladder", applications_ladder()
