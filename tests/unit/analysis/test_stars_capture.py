"""Exclusive stars of a capture: from count to the table; clear firings alone; stopped, resumed; where none can be."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from builders import make_capture
from cofire.analysis.analyses import analysis_settings
from cofire.analysis.analyze import analyze
from cofire.analysis.stars import stars as module
from cofire.analysis.stars.stars import LEVEL, exclusive_stars
from cofire.cli import run
from cofire.errors import InputError
from cofire.ingest.capture_dir.table_files import read_table, table_infos
from cofire.ingest.count import CountSettings, count
from cofire.schema.tables import EDGES, LATENTS, STARS, TWINS
from cofire.worlds import DEV_SEEDS
from star_cases import Cases

ONLY = ("stars",)


def planted(seed=DEV_SEEDS[0]):
    """Seven exclusive stars and five hubs of independent spokes in 12,000 tokens; hub -> spokes of the stars."""
    cases = Cases(np.random.default_rng(seed), 12_000)
    stars = dict(cases.star(int(size), 5, 0.9, loose=0.05) for size in np.linspace(200, 700, 7))
    for size in range(250, 500, 50):
        cases.independent(size, 5, 0.25)
    return cases, stars


def arrays_of(cases, weak=None):
    """The npz arrays of some cases; `weak`: firings (token, latent) of little strength besides."""
    document, indptr, indices = next(iter(cases.shards(1)))
    fires = np.zeros((cases.tokens, len(cases.fires)), np.float32)
    fires[np.repeat(np.arange(cases.tokens), np.diff(indptr)), indices] = 1.0
    if weak is not None:
        fires[weak] = np.maximum(fires[weak], 0.1)
    token, latent = np.nonzero(fires)
    return {
        "indptr": np.concatenate([[0], np.cumsum(np.bincount(token, minlength=cases.tokens))]),
        "indices": latent.astype(np.int32),
        "values": fires[token, latent],
        "n_latents": np.int64(len(cases.fires)),
        "doc": document,
    }


@pytest.fixture(scope="module")
def counted(tmp_path_factory):
    cases, stars = planted()
    capture = make_capture(tmp_path_factory.mktemp("stars"), arrays_of(cases))
    count(capture)
    return capture, stars


def test_planted_stars_stand_in_the_table(counted, capsys):
    capture, planted_stars = counted
    assert run(["analyze", str(capture.path), "--only", "stars"]) == 0
    assert "stars: 7 exclusive stars -> " in capsys.readouterr().err
    table = read_table(capture, STARS)
    assert table.schema == STARS.arrow_schema()
    rows = {row["hub"]: row for row in table.to_pylist()}
    assert rows.keys() == planted_stars.keys()
    latents = read_table(capture, LATENTS).column("firing_count").to_pylist()
    edges = {(row["a"], row["b"]): row for row in read_table(capture, EDGES).to_pylist()}
    for hub, row in rows.items():
        assert sorted(row["spokes"]) == planted_stars[hub]
        of = [edges[min(hub, spoke), max(hub, spoke)] for spoke in row["spokes"]]
        assert row["spoke_firings"] == [edge["count"] for edge in of]
        assert [edge["direct_log_odds"] for edge in of] == sorted(
            (edge["direct_log_odds"] for edge in of), reverse=True
        )
        assert row["hub_firings"] == latents[hub]
        assert 0 <= row["one_of"] <= row["cover"] <= 1
        assert row["exclusivity"] == row["together"] / row["expected"] <= 0.5
        assert 0 < row["p"] <= row["q"] <= LEVEL
        assert row["star"].startswith("test/a/b/s-")
    figures = table_infos(capture)["stars"].figures
    assert figures["stars"] == figures["before_test"] == 7
    assert figures["hubs"] >= 12
    assert table_infos(capture)["stars"].settings == {"shuffles": 50, "seed": 0, "edges": edges_hash(capture)}
    assert analyze(capture, only=ONLY) == ()


def edges_hash(capture):
    return table_infos(capture)["edges"].sha256


def test_the_same_bytes_in_each_run_and_others_with_another_seed(counted):
    capture, _ = counted
    file = capture.tables / "stars.parquet"
    analyze(capture, only=ONLY)
    before = file.read_bytes()
    file.unlink()
    assert analyze(capture, only=ONLY) == ("stars",)
    assert file.read_bytes() == before
    assert analyze(capture, analysis_settings(seed=5, shuffles=20), only=ONLY) == ("stars",)
    assert read_table(capture, STARS).column("hub").to_pylist()
    assert file.read_bytes() != before
    assert analyze(capture, only=ONLY) == ("stars",)


def test_a_run_that_was_stopped_goes_on_and_memory_changes_nothing(counted, tmp_path, monkeypatch):
    capture, _ = counted
    tables = [read_table(capture, table) for table in (EDGES, TWINS, LATENTS)]

    def found(work, **how):
        return exclusive_stars(capture, *tables, shuffles=20, seed=1, work=tmp_path / work, **how)

    whole = found("whole")
    steps = []
    looked_at, stop_at = [], 3
    search = module.search_stars

    def stopping(tokens, *rest, **how):
        looked_at.append(len(tokens.hub))
        if len(looked_at) == stop_at:
            raise KeyboardInterrupt
        return search(tokens, *rest, **how)

    monkeypatch.setattr(module, "search_stars", stopping)
    with pytest.raises(KeyboardInterrupt):
        found("parts", memory=8000)
    first = sum(looked_at[:2])
    looked_at.clear()
    stop_at = 0
    again = found("parts", memory=8000, progress=lambda done, total: steps.append((done, total)))
    assert sum(looked_at) + first == whole.figures["hubs"]
    assert again.table.equals(whole.table)
    assert again.figures == whole.figures
    assert steps == sorted(steps)
    assert steps[-1][0] == steps[-1][1]


def test_clear_firings_alone_count_where_floors_are_known(tmp_path):
    cases, _ = planted()
    quiet = make_capture(tmp_path / "quiet", arrays_of(cases))
    weak = np.random.default_rng(0).random((cases.tokens, len(cases.fires))) < 0.02
    noisy = make_capture(tmp_path / "noisy", arrays_of(cases, weak))
    for capture in (quiet, noisy):
        count(capture)
    edges, twins, latents = (read_table(quiet, table) for table in (EDGES, TWINS, LATENTS))
    wanted = exclusive_stars(quiet, edges, twins, latents, shuffles=20, seed=0, work=tmp_path / "1")
    firings = latents.column("firing_count")
    known = read_table(noisy, LATENTS)
    for name, values in (("clear_floor", pa.array(np.full(len(firings), 0.5))), ("clear_firing_count", firings)):
        known = known.set_column(known.schema.get_field_index(name), name, values)
    with_clear = edges.set_column(edges.schema.get_field_index("clear_count"), "clear_count", edges.column("count"))
    found = exclusive_stars(noisy, with_clear, twins, known, shuffles=20, seed=0, work=tmp_path / "2")
    assert wanted.table.num_rows == 7
    assert found.table.equals(wanted.table)
    assert found.figures == wanted.figures
    # Another processor rounds otherwise: some firings are clear that were not, and the other way round.
    off = np.random.default_rng(1).choice(known.num_rows, 20, replace=False)
    counts = firings.to_numpy().copy()
    counts[off] += np.where(np.arange(20) % 2, 1, -1)
    column = known.schema.get_field_index("clear_firing_count")
    other = known.set_column(column, "clear_firing_count", pa.array(counts))
    joint = with_clear.column("clear_count").to_numpy() + np.arange(edges.num_rows) % 3 - 1
    column = edges.schema.get_field_index("clear_count")
    other_edges = with_clear.set_column(column, "clear_count", pa.array(joint))
    again = exclusive_stars(noisy, other_edges, twins, other, shuffles=20, seed=0, work=tmp_path / "3")
    assert again.table.select(["hub", "spoke_firings"]).equals(wanted.table.select(["hub", "spoke_firings"]))


def test_where_no_edge_is_told_of_there_is_no_star(tmp_path, capsys):
    cases, _ = planted()
    capture = make_capture(tmp_path, arrays_of(cases))
    count(capture, CountSettings(direct=False))
    assert run(["analyze", str(capture.path), "--only", "stars"]) == 0
    assert "no edge is said to be direct, so there are no exclusive stars" in capsys.readouterr().err
    assert read_table(capture, STARS).num_rows == 0
    assert table_infos(capture)["stars"].figures["direct_edges"] == 0


def test_stars_of_other_edges_are_not_told_of(tmp_path, capsys):
    cases, _ = planted()
    capture = make_capture(tmp_path, arrays_of(cases))
    count(capture)
    analyze(capture, only=ONLY)
    count(capture, CountSettings(direct=False))
    assert run(["analyze", str(capture.path), "--only", "clusters"]) == 0
    said = capsys.readouterr().err
    assert " latents -> " in said
    assert "exclusive stars" not in said


def test_what_cannot_be_is_refused(counted, tmp_path):
    capture, _ = counted
    edges, twins, latents = (read_table(capture, table) for table in (EDGES, TWINS, LATENTS))
    with pytest.raises(InputError, match="shuffles 19: p and q need 20 and more"):
        exclusive_stars(capture, edges, twins, latents, shuffles=19, seed=0, work=tmp_path)
    with pytest.raises(InputError, match="no column direct; run `cofire count` again"):
        exclusive_stars(capture, edges.drop_columns("direct"), twins, latents, shuffles=20, seed=0, work=tmp_path)
