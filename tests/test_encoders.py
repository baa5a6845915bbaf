"""A network that travels: recorded, exported, and used where there is no torch."""
import json
import subprocess
import sys
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from siamese_nbdev.checks import InputError
from siamese_nbdev.embeddings import EmbeddingSet, embed_images
from siamese_nbdev.encoders import exported, make_graphs
from siamese_nbdev.model import SiameseNet, save_model
from siamese_nbdev.retrieval import search
from siamese_nbdev.serve import export_onnx, load_encoder, push_model
from siamese_nbdev.verification import Threshold, load_threshold, save_threshold, verify_pair

small = dict(pretrained=False, image_size=(64, 32))
networks = {
    "average": dict(backbone="test_efficientnet"),
    "bands": dict(backbone="test_resnet", pool="bands", head="two_layer", embedding_size=24),
    "tokens": dict(backbone="test_vit", head="linear", embedding_size=16, last_stride=None),
}
more_networks = {
    "gem": dict(backbone="resnet18", pool="gem", head="batchnorm_linear", embedding_size=32),
    "grid": dict(backbone="tf_efficientnet_lite0", pool="grid", head=None, normalize=False),
    "stage": dict(backbone="tf_efficientnet_lite0", stage=3, last_stride=None),
    "batchnorm": dict(backbone="mobilenetv3_small_050", pool="gem", last_stride=None),
    "attention": dict(backbone="vit_tiny_patch16_224", head="batchnorm"),
    "channels last": dict(backbone="test_mambaout", pool="bands", head=None),
    "swin": dict(backbone="swin_tiny_patch4_window7_224", image_size=(224, 224), pool="gem"),
    "convnext": dict(backbone="test_convnext", head="linear", embedding_size=8, normalize=False),
}
slow = pytest.mark.slow
all_networks = [*networks, *(pytest.param(name, marks=slow) for name in more_networks)]


def build(name):
    "Build a network with random weights that are not the first ones of its normalisation layers."
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = SiameseNet(**small | (networks | more_networks)[name])
    with torch.no_grad():
        model.train()(torch.rand(8, 3, *model.image_size))
    return model.eval()


@pytest.mark.parametrize("name", all_networks)
def test_torch_records_a_network(name):
    torch.compiler.reset()  # it counts how often one function was compiled in a process
    model = build(name)
    images = torch.rand(4, 3, *model.image_size)
    with torch.inference_mode():
        expected = model(images)
    batch = torch.export.Dim("batch")
    with torch.no_grad():
        recorded = torch.export.export(model, (images,), dynamic_shapes=dict(images={0: batch})).module()
        traced = torch.jit.trace(model, images)
        compiled = torch.compile(model, fullgraph=True, backend="eager")
        for network in (recorded, traced, compiled):
            for rows in (1, 3):
                found = network(images[:rows])
                torch.testing.assert_close(found, expected[:rows], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", all_networks)
def test_graphs_are_the_network(name):
    _, difference = make_graphs(build(name))
    assert difference < 2e-5


def test_the_older_exporter_takes_a_network(tmp_path):
    import onnxruntime

    model = build("average")
    images = torch.rand(3, 3, *model.image_size)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(model, (images,), tmp_path / "old.onnx", input_names=["images"], dynamo=False)
    session = onnxruntime.InferenceSession(tmp_path / "old.onnx", providers=["CPUExecutionProvider"])
    found = session.run(None, dict(images=images.numpy()))[0]
    np.testing.assert_allclose(found, model(images).detach(), atol=1e-5)


def test_a_wrong_value_is_still_refused():
    model = build("average")
    with pytest.raises(InputError, match="Expected images in"):
        model(torch.full((1, 3, 64, 32), 255.0))


limits = dict(
    distance=0.5,
    target=0.01,
    false_accept_rate=0.01,
    low=float("nan"),
    high=float("nan"),
    true_accept_rate=0.9,
    different_pairs=1000,
    same_pairs=100,
    identities=None,
    pairs_needed=300,
)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    "A folder with pictures, a network with its threshold, the same exported, and a gallery that torch embedded."
    top = tmp_path_factory.mktemp("travel")
    rng = np.random.default_rng(0)
    (top / "pictures").mkdir()
    for number in range(12):  # of many sizes: resizing is part of it
        pixels = rng.integers(0, 256, (10, 8, 3), dtype=np.uint8)
        size = 40 + 5 * number, 90 + 3 * number
        Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC).save(top / "pictures" / f"{number:02}.jpg")
    model = build("average")
    save_model(model, top / "network")
    save_threshold(top / "network", Threshold(**limits))
    export_onnx(top / "network", top / "exported", calibration=pd.DataFrame(dict(path=files_in(top))))
    embed_images(model, pd.DataFrame(dict(path=files_in(top))), progress=False).save(top / "gallery")
    return top


