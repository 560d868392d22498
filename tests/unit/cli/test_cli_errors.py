"""Malformed input on the command line: exit code 2, one line on stderr, nothing on stdout, nothing written."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from builders import arrays_of, make_capture, random_arrays
from cofire.ingest.count import count
from differing import differing, files_of
from repository import ROOT

COFIRE = Path(sys.executable).with_name("cofire")
SAE = str(ROOT / "examples/smollm2/layer_12")


def prepare(place: Path) -> None:
    """A directory with what the cases refer to."""
    count(make_capture(place / "good", random_arrays(0)))
    capture = make_capture(place / "torn", random_arrays(1)).path
    (capture / "shards/shard-00000.parquet").write_bytes(b"torn")
    capture = make_capture(place / "unfinished", random_arrays(2)).path
    manifest = capture / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"complete"', '"running"'))
    (make_capture(place / "garbled", random_arrays(3)).path / "manifest.json").write_text("{")
    old = make_capture(place / "future", random_arrays(3)).path / "manifest.json"
    old.write_text(old.read_text().replace('"format": 1', '"format": 99'))
    (place / "empty").mkdir()
    (place / "text.txt").write_text("Some words.")
    (place / "notes").mkdir()
    (place / "notes/mine.md").write_text("mine")
    np.savez(place / "nan.npz", **arrays_of([{0: float("nan")}], 1))
    np.savez(place / "fine.npz", **arrays_of([{0: 1.0}], 1))
    np.savez(place / "lacks.npz", indptr=np.zeros(2, int))
    (place / "not.npz").write_bytes(b"zip?")
    (place / "sae").mkdir()
    (place / "sae/cfg.json").write_text("{}")


IDENTITY = ("--release", "r", "--sae-id", "s")
CAPTURE = ("capture", "--model", "no-such-dir/./m", "--text", "text.txt", "--out", "new")
CASES: dict[str, tuple[tuple[str, ...], str]] = {
    "unknown command": (("cuont", "good/capture"), "No such command"),
    "unknown option": (("count", "good/capture", "--edgy"), "No such option"),
    "no argument": (("count",), "Missing argument"),
    "bad enum": (("count", "good/capture", "--edges", "some"), "'some' is not one of"),
    "no share": ((*CAPTURE, "--sae", SAE, "--residuals", "--residual-share", "0"), "--residual-share 0.0 is no share"),
    "negative share": (
        (*CAPTURE, "--sae", SAE, "--residuals", "--residual-share", "-0.1"),
        "--residual-share -0.1 is no share",
    ),
    "more than all": (
        (*CAPTURE, "--sae", SAE, "--residuals", "--residual-share", "1.5"),
        "--residual-share 1.5 is no share",
    ),
    "nan share": (
        (*CAPTURE, "--sae", SAE, "--residuals", "--residual-share", "nan"),
        "--residual-share nan is no share",
    ),
    "share of nothing": ((*CAPTURE, "--sae", SAE, "--residual-share", "0.1"), "without --residuals"),
    "no directory": (("count", "nowhere"), "no capture at nowhere"),
    "empty directory": (("count", "empty"), "no capture in empty"),
    "a file": (("count", "text.txt"), "no capture at text.txt"),
    "torn shard": (("count", "torn/capture"), "cannot be read"),
    "unfinished": (("count", "unfinished/capture"), "is unfinished"),
    "garbled manifest": (("count", "garbled/capture"), "is damaged"),
    "format of the future": (("count", "future/capture"), "format 99"),
    "captured twice": (("count", "good/capture", "good/capture"), "captured twice"),
    "memory": (("count", "good/capture", "--memory", "plenty"), "setting memory (--memory)"),
    "min count": (("count", "good/capture", "--min-count", "0"), "setting min_count (--min-count)"),
    "min count word": (("count", "good/capture", "--min-count", "x"), "valid integer"),
    "unknown analysis": (("analyze", "good/capture", "--only", "clusters,horoscopes"), "no analysis 'horoscopes'"),
    "resolution": (("analyze", "good/capture", "--resolution", "-1"), "setting resolution (--resolution)"),
    "seed": (("analyze", "good/capture", "--seed", "-1"), "setting seed (--seed)"),
    "not counted": (("analyze", "notcounted/capture"), "is missing; run `cofire count"),
    "no npz": (("import", "activations", "nothing.npz", "--out", "new", *IDENTITY), "no such file"),
    "not npz": (("import", "activations", "not.npz", "--out", "new", *IDENTITY), "cannot be read as npz"),
    "lacks arrays": (("import", "activations", "lacks.npz", "--out", "new", *IDENTITY), "lacks indices"),
    "nan": (("import", "activations", "nan.npz", "--out", "new", *IDENTITY), "values[0] is nan"),
    "no weights": (
        ("import", "activations", "fine.npz", "--out", "new", *IDENTITY, "--weights", "w"),
        "w: no such file",
    ),
    "bad release": (
        ("import", "activations", "fine.npz", "--out", "new", "--release", "a b", "--sae-id", "s"),
        "cannot name an SAE",
    ),
    "no release": (("import", "activations", "fine.npz", "--out", "new", "--sae-id", "s"), "Missing option"),
    "someone's directory": (("import", "activations", "fine.npz", "--out", "notes", *IDENTITY), "not a capture"),
    "out is a file": (("import", "activations", "fine.npz", "--out", "text.txt", *IDENTITY), "is a file"),
    "another capture": (("import", "activations", "fine.npz", "--out", "good/capture", *IDENTITY), "--force"),
    "no such sae": ((*CAPTURE, "--sae", "nowhere"), "no SAE 'nowhere'"),
    "half an sae": ((*CAPTURE, "--sae", "sae"), "it has no sae_weights.safetensors"),
    "no model": ((*CAPTURE, "--sae", SAE), "no model at no-such-dir/./m"),
    "no tokens": ((*CAPTURE, "--sae", SAE, "--tokens", "0"), "--tokens 0 is too small"),
    "no text": (("capture", "--model", "m", "--sae", SAE, "--text", "gone.txt", "--out", "new"), "gone.txt"),
    "bad device": ((*CAPTURE, "--sae", SAE, "--device", "abacus"), "'abacus' is not one of"),
    "unknown query": (("query", "show", "strongest_neighbour"), "strongest_neighbours"),
    "unknown parameter": (("query", "run", "latent_card", "-p", "sea=x"), "sae"),
    "parameter twice": (("query", "run", "latent_card", "-p", "sae=x", "-p", "sae=y"), "given twice"),
    "no equals sign": (("query", "run", "latent_card", "-p", "sae"), "NAME=VALUE"),
    "ill-typed": (("query", "run", "latent_card", "-p", "sae=x", "-p", "index=one"), "index"),
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli")
    prepare(folder)
    make_capture(folder / "notcounted", random_arrays(4))
    return folder


def run(place: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("COFIRE_", "NEO4J_"))}
    return subprocess.run([COFIRE, *arguments], cwd=place, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("case", CASES)
def test_malformed_input(place: Path, case: str) -> None:
    arguments, message = CASES[case]
    before = files_of(place)
    done = run(place, *arguments)
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert done.stderr.startswith("cofire: ")
    assert done.stderr.count("\n") == 1
    assert message in done.stderr
    assert differing(files_of(place), before) == []
    assert not (place / "new").exists()
    assert not (place / "cofire-store").exists()


def test_there_are_thirty_cases() -> None:
    assert len(CASES) >= 30


@pytest.mark.parametrize(
    "arguments",
    [
        ("saes",),
        ("cypher", "RETURN 1"),
        ("query", "run", "saes"),
        ("report", "--sae", "a/b", "--out", "new"),
        ("saes", "--store", "bolt://127.0.0.1:9"),
        ("ingest", "good/capture", "--store", "bolt://127.0.0.1:9"),
    ],
)
def test_no_store_is_exit_3(place: Path, arguments: tuple[str, ...]) -> None:
    done = run(place, *arguments)
    assert done.returncode == 3, done.stderr
    assert done.stderr.count("\n") == 1
    assert not (place / "cofire-store").exists()
    assert not (place / "new").exists()


def test_help_and_version(place: Path) -> None:
    assert run(place, "--help").returncode == 0
    assert run(place, "--version").stdout.startswith("cofire 0.")
    assert "Usage" in run(place).stdout + run(place).stderr


def test_debug_shows_the_trace(place: Path) -> None:
    done = run(place, "count", "nowhere", "--debug")
    assert "Traceback" in done.stderr
    assert "InputError" in done.stderr


@pytest.fixture
def spoiled(monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException], None]:
    def spoil(error: BaseException) -> None:
        def fail(*_args: object, **_kwargs: object) -> None:
            raise error

        monkeypatch.setattr("cofire.ingest.capture_dir.directory.find_captures", fail)

    return spoil


def test_a_fault_of_ours_is_exit_1(spoiled: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> None:
    from cofire.cli import run as run_here

    spoiled(ZeroDivisionError("by zero"))
    assert run_here(["count", "x"]) == 1
    assert "a fault of cofire: ZeroDivisionError" in capsys.readouterr().err


def test_an_interrupt_is_exit_130(spoiled: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> None:
    from cofire.cli import run as run_here

    spoiled(KeyboardInterrupt())
    assert run_here(["count", "x"]) == 130
    assert "given again" in capsys.readouterr().err
