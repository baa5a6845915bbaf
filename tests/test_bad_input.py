"""Malformed input to every loader and sampler: the error says what was expected, and is never a bare KeyError."""
import pandas as pd
import pytest
import torch
from PIL import Image

from siamese_nbdev.checks import InputError
from siamese_nbdev.data import (
    audit_split,
    check_images,
    images_from_csv,
    images_from_filenames,
    images_from_folder,
    read_image,
    read_triplets,
    show_images,
    split_by_label,
    split_query_gallery,
)
from siamese_nbdev.dataset import BalancedBatchSampler, ImageDataset, TripletDataset, augment, transform_from
from siamese_nbdev.model import load_model


@pytest.fixture
def there(tmp_path):
    "A small tidy folder with some malformed files beside it."
    for name in ("ann", "bob"):
        (tmp_path / "good" / name).mkdir(parents=True)
        for shot in range(2):
            Image.new("RGB", (32, 48), (shot * 90, 40, 90)).save(tmp_path / "good" / name / f"{shot}.png")
    (tmp_path / "empty").mkdir()
    (tmp_path / "flat").mkdir()
    Image.new("RGB", (32, 48)).save(tmp_path / "flat" / "0001_c1s1_000001_01.png")
    content = (tmp_path / "good" / "ann" / "0.png").read_bytes()
    one_file = "0001_c1s1_000001_01.png,0001_c1s1_000001_01.png,0002_c1s1_000001_01.png"
    files = {
        "half.png": content[:60],
        "nothing.png": b"",
        "letter.jpg": b"Dear reader",
        "nothing.csv": b"",
        "headless.csv": b"path,label\n",
        "binary.csv": bytes(range(256)),
        "wrong.csv": b"who,what\na,b\n",
        "gone.csv": b"path,label\nnowhere.png,ann\n",
        "hole.csv": b"path,label\n,ann\n",
        "two.csv": b"Anchor,Positive\na,b\n",
        "hole3.csv": b"Anchor,Positive,Negative\n0001_c1.png,,0002_c1.png\n",
        "same.csv": f"Anchor,Positive,Negative\n{one_file}\n".encode(),
    }
    for name, written in files.items():
        (tmp_path / name).write_bytes(written)
    return tmp_path


def manifest(**columns):
    "Four images of two identities, with some columns replaced, or left out where they are None."
    frame = {"path": ["a.png", "b.png", "c.png", "d.png"], "label": ["ann", "ann", "bob", "bob"]} | columns
    return pd.DataFrame({name: values for name, values in frame.items() if values is not None})


