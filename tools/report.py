"""Copy the page `your_own_images` into the package, outputs stripped, where `siamese-nbdev run` finds it; with --check only compare.

`python tools/book.py nbs/applications/your_own_images.ipynb` does it too, after executing the page.
"""
import json, sys
from pathlib import Path

top = Path(__file__).resolve().parent.parent
page, target = top / "nbs/applications/your_own_images.ipynb", top / "siamese_nbdev/report.ipynb"


def package_copy() -> str:
    "Return the page as it travels inside the package: the same cells, with nothing that an execution left."
    notebook = json.loads(page.read_text(encoding="utf-8"))
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code": cell.update(execution_count=None, outputs=[])
    return json.dumps(notebook, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


if __name__ == "__main__":
    if "--check" in sys.argv:
        if not target.exists() or target.read_text(encoding="utf-8") != package_copy():
            sys.exit(f"{target.relative_to(top)} does not follow {page.relative_to(top)}: run `python tools/report.py`.")
    else: target.write_text(package_copy(), encoding="utf-8", newline="\n")
