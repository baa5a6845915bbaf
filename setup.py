"Installs siamese_nbdev; every fact comes from settings.ini."
import json
from configparser import ConfigParser
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

here = Path(__file__).parent
parser = ConfigParser(delimiters=["="])
parser.read(here / "settings.ini", encoding="utf-8")
settings = parser["DEFAULT"]
extras = {}
for key in settings:
    if key.endswith("_requirements"):
        extras[key.removesuffix("_requirements")] = settings[key].split()
extras["dev"] += [need for name, needs in extras.items() if name != "dev" for need in needs]
readme = here / "README.md"
report_page = here / "nbs" / "applications" / "your_own_images.ipynb"


class WithReport(build_py):
    """Put the page that `siamese-nbdev run` executes beside the modules, without what an execution left.

    In a checkout it is read from the book."""

    def run(self):
        super().run()
        if self.editable_mode:
            return
        page = json.loads(report_page.read_text(encoding="utf-8"))
        for cell in page["cells"]:
            if cell["cell_type"] == "code":
                cell["execution_count"] = None
                cell["outputs"] = []
        target = Path(self.build_lib, settings["lib_name"], "report.ipynb")
        target.write_text(json.dumps(page, ensure_ascii=False), encoding="utf-8")


setup(
    name=settings["dist_name"],
    version=settings["version"],
    description=settings["description"],
    long_description=readme.read_text(encoding="utf-8") if readme.exists() else settings["description"],
    long_description_content_type="text/markdown",
    author=settings["author"],
    author_email=settings["author_email"],
    url=settings["git_url"],
    license="Apache-2.0",
    keywords=settings["keywords"],
    packages=find_packages(include=["siamese_nbdev", "siamese_nbdev.*"]),
    package_data={settings["lib_name"]: ["py.typed"]},
    include_package_data=True,
    python_requires=">=" + settings["min_python"],
    install_requires=settings["requirements"].split(),
    extras_require=extras,
    entry_points={
        "console_scripts": settings["console_scripts"].split(),
        "nbdev": [f"{settings['lib_name']}={settings['lib_name']}._modidx:d"],
    },
    cmdclass=dict(build_py=WithReport),
    zip_safe=False,
)
