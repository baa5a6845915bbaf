"The drawings of 04_training: the loop, an epoch, judging by strangers, the rate over a run, four histories."
import math
from collections.abc import Callable, Iterator

from canvas import Drawing

people = [("disc", "first"), ("square", "second"), ("triangle", "third")]
# Three people, two pictures each, as points on a small plane; a step takes both of a person towards each other.
scattered = [(14, 16), (36, 50), (50, 14), (84, 24), (78, 68), (20, 70)]
partners = [scattered[number ^ 1] for number in range(6)]
gathered = [(x + 0.32 * (u - x), y + 0.32 * (v - y)) for (x, y), (u, v) in zip(scattered, partners, strict=True)]


def points(drawing: Drawing, left: float, top: float, places: list[tuple[float, float]], size=5.0) -> None:
    "Three people with two pictures each, as points."
    for number, (x, y) in enumerate(places):
        kind, color = people[number // 2]
        drawing.mark(kind, left + x, top + y, size, color)


def distance(number: int, other: int) -> float:
    "Distance between two of the scattered points, 1 for the farthest two."
    farthest = max(math.dist(a, b) for a in scattered for b in scattered)
    return math.dist(scattered[number], scattered[other]) / farthest


def loop() -> Drawing:
    "Five moves in a circle."
    drawing = Drawing(
        760, 372, "The loop of training",
        "Five moves in a circle: a batch of pictures, points, a table of distances, a loss, a step; then the next.",
    )
    wide = 176.0
    tall = 142.0
    boxes = {
        "batch": (20.0, 20.0), "embed": (292.0, 20.0), "distances": (564.0, 20.0), "loss": (428.0, 210.0),
        "step": (156.0, 210.0),
    }
    titles = {
        "batch": "1  batch", "embed": "2  embed", "distances": "3  distances", "loss": "4  loss", "step": "5  step",
    }
    for name, (x, y) in boxes.items():
        drawing.rect(x, y, wide, tall)
        drawing.text(x + 12, y + 22, titles[name], 15, align="start", bold=True)
    x, y = boxes["batch"]
    for number in range(6):
        kind, color = people[number // 2]
        left = x + 34 + 38 * (number // 2)
        top = y + 36 + 40 * (number % 2)
        drawing.rect(left, top, 30, 36, fill="ground", color="line", radius=3)
        drawing.mark(kind, left + 15, top + 18, 6, color)
    drawing.text(x + wide / 2, y + 132, "3 people, 2 each", 13, "soft")
    x, y = boxes["embed"]
    drawing.rect(x + 40, y + 30, 98, 82, fill="ground", color="line", radius=3)
    points(drawing, x + 40, y + 29, scattered)
    drawing.text(x + wide / 2, y + 132, "pictures become points", 13, "soft")
    x, y = boxes["distances"]
    cell = 13.5
    for row in range(6):
        kind, color = people[row // 2]
        drawing.mark(kind, x + 40, y + 37 + cell * row, 4, color)
        for column in range(6):
            left = x + 50 + cell * column
            top = y + 30 + cell * row
            drawing.rect(left, top, cell - 1.5, cell - 1.5, fill="ground", radius=1)
            if row != column:
                fill = "positive" if row // 2 == column // 2 else "negative"
                strength = round(0.15 + 0.85 * distance(row, column), 2)
                drawing.rect(left, top, cell - 1.5, cell - 1.5, fill=fill, radius=1, opacity=strength)
    drawing.text(x + wide / 2, y + 132, "the stronger, the farther", 13, "soft")
    x, y = boxes["loss"]
    drawing.text(x + wide / 2, y + 60, "own people near?", 13.5, "positive")
    drawing.text(x + wide / 2, y + 80, "others far?", 13.5, "negative")
    drawing.text(x + wide / 2, y + 106, "one number", 15, bold=True)
    drawing.text(x + wide / 2, y + 132, "how far from our wish", 13, "soft")
    x, y = boxes["step"]
    drawing.rect(x + 40, y + 30, 98, 82, fill="ground", color="line", radius=3)
    for before, after in zip(scattered, gathered, strict=True):
        place = [(x + 40 + px, y + 29 + py) for px, py in (before, after)]
        drawing.arrow(*place[0], *place[1], color="soft", width=1.2, head=5)
    points(drawing, x + 40, y + 29, scattered, 3.5)
    drawing.text(x + wide / 2, y + 132, "nudge every weight", 13, "soft")
    drawing.arrow(200, 91, 288, 91, "accent", 2.4, 11)
    drawing.arrow(472, 91, 560, 91, "accent", 2.4, 11)
    drawing.arrow(640, 166, 566, 206, "accent", 2.4, 11)
    drawing.arrow(424, 281, 336, 281, "accent", 2.4, 11)
    drawing.arrow(194, 206, 120, 166, "accent", 2.4, 11)
    drawing.text(92, 216, "the next batch", 13.5, "accent")
    return drawing


def epoch() -> Drawing:
    "Pictures of six people are dealt into batches of P times K."
    drawing = Drawing(
        760, 330, "One epoch",
        "Six people with five or six pictures each are dealt into four batches of four people with two pictures each.",
    )
    counts = [6, 5, 6, 5, 6, 5]
    used = [0] * 6
    chosen = [(0, 1, 3, 4), (1, 2, 4, 5), (0, 2, 3, 5), (0, 1, 2, 5)]
    letters = "ABCDEF"
    drawing.text(20, 28, f"{sum(counts)} pictures of 6 people", 15, align="start", bold=True)
    for row, count in enumerate(counts):
        y = 46 + 40 * row
        drawing.text(32, y + 21, letters[row], 15, bold=True)
        for column in range(count):
            drawing.rect(50 + 34 * column, y, 28, 32, fill="panel", color="line", radius=3)
            drawing.text(64 + 34 * column, y + 21, f"{column + 1}", 13, "soft")
    drawing.arrow(270, 164, 330, 164, "accent", 2.4, 11)
    drawing.text(300, 148, "dealt", 13.5, "accent")
    drawing.text(350, 28, "an epoch: 4 batches of P = 4, K = 2", 15, align="start", bold=True)
    for number, members in enumerate(chosen):
        left = 350 + 200 * (number % 2)
        top = 44 + 128 * (number // 2)
        drawing.rect(left, top, 188, 112, fill="panel")
        drawing.text(left + 12, top + 20, f"batch {number + 1}", 13.5, align="start", bold=True)
        for place, person in enumerate(members):
            for copy in range(2):
                picture = used[person] % counts[person] + 1
                used[person] += 1
                x = left + 14 + 42 * place
                y = top + 30 + 38 * copy
                drawing.rect(x, y, 34, 32, fill="ground", color="line", radius=3)
                drawing.text(x + 17, y + 21, f"{letters[person]}{picture}", 13)
    drawing.text(
        350, 316, "4 x 8 = 32 pictures, about as many as there are", 13, "soft", align="start",
    )
    return drawing


def judge() -> Drawing:
    "Five pictures on a line; each takes a turn as the query."
    places = [0, 1, 2, 5, 6]
    names = "AABBA"
    shapes = {"A": ("disc", "first"), "B": ("square", "second")}
    drawing = Drawing(
        760, 360, "Judging by strangers, with a pencil",
        "Five pictures on a line; below, each is the query and its neighbours are listed by distance, right or wrong.",
    )
    step = 88.0
    left = 116.0
    drawing.line(left - 30, 52, left + 6 * step + 30, 52, "line", 1.5)
    for place in range(7):
        drawing.line(left + step * place, 48, left + step * place, 56, "line", 1.5)
        drawing.text(left + step * place, 76, f"{place}", 13, "soft")
    for place, name in zip(places, names, strict=True):
        drawing.mark(shapes[name][0], left + step * place, 52, 9, shapes[name][1])
        drawing.text(left + step * place, 32, name, 15, shapes[name][1], bold=True)
    drawing.text(84, 114, "query", 13.5, "soft")
    drawing.text(300, 114, "its neighbours, the nearest first", 13.5, "soft")
    drawing.text(602, 114, "average precision", 13.5, "soft")
    for row, (place, name) in enumerate(zip(places, names, strict=True)):
        y = 146 + 44 * row
        drawing.text(40, y + 5, f"{name} at {place}", 14, align="start")
        drawing.mark(shapes[name][0], 124, y, 8, shapes[name][1])
        others = [number for number in range(5) if number != row]
        order = sorted(others, key=lambda number: (abs(places[number] - place), number))
        precisions = []
        for rank, number in enumerate(order, 1):
            is_right = names[number] == name
            x = 196 + 72 * (rank - 1)
            drawing.rect(x - 26, y - 17, 52, 34, fill="panel", color="positive" if is_right else "negative", radius=4)
            drawing.text(x - 10, y + 5, names[number], 14)
            drawing.text(x + 12, y + 5, "\N{CHECK MARK}" if is_right else "\N{MULTIPLICATION X}", 14,
                         "positive" if is_right else "negative", bold=True)
            if is_right:
                right = sum(names[before] == name for before in order[:rank])
                precisions.append((right, rank))
        mean = sum(right / rank for right, rank in precisions) / len(precisions)
        parts = " and ".join(f"{right}/{rank}" for right, rank in precisions)
        drawing.text(494, y + 5, parts if len(precisions) == 1 else f"mean of {parts}", 13.5, align="start")
        drawing.text(700, y + 5, f"{mean:.2f}", 14, bold=True)
    return drawing


def warmup_cosine(step: float, steps: int, warmup: float) -> float:
    "The rate as a share of its highest, as the page computes it."
    climb = warmup * steps
    if step < climb:
        return step / climb
    return 0.5 * (1 + math.cos(math.pi * (step - climb) / (steps - climb)))


def time() -> Drawing:
    "The learning rate over a run, and when strangers are asked."
    drawing = Drawing(
        760, 268, "The rate over a run of five epochs",
        "The rate climbs in the first tenth, then falls along half a cosine; strangers are asked at each end.",
    )
    left, right, top, bottom = 70.0, 730.0, 40.0, 190.0
    steps = 500

    def place(step: float) -> tuple[float, float]:
        share = warmup_cosine(step, steps, 0.1)
        return left + (right - left) * step / steps, bottom - (bottom - top) * share

    drawing.rect(left, top - 14, (right - left) / 10, bottom - top + 14, fill="panel", radius=0)
    drawing.text(left + 8, top - 20, "warm-up", 13.5, "accent", align="start")
    drawing.line(left, bottom, right, bottom, "soft")
    drawing.line(left, bottom, left, top - 14, "soft")
    drawing.path([place(step) for step in range(0, steps + 1, 5)], "anchor", 2.6)
    drawing.text(left - 10, top + 5, "highest", 13, "soft", align="end")
    drawing.text(left - 10, bottom + 5, "0", 13, "soft", align="end")
    drawing.text(410, 50, "learning rate: half a cosine down", 14, "anchor", align="start")
    for number in range(1, 6):
        x = left + (right - left) * number / 5
        drawing.line(x, top + 30, x, bottom, "positive", 1.5, "3 4")
        drawing.mark("square", x, bottom, 6, "positive")
        drawing.text(x - (right - left) / 10, bottom + 22, f"epoch {number}", 13.5)
    drawing.mark("square", left + 8, 244, 6, "positive")
    drawing.text(left + 22, 249, "strangers are asked, the best network is kept", 13.5, align="start")
    return drawing


Curve = Callable[[float], float]


def histories() -> Drawing:
    "Four sketched runs: loss above, Rank-1 below."
    def to(start: float, end: float, speed: float) -> Curve:
        return lambda time: end + (start - end) * math.exp(-speed * time)

    def flat(value: float) -> Curve:
        return lambda time: value + 0.015 * math.sin(17 * time)

    # Losses in shares of the uninformed value; Rank-1 of strangers and of training people.
    runs: dict[str, tuple[Curve, Curve, Curve]] = {
        "healthy": (to(1.0, 0.2, 3), to(0.2, 0.92, 3), to(0.25, 0.97, 4)),
        "collapse": (to(1.5, 1.0, 5), flat(0.14), flat(0.2)),
        "starvation": (flat(0.08), flat(0.5), flat(0.55)),
        "known by heart": (to(1.0, 0.05, 4), to(0.2, 0.32, 4), to(0.3, 0.99, 5)),
    }
    says = {
        "healthy": "both move", "collapse": "loss at the line", "starvation": "loss near zero",
        "known by heart": "loss near zero",
    }
    drawing = Drawing(
        760, 366, "Four histories",
        "Healthy: loss falls, Rank-1 rises. Collapse: loss at the line, Rank-1 flat. Starvation: loss near zero, "
        "Rank-1 flat. Known by heart: loss near zero, training people found, strangers not.",
    )
    wide = 160.0
    for number, (name, (loss, strangers, known)) in enumerate(runs.items()):
        left = 46 + 178 * number
        drawing.text(left + wide / 2, 24, name, 15, bold=True)
        for top, scale in ((38.0, 1.6), (184.0, 1.05)):
            drawing.rect(left, top, wide, 120, fill="panel", radius=3)

            def line(curve: Curve, color: str, top=top, scale=scale, left=left, dash=None) -> None:
                moments = [moment / 40 for moment in range(41)]
                places = [(left + 6 + (wide - 12) * t, top + 114 - 108 * curve(t) / scale) for t in moments]
                drawing.path(places, color, 2.4, dash)

            if scale > 1.5:
                line(lambda _: 1.0, "soft", dash="5 4")
                line(loss, "anchor")
            else:
                line(known, "soft", dash="2 4")
                line(strangers, "positive")
        drawing.text(left + wide / 2, 176, says[name], 13, "soft")
    drawing.add("g", "<text transform='rotate(-90)' x='-98' y='30' font-size='14' class='f-anchor' "
                "text-anchor='middle'>loss</text>")
    drawing.add("g", "<text transform='rotate(-90)' x='-244' y='30' font-size='14' class='f-positive' "
                "text-anchor='middle'>Rank-1</text>")
    drawing.line(50, 328, 78, 328, "soft", 2.4, "5 4")
    drawing.text(86, 333, "uninformed network", 13, align="start")
    drawing.line(270, 328, 298, 328, "positive", 2.4)
    drawing.text(306, 333, "strangers", 13, align="start")
    drawing.line(420, 328, 448, 328, "soft", 2.4, "2 4")
    drawing.text(456, 333, "training people", 13, align="start")
    drawing.arrow(620, 328, 720, 328, "soft")
    drawing.text(670, 350, "time", 13, "soft")
    return drawing


def drawings() -> Iterator[tuple[str, Drawing]]:
    "Yield the drawings of the page."
    yield "training_loop", loop()
    yield "training_epoch", epoch()
    yield "training_judge", judge()
    yield "training_time", time()
    yield "training_histories", histories()
