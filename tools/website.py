"""Makes the site: `python tools/website.py` builds it into _docs with Quarto, from the saved outputs.

`--reference` writes nbs/reference.ipynb, `--colab` puts the cell that installs the package on Colab into every page,
`--process FOLDER` does all but Quarto's part. README.md is not touched: tools/readme.py writes it.
`settings.ini` names `Reference`, `LinkNames` and `PageTools` for nbdev, which runs them over each page.
"""
import argparse
import ast
import functools
import io
import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
import tokenize
from configparser import ConfigParser
from pathlib import Path
from typing import NamedTuple

import yaml
from nbdev.process import Processor

top = Path(__file__).resolve().parent.parent
contract = json.loads((top / "tools" / "contract.json").read_text(encoding="utf-8"))
parser = ConfigParser(delimiters=["="])
parser.read(top / "settings.ini", encoding="utf-8")
settings = parser["DEFAULT"]
source_url = f"{settings['git_url']}/blob/{settings['branch']}"
site_url = settings["doc_host"] + settings["doc_baseurl"]


# ---- where a public name lives


class Place(NamedTuple):
    "Where a public name is defined."

    module: str
    page: str  # Below nbs, as `03_loss.ipynb`
    node: ast.stmt


@functools.cache
def exporting_pages() -> dict[str, str]:
    "Return the page of each module."
    found = {}
    for page in sorted((top / "nbs").rglob("*.ipynb")):
        name = re.search(r'"#\| *default_exp +(\w+)', page.read_text(encoding="utf-8"))
        if name and "_proc" not in page.parts:
            found[name[1]] = page.relative_to(top / "nbs").as_posix()
    return found


@functools.cache
def module_source(module: str) -> str:
    "Return the text of a module."
    return (top / settings["lib_path"] / f"{module}.py").read_text(encoding="utf-8")


def defined_in(module: str) -> dict[str, ast.stmt]:
    "Return what a module defines at its top level, by name."
    found: dict[str, ast.stmt] = {}
    for node in ast.parse(module_source(module)).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found[node.name] = node
        elif isinstance(node, ast.Assign):
            found.update({target.id: node for target in node.targets if isinstance(target, ast.Name)})
    return found


@functools.cache
def places() -> dict[str, Place]:
    "Return where each name of the contract is defined."
    found = {}
    for module, names in contract["public"].items():
        nodes = defined_in(module) if names else {}
        for name in names:
            found[name] = Place(module, exporting_pages()[module], nodes[name])
    return found


def doc_of(name: str) -> str:
    "Return the sentence that documents a name: its docstring, or the comment above a constant."
    place = places()[name]
    if isinstance(place.node, ast.Assign):
        above = module_source(place.module).splitlines()[place.node.lineno - 2]
        return above.removeprefix("#").strip() if above.startswith("# ") and not above.startswith("# %%") else ""
    return ast.get_docstring(place.node) or ""  # type: ignore[arg-type]


# ---- how a public name is documented: `renderer` in settings.ini


class Parameter(NamedTuple):
    "One row of the table of parameters."

    name: str
    kind: str  # Type and default
    meaning: str


def comments_of(source: str) -> dict[int, str]:
    "Return the comment at the end of each line that has one."
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return {token.start[0]: token.string.lstrip("# ") for token in tokens if token.type == tokenize.COMMENT}


def kind_of(annotation: ast.expr | None, default: ast.expr | None) -> str:
    "Write type and default as they are read aloud; a bar would end a cell of the table."
    kinds = ast.unparse(annotation).strip("'\"") if annotation else ""
    text = " or ".join(f"`{part.strip()}`" for part in kinds.split("|")) if kinds else ""
    return text if default is None else f"{text} = `{ast.unparse(default)}`".strip().replace("|", "\\|")


