"""Write the drawings of the book to nbs/images: `python tools/diagrams [NAME ...]`; with `--check` only compare.

Every module of this folder with a function `drawings()` takes part: it yields (name, Drawing), and the name is that
of the file. What a drawing shows as a number comes from the library itself.
"""
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

from canvas import Drawing, images

here = Path(__file__).resolve().parent


def all_drawings() -> Iterator[tuple[str, Drawing]]:
    "Yield every drawing of every module."
    for file in sorted(here.glob("[a-z]*.py")):
        module = importlib.import_module(file.stem)
        if hasattr(module, "drawings"):
            yield from module.drawings()


def main(arguments: list[str]) -> int:
    is_check = "--check" in arguments
    wanted = [name for name in arguments if name != "--check"]
    problems = []
    seen = set()
    images.mkdir(exist_ok=True)
    for name, drawing in all_drawings():
        file = images / f"{name}.svg"
        seen.add(file.name)
        if wanted and not any(name.startswith(start) for start in wanted):
            continue
        if not is_check:
            file.write_text(drawing.svg(), encoding="utf-8", newline="\n")
        elif not file.exists() or file.read_text(encoding="utf-8") != drawing.svg():
            problems.append(f"{file.name} is not what tools/diagrams draws: run `python tools/diagrams {name}`")
    if not wanted:
        drawn = {file.name for file in images.glob("*.svg")}
        problems += [f"{name} is drawn by nobody" for name in sorted(drawn - seen)]
    print("\n".join(problems))
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
