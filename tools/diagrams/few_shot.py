"The drawings of 09_few_shot: an episode as a table, and the plane of its prototypes."
from collections.abc import Iterator

import numpy as np
import pandas as pd
from canvas import Drawing

from siamese_nbdev.embeddings import EmbeddingSet
from siamese_nbdev.few_shot import classify_episode

# The plane of the page: two known points of each class, and two to be named.
support = [(0, 1), (2, -1), (4, 0), (4, 6), (-2, 4), (0, 6)]
classes = ["a", "a", "b", "b", "c", "c"]
asked = [(3, 0), (3, 2)]
dresses = {"a": ("disc", "first"), "b": ("square", "second"), "c": ("triangle", "third")}


def on_plane(points: list[tuple[int, int]], labels: list[str] | None = None) -> EmbeddingSet:
    "Make an embedding set of points."
    frame = pd.DataFrame(dict(path=[f"{number}.png" for number in range(len(points))]))
    if labels is not None:
        frame = frame.assign(label=labels)
    return EmbeddingSet(np.asarray(points, np.float32), frame)


def nearer_part(corners: list[tuple[float, float]], mean: np.ndarray, other: np.ndarray) -> list[tuple[float, float]]:
    "Cut away the part of a polygon that is nearer to the other mean."
    normal = other - mean
    gaps = [float((np.asarray(corner) - (mean + other) / 2) @ normal) for corner in corners]
    kept = []
    for i, corner in enumerate(corners):
        before = corners[i - 1]
        if gaps[i] * gaps[i - 1] < 0:
            share = gaps[i - 1] / (gaps[i - 1] - gaps[i])
            kept.append((before[0] + share * (corner[0] - before[0]), before[1] + share * (corner[1] - before[1])))
        if gaps[i] <= 0:
            kept.append(corner)
    return kept


def few_shot_plane() -> Drawing:
    "Support points, their means, the borders between them, and two queries."
    answers = classify_episode(on_plane(support, classes), on_plane(asked))
    means = {}
    for name in dresses:
        means[name] = np.mean([point for point, label in zip(support, classes, strict=True) if label == name], axis=0)
    low, high = (-3.5, -1.5), (5.5, 7)
    scale = 44.0
    drawing = Drawing(
        760, 420, "The plane of the prototypes",
        "Two known points of each of three classes, and the mean of each pair. Borders run halfway between the means "
        "and part the plane into three fields. The first query lies in the field of a, though a point of b is nearest "
        "to it; the second lies in the field of b.",
    )

    def at(point) -> tuple[float, float]:
        return 24 + (float(point[0]) - low[0]) * scale, 24 + (high[1] - float(point[1])) * scale

    sheet = [(low[0], low[1]), (high[0], low[1]), (high[0], high[1]), (low[0], high[1])]
    for name, mean in means.items():
        field = sheet
        for other in means.values():
            field = nearer_part(field, mean, other)
        corners = [at(corner) for corner in field]
        drawing.polygon(corners, dresses[name][1], opacity=0.2)
        drawing.path([*corners, corners[0]], "line", 1.5)
    for point, label in zip(support, classes, strict=True):
        kind, color = dresses[label]
        drawing.line(*at(point), *at(means[label]), color, 1.6, dash="4 3")
        drawing.mark(kind, *at(point), 8, color)
    for name, mean in means.items():
        kind, color = dresses[name]
        x, y = at(mean)
        drawing.circle(x, y, 17, fill="ground", color=color, width=3)
        drawing.mark(kind, x, y, 8, color)
        drawing.text(x - 24, y - 14, name, 18, color, "end", bold=True)
    for number, point in enumerate(asked, 1):
        x, y = at(point)
        drawing.mark("diamond", x, y, 10, "ink")
        drawing.text(x + 14, y + 22, str(number), 16, bold=True)
    left = 452
    rows = [
        ("small marks", "known images, the support"),
        ("ringed marks", "their means, the prototypes"),
        ("fields", "nearest to one prototype"),
    ]
    for number, (name, words) in enumerate(rows):
        y = 48 + number * 52
        drawing.text(left, y, name, 16, bold=True, align="start")
        drawing.text(left, y + 21, words, 15, "soft", align="start")
    drawing.line(left, 190, 736, 190)
    for number, answer in enumerate(answers.itertuples(), 1):
        y = 226 + (number - 1) * 88
        drawing.mark("diamond", left + 10, y - 6, 10, "ink")
        drawing.text(left + 30, y, f"query {number} is named {answer.predicted}", 17, bold=True, align="start")
        drawing.text(left + 30, y + 24, f"{answer.distance:.2f} from {answer.predicted}", 15, align="start")
        drawing.text(left + 30, y + 45, f"{answer.second_distance:.2f} from {answer.runner_up}", 15, "soft", "start")
    return drawing


def few_shot_episode() -> Drawing:
    "One 3-way 2-shot episode as a table."
    drawing = Drawing(
        760, 312, "A 3-way 2-shot episode",
        "A table with one row per class. Two support images of each class carry their names and come from one camera; "
        "two queries of each, from other cameras, come without a name.",
    )
    drawing.text(292, 34, "support: 2 shots", 17, bold=True)
    drawing.text(292, 56, "names are given, camera 1", 15, "soft")
    drawing.text(584, 34, "queries", 17, bold=True)
    drawing.text(584, 56, "name them, camera 2", 15, "soft")
    for row, (name, (kind, color)) in enumerate(dresses.items()):
        y = 76 + row * 70
        drawing.text(30, y + 38, f"class {name}", 17, color, "start", bold=True)
        for number in range(2):
            x = 228 + number * 76
            drawing.rect(x, y, 54, 58, color=color, stroke=2)
            drawing.mark(kind, x + 27, y + 25, 11, color)
            drawing.text(x + 27, y + 52, name, 14, color, bold=True)
            x = 520 + number * 76
            drawing.rect(x, y, 54, 58, color="soft", stroke=2, dash="5 4")
            drawing.mark(kind, x + 27, y + 25, 11, "soft")
            drawing.text(x + 27, y + 52, "?", 15, "ink", bold=True)
        if row < 2:
            drawing.line(24, y + 64, 736, y + 64, "line", 1)
    drawing.arrow(400, 175, 494, 175, "ink", 2.2, head=10)
    drawing.text(24, 302, "3 ways: three classes to choose from", 15, "soft", "start")
    return drawing


def drawings() -> Iterator[tuple[str, Drawing]]:
    "Yield all drawings of this page."
    for draw in (few_shot_episode, few_shot_plane):
        yield draw.__name__, draw()