def function_parameters(node: ast.FunctionDef, comments: dict[int, str]) -> list[Parameter]:
    "Return the parameters of a function with the comments beside them."
    listed = node.args.posonlyargs + node.args.args
    defaults = dict(zip(reversed(listed), reversed(node.args.defaults), strict=False))
    defaults |= {key: value for key, value in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True) if value}
    rows = []
    for parameter in [*listed, *node.args.kwonlyargs]:
        default = defaults.get(parameter)
        last_line = (default or parameter).end_lineno or 0
        rows.append(Parameter(parameter.arg, kind_of(parameter.annotation, default), comments.get(last_line, "")))
    return [row for row in rows if row.name not in ("self", "cls")]


def class_parameters(node: ast.ClassDef, module: str) -> list[Parameter]:
    "Return the parameters of a class: those of `__init__`, else the fields of the classes it builds on and its own."
    comments = comments_of(module_source(module))
    for inner in node.body:
        if isinstance(inner, ast.FunctionDef) and inner.name == "__init__":
            return function_parameters(inner, comments)
    inherited = [row for base in bases_of(node, module) for row in class_parameters(*base)]
    fields = [line for line in node.body if isinstance(line, ast.AnnAssign)]
    return inherited + [
        Parameter(
            ast.unparse(field.target),
            kind_of(field.annotation, default_of(field)),
            comments.get(field.end_lineno or 0, ""),
        )
        for field in fields
    ]


def default_of(field: ast.AnnAssign) -> ast.expr | None:
    "Return the default of a field, also where it is written as `field(default=...)`."
    if not isinstance(field.value, ast.Call) or ast.unparse(field.value.func) != "field":
        return field.value
    given = {keyword.arg: keyword.value for keyword in field.value.keywords}
    if "default_factory" in given:
        return ast.Call(given["default_factory"], [], [])
    return given.get("default")


def bases_of(node: ast.ClassDef, module: str) -> list[tuple[ast.ClassDef, str]]:
    "Return those classes that a class builds on which are the library's own, with their modules."
    homes = {node.name: module}
    for line in ast.parse(module_source(module)).body:
        if isinstance(line, ast.ImportFrom) and (line.module or "").startswith(f"{settings['lib_path']}."):
            homes |= {alias.name: (line.module or "").split(".")[-1] for alias in line.names}
    found = []
    for base in node.bases:
        home = homes.get(ast.unparse(base), module)
        inherited = defined_in(home).get(ast.unparse(base))
        if isinstance(inherited, ast.ClassDef):
            found.append((inherited, home))
    return found


def plain(text: str) -> str:
    "Escape what Markdown would take for itself, code left alone."
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(part if part[:1] == "`" else re.sub(r"([*<>|$~^\[\]])", r"\\\1", part) for part in parts)


def table(head: list[str], rows: list[list[str]]) -> str:
    "Write a table; a last column that is empty throughout is left out."
    if rows and not any(row[-1] for row in rows):
        head, rows = head[:-1], [row[:-1] for row in rows]
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) if rows else ""


class Reference:
    "Document one public name: its source, its call, its sentence, and tables of parameters and methods."

    def __init__(self, symbol: object, name: str | None = None, title_level: int = 3):
        self.name = name or str(getattr(symbol, "__name__", symbol))
        self.level = title_level

    def _repr_markdown_(self) -> str:
        place = places()[self.name]
        node = place.node
        comments = comments_of(module_source(place.module))
        if isinstance(node, ast.ClassDef):
            rows = class_parameters(node, place.module)
        else:
            rows = function_parameters(node, comments)  # type: ignore[arg-type]
        source = f"{source_url}/{settings['lib_path']}/{place.module}.py#L{node.lineno}"
        parts = [
            f"{'#' * self.level} `{self.name}` {{#{self.name.lower()}}}",
            f"[source]({source}){{.source-link}} {plain(doc_of(self.name))}",
            "```python\n" + call(node, rows) + "\n```",
            "::: {.parameters}",
            table(["parameter", "type and default", "meaning"], [[f"`{n}`", k, plain(m)] for n, k, m in rows]),
        ]
        if isinstance(node, ast.FunctionDef) and node.returns:
            meaning = comments.get(node.returns.end_lineno or 0, "")
            parts.append(f"Returns {kind_of(node.returns, None)}{': ' if meaning else ''}{plain(meaning)}.")
        if isinstance(node, ast.ClassDef):
            parts.append(table(["method", "what it does", "what it takes"], methods_of(node, comments)))
        return "\n\n".join(part for part in [*parts, ":::"] if part)


