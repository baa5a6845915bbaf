"""The licences of what settings.ini asks for, as the installed packages state them.

`python tools/licences.py` prints the tables, `--write` puts them into THIRD_PARTY_LICENSES.md, `--check` looks whether
that file names every requirement.

`--all` prints a line for every package that is installed here instead, with what came along for others.
"""
import configparser
import re
import sys
from email.message import Message
from importlib.metadata import Distribution, PackageNotFoundError, distribution, distributions
from pathlib import Path

top = Path(__file__).resolve().parent.parent
listing = top / "THIRD_PARTY_LICENSES.md"
begin = "<!-- Written by tools/licences.py from here on; edit nothing below. -->\n"
unknown = "not stated in the package"


def requirements() -> dict[str, list[str]]:
    "Return the names of packages in settings.ini by what asks for them: the package itself, or one of its extras."
    settings = configparser.ConfigParser(delimiters=["="])
    settings.read(top / "settings.ini", encoding="utf-8")
    groups = {}
    for key, value in settings["DEFAULT"].items():
        if key == "requirements" or key.endswith("_requirements"):
            groups[key.removesuffix("requirements").strip("_")] = names_in(value)
    return groups


def names_in(text: str) -> list[str]:
    "Return the names of packages in a list of requirements."
    return [re.split(r"[<>=!~;\[]", need)[0] for need in text.split()]


def plain(name: str) -> str:
    "Write the name of a package in the one way in which two spellings of it agree."
    return re.sub(r"[-_.]+", "-", name).lower()


def stated(package: Distribution) -> str:
    "Return the licence that a package states: expression, short text, classifiers, or the first line of its file."
    metadata: Message = package.metadata  # type: ignore[assignment]
    words = (metadata["License-Expression"], metadata["License"])
    for text in words:
        if text and text != "UNKNOWN" and len(text) < 150 and "\n" not in text:
            return text
    classifiers = [text for text in metadata.get_all("Classifier", []) if text.startswith("License ::")]
    if classifiers:
        return ", ".join(text.rpartition(" :: ")[2] for text in classifiers)
    for file in package.files or ():
        if re.match(r"(LICEN[CS]E|COPYING)", file.name) and file.parent.name.endswith(".dist-info"):
            lines = file.read_text(encoding="utf-8").split("\n")
            return next(line.strip() for line in lines if line.strip())
    return unknown


def row(name: str) -> str:
    "Return a row of the table."
    try:
        package = distribution(name)
    except PackageNotFoundError:
        return f"| {name} |  | not installed here |"
    return f"| {name} | {package.version} | {stated(package)} |"


def table(names: list[str]) -> str:
    "Return a table of packages."
    head = ["| package | version looked at | licence, as it states it |", "|---|---|---|"]
    return "\n".join([*head, *(row(name) for name in sorted(names, key=str.lower))])


def tables() -> str:
    "Return a table for each list of requirements."
    parts = []
    for extra, names in requirements().items():
        title = f"### Extra `[{extra}]`" if extra else "### Always"
        parts.append(f"{title}\n\n{table(names)}\n")
    return "\n".join(parts)


def missing() -> list[str]:
    "Name the requirements that the file does not list under what asks for them, and those it lists in vain."
    written = listing.read_text(encoding="utf-8").partition(begin)[2]
    sections = {}
    for section in written.split("### ")[1:]:
        title, _, rest = section.partition("\n")
        extra = re.search(r"\[(\w+)\]", title)
        sections[extra[1] if extra else ""] = {plain(name) for name in re.findall(r"^\| ([\w.-]+) \| ", rest, re.M)}
    needed = {extra: set(map(plain, names)) for extra, names in requirements().items()}
    return [
        f"{name} of {extra or 'requirements'}"
        for extra in needed | sections
        for name in sorted((needed.get(extra, set()) ^ sections.get(extra, set())) - {"package"})
    ]


def main(options: list[str]) -> bool:
    "Do what is asked; tells whether something is wrong."
    if options == ["--check"]:
        found = missing()
        if found:
            print(f"{listing.name} and settings.ini differ in {', '.join(found)}: run tools/licences.py --write")
        return bool(found)
    if options == ["--all"]:
        print(table(list({package.metadata["Name"] for package in distributions()})))
    elif options == ["--write"]:
        head = listing.read_text(encoding="utf-8").partition(begin)[0]
        listing.write_text(f"{head}{begin}\n{tables()}", encoding="utf-8")
    elif options:
        sys.exit(__doc__)
    else:
        print(tables())
    return False


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
