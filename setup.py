"Installs siamese_nbdev; every fact comes from settings.ini."
import re
from configparser import ConfigParser
from pathlib import Path

from setuptools import find_packages, setup

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
repository = settings["git_url"]
site = settings["doc_host"] + settings["doc_baseurl"]
stages = {"1": "1 - Planning", "2": "2 - Pre-Alpha", "3": "3 - Alpha", "4": "4 - Beta", "5": "5 - Production/Stable"}


def with_whole_addresses(text: str) -> str:
    "Lead the links of the README to this version in the repository: an index of packages has no files beside it."
    tag = f"v{settings['version']}"
    places = {"!": f"{repository}/raw/{tag}/", "": f"{repository}/blob/{tag}/"}
    link = r"(!?)(\[[^][]*\]\()(?!https?:|mailto:|#)"
    return re.sub(link, lambda found: found[1] + found[2] + places[found[1]], text)


setup(
    name=settings["dist_name"],
    version=settings["version"],
    description=settings["description"],
    long_description=with_whole_addresses(readme.read_text(encoding="utf-8")) if readme.exists() else None,
    long_description_content_type="text/markdown",
    author=settings["author"],
    author_email=settings["author_email"],
    url=repository,
    project_urls={
        "Documentation": site,
        "Changes": f"{repository}/blob/{settings['branch']}/CHANGELOG.md",
        "Security": f"{repository}/blob/{settings['branch']}/SECURITY.md",
    },
    classifiers=[
        f"Development Status :: {stages[settings['status']]}",
        f"Intended Audience :: {settings['audience']}",
        "Intended Audience :: Education",
        "Intended Audience :: Science/Research",
        f"Natural Language :: {settings['language']}",
        "Programming Language :: Python :: 3",
        "Topic :: Scientific/Engineering :: Image Recognition",
    ],
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
    zip_safe=False,
)
