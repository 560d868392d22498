"""`analyze`: what is made when, what is left alone, and what the table of clusters gathers from the others."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from builders import make_capture, random_arrays
from cofire.analysis import analyze as module
from cofire.analysis.analyses import ANALYSES, analysis_settings
from cofire.analysis.analyze import analyze, is_stale
from cofire.cli import run
from cofire.common import processes
from cofire.common.files import exclusive
from cofire.errors import CaptureError, InputError
from cofire.ingest.capture_dir.directory import CaptureDir
from cofire.ingest.capture_dir.table_files import read_table, table_infos
from cofire.ingest.count import CountSettings, count
from cofire.pipeline import settings_of_analyses
from cofire.schema.tables import CLUSTER_FUNCTIONS, CLUSTER_NULLS, CLUSTERS
from cofire.settings import load_settings
from cofire.store.plan.plan import load_plan
from differing import differing

QUICK = analysis_settings(runs=3, rewires=4)
PARTS = ("cluster_nulls", "motif_counts", "cluster_functions", "subspaces", "subspace_points", "subspace_mixtures")


@pytest.fixture
def capture(tmp_path: Path) -> CaptureDir:
    made = make_capture(tmp_path, random_arrays(3, n_latents=40))
    count(made, CountSettings(edges="all"))
    return made


def files(capture: CaptureDir) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(capture.tables.glob("*.parquet"))}


def test_all_are_made_once_and_then_left_alone(capture: CaptureDir) -> None:
    assert analyze(capture, QUICK) == tuple(analysis.name for analysis in ANALYSES)
    before = files(capture)
    assert set(PARTS) <= set(table_infos(capture))
    assert not is_stale(capture, QUICK)
    assert analyze(capture, QUICK) == ()
    assert differing(files(capture), before) == []
    assert not list(capture.tables.glob(".*"))


def test_clusters_gather_what_the_others_say(capture: CaptureDir) -> None:
    analyze(capture, QUICK)
    clusters = {row["cluster"]: row for row in read_table(capture, CLUSTERS).to_pylist()}
    for part in (CLUSTER_NULLS, CLUSTER_FUNCTIONS):
        rows = read_table(capture, part).to_pylist()
        shared = {c.name for c in part.columns} & {c.name for c in CLUSTERS.columns}
        assert rows
        assert len(shared) > 1
        for row in rows:
            assert {name: clusters[row["cluster"]][name] for name in shared} == {name: row[name] for name in shared}


def test_one_alone_brings_the_clusters_that_it_needs(capture: CaptureDir) -> None:
    assert analyze(capture, QUICK, only=("functions",)) == ("clusters", "functions")
    assert "cluster_nulls" not in table_infos(capture)
    assert {row["density_z"] for row in read_table(capture, CLUSTERS).to_pylist()} == {None}
    assert analyze(capture, QUICK, only=("nulls",)) == ("nulls",)


def test_the_order_of_what_is_asked_does_not_matter(capture: CaptureDir, tmp_path: Path) -> None:
    analyze(capture, QUICK, only=("subspaces",))
    analyze(capture, QUICK, only=("functions",))
    analyze(capture, QUICK, only=("nulls",))
    analyze(capture, QUICK, only=("stars",))
    other = make_capture(tmp_path / "other", random_arrays(3, n_latents=40))
    count(other, CountSettings(edges="all"))
    analyze(other, QUICK)
    assert differing(files(capture), files(other)) == []


def test_other_clusters_drop_what_was_said_of_the_old_ones(capture: CaptureDir) -> None:
    analyze(capture, QUICK)
    other = analysis_settings(runs=3, rewires=4, resolution=0.05)
    assert is_stale(capture, other)
    assert analyze(capture, other, only=("clusters",)) == ("clusters",)
    assert not set(PARTS) & set(table_infos(capture))
    assert not any((capture.tables / f"{name}.parquet").exists() for name in PARTS)
    assert not is_stale(capture, other)
    assert {row["function"] for row in read_table(capture, CLUSTERS).to_pylist()} == {None}


def test_more_rewires_make_the_nulls_anew_and_nothing_else(capture: CaptureDir) -> None:
    analyze(capture, QUICK)
    assert analyze(capture, analysis_settings(runs=3, rewires=5)) == ("nulls",)


def test_a_run_that_was_stopped_between_two_tables_is_finished(
    capture: CaptureDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    analyze(capture, QUICK)
    wanted = files(capture)
    for path in capture.tables.iterdir():
        if path.stem in ("clusters", "members", *PARTS):
            path.unlink()

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("cofire.analysis.analyze._fill", stop)
        with pytest.raises(KeyboardInterrupt):
            analyze(capture, QUICK)
    assert analyze(capture, QUICK) == ()
    assert differing(files(capture), wanted) == []


def test_other_rewires_in_passing_leave_the_nulls_alone(capture: CaptureDir) -> None:
    analyze(capture, QUICK)
    before = files(capture)
    assert analyze(capture, analysis_settings(runs=3, rewires=5), only=("clusters",)) == ()
    assert differing(files(capture), before) == []


def test_clusters_that_differ_take_the_rest_along_whatever_made_them(
    capture: CaptureDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    analyze(capture, QUICK)
    clusters, *others = ANALYSES
    monkeypatch.setattr(module, "ANALYSES", (replace(clusters, version=99), *others))
    assert analyze(capture, QUICK) == ("clusters",)  # the same clusters: what is known of them still holds
    assert set(PARTS) <= set(table_infos(capture))


def test_another_process_that_writes_is_named(capture: CaptureDir) -> None:
    with exclusive(capture.path), pytest.raises(CaptureError, match="is being written by another cofire"):
        analyze(capture, QUICK)


def test_a_new_count_makes_the_motif_counts_stale(capture: CaptureDir, capsys: pytest.CaptureFixture[str]) -> None:
    analyze(capture, QUICK)
    assert run(["motifs", str(capture.path), "--kind", "clique", "--min-size", "3", "--min-z", "-9"]) == 0
    count(capture, CountSettings(edges="significant"))
    assert run(["motifs", str(capture.path), "--kind", "clique", "--min-size", "3", "--min-z", "-9"]) == 2
    assert "were made from an earlier count" in capsys.readouterr().err
    with pytest.raises(CaptureError, match="made from an earlier count; run `cofire analyze`"):
        load_plan(capture)


def test_nothing_is_written_where_one_of_several_cannot_be_analysed(
    capture: CaptureDir, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_capture(tmp_path / "2", random_arrays(1), sae_id="uncounted")
    before = files(capture)
    assert run(["analyze", str(capture.path), str(tmp_path / "2" / "capture")]) == 2
    assert differing(files(capture), before) == []
    (tmp_path / "file").touch()
    arguments = ["analyze", str(capture.path), "--only", "structure-function", "--out", str(tmp_path / "file" / "out")]
    assert run(arguments) == 2
    assert differing(files(capture), before) == []


def test_the_default_of_an_earlier_cofire_is_no_wish(capture: CaptureDir) -> None:
    analyze(capture, analysis_settings(runs=3, rewires=4, resolution=0.7))
    manifest = capture.tables / "manifest.json"
    record = json.loads(manifest.read_text())
    record["clusters"]["settings"] = {"method": "leiden-cpm", "weight": "log_odds", "resolution": 0.7, "seed": 3}
    manifest.write_text(json.dumps(record))
    assert settings_of_analyses(capture, load_settings()) == analysis_settings(runs=2, rewires=3)


def test_processes_are_as_set_and_change_nothing(
    capture: CaptureDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared: list[int | None] = []

    def counted(job: processes.Job, **options: Any) -> None:
        shared.append(options["processes"])
        processes.make_parts(job, **options)

    monkeypatch.setattr("cofire.analysis.clusters.sweep.make_parts", counted)
    monkeypatch.setattr("cofire.analysis.nulls.nulls.make_parts", counted)
    monkeypatch.setenv("COFIRE_PROCESSES", "2")
    both = settings_of_analyses(capture, load_settings(runs=3, rewires=4))
    analyze(capture, both)
    assert shared == [2, 2]
    before = files(capture)
    assert (
        analyze(
            capture,
            {name: replace(one, processes=1) if hasattr(one, "processes") else one for name, one in both.items()},
        )
        == ()
    )
    monkeypatch.delenv("COFIRE_PROCESSES")
    other = make_capture(tmp_path / "other", random_arrays(3, n_latents=40))
    count(other, CountSettings(edges="all"))
    analyze(other, settings_of_analyses(other, load_settings(runs=3, rewires=4)))
    # A small graph: one.
    assert shared == [2, 2, 1, 1]
    assert differing(files(other), before) == []


def test_an_unknown_analysis_is_refused(capture: CaptureDir) -> None:
    with pytest.raises(InputError, match="there is no analysis 'peas'; there are clusters, nulls, functions"):
        analyze(capture, QUICK, only=("peas",))


def test_an_uncounted_capture_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match=r"edges\.parquet is missing; run `cofire count"):
        analyze(make_capture(tmp_path, random_arrays(1)), QUICK)
