"""`cofire capture --no-keep` on SmolLM2 and the two SAEs of the repository, against captures that store activations."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from numpy.testing import assert_array_equal

from cofire.analysis.report.sae_page import write_report
from cofire.cli import run
from cofire.common.quiet import quiet
from cofire.errors import CaptureError, InputError
from cofire.ingest.capture import capture
from cofire.ingest.capture_dir.directory import CaptureDir
from cofire.ingest.capture_dir.manifest import Manifest
from cofire.ingest.capturing import checkpoints
from cofire.ingest.capturing.running_counts import ABSENT, load_tally
from cofire.ingest.count import CountSettings, count
from cofire.ingest.direct.direct import COLUMNS
from cofire.ingest.edges.expected import expected_joint
from cofire.ingest.pairs.tally import tally
from cofire.pipeline import ingest
from cofire.queries.library import library
from cofire.queries.report_data import report_data
from cofire.settings import load_settings
from cofire.store import Store
from differing import differing, files_of
from effort import KILLS, seed_of
from jobs import kill_at_random, run_undisturbed
from repository import EXAMPLES

LAYERS = [str(EXAMPLES / "layer_12"), str(EXAMPLES / "layer_18")]
FOLDERS = [f"smollm2-135m-instruct-res__layer_{layer}__batchtopk_2048" for layer in (12, 18)]
TEXT = EXAMPLES / "austen.jsonl.gz"
# Seven shards of 4 windows of up to 63 tokens and BOS, one batch each.
SMALL: dict[str, Any] = {"tokens": 1500, "context": 64, "batch": 4, "shard_tokens": 256, "device": "cpu"}
SHARDS = 7
MEMORY = 64 * 1024**2
RULE = CountSettings(min_count=3, min_log_odds=0.5, fdr=0.05)
ALL = CountSettings(edges="all")


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    with quiet():
        import torch
    torch.set_num_threads(1)


class StopAfter:
    """Progress that stops the run after some batches, as Ctrl-C would."""

    def __init__(self, batches: int) -> None:
        self.left = batches

    def start(self, total: int) -> None:
        assert total == SMALL["tokens"]

    def advance(self, tokens: int) -> None:
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def kept(smollm2_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("kept") / "out"
    for one in capture(smollm2_dir, LAYERS, TEXT, out, **SMALL):
        assert len(one.manifest.shards) == SHARDS
        count(one, ALL)
    return out


@pytest.fixture(scope="module")
def counted(smollm2_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("counted") / "out"
    capture(smollm2_dir, LAYERS, TEXT, out, **SMALL, keep=False, memory=MEMORY)
    return out


def assert_counts_equal(kept: Path, counted: Path, work: Path) -> None:
    """Firings, joint firings, E and V of every pair that co-fired: equal integers, for both SAEs."""
    for folder in FOLDERS:
        stored, found = CaptureDir.open(kept / folder), CaptureDir.open(counted / folder)
        assert not (found.path / "shards").exists()
        assert [path.name for path in (found.path / "counts").iterdir()] == [f"upto-{SHARDS:05d}"]
        assert found.manifest.masking == stored.manifest.masking
        assert (found.manifest.rows, found.manifest.firings) == (stored.manifest.rows, stored.manifest.firings)
        place = work / folder
        place.mkdir(parents=True)
        walk: dict[str, Any] = {"frequent": np.zeros(0, np.int32), "clear": None, "tell": lambda _done: None}
        whole = tally(stored, place / "walk", "all", memory=MEMORY, **walk)
        running = load_tally(found.counts(), memory=MEMORY, work=place)
        assert_array_equal(running.firing_count, whole.firing_count)
        columns = []
        for counts in (whole, running):
            keys = [np.repeat(np.arange(b.start, b.stop), np.diff(b.indptr)) for b in counts.pairs.blocks()]
            a = np.concatenate(keys)
            b = np.concatenate([block.latent for block in counts.pairs.blocks()]).astype(np.int64)
            joint = np.concatenate([block.count for block in counts.pairs.blocks()])
            columns.append([a, b, joint, *expected_joint(counts.strata, a, b)])
            counts.close()
        assert len(columns[0][0]) > 10_000
        for one, other in zip(*columns, strict=True):
            assert_array_equal(one, other)


def tables_of(one: CaptureDir) -> dict[str, Any]:
    return {path.stem: pq.read_table(path) for path in one.tables.glob("*.parquet")}


@pytest.mark.parametrize("rule", [ALL, RULE])
def test_tables_equal_those_of_stored_activations(
    kept: Path, counted: Path, tmp_path: Path, rule: CountSettings
) -> None:
    for folder in FOLDERS:
        both = []
        for root in (kept, counted):
            shutil.copytree(root / folder, tmp_path / root.parent.name / folder)
            one = CaptureDir.open(tmp_path / root.parent.name / folder)
            count(one, rule)
            both.append(tables_of(one))
        stored, found = both
        assert set(stored) - set(found) == {"contexts", "conditionals"}
        assert found["edges"].num_rows > 100
        absent = ["magnitude_r", *COLUMNS]
        assert found["edges"].drop_columns(absent).equals(stored["edges"].drop_columns(absent))
        assert found["twins"].equals(stored["twins"])
        assert found["edges"].column("clear_count").null_count == found["edges"].num_rows
        assert found["tokens"].equals(stored["tokens"])
        for name in ("firing_count", "frequency", "max", "threshold", "dead"):
            assert found["latents"].column(name).equals(stored["latents"].column(name))
        live = np.flatnonzero(~np.array(stored["latents"].column("dead")))
        for name in ("mean", "std"):
            one, other = (np.array(t["latents"].column(name).to_pandas())[live] for t in (found, stored))
            np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)
        assert found["latents"].column("mu").null_count == found["latents"].num_rows


def test_counts_equal_those_of_stored_activations(kept: Path, counted: Path, tmp_path: Path) -> None:
    assert_counts_equal(kept, counted, tmp_path)


@pytest.mark.parametrize("stops", [[1, 2], [4, 3]])
def test_a_run_that_was_interrupted_counts_the_same(
    smollm2_dir: Path, kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stops: list[int]
) -> None:
    monkeypatch.setattr(checkpoints, "CHECKPOINT_SECONDS", -1.0)
    monkeypatch.setattr(checkpoints, "CHECKPOINT_SHARE", np.inf)
    out, done = tmp_path / "out", 0
    for stop in stops:
        # Shards that are there come as one step each, and one that is stopped is lost.
        with pytest.raises(KeyboardInterrupt):
            capture(smollm2_dir, LAYERS, TEXT, out, **SMALL, keep=False, memory=MEMORY, progress=StopAfter(done + stop))
        done += stop - 1
        for folder in FOLDERS:
            assert Manifest.read(out / folder).done == done
            with pytest.raises(CaptureError, match="unfinished"):
                CaptureDir.open(out / folder)
    found = capture(smollm2_dir, LAYERS, TEXT, out, **SMALL, keep=False, memory=3 * MEMORY)
    assert [one.path.name for one in found] == FOLDERS
    assert_counts_equal(kept, out, tmp_path / "work")


def test_an_sae_that_is_behind_catches_up(
    smollm2_dir: Path, kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between the checkpoints of two SAEs: one has three shards, the other two."""

    class Killed(BaseException):
        pass

    def die_at_the_sixth(*given: Any) -> None:
        checkpoint(*given)
        calls.append(given)
        if len(calls) == 5:
            raise Killed

    calls: list[Any] = []
    checkpoint = checkpoints.checkpoint
    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "CHECKPOINT_SECONDS", -1.0)
        patch.setattr(checkpoints, "CHECKPOINT_SHARE", np.inf)
        patch.setattr(checkpoints, "checkpoint", die_at_the_sixth)
        with pytest.raises(Killed):
            capture(smollm2_dir, LAYERS, TEXT, tmp_path / "out", **SMALL, keep=False, memory=MEMORY)
    assert [Manifest.read(tmp_path / "out" / folder).done for folder in FOLDERS] == [3, 2]
    capture(smollm2_dir, LAYERS, TEXT, tmp_path / "out", **SMALL, keep=False, memory=MEMORY)
    assert_counts_equal(kept, tmp_path / "out", tmp_path / "work")


