"""What a start imports: help, refusals and saved embeddings wait for nothing that they do not use."""
import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from siamese_nbdev.embeddings import EmbeddingSet

networks = {"torch", "torchvision", "timm", "accelerate", "safetensors"}
helpers = {"matplotlib", "sklearn", "skimage", "scipy", "pooch", "requests", "jinja2", "fastapi", "uvicorn"}
tables = {"numpy", "pandas", "PIL"}
serving = ["data", "embeddings", "retrieval", "evaluation", "verification", "few_shot", "pipeline", "report", "serve"]
serving += ["cli"]
calls = """
import json, sys
from siamese_nbdev.cli import main
ended = []
for words in json.loads(sys.argv[1]):
    sys.argv = ["siamese-nbdev", *words]
    try:
        main()
    except SystemExit as stop:
        ended.append(stop.code or 0)
"""


def loaded_by(code, *words):
    "Run code in a fresh process and return which packages it left loaded, and the statuses with which calls ended."
    code += "\nloaded = sorted({name.split('.')[0] for name in sys.modules})"
    code += "\nprint(json.dumps([loaded, globals().get('ended')]))"
    done = subprocess.run([sys.executable, "-c", code, *words], text=True, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr
    loaded, ended = json.loads(done.stdout.splitlines()[-1])
    return set(loaded), ended


def loaded_by_calls(*commands):
    "Call the command several times in one fresh process."
    return loaded_by(calls, json.dumps([[str(word) for word in words] for words in commands]))


@pytest.fixture
def saved(tmp_path):
    "An embedding set in a folder."
    vectors = np.random.default_rng(0).normal(size=(12, 8)).astype(np.float32)
    manifest = pd.DataFrame(dict(path=[f"{row}.jpg" for row in range(12)], label=[str(row // 3) for row in range(12)]))
    return EmbeddingSet(vectors, manifest, dict(model_id="made up", flip=False)).save(tmp_path / "set")


def test_help_and_wrong_arguments_need_nothing():
    wrong = [["nothing"], ["evaluate"], ["evaluate", "here", "--no-such-option"], ["run", "here", "--epochs", "many"]]
    loaded, ended = loaded_by_calls(["--help"], ["search", "--help"], *wrong)
    assert ended == [0, 0, 2, 2, 2, 2]
    assert not loaded & (networks | helpers | tables)


def test_missing_folders_are_refused_without_torch(saved):
    loaded, ended = loaded_by_calls(
        ["run", "nowhere"],
        ["train", "nowhere", "--out", "out"],
        ["report", "nowhere"],
        ["embed", "nowhere", "--model", "nowhere", "--out", "out"],
        ["evaluate", "nowhere"],
        ["search", "nowhere.jpg", "--index", "nowhere"],
        ["search", "nowhere.jpg", "--index", saved],
        ["verify", "nowhere.jpg", "nowhere.jpg", "--model", "nowhere"],
        ["serve", "nowhere"],
    )
    assert ended == [2] * 9
    assert not loaded & (networks | helpers)


def test_a_missing_picture_is_refused_before_a_network_is_built(saved):
    (saved / "model.json").write_text("{}")
    loaded, ended = loaded_by_calls(
        ["search", "nowhere.jpg", "--index", saved],
        ["embed", "nowhere", "--model", saved, "--out", "out"],
        ["verify", "nowhere.jpg", "nowhere.jpg", "--model", saved],
    )
    assert ended == [2, 2, 2]
    assert not loaded & networks


def test_a_saved_set_is_evaluated_without_torch(saved):
    loaded, ended = loaded_by_calls(["evaluate", saved, "--json"], ["evaluate", saved])
    assert ended == [0, 0]
    assert not loaded & (networks | helpers)


def test_modules_import_what_they_use():
    code = "import json, sys\n" + "\n".join(f"import siamese_nbdev.{name}" for name in serving)
    assert not loaded_by(code)[0] & (networks | helpers)
    loaded, _ = loaded_by("import json, sys\nimport siamese_nbdev.training")
    assert "torch" in loaded and not loaded & {"torchvision", "timm", "accelerate", *helpers}
