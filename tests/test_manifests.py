"""Manifests as people bring them: through split, training, disk, search and evaluation, and always the same."""
import os
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from siamese_nbdev.checks import InputError
from siamese_nbdev.data import (
    as_manifest,
    images_from_csv,
    images_from_filenames,
    read_triplets,
    split_by_label,
    split_query_gallery,
)
from siamese_nbdev.embeddings import EmbeddingSet, embed_images
from siamese_nbdev.evaluation import evaluate_retrieval
from siamese_nbdev.model import SiameseNet
from siamese_nbdev.retrieval import search
from siamese_nbdev.training import fit

identities = 6
cameras = ("1", "2", None)
quiet = dict(progress=False)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    "A folder with three images of each of six identities, a network, and what both give for a tidy manifest."
    folder = tmp_path_factory.mktemp("manifests")
    rng = np.random.default_rng(0)
    paths = []
    for identity in range(identities):
        base = rng.integers(0, 256, 3)
        for shot in range(3):
            pixels = np.clip(base + rng.normal(0, 40, (32, 32, 3)), 0, 255).astype(np.uint8)
            path = folder / f"{identity}" / f"{shot}.png"
            path.parent.mkdir(exist_ok=True)
            Image.fromarray(pixels).save(path)
            paths.append(f"{identity}/{shot}.png")
    before = os.getcwd()
    os.chdir(folder)
    torch.manual_seed(0)
    model = SiameseNet("test_resnet", pretrained=False, image_size=(32, 32), last_stride=None)
    tidy = pd.DataFrame(dict(
        path=paths,
        label=[str(number // 3) for number in range(len(paths))],
        camera=[cameras[number % 3] for number in range(len(paths))],
    ), dtype="str")
    yield dict(folder=folder, model=model, tidy=tidy, expected=outcome(model, tidy, folder / "tidy"))
    os.chdir(before)


def outcome(model, manifest, out):
    "Take a manifest through everything that reads one, and keep what does not depend on how it was written."
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        split = split_by_label(manifest, valid=0.34, test=0)
    assert split["path"].map(str).tolist() == [Path(path).as_posix() for path in manifest["path"]]
    embed_images(model, manifest, **quiet).save(out)
    loaded = EmbeddingSet.load(out)
    hits = search(embed_images(model, manifest, **quiet), loaded, top_k=20)
    scores = evaluate_retrieval(embed_images(model, manifest, **quiet), loaded, repeats=5)
    back = read_again(manifest, out)
    again = evaluate_retrieval(embed_images(model, back, **quiet), repeats=5)
    return dict(
        split=split["split"].tolist(),
        numbers=len(hits),
        distances=hits["distance"].round(5).tolist(),
        correct=hits["correct"].tolist(),
        scores=scores["value"].round(6).tolist(),
        again=again["value"].round(6).tolist(),
        labels=loaded.labels.tolist(),
    )


def read_again(manifest, out):
    "Write a manifest as CSV and read it as a user's list of files, in the old order."
    clean = as_manifest(manifest)
    absolute = clean.assign(path=[os.path.abspath(path) for path in clean["path"]])
    absolute.to_csv(out / "list.csv", index=False)
    table = images_from_csv(out / "list.csv")
    order = {os.path.abspath(path): row for row, path in enumerate(clean["path"])}
    return table.iloc[np.argsort([order[path] for path in table["path"]], kind="stable")]


def spell_label(label, kind):
    "Write a label as different programs would."
    spellings = {
        "text": label,
        "whole": int(label),
        "float": float(label),
        "numpy": np.int32(label),
        "blank": f" {label}\t",
        "tensor": torch.tensor(int(label)),
    }
    return spellings[kind]


def spell_path(path, kind):
    "Write a path as different programs would."
    if kind == "object":
        return Path(path)
    if kind == "absolute":
        return os.path.abspath(path)
    if kind == "roundabout":
        return f"./{path}"
    return path


kinds = st.sampled_from(["text", "whole", "float", "numpy", "blank", "tensor"])
path_kinds = st.sampled_from(["plain", "object", "absolute"])


@st.composite
def spellings(draw):
    "Choose how the columns of a manifest are written."
    rows = identities * 3
    return dict(
        labels=draw(st.one_of(
            st.lists(kinds, min_size=rows, max_size=rows),
            st.sampled_from(["category", "Int64", "int8", "float32"]),
        )),
        cameras=draw(st.lists(kinds, min_size=rows, max_size=rows)),
        missing=draw(st.sampled_from([None, np.nan, pd.NA, pd.NaT])),
        paths=draw(st.lists(path_kinds, min_size=rows, max_size=rows)),
        index=draw(st.sampled_from(["numbers", "words", "shifted"])),
        note=draw(st.one_of(st.none(), st.integers(), st.text(
            st.characters(blacklist_categories=["Cs"], blacklist_characters="\r\0"), max_size=8
        ))),
    )


def respell(tidy, how):
    "Write the tidy manifest in another way."
    labels = how["labels"]
    if isinstance(labels, str):
        label = tidy["label"].astype(int).astype(labels)
    else:
        label = [spell_label(*pair) for pair in zip(tidy["label"], labels, strict=True)]
    camera = []
    for value, kind in zip(tidy["camera"], how["cameras"], strict=True):
        camera.append(how["missing"] if pd.isna(value) else spell_label(value, kind))
    table = pd.DataFrame(dict(
        path=[spell_path(*pair) for pair in zip(tidy["path"], how["paths"], strict=True)],
        label=label,
        camera=camera,
        note=[how["note"]] * len(tidy),
    ))
    numbers = np.arange(len(tidy))
    table.index = dict(numbers=numbers, words=[f"row {row}" for row in numbers], shifted=numbers + 7)[how["index"]]
    return table


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(how=spellings())
def test_every_spelling_means_the_same(place, how):
    messy = respell(place["tidy"], how)
    before = messy.copy()
    found = outcome(place["model"], messy, place["folder"] / "messy")
    expected = place["expected"]
    same_paths = all(kind != "absolute" for kind in how["paths"])
    for name in expected:
        if name != "split" or same_paths:  # which identities are drawn follows the order of paths as text
            assert found[name] == expected[name], name
    assert messy.map(repr).equals(before.map(repr)) and messy.dtypes.equals(before.dtypes)


def test_training_does_not_depend_on_spelling(place):
    "Integer labels and `Path` objects train the same network as text."
    histories = []
    tidy = place["tidy"]
    for table in (tidy, tidy.assign(label=tidy["label"].astype(int), path=tidy["path"].map(Path))):
        torch.manual_seed(0)
        model = SiameseNet("test_resnet", pretrained=False, image_size=(32, 32), last_stride=None)
        train, valid = table.iloc[:12], table.iloc[12:]
        history = fit(model, train, valid, epochs=1, classes_per_batch=3, images_per_class=2, **quiet)
        histories.append(history.drop(columns=["seconds", "images_per_second"]))
    pd.testing.assert_frame_equal(*histories)


bad_values = st.sampled_from(["a\rb", "a\0", "", "  ", "caf\udce9", b"bytes", ["list"], {"a": 1}])


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(value=bad_values, column=st.sampled_from(["label", "camera", "note", "path"]), row=st.integers(0, 17))
def test_what_no_csv_carries_is_refused_before_the_work(place, value, column, row):
    tidy = place["tidy"].assign(note="fine").astype(object)
    tidy.at[row, column] = value
    is_plain = column == "note" and not (isinstance(value, str) and set(value) & set("\r\0\udce9"))
    if is_plain or (column == "path" and value == "  "):
        return  # other columns travel along, and a file may have a blank for a name
    with pytest.raises(InputError):
        embed_images(ExplodingNet(place["model"]), tidy, **quiet)
    with pytest.raises(InputError):
        EmbeddingSet(np.zeros((len(tidy), 2), np.float32), tidy)


class ExplodingNet(torch.nn.Module):
    "A network that must not be asked."

    def __init__(self, model):
        super().__init__()
        self.inner = model
        self.image_size = model.image_size

    def __getattr__(self, name):
        if name in ("inner", "_modules", "_parameters", "_buffers"):
            return super().__getattr__(name)
        raise AssertionError(f"work began: {name}")


def test_two_columns_of_one_name(place):
    tidy = place["tidy"]
    double = pd.concat([tidy, tidy[["label"]]], axis=1)
    for use in (as_manifest, split_by_label, lambda table: embed_images(place["model"], table, **quiet)):
        with pytest.raises(InputError, match="two columns"):
            use(double)


def test_a_file_is_itself_however_it_is_spelled(place):
    "Queries with absolute paths, or through a link, never find themselves."
    model = place["model"]
    tidy = place["tidy"].drop(columns="camera")
    gallery = embed_images(model, tidy, **quiet)
    expected = evaluate_retrieval(gallery, gallery, repeats=5)["value"]
    link = place["folder"] / "link"
    if not link.exists():
        link.symlink_to(place["folder"], target_is_directory=True)
    for spelled in (os.path.abspath, lambda path: f"./{path}", lambda path: f"link/{path}"):
        query = embed_images(model, tidy.assign(path=tidy["path"].map(spelled)), **quiet)
        np.testing.assert_allclose(evaluate_retrieval(query, gallery, repeats=5)["value"], expected)
        hits = search(query, gallery, top_k=1)
        assert (hits["distance"] > 0).all()


def test_another_folder_with_the_same_names(place, tmp_path, monkeypatch):
    model = place["model"]
    tidy = place["tidy"].drop(columns="camera")
    query = embed_images(model, tidy, **quiet)
    for path in tidy["path"]:
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_bytes(Path(path).read_bytes())
    monkeypatch.chdir(tmp_path)
    gallery = embed_images(model, tidy, **quiet)
    hits = search(query, gallery, top_k=1)
    assert (hits["distance"] < 1e-6).all()  # the copies are other files, and are found


def test_odd_names_come_back(place, tmp_path):
    "Names that other programs take for gaps or numbers, quotes, lines, emoji: saved, loaded and found again."
    odd = ["NA", "None", "nan", "001", "1e5", "True", "NULL", 'say "hi", now', "two\nlines", "\U0001f600"]
    odd += ["\u200f\u05e9", "x" * 5000, "a\u2028b", "#1", "=1+1", "-1", "'q'", "\\", "a;b\tc"]
    rows = place["tidy"].iloc[np.arange(len(odd)) % len(place["tidy"])].reset_index(drop=True)
    table = rows.assign(label=odd, note=odd).drop(columns="camera")
    embed_images(place["model"], table, **quiet).save(tmp_path / "set")
    loaded = EmbeddingSet.load(tmp_path / "set")
    assert loaded.labels.tolist() == odd
    assert loaded.manifest["note"].tolist() == odd
    assert sorted(read_again(table, tmp_path)["label"]) == sorted(odd)


def test_columns_in_capitals_mean_the_same(place):
    "Somebody's own `Camera` and `Split` are not passed over."
    tidy = place["tidy"]
    loud = tidy.rename(columns=dict(path="Path", label=" LABEL", camera="Camera "))
    pd.testing.assert_frame_equal(as_manifest(loud), as_manifest(tidy))
    expected = evaluate_retrieval(embed_images(place["model"], tidy, **quiet), repeats=5)
    found = evaluate_retrieval(embed_images(place["model"], loud, **quiet), repeats=5)
    pd.testing.assert_frame_equal(found, expected)


@pytest.mark.parametrize("parts", [
    ("bounding_box_train", "query", "bounding_box_test"),
    ("image_train", "image_query", "image_test"),
    ("train", "test/query", "test/gallery"),
])
def test_the_layout_of_re_identification(place, tmp_path, parts):
    "Market-1501, VeRi-776 and roles within a part, with hand-drawn boxes and a cover picture beside them."
    picture = Path(place["tidy"]["path"][0]).read_bytes()
    train, query, gallery = parts
    names = [f"{train}/0009_c1s1_000001_00.png", "gt_bbox/0001_c1s1_000001_00.png", "cover.png"]
    names += [f"{query}/{who:04}_c1s1_000001_00.png" for who in (1, 2)]
    names += [f"{gallery}/{who}_c2s1_000001_00.png" for who in ("0001", "0002", "0000", "-1")]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(picture + name.encode())
    with pytest.warns(UserWarning) as said:
        found = images_from_filenames(tmp_path)
    texts = [str(one.message) for one in said]
    assert all(one.filename == __file__ for one in said)
    for words in ("1 image lies in no part", "Left out 1 of 9", "1 junk", "1 distractors"):
        assert sum(words in text for text in texts) == 1
    asked, answers = split_query_gallery(found[found["split"] == "test"])
    assert [Path(path).parent.relative_to(tmp_path).as_posix() for path in asked["path"]] == [query] * 2
    assert sorted(answers["label"].fillna("nobody")) == ["0001", "0002", "nobody"]
    sets = [embed_images(place["model"], part, **quiet) for part in (asked, answers)]
    scores = evaluate_retrieval(*sets, repeats=5)
    assert scores.loc["rank_1", "value"] in (0, 0.5, 1)


def test_triplets_of_a_manifest_are_matched_by_file(place, tmp_path):
    tidy = place["tidy"]
    rows = [["0/0.png", "0/1.png", "1/0.png"], ["./1/0.png", "1\\2.png", os.path.abspath("2/0.png")]]
    file = place["folder"] / "triplets.csv"
    pd.DataFrame(rows, columns=["Anchor", "Positive", "Negative"]).to_csv(file, index=False)
    numbers = tidy.assign(path=tidy["path"].map(os.path.abspath), label=tidy["label"].astype(int))
    assert read_triplets(file, manifest=numbers)["negative_label"].tolist() == ["1", "2"]
    lies = pd.concat([numbers, numbers.iloc[:1].assign(label=5)])
    with pytest.raises(InputError, match="one file"):
        read_triplets(file, manifest=lies)
