"What a release states in several places is the same in all of them."
import configparser
import re
import sys
from pathlib import Path

import siamese_nbdev

top = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(top / "tools"))

import licences  # noqa: E402


def test_one_version():
    settings = configparser.ConfigParser(delimiters=["="])
    settings.read(top / "settings.ini", encoding="utf-8")
    version = settings["DEFAULT"]["version"]
    citation = (top / "CITATION.cff").read_text(encoding="utf-8")
    changes = (top / "CHANGELOG.md").read_text(encoding="utf-8")
    latest = re.search(r"^## (\d\S*)(?: - (\d{4}-\d\d-\d\d))?$", changes, re.M)
    assert siamese_nbdev.__version__ == version
    assert re.search(r"^version: (.*)$", citation, re.M)[1] == version
    assert latest[1] == version
    assert re.search(r"^date-released: (.*)$", citation, re.M)[1] == latest[2]


def test_every_requirement_has_its_licence():
    assert licences.missing() == []
