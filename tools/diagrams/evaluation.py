"The drawings of 07_evaluation: a ranking and what it is worth, people drawn again, pairs of networks, hubs, votes."
import itertools
import math
from collections.abc import Iterator

import numpy as np
import pandas as pd
from canvas import Drawing

from siamese_nbdev.embeddings import EmbeddingSet
from siamese_nbdev.evaluation import evaluate_queries, find_label_errors, hubs

roles = {True: ("square", "positive"), False: ("triangle", "negative")}


def on_plane(points, labels: list[str], **columns: list) -> EmbeddingSet:
    "Make an embedding set of points, one or two numbers each."
    paths = [f"{number}.png" for number in range(len(labels))]
    vectors = np.asarray(points, np.float32).reshape(len(labels), -1)
    return EmbeddingSet(vectors, pd.DataFrame(dict(path=paths, label=labels) | columns))


def middle_share(draws: list[float]) -> tuple[float, float]:
    "Return the ends of the middle 95 per cent of all draws."
    low, high = np.quantile(np.array(draws), [0.025, 0.975])
    return float(low), float(high)


def evaluation_ranking() -> Drawing:
    "One ranking of six images with Rank-1, average precision and the inverse negative penalty."
    six = [True, False, True, False, False, True]
    answers = on_plane(range(1, 7), ["ann" if right else "bob" for right in six])
    answers.manifest["path"] = [f"answer {number}.png" for number in range(6)]
    answers = EmbeddingSet(answers.vectors, answers.manifest)
    scores = evaluate_queries(on_plane([0], ["ann"]), answers, ks=(1,)).iloc[0]
    drawing = Drawing(
        760, 360, "One ranking and three figures",
        "A query and six images ranked by distance. Ranks 1, 3 and 6 are right. Below them the precision at each right "
        "image, 1/1, 2/3 and 3/6, and from these Rank-1, average precision and the inverse negative penalty.",
    )
    drawing.text(70, 34, "query", 16, "anchor", bold=True)
    drawing.rect(34, 48, 72, 84, fill="panel", color="anchor", stroke=2.5)
    drawing.mark("disc", 70, 90, 15, "anchor")
    drawing.text(436, 34, "nearest first", 15, "soft")
    drawing.arrow(492, 29, 606, 29)
    found = 0
    for rank, right in enumerate(six, 1):
        x = 192 + (rank - 1) * 98
        kind, color = roles[right]
        drawing.rect(x - 36, 48, 72, 84, fill="panel", color=color, stroke=2.5)
        drawing.mark(kind, x, 90, 15, color)
        drawing.text(x, 158, f"rank {rank}", 15, "soft")
        if right:
            found += 1
            drawing.text(x, 190, f"{found}/{rank}", 20, "positive", bold=True)
    drawing.text(70, 184, "right ones", 14, "positive")
    drawing.text(70, 202, "so far / rank", 14, "positive")
    rows = [
        ("Rank-1", "is the first one right?", "yes", scores["rank_1"]),
        ("average precision", "mean of the green", "(1/1 + 2/3 + 3/6) / 3", scores["mean_average_precision"]),
        ("inverse negative penalty", "how far to the last one?", "3/6", scores["mean_inverse_negative_penalty"]),
    ]
    for number, (name, question, sum_, value) in enumerate(rows):
        y = 252 + number * 42
        drawing.line(24, y - 27, 736, y - 27)
        drawing.text(24, y, name, 16, bold=True, align="start")
        drawing.text(264, y, question, 15, "soft", align="start")
        drawing.text(652, y, sum_, 15, align="end", mono=True)
        drawing.text(736, y, f"{value:.3f}", 18, bold=True, align="end")
    return drawing