one_gap = ["ann", None, "bob", "bob"]
leaky = ["train", "valid", "valid", "valid"]
halves = ["train", "train", "valid", "valid"]
cases = {
    "image missing": (lambda t: read_image(t / "nowhere.png"), "found none"),
    "image is a folder": (lambda t: read_image(t / "good"), "found none"),
    "image truncated": (lambda t: read_image(t / "half.png"), "half.png"),
    "image empty": (lambda t: read_image(t / "nothing.png"), "nothing.png"),
    "image is a letter": (lambda t: read_image(t / "letter.jpg"), "letter.jpg"),
    "folder missing": (lambda t: images_from_folder(t / "nowhere"), "found nothing"),
    "folder is a file": (lambda t: images_from_folder(t / "letter.jpg"), "got the file"),
    "folder empty": (lambda t: images_from_folder(t / "empty"), "found none"),
    "folder flat": (lambda t: images_from_folder(t / "flat"), "one sub-folder per identity"),
    "pattern broken": (lambda t: images_from_filenames(t / "flat", "("), "regular expression"),
    "pattern of triplets broken": (lambda t: read_triplets(t / "same.csv", pattern="("), "regular expression"),
    "pattern without label": (lambda t: images_from_filenames(t / "flat", r"\d+"), "group named label"),
    "pattern fits nothing": (lambda t: images_from_filenames(t / "good"), "adapt the pattern"),
    "csv missing": (lambda t: images_from_csv(t / "nowhere.csv"), "found none"),
    "csv empty": (lambda t: images_from_csv(t / "nothing.csv"), "column names"),
    "csv without rows": (lambda t: images_from_csv(t / "headless.csv"), "names only"),
    "csv binary": (lambda t: images_from_csv(t / "binary.csv"), "binary.csv"),
    "csv other columns": (lambda t: images_from_csv(t / "wrong.csv"), "it has who, what"),
    "csv names lost files": (lambda t: images_from_csv(t / "gone.csv"), "nowhere.png"),
    "csv with a hole": (lambda t: images_from_csv(t / "hole.csv"), "line 2"),
    "triplets with two columns": (lambda t: read_triplets(t / "two.csv"), "Negative missing"),
    "triplets with a hole": (lambda t: read_triplets(t / "hole3.csv"), "line 2"),
    "triplets of one file": (lambda t: read_triplets(t / "same.csv"), "one file"),
    "split a list": (lambda t: split_by_label([1, 2]), "got list"),
    "split without labels": (lambda t: split_by_label(manifest(label=None)), "without label"),
    "split with a missing label": (lambda t: split_by_label(manifest(label=[None] * 4)), "more identities than 0"),
    "split nothing": (lambda t: split_by_label(manifest()[:0]), "an empty one"),
    "split too much": (lambda t: split_by_label(manifest(), valid=0.5, test=0.5), "leave something"),
    "split a negative share": (lambda t: split_by_label(manifest(), valid=-0.1), "at least 0"),
    "split all of it": (lambda t: split_by_label(manifest(), test=True), "below 1, got True"),
    "split one identity": (lambda t: split_by_label(manifest(label=["ann"] * 4)), "add identities"),
    "split repeated rows": (lambda t: split_by_label(pd.concat([manifest(), manifest()])), "reset_index"),
    "audit without split": (lambda t: audit_split(manifest()), "split_by_label"),
    "audit a missing split": (lambda t: audit_split(manifest(split=[None] * 4)), "a column split, got none"),
    "audit a list": (lambda t: audit_split(["a.png"]), "got list"),
    "audit a leak": (lambda t: audit_split(manifest(split=leaky)), "1 identity stands on two sides (ann)"),
    "audit one file twice": (
        lambda t: audit_split(manifest(path=["a.png", "b.png", "a.png", "d.png"], split=halves)),
        "1 file stands on two sides",
    ),
    "queries of lone identities": (lambda t: split_query_gallery(manifest(label=list("abcd"))), "at least two images"),
    "check a list": (lambda t: check_images(["a.png"]), "column path"),
    "check by no thread": (lambda t: check_images(manifest(), workers=0), "at least 1, got 0"),
    "show nothing": (lambda t: show_images([]), "at least one image"),
    "dataset of nothing": (lambda t: ImageDataset(manifest()[:0]), "an empty one"),
    "show in no column": (lambda t: show_images([t / "flat"], columns=0), "at least 1, got 0"),
    "dataset without paths": (lambda t: ImageDataset(manifest(path=None)), "column path"),
    "dataset with one number as size": (lambda t: ImageDataset(manifest(), 64), "(height, width)"),
    "dataset of size zero": (lambda t: ImageDataset(manifest(), (0, 64)), "the height in image_size"),
    "dataset of half a size": (lambda t: ImageDataset(manifest(), (64, 32.5)), "the width in image_size"),
    "cache without a size": (lambda t: ImageDataset(manifest(), cache=True), "image_size"),
    "dataset of lost files": (lambda t: ImageDataset(manifest())[0], "a.png"),
    "dataset with a missing path": (lambda t: ImageDataset(manifest(path=one_gap)), "a path for every image, got 1"),
    "dataset of a list": (lambda t: ImageDataset(["a.png"]), "column path"),
    "triplets with a missing label": (lambda t: TripletDataset(manifest(label=one_gap)), "who is who"),
    "triplets of nothing": (lambda t: TripletDataset(None), "got neither"),
    "triplets from a table of something else": (
        lambda t: TripletDataset(None, triplets=manifest()),
        "Anchor, Negative, Positive missing",
    ),
    "triplets without labels": (lambda t: TripletDataset(manifest(label=None)), "who is who"),
    "triplets of one identity": (lambda t: TripletDataset(manifest(label=["ann"] * 4)), "two identities"),
    "triplets of lone identities": (lambda t: TripletDataset(manifest(label=list("abcd"))), "at least two images"),
    "triplets across no cameras": (lambda t: TripletDataset(manifest(), cross_camera=True), "column camera"),
    "batches of one identity": (lambda t: BalancedBatchSampler(["a", "a", "a"]), "at least two identities"),
    "batches of nothing": (lambda t: BalancedBatchSampler([]), "at least two identities"),
    "one class a batch": (lambda t: BalancedBatchSampler(list("aabb"), classes_per_batch=1), "at least 2"),
    "half an image a class": (lambda t: BalancedBatchSampler(list("aabb"), images_per_class=0.5), "whole number"),
    "batches with a missing label": (lambda t: BalancedBatchSampler([*"aabb", None]), "got 1 without"),
    "a batch of True": (lambda t: BalancedBatchSampler(list("aabb"), images_per_class=True), "got True"),
    "augment a batch": (lambda t: augment(torch.zeros(2, 3, 8, 8), 0), "each image"),
    "augment bytes": (lambda t: augment(torch.zeros(3, 8, 8, dtype=torch.uint8), 0), "divide uint8"),
    "transform of another name": (lambda t: transform_from({"name": "blur"}), "one of our own transforms"),
    "network missing": (lambda t: load_model(t / "nowhere"), "model.json"),
    "network is a file": (lambda t: load_model(t / "letter.jpg"), "can run code"),
    "network in an empty folder": (lambda t: load_model(t / "empty"), "model.json"),
}


@pytest.mark.parametrize("name", cases)
def test_bad_input(name, there):
    call, said = cases[name]
    with pytest.raises((InputError, FileNotFoundError)) as caught:
        call(there)
    error = caught.value
    assert type(error) in (InputError, FileNotFoundError), f"a {type(error).__name__} got through"
    assert said in str(error) and "xpected" in str(error), str(error)
