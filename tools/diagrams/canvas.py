"""Draw SVG in the one style of the book.

A drawing carries its own ground and knows a light and a dark dress, so it reads well wherever a page shows it. Text
stays text; title and description are for readers who do not see it. Lengths are in pixels of a page about 760 wide,
x to the right and y downwards.
"""
import math
from collections.abc import Iterable
from pathlib import Path
from xml.sax.saxutils import escape

top = Path(__file__).resolve().parents[2]
images = top / "nbs" / "images"

# One colour, one meaning, on every page. Each stands at 4.5 : 1 or more against its ground.
light = {
    "ground": "#FFFFFF",
    "ink": "#1F2933",
    "soft": "#5B6670",
    "line": "#B8C0C8",
    "panel": "#F1F4F7",
    "anchor": "#3A62A7",
    "positive": "#2F7A46",
    "negative": "#B83A40",
    "first": "#3A62A7",
    "second": "#A8561B",
    "third": "#6B5AA6",
    "accent": "#A8561B",
}
dark = {
    "ground": "#1B2026",
    "ink": "#E6EAEE",
    "soft": "#A7B1BB",
    "line": "#4A545E",
    "panel": "#262D35",
    "anchor": "#8FB1EE",
    "positive": "#7CCB93",
    "negative": "#F08A8F",
    "first": "#8FB1EE",
    "second": "#EBA46A",
    "third": "#B9A9EE",
    "accent": "#EBA46A",
}


def number(value: float) -> str:
    "Write a length shortly, the same on every machine."
    return f"{round(float(value), 2):g}"


def dress() -> str:
    "Return the style sheet: a class to fill and one to draw lines for each colour, in a light and a dark dress."
    def variables(colors: dict[str, str]) -> str:
        return ";".join(f"--{name}:{value}" for name, value in colors.items())

    rules = [f".f-{name}{{fill:var(--{name})}}.s-{name}{{stroke:var(--{name})}}" for name in light]
    return (
        f"svg{{{variables(light)};color-scheme:light dark}}"
        f"@media(prefers-color-scheme:dark){{svg{{{variables(dark)}}}}}"
        "text{font-family:system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif}"
        ".s{fill:none;stroke-linecap:round;stroke-linejoin:round}" + "".join(rules)
    )


