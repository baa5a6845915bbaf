"""Hold what pages say against what they print: `python tools/prose.py [notebook ...]`, without names all of them.

Every number in prose with a decimal point, a per cent sign or three digits must be found, as rounded there, in an
output or the code of its page, in an output of a page that the same cell links to, or in `benchmarks/results`.
What no run can print (facts of a paper, of a data set, arithmetic done in the sentence) is listed in
`tools/prose_numbers.json` with its reason. The minutes that a page states are held against those it took, and all
pages must show one shared network.
"""
import functools
import html
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import style

top = Path(__file__).resolve().parent.parent
listed = json.loads((top / "tools" / "prose_numbers.json").read_text(encoding="utf-8"))
numeral = re.compile(r"(?<![\w.,-])-?\d{1,3}(?:,\d{3})+(?:\.\d+)?(?![\w])|(?<![\w.])-?\d+(?:\.\d+)?(?!\w|\.\d)")
stated = re.compile(r"runs in about (an?|[\d.]+) (second|minute)s? on 2 cores")
not_prose = [
    r"```.*?```",  # code
    r"\$\$.*?\$\$",
    r"`[^`]*`",
    r"\$[^$\n]+\$",
    r"!\[[^\]]*\]\([^)]*\.svg\)",  # alternative texts: drawings compute what they show
    r"\]\([^)]*\)",  # where links lead
    r"<[^>]+>",
    r"arXiv:\s*[\d.]+",
    r"\b(?:19|20)\d\d\b",  # years
    r"^\s*\d+\.\s",  # numbered lists
    r"\b\d+_\w+",  # names of pages
]


def source_of(cell: dict) -> str:
    "Return the text of a cell."
    return "".join(cell["source"])


def output_text(cell: dict) -> str:
    "Return all that the outputs of a cell say in words, tags removed."
    parts = []
    for output in cell.get("outputs", []):
        data = output.get("data", {})
        parts.append("".join(output.get("text", [])))
        parts += ["".join(data.get(kind, [])) for kind in ("text/plain", "text/markdown")]
        parts.append(re.sub(r"<[^>]+>", " ", html.unescape("".join(data.get("text/html", [])))))
    return "\n".join(parts)


def values_in(text: str) -> set[float]:
    "Read every number of a text, also those inside names and lists."
    found = re.findall(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+\.\d+(?:e-?\d+)?|\.\d+|\d+(?:e-?\d+)?", text)
    return {float(number.replace(",", "")) for number in found}


@functools.cache
def printed_on(page: Path) -> frozenset[float]:
    "Return the numbers that a page prints or has in its code."
    cells = json.loads(page.read_text(encoding="utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    return frozenset(values_in("\n".join(f"{source_of(cell)}\n{output_text(cell)}" for cell in code)))


@functools.cache
def benchmarks_printed() -> frozenset[float]:
    "Return the numbers of all saved results of benchmarks."
    files = sorted((top / "benchmarks" / "results").glob("*.md"))
    return frozenset(values_in("\n".join(file.read_text(encoding="utf-8") for file in files)))


def is_printed(written: str, is_share: bool, values: frozenset[float]) -> bool:
    "Tell whether a number, as rounded in prose, is among printed values; a share may be printed from 0 to 1."
    number = abs(float(written.replace(",", "")))
    digits = len(written.partition(".")[2])
    half = 0.5 * 10**-digits + 1e-9
    scales = (1, 100) if is_share or digits else (1,)
    return any(abs(value * scale - number) <= half for value in values for scale in scales)


def numbers_claimed(text: str) -> Iterator[tuple[str, bool, str]]:
    "Yield the numbers of prose that need a source, whether each is a share, and the words round it."
    plain = text
    for pattern in not_prose:
        plain = re.sub(pattern, " ", plain, flags=re.S | re.M)
    for found in numeral.finditer(plain):
        written = found[0].lstrip("-")
        after = plain[found.end():found.end() + 3]
        is_share = after.lstrip().startswith("%")
        if "." in written or is_share or len(written.replace(",", "")) >= 3:
            yield written, is_share, re.sub(r"\s+", " ", plain[max(0, found.start() - 40):found.end() + 30]).strip()


def linked_pages(page: Path, text: str) -> list[Path]:
    "Return the pages to which a cell links."
    links = re.findall(r"\]\(([^)#]+\.ipynb)", text)
    return [linked for link in links if (linked := (page.parent / link).resolve()).exists()]


def number_problems(page: Path) -> Iterator[str]:
    "Name the numbers in prose that nothing printed."
    exceptions = listed.get(str(page.relative_to(top / "nbs").with_suffix("")), {})
    own = printed_on(page) | benchmarks_printed()
    for place, cell in enumerate(json.loads(page.read_text(encoding="utf-8"))["cells"]):
        if cell["cell_type"] != "markdown":
            continue
        text = source_of(cell)
        values = own.union(*(printed_on(other) for other in linked_pages(page, text)))
        for written, is_share, context in numbers_claimed(text):
            if written not in exceptions and not is_printed(written, is_share, values):
                yield f"{page.relative_to(top)} cell {place}: nothing prints {written} (... {context} ...)"


def duration_problems(page: Path) -> Iterator[str]:
    "Say where the minutes that a page states are off by more than half of those it took."
    notebook = json.loads(page.read_text(encoding="utf-8"))
    noted = notebook["metadata"].get("executed")
    text = "\n".join(source_of(cell) for cell in notebook["cells"] if cell["cell_type"] == "markdown")
    if not noted or not (found := stated.search(text)):
        return
    said = (1.0 if found[1] in ("a", "an") else float(found[1])) / (60 if found[2] == "second" else 1)
    took = noted["minutes"]
    if abs(said - took) > max(0.5 * took, 0.25):
        yield f"{page.relative_to(top)} states {60 * said:.0f} s and took {60 * took:.0f} s"


def network_problems() -> Iterator[str]:
    "All pages show one shared network: one digest in their notes, one sentence in their outputs."
    digests: dict[str, list[str]] = {}
    sentences: dict[str, list[str]] = {}
    for page in style.notebooks():
        notebook = json.loads(page.read_text(encoding="utf-8"))
        name = str(page.relative_to(top))
        if digest := notebook["metadata"].get("executed", {}).get("network"):
            digests.setdefault(digest, []).append(name)
        text = "\n".join(output_text(cell) for cell in notebook["cells"] if cell["cell_type"] == "code")
        for sentence in set(re.findall(r"Network of \S*?runs/demo_model: (trained by fit.*)", text)):
            sentences.setdefault(sentence, []).append(name)
    for kind, groups in (("weights", digests), ("words", sentences)):
        if len(groups) > 1:
            yield f"pages show {len(groups)} shared networks, by their {kind}: {groups}"


def main(names: list[str]) -> int:
    pages = [Path(name).resolve() for name in names] or style.notebooks()
    problems = [problem for page in pages for look in (number_problems, duration_problems) for problem in look(page)]
    if not names:
        problems += network_problems()
    print("\n".join(problems))
    print(f"{len(problems)} problems")
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
