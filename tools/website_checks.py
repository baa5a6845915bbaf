"""Looks over the site: `python tools/website_checks.py`, without Quarto; `--built _docs` follows links of a built one.

Every check is a function that yields what is wrong, one line each. `tools/check.py site` counts them.
"""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import style
import website
import yaml
from website import contract, exporting_pages, listed_pages, settings, site_url, top

nbs = top / "nbs"
page_width = 100
colors = re.compile(r"^\$([\w-]+):\s*(#[0-9a-f]{6}|\$[\w-]+)\s*;", re.M)
# What is written on what, and how far apart they must be (WCAG 2.1 AA).
pairs = [
    ("ink", "ground", 4.5),
    ("ink", "panel", 4.5),
    ("soft", "ground", 4.5),
    ("soft", "panel", 4.5),
    ("link-color", "ground", 4.5),
    ("link-color", "panel", 4.5),
    ("navbar-fg", "navbar-bg", 4.5),
    ("navbar-hl", "navbar-bg", 4.5),
    ("sidebar-fg", "sidebar-bg", 4.5),
    ("sidebar-hl", "sidebar-bg", 4.5),
    ("footer-fg", "footer-bg", 4.5),
    ("code-color", "code-bg", 4.5),
    ("pre-color", "code-block-bg", 4.5),
    ("accent", "ground", 3.0),  # the ring around what has the keyboard's focus
    *[(name, "ground", 4.5) for name in ("anchor", "positive", "negative", "first", "second", "third")],
]


@cache
def cells_of(page: Path) -> list[dict]:
    "Read the cells of a page, sources joined."
    cells = json.loads(page.read_text(encoding="utf-8"))["cells"]
    for cell in cells:
        cell["source"] = "".join(cell["source"])
    return cells


def name_of(page: Path) -> str:
    "Return the name of a page below nbs."
    return page.relative_to(nbs).as_posix()


def directives(source: str) -> set[str]:
    "List the directives of a cell, without their values."
    return set(re.findall(r"^#\| *([\w-]+)", source, re.M))


def is_shown(cell: dict) -> bool:
    "Tell whether readers of the site see the code of a cell."
    hidden = {"hide", "export", "exporti", "default_exp"} & directives(cell["source"])
    return cell["cell_type"] == "code" and not hidden and not re.search(r"^#\| *echo: *false", cell["source"], re.M)


def without_code(text: str) -> str:
    "Return Markdown without fences and code spans."
    return re.sub(r"`[^`\n]*`", "", re.sub(r"^ *```.*?^ *```", "", text, flags=re.M | re.S))


def headings(page: Path) -> list[tuple[int, str]]:
    "List level and text of the headings of a page."
    found = []
    for cell in cells_of(page):
        if cell["cell_type"] == "markdown":
            text = re.sub(r"^ *```.*?^ *```", "", cell["source"], flags=re.M | re.S)
            found += [(len(marks), words.strip()) for marks, words in re.findall(r"^(#+) +(.+)$", text, re.M)]
    return found


def anchor_of(heading: str) -> str:
    "Return the anchor that Pandoc gives a heading."
    if explicit := re.search(r"\{#([\w.-]+)[^}]*\}\s*$", heading):
        return explicit[1]
    words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
    words = re.sub(r"[^\w\s.-]", "", words.lower()).strip()
    return re.sub(r"^[^a-z]+", "", re.sub(r"\s+", "-", words)) or "section"


@cache
def anchors_of(page: Path) -> frozenset[str]:
    "List the anchors of a page: headings, exported names, and ids written by hand."
    found = {anchor_of(words) for _, words in headings(page)}
    modules = [module for module, home in exporting_pages().items() if home == name_of(page)]
    found |= {name.lower() for module in modules for name in contract["public"].get(module, [])}
    for cell in cells_of(page):
        found |= set(re.findall(r'\bid="([\w-]+)"', cell["source"])) | set(re.findall(r"\{#([\w-]+)", cell["source"]))
    return frozenset(found)


def texts_of(page: Path) -> Iterator[tuple[int, str]]:
    "Yield the Markdown of a page, cells and outputs, with the numbers of their cells."
    for number, cell in enumerate(cells_of(page)):
        if cell["cell_type"] == "markdown":
            yield number, cell["source"]
        for output in cell.get("outputs", []):
            if "text/markdown" in output.get("data", {}):
                yield number, "".join(output["data"]["text/markdown"])


# ---- checks


