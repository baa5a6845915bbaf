"""A network published on a hub, here a small server on this machine, and fetched again by others."""
import base64
import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import timm
import torch

from siamese_nbdev.checks import InputError
from siamese_nbdev.model import SiameseNet, load_model, save_model
from siamese_nbdev.serve import push_model
from siamese_nbdev.verification import Threshold, load_threshold, save_threshold


class Hub(BaseHTTPRequestHandler):
    "What of the Hugging Face hub a small repository needs."
    protocol_version = "HTTP/1.1"
    files = {}  # name -> content
    asked = []

    def answer(self, content=b"", status=200, **headers):
        "Send an answer, without content to HEAD."
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def send_file(self):
        "Send a file of the repository's one commit."
        self.asked.append(f"{self.command} {self.path}")
        name = self.path.partition("?")[0].split("/")[-1]
        if "/resolve/" not in self.path or name not in self.files:
            self.answer(b"{}", 404, X_Error_Code="EntryNotFound")
            return
        content = self.files[name]
        self.answer(content, ETag=f'"{hashlib.sha1(content).hexdigest()}"', X_Repo_Commit="a" * 40)

    do_HEAD = do_GET = send_file

    def do_POST(self):
        self.asked.append(f"POST {self.path}")
        content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path.endswith("/repos/create"):
            self.answer(json.dumps(dict(url=f"http://{self.headers['Host']}/somebody/network")).encode())
        elif "/preupload/" in self.path:
            names = [file["path"] for file in json.loads(content)["files"]]
            files = [dict(path=name, uploadMode="regular", shouldIgnore=False) for name in names]
            self.answer(json.dumps(dict(files=files)).encode())
        elif "/commit/" in self.path:
            for line in map(json.loads, content.splitlines()):
                if line["key"] == "file":
                    self.files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            address = f"http://{self.headers['Host']}/somebody/network/commit/{'a' * 40}"
            self.answer(json.dumps(dict(commitUrl=address, commitOid="a" * 40, success=True)).encode())
        else:
            self.answer(b"{}")

    def log_message(self, *words):
        "Say nothing."


@pytest.fixture
def hub():
    "A hub on this machine."
    Hub.files.clear()
    Hub.asked.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def run(tmp_path):
    "What a run leaves: a network with its threshold, and its figures."
    torch.manual_seed(0)
    model = SiameseNet("test_efficientnet", pretrained=False, image_size=(64, 32)).eval()
    folder = tmp_path / "run"
    save_model(model, folder / "model")
    save_threshold(folder / "model", Threshold(0.5, 0.01, 0.01, 0.0, 0.02, 0.9, 1000, 100, 20, 300))
    figures = dict(rank_1=dict(value=0.9, low=0.8, high=0.95), rank_5=dict(value=0.95, low=0.9, high=0.99),
                   mean_average_precision=dict(value=0.7, low=0.6, high=0.8))
    (folder / "metrics.json").write_text(json.dumps(dict(frozen=figures, trained=figures)))
    return folder


def in_process(code, hub, cache, *words):
    "Run code in a process that knows this hub alone, with a cache of its own; return its status and what it printed."
    settings = dict(HF_ENDPOINT=hub, HF_HOME=str(cache), HF_HUB_DISABLE_TELEMETRY="1", HF_HUB_DISABLE_XET="1",
                    HF_TOKEN="hf_nobody", HF_HUB_DISABLE_PROGRESS_BARS="1")
    command = [sys.executable, "-c", code, *map(str, words)]
    done = subprocess.run(command, text=True, capture_output=True, timeout=120, env=os.environ | settings)
    return done.returncode, done.stdout + done.stderr


pushing = "import sys; from siamese_nbdev.serve import push_model; print(push_model(sys.argv[1], 'hf://somebody/network'))"
loading = """
import sys
from siamese_nbdev.checks import InputError
from siamese_nbdev.model import load_model
from siamese_nbdev.verification import load_threshold
try:
    print(load_model("hf://somebody/network").model_id(), load_threshold("hf://somebody/network").distance)
except InputError as error:
    print("refused:", error)
"""


