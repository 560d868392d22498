"""Without the extras: what needs one says so in one line, before anything is written; the rest works."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from builders import random_arrays
from cofire.common.extras import needed_by
from cofire.errors import InputError
from repository import ROOT

# A finder that comes first refuses what an installation without extras has not.
WITHOUT = """
import importlib.abc, json, os, sys

class Missing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"torch", "sae_lens", "transformer_lens", "transformers", "datasets", "ray",
                                  "huggingface_hub"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing())
"""
COMMANDS = """
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from cofire.cli import run

said = []
for line in json.loads(sys.argv[1]):
    with redirect_stderr(StringIO()) as err, redirect_stdout(StringIO()):
        code = run(line)
    said.append([code, err.getvalue(), sorted(os.listdir())])
print(json.dumps(said))
"""
CALLS = """
import numpy as np
from pathlib import Path
from cofire.errors import InputError
from cofire.ingest.latents.histograms import aligned_histograms, fine_histograms
from cofire.ingest.pairs.choose import pair_counter
from cofire.worlds.training import SaeSettings, train_sae
from cofire.ingest.capturing.model import find_model, load_model
from cofire.ingest.capturing.saes import find_sae, load_sae

said, one = [], np.ones(1)
for call in (
    lambda: fine_histograms(one, one, "cuda"),
    lambda: aligned_histograms(one, one, "cuda"),
    lambda: pair_counter(2, memory=1000, work=Path("."), device="cuda"),
    lambda: train_sae(np.ones((2, 2), np.float32), SaeSettings("tied", 2, 1.0)),
    lambda: load_model("m", find_model("m")),
    lambda: load_sae(find_sae(sys.argv[1])),
):
    try:
        call()
        said.append("nothing")
    except InputError as error:
        said.append(str(error))
print(json.dumps(said))
"""
SAE = str(ROOT / "examples/smollm2/layer_12")
CAPTURE = ["capture", "--model", "model", "--sae", SAE, "--out", "new"]
INSTALL, INSTALL_RAY = "pip install 'cofire[capture]'", "pip install 'cofire[ray]'"
REFUSED = [
    ([*CAPTURE, "--text", "text.txt"], "running a model needs torch", INSTALL),
    ([*CAPTURE, "--text", "text.txt", "--device", "cuda"], "--device cuda needs torch", INSTALL),
    ([*CAPTURE, "--text", "text.txt", "--device", "cpu"], "loading SAEs needs torch", INSTALL),
    ([*CAPTURE, "--text", "hf:some/text"], "--text hf:some/text needs huggingface_hub", INSTALL),
    (["count", "capture", "--device", "cuda"], "--device cuda needs torch", INSTALL),
    (["count", "capture", "--engine", "ray"], "--engine ray needs ray", INSTALL_RAY),
    (["ingest", "capture", "--device", "cuda", "--store", "new"], "--device cuda needs torch", INSTALL),
    (["ingest", "capture", "--engine", "ray", "--store", "new"], "--engine ray needs ray", INSTALL_RAY),
]
WORKS = [
    ["import", "activations", "acts.npz", "--out", "capture", "--release", "r", "--sae-id", "s"],
    ["count", "capture", "--edges", "all"],
    ["analyze", "capture", "--only", "clusters"],
    ["query", "list"],
]


def without_extras(code: str, place: Path, *arguments: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT + code, *arguments], cwd=place, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    said: list[str] = json.loads(done.stdout)
    return said


@pytest.fixture
def place(tmp_path: Path) -> Path:
    np.savez(tmp_path / "acts.npz", **random_arrays(0))
    (tmp_path / "text.txt").write_text("Some words.")
    (tmp_path / "model").mkdir()
    (tmp_path / "model/config.json").write_text("{}")
    return tmp_path


def test_commands_without_the_extras(place: Path) -> None:
    lines = [*WORKS, *(line for line, _, _ in REFUSED)]
    said = without_extras(COMMANDS, place, json.dumps(lines))
    for line, (code, err, _) in zip(WORKS, said, strict=False):
        assert code == 0, (line, err)
    for (line, what, install), (code, err, there) in zip(REFUSED, said[len(WORKS) :], strict=True):
        assert code == 2, (line, err)
        assert err == f"cofire: {what}: {install}\n", line
        assert "new" not in there, line


def test_functions_without_the_extras(tmp_path: Path) -> None:
    said = without_extras(CALLS, tmp_path, SAE)
    whats = ["--device cuda"] * 3 + ["training an SAE", "running a model", "loading SAEs"]
    for what, message in zip(whats, said, strict=True):
        assert message.startswith(f"{what} needs "), message
        assert message.endswith(f": {INSTALL}"), message


def test_a_package_that_is_there_and_does_not_load_is_not_said_to_be_missing() -> None:
    for error, message in [
        (ModuleNotFoundError("No module named 'torch'", name="torch"), "x needs torch: pip install 'cofire[capture]'"),
        (
            ImportError("libcudart.so.12: cannot open shared object file\nand more"),
            "x cannot be done: libcudart.so.12: cannot open shared object file; install cofire[capture] anew",
        ),
    ]:
        with pytest.raises(InputError) as caught, needed_by("x"):
            raise error
        assert str(caught.value) == message