def alternative_problems() -> Iterator[str]:
    "Every figure has words for those who do not see it."
    for page in style.notebooks():
        for number, cell in enumerate(cells_of(page)):
            where = f"{name_of(page)} cell {number}"
            if cell["cell_type"] == "markdown":
                text = without_code(cell["source"])
                empty = re.findall(r"!\[\s*\]\(([^)]*)\)", text)
                bare = [tag for tag in re.findall(r"<img\b[^>]*>", text) if not re.search(r'\balt="[^"]', tag)]
                yield from (f"{where}: no alternative text: {picture}" for picture in empty + bare)
            kinds = {kind for output in cell.get("outputs", []) for kind in output.get("data", {})}
            is_seen = not {"hide", "include"} & directives(cell["source"])
            if is_seen and any(kind.startswith("image/") for kind in kinds):
                if not re.search(r'^#\| *fig-alt: *"?[^"\s]', cell["source"], re.M):
                    yield f"{where}: a figure without #| fig-alt"


def unique_problems() -> Iterator[str]:
    "A public name is defined in one module only, and is no heading."
    public = {name: module for module, names in contract["public"].items() for name in names}
    listed = Counter(name for names in contract["public"].values() for name in names)
    yield from (f"{name} is public in {count} modules" for name, count in listed.items() if count > 1)
    for file in sorted((top / settings["lib_path"]).glob("[a-z]*.py")):
        for name in website.defined_in(file.stem):
            if public.get(name, file.stem) != file.stem:
                yield f"{file.name} defines {name}, which is public in {public[name]}"
    anchors = {name.lower() for name in public}
    for page in style.notebooks():
        for _, words in headings(page):
            if words.strip("`() ").lower() in anchors and page.stem != "reference":
                yield f"{name_of(page)}: the heading {words!r} is the name of something exported"


def heading_problems() -> Iterator[str]:
    "One title a page, and no level is skipped."
    for page in style.notebooks():
        before = 0
        for level, words in headings(page):
            if level > before + 1 or (level == 1 and before):
                yield f"{name_of(page)}: {'#' * level} {words} follows level {before}"
            before = level


def sidebar_problems() -> Iterator[str]:
    "The sidebar lists every page once."
    count = Counter(page for _, page in listed_pages())
    there = {name_of(page) for page in style.notebooks()}
    yield from (f"{page} is not in sidebar.yml" for page in sorted(there - set(count)))
    yield from (f"sidebar.yml lists {page}, which is not there" for page in sorted(set(count) - there))
    yield from (f"sidebar.yml lists {page} {times} times" for page, times in count.items() if times > 1)


def named_files(part: object, key: str = "") -> Iterator[str]:
    "Yield what _quarto.yml names as a file."
    keys = {"theme", "light", "dark", "href", "favicon", "image", "metadata-files", "resources", "include-after-body"}
    if isinstance(part, dict):
        for name, inner in part.items():
            yield from named_files(inner, name)
    elif isinstance(part, list):
        for inner in part:
            yield from named_files(inner, key)
    elif isinstance(part, str) and key in keys and not part.startswith("http") and part != "default":
        yield part


def config_problems() -> Iterator[str]:
    "The files that _quarto.yml names are there, and it says what settings.ini says."
    config = yaml.safe_load((nbs / "_quarto.yml").read_text(encoding="utf-8"))
    for name in named_files(config):
        if name != "llms.txt" and not list(nbs.glob(name.lstrip("/"))):
            yield f"_quarto.yml names {name}, which is not there"
    site = config["website"]
    said = {
        "title": site["title"],
        "description": site["description"],
        "git_url": site["repo-url"],
        "branch": site["repo-branch"],
        "nbs_path": site["repo-subdir"],
        "doc_path": config["project"]["output-dir"],
    }
    for key, value in [*said.items(), ("site-url", site["site-url"])]:
        wanted = site_url if key == "site-url" else settings[key]
        if value != wanted:
            yield f"_quarto.yml says {value!r} where settings.ini has {wanted!r}"
    if not str(config["format"].get("commonmark", {}).get("variant", "")).endswith("+tex_math_dollars"):
        yield "_quarto.yml: commonmark without +tex_math_dollars warns about every formula"


def link_problems() -> Iterator[str]:
    "Links and anchors of the pages lead somewhere within nbs."
    for page in style.notebooks():
        for number, text in texts_of(page):
            for target in re.findall(r"\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\)", without_code(text)):
                if problem := link_problem(page, target):
                    yield f"{name_of(page)} cell {number}: {target} {problem}"


def link_problem(page: Path, target: str) -> str:
    "Say what is wrong with a link; nothing where it leads to another place of the network."
    if re.match(r"[a-z]+:", target):
        return "" if target.startswith(("http", "mailto:")) else "is no address"
    path, _, anchor = target.partition("#")
    file = (page.parent / unquote(path)).resolve() if path else page
    if not file.is_relative_to(nbs):
        return "leads out of nbs: on the site it is broken, write the whole address"
    if not file.is_file():
        return "is not there"
    if anchor and file.suffix == ".ipynb" and anchor not in anchors_of(file):
        return f"has no such place in {file.name}"
    return ""


