"Write README.md from nbs/index.ipynb; with --check only compare the two."
import re
import sys
from pathlib import Path

import nbformat
from nbconvert import MarkdownExporter

top = Path(__file__).resolve().parent.parent
note = "<!-- Written by tools/readme.py from nbs/index.ipynb: edit that page. -->\n"


def plain_cell(cell: nbformat.NotebookNode) -> nbformat.NotebookNode | None:
    "Return a cell without directives, warnings and HTML; None for one that is hidden."
    if cell.cell_type != "code":
        cell.pop("outputs", None)
        return cell
    if re.search(r"^#\| *(hide|default_exp)", cell.source, re.M):
        return None
    is_shown = not re.search(r"^#\| *echo: *false", cell.source, re.M)
    cell.source = re.sub(r"^#\|.*\n?", "", cell.source, flags=re.M) if is_shown else ""
    cell.outputs = [output for output in cell.get("outputs", []) if output.get("name") != "stderr"]
    for output in cell.outputs:
        output.get("data", {}).pop("text/html", None)
    return cell


def readme() -> str:
    "Return index.ipynb as Markdown, with links that hold from the top folder."
    notebook = nbformat.read(top / "nbs/index.ipynb", as_version=4)
    notebook.cells = [plain for cell in notebook.cells if (plain := plain_cell(cell))]
    text, _ = MarkdownExporter().from_notebook_node(notebook)
    # Neighbouring pages and pictures live in nbs/.
    text = re.sub(r"\]\((?!https?://|#|nbs/)([\w/.-]+\.(?:ipynb|png|svg|jpg))", r"](nbs/\1", text)
    text = re.sub(r"\]\((?:nbs/)?\.\./", "](", text)
    text = re.sub(r"```(?:python)?\n\s*```\n", "", text)  # code that only its output shows
    return note + re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


if __name__ == "__main__":
    target = top / "README.md"
    if "--check" not in sys.argv:
        target.write_text(readme(), encoding="utf-8", newline="\n")
    elif not target.exists() or target.read_text(encoding="utf-8") != readme():
        sys.exit("README.md does not follow nbs/index.ipynb: run `make readme`.")
