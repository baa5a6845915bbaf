"""Images whose vectors follow from their numbers: whoever reads some can tell whether they are whole."""
import numpy as np
import pandas as pd

from siamese_nbdev.embeddings import EmbeddingSet


def batch(number:int, count:int=200, size:int=32) -> EmbeddingSet:
    "Make the images of one batch."
    numbers = np.arange(number * count, (number + 1) * count)
    vectors = np.random.default_rng(number).normal(size=(count, size)).astype(np.float32)
    vectors[:, 0] = numbers
    table = dict(path=[f"photos/{one}.jpg" for one in numbers], label=[f"{one % 50:04d}" for one in numbers])
    return EmbeddingSet(vectors, pd.DataFrame(table), dict(model_id="pencil", flip=False))
