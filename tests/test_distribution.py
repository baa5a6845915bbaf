"""The wheel and the source distribution hold what is needed and nothing else, and work where they are installed."""
import os
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

top = Path(__file__).resolve().parent.parent
use = """
import sys
from pathlib import Path
import siamese_nbdev
assert Path(siamese_nbdev.__file__).is_relative_to(sys.prefix), siamese_nbdev.__file__
from siamese_nbdev.pedestrians import make_pedestrians
from siamese_nbdev.model import SiameseNet
from siamese_nbdev.training import fit
from siamese_nbdev.embeddings import embed_images
from siamese_nbdev.retrieval import plot_closest_imgs, search
from siamese_nbdev.evaluation import evaluate_retrieval
people = make_pedestrians("data", people=12, cameras=2, shots=(2, 2), image_size=(64, 32), valid=.3, test=.3)
train, valid, test = (people[people.split == split] for split in ("train", "valid", "test"))
model = SiameseNet(pretrained=True, image_size=(64, 32))
fit(model, train, valid, epochs=1, classes_per_batch=2, images_per_class=2, out="run", progress=False)
found = embed_images(model, test, progress=False)
print(evaluate_retrieval(found).value.to_dict())
plot_closest_imgs(search(found, found, top_k=2)).figure.savefig("closest.png")
missing = [name for name in ("nbdev", "fastcore", "IPython") if name in sys.modules]
assert not missing, missing
"""


def run(*words, **options):
    "Run a command and return what it printed; its complaint is the failure."
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=900, **options)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    "Build both from a copy of what git knows, as a release does."
    folder = tmp_path_factory.mktemp("built")
    tree = folder / "tree"
    run("git", "clone", "-q", "--no-hardlinks", top, tree)
    # Without isolation: setuptools is here, and nothing needs a network.
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder / "dist", tree)
    return folder / "dist"


@pytest.mark.slow
def test_what_is_inside(built):
    wheel, = built.glob("*.whl")
    inside = zipfile.ZipFile(wheel).namelist()
    ours = {name for name in inside if name.startswith("siamese_nbdev/")}
    committed = run("git", "ls-files", "siamese_nbdev", cwd=top).split()
    assert ours == set(committed) - {"siamese_nbdev/ruff.toml"}
    assert {name.split("/")[0].split("-")[0] for name in inside} == {"siamese_nbdev"}
    source, = built.glob("*.tar.gz")
    with tarfile.open(source) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"settings.ini", "setup.py", "pyproject.toml", "README.md", "LICENSE", "siamese_nbdev/model.py"} <= names


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["*.whl", "*.tar.gz"])
def test_installed_and_used(kind, built, tmp_path):
    "In an environment whose only other packages are those that are here already."
    file, = built.glob(kind)
    venv.create(tmp_path / "env", with_pip=True)
    python = tmp_path / "env" / ("Scripts" if os.name == "nt" else "bin") / "python"
    own = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()
    needs = run(sys.executable, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()
    run(python, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--no-build-isolation", file) \
        if kind == "*.whl" else \
        run(sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--no-build-isolation",
            "--target", own, file)
    Path(own, "needs.pth").write_text(needs + "\n")  # after our own folder, whatever is installed for development
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    used = run(python, "-c", use, cwd=tmp_path, env=environment)
    assert "rank_1" in used and (tmp_path / "closest.png").stat().st_size > 0