def evaluation_counted() -> Drawing:
    "What is left out of a ranking before anything is counted."
    rows = [("ann", "c1"), ("ann", "c1"), ("bob", "c1"), (None, "c2"), ("ann", "c2")]
    gallery = on_plane(range(5), [label for label, _ in rows], camera=[camera for _, camera in rows])
    scores = evaluate_queries(gallery.select([0]), gallery, ks=(1,)).iloc[0]
    drawing = Drawing(
        760, 258, "What counts in a ranking",
        "Five images, nearest first. The query itself and a picture of the same person from the same camera are "
        "crossed out. What is left is a wrong image at rank 1, a picture of nobody known at rank 2, a right one at "
        "rank 3.",
    )
    names = ["the query itself", "Ann, camera 1", "Bob, camera 1", "nobody known", "Ann, camera 2"]
    drawing.text(24, 32, "The query: Ann, seen by camera 1", 16, "anchor", align="start", bold=True)
    rank = 0
    for number, name in enumerate(names):
        x = 90 + number * 145
        is_out = number < 2
        right = number == 4
        kind, color = ("disc", "anchor") if number == 0 else roles[right or number == 1]
        drawing.rect(x - 40, 50, 80, 92, fill="panel", color="line" if is_out else color, stroke=2.5,
                     dash="5 4" if is_out else None)
        drawing.mark(kind, x, 96, 15, "line" if is_out else color)
        drawing.text(x, 168, name, 15, "soft" if is_out else "ink")
        if is_out:
            drawing.line(x - 32, 58, x + 32, 134, "ink", 3)
            drawing.line(x + 32, 58, x - 32, 134, "ink", 3)
            drawing.text(x, 196, "left out", 15, "soft")
        else:
            rank += 1
            drawing.text(x, 196, f"rank {rank}", 16, color, bold=True)
    drawing.line(24, 214, 736, 214)
    precision = scores["mean_average_precision"]
    drawing.text(
        24, 242, f"Three images count: Rank-1 is {scores['rank_1']:.0f}, average precision 1/3 = {precision:.3f}", 16,
        align="start", bold=True,
    )
    return drawing


crowd = {"A": [1, 1, 1, 1], "B": [1, 1, 1, 1], "C": [1, 1, 1, 0], "D": [1, 0, 0, 0]}


def draw_hits(drawing: Drawing, x: float, y: float, hits: list[int]) -> None:
    "Draw the images of one person, right and wrong."
    for number, hit in enumerate(hits):
        kind, color = roles[bool(hit)]
        drawing.mark(kind, x + number * 24, y, 8, color)


def evaluation_people() -> Drawing:
    "Why people are drawn again, and not images."
    shares = [sum(hits) / len(hits) for hits in crowd.values()]
    over_people = middle_share([sum(draw) / 4 for draw in itertools.product(shares, repeat=4)])
    images = [hit for hits in crowd.values() for hit in hits]
    right = sum(images) / len(images)
    # All ways to draw 16 of 16 images: how many are right is binomial.
    chances = [math.comb(16, k) * right**k * (1 - right) ** (16 - k) for k in range(17)]
    sums = np.cumsum(chances)
    over_images = tuple(float(np.searchsorted(sums, share)) / 16 for share in (0.025, 0.975))
    drawing = Drawing(
        760, 330, "Draw people, not images",
        "Four people with four images each. Drawing people again takes all images of one along; drawing images tears "
        "them apart. Two bars below: the interval over people is wider than the one over images.",
    )
    drawing.text(24, 32, "what we have", 16, align="start", bold=True)
    drawing.text(270, 32, "draw four people", 16, align="start", bold=True)
    drawing.text(522, 32, "draw sixteen images", 16, align="start", bold=True)
    torn = [images[i] for i in (3, 12, 7, 0, 15, 11, 5, 2, 10, 6, 14, 1, 9, 4, 0, 8)]
    for row, (name, again) in enumerate(zip("ABCD", "BDCD", strict=True)):
        y = 64 + row * 34
        drawing.text(32, y + 6, name, 17, bold=True)
        draw_hits(drawing, 66, y, crowd[name])
        drawing.text(278, y + 6, again, 17, bold=True)
        draw_hits(drawing, 312, y, crowd[again])
        draw_hits(drawing, 534, y, torn[row * 4:row * 4 + 4])
    twice = sum(sum(crowd[name]) for name in "BDCD") / 16
    drawing.text(66, 204, f"{right:.0%} right", 16, align="start")
    drawing.text(312, 204, f"{twice:.0%} right", 16, align="start")
    drawing.text(534, 204, f"{sum(torn) / 16:.0%} right", 16, align="start")
    drawing.line(24, 222, 736, 222)
    bars = (("over people", over_people, "anchor"), ("over images", over_images, "soft"))
    for number, (name, (low, high), color) in enumerate(bars):
        y = 252 + number * 34
        left, end = (270 + share * 380 for share in (low, high))
        drawing.text(24, y + 5, f"95 % interval {name}", 16, align="start")
        drawing.line(left, y, end, y, color, 9)
        drawing.text(left - 12, y + 5, f"{low:.0%}", 15, align="end")
        drawing.text(end + 12, y + 5, f"{high:.0%}", 15, align="start")
    x = 270 + right * 380
    drawing.line(x, 232, x, 300, "ink", 1.5, dash="4 3")
    drawing.text(x, 318, f"{right:.0%}", 15)
    return drawing


