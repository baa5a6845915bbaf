"Drawings of 06_retrieval: sorting by distance, what must not count, mutual neighbours, and lists around centres."
import math
import random
from collections.abc import Iterator

from canvas import Drawing

marks = {"query": ("disc", "anchor"), "ann": ("square", "positive"), "bob": ("triangle", "negative")}


def tile(drawing: Drawing, x: float, y: float, name: str, is_grey: bool = False) -> None:
    "Draw one image as a box with the mark of its person."
    kind, color = marks[name]
    if is_grey:
        color = "line"
    drawing.rect(x - 30, y - 26, 60, 52, fill="panel", color=color, dash="4 3" if is_grey else None)
    drawing.mark(kind, x, y, 11, color)


def sort() -> Drawing:
    "A row of distances, as the gallery lies and sorted."
    drawing = Drawing(
        760, 346, "Search is sorting a row of distances",
        "The distance of a query to each of six gallery images is measured. Sorted, the smallest comes first: three "
        "images of the query's person, then others. An arrow leads from each image to its rank.",
    )
    place = 3.0
    gallery = [("bob", 7.5), ("ann", 2.2), ("bob", 5.9), ("ann", 3.5), ("bob", -0.8), ("ann", 5.1)]
    gaps = [abs(where - place) for _, where in gallery]
    order = sorted(range(len(gallery)), key=gaps.__getitem__)
    left, step = 190, 102
    drawing.text(left + 2.5 * step, 24, "the gallery, in its own order", 15, "soft")
    drawing.mark("disc", 62, 66, 14, "anchor")
    drawing.text(62, 97, "query", 15)
    drawing.arrow(86, 66, left - 40, 66)
    drawing.text(62, 120, "distance", 15, "soft")
    drawing.text(62, 252, "sorted", 15)
    drawing.text(62, 298, "distance", 15, "soft")
    for number, (name, _) in enumerate(gallery):
        x = left + step * number
        tile(drawing, x, 66, name)
        drawing.text(x, 120, f"{gaps[number]:.1f}", 17, bold=True)
    for rank, number in enumerate(order):
        x = left + step * rank
        drawing.arrow(left + step * number, 132, x, 214, "ink" if rank == 0 else "soft", 1.8)
        tile(drawing, x, 246, gallery[number][0])
        drawing.text(x, 298, f"{gaps[number]:.1f}", 17, bold=True)
        drawing.text(x, 324, f"rank {rank + 1}", 14, "soft")
    return drawing


def junk() -> Drawing:
    "A ranking in which some images do not count."
    drawing = Drawing(
        760, 330, "What must not count",
        "Seven images ranked for a query, who is ann before camera 1. The query's own file and two more images of ann "
        "by camera 1 are greyed out. Of what is left, bob is first and wrong, and ann by camera 2 is second and right.",
    )
    ranking = [
        ("ann", "c1", "itself"), ("ann", "c1", "ann, c1"), ("bob", "c2", "bob, c2"), ("ann", "c2", "ann, c2"),
        ("ann", "c1", "ann, c1"), ("bob", "c1", "bob, c1"), ("ann", "c3", "ann, c3"),
    ]
    left, step = 58, 104
    drawing.mark("disc", 26, 24, 10, "anchor")
    drawing.text(44, 29, "query: ann, seen by camera c1", 15, align="start")
    place = 0
    for number, (name, camera, says) in enumerate(ranking):
        x = left + step * number
        is_out = name == "ann" and camera == "c1"
        tile(drawing, x, 82, name, is_out)
        drawing.text(x, 130, says, 14, "soft" if is_out else "ink")
        if is_out:
            drawing.line(x - 30, 108, x + 30, 56, "soft", 2)
            continue
        to = left + step * place
        drawing.arrow(x, 142, to, 200, "soft")
        tile(drawing, to, 232, name)
        sign = "\u2713" if name == "ann" else "\u2717"
        drawing.text(to, 284, f"{place + 1} {sign}", 18, "positive" if name == "ann" else "negative", bold=True)
        place += 1
    drawing.text(left + step * place - 30, 228, "what counts,", 15, "soft", align="start")
    drawing.text(left + step * place - 30, 248, "ranked anew", 15, "soft", align="start")
    drawing.text(380, 316, "the same person before the same camera is too easy to find", 14, "soft")
    return drawing


def nearest_two(places: list[int], one: int) -> list[int]:
    "Return the two other points that are nearest."
    others = [other for other in range(len(places)) if other != one]
    return sorted(others, key=lambda other: abs(places[other] - places[one]))[:2]


def arc(drawing: Drawing, x1: float, x2: float, y: float, height: float, color: str, dash: str | None = None) -> None:
    "Draw an arc between two points of a line, upwards for a positive height; a dashed one ends in an arrow."
    steps = 24
    points = [
        (x1 + (x2 - x1) * part / steps, y - height * math.sin(math.pi * part / steps)) for part in range(steps + 1)
    ]
    drawing.path(points, color, 2.2, dash)
    if dash:
        (x, top), (end, low) = points[-3], points[-1]
        drawing.arrow(x, top, end, low, color, 2.2, 10)


