"""Print the lowest versions that settings.ini allows, as pip reads them: `pip install $(python tools/lowest.py)`.

The workflow tests with these once, and so does whoever changes a bound.
"""
import configparser
import re
from pathlib import Path

top = Path(__file__).resolve().parent.parent


def lowest() -> list[str]:
    "Return each requirement with a lower bound, those of the extras too, pinned to it."
    settings = configparser.ConfigParser()
    settings.read(top / "settings.ini", encoding="utf-8")
    names = [name for name in settings["DEFAULT"] if name.endswith("requirements") and name != "dev_requirements"]
    wanted = " ".join(settings["DEFAULT"][name] for name in names).split()
    pinned = [re.sub(r"^([^<>=]+)>=([^,<]+).*", r"\1==\2", each) for each in wanted]
    return [*pinned, "ipython<9"]  # with which the pages were run on these versions


if __name__ == "__main__":
    print(*lowest())
