"Near-duplicates among many small files, and sets whose labels are kinds: whole runs, on shapes drawn here."
import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageDraw
from typer.testing import CliRunner

from siamese_nbdev.checks import InputError
from siamese_nbdev.cli import app
from siamese_nbdev.embeddings import EmbeddingSet
from siamese_nbdev.evaluation import near_duplicates
from siamese_nbdev.pipeline import execute_plan, plan_run
from siamese_nbdev.report import write_report


def draw(kind:int, seed:int) -> Image.Image:
    "Draw one of three kinds of shapes, somewhere, in some colour, before noise."
    rng = np.random.default_rng(100 * kind + seed)
    picture = Image.fromarray(rng.integers(120, 200, (64, 64, 3), dtype=np.uint8))
    x, y = rng.integers(4, 20, 2)
    box = [int(x), int(y), int(x) + 38, int(y) + 38]
    colour = tuple(int(value) for value in rng.integers(0, 110, 3))
    brush = ImageDraw.Draw(picture)
    if kind == 2:
        brush.polygon([*box[:2], box[2], box[1], *box[2:]], colour)
    else:
        (brush.ellipse, brush.rectangle)[kind](box, colour)
    return picture


@pytest.fixture(scope="module")
def kinds(tmp_path_factory):
    "A folder of three kinds, thirty pictures each."
    folder = tmp_path_factory.mktemp("kinds")
    for kind, name in enumerate(("disc", "box", "wedge")):
        (folder / name).mkdir()
        for number in range(30):
            draw(kind, number).save(folder / name / f"{number:02}.png")
    return folder


def test_kinds_are_recognised_and_only_told(kinds, tmp_path):
    with pytest.raises(InputError, match="at least 4 identities"):  # as before: nothing is split by image unasked
        plan_run(kinds, tmp_path / "by_label", epochs=1)
    for number in range(30):
        (kinds / "more").mkdir(exist_ok=True)
        draw(0, 50 + number).rotate(45).save(kinds / "more" / f"{number:02}.png")
    plan = plan_run(kinds, tmp_path / "by_label", epochs=1)
    assert any("only 4 labels, with 30 images" in note and "--split-by image" in note for note in plan.notes)


def test_a_run_split_by_image(kinds, tmp_path):
    plan = plan_run(kinds, tmp_path / "run", epochs=1, image_size=(64, 64), split_by="image")
    assert any("nothing about labels that were never seen" in note for note in plan.notes)
    assert not any("--split-by" in note for note in plan.notes)
    used = plan.images.loc[plan.images["split"] != "index"]
    labels = {name: set(part["label"]) for name, part in used.groupby("split")}
    assert labels["train"] == labels["valid"] == labels["test"]
    assert json.loads((tmp_path / "run" / "plan.json").read_text())["options"]["split_by"] == "image"
    said = []
    results = execute_plan(plan, say=said.append)
    text = "\n".join(said)
    assert "the same identities in all of them" in text and "others of their labels were" in text
    assert "no identity in two" not in text and "over identities" not in text
    assert results.presence is None and results.gain_of_training().over == "image"
    report = write_report(tmp_path / "run", say=lambda text: None).read_text()
    assert "labels that were trained on" in report and "which nothing was trained on" not in report
    assert "intervals over identities" not in report
    with pytest.raises(InputError, match="split_by"):
        plan_run(kinds, tmp_path / "run", split_by="label")
    # The command that measures again draws what the run divided.
    done = CliRunner().invoke(app, ["evaluate", str(tmp_path / "run"), "--json"])
    names = ["value", "low", "high"]
    figures = pd.DataFrame.from_dict(json.loads(done.stdout), orient="index").loc["rank_1"]
    measured = results.scores["trained" if results.use_trained else "frozen"].loc["rank_1"]
    assert "intervals are over images" in done.stderr
    pd.testing.assert_series_equal(figures[names], measured[names], check_names=False)


def test_equal_pictures_never_cross_a_split_by_image(kinds, tmp_path):
    table = pd.DataFrame(dict(path=sorted(str(path) for path in kinds.rglob("*.png"))))
    table["label"] = [path.split("/")[-2] for path in table["path"]]
    table["split"] = ["train", "test"] * (len(table) // 2)
    Image.open(table["path"][0]).save(tmp_path / "again.png", compress_level=1)  # other bytes, same pixels
    table.loc[len(table)] = [str(tmp_path / "again.png"), table["label"][0], "test"]
    table.to_csv(tmp_path / "own.csv", index=False)
    with pytest.raises(InputError, match="--split-by image"):
        plan_run(tmp_path / "own.csv", tmp_path / "refused", epochs=1)
    plan = plan_run(tmp_path / "own.csv", tmp_path / "run", epochs=1, image_size=(64, 64), split_by="image")
    assert plan.images.set_index("path").loc[table["path"][0], "split"] == "index"
    assert any("equal to one on another side" in note for note in plan.notes)


def test_what_hangs_together_is_one_group(tmp_path):
    "Two pictures with three copies each, among twenty others; vectors say nothing of who is whose copy."
    files = []
    for number in range(20):
        draw(number % 3, number).resize((160, 160)).save(tmp_path / f"{number:02}.png")
        files.append(tmp_path / f"{number:02}.png")
    for number in (3, 7):
        picture = Image.open(files[number])
        copies = [picture.resize((80, 80)), picture.crop((10, 10, 140, 140)), picture.transpose(0)]
        for how, copy in enumerate(copies):
            files.append(tmp_path / f"{number:02}-{how}.jpg")
            copy.save(files[-1], quality=60)
    vectors = np.random.default_rng(0).normal(size=(len(files), 8)).astype(np.float32)
    embeddings = EmbeddingSet(vectors, pd.DataFrame(dict(path=[str(file) for file in files])))
    pairs = near_duplicates(embeddings, across=False, top_k=25)
    groups = [
        {path.split("/")[-1][:2] for path in group[["path", "other"]].to_numpy().ravel()}
        for _, group in pairs.groupby("group")
    ]
    assert sorted(map(sorted, groups)) == [["03"], ["07"]]
    straight = near_duplicates(embeddings, across=False, top_k=25, mirror=False)
    assert 0 < len(straight) < len(pairs)
