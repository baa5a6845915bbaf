"A run that is tracked writes TensorBoard files with its settings and history, and ends with the same weights."
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from siamese_nbdev.model import SiameseNet
from siamese_nbdev.training import fit, resume

pytest.importorskip("tensorboard", reason="TensorBoard is not installed")
sizes = dict(classes_per_batch=4, images_per_class=2, glance=0, progress=False, epochs=2)


@pytest.fixture
def people(tmp_path):
    "Noise in 48 pictures of 12 people; the last 4 are to judge by."
    rng = np.random.default_rng(0)
    rows = []
    for number in range(48):
        path = tmp_path / f"{number:02d}.png"
        Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(path)
        rows.append(dict(path=str(path), label=f"{number // 4:02d}"))
    table = pd.DataFrame(rows)
    table.to_csv(tmp_path / "people.csv", index=False)
    return table[:32], table[32:]


def small_network():
    torch.manual_seed(0)
    return SiameseNet("test_efficientnet", pretrained=False, image_size=(32, 32))


def read_events(folder):
    "Read the figures of all event files below a folder: values and steps by tag, and the settings."
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    figures = {}
    settings = {}
    for file in sorted(folder.rglob("events.out.*"), key=lambda file: file.stat().st_mtime_ns):
        events = EventAccumulator(str(file))
        events.Reload()
        for tag in events.Tags()["scalars"]:
            figures.setdefault(tag, []).extend((event.step, event.value) for event in events.Scalars(tag))
        settings |= {tag: file for tag in events.summary_metadata if tag.startswith("_hparams_")}
    return figures, settings


def test_tensorboard_holds_settings_and_history_and_changes_nothing(people, tmp_path):
    import yaml

    plain, watched = small_network(), small_network()
    before = fit(plain, *people, out=tmp_path / "plain", **sizes)
    history = fit(watched, *people, out=tmp_path / "watched", trackers=["tensorboard"], **sizes)
    for name, value in plain.state_dict().items():
        assert torch.equal(value, watched.state_dict()[name]), name
    pd.testing.assert_series_equal(history.loss, before.loss)
    assert not (tmp_path / "plain" / "logs").exists()
    figures, settings = read_events(tmp_path / "watched" / "logs")
    assert settings
    steps = len(figures["step/loss"]) // 2
    assert [step for step, _ in figures["step/loss"]] == list(range(1, 2 * steps + 1))
    for name in ("loss", "valid_rank_1", "valid_map", "spread"):
        assert [step for step, _ in figures[f"epoch/{name}"]] == [steps, 2 * steps]
        np.testing.assert_allclose([value for _, value in figures[f"epoch/{name}"]], history[name], rtol=1e-6)
    assert "epoch/train_rank_1" not in figures, "glance=0: it was not measured"
    (noted,) = (tmp_path / "watched" / "logs").rglob("hparams.yml")
    values = yaml.safe_load(noted.read_text())
    assert (values["epochs"], values["train_images"], values["network_backbone"]) == (2, 32, "test_efficientnet")


fit_code = """
import sys, pandas as pd, torch
from siamese_nbdev.model import SiameseNet
from siamese_nbdev.training import fit
table = pd.read_csv(sys.argv[1] + "/people.csv", dtype=str)
seen = []


def stop(image, seed):
    seen.append(seed)
    if len(seen) == 50:
        raise KeyboardInterrupt
    return image


torch.manual_seed(0)
model = SiameseNet("test_efficientnet", pretrained=False, image_size=(32, 32))
sizes = dict(classes_per_batch=4, images_per_class=2, glance=0, progress=False, epochs=2)
fit(model, table[:32], table[32:], out=sys.argv[1] + "/run", trackers=["tensorboard"], transform=stop, **sizes)
"""


def test_what_was_logged_is_there_after_an_interruption_and_goes_on(people, tmp_path, capsys):
    environment = os.environ | dict(OMP_NUM_THREADS="1", PYTHONPATH=os.pathsep.join(sys.path))
    done = subprocess.run([sys.executable, "-c", fit_code, str(tmp_path)], env=environment, capture_output=True)
    assert b"KeyboardInterrupt" in done.stderr
    logs = tmp_path / "run" / "logs"
    figures, _ = read_events(logs)
    steps = [step for step, _ in figures["step/loss"]]
    assert steps[:4] == [1, 2, 3, 4] and 4 < steps[-1] < 8
    assert [step for step, _ in figures["epoch/loss"]] == [4]
    _, history = resume(tmp_path / "run", transform=lambda image, seed: image, progress=False)
    assert "Logging to tensorboard, as " in capsys.readouterr().out
    figures, _ = read_events(logs)
    assert [step for step, _ in figures["epoch/loss"]] == [4, 8]
    np.testing.assert_allclose(figures["epoch/loss"][1][1], history.loss[1], rtol=1e-6)
    assert len(list(logs.rglob("hparams.yml"))) == 1, "the settings are told once"
    assert Path(tmp_path, "run", "history.csv").exists()
