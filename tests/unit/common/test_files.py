"""Files that are whole or not there, and of whose making a kill leaves nothing that the next run does not remove."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from safetensors.numpy import load_file

from cofire.common.files import TENSORS_PART, as_text, read_parquet, write_parquet, write_tensors, write_text
from cofire.ingest.capture_dir.layout import MANIFEST, WEIGHTS
from cofire.ingest.capture_dir.text_file import read_tokens, write_tokens
from cofire.ingest.capturing.resume import clear
from differing import files_of
from hostile_inputs import ODD_NAMES

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


# Each file that is larger than the limit fails in the middle, as on a disk that is full.
LIMITED = """
import json, os, resource, shutil, sys
from pathlib import Path
import numpy as np
import pyarrow as pa
from cofire.common import files

place, numbers = Path(sys.argv[1]), np.arange(100_000)
(place / "source").write_bytes(bytes(numbers))
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
table = pa.table({"x": np.random.default_rng(0).random(10_000)})

def stream(path):
    with files.writing(path) as file:
        file.write(numbers)

def by_numpy(path):
    with files.writing(path) as file:
        numbers.tofile(file)

ways = {
    "text": lambda path: files.write_text(path, "x" * 10_000),
    "parquet": lambda path: files.write_parquet(path, table),
    "tensors": lambda path: files.write_tensors(path, {"x": numbers}),
    "array": lambda path: files.write_array(path, numbers),
    "arrays": lambda path: files.write_arrays(path, {"x": numbers}),
    "copy": lambda path: files.write_atomically(path, lambda part: shutil.copyfile(place / "source", part) and None),
    "stream": stream,
    "numpy": by_numpy,
}
said = {}
for name, write in ways.items():
    try:
        write(place / name)
    except OSError as error:
        said[name] = [error.filename, error.strerror]
print(json.dumps([said, sorted(os.listdir(place))]))
"""


def test_what_has_no_room_is_named_and_leaves_nothing(tmp_path):
    done = subprocess.run([sys.executable, "-c", LIMITED, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    said, left = json.loads(done.stdout)
    ways = ["text", "parquet", "tensors", "array", "arrays", "copy", "stream", "numpy"]
    assert {name: where for name, (where, _) in said.items()} == {name: str(tmp_path / name) for name in ways}
    assert {why for name, (_, why) in said.items() if name != "numpy"} == {"File too large"}
    assert "could not be written whole" in said["numpy"][1]
    assert left == ["numpy", "source", "stream"]  # which are written in place


@pytest.mark.parametrize("name", ODD_NAMES, ids=ascii)
def test_a_path_is_a_path(tmp_path, monkeypatch, name):
    """Relative, absolute, with a dot in front and through a link: one file."""
    monkeypatch.chdir(tmp_path)
    table, tensors = pa.table({"x": [1, 2]}), {"x": np.ones(2)}
    folder = Path(name)
    folder.mkdir()
    Path("link").symlink_to(folder)
    write_parquet(folder / name, table)
    write_tokens(folder / "text", [("a", np.array([1, 2, 3], np.int32))], [])
    if name.isprintable():  # safetensors takes no bytes that are no UTF-8: a clear refusal (test_cli_errors)
        write_tensors(folder / "t", tensors)
        assert load_file(folder / "t").keys() == tensors.keys()
    for place in (folder, tmp_path / name, Path("link"), Path(f"./{name}/../{name}")):
        assert read_parquet(place / name).equals(table)
        assert [tokens.tolist() for tokens in read_tokens(place / "text")] == [[1, 2, 3]]
    assert len(list(tmp_path.iterdir())) == 2


def test_damage_is_told_from_what_the_system_refuses(tmp_path):
    (tmp_path / "torn").write_bytes(b"PAR1 torn PAR1")
    with pytest.raises(ValueError, match=r"."):
        read_parquet(tmp_path / "torn")
    with pytest.raises(IsADirectoryError):
        read_parquet(tmp_path)


def test_a_path_as_text():
    assert as_text(os.fsdecode(b"a\xff/\xc3\xa9")) == "a\\xff/é"
    # Half a character stands for no byte.
    assert as_text("a\udcff\ud83d") == "a\\xff\ufffd"