def files_in(place):
    "List the pictures of the folder."
    return sorted(str(file) for file in (place / "pictures").iterdir())


without_torch = """
import json, sys

class Absent:
    "A machine on which some packages are not installed."
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "torchvision", "timm", "safetensors", "accelerate"):
            raise ModuleNotFoundError(f"No module named {name!r}")

sys.meta_path.insert(0, Absent())
"""


def run_without_torch(code, *words):
    "Run code in a fresh process that has no torch; return what it printed."
    command = [sys.executable, "-c", without_torch + code, *map(str, words)]
    done = subprocess.run(command, text=True, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


embedding_code = """
from pathlib import Path
import numpy as np
import pandas as pd
from siamese_nbdev.embeddings import EmbeddingSet, embed_images
from siamese_nbdev.retrieval import search
from siamese_nbdev.serve import load_encoder
from siamese_nbdev.verification import verify_pair

top = Path(sys.argv[1])
files = sorted(str(file) for file in (top / "pictures").iterdir())
encoder = load_encoder(top / "exported")
embeddings = embed_images(encoder, pd.DataFrame(dict(path=files)), progress=False, out=top / "embedded")
gallery = EmbeddingSet.load(top / "gallery")
hits = search(files[3], gallery, model=encoder, top_k=5)
pixels = np.zeros((70, 50, 3), np.uint8)
several = search([files[1], pixels, open(files[2], "rb").read()], gallery, model=encoder, top_k=2)
verdict = verify_pair(files[0], files[1], top / "exported")
again = verify_pair(files[0], files[1], encoder)
assert (verdict.is_same, verdict.distance) == (again.is_same, again.distance)
assert not {"torch", "timm"} & set(sys.modules)
print(json.dumps([list(hits["path"]), list(hits["distance"]), len(several), verdict.distance, embeddings.meta]))
"""


def test_an_encoder_needs_no_torch(place):
    printed = run_without_torch(embedding_code, place)
    paths, distances, several, distance, meta = json.loads(printed.splitlines()[-1])
    gallery = EmbeddingSet.load(place / "gallery")
    hits = search(files_in(place)[3], gallery, model=build("average"), top_k=5)
    assert paths == list(hits["path"])
    np.testing.assert_allclose(distances, hits["distance"], atol=1e-5)
    assert several == 6
    embedded = EmbeddingSet.load(place / "embedded")
    np.testing.assert_allclose(embedded.vectors, gallery.vectors, atol=1e-5)
    assert meta["model_id"] == gallery.meta["model_id"] and (meta["runtime"], meta["dtype"]) == ("onnx", "float32")
    expected = verify_pair(*files_in(place)[:2], place / "network")
    assert abs(distance - expected.distance) < 1e-5


command_code = """
from siamese_nbdev.cli import main
for words in json.loads(sys.argv[1]):
    sys.argv = ["siamese-nbdev", *words]
    try:
        main()
    except SystemExit as stop:
        print("status", stop.code or 0)
assert not {"torch", "timm"} & set(sys.modules)
"""


def test_commands_take_an_encoder_without_torch(place, tmp_path):
    first, second, *_ = files_in(place)
    encoder = str(place / "exported")
    printed = run_without_torch(command_code, json.dumps([
        ["embed", str(place / "pictures"), "--model", encoder, "--out", str(tmp_path / "set")],
        ["search", first, "--index", str(tmp_path / "set"), "--model", encoder, "--json"],
        ["verify", first, second, "--model", encoder],
        ["verify", first, first, "--model", encoder],
    ]))
    statuses = [line for line in printed.splitlines() if line.startswith("status")]
    assert statuses[0] == statuses[1] == "status 0" and statuses[3] == "status 0", printed
    assert "12 embeddings of" in printed and '"near":' in printed


def test_the_threshold_goes_along(place):
    noted = load_threshold(place / "network")
    for found in (load_encoder(place / "exported").threshold, load_threshold(place / "exported")):
        assert repr(found) == repr(noted)  # NaN is no equal of itself
    other = Threshold(**limits, model_id="another")
    with pytest.raises(InputError, match="Expected a threshold of this network"):
        export_onnx(build("average"), place / "refused", threshold=other)
    assert not (place / "refused").exists()


@pytest.mark.parametrize("runtime, dtype, close", [
    ("onnx", None, 1e-5),
    ("openvino", "float32", 1e-5),
    ("openvino", torch.bfloat16, 0.1),
    ("auto", None, 1e-5),
])
def test_a_network_in_memory_takes_another_runtime(place, runtime, dtype, close):
    model = build("average")
    listed = pd.DataFrame(dict(path=files_in(place)))
    expected = embed_images(model, listed, flip=True, progress=False)
    found = embed_images(model, listed, runtime=runtime, dtype=dtype, flip=True, progress=False)
    np.testing.assert_allclose(found.vectors, expected.vectors, atol=close)
    assert expected.meta["runtime"] == "torch" and found.meta["model_id"] == expected.meta["model_id"]
    if runtime != "auto":
        assert found.meta["runtime"] == runtime
        mixed = expected.append(found)
        assert mixed.meta["runtime"] == f"torch and {runtime}"
        assert len(search(found, expected, top_k=1)) == len(listed)


def test_small_integers_need_a_calibration(place):
    encoder = load_encoder(place / "exported", dtype="int8")
    listed = pd.DataFrame(dict(path=files_in(place)))
    expected = EmbeddingSet.load(place / "gallery").vectors
    for runtime in ("onnx", "openvino"):
        found = embed_images(encoder, listed, runtime=runtime, dtype="int8", progress=False)
        assert (found.meta["runtime"], found.meta["dtype"]) == (runtime, "int8")
        assert 0 < np.linalg.norm(found.vectors - expected, axis=1).mean() < 0.5
    with pytest.raises(InputError, match="got 'int8'"):
        embed_images(build("average"), listed, dtype="int8")
    with pytest.raises(InputError, match="calibration=manifest"):
        embed_images(build("average"), listed, runtime="onnx", dtype="int8")


def test_where_nothing_is_installed(place, monkeypatch):
    monkeypatch.setattr("siamese_nbdev.encoders.find_spec", lambda name: None)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    monkeypatch.setattr(exported, "encoder", None)
    with pytest.raises(InputError, match=r'pip install "siamese-nbdev\[onnx\]"'):
        load_encoder(place / "exported")
    with pytest.raises(InputError, match=r'pip install "siamese-nbdev\[onnx\]"'):
        embed_images(build("average"), pd.DataFrame(dict(path=files_in(place))), runtime="onnx")
    with pytest.warns(UserWarning, match="Embedding with torch"):
        found = embed_images(build("average"), pd.DataFrame(dict(path=files_in(place))), runtime="auto", progress=False)
    assert found.meta["runtime"] == "torch"


@slow
def test_an_export_that_is_killed_leaves_what_was_there(place, tmp_path):
    folder = tmp_path / "exported"
    model = build("average")
    export_onnx(model, folder)
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    code = """
import os, sys
from pathlib import Path
import siamese_nbdev.encoders as encoders
from siamese_nbdev.serve import export_onnx
from siamese_nbdev.model import SiameseNet
write = Path.write_bytes
def write_and_die(path, content):
    write(path, content[:1000])
    os._exit(9)
Path.write_bytes = write_and_die
export_onnx(SiameseNet("test_efficientnet", pretrained=False, image_size=(64, 32)), sys.argv[1])
"""
    done = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, timeout=120)
    assert done.returncode == 9
    assert load_encoder(folder).model_id() == model.model_id()
    assert {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()} == before


def test_nothing_else_is_overwritten(tmp_path):
    "A folder of pictures, of a run or of notes is no place for a network."
    torch.manual_seed(0)
    model = SiameseNet("test_efficientnet", pretrained=False, image_size=(64, 32)).eval()
    save_model(model, tmp_path / "run")
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "README.md").write_text("mine")
    for write in (export_onnx, push_model):
        with pytest.raises(InputError, match="which holds README.md"):
            write(model, tmp_path / "notes")
    with pytest.raises(InputError, match="which holds model.json"):
        export_onnx(model, tmp_path / "run")
    assert (tmp_path / "notes" / "README.md").read_text() == "mine"
