"""Folders that somebody hands over: nothing is moved, fetched or read that their names and notes choose."""
import json
import sys
from importlib.util import find_spec

import numpy as np
import pandas as pd
import pytest
import timm
from PIL import Image

from siamese_nbdev.checks import InputError
from siamese_nbdev.cli import main
from siamese_nbdev.embeddings import EmbeddingSet
from siamese_nbdev.encoders import open_encoder
from siamese_nbdev.files import digest, leads_out
from siamese_nbdev.model import SiameseNet, load_model, save_model
from siamese_nbdev.pipeline import Plan, RunOptions, execute_plan, plan_run
from siamese_nbdev.retrieval import Index
from siamese_nbdev.serve import export_onnx


@pytest.fixture(scope="module")
def model():
    return SiameseNet("test_efficientnet", pretrained=False, image_size=(64, 32)).eval()


def save_vectors(folder):
    "Save a set of three vectors without pictures."
    manifest = pd.DataFrame(dict(path=["a.png", "b.png", "c.png"], label=list("abb")))
    Index(EmbeddingSet(np.eye(3, dtype=np.float32), manifest, dict(model_id="0" * 12))).save(folder)


needs_onnx = pytest.mark.skipif(find_spec("onnxscript") is None, reason="the packages for graphs are not installed")
kinds = {
    "network": (save_model, load_model, "model.json"),
    "set": (lambda _, folder: save_vectors(folder), EmbeddingSet.load, "meta.json"),
    "index": (lambda _, folder: save_vectors(folder), Index.load, "index.json"),
    "encoder": (export_onnx, open_encoder, "encoder.json"),
}


@pytest.mark.skipif(sys.platform == "win32", reason="links are for administrators here")
@pytest.mark.parametrize("kind", ["network", "set", "index", pytest.param("encoder", marks=needs_onnx)])
def test_nothing_is_moved_or_deleted_through_a_link(kind, model, tmp_path):
    save, load, name = kinds[kind]
    for link in (".siamese.next", ".siamese.new", ".siamese.partial"):
        folder, documents = tmp_path / f"{kind}{link}", tmp_path / f"documents{link}"
        save(model, folder)
        documents.mkdir()
        mine = {file: (documents / file).write_text("mine") for file in ("letter", "partial.odt", name)}
        (folder / link).symlink_to(documents, target_is_directory=True)
        load(folder)
        save(model, folder)
        load(folder)
        assert {file.name: len(file.read_text()) for file in documents.iterdir()} == mine


@pytest.mark.parametrize("source", ["hf-hub:", "local-dir:"])
def test_an_address_without_a_recipe_is_not_followed(source, model, tmp_path, monkeypatch):
    "What was never saved by this version is neither fetched nor opened."
    asked = []
    monkeypatch.setattr(timm.models, "load_model_config_from_hf", asked.append)
    monkeypatch.setattr(timm.models._hub, "load_model_config_from_path", asked.append)
    save_model(model, tmp_path / "network")
    file = tmp_path / "network" / "model.json"
    notes = json.loads(file.read_text())
    notes["config"]["backbone"] = f"{source}{tmp_path}/gift"
    file.write_text(json.dumps(notes))
    with pytest.raises(InputError, match=f"Expected a recipe for {source}.*save it again"):
        load_model(tmp_path / "network")
    assert asked == []


def test_a_run_of_a_stranger_does_not_choose_the_address_of_a_backbone(tmp_path, monkeypatch, capsys):
    "Whoever goes on with it names the address again."
    asked = []
    monkeypatch.setattr(timm.models._hub, "load_model_config_from_path", asked.append)
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for number in range(6):
        (tmp_path / "photos").mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (64, 32, 3), dtype=np.uint8)).save(tmp_path / f"photos/{number}.png")
    address = "local-dir:gift"
    plan = plan_run("photos", "handed", labels=False, image_size=(64, 32))
    plan.options = RunOptions(backbone=address)
    plan.save()
    for read in (lambda: Plan.load(plan.out), lambda: plan_run("photos", "handed")):
        with pytest.raises(InputError, match="unfinished run in handed to be named again"):
            execute_plan(read(), say=lambda _: None)
    for words in (["report", "handed"], ["resume", "handed"]):
        monkeypatch.setattr(sys, "argv", ["siamese-nbdev", *words])
        with pytest.raises(SystemExit):
            main()
        assert "siamese-nbdev resume FOLDER --backbone ADDRESS" in capsys.readouterr().err
    assert asked == []
    with pytest.raises(InputError, match="Expected the backbone of the run in handed, local-dir:gift, got resnet18"):
        Plan.load(plan.out, backbone="resnet18")
    for named in (Plan.load(plan.out, backbone=address), plan_run("photos", "handed", backbone=address)):
        with pytest.raises(InputError, match="Expected the config.json of local-dir:gift"):
            execute_plan(named, say=lambda _: None)


@needs_onnx
def test_an_encoder_reads_its_own_files(model, tmp_path):
    import onnx

    folder = export_onnx(model, tmp_path / "encoder")
    notes = json.loads((folder / "encoder.json").read_text())
    letter = tmp_path / "letter"
    letter.write_bytes(bytes(1_000_000))
    pixels = np.zeros((1, 64, 32, 3), np.uint8)
    assert open_encoder(folder).embed(pixels).shape == (1, model.embedding_size)

    graph = onnx.load(folder / "model_uint8.onnx")
    weights = graph.graph.initializer[0]
    weights.ClearField("raw_data")
    weights.data_location = onnx.TensorProto.EXTERNAL
    weights.external_data.add(key="location", value=str(letter))
    (folder / "model_uint8.onnx").write_bytes(graph.SerializeToString())
    files = notes["files"] | {"model_uint8.onnx": digest(folder / "model_uint8.onnx")}
    (folder / "encoder.json").write_text(json.dumps(notes | dict(files=files)))
    for runtime in ("onnx", "openvino"):
        if find_spec(dict(onnx="onnxruntime").get(runtime, runtime)) is None: continue
        with pytest.raises(InputError, match="weights outside of it"):
            open_encoder(folder, runtime).embed(pixels)

    for name, sha256 in (("../letter", digest(letter)), (str(letter), digest(letter)), ("model.onnx", None)):
        (folder / "encoder.json").write_text(json.dumps(notes | dict(files={name: sha256})))
        with pytest.raises(InputError, match="Expected files inside .* got "):
            open_encoder(folder)


def test_names_lead_out_for_archives_and_for_folders_alike():
    "Workshops import nothing of ours, so the rule stands twice."
    from siamese_nbdev import downloads

    for name in ("..", "a/..", "/a", "\\a", "\\\\host\\a", "c:/a", "a\\..\\b", "a/b.png", "a/..b/c..png", ""):
        assert leads_out(name) == downloads.leads_out(name)


def test_a_part_of_thousands_of_millions(tmp_path):
    (tmp_path / "part-0000-of-9999999999").mkdir()
    with pytest.raises(InputError, match="Expected 9,999,999,999 parts in .* missing or not finished: part-0000"):
        EmbeddingSet.load(tmp_path)
