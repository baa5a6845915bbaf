"Every script in benchmarks still runs, in its short form, and writes a table; its figures mean nothing then."
import os
import subprocess
import sys
from pathlib import Path

import pytest

top = Path(__file__).resolve().parent.parent
apart = {
    "report": "what the scripts share",
    "holds": "runs the slow tests, and so itself",
    "small_sets": "takes folders of photographs",
}
more = {"versions": ["HEAD"], "galleries": ["--engines", "folder"]}
scripts = sorted(path.stem for path in (top / "benchmarks").glob("*.py"))


@pytest.mark.slow
@pytest.mark.parametrize("script", [name for name in scripts if name not in apart])
def test_it_runs(script, tmp_path):
    words = [sys.executable, top / "benchmarks" / f"{script}.py", *more.get(script, []), "--quick"]
    words += ["--out", tmp_path / f"{script}.md"]
    path = os.pathsep.join([str(top), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(words, cwd=top, env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr[-3000:]
    text = (tmp_path / f"{script}.md").read_text(encoding="utf-8")
    assert text.startswith("# ") and "\n|---|" in text and "Machine: " in text