class Drawing:
    "An SVG under construction; every method adds one shape and returns nothing."

    def __init__(
        self,
        width: float,  # Pixels; pages show about 760
        height: float,
        title: str,  # What is drawn, a few words
        description: str,  # What a reader sees there, one or two sentences
    ):
        self.width = width
        self.height = height
        self.title = title
        self.description = description
        self.parts: list[str] = []

    def add(self, tag: str, content: str = "", **attributes: object) -> None:
        "Add one element; underscores in names stand for hyphens, `classes` for class."
        written = []
        for name, value in attributes.items():
            if value is None:
                continue
            name = {"classes": "class"}.get(name, name.replace("_", "-"))
            text = number(value) if isinstance(value, int | float) else escape(str(value), {'"': "&quot;"})
            written.append(f' {name}="{text}"')
        self.parts.append(f"<{tag}{''.join(written)}" + (f">{content}</{tag}>" if content else "/>"))

    def line(self, x1, y1, x2, y2, color="line", width=1.5, dash: str | None = None, opacity: float | None = None):
        "A straight line; `dash` as in SVG, '4 3' for instance."
        self.add(
            "line", x1=x1, y1=y1, x2=x2, y2=y2, classes=f"s s-{color}", stroke_width=width, stroke_dasharray=dash,
            opacity=opacity,
        )

    def arrow(self, x1, y1, x2, y2, color="soft", width=1.8, head=8.0, dash: str | None = None):
        "A line with a head at its second end."
        length = math.hypot(x2 - x1, y2 - y1)
        if not length:
            return
        along = ((x2 - x1) / length, (y2 - y1) / length)
        neck = (x2 - head * along[0], y2 - head * along[1])
        across = (-along[1] * head * 0.45, along[0] * head * 0.45)
        self.line(x1, y1, neck[0], neck[1], color, width, dash)
        corners = [(x2, y2), (neck[0] + across[0], neck[1] + across[1]), (neck[0] - across[0], neck[1] - across[1])]
        self.polygon(corners, color)

    def polygon(self, corners: Iterable[tuple[float, float]], fill="panel", opacity: float | None = None):
        "A filled polygon."
        points = " ".join(f"{number(x)},{number(y)}" for x, y in corners)
        self.add("polygon", points=points, classes=f"f-{fill}", opacity=opacity)

    def path(self, points: Iterable[tuple[float, float]], color="ink", width=1.8, dash: str | None = None):
        "A line through many points."
        written = " ".join(f"{number(x)},{number(y)}" for x, y in points)
        self.add("polyline", points=written, classes=f"s s-{color}", stroke_width=width, stroke_dasharray=dash)

    def circle(
        self, x, y, radius, fill: str | None = None, color: str | None = None, width=1.5, dash=None, opacity=None
    ):
        "A disc (`fill`), a ring (`color`), or both."
        classes = " ".join([f"f-{fill}" if fill else "s", *([f"s-{color}"] if color else [])])
        self.add(
            "circle", cx=x, cy=y, r=radius, classes=classes, stroke_width=width if color else None,
            stroke_dasharray=dash, opacity=opacity,
        )

    def rect(
        self, x, y, width, height, fill: str | None = "panel", color: str | None = None, radius=6.0, stroke=1.5,
        opacity=None, dash=None,
    ):
        "A box with round corners, filled, outlined, or both."
        classes = " ".join([f"f-{fill}" if fill else "s", *([f"s-{color}"] if color else [])])
        self.add(
            "rect", x=x, y=y, width=width, height=height, rx=radius, classes=classes,
            stroke_width=stroke if color else None, stroke_dasharray=dash, opacity=opacity,
        )

    def mark(self, kind: str, x, y, size=7.0, color="ink"):
        "A point with a shape as well as a colour: 'disc', 'square', 'triangle' or 'diamond'."
        if kind == "disc":
            self.circle(x, y, size, fill=color)
            return
        corners = {
            "square": [(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)],
            "triangle": [(0, -1.15), (1.05, 0.75), (-1.05, 0.75)],
            "diamond": [(0, -1.2), (1.2, 0), (0, 1.2), (-1.2, 0)],
        }[kind]
        self.polygon([(x + size * dx, y + size * dy) for dx, dy in corners], color)

    def text(self, x, y, words: str, size=14.0, color="ink", align="middle", bold=False, mono=False):
        "A line of text with its baseline at y; `align` is 'start', 'middle' or 'end'."
        self.add(
            "text", escape(words), x=x, y=y, font_size=size, classes=f"f-{color}", text_anchor=align,
            font_weight="600" if bold else None,
            style="font-family:ui-monospace,'DejaVu Sans Mono',monospace" if mono else None,
        )

    def picture(self, x, y, width, height, encoded: str, kind="jpeg"):
        "A picture of our rendered people, base64; no other pictures enter the book."
        self.add("image", x=x, y=y, width=width, height=height, href=f"data:image/{kind};base64,{encoded}")

    def svg(self) -> str:
        "Return the whole drawing."
        size = f'viewBox="0 0 {number(self.width)} {number(self.height)}"'
        sized = f'width="{number(self.width)}" height="{number(self.height)}"'
        ground = (
            f'<rect width="{number(self.width)}" height="{number(self.height)}" rx="8" class="f-ground"/>'
        )
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} {sized} role="img" aria-labelledby="t d">\n'
            f'<title id="t">{escape(self.title)}</title>\n<desc id="d">{escape(self.description)}</desc>\n'
            f"<style>{dress()}</style>\n{ground}\n" + "\n".join(self.parts) + "\n</svg>\n"
        )
