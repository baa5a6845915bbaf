"Execute pages in full, in reading order, and save their outputs: `python tools/book.py [nbs/04_training.ipynb ...]`."
import base64
import io
import os
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbdev.clean import nbdev_clean
from PIL import Image

top = Path(__file__).resolve().parent.parent


def pages() -> list[Path]:
    "Return every notebook in reading order: the appendix, the numbered walk, the applications, the index."
    paths = (top / "nbs").rglob("*.ipynb")
    found = [path for path in paths if not any(part[0] in "._" for part in path.relative_to(top).parts)]
    rank = {"appendix": 0, "nbs": 1, "applications": 2}
    return sorted(found, key=lambda path: (path.stem == "index", rank.get(path.parent.name, 3), path.name))


def drop_progress(notebook: nbformat.NotebookNode) -> None:
    "Remove progress bars from the outputs: they differ on every run and say nothing on a page."
    def is_bar(output: dict) -> bool:
        return output.get("name") == "stderr" and "\r" in output.get("text", "")

    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if not is_bar(output)]


def as_jpeg(encoded: str, limit: int) -> str:
    "Turn a PNG into a JPEG below a number of bytes, on a white ground; both in base64."
    figure = Image.open(io.BytesIO(base64.b64decode(encoded))).convert("RGBA")
    figure = Image.alpha_composite(Image.new("RGBA", figure.size, "white"), figure).convert("RGB")
    small = io.BytesIO()
    for quality in (90, 85, 80, 70):
        small = io.BytesIO()
        figure.save(small, "JPEG", quality=quality, subsampling=0, optimize=True)
        if small.tell() < limit: break
    return base64.b64encode(small.getvalue()).decode()


def shrink_figures(notebook: nbformat.NotebookNode, limit: int = 120_000) -> None:
    "Save large figures (grids of pictures) again as JPEG, which takes about a fifth of the room."
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            encoded = output.get("data", {}).get("image/png")
            if encoded is None or len(encoded) * 3 / 4 < limit: continue
            del output["data"]["image/png"]
            output["data"]["image/jpeg"] = as_jpeg(encoded, limit)


def execute(page: Path) -> None:
    "Run one page top to bottom in its own folder and save it, cleaned."
    notebook = nbformat.read(page, as_version=4)
    started = time.time()
    place = {"metadata": {"path": str(page.parent)}}
    NotebookClient(notebook, timeout=1800, kernel_name="python3", resources=place).execute()
    drop_progress(notebook)
    shrink_figures(notebook)
    nbformat.write(notebook, page)
    nbdev_clean(str(page))
    print(f"{page.relative_to(top)}: {time.time() - started:.0f} s", flush=True)


if __name__ == "__main__":
    os.chdir(top)
    for page in [Path(name).resolve() for name in sys.argv[1:]] or pages():
        execute(page)
