"""What was done to the library, and what became of it: kills, full disks, flipped bits, damaged pictures, notes, calls.

Runs the tests that count what they try, the slow ones among them, and adds up what they note. Every count is of trials
that ended as they should; a test that fails ends the script.
"""
import json
import os
import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

from report import finish, options, table

tests = ["stages", "holds", "training_kill", "model_files", "picture_fuzz", "environment", "wrong_sets"]
chapters = {
    "kill": ("Killed at a random moment, then done again", "kills", "in the middle of a write"),
    "full": ("On a full disk, then with room", "refused in one sentence", "with something begun"),
    "bits": ("One bit flipped, then loaded", "flips", "refused"),
    "picture": ("Damaged pictures, compared with another decoder", "pictures", "same as there"),
    "notes": ("Our own notes, damaged", "damages", "refused"),
}
names = {
    "render": "rendering people",
    "fetch": "fetching a data set",
    "train": "training",
    "save": "saving a network",
    "embed": "embedding",
    "index": "indexing",
    "report": "the report",
    "set": "a set",
    "model": "a network",
    "run": "a run",
}


def noted(marks: list[str]) -> list[dict]:
    "Run the tests, and return what they noted."
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "counts.jsonl")
        file.touch()
        words = [sys.executable, "-m", "pytest", "-q", *marks, *(f"tests/test_{name}.py" for name in tests)]
        subprocess.run(words, check=True, env=os.environ | {"SIAMESE_NBDEV_COUNTS": str(file)})
        return [json.loads(line) for line in file.read_text().splitlines()]


def added(found: list[dict]) -> dict[str, dict[str, float]]:
    "Add up what was noted under one name."
    sums: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for note in found:
        for name, value in note.items():
            if name != "item":
                sums[note["item"]][name] += value
    return sums


def chapter(kind: str, sums: dict[str, dict[str, float]]) -> list[str]:
    "Set one kind of trouble as a table."
    title, tried, second = chapters[kind]
    key = dict(kill="halfway", full="halfway", picture="same").get(kind, "refused")
    own = {item.removeprefix(kind + " "): sums[item] for item in sums if item.startswith(kind + " ")}
    rows = []
    for name, numbers in own.items():
        plain = kind in ("picture", "notes")  # endings and names of files
        words = f"`{name}`" if plain else re.sub(r"^\w+", lambda first: names.get(first[0], first[0]), name)
        row = [words, f"{numbers['times']:,.0f}", f"{numbers[key]:,.0f}" if key in numbers else "not counted"]
        if kind == "picture":
            row += [f"{numbers[name]:,.0f}" for name in ("refused", "opened here only")]
        rows.append(row)
    total = ["all", f"{sum(numbers['times'] for numbers in own.values()):,.0f}"]
    more = [key, "refused", "opened here only"] if kind == "picture" else [key]
    rows.append(total + [f"{sum(numbers.get(name, 0) for numbers in own.values()):,.0f}" for name in more])
    columns = ["", tried, second] + (["refused", "opened here only"] if kind == "picture" else [])
    return [f"## {title}", table(columns, rows)]


def main():
    chosen = options(__doc__.splitlines()[0]).parse_args()
    found = noted([]) + ([] if chosen.quick else noted(["-m", "slow"]))
    sums = added(found)
    parts = [part for kind in chapters for part in chapter(kind, sums)]
    calls = sums["calls"]["times"]
    parts.append(f"Calls with something wrong, refused in a sentence: {calls:,.0f}.")
    finish("What it holds", parts, chosen.out)


if __name__ == "__main__":
    main()