first_network = [0.95, 0.90, 0.80, 0.65, 0.50, 0.30]
gains = [0.02, 0.05, 0.04, 0.12, 0.08, 0.05]


def evaluation_paired() -> Drawing:
    "Two networks on the same six people, apart and in pairs."
    second_network = [round(a + g, 2) for a, g in zip(first_network, gains, strict=True)]
    ends = [
        middle_share([sum(draw) / 6 for draw in itertools.product(values, repeat=6)])
        for values in (first_network, second_network, gains)
    ]
    means = [sum(values) / 6 for values in (first_network, second_network, gains)]
    drawing = Drawing(
        760, 390, "Two networks, apart and in pairs",
        "Left: average precision of six people under two networks; every line rises a little, and the two intervals "
        "overlap almost whole. Right: the six gains alone; their interval lies above zero.",
    )

    def high(value: float) -> float:
        return 330 - value * 270

    drawing.text(24, 32, "apart: the intervals overlap", 16, align="start", bold=True)
    drawing.text(372, 352, "average precision, six people", 14, "soft", "end")
    for value in (0, 0.5, 1):
        drawing.line(64, high(value), 372, high(value), "line", 1)
        drawing.text(54, high(value) + 5, f"{value:g}", 14, "soft", "end")
    columns = (150, 290)
    for pair in zip(first_network, second_network, strict=True):
        drawing.line(columns[0], high(pair[0]), columns[1], high(pair[1]), "soft", 1.4)
        drawing.mark("disc", columns[0], high(pair[0]), 6, "first")
        drawing.mark("square", columns[1], high(pair[1]), 6, "second")
    looks = zip((96, 344), ends[:2], means[:2], ("first", "second"), ("disc", "square"), strict=True)
    for x, (low, top), mean, color, kind in looks:
        drawing.line(x, high(low), x, high(top), color, 5)
        drawing.mark(kind, x, high(mean), 9, color)
    drawing.text(150, 376, "first network", 15, "first")
    drawing.text(290, 376, "second network", 15, "second")

    def across(value: float) -> float:
        return 470 + value * 1900

    drawing.text(430, 32, "in pairs: the gain is sure", 16, align="start", bold=True)
    for value in (0, 0.05, 0.10):
        drawing.line(across(value), 58, across(value), 262, "ink" if value == 0 else "line", 1.5 if value == 0 else 1)
        drawing.text(across(value), 284, f"{value:+.2f}" if value else "0", 14, "soft")
    for number, gain in enumerate(gains):
        y = 74 + number * 24
        drawing.line(across(0), y, across(gain), y, "positive", 2)
        drawing.mark("square", across(gain), y, 6, "positive")
    low, top = ends[2]
    drawing.line(across(low), 236, across(top), 236, "ink", 6)
    drawing.mark("diamond", across(means[2]), 236, 8, "ink")
    drawing.text(430, 322, f"mean gain {means[2]:.3f}", 16, align="start")
    drawing.text(430, 346, f"95 % interval {low:.3f} to {top:.3f}", 16, align="start")
    drawing.text(430, 370, "all six gain: 2 of 64 coin patterns", 15, "soft", align="start")
    return drawing


