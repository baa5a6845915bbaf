"Execute pages in full, in reading order, and save their outputs: `python tools/book.py [nbs/04_training.ipynb ...]`."
import base64, io, os, sys, time
from pathlib import Path
import nbformat
from nbclient import NotebookClient
from nbdev.clean import nbdev_clean
from PIL import Image

top = Path(__file__).resolve().parent.parent


def pages() -> list[Path]:
    "Return every notebook in reading order: the workshops, the numbered walk, the applications, the index."
    found = [p for p in (top / "nbs").rglob("*.ipynb") if ".ipynb_checkpoints" not in p.parts and not p.name.startswith(("_", "."))]
    rank = {"appendix": 0, "nbs": 1, "applications": 2}
    return sorted(found, key=lambda p: (p.stem == "index", rank.get(p.parent.name, 3), p.name))


def drop_progress(notebook):
    "Remove progress bars from the outputs: they differ on every run and say nothing on a page."
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [o for o in cell.outputs if not (o.get("name") == "stderr" and "\r" in o.get("text", ""))]


def shrink_figures(notebook, limit: int = 120_000):
    "Save large figures (grids of pictures) again as JPEG, which takes about a fifth of the room."
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            encoded = output.get("data", {}).get("image/png")
            if encoded is None or len(encoded) * 3 / 4 < limit: continue
            figure = Image.open(io.BytesIO(base64.b64decode(encoded))).convert("RGBA")
            figure = Image.alpha_composite(Image.new("RGBA", figure.size, "white"), figure).convert("RGB")
            for quality in (90, 85, 80, 70):
                small = io.BytesIO()
                figure.save(small, "JPEG", quality=quality, subsampling=0, optimize=True)
                if small.tell() < limit: break
            del output["data"]["image/png"]
            output["data"]["image/jpeg"] = base64.b64encode(small.getvalue()).decode()


def execute(page: Path):
    "Run one page top to bottom in its own folder and save it, cleaned."
    notebook = nbformat.read(page, as_version=4)
    started = time.time()
    NotebookClient(notebook, timeout=1800, kernel_name="python3", resources={"metadata": {"path": str(page.parent)}}).execute()
    drop_progress(notebook)
    shrink_figures(notebook)
    nbformat.write(notebook, page)
    nbdev_clean(str(page))
    print(f"{page.relative_to(top)}: {time.time() - started:.0f} s", flush=True)


if __name__ == "__main__":
    os.chdir(top)
    for page in [Path(p).resolve() for p in sys.argv[1:]] or pages(): execute(page)
