"The drawings of 10_explain: how a similarity falls apart into pairs of places, and what that cannot say."
from collections.abc import Iterator

import numpy as np
from canvas import Drawing

# The pencil example of the page: two images of two places with two features each.
maps = {"A": np.array([[6, 0], [0, 8]]), "B": np.array([[6, 8], [2, -2]])}


def parts_of(places: np.ndarray) -> np.ndarray:
    "Return each place's part of the normalised mean."
    return places / len(places) / np.linalg.norm(places.mean(axis=0))


def vector(values: np.ndarray) -> str:
    "Write a vector of two numbers."
    return "(" + ", ".join(f"{value:g}".replace("-", "−") for value in np.round(values, 2)) + ")"


def signed(value: float, digits: int = 2) -> str:
    "Write a number with a real minus sign."
    return f"{value:.{digits}f}".replace("-", "−")


def explain_map() -> Drawing:
    "Two feature maps, and the product of each pair of places."
    first, second = (parts_of(maps[name]) for name in "AB")
    shares = first @ second.T
    drawing = Drawing(
        760, 372, "A similarity, pair of places by pair of places",
        "Two images of two places each, every place with a vector. Four lines join the pairs; they carry 0.36, 0.12, "
        "0.64 and minus 0.16, which add up to the similarity 0.96. At the outer sides, what each place adds in total.",
    )
    ys = (108, 222)
    for x, name, parts, sums in (
        (150, "A", first, shares.sum(axis=1)), (490, "B", second, shares.sum(axis=0)),
    ):
        drawing.text(x + 60, 34, f"image {name}", 17, bold=True)
        for number, (y, part) in enumerate(zip(ys, parts, strict=True)):
            drawing.rect(x, y - 50, 120, 100, color="soft", radius=2)
            drawing.text(x + 60, y - 14, f"place {number + 1}", 15, "soft")
            drawing.text(x + 60, y + 16, vector(part), 16, mono=True)
            color = "positive" if sums[number] > 0 else "negative"
            side = x - 14 if name == "A" else x + 134
            align = "end" if name == "A" else "start"
            drawing.text(side, y - 8, "adds", 15, "soft", align)
            drawing.text(side, y + 16, signed(sums[number]), 18, color, align, bold=True)
    for i, j in ((0, 1), (1, 0), (0, 0), (1, 1)):
        share = shares[i, j]
        color = "positive" if share > 0 else "negative"
        drawing.line(270, ys[i], 490, ys[j], color, 1.5 + 9 * abs(share), dash=None if share > 0 else "9 6")
    for i, j in ((0, 0), (0, 1), (1, 0), (1, 1)):
        share = shares[i, j]
        along = 0.5 if i == j else 0.27
        x = 270 + 220 * along
        y = ys[i] + (ys[j] - ys[i]) * along
        drawing.rect(x - 30, y - 14, 60, 28, fill="ground", color="positive" if share > 0 else "negative", radius=14)
        drawing.text(x, y + 6, signed(share), 15, bold=True)
    drawing.line(24, 292, 736, 292)
    drawing.text(24, 324, "0.36 + 0.12 + 0.64 − 0.16 =", 18, align="start", mono=True)
    drawing.text(336, 324, signed(shares.sum()), 20, align="start", bold=True)
    drawing.text(402, 324, "the similarity of A and B", 17, align="start")
    words = "place vectors: divided by the number of places, and by the length of the mean"
    drawing.text(24, 354, words, 15, "soft", "start")
    return drawing


def cosine(first: np.ndarray, second: np.ndarray) -> float:
    "Return the cosine of the means of two images."
    means = first.mean(axis=0), second.mean(axis=0)
    return float(means[0] @ means[1] / np.linalg.norm(means[0]) / np.linalg.norm(means[1]))


def silenced(places: np.ndarray, number: int) -> np.ndarray:
    "Return a copy in which one place is zero."
    changed = places.copy()
    changed[number] = 0
    return changed


def explain_limits() -> Drawing:
    "Three things that a map cannot say."
    drawing = Drawing(
        760, 330, "What the map cannot say",
        "Left: a marked square says where, not what was seen there. Middle: a place sees a far larger region than its "
        "square. Right: two places with equal shares cost different amounts when they are removed.",
    )
    for x, title in ((24, "where, not what"), (276, "beyond its square"), (528, "no forecast")):
        drawing.rect(x, 16, 208, 298)
        drawing.text(x + 104, 44, title, 16, bold=True)
    for x in (88, 340):
        for row in range(6):
            for column in range(3):
                is_place = row == 3 and column == 1
                drawing.rect(
                    x + column * 27, 62 + row * 27, 25, 25, fill="positive" if is_place else "ground", radius=1,
                    opacity=0.9 if is_place else None,
                )
    drawing.text(128, 254, "the skirt? its colour?", 15)
    drawing.text(128, 276, "a shadow?", 15)
    drawing.text(128, 298, "the map is silent", 15, "soft")
    drawing.rect(326, 84, 108, 128, fill=None, color="accent", stroke=2.5, dash="6 4")
    drawing.text(380, 254, "what changes there", 15)
    drawing.text(380, 276, "reaches this place:", 15)
    drawing.text(380, 298, "its receptive field", 15, "accent")
    first, second = maps["A"], maps["B"]
    shares = (parts_of(first) @ parts_of(second).T).sum(axis=1)
    whole = cosine(first, second)
    for number, share in enumerate(shares):
        y = 80 + number * 92
        fall = whole - cosine(silenced(first, number), second)
        drawing.text(544, y, f"A, place {number + 1}", 15, "soft", "start")
        for shift, (name, value, color) in enumerate((("share", share, "positive"), ("fall", fall, "negative"))):
            top = y + 12 + shift * 28
            drawing.text(544, top + 15, name, 15, align="start")
            drawing.rect(590, top, value * 170, 20, fill=color, radius=2)
            drawing.text(596 + value * 170, top + 15, signed(value), 14, align="start")
    drawing.text(632, 276, "equal shares,", 15)
    drawing.text(632, 298, "unequal falls", 15)
    return drawing


def drawings() -> Iterator[tuple[str, Drawing]]:
    "Yield all drawings of this page."
    for draw in (explain_map, explain_limits):
        yield draw.__name__, draw()
