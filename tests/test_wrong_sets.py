"""What is no set, no manifest, no table or no number meets every public function: it is refused in a sentence."""
import math

import matplotlib
import numpy as np
import pandas as pd
import pytest
import torch
from counting import count

from siamese_nbdev import (
    data,
    dataset,
    embeddings,
    evaluation,
    explain,
    few_shot,
    loss,
    retrieval,
    training,
    verification,
)
from siamese_nbdev.checks import InputError
from siamese_nbdev.embeddings import EmbeddingSet
from siamese_nbdev.model import SiameseNet
from siamese_nbdev.pipeline import Plan, RunOptions, plan_run

matplotlib.use("agg")


def set_of(images, **columns):
    "Random vectors, two images of each identity."
    labels = [str(number // 2) for number in range(images)]
    manifest = pd.DataFrame(dict(path=[f"{number}.png" for number in range(images)], label=labels) | columns)
    return EmbeddingSet(np.random.default_rng(0).normal(size=(images, 4)).astype(np.float32), manifest)


some = set_of(8)
empty = some.select([])
pairs = verification.verification_pairs(some)
scores = evaluation.evaluate_queries(some)
model = SiameseNet("test_efficientnet", pretrained=False, image_size=(32, 32))
of_a_set = {
    "search": lambda one: retrieval.search(some, one),
    "search itself": lambda one: retrieval.search(one, one),
    "Index": lambda one: retrieval.Index(one),
    "evaluate_retrieval": lambda one: evaluation.evaluate_retrieval(one),
    "evaluate_queries": lambda one: evaluation.evaluate_queries(one),
    "hardest_pairs": lambda one: evaluation.hardest_pairs(one),
    "hubs": lambda one: evaluation.hubs(one),
    "near_duplicates": lambda one: evaluation.near_duplicates(one),
    "near_duplicates within": lambda one: evaluation.near_duplicates(one, across=False),
    "find_label_errors": lambda one: evaluation.find_label_errors(one),
    "verification_pairs": lambda one: verification.verification_pairs(one),
    "verification_pairs of folds": lambda one: verification.verification_pairs([one]),
    "classify_episode": lambda one: few_shot.classify_episode(one, some),
    "classify_episode queries": lambda one: few_shot.classify_episode(some, one),
    "evaluate_few_shot": lambda one: few_shot.evaluate_few_shot(one),
    "plot_embeddings": lambda one: embeddings.plot_embeddings(one),
}
of_several = {  # where a set without images has an answer of its own
    "append": lambda one: some.append(one),
    "rerank": lambda one: retrieval.rerank(some, one),
    "add": lambda one: retrieval.Index(some).add(one),
}
no_sets = dict(none=None, text="runs/demo", table=some.manifest, array=some.vectors)
of_a_manifest = {
    "as_manifest": data.as_manifest,
    "split_by_label": data.split_by_label,
    "audit_split": data.audit_split,
    "audit_split of pictures": lambda table: data.audit_split(table, pictures=True),
    "split_query_gallery": data.split_query_gallery,
    "check_images": data.check_images,
    "ImageDataset": dataset.ImageDataset,
    "TripletDataset": dataset.TripletDataset,
    "fit": lambda table: training.fit(model, table, None, epochs=1, progress=False),
    "validate": lambda table: training.validate(model, table),
    "embed_images": lambda table: embeddings.embed_images(model, table, progress=False),
}
no_manifests = dict(
    none=None,
    text="photos",
    array=np.zeros(3),
    set=some,
    empty=some.manifest[:0].assign(split=pd.Series(dtype="str")),
)
others = {
    "folder of nothing": lambda: data.images_from_folder(None),
    "names of nothing": lambda: data.images_from_filenames(None),
    "table of nothing": lambda: data.images_from_csv(7),
    "show nothing": lambda: data.show_images(None),
    "plot no hits": lambda: retrieval.plot_closest_imgs(None),
    "plot no curves": lambda: verification.plot_det({}),
    "roc of no pairs": lambda: verification.roc(pairs[:0]),
    "one rate": lambda: verification.evaluate_verification(pairs, false_accept_rates=0.1),
    "threshold of no pairs": lambda: verification.fit_threshold(pairs[:0]),
    "no target": lambda: verification.fit_threshold(pairs, None),
    "verify nothing": lambda: verification.verify_pair(None, None, model, 0.5),
    "compare nothing": lambda: evaluation.compare_retrieval(scores[:0], scores[:0]),
    "interval of nothing": lambda: evaluation.bootstrap_interval(None, None),
    "history of nothing": lambda: training.plot_history(pd.DataFrame()),
    "diagnose nothing": lambda: training.diagnose(None),
    "map of nothing": lambda: explain.similarity_map(model, None, None),
    "rows by name": lambda: some.select("x"),
    "half a row": lambda: some.select([0.5]),
    "no rows": lambda: some.select(None),
    "plan of nothing": lambda: Plan.load(None),
    "plan of a huge input": lambda: plan_run(".", "nowhere", image_size=(100_000, 100_000)),
    "loss of nothing": lambda: loss.TripletLoss()(torch.zeros(0, 4), torch.zeros(0, dtype=torch.long)),
    "vectors of nothing": lambda: EmbeddingSet(np.zeros((8, 0), np.float32), some.manifest),
    "no cut-off": lambda: evaluation.evaluate_retrieval(some, ks=True),
    "huge input": lambda: SiameseNet("test_efficientnet", pretrained=False, image_size=(100_000, 100_000)),
}
no_whole = (True, 0, -1, 1.5, None, "3", math.nan)
no_distance = (True, -1, "3", math.nan, math.inf)
no_seed = (True, -1, 2**32, 0.5, None, "3")
numbers = {
    "top_k of search": (lambda k: retrieval.search(some, some, top_k=k), no_whole),
    "top_k of hubs": (lambda k: evaluation.hubs(some, top_k=k), no_whole),
    "top_k of hardest_pairs": (lambda k: evaluation.hardest_pairs(some, top_k=k), no_whole),
    "top_k of find_label_errors": (lambda k: evaluation.find_label_errors(some, top_k=k), no_whole),
    "pairs_per_kind": (lambda k: verification.verification_pairs(some, pairs_per_kind=k), no_whole[:4]),
    "max_distance of search": (lambda far: retrieval.search(some, some, max_distance=far), no_distance),
    "max_distance of few_shot": (lambda far: few_shot.evaluate_few_shot(some, 2, max_distance=far), no_distance),
    "threshold of near_duplicates": (lambda far: evaluation.near_duplicates(some, threshold=far), no_distance),
    "threshold of find_label_errors": (lambda far: evaluation.find_label_errors(some, threshold=far), no_distance),
    "threshold of pairs": (lambda far: verification.evaluate_verification(pairs, threshold=far), no_distance),
    "seed of a split": (lambda seed: data.split_by_label(some.manifest, seed=seed), no_seed),
    "seed of queries": (lambda seed: data.split_query_gallery(some.manifest, seed=seed), no_seed),
    "seed of images": (lambda seed: dataset.ImageDataset(some.manifest, seed=seed), no_seed),
    "seed of triplets": (lambda seed: dataset.TripletDataset(some.manifest, seed=seed), no_seed),
    "seed of batches": (lambda seed: dataset.BalancedBatchSampler(list("aabb"), seed=seed), no_seed),
    "seed of augment": (lambda seed: dataset.augment(torch.zeros(3, 32, 32), seed), no_seed),
    "seed of random_flip": (lambda seed: dataset.random_flip(torch.zeros(3, 32, 32), seed), no_seed),
    "seed of training": (lambda seed: training.Options(seed=seed), no_seed),
    "seed of a map": (lambda seed: embeddings.plot_embeddings(some, seed=seed), no_seed),
    "seed of scores": (lambda seed: evaluation.evaluate_retrieval(some, seed=seed), no_seed),
    "seed of a comparison": (lambda seed: evaluation.compare_retrieval(scores, scores, seed=seed), no_seed),
    "seed of pairs": (lambda seed: verification.verification_pairs(some, seed=seed), no_seed),
    "seed of rates": (lambda seed: verification.evaluate_verification(pairs, seed=seed), no_seed),
    "seed of an episode": (lambda seed: few_shot.sample_episode(some, 2, seed=seed), no_seed),
    "seed of episodes": (lambda seed: few_shot.evaluate_few_shot(some, 2, seed=seed), no_seed),
    "seed of a run": (lambda seed: RunOptions(seed=seed), no_seed),
}


def refused(call, *arguments):
    "Call something that has to be refused in a sentence."
    with pytest.raises((InputError, FileNotFoundError)) as caught:
        call(*arguments)
    assert type(caught.value) in (InputError, FileNotFoundError), repr(caught.value)
    assert str(caught.value).startswith("Expected "), str(caught.value)
    count("calls", times=1)


@pytest.mark.parametrize("name", of_a_set | of_several)
@pytest.mark.parametrize("kind", no_sets)
def test_no_set(name, kind):
    refused((of_a_set | of_several)[name], no_sets[kind])


@pytest.mark.parametrize("name", of_a_set)
def test_empty_set(name):
    refused(of_a_set[name], empty)


@pytest.mark.parametrize("name", of_a_manifest)
@pytest.mark.parametrize("kind", no_manifests)
def test_no_manifest(name, kind):
    refused(of_a_manifest[name], no_manifests[kind])


@pytest.mark.parametrize("name", others)
def test_nothing(name):
    refused(others[name])


@pytest.mark.parametrize("name", numbers)
def test_no_number(name):
    call, values = numbers[name]
    for value in values:
        refused(call, value)