def mutual() -> Drawing:
    "Five points on a line: who names whom among its two nearest, and the circles that follow."
    drawing = Drawing(
        760, 286, "Mutual neighbours",
        "Five images on a line: three of bob at 1, 2 and 4, the query at 8, the query's second picture at 13. The "
        "query names bob at 4 and its second picture. Only the second picture names it in return. One circle holds "
        "the three bobs, another the query and its second picture.",
    )
    places = [8, 4, 2, 1, 13]
    names = ["query", "bob", "bob", "bob", "ann"]
    near = [nearest_two(places, one) for one in range(len(places))]
    base = 164

    def at(place: float) -> float:
        return 30 + 50 * place

    def is_mutual(one: int, two: int) -> bool:
        return two in near[one] and one in near[two]

    for one in (1, 0):
        circle = [places[other] for other in range(len(places)) if other == one or is_mutual(one, other)]
        left, right = at(min(circle)) - 26, at(max(circle)) + 26
        drawing.rect(left, base - 24, right - left, 48, fill="panel", color="soft", radius=24, dash="5 4")
        drawing.text((left + right) / 2, base + 102, f"one circle of {len(circle)} images", 15, "soft")
    drawing.line(24, base, 736, base)
    for place in range(15):
        drawing.line(at(place), base + 24, at(place), base + 30, "soft", 1)
        drawing.text(at(place), base + 47, str(place), 14, "soft")
    for one, two in [(0, 1), (0, 4), (1, 2), (1, 3), (2, 3)]:
        height = 10 + (0.4 if 0 in (one, two) else 0.26) * abs(at(places[one]) - at(places[two]))
        color = ("positive" if 0 in (one, two) else "soft") if is_mutual(one, two) else "negative"
        dash = None if is_mutual(one, two) else "6 5"
        arc(drawing, at(places[one]), at(places[two]), base - 16, height, color, dash)
    for place, name in zip(places, names, strict=True):
        kind, color = marks[name]
        drawing.mark(kind, at(place), base, 12, color)
        drawing.text(at(place), base + 74, "query: ann" if name == "query" else name, 15)
    drawing.text(at(5.4), 44, "named, not in return", 15, "negative")
    drawing.text(at(10.5), 26, "both name each other", 15, "positive")
    return drawing


def crowd() -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
    "Make centres and points around them, the same on every machine."
    dice = random.Random(6)
    centres = [(0.25, 0.24), (0.74, 0.2), (0.5, 0.52), (0.22, 0.8), (0.78, 0.78)]
    points = []
    for x, y in centres:
        for _ in range(12):
            angle = dice.randrange(628) / 100
            radius = 0.03 + 0.19 * dice.randrange(100) / 100
            points.append((round(x + radius * math.cos(angle), 4), round(y + radius * math.sin(angle), 4)))
    return centres, [(min(max(x, 0.03), 0.97), min(max(y, 0.03), 0.97)) for x, y in points]


def lists() -> Drawing:
    "Looking at all vectors against looking into one or two lists."
    centres, points = crowd()
    query = (0.51, 0.28)
    home = [min(range(len(centres)), key=lambda c: math.dist(point, centres[c])) for point in points]
    truth = min(range(len(points)), key=lambda p: math.dist(points[p], query))
    by_distance = sorted(range(len(centres)), key=lambda c: math.dist(centres[c], query))
    drawing = Drawing(
        760, 386, "Lists around centres",
        "Left, a query is measured against all sixty points. Middle, only against five centres and the points of the "
        "nearest list; the nearest point lies in another list and is missed. Right, two lists are read and it "
        "is found. Below, a legend: query, centre of a list, true nearest, not looked at.",
    )
    side = 236
    for panel, effort in enumerate((None, 1, 2)):
        left = 8 + 250 * panel
        top = 44

        def at(point: tuple[float, float], left: float = left, top: float = top) -> tuple[float, float]:
            return left + side * point[0], top + side * point[1]

        read = set(range(len(centres))) if effort is None else set(by_distance[:effort])
        seen = [number for number in range(len(points)) if home[number] in read]
        found = min(seen, key=lambda p: math.dist(points[p], query))
        title = ["look at all", "read 1 list", "read 2 lists"][panel]
        drawing.text(left + side / 2, 28, title, 16, bold=True)
        drawing.rect(left, top, side, side, fill="panel")
        for number, point in enumerate(points):
            x, y = at(point)
            if number in seen:
                drawing.line(*at(query), x, y, "line", 1)
        for number, point in enumerate(points):
            color = ("first", "second", "third", "first", "second")[home[number]] if number in seen else "line"
            drawing.mark(("disc", "square", "triangle", "square", "triangle")[home[number]], *at(point), 4.5, color)
        if effort is not None:
            for centre in centres:
                drawing.mark("diamond", *at(centre), 6, "ink")
        drawing.circle(*at(points[truth]), 11, color="positive" if found == truth else "negative", width=2.5)
        drawing.mark("disc", *at(query), 8, "anchor")
        drawing.circle(*at(query), 8, color="ground", width=1.5)
        words = f"{len(points)} distances" if effort is None else f"{len(centres)} + {len(seen)} distances"
        drawing.text(left + side / 2, top + side + 24, words, 15)
        verdict = "nearest found \u2713" if found == truth else "nearest missed \u2717"
        drawing.text(left + side / 2, top + side + 48, verdict, 15, "positive" if found == truth else "negative")
    y = 362
    drawing.mark("disc", 137, y, 8, "anchor")
    drawing.text(153, y + 5, "query", 14, "soft", align="start")
    drawing.mark("diamond", 233, y, 6, "ink")
    drawing.text(247, y + 5, "centre of a list", 14, "soft", align="start")
    drawing.circle(389, y, 9, color="positive", width=2.5)
    drawing.text(405, y + 5, "true nearest", 14, "soft", align="start")
    drawing.mark("disc", 527, y, 5, "line")
    drawing.text(539, y + 5, "not looked at", 14, "soft", align="start")
    return drawing


def drawings() -> Iterator[tuple[str, Drawing]]:
    "Yield the drawings of the page."
    yield "retrieval_sort", sort()
    yield "retrieval_junk", junk()
    yield "retrieval_mutual", mutual()
    yield "retrieval_lists", lists()
