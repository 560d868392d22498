"""docs/developing.md: its analysis is added to a copy of the code, made, loaded and asked for."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from builders import make_capture, random_arrays
from cofire.ingest.capture_dir.directory import CaptureDir
from repository import ROOT

PAGE = (ROOT / "docs" / "developing.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[tuple[str, list[str]]]:
    """The page's blocks of a language: the path in the first line, and the other lines."""
    found = [block.splitlines() for block in re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)]
    return [(first.strip("# "), lines) for first, *lines in found]


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, set[str]]:
    """A copy of the code with the page's blocks in it, and the files that they touch."""
    place = tmp_path_factory.mktemp("copy")
    shutil.copytree(ROOT / "src", place / "src", ignore=shutil.ignore_patterns("__pycache__"))
    touched = set()
    for name, lines in blocks("python"):
        assert not (place / name).exists()
        (place / name).parent.mkdir(parents=True)
        (place / name).write_text("\n".join(lines) + "\n")
        touched.add(name)
    for name, lines in blocks("diff"):
        text = (place / name).read_text()
        for old, new in re.findall(r"((?:^-.*\n)+)((?:^\+.*\n?)+)", "\n".join(lines) + "\n", re.MULTILINE):
            before, after = (re.sub(r"^[-+]", "", part, flags=re.MULTILINE) for part in (old, new))
            assert text.count(before) == 1, f"{name}: {before!r} stands there {text.count(before)} times"
            text = text.replace(before, after)
        (place / name).write_text(text)
        touched.add(name)
    return place, touched


def cofire(copied: tuple[Path, set[str]], *arguments: str) -> subprocess.CompletedProcess[str]:
    code = "import sys; from cofire.cli import main; sys.argv[0] = 'cofire'; main()"
    command = [sys.executable, "-c", code, *arguments]
    environment = {**os.environ, "PYTHONPATH": str(copied[0] / "src"), "COLUMNS": "400"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done


def steadiness(capture: CaptureDir) -> list[Any]:
    found: list[Any] = pq.read_table(capture.tables / "latents.parquet").column("steadiness").to_pylist()
    return found


def test_an_analysis_takes_three_files(copied: tuple[Path, set[str]], tmp_path: Path) -> None:
    place, touched = copied
    assert len(touched) == 3
    check = subprocess.run(
        [
            sys.executable,
            "-m",
            "ruff",
            "check",
            "--config",
            str(ROOT / "pyproject.toml"),
            *map(str, map(place.joinpath, touched)),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert check.returncode == 0, check.stdout
    said = cofire(copied, "analyze", "--help").stdout
    assert "steadiness, how even" in said
    assert "--least-firings" in said


def test_its_column_reaches_the_graph_and_goes_stale_with_its_setting(
    copied: tuple[Path, set[str]], tmp_path: Path
) -> None:
    capture = make_capture(tmp_path, random_arrays(3))
    store = str(tmp_path / "store")
    cofire(copied, "ingest", str(capture.path), "--store", store, "--least-firings", "10")
    latents = pq.read_table(capture.tables / "latents.parquet").to_pylist()
    wanted = [one["std"] / one["mean"] if one["firing_count"] >= 10 else None for one in latents]
    assert steadiness(capture) == pytest.approx(wanted)
    assert sum(value is not None for value in wanted) > 5
    asked = cofire(
        copied, "cypher", "--store", store, "--format", "json",
        "MATCH (l:Latent) RETURN l.steadiness AS steadiness ORDER BY l.index",
    )  # fmt: skip
    assert [row["steadiness"] for row in json.loads(asked.stdout)] == pytest.approx(wanted)
    before = {path.name: path.read_bytes() for path in capture.tables.glob("*.parquet")}
    again = cofire(copied, "analyze", str(capture.path))  # the setting is kept
    assert "nothing to do" in again.stderr
    assert {path.name: path.read_bytes() for path in capture.tables.glob("*.parquet")} == before
    cofire(copied, "analyze", str(capture.path), "--least-firings", "100")
    after = {path.name: path.read_bytes() for path in capture.tables.glob("*.parquet")}
    assert {name for name in after if after[name] != before[name]} == {"latents.parquet", "steadiness.parquet"}
    least = [one["std"] / one["mean"] if one["firing_count"] >= 100 else None for one in latents]
    assert steadiness(capture) == pytest.approx(least)
    assert least != wanted
