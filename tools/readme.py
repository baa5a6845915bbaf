"Write README.md from nbs/index.ipynb; with --check only compare. (nbdev_readme does the same through Quarto, where that is installed.)"
import re, sys
from pathlib import Path
import nbformat
from nbconvert import MarkdownExporter

top = Path(__file__).resolve().parent.parent


def readme() -> str:
    "Return index.ipynb as Markdown, with hidden cells and nbdev's directives left out and links that hold from the top folder."
    notebook = nbformat.read(top / "nbs/index.ipynb", as_version=4)
    cells = []
    for cell in notebook.cells:
        if cell.cell_type == "code" and re.search(r"^#\| *(hide|default_exp)", cell.source, re.M): continue
        is_shown = not re.search(r"^#\| *echo: *false", cell.source, re.M)
        cell.source = re.sub(r"^#\|.*\n?", "", cell.source, flags=re.M) if is_shown else ""
        cell.outputs = [o for o in cell.get("outputs", []) if o.get("name") != "stderr"] if cell.cell_type == "code" else None
        if cell.outputs is None: del cell["outputs"]
        else:
            for output in cell.outputs: output.get("data", {}).pop("text/html", None)
        cells.append(cell)
    notebook.cells = cells
    text, _ = MarkdownExporter().from_notebook_node(notebook)
    # Neighbouring pages and pictures live in nbs/.
    text = re.sub(r"\]\((?!https?://|#|nbs/)([\w/.-]+\.(?:ipynb|png|svg))", r"](nbs/\1", text)
    text = re.sub(r"\]\((?:nbs/)?\.\./", "](", text)
    note = "<!-- Written by tools/readme.py from nbs/index.ipynb: edit that page. -->\n"
    text = re.sub(r"```(?:python)?\n\s*```\n", "", text)  # code that only its output shows
    return note + re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


if __name__ == "__main__":
    target = top / "README.md"
    if "--check" in sys.argv:
        if not target.exists() or target.read_text(encoding="utf-8") != readme():
            sys.exit("README.md does not follow nbs/index.ipynb: run `make readme`.")
    else: target.write_text(readme(), encoding="utf-8", newline="\n")
