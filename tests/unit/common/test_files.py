"""Files that are whole or not there, and of whose making a kill leaves nothing that the next run does not remove."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from cofire.common.files import TENSORS_PART, write_tensors, write_text
from cofire.ingest.capture_dir.layout import MANIFEST, WEIGHTS
from cofire.ingest.capturing.resume import clear
from differing import files_of

KILLED = """
import os, signal, sys
from pathlib import Path
import numpy as np
import safetensors.numpy
from cofire.common.files import write_tensors

def killed(tensors, path):
    # As safetensors does: a file of a random name beside the one that is wanted.
    (path.parent / ".tmpA1b2C3").write_bytes(b"half")
    os.kill(os.getpid(), signal.SIGKILL)

safetensors.numpy.save_file = killed
write_tensors(Path(sys.argv[1]), {"w": np.ones(3)})
"""


def kill_in_the_middle(path: Path) -> None:
    """Start to write tensors, and end it with kill -9 while safetensors writes."""
    done = subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False)
    assert done.returncode == -signal.SIGKILL


def test_of_killed_tensors_the_next_run_leaves_nothing(tmp_path):
    path = tmp_path / "weights.safetensors"
    kill_in_the_middle(path)
    assert files_of(tmp_path) == {f"{path.name}{TENSORS_PART}/.tmpA1b2C3": b"half"}
    tensors = {"w": np.arange(6, dtype=np.float32).reshape(2, 3).T, "n": np.array([1, 2])}
    write_tensors(path, tensors)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    kept = load_file(path)
    assert kept.keys() == tensors.keys()
    assert all(np.array_equal(kept[name], tensors[name]) for name in tensors)


def test_whoever_may_read_a_text_may_read_tensors(tmp_path):
    write_text(tmp_path / "a.txt", "x")
    write_tensors(tmp_path / "a.safetensors", {"x": np.ones(2)})
    modes = {file.stat().st_mode for file in tmp_path.iterdir()}
    assert len(modes) == 1


def test_what_is_left_of_killed_tensors_is_cleared(tmp_path):
    capture = tmp_path / "capture"
    (capture / "residuals").mkdir(parents=True)
    (capture / MANIFEST).write_text("{}")
    kill_in_the_middle(capture / WEIGHTS)
    kill_in_the_middle(capture / "residuals" / "residuals-00003.safetensors")
    clear(capture)
    assert not capture.exists()