def call(node: ast.stmt, rows: list[Parameter]) -> str:
    "Write how a name is called: parameters without types, a star before those that take a keyword."
    names = [row.name for row in rows]
    called = node
    if isinstance(node, ast.ClassDef):
        starts = [inner for inner in node.body if isinstance(inner, ast.FunctionDef) and inner.name == "__init__"]
        called = starts[0] if starts else node
    if isinstance(called, ast.FunctionDef) and called.args.kwonlyargs:
        names.insert(len(names) - len(called.args.kwonlyargs), "*")
    text = f"{node.name}({', '.join(names)})"  # type: ignore[attr-defined]
    return "\n".join(textwrap.wrap(text, 88, subsequent_indent="    "))


def methods_of(node: ast.ClassDef, comments: dict[int, str]) -> list[list[str]]:
    "Return public methods that are explained, with what their parameters mean, as rows of a table."
    rows = []
    for inner in node.body:
        if isinstance(inner, ast.FunctionDef) and inner.name[0] != "_" and (sentence := ast.get_docstring(inner)):
            is_property = any(ast.unparse(decorator).endswith("property") for decorator in inner.decorator_list)
            taken = function_parameters(inner, comments)
            shown = inner.name if is_property else f"{inner.name}({', '.join(row.name for row in taken)})"
            takes = "<br>".join(f"`{row.name}`: {plain(row.meaning)}" for row in taken if row.meaning)
            rows.append([f"`{shown}`", plain(" ".join(sentence.split())), takes])
    return rows


# ---- what nbdev does to each page besides: `procs` in settings.ini


def link_to(name: str, page: str) -> str:
    "Return where a public name, or a method of one, is documented, as seen from a page."
    target = places()[name.split(".")[0]]
    start = "" if target.page == page else os.path.relpath(target.page, Path(page).parent).replace(os.sep, "/")
    has_heading = isinstance(target.node, ast.FunctionDef | ast.ClassDef)
    return f"{start}#{name.split('.')[0].lower()}" if has_heading else start


def linked(text: str, page: str) -> str:
    "Link the first mention of each public name, outside of fences, headings and links."
    seen = set()

    def link(found: re.Match) -> str:
        name = found["name"]
        if not name or name.split(".")[0] not in places() or name in seen or not (target := link_to(name, page)):
            return found[0]
        seen.add(name)
        return f"[{found[0]}]({target})"

    in_fence = False
    lines = text.splitlines()
    for number, line in enumerate(lines):
        if line.lstrip().startswith("```"):
            in_fence = not in_fence
        elif not in_fence and not line.startswith(("#", "    ", ":::", "<")):
            lines[number] = re.sub(r"!?\[[^\]]*\]\([^)]*\)|`(?P<name>[A-Za-z_][\w.]*)(?:\(\))?`", link, line)
    return "\n".join(lines)


class LinkNames(Processor):
    "Link public names to their place in the reference; takes the place of nbdev's `add_links`, which links any name."

    def cell(self, cell):
        page = Path(self.nb.path_).resolve().relative_to(top / "nbs").as_posix()
        if cell.cell_type == "markdown" and cell.source:
            cell.source = linked(cell.source, page)
        for output in cell.get("outputs", []):
            if "text/markdown" in output.get("data", {}):
                output["data"]["text/markdown"] = linked("".join(output["data"]["text/markdown"]), page)


