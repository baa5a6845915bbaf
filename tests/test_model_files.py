"""A folder holds one whole network, whenever a process saving into it is killed and however little room there is."""
import subprocess
import sys
from pathlib import Path

import pytest
from counting import count

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="this system forks no processes")
code = """
import os, random, resource, signal, sys, time
from pathlib import Path
import torch
from siamese_nbdev.model import SiameseNet, load_model, save_model
torch.set_num_threads(1)
folder, what = Path(sys.argv[1]), sys.argv[2]
networks = [SiameseNet("test_efficientnet", pretrained=False, image_size=(64, 32)) for _ in range(2)]
ids = [network.model_id() for network in networks]


def in_own_process(function):
    "Run a function in a process of its own and return that process's number."
    number = os.fork()
    if number: return number
    try:
        function()
    except OSError as error:
        print(error, flush=True)
        os._exit(3)
    os._exit(0)


def save_for_ever():
    while True:
        for network in networks:
            save_model(network, folder)


def save_on_a_full_disk():
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, resource.RLIM_INFINITY))
    save_model(networks[1], folder)


def save_in_a_locked_folder():
    folder.chmod(0o555)
    if os.geteuid() == 0:
        os.seteuid(65534)  # nothing is closed to root
    save_model(networks[1], folder)


save_model(networks[0], folder)
rng = random.Random(0)
if what == "kill":
    for _ in range(20):
        number = in_own_process(save_for_ever)
        time.sleep(rng.uniform(0.005, 0.08))
        os.kill(number, signal.SIGKILL)
        assert os.WTERMSIG(os.waitpid(number, 0)[1]) == signal.SIGKILL
        interrupted = any(path.name.startswith(".siamese") for path in folder.iterdir())
        held = ids.index(load_model(folder).model_id())
        print(held, interrupted, *sorted(path.name for path in folder.iterdir()))
else:
    saves = dict(full=save_on_a_full_disk, locked=save_in_a_locked_folder)
    number = in_own_process(saves[what])
    assert os.WEXITSTATUS(os.waitpid(number, 0)[1]) == 3, "it was saved nevertheless"
    folder.chmod(0o755)
    assert load_model(folder).model_id() == ids[0]
    print(*sorted(path.name for path in folder.iterdir()))
"""


def lines(tmp_path: Path, what: str) -> list[str]:
    "Run the code in a process of its own and return what it printed."
    command = [sys.executable, "-c", code, str(tmp_path / "model"), what]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.strip().splitlines()


def test_killed_twenty_times_while_saving(tmp_path):
    found = lines(tmp_path, "kill")
    assert len(found) == 20 and any("True" in line for line in found), "no kill came in the middle of a save"
    assert {line.split(maxsplit=2)[2] for line in found} == {"model.json model.safetensors"}
    count("kill saving a network over another one", times=20, halfway=sum("True" in line for line in found))


@pytest.mark.parametrize("what", ["full", "locked"])
def test_no_room_to_save(tmp_path, what):
    said, files = lines(tmp_path, what)
    assert said.startswith("Could not write") and "is intact" in said
    assert files == "model.json model.safetensors"
