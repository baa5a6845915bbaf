"""Write the picture of the page on 13_serve: `python tools/serve_picture.py`.

It shows a search among rendered pedestrians, with the network that pages share (`runs/demo_model`), as Chromium draws
it. Run it after the page was changed. It needs Chromium, playwright, and the extra `serve`.
"""
import io
import shutil
import sys
import tempfile
import threading
from dataclasses import asdict
from pathlib import Path

import uvicorn
from PIL import Image
from playwright.sync_api import sync_playwright

from siamese_nbdev.embeddings import embed_images
from siamese_nbdev.files import write_notes
from siamese_nbdev.model import save_model
from siamese_nbdev.pedestrians import make_pedestrians
from siamese_nbdev.pipeline import presence_in
from siamese_nbdev.retrieval import Index
from siamese_nbdev.serve import create_app
from siamese_nbdev.training import demo_model
from siamese_nbdev.verification import fit_threshold, save_threshold, verification_pairs

top = Path(__file__).resolve().parent.parent
browsers = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


def make_run(run: Path) -> str:
    "Embed the test people but one picture, note both distances, and return that picture."
    people = make_pedestrians(top / "data")
    model = demo_model(top)
    valid, test = (people[people["split"] == split] for split in ("valid", "test"))
    asked = test["path"].iloc[200]
    save_model(model, run / "model")
    save_threshold(run / "model", fit_threshold(verification_pairs(embed_images(model, valid))))
    collection = embed_images(model, test[test["path"] != asked])
    Index(collection).save(run / "index")
    presence = presence_in(collection, use_trained=True)
    assert presence is not None
    write_notes(run / "index" / "presence.json", asdict(presence))
    return str(asked)


def main() -> None:
    browser = next((found for found in map(shutil.which, browsers) if found), None)
    if browser is None:
        sys.exit("needs Chromium or Chrome")
    with tempfile.TemporaryDirectory() as folder:
        asked = make_run(Path(folder, "people"))
        server = uvicorn.Server(uvicorn.Config(create_app(Path(folder, "people"), read_only=True), port=8765))
        thread = threading.Thread(target=server.run)
        thread.start()
        with sync_playwright() as play:
            opened = play.chromium.launch(executable_path=browser, args=["--no-sandbox"])
            page = opened.new_page(viewport=dict(width=1100, height=860), color_scheme="light")
            page.goto("http://127.0.0.1:8765")
            page.set_input_files("#files", asked)
            page.wait_for_selector("#hits .card.near img[src]")
            page.wait_for_timeout(1500)
            picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
            opened.close()
        server.should_exit = True
        thread.join()
    picture.save(top / "nbs" / "images" / "serve.jpg", quality=80, optimize=True)


if __name__ == "__main__":
    main()