def test_a_folder_holds_a_network_and_its_card(run, tmp_path):
    where = push_model(run, tmp_path / "published")
    assert load_model(where).model_id() == load_model(run).model_id()
    assert load_threshold(where).distance == 0.5
    card = (tmp_path / "published" / "README.md").read_text()
    assert "90.0 % (80.0 to 95.0)" in card and "Up to a distance of 0.500" in card
    assert "library_name: siamese_nbdev" in card and str(tmp_path) not in card


@pytest.mark.parametrize("name", ["test_efficientnet", "test_vit"])
def test_a_backbone_of_a_folder_travels(name, tmp_path):
    own = tmp_path / "own"
    timm.models.save_for_hf(timm.create_model(name, num_classes=7), own, safe_serialization=True)
    model = SiameseNet(f"local-dir:{own}", image_size=(64, 32)).eval()
    save_model(model, tmp_path / "network")
    shutil.rmtree(own)  # another machine
    again = load_model(tmp_path / "network")
    images = torch.rand(2, 3, 64, 32)
    assert again.model_id() == model.model_id() and torch.equal(again(images), model(images))
    with pytest.raises(InputError, match="the config.json of local-dir:"):
        SiameseNet(f"local-dir:{own}", image_size=(64, 32))


@pytest.mark.parametrize("options, settings, refused", [
    (dict(checkpoint_path="gift.pth"), {}, "checkpoint_path"),
    (dict(pretrained=True), dict(url="ADDRESS"), "pretrained"),
    (dict(pretrained_cfg=dict(url="ADDRESS")), {}, "pretrained_cfg"),
    ({}, dict(url="ADDRESS", file="gift.pth", hf_hub_id="stranger/gift"), None),
])
def test_notes_of_a_stranger_open_and_fetch_nothing(options, settings, refused, tmp_path, hub, monkeypatch):
    "What stands in `model.json` chooses layers; it makes timm open no file and ask nobody."
    opened = []
    monkeypatch.setattr(torch, "load", lambda *words, **named: opened.append(words))
    own = tmp_path / "own"
    timm.models.save_for_hf(timm.create_model("test_efficientnet", num_classes=7), own, safe_serialization=True)
    save_model(SiameseNet(f"local-dir:{own}", image_size=(64, 32)).eval(), tmp_path / "network")
    file = tmp_path / "network" / "model.json"
    notes = json.loads(file.read_text())
    recipe = notes["config"]["recipe"]
    recipe["options"] |= json.loads(json.dumps(options).replace("ADDRESS", hub))
    recipe["settings"] |= json.loads(json.dumps(settings).replace("ADDRESS", hub))
    file.write_text(json.dumps(notes))
    said = f"got {refused}, by which" if refused else "a configuration .* that was changed"
    with pytest.raises(InputError, match=said):
        load_model(tmp_path / "network")
    assert opened == [] and Hub.asked == []


@pytest.mark.slow
def test_a_hub_takes_a_network_and_hands_it_out(run, hub, tmp_path):
    status, said = in_process(pushing, hub, tmp_path / "mine", run)
    assert status == 0, (said, Hub.asked)
    assert set(Hub.files) == {"README.md", "model.json", "model.safetensors"}
    assert "load_model('hf://somebody/network')" in Hub.files["README.md"].decode()
    status, said = in_process(loading, hub, tmp_path / "theirs")
    assert said.split() == [load_model(run).model_id(), "0.5"], (said, Hub.asked)
    _, again = in_process(loading, "http://127.0.0.1:9", tmp_path / "theirs")  # no hub: what is in the cache will do
    assert again == said
    Hub.files["model.safetensors"] = Hub.files["model.safetensors"][:-4] + b"evil"
    _, damaged = in_process(loading, hub, tmp_path / "another")
    assert damaged.startswith("refused:") and "damaged" in damaged
    Hub.files.clear()
    _, missing = in_process(loading, hub, tmp_path / "third")
    assert missing.startswith("refused: Expected a network at hf://somebody/network")