colab_cell = f"""#| hide
# Google Colab does not have the package: this installs it there, and does nothing elsewhere.
if "google.colab" in str(get_ipython()):
    source = "git+{settings["git_url"]}"
    needs = '"fastcore<1.13" pytorch-metric-learning ' + source
    get_ipython().run_line_magic("pip", "install -q " + needs)"""
colab_id = "c01ab000"


def needs_colab(cells: list) -> bool:
    "Tell whether a page uses the package."
    return any(
        cell["cell_type"] == "code" and re.search(r"^\s*(?:from|import) siamese_nbdev", "".join(cell["source"]), re.M)
        for cell in cells
    )


def plain_table(page: str) -> str:
    """Return an HTML output as Markdown that carries it raw, without its style.

    Quarto loads two scripts from elsewhere wherever an output is HTML, in case it should be a widget."""
    page = re.sub(r"<style scoped>.*?</style>", "", page, flags=re.S)
    return f"\n```{{=html}}\n{page.strip()}\n```\n"


class PageTools(Processor):
    "Put links to Colab and to the notebook under the title of a page that can be run, and make tables plain."

    def begin(self):
        self.can_run = any(cell.get("id") == colab_id for cell in self.nb.cells)

    def cell(self, cell):
        for output in cell.get("outputs", []):
            if "text/html" in (data := output.get("data", {})):
                data["text/markdown"] = plain_table("".join(data.pop("text/html")))

    def end(self):
        self.nb.metadata.pop("widgets", None)
        if not self.can_run:
            return
        page = Path(self.nb.path_).resolve().relative_to(top).as_posix()
        colab = f"https://colab.research.google.com/github/{settings['user']}/{settings['repo']}"
        links = f"[Open in Colab]({colab}/blob/{settings['branch']}/{page}) · [notebook]({source_url}/{page})"
        from execnb.nbio import mk_cell

        self.nb.cells.insert(1, mk_cell(f"::: {{.page-tools}}\n{links}\n:::", "markdown"))


def add_colab_cells() -> None:
    "Put the cell that installs on Colab behind the title of every page that needs it."
    for file in sorted((top / "nbs").rglob("*.ipynb")):
        notebook = json.loads(file.read_text(encoding="utf-8"))
        cells = [cell for cell in notebook["cells"] if cell.get("id") != colab_id]
        if needs_colab(cells) and file.stem != "index":
            cell = {
                "cell_type": "code",
                "execution_count": None,
                "id": colab_id,
                "metadata": {"jupyter": {"source_hidden": True}},
                "outputs": [],
                "source": colab_cell.splitlines(keepends=True),
            }
            cells.insert(1, cell)
        if cells != notebook["cells"]:
            notebook["cells"] = cells
            file.write_text(json.dumps(notebook, ensure_ascii=False, indent=1) + "\n", encoding="utf-8", newline="\n")


# ---- pages and files that are written by this script


@functools.cache
def title_of(page: str) -> tuple[str, str]:
    "Return title and summary of a page below nbs."
    first = json.loads((top / "nbs" / page).read_text(encoding="utf-8"))["cells"][0]["source"]
    lines = "".join(first).splitlines()
    title = next((line.removeprefix("# ") for line in lines if line.startswith("# ")), page)
    summary = next((line.removeprefix("> ") for line in lines if line.startswith("> ")), "")
    return title.strip(), summary.strip()


def reference_text() -> list[str]:
    "Return the cells of the reference: every public name with its sentence, by page."
    intro = (
        f"The {len(places())} names below are the library's promise: what they do, what they are called and what they "
        "take changes only with a note in the change log. Each name leads to the page that builds it, explains it and "
        "lists its parameters. Everything else in the modules may change without notice."
    )
    summary = "What the library promises: every public name, what it does, and where it is explained."
    cells = [f"# All public names\n\n> {summary}", intro]
    for module in [*contract["order"], *contract["workshops"]]:
        names = contract["public"][module]
        if not names:
            continue
        page = exporting_pages()[module]
        title, _ = title_of(page)
        label = Path(page).stem
        rows = [[f"[`{name}`]({link_to(name, 'reference.ipynb')})", plain(first_sentence(name))] for name in names]
        head = f"## {label}: {title}\n\n`from siamese_nbdev.{module} import ...`, explained on [{label}]({page})\n\n"
        cells.append(head + table(["name", "what it does"], rows))
    return cells