def width_problems() -> Iterator[str]:
    "Lines of code that are shown hold at most 100 characters; exported ones, which tools/style.py measures, may wrap."
    for page in style.notebooks():
        for number, cell in enumerate(cells_of(page)):
            is_lesson = is_shown(cell) and "exports" not in directives(cell["source"])
            lines = cell["source"].splitlines() if is_lesson else []
            if cell["cell_type"] == "markdown":
                lines = "\n".join(re.findall(r"^ *```.*?^ *```", cell["source"], re.M | re.S)).splitlines()
            for line in lines:
                if len(line) > page_width:
                    yield f"{name_of(page)} cell {number}: {len(line)} characters: {line.strip()[:60]}"


def luminance(color: str) -> float:
    "Return the relative luminance of a colour, as WCAG defines it."
    shares = [int(color[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a: str, b: str) -> float:
    "Return the contrast of two colours, from 1 to 21."
    darker, lighter = sorted([luminance(a), luminance(b)])
    return (lighter + 0.05) / (darker + 0.05)


def color_problems() -> Iterator[str]:
    "Colours stand in light.scss and dark.scss alone, far enough apart."
    for name in ("light", "dark"):
        values = dict(colors.findall((nbs / f"{name}.scss").read_text(encoding="utf-8")))

        def value(key: str, values: dict[str, str] = values) -> str:
            found = values[key]
            return found if found[0] == "#" else value(found[1:])

        for front, back, wanted in pairs:
            reached = contrast(value(front), value(back))
            if reached < wanted:
                yield f"{name}.scss: {front} on {back} has {reached:.2f} : 1, {wanted} wanted"
        if "pre-color" not in values:
            yield f"{name}.scss: without $pre-color outputs are black in the dark"
    shapes = (nbs / "custom.scss").read_text(encoding="utf-8")
    for color in re.findall(r"#[0-9a-f]{3,6}\b", shapes):
        yield f"custom.scss: {color}: colours go to light.scss and dark.scss"


def scss_problems() -> Iterator[str]:
    "The styles compile in both dresses."
    shapes = (nbs / "custom.scss").read_text(encoding="utf-8")
    for name in ("light", "dark"):
        source = (nbs / f"{name}.scss").read_text(encoding="utf-8") + shapes
        yield from (f"{name}: {problem}" for problem in compiled(source))


def compiled(source: str) -> list[str]:
    "Compile SCSS with libsass, else with the program sass; return what it complains about."
    try:
        import sass
    except ImportError:
        program = shutil.which("sass")
        if not program:
            return ["neither libsass (pip) nor sass (npm) is installed"]
        done = subprocess.run([program, "--stdin"], input=source, text=True, capture_output=True)
        return [done.stderr.strip()] if done.returncode else []
    try:
        return [] if sass.compile(string=source) else ["compiles to nothing"]
    except sass.CompileError as error:
        return [str(error)]


def picture_problems() -> Iterator[str]:
    "Home and README open with a picture, and README holds nothing that GitHub does not show."
    first = "\n".join(cell["source"] for cell in cells_of(nbs / "index.ipynb")[:2])
    readme = (top / "README.md").read_text(encoding="utf-8")
    for name, text, root in (("index.ipynb", first, nbs), ("README.md", readme[:2000], top)):
        found = re.search(r"!\[[^\]]{40,}\]\(([^)]+\.(?:jpg|png|svg))\)", text)
        if not found or not (root / found[1]).is_file():
            yield f"{name}: no picture with an alternative text near the top"
    if found := re.search(r"^:::|^<(?!!--)\w+|\]\([^)]*\)\{", readme, re.M):
        yield f"README.md: {found[0]!r} is not shown by GitHub"


def reference_problems() -> Iterator[str]:
    "The list of public names is that of the contract, every name with its sentence."
    if not website.write_reference(is_check=True):
        yield "nbs/reference.ipynb is out of step: run `python tools/website.py --reference`"
    yield from (f"{name} has no sentence" for name in website.places() if not website.doc_of(name))


def colab_problems() -> Iterator[str]:
    "Every page that uses the package installs it on Colab."
    for page in style.notebooks():
        cells = cells_of(page)
        own = [cell["source"] for cell in cells if cell.get("id") == website.colab_id]
        if page.stem != "index" and website.needs_colab(cells) and own != [website.colab_cell]:
            yield f"{name_of(page)}: no cell for Colab: run `python tools/website.py --colab`"


def processed_problems() -> Iterator[str]:
    "nbdev processes every page as the site needs it, without a warning, and puts no link inside a fence."
    leave = shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints", "runs")
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder).resolve()
        for name in ("settings.ini", "setup.py", "pyproject.toml"):
            shutil.copy(top / name, copy)
        for name in ("nbs", "tools", settings["lib_path"]):
            shutil.copytree(top / name, copy / name, ignore=leave)
        environment = {**os.environ, "PYTHONPATH": str(copy), "MPLBACKEND": "agg", "OMP_NUM_THREADS": "1"}
        command = [sys.executable, copy / "tools" / "website.py", "--process", copy]
        done = subprocess.run(command, cwd=copy, env=environment, text=True, capture_output=True)
        if done.returncode:
            yield done.stderr[-3000:]
            return
        if found := re.search(r"Found cells containing imports and other code.*?---(.*?)---", done.stderr, re.S):
            yield f"a cell with an import holds other code too, and is executed while the site is built: {found[1]}"
        for page in sorted((copy / "_proc").rglob("*.ipynb")):
            yield from (f"{page.name}: {problem}" for problem in processed_page_problems(page))


def processed_page_problems(page: Path) -> Iterator[str]:
    "Say what is wrong with one processed page."
    for cell in json.loads(page.read_text(encoding="utf-8"))["cells"]:
        texts = ["".join(cell["source"])] if cell["cell_type"] == "markdown" else []
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            texts.append("".join(data.get("text/markdown", [])))
            if "text/html" in data:
                yield "an HTML output, for which Quarto loads scripts from elsewhere"
        for text in texts:
            for fence in re.findall(r"^ *```.*?^ *```", text, re.M | re.S):
                if found := re.search(r"\[`[^`]+`\]\([^)]+\)", fence):
                    yield f"a link inside a fence: {found[0]}"


checks: dict[str, Callable[[], Iterator[str]]] = {
    "figures have alternative texts": alternative_problems,
    "public names are unique": unique_problems,
    "headings follow each other": heading_problems,
    "the sidebar lists every page once": sidebar_problems,
    "_quarto.yml names what is there": config_problems,
    "links lead somewhere": link_problems,
    "shown lines are narrow": width_problems,
    "colours are far enough apart": color_problems,
    "styles compile": scss_problems,
    "home and README open with a picture": picture_problems,
    "the reference lists the contract": reference_problems,
    "pages install on Colab": colab_problems,
    "pages are processed for the site": processed_problems,
}


# ---- the built site


class Built(HTMLParser):
    "Collects ids, links, and what a built page loads."

    def __init__(self, text: str):
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {key: value or "" for key, value in attrs}
        self.ids |= {found[key] for key in ("id", "name") if key in found}
        if tag == "a" and "href" in found:
            self.links.append(found["href"])
        elif tag in ("script", "img", "iframe", "source") and "src" in found:
            self.loads.append(found["src"])
        elif tag == "link" and re.search(r"stylesheet|icon|preload", found.get("rel", "")):
            self.loads.append(found["href"])


def built_problems(folder: Path) -> Iterator[str]:
    "Follow every link of a built site; nothing may be broken, and nothing loaded from elsewhere."
    files = [file for file in sorted(folder.rglob("*.html")) if "site_libs" not in file.parts]
    pages = {file: Built(file.read_text(encoding="utf-8")) for file in files}
    if not pages:
        yield f"{folder} holds no page"
    for file, page in pages.items():
        name = file.relative_to(folder)
        for address in page.loads:
            if re.match(r"(https?:)?//", address):
                yield f"{name} loads {address}"
        for address in [*page.links, *page.loads]:
            start = file.parent
            if address.startswith(site_url + "/"):
                start = folder
                address = address.removeprefix(site_url + "/")
            parts = urlsplit(address)
            if parts.scheme or address.startswith("//") or not address:
                continue
            target = (start / unquote(parts.path)).resolve() if parts.path else file
            target = target / "index.html" if target.is_dir() else target
            if not target.is_file():
                yield f"{name}: {address} is broken"
            elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].ids:
                yield f"{name}: {address} has no such place"


def main(arguments: list[str]) -> int:
    if arguments[:1] == ["--built"]:
        problems = list(built_problems(Path(arguments[1]).resolve()))
        print("\n".join(problems))
        print(f"{len(problems)} problems")
        return bool(problems)
    count = 0
    for title, look in checks.items():
        problems = list(look())
        count += len(problems)
        print(f"{'FAILED' if problems else 'ok    '} {title}" + "".join(f"\n       {line}" for line in problems))
    print(f"{count} problems")
    return bool(count)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
