"""Every stage of the pipeline, killed at random moments and on a full disk, ends as if nothing had happened."""
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from counting import count

pytestmark = pytest.mark.skipif(os.name != "posix", reason="fork, SIGKILL and limits of POSIX")
stages = ["render", "fetch", "train", "save", "embed", "index", "report"]


def try_stage(stage, what, folder, times):
    "Do a stage in a process of its own, with trouble."
    command = [sys.executable, str(Path(__file__).with_name("stages.py")), stage, what, str(folder), str(times)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    count(f"{what} {stage}", **found)
    assert found["times"] >= times


@pytest.mark.parametrize("stage, what", [("save", "kill"), ("index", "full"), ("embed", "full")])
def test_stage_in_trouble(stage, what, tmp_path):
    try_stage(stage, what, tmp_path, 2)


@pytest.mark.slow
@pytest.mark.parametrize("stage", stages)
@pytest.mark.parametrize("what, times", [("kill", 20), ("full", 6)])
def test_stage_in_much_trouble(stage, what, times, tmp_path):
    try_stage(stage, what, tmp_path, times)
