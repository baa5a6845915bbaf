"Open a figure to play with in a headless browser; shared by the tests of the figures."
import json
import re
import shutil
import subprocess
from pathlib import Path

node = shutil.which("node") or shutil.which("nodejs")
browsers = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
browser = next((found for found in map(shutil.which, browsers) if found), None)


def seen_in_browser(figure: Path, steps: str, folder: Path, width: int, theme: str = "light") -> dict:
    "Open a page with a figure, go through the steps, which leave JSON in `#seen`, and return what they saw."
    shutil.copy(figure, folder / figure.name)
    (folder / "page.html").write_text(
        f'<!doctype html><html data-bs-theme="{theme}"><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width"><body class="quarto-{theme}">'
        f'<div class="figure-to-play" id="figure-{figure.stem}"><img src="none.svg" alt="a still picture"></div>'
        f'<script src="{figure.name}" defer></script><script>{steps}</script></body>',
        encoding="utf-8",
    )
    # A window of a headless browser has a least width, so a phone is a frame inside it.
    outer = folder / "outer.html"
    outer.write_text(
        f'<!doctype html><body><iframe src="page.html" style="width:{width}px;height:900px;border:0"></iframe><script>'
        'addEventListener("load", () => { document.body.append(Object.assign(document.createElement("pre"), {'
        'id: "seen", textContent: document.querySelector("iframe").contentDocument.getElementById("seen").textContent'
        '})); });</script></body>',
        encoding="utf-8",
    )
    command = [
        browser, "--headless=new", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files",
        f"--user-data-dir={folder / 'profile'}", "--window-size=1000,1000", "--virtual-time-budget=5000", "--dump-dom",
        outer.as_uri(),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    found = re.search(r'<pre id="seen">(.*?)</pre>', done.stdout, re.S)
    assert found, done.stdout[-2000:] + done.stderr[-2000:]
    return json.loads(found[1].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))
