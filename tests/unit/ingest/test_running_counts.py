"""Running counts in the place of stored activations: equal to a count of the stored ones, wherever a run was killed."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from builders import arrays_of, make_capture, random_arrays
from cofire.analysis.analyses import analysis_settings
from cofire.analysis.analyze import analyze
from cofire.errors import CaptureError, InputError
from cofire.ingest.capture import capture
from cofire.ingest.capture_dir.directory import CaptureDir
from cofire.ingest.capture_dir.layout import count_folders
from cofire.ingest.capture_dir.manifest import CountsInfo, Manifest
from cofire.ingest.capture_dir.shard import Shard
from cofire.ingest.capture_dir.table_files import table_infos
from cofire.ingest.capturing import checkpoints
from cofire.ingest.capturing.checkpoints import Checkpoints
from cofire.ingest.capturing.places import Place
from cofire.ingest.capturing.resume import check_place, clear, compare, facts_of, verify
from cofire.ingest.capturing.running_counts import (
    ABSENT,
    Moments,
    RunningCounts,
    checkpoint,
    load_tally,
    load_tokens,
    resume_counts,
)
from cofire.ingest.capturing.saes import SaeSource
from cofire.ingest.count import CountSettings, count
from cofire.ingest.direct.direct import COLUMNS
from cofire.ingest.edges.expected import expected_joint
from cofire.ingest.latents.top_tokens import TokenCounter
from cofire.ingest.pairs.tally import Tally, tally
from cofire.schema.nodes import CONTEXT, TOKEN
from cofire.schema.relationships import FIRES_ON, SHOWN_BY
from cofire.store.plan.plan import load_plan

MEMORY = 16 * 1024**2
ALL = CountSettings(edges="all")


def pieces(kept: CaptureDir, cuts: Iterable[int]) -> list[Shard]:
    """The rows of a stored capture as shards that end at `cuts`."""
    (shard,) = kept.shards()
    ends = [0, *sorted(set(cuts)), shard.rows]
    parts = []
    for start, stop in pairwise(ends):
        low, high = shard.indptr[start], shard.indptr[stop]
        parts.append(
            Shard(
                shard.document[start:stop],
                shard.position[start:stop],
                shard.token[start:stop],
                shard.indptr[start : stop + 1] - low,
                shard.indices[low:high],
                shard.values[low:high],
            )
        )
    return parts


def begin(kept: CaptureDir, folder: Path) -> Manifest:
    """Begin a capture of the same text and SAE that stores no activations; return its manifest."""
    folder.mkdir(parents=True)
    for name in ("text.parquet", "vocabulary.parquet", "weights.safetensors"):
        if (kept.path / name).is_file():
            shutil.copy(kept.path / name, folder)
    manifest = kept.manifest.model_copy(deep=True, update={"shards": [], "status": "running"})
    manifest.settings["no_keep"] = True
    manifest.write(folder)
    return manifest


def run(folder: Path, shards: list[Shard], *, saves: set[int], killed_after: int | None, memory: int = MEMORY) -> None:
    """Go on with a capture, with checkpoints after the shards `saves`, until it is killed or complete."""
    manifest = Manifest.read(folder)
    verify(folder, manifest.model_copy(update={"text": manifest.text.model_copy(update={"sha256": None})}))
    running = resume_counts(folder, manifest, memory=memory)
    assert running.shards == manifest.done
    for number in range(running.shards, len(shards)):
        if number == killed_after:
            return
        running.add(shards[number])
        if number + 1 in saves or number + 1 == len(shards):
            checkpoint(folder, manifest, running)
    running.close()
    shutil.rmtree(folder / "counts" / "spill")
    manifest.status = "complete"
    manifest.write(folder)


def running_capture(kept: CaptureDir, folder: Path, cuts: Iterable[int], **how: Any) -> CaptureDir:
    begin(kept, folder)
    shards = pieces(kept, cuts)
    run(folder, shards, **({"saves": {1, 3}, "killed_after": None} | how))
    return CaptureDir.open(folder)


def table(capture: CaptureDir, name: str) -> Any:
    return pq.read_table(capture.tables / f"{name}.parquet")


def assert_same_tables(kept: CaptureDir, counted: CaptureDir, rule: CountSettings) -> None:
    assert count(kept, rule)
    assert count(counted, rule)
    assert not count(counted, rule)
    stored, edges = table(kept, "edges"), table(counted, "edges")
    absent = ["magnitude_r", *COLUMNS]
    assert {edges.column(name).null_count for name in absent} == {edges.num_rows}
    assert edges.drop_columns(absent).equals(stored.drop_columns(absent))
    assert table(counted, "twins").equals(table(kept, "twins"))
    assert table(counted, "tokens").equals(table(kept, "tokens"))
    stored, latents = table(kept, "latents"), table(counted, "latents")
    exact = ["index", "firing_count", "frequency", "max", "threshold", "dead"]
    assert latents.select(exact).equals(stored.select(exact))
    for name in ("mean", "std"):
        truth = stored.column(name).to_pandas().to_numpy()
        top = np.nan_to_num(stored.column("max").to_pandas().to_numpy())
        # Where the spread is nothing but rounding there is no relative precision.
        np.testing.assert_allclose(
            latents.column(name).to_pandas().to_numpy(), truth, rtol=1e-9, atol=1e-12 * top.max()
        )
    for name in ("mu", "mu_rule", "main_low", "off_median", "sigma0", "clear_floor", "clear_firing_count", "histogram"):
        assert latents.column(name).null_count == latents.num_rows
    same = ("tokens", "firings", "mean_l0", "pairs_that_co_fired", "pairs_frequent", "pairs_significant", "pairs_kept")
    for name in same:
        assert table_infos(counted)["edges"].figures[name] == table_infos(kept)["edges"].figures[name]


def assert_same_integers(kept: CaptureDir, counted: CaptureDir, work: Path) -> None:
    """Firings, joint firings, E and V of every pair: equal integers."""
    work.mkdir()
    nothing = np.zeros(0, np.int32)
    stored = tally(kept, work / "stored", "all", memory=MEMORY, frequent=nothing, clear=None, tell=lambda _done: None)
    found = load_tally(counted.counts(), memory=MEMORY, work=work)
    assert_array_equal(found.firing_count, stored.firing_count)

    def joint(counts: Tally) -> tuple[list[Any], Any, Any]:
        lists = [(b.start, b.indptr, b.latent, b.count) for b in counts.pairs.blocks()]
        a = np.concatenate([start + np.repeat(np.arange(len(ptr) - 1), np.diff(ptr)) for start, ptr, _, _ in lists])
        b = np.concatenate([latent for *_, latent, _ in lists]).astype(np.int64)
        return [a, b, np.concatenate([c for *_, c in lists])], *expected_joint(counts.strata, a, b)

    (pairs, e, v), (stored_pairs, stored_e, stored_v) = joint(found), joint(stored)
    assert len(e) > 0
    for one, other in zip([*pairs, e, v], [*stored_pairs, stored_e, stored_v], strict=True):
        assert_array_equal(one, other)
    assert found.pairs.tokens == stored.pairs.tokens == counted.manifest.rows
    found.close()
    stored.close()


@settings(max_examples=10, suppress_health_check=list(HealthCheck))
@given(
    seed=st.integers(0, 10**6),
    cuts=st.sets(st.integers(0, 400), max_size=8),
    saves=st.sets(st.integers(1, 9)),
    kills=st.lists(st.integers(0, 8), max_size=3),
    memory=st.sampled_from([1, 20_000, MEMORY]),
)
def test_equal_to_the_stored_path_for_any_cut_checkpoint_kill_and_memory(
    tmp_path_factory: pytest.TempPathFactory,
    seed: int,
    cuts: set[int],
    saves: set[int],
    kills: list[int],
    memory: int,
) -> None:
    folder = tmp_path_factory.mktemp("any")
    kept = make_capture(folder / "kept", random_arrays(seed))
    begin(kept, folder / "counted")
    shards = pieces(kept, cuts)
    for kill in kills:
        if kill < len(shards) and Manifest.read(folder / "counted").status == "running":
            run(folder / "counted", shards, saves=saves, killed_after=kill, memory=memory)
    if Manifest.read(folder / "counted").status == "running":
        run(folder / "counted", shards, saves=saves, killed_after=None, memory=memory)
    counted = CaptureDir.open(folder / "counted")
    assert (counted.manifest.rows, counted.manifest.firings) == (kept.manifest.rows, kept.manifest.firings)
    assert [path.name for path in count_folders(counted.path)] == [f"upto-{len(shards):05d}"]
    assert_same_integers(kept, counted, folder / "work")
    assert_same_tables(kept, counted, ALL)


@pytest.mark.parametrize("rule", [CountSettings(), CountSettings(min_count=5, min_log_odds=0.1, fdr=0.2, weak=True)])
def test_any_rule_gives_the_same_edges(tmp_path: Path, rule: CountSettings) -> None:
    kept = make_capture(tmp_path / "kept", random_arrays(3, tokens=4000, n_latents=30, documents=200))
    counted = running_capture(kept, tmp_path / "counted", [700, 1500, 3999])
    assert_same_tables(kept, counted, rule)
    assert table(counted, "edges").num_rows > 0


def test_a_resumed_run_has_the_same_floats(tmp_path: Path) -> None:
    kept = make_capture(tmp_path / "kept", random_arrays(4))
    whole = running_capture(kept, tmp_path / "whole", [50, 90, 200], saves=set())
    begin(kept, tmp_path / "resumed")
    shards = pieces(kept, [50, 90, 200])
    for stop in (1, 2, 3, 4):
        run(tmp_path / "resumed", shards, saves={1, 2, 3}, killed_after=stop)
    resumed = CaptureDir.open(tmp_path / "resumed")
    for name in ("moments.npz", "tokens.npz", "tally/firing_count.npy"):
        assert (resumed.counts() / name).read_bytes() == (whole.counts() / name).read_bytes()
    for one in (whole, resumed):
        count(one, ALL)
    for name in ("latents", "edges", "tokens"):
        files = [one.tables / f"{name}.parquet" for one in (whole, resumed)]
        assert files[0].read_bytes() == files[1].read_bytes()


class Killed(BaseException):
    pass


@pytest.mark.parametrize("moment", ["half saved", "saved", "renamed", "named", "half removed"])
def test_a_run_that_is_killed_inside_a_checkpoint_has_one_whole_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    kept = make_capture(tmp_path / "kept", random_arrays(5))
    folder, shards = tmp_path / "counted", pieces(kept, [100, 150, 300])
    begin(kept, folder)
    run(folder, shards, saves={1}, killed_after=2)

    def die(*_: object, **__: object) -> None:
        raise Killed

    def half_removed(path: Path, **__: object) -> None:
        if path.name.startswith("upto-"):
            next(path.iterdir()).rename(path / "gone")
            raise Killed
        remove(path)

    remove = shutil.rmtree
    with monkeypatch.context() as patch:
        if moment == "half saved":
            patch.setattr(TokenCounter, "save", die)
        elif moment == "saved":
            patch.setattr(Path, "rename", die)
        elif moment == "renamed":
            patch.setattr(Manifest, "write", die)
        elif moment == "named":
            patch.setattr(shutil, "rmtree", lambda path: die() if path.name.startswith("upto-") else remove(path))
        else:
            patch.setattr(shutil, "rmtree", half_removed)
        manifest = Manifest.read(folder)
        running = resume_counts(folder, manifest, memory=MEMORY)
        for number in (1, 2):
            running.add(shards[number])
        with pytest.raises(Killed):
            checkpoint(folder, manifest, running)
    assert Manifest.read(folder).done == (3 if moment in ("named", "half removed") else 1)
    run(folder, shards, saves={2, 3}, killed_after=None)
    assert [path.name for path in (folder / "counts").iterdir()] == ["upto-00004"]
    assert_same_integers(kept, CaptureDir.open(folder), tmp_path / "work")


def test_moments_lose_nothing_where_the_mean_is_large(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    values = (10_000 + rng.normal(0, 0.05, (300, 2))).astype(np.float32)
    moments, before = Moments.empty(3), np.zeros(3, np.int64)
    # Latent 1 fires in the last part alone, latent 2 never.
    for start, stop in [(0, 7), (7, 7), (7, 250), (250, 300)]:
        rows = [{0: float(v[0])} | ({1: float(v[1])} if start == 250 else {}) for v in values[start:stop]]
        arrays = arrays_of(rows, 3)
        none = np.zeros(len(rows), np.int32)
        moments.add(Shard(none, none, none, arrays["indptr"], arrays["indices"], arrays["values"]), before)
        before += np.bincount(arrays["indices"], minlength=3)
    for latent, seen in [(0, values[:, 0]), (1, values[250:, 1])]:
        seen = seen.astype(np.float64)
        assert moments.total[latent] / before[latent] == pytest.approx(seen.mean(), rel=1e-13)
        assert np.sqrt(moments.squares[latent] / before[latent]) == pytest.approx(seen.std(), rel=1e-9)
        assert moments.high[latent] == seen.max()
    assert (moments.total[2], moments.squares[2], moments.high[2]) == (0, 0, -np.inf)


def test_tokens_are_counted_for_any_cut(tmp_path: Path) -> None:
    kept = make_capture(tmp_path, random_arrays(6))
    (whole,) = pieces(kept, [])
    firings = np.bincount(whole.indices, minlength=12)
    once = TokenCounter()
    once.add(whole)
    for number, cuts in enumerate([range(1, 400), [0, 1, 399], [200]]):
        counter = TokenCounter()
        for place, shard in enumerate(pieces(kept, cuts)):
            if place == 2:
                counter.save(tmp_path / f"{number}.npz")
                counter = TokenCounter.load(tmp_path / f"{number}.npz")
            counter.add(shard)
        counter.save(tmp_path / "parts.npz")
        once.save(tmp_path / "once.npz")
        assert (tmp_path / "parts.npz").read_bytes() == (tmp_path / "once.npz").read_bytes()
        assert counter.table(firings, None).equals(once.table(firings, None))
    latent, token = whole.indices, np.repeat(whole.token, np.diff(whole.indptr))
    rows = once.table(firings, None).to_pylist()
    assert len(rows) > 50
    for row in rows:
        assert row["count"] == ((latent == row["latent"]) & (token == row["token"])).sum()
        assert row["share"] == row["count"] / firings[row["latent"]]
        assert row["lift"] == pytest.approx(row["share"] / (whole.token == row["token"]).mean())


def test_nothing_fires(tmp_path: Path) -> None:
    arrays = arrays_of([{}, {}], 3, token=np.array([0, 1]), token_text=np.array(["a", "b"]))
    kept = make_capture(tmp_path / "kept", arrays)
    counted = running_capture(kept, tmp_path / "counted", [1])
    assert_same_tables(kept, counted, ALL)
    assert table(counted, "edges").num_rows == table(counted, "tokens").num_rows == 0


@pytest.fixture
def counted(tmp_path: Path) -> CaptureDir:
    return running_capture(make_capture(tmp_path / "kept", random_arrays(7)), tmp_path / "counted", [30, 99])


def test_what_is_absent_is_said(counted: CaptureDir) -> None:
    with pytest.raises(CaptureError, match=r"was captured with --no-keep: its activations were not stored"):
        list(counted.shards())
    with pytest.raises(InputError, match=r"--token-strata: .* captured with --no-keep"):
        count(counted, CountSettings(token_strata=3))
    count(counted)
    infos = table_infos(counted)
    assert set(infos) == {"latents", "edges", "twins", "tokens"}
    assert infos["edges"].settings["noise_floor"] == ABSENT
    assert "contexts" in ABSENT
    assert "direct edges" in ABSENT
    assert "conditionals" in ABSENT
    assert not counted.has_residuals
    with pytest.raises(InputError, match=r"--no-keep with --residuals: .*second look"):
        capture("m", ["r:i"], "t", "o", residual_share=0.1, keep=False)


def test_tokens_are_loaded_without_contexts(counted: CaptureDir) -> None:
    count(counted, ALL)
    analyze(counted, analysis_settings(resolution=0.7, seed=0, rewires=3))
    plan = load_plan(counted)
    kinds = [section.kind for section in plan.sections]
    assert plan.sae["noiseFloor"] == ABSENT
    assert TOKEN in kinds
    assert FIRES_ON in kinds
    assert CONTEXT not in kinds
    assert SHOWN_BY not in kinds
    for section in plan.sections:
        assert len(section.rows(0, section.count)) == section.count


def test_damaged_counts_are_seen(counted: CaptureDir, tmp_path: Path) -> None:
    def damage(change: Callable[[Path], object], match: str) -> None:
        copy = tmp_path / "copy"
        shutil.copytree(counted.path, copy)
        change(copy / "counts" / "upto-00003")
        with pytest.raises(CaptureError, match=match):
            count(CaptureDir.open(copy), ALL)
        with pytest.raises(CaptureError, match=rf"{match}; make it again: give another --out; --force deletes"):
            verify(copy, Manifest.read(copy))
        shutil.rmtree(copy)

    damage(lambda folder: (folder / "tokens.npz").unlink(), r"counts/upto-00003/tokens\.npz is missing")
    damage(lambda folder: (folder / "tally" / "strata").write_bytes(b"x"), "strata is damaged")
    damage(lambda folder: (folder / "moments.npz").write_bytes(b"x"), r"moments\.npz is damaged")
    kept = CaptureDir.open(tmp_path / "kept" / "capture")
    with pytest.raises(CaptureError, match="stores activations and no counts"):
        kept.counts()


def test_counts_are_ours_to_clear(counted: CaptureDir) -> None:
    (counted.path / "counts" / "spill" / "pairs-x").mkdir(parents=True)
    (counted.path / "counts" / "part").mkdir()
    count(counted, ALL)
    check_place(counted.path)
    (counted.path / "counts" / "mine.txt").write_text("x")
    clear(counted.path)
    assert sorted(path.relative_to(counted.path).as_posix() for path in counted.path.rglob("*")) == [
        "counts",
        "counts/mine.txt",
    ]
    (counted.path / "manifest.json").write_text("{")
    check_place(counted.path)
    (counted.path / "counts" / "mine.txt").unlink()
    clear(counted.path)
    assert not counted.path.exists()


def test_another_way_of_keeping_is_another_capture(counted: CaptureDir, tmp_path: Path) -> None:
    wanted = facts_of(counted.manifest)
    assert compare(counted.path, wanted, "import") == counted.manifest
    del wanted["no_keep"]
    with pytest.raises(CaptureError, match=r"with another no_keep \(True, now None\): .*--force"):
        compare(counted.path, wanted, "import")
    kept = CaptureDir.open(tmp_path / "kept" / "capture")
    with pytest.raises(CaptureError, match=r"with another no_keep \(None, now True\): .*--force"):
        compare(kept.path, facts_of(kept.manifest) | {"no_keep": True}, "import")


def test_manifests_of_captures_that_keep_all_are_read_as_before(tmp_path: Path) -> None:
    kept = make_capture(tmp_path, random_arrays(8))
    path = kept.path / "manifest.json"
    path.write_text(path.read_text().replace(' "counts": null,\n', ""))
    assert '"counts"' not in path.read_text()
    assert CaptureDir.open(kept.path).manifest == kept.manifest
    assert kept.manifest.done == 1
    assert (kept.manifest.rows, kept.manifest.firings) == (400, len(random_arrays(8)["indices"]))


def test_checkpoints_are_as_rare_as_they_are_dear(
    counted: CaptureDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One a minute; after one that took 30 seconds, 300 seconds later; none where nothing was added."""
    now, took, saved = [0.0], [1.0], list[tuple[float, int]]()
    monkeypatch.setattr(checkpoints.time, "monotonic", lambda: now[0])

    def save(_path: Path, manifest: Manifest, running: RunningCounts) -> None:
        saved.append((now[0], running.shards))
        manifest.counts = CountsInfo(folder="f", shards=running.shards, rows=0, firings=0, sha256={})
        now[0] += took[0]

    monkeypatch.setattr(checkpoints, "checkpoint", save)
    manifest = counted.manifest.model_copy(deep=True, update={"counts": None})
    running = RunningCounts.empty(12, memory=MEMORY, work=tmp_path)
    source = SaeSource(release="r", sae_id="i", directory=None, metadata={}, weights_sha256=None, config_sha256=None)
    due = Checkpoints([Place(source, tmp_path, None, manifest, running)])
    for second in range(0, 800, 20):
        now[0] = max(now[0], float(second))
        took[0] = 30.0 if second > 100 else 1.0
        running.shards += 1
        due.after_shard()
    due.write()
    due.write()
    times = [at for at, _ in saved]
    assert times == [80.0, 160.0, 500.0, now[0] - 30.0]
    assert saved[-1][1] == running.shards


def test_running_counts_are_read_back(counted: CaptureDir, tmp_path: Path) -> None:
    info = counted.manifest.counts
    assert info is not None
    running = RunningCounts.load(counted.counts(), info, memory=MEMORY, work=tmp_path)
    assert (running.shards, running.rows, running.firings) == (3, 400, counted.manifest.firings)
    running.save(tmp_path / "again")
    for name in ("moments.npz", "tokens.npz"):
        assert (tmp_path / "again" / name).read_bytes() == (counted.counts() / name).read_bytes()
    assert load_tokens(tmp_path / "again").table(running.tally.firing_count, None).num_rows > 50
    running.close()
