"Make a small run that can be served; shared by the tests of the server and of its page."
import io
from dataclasses import asdict

import numpy as np
import pandas as pd
import torch
from PIL import Image

from siamese_nbdev.embeddings import embed_images
from siamese_nbdev.files import write_notes
from siamese_nbdev.model import SiameseNet, load_model, save_model
from siamese_nbdev.neighbours import distances_between
from siamese_nbdev.pipeline import Presence
from siamese_nbdev.retrieval import Index
from siamese_nbdev.verification import Threshold, save_threshold

people = ("ann", "bob", "cid", "dot", "eve", "flo")


def make_run(folder, images=4):
    "Draw six identities, embed them with a small untrained network, and note both distances, as a run does."
    for name in people:
        for shot in range(images):
            file = folder / "photos" / name / f"{shot}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(photo(name, shot))
    paths = sorted((folder / "photos").rglob("*.png"))
    cameras = [str(number % 2 + 1) for number in range(len(paths))]
    manifest = pd.DataFrame(dict(path=map(str, paths), label=[path.parent.name for path in paths], camera=cameras))
    torch.manual_seed(0)
    kind = dict(image_size=(64, 64), head="batchnorm_linear", embedding_size=16)
    net = SiameseNet("test_efficientnet", pretrained=False, **kind)
    run = folder / "run"
    save_model(net, run / "model")
    model = load_model(run / "model")
    embedded = embed_images(model, manifest, progress=False)
    Index(embedded).save(run / "index")
    distances = distances_between(embedded.vectors, embedded.vectors)
    is_same = embedded.labels[:, None] == embedded.labels[None, :]
    limit = float(distances[is_same].max() + distances[~is_same].min()) / 2
    known = dict(images=len(manifest), queries=len(manifest), identities=6, absent_rate=0.04, found_rate=0.9)
    write_notes(run / "index" / "presence.json", asdict(Presence(limit, **known)))
    rates = dict(target=0.01, false_accept_rate=0.01, low=0.002, high=0.03, true_accept_rate=0.9)
    counts = dict(different_pairs=1000, same_pairs=100, identities=6, pairs_needed=300)
    save_threshold(run / "model", Threshold(1.05 * limit, **rates, **counts, model_id=model.model_id()))
    return run


def photo(name="ann", shot=0, kind="PNG", exif=None):
    "Return a picture of somebody as the bytes of a file; people of other names are in no collection."
    pattern = np.kron(np.random.default_rng(list(name.encode())).integers(0, 255, (4, 4, 3)), np.ones((16, 16, 1)))
    noise = np.random.default_rng([*name.encode(), shot]).normal(0, 3, pattern.shape)
    memory = io.BytesIO()
    options = {} if exif is None else dict(exif=exif)
    Image.fromarray((pattern + noise).clip(0, 255).astype(np.uint8)).save(memory, kind, **options)
    return memory.getvalue()