def first_sentence(name: str) -> str:
    "Return the first paragraph of what documents a name."
    return " ".join(doc_of(name).split("\n\n")[0].split())


def write_reference(is_check: bool) -> bool:
    "Write nbs/reference.ipynb, or tell whether it is what would be written."
    cells = [
        {"cell_type": "markdown", "id": f"refe{number:04}", "metadata": {}, "source": text.splitlines(keepends=True)}
        for number, text in enumerate(reference_text())
    ]
    metadata = {"kernelspec": {"display_name": "python3", "language": "python", "name": "python3"}}
    notebook = {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    text = json.dumps(notebook, ensure_ascii=False, indent=1) + "\n"
    file = top / "nbs" / "reference.ipynb"
    if is_check:
        return file.exists() and file.read_text(encoding="utf-8") == text
    file.write_text(text, encoding="utf-8", newline="\n")
    return True


def listed_pages(contents: list | None = None) -> list[tuple[str, str]]:
    "Return (section, page) of every line of sidebar.yml, in order."
    if contents is None:
        sidebar = yaml.safe_load((top / "nbs" / "sidebar.yml").read_text(encoding="utf-8"))
        contents = sidebar["website"]["sidebar"]["contents"]
    found = []
    for entry in contents:
        if "section" in entry:
            found += [(entry["section"], page) for _, page in listed_pages(entry["contents"] or [])]
        else:
            found.append(("", entry["href"]))
    return found


def html_name(page: str) -> str:
    "Return the name that nbdev gives the built page: without its number."
    path = Path(page)
    return path.with_name(re.sub(r"^\d+[a-zA-Z0-9]*_", "", path.name.lower())).with_suffix(".html").as_posix()


def llms_text() -> str:
    "Return llms.txt: every page, as Markdown, with its summary."
    lines = [f"# {settings['title']}", "", f"> {settings['description']}"]
    section = ""
    for part, page in listed_pages():
        if part != section:
            section = part
            lines += ["", f"## {part}", ""]
        title, summary = title_of(page)
        lines.append(f"- [{title}]({site_url}/{html_name(page)}.md): {summary}")
    return "\n".join(lines) + "\n"


# ---- building


def process(folder: Path) -> Path:
    "Let nbdev process the pages of the project in a folder and return where they lie, ready for Quarto."
    from nbdev.serve import proc_nbs

    os.chdir(folder)
    cache = proc_nbs(n_workers=2, force=True)
    (cache / "llms.txt").write_text(llms_text(), encoding="utf-8", newline="\n")
    return cache


def build() -> None:
    "Build the site into _docs."
    quarto = shutil.which("quarto")
    if not quarto:
        sys.exit("Quarto is missing: install it from https://quarto.org/docs/get-started/ and run this again.")
    shutil.rmtree(top / "_proc", ignore_errors=True)
    cache = process(top)
    subprocess.run([quarto, "render", "--no-cache"], cwd=cache, check=True)
    target = top / settings["doc_path"]
    shutil.rmtree(target, ignore_errors=True)
    shutil.move(cache / settings["doc_path"], target)


def main(arguments: list[str]) -> int:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    options.add_argument("--reference", action="store_true", help="write nbs/reference.ipynb")
    options.add_argument("--colab", action="store_true", help="put the installing cell into every page")
    options.add_argument("--process", metavar="FOLDER", help="process the pages of a copy of the project")
    options.add_argument("--check", action="store_true", help="with --reference: only compare")
    chosen = options.parse_args(arguments)
    if chosen.reference:
        return not write_reference(chosen.check)
    if chosen.colab:
        add_colab_cells()
    elif chosen.process:
        print(process(Path(chosen.process)))
    else:
        build()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
