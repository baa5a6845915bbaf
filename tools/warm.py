"""Run a page as `nbdev_test` does, in a process that has the large packages imported already.

`check.py` lets a server of forks import this module once; every page then begins in a copy of it. That saves some
seconds a page, which is minutes over all of them.
"""
import os
import sys
import tempfile
from pathlib import Path

import accelerate  # noqa: F401
import matplotlib.pyplot  # noqa: F401
import pandas  # noqa: F401
import scipy.stats  # noqa: F401
import skimage.io  # noqa: F401
import sklearn.cluster  # noqa: F401
import timm  # noqa: F401
import torch  # noqa: F401
import torchvision  # noqa: F401
from nbdev.config import get_config
from nbdev.test import test_nb

tools = Path(__file__).resolve().parent


def forget_tools() -> None:
    "Take the folder of these scripts off the path again, where it was to find this module."
    sys.path[:] = [place for place in sys.path if place != str(tools)]
    others = [place for place in os.environ.pop("PYTHONPATH", "").split(os.pathsep) if place not in ("", str(tools))]
    if others:
        os.environ["PYTHONPATH"] = os.pathsep.join(others)


def run_page(page: Path, log: Path) -> None:
    "Run one page, write what it prints into a file, and end with 1 where it fails."
    with open(log, "wb") as stream:
        for number in (1, 2):
            os.dup2(stream.fileno(), number)
    forget_tools()
    tempfile.tempdir = str(log.parent)  # removed by who waits for this process, which ends without clearing up
    os.chdir(page.parent)
    settings = get_config()
    passed, _ = test_nb(page, skip_flags=settings.tst_flags.split(), basepath=settings.config_path)
    sys.stdout.flush()
    sys.stderr.flush()
    sys.exit(not passed)