def no_keep_job(model: str, saes: list[str], text: str, out: str) -> None:
    import torch

    torch.set_num_threads(1)
    checkpoints.CHECKPOINT_SECONDS, checkpoints.CHECKPOINT_SHARE = -1.0, np.inf
    capture(model, saes, text, out, **SMALL, keep=False, memory=MEMORY)


def test_killed_runs(smollm2_dir: Path, kept: Path, tmp_path: Path) -> None:
    met: set[int] = set()

    def arguments(place: Path) -> tuple[Any, ...]:
        return str(smollm2_dir), LAYERS, str(TEXT), str(place / "out")

    def look(place: Path) -> None:
        met.update(Manifest.read(path.parent).done for path in (place / "out").glob("*/manifest.json"))

    def check(place: Path) -> None:
        assert_counts_equal(kept, place / "out", place / "work")

    undisturbed = tmp_path / "undisturbed"
    undisturbed.mkdir()
    seconds = run_undisturbed(no_keep_job, arguments(undisturbed))
    check(undisturbed)
    kill_at_random(
        no_keep_job,
        arguments,
        check,
        tmp_path,
        kills=KILLS,
        seconds=seconds,
        seed=seed_of(5),
        after_kill=look,
        enough=lambda: bool(met - {0}),
    )


def test_a_complete_run_is_found_and_another_way_is_another_capture(
    smollm2_dir: Path, kept: Path, counted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = {}
    for name, root in (("kept", kept), ("counted", counted)):
        both[name] = tmp_path / name
        shutil.copytree(root / FOLDERS[0], both[name])
    before = files_of(tmp_path)

    def again(name: str, keep: bool, **more: Any) -> CaptureDir:
        (found,) = capture(smollm2_dir, LAYERS[:1], TEXT, both[name], **SMALL, keep=keep, memory=MEMORY, **more)
        return found

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("loaded")

    with monkeypatch.context() as patch:
        patch.setattr("cofire.ingest.capture.load_model", refuse)
        assert again("counted", False).manifest.firings == again("kept", True).manifest.firings
        with pytest.raises(CaptureError, match="with another no_keep"):
            again("kept", False)
        with pytest.raises(CaptureError, match="with another no_keep"):
            again("counted", True)
        with pytest.raises(InputError, match="--no-keep with --residuals"):
            again("counted", False, residual_share=0.1)
    assert differing(files_of(tmp_path), before) == []
    assert again("kept", False, force=True).counts() == both["kept"] / "counts" / f"upto-{SHARDS:05d}"
    assert len(list(again("counted", True, force=True).shards())) == SHARDS
    assert [(both[name] / "counts").exists() for name in both] == [True, False]
    assert [(both[name] / "shards").exists() for name in both] == [False, True]


def test_damaged_counts_are_not_gone_on_with(
    smollm2_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    monkeypatch.setattr(checkpoints, "CHECKPOINT_SECONDS", -1.0)
    with pytest.raises(KeyboardInterrupt):
        capture(smollm2_dir, LAYERS[:1], TEXT, out, **SMALL, keep=False, memory=MEMORY, progress=StopAfter(3))
    (pairs,) = out.glob("counts/upto-*/tally/pairs")
    pairs.write_bytes(pairs.read_bytes()[:-1])
    with pytest.raises(CaptureError, match=r"tally/pairs is damaged; make it again: give another"):
        capture(smollm2_dir, LAYERS[:1], TEXT, out, **SMALL, keep=False, memory=MEMORY)


def test_an_sae_that_is_not_finite_leaves_nothing(smollm2_dir: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    shutil.copytree(LAYERS[0], tmp_path / "nan")
    weights = load_file(tmp_path / "nan" / "sae_weights.safetensors")
    weights["b_enc"][5] = float("nan")
    save_file(weights, tmp_path / "nan" / "sae_weights.safetensors")
    with pytest.raises(InputError, match="not finite"):
        capture(smollm2_dir, [str(tmp_path / "nan")], TEXT, tmp_path / "out", **SMALL, keep=False, memory=MEMORY)
    assert not (tmp_path / "out").exists()


def test_the_graph_and_the_report_do_without_what_is_absent(
    counted: Path, embedded_store: Store, tmp_path: Path
) -> None:
    shutil.copytree(counted / FOLDERS[0], tmp_path / "capture")
    one = CaptureDir.open(tmp_path / "capture")
    rule = load_settings(min_count=3, min_log_odds=0.5, fdr=0.05)
    assert ingest(one, embedded_store, rule) == "loaded"
    assert embedded_store.read("MATCH (s:Sae) RETURN s.noiseFloor", {}).rows == [(ABSENT,)]
    assert embedded_store.read("MATCH ()-[f:FIRES_ON]->() RETURN count(f)", {}).rows[0][0] > 1000
    assert embedded_store.read("MATCH (c:Context) RETURN count(c)", {}).rows == [(0,)]
    edges = library()["strongest_edges"](embedded_store, sae=one.uid).rows
    assert len(edges) > 3
    card = library()["latent_card"](embedded_store, sae=one.uid, index=int(edges[0][0]))
    assert len(card.rows) == 1
    write_report(report_data(embedded_store, one.uid), tmp_path / "report")
    page = (tmp_path / "report" / "index.html").read_text(encoding="utf-8")
    assert "captured with --no-keep" in page


def test_the_command(smollm2_dir: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    words = ["capture", "--model", str(smollm2_dir), "--sae", LAYERS[0], "--text", str(TEXT)]
    words += ["--out", str(tmp_path / "out"), "--tokens", "300", "--device", "cpu"]
    assert run([*words, "--memory", "64MB"]) == 2
    assert "--memory is given without --no-keep" in capfd.readouterr().err
    assert run([*words, "--no-keep", "--memory", "1MB"]) == 2
    assert "setting memory (--memory)" in capfd.readouterr().err
    assert run([*words, "--no-keep", "--residuals"]) == 2
    assert "give one of the two" in capfd.readouterr().err
    assert not (tmp_path / "out").exists()
    assert run([*words, "--no-keep", "--memory", "64MB"]) == 0
    assert ABSENT in capfd.readouterr().err
    assert CaptureDir.open(tmp_path / "out").manifest.settings["no_keep"] is True
    assert run(["count", str(tmp_path / "out"), "--token-strata", "5"]) == 2
    assert "captured with --no-keep, which counts by document alone" in capfd.readouterr().err
