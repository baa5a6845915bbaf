"""Write the picture of a report on 12_report: `python tools/report_picture.py`.

It shows the top of the report on the run that `applications/your_own_images` leaves in `runs/small_run`, as Chromium
draws it. Run it after that page was executed and the report was changed.
"""
import io
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

from siamese_nbdev.report import write_report

top = Path(__file__).resolve().parent.parent
browsers = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


def main() -> None:
    browser = next((found for found in map(shutil.which, browsers) if found), None)
    if browser is None:
        sys.exit("needs Chromium or Chrome")
    report = write_report(top / "runs" / "small_run")
    with tempfile.TemporaryDirectory() as folder:
        shot = Path(folder, "shot.png")
        look = ["--headless", "--no-sandbox", "--hide-scrollbars", "--window-size=1000,1130", f"--screenshot={shot}"]
        subprocess.run([browser, *look, report.as_uri()], check=True, capture_output=True, timeout=120)
        picture = Image.open(io.BytesIO(shot.read_bytes())).convert("RGB")
    picture.save(top / "nbs" / "images" / "report.jpg", quality=75, optimize=True)


if __name__ == "__main__":
    main()
