"Processes under a launcher embed a collection in parts, which join to what one process writes, bit for bit."
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from siamese_nbdev.checks import InputError
from siamese_nbdev.embeddings import EmbeddingSet

embed_code = """
import os, sys, pandas as pd, torch
from siamese_nbdev.embeddings import embed_images
from siamese_nbdev.model import SiameseNet
folder, out, shard, joins, dies_at = sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4] == "joined", int(sys.argv[5])
torch.set_num_threads(1)
if joins:  # the process group is up already, as in a script that has trained
    from accelerate import PartialState
    state = PartialState(cpu=True)
torch.manual_seed(0)
model = SiameseNet("test_efficientnet", pretrained=False, image_size=(32, 32), head="linear", embedding_size=16)
calls = []


def count(*_):
    calls.append(1)
    if len(calls) == dies_at and os.environ.get("RANK") == "1":
        os.kill(os.getpid(), 9)


model.register_forward_hook(count)
manifest = pd.read_csv(folder + "/manifest.csv", dtype=str)
shard = None if shard == "none" else shard
if joins:
    state.wait_for_everyone()
part = embed_images(model, manifest, out=out, shard=shard, batch_size=8, progress=False)
print("process", os.environ.get("RANK"), "embedded", len(calls), "batches", flush=True)
if joins:
    state.wait_for_everyone()
    state.destroy_process_group()
    os._exit(0)  # gloo's threads may outlive their group (pytorch issue 190489)
"""
launchers = {
    "torchrun": ["torch.distributed.run"],
    "accelerate": ["accelerate.commands.launch", "--multi_gpu", "--mixed_precision", "no", "--num_machines", "1"],
}


def launch(launcher, folder, out, shard="auto", joins="apart", dies_at=0, processes=2):
    "Start the script above under a launcher, in so many processes."
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    script = folder / "script.py"
    script.write_text(embed_code)
    arguments = [str(value) for value in (folder, out, shard, joins, dies_at)]
    command = [sys.executable, str(script)]
    if processes > 1:
        words = launchers[launcher]
        if launcher == "torchrun":
            words = words + ["--nproc_per_node", str(processes), "--master_port", port]
        else:
            words = words + ["--num_processes", str(processes), "--main_process_port", port]
        command = [sys.executable, "-m", *words, str(script)]
    environment = os.environ | dict(ACCELERATE_USE_CPU="true", OMP_NUM_THREADS="1", USE_LIBUV="0")
    return subprocess.run(command + arguments, env=environment, capture_output=True, text=True, timeout=120)


@pytest.fixture
def folder(tmp_path):
    "Noise in 100 pictures of several sizes, one of which is none."
    rng = np.random.default_rng(0)
    rows = []
    for number in range(100):
        path = tmp_path / f"{number:03d}.png"
        Image.fromarray(rng.integers(0, 256, (20 + number % 30, 40, 3), dtype=np.uint8)).save(path)
        rows.append(dict(path=str(path), label=f"{number // 5:02d}"))
    Path(rows[60]["path"]).write_text("Dear reader, this is no picture.")
    pd.DataFrame(rows).to_csv(tmp_path / "manifest.csv", index=False)
    return tmp_path


def check_equal(folder, parts, alone="alone"):
    "Compare joined parts with the set of one process."
    assert launch("", folder, folder / alone, "none", processes=1).returncode == 0
    one = EmbeddingSet.load(folder / alone)
    joined = EmbeddingSet.load(parts)
    assert isinstance(joined.vectors, np.memmap)
    assert joined.vectors.tobytes() == one.vectors.tobytes()
    pd.testing.assert_frame_equal(joined.manifest, one.manifest)
    assert len(joined) == 99
    assert joined.meta["model_id"] == one.meta["model_id"]
    assert "part" not in joined.meta


@pytest.mark.slow  # every start of a launcher takes 10 s
@pytest.mark.parametrize("launcher", list(launchers))
@pytest.mark.parametrize("joins", ["apart", "joined"])
def test_two_processes_write_the_rows_of_one(folder, launcher, joins):
    out = folder / "set"
    done = launch(launcher, folder, out, joins=joins)
    assert done.returncode == 0, done.stderr[-3000:]
    assert sorted(path.name for path in out.iterdir()) == ["part-0000-of-0002", "part-0001-of-0002"]
    parts = [EmbeddingSet.load(out / f"part-000{number}-of-0002") for number in (0, 1)]
    assert [len(part) for part in parts] == [48, 51]
    check_equal(folder, out)


@pytest.mark.slow
def test_one_folder_for_all_is_refused_with_the_way_out(folder):
    done = launch("torchrun", folder, folder / "set", "none", joins="joined")
    assert done.returncode
    assert "all 2 processes of this launch were given this folder: let each embed its part with shard=\"auto\"" in (
        done.stderr
    )


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows has no kill -9")
def test_a_killed_part_goes_on_and_a_finished_one_is_left_alone(folder):
    listed = pd.read_csv(folder / "manifest.csv", dtype=str)
    # A thousand rows are between two notes on the disk.
    pd.concat([listed] * 40).to_csv(folder / "manifest.csv", index=False)
    out = folder / "set"
    # Process 0 is let finish: torchrun would end it with the other.
    environment = os.environ | dict(WORLD_SIZE="2", OMP_NUM_THREADS="1")
    (folder / "script.py").write_text(embed_code)
    for rank, status in (("0", 0), ("1", -9)):
        command = [sys.executable, str(folder / "script.py"), str(folder), str(out), "auto", "apart", "200"]
        done = subprocess.run(command, env=environment | dict(RANK=rank), capture_output=True, timeout=120)
        assert done.returncode == status, done.stderr[-3000:]
    with pytest.raises(InputError, match=r"part-0001-of-0002.*shard=\(1, 2\)"):
        EmbeddingSet.load(out)
    before = (out / "part-0000-of-0002" / "meta.json").stat().st_mtime_ns
    done = launch("torchrun", folder, out)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "process 0 embedded 0 batches" in done.stdout
    words = next(line for line in done.stdout.splitlines() if line.startswith("process 1")).split()
    assert 0 < int(words[3]) < 250 - 120, "it began anew"
    assert (out / "part-0000-of-0002" / "meta.json").stat().st_mtime_ns == before
    assert launch("", folder, folder / "alone", "none", processes=1).returncode == 0
    assert EmbeddingSet.load(out).vectors.tobytes() == EmbeddingSet.load(folder / "alone").vectors.tobytes()


def test_a_part_is_taken_from_the_launcher(monkeypatch):
    from siamese_nbdev.storage import process_group

    monkeypatch.delenv("RANK", raising=False)
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert process_group() == (0, 1)
    monkeypatch.setenv("RANK", "3")
    monkeypatch.setenv("WORLD_SIZE", "64")
    assert process_group() == (3, 64)
    for rank in ("64", "-1", "three", ""):
        monkeypatch.setenv("RANK", rank)
        with pytest.raises(InputError, match="shard="):
            process_group()
