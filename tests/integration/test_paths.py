"""A path is a path: whatever its name looks like to a shell, to pyarrow or to a terminal, and whatever it lacks."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from builders import arrays_of, make_capture, random_arrays
from cofire.analysis.analyze import analyze
from cofire.cli import run
from cofire.ingest.count import count
from differing import files_of
from hostile_inputs import ODD_NAMES

COFIRE = Path(sys.executable).with_name("cofire")
IDENTITY = ("--release", "r", "--sae-id", "s", "--model", "m")


@pytest.mark.parametrize("name", [ODD_NAMES[0], *ODD_NAMES[7:9], *ODD_NAMES[-6:]], ids=ascii)
def test_odd_names_through_the_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Import from the name and into it, count, export and analyse it, relative and absolute, with a slash behind."""
    monkeypatch.chdir(tmp_path)
    for folder in ("acts", "captures", "graphs"):
        Path(folder).mkdir()
    acts = Path("acts") / name
    with acts.open("wb") as file:
        np.savez(file, **arrays_of([{0: 1.0, 1: 2.0}] * 30 + [{1: 1.0}] * 30 + [{2: 1.0}] * 30, 3))
    os.chdir("captures")
    for line in (
        ["import", "activations", f"../{acts}", f"--out={name}", *IDENTITY],
        ["count", "--edges", "all", "--", name],
        ["count", "--edges", "all", "--", f"{Path(name).absolute()}/"],
        ["analyze", "--", f"./{name}"],
        ["export", f"--out=../graphs/{name}", "--format", "parquet", "--", name],
        ["export", f"--out=../graphs/{name}", "--format", "csv", "--force", "--", f"./{name}"],
    ):
        assert run(line) == 0, line
    assert sorted(entry.name for entry in tmp_path.rglob("*") if entry.name == name) == [name] * 3
    assert [entry.name for entry in (tmp_path / "graphs").iterdir()] == [name]
    assert Path(name, "tables", "edges.parquet").is_file()


def limited(place: Path, size: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run cofire where no file may be larger than `size` bytes: what a full disk is to it, with another reason."""
    return subprocess.run(
        [COFIRE, *arguments],
        cwd=place,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size)),
    )


def test_no_room(tmp_path: Path) -> None:
    """One line that names the place, and what was there stays."""
    counted = make_capture(tmp_path / "good", random_arrays(0))
    count(counted)
    analyze(counted)
    before = files_of(tmp_path)
    acts, capture, new = "good/acts.npz", "good/capture", "new"
    for size, where, arguments in (
        (500, "new/manifest.json", ("import", "activations", acts, "--out", new, *IDENTITY)),
        (3000, "new/shards/shard-00000.parquet", ("import", "activations", acts, "--out", new, *IDENTITY)),
        (1000, "good/capture/tables/", ("analyze", capture, "--only", "clusters", "--seed", "7")),
        (500, str(tmp_path / "graph"), ("export", capture, "--out", "graph", "--format", "csv")),
        (500, str(tmp_path / "graph"), ("export", capture, "--out", "graph", "--format", "graphml")),
    ):
        done = limited(tmp_path, size, *arguments)
        assert done.returncode == 2, done.stderr
        assert done.stderr.startswith(f"cofire: {where}"), done.stderr
        assert done.stderr.endswith(": File too large; allow larger files (ulimit -f), or give another place\n")
        assert not (tmp_path / "graph").exists()
        there = files_of(tmp_path)
        assert [name for name in before if there.get(name) != before[name]] == []
        assert not [name for name in there if name.endswith(".part")]
    # The same command goes on where there is room.
    assert limited(tmp_path, 10**8, "import", "activations", acts, "--out", new, *IDENTITY).returncode == 0


def test_no_room_for_an_embedded_store(tmp_path: Path) -> None:
    count(make_capture(tmp_path / "good", random_arrays(0)))
    done = limited(tmp_path, 20_000, "ingest", "good/capture", "--store", "store")
    assert done.returncode == 3
    assert done.stderr.count("\n") == 1
    assert str(tmp_path / "store") in done.stderr
    assert "File too large" in done.stderr