def evaluation_hubs() -> Drawing:
    "A star of five images: who is whose nearest, and how often."
    points = [(0, 0), (1, 0), (0, 2), (-3, 0), (0, -4)]
    table = hubs(on_plane(points, ["ann", "bob", "bob", "ann", "cid"]), top_k=1)
    counts = dict(zip(table["path"], table["count"], strict=True))
    distances = np.linalg.norm(np.subtract(points, np.array(points)[:, None]), axis=2)
    np.fill_diagonal(distances, np.inf)
    names = "abcde"
    drawing = Drawing(
        760, 340, "A hub",
        "Five points. An arrow leads from each to its nearest other. Four arrows end at the point in the middle, one "
        "at its neighbour, none at the three others. A table at the right says of each image which is nearest to it "
        "and in whose lists it is: a in four, b in one, the others in nobody's.",
    )
    drawing.rect(24, 20, 372, 300)

    def at(point) -> tuple[float, float]:
        return 238 + point[0] * 54, 136 - point[1] * 40

    for i, point in enumerate(points):
        (x1, y1), (x2, y2) = at(point), at(points[int(distances[i].argmin())])
        # The pair a, b points both ways: two arrows side by side.
        shift = 6 if i == 0 else -6 if i == 1 else 0
        reach = math.dist((x1, y1), (x2, y2))
        fore, aft = 14 / reach, 18 / reach
        drawing.arrow(
            x1 + (x2 - x1) * fore, y1 + shift + (y2 - y1) * fore, x2 - (x2 - x1) * aft, y2 + shift - (y2 - y1) * aft,
            "ink", 2,
        )
    for i, point in enumerate(points):
        x, y = at(point)
        color = "accent" if i == 0 else "soft"
        drawing.mark("disc", x, y, 12 if i == 0 else 9, color)
        drawing.text(x - 20 if i == 0 else x + 20, y - 12, names[i], 17, color, bold=True)
    image_x, nearest_x, first_x = 462, 552, 632
    drawing.text(image_x, 46, "image", 15, "soft")
    drawing.text(nearest_x, 46, "its nearest", 15, "soft")
    drawing.text(first_x - 8, 46, "in the lists of", 15, "soft", "start")
    for i, name in enumerate(names):
        y = 88 + i * 44
        drawing.line(436, y - 26, 744, y - 26)
        drawing.text(image_x, y, name, 17, "accent" if i == 0 else "ink", bold=True)
        drawing.text(nearest_x, y, names[int(distances[i].argmin())], 17)
        naming = [names[other] for other in range(len(names)) if int(distances[other].argmin()) == i]
        assert len(naming) == int(counts[f"{i}.png"])
        drawing.text(first_x - 8, y, " ".join(naming) or "nobody", 17, "ink" if naming else "soft", "start")
        drawing.text(736, y, str(len(naming)), 18, "accent" if i == 0 else "ink", "end", bold=True)
    drawing.text(436, 314, "on average in 1 list, the hub in 4", 16, "accent", "start", bold=True)
    return drawing


def evaluation_votes() -> Drawing:
    "A label that all neighbours contradict."
    points = [(0, 0), (0.9, 0.35), (-0.5, 0.8), (0.35, -0.8), (4.2, 0.5), (3.6, -0.4), (4.6, -0.5), (1.6, 0.75)]
    labels = ["ann", "bob", "bob", "bob", "ann", "ann", "ann", "bob"]
    suspects = find_label_errors(on_plane(np.array(points) / 10, labels), top_k=3)
    assert suspects["path"].tolist() == ["0.png"]
    drawing = Drawing(
        760, 260, "Outvoted by the neighbours",
        "One image labelled Ann lies among images of Bob, far from the other images of Ann. Lines join it with its "
        "three nearest, all of Bob.",
    )

    def at(point) -> tuple[float, float]:
        return 130 + point[0] * 92, 132 - point[1] * 92

    x, y = at(points[0])
    for other in points[1:4]:
        drawing.line(x, y, *at(other), "second", 2.2)
    for point, label in zip(points, labels, strict=True):
        kind, color = ("disc", "first") if label == "ann" else ("square", "second")
        drawing.mark(kind, *at(point), 11, color)
    drawing.circle(x, y, 20, color="negative", width=3)
    drawing.text(536, 214, "labelled Ann", 16, "first")
    drawing.text(282, 110, "labelled Bob", 16, "second", "start")
    share = suspects["share"][0]
    words = f"labelled Ann, but {share:.0%} of its neighbours' vote is for Bob"
    drawing.text(24, 246, words, 16, "negative", "start", bold=True)
    return drawing


def drawings() -> Iterator[tuple[str, Drawing]]:
    "Yield all drawings of this page."
    for draw in (
        evaluation_ranking, evaluation_people, evaluation_counted, evaluation_paired, evaluation_hubs, evaluation_votes,
    ):
        yield draw.__name__, draw()
