"""Direct edges: planted structures, what is left out, blocks, and the command."""

from __future__ import annotations

from functools import partial
from math import log
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from builders import arrays_of, make_capture
from cofire.common.arrays import Bools, Ints
from cofire.ingest.capture_dir.table_files import read_table, table_infos
from cofire.ingest.count import CountSettings, count
from cofire.ingest.direct import direct
from cofire.ingest.direct.direct import BYTES_OF_EDGE, COLUMNS, CountTriples, direct_edges
from cofire.ingest.direct.neighbours import witnesses
from cofire.ingest.direct.triples import Triples
from cofire.ingest.direct.twins import twins_table
from cofire.schema.tables import EDGES, TWINS
from direct_worlds import MEMORY, contexts, counting, kept_of, some, structure, told_of


@pytest.mark.parametrize("kind", ["clique", "star", "chain", "nested"])
@pytest.mark.parametrize("seed", range(3))
def test_planted_structures(kind: str, seed: int, tmp_path: Path) -> None:
    fires, wanted, explained = structure(kind, seed)
    told = told_of(fires, tmp_path)
    assert wanted <= set(told)
    assert explained <= set(told)  # they are edges, and true ones
    assert {pair for pair, row in told.items() if row["direct"]} == wanted
    if kind == "star":
        assert {told[pair]["explained_by"] for pair in explained} == {0}


def test_members_of_a_hidden_context_have_the_log_odds_that_theory_says(tmp_path: Path) -> None:
    # Given one another, two members on in a share p of the context have MH = ln(1 + 1/(p (1 - p))), DIRECT.
    rng = np.random.default_rng(5)
    where = rng.random(60_000) < 0.1
    fires = np.stack([where & (rng.random(60_000) < 0.5) for _ in range(3)], 1)
    told = told_of(fires, tmp_path)
    for row in told.values():
        assert row["direct_log_odds"] == pytest.approx(log(5), abs=4 * row["direct_log_odds_se"])
        assert row["direct_log_odds_se"] < 0.06
        assert row["direct"]


def test_twins_explain_nothing_of_each_other(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    cause = rng.random(8000) < 0.1
    twin_hubs = [cause & (rng.random(8000) < 0.97) for _ in range(2)]
    fires = np.stack([*twin_hubs, *(some(rng, cause, 0.4) for _ in range(4))], 1)
    kept = kept_of(fires)
    n = fires.sum(axis=0)
    twins = twins_table(kept, n)
    joint = int(fires[:, :2].all(axis=1).sum())
    assert twins.schema.equals(TWINS.arrow_schema())
    assert twins.to_pylist() == [{"a": 0, "b": 1, "count": joint, "share": joint / max(n[0], n[1])}]
    told = told_of(fires, tmp_path)
    # The hubs keep their edge and their spokes; the spokes' edges among each other go.
    assert {pair for pair, row in told.items() if row["direct"]} == {
        (0, 1),
        *((h, k) for h in (0, 1) for k in range(2, 6)),
    }


def test_where_twins_begin() -> None:
    # 0 and 1 fire 100 times each, 80 of them together; 2 and 3 79 of them; 4 fires half as often as 0, always with it.
    fires = np.zeros((2000, 5), np.bool_)
    fires[0:100, 0] = fires[20:120, 1] = True
    fires[200:300, 2] = fires[221:321, 3] = True
    fires[0:50, 4] = True
    twins = twins_table(kept_of(fires), fires.sum(axis=0)).to_pylist()
    assert twins == [{"a": 0, "b": 1, "count": 80, "share": 0.8}]
    assert twins_table(kept_of(fires, weak={(0, 1)}), fires.sum(axis=0)).num_rows == 0


def test_a_split_hub_keeps_one_of_its_halves(tmp_path: Path) -> None:
    # Two latents that each miss a fifth of the hub's tokens, no twins: all at once, every spoke would lose both.
    for seed in range(3):
        rng = np.random.default_rng(seed)
        cause = rng.random(12_000) < 0.1
        halves = [cause & (rng.random(12_000) < 0.75) for _ in range(2)]
        fires = np.stack([*halves, *(some(rng, cause, 0.4) for _ in range(5))], 1)
        told = told_of(fires, tmp_path / str(seed))
        kept = {pair for pair, row in told.items() if row["direct"]}
        assert all((0, k) in kept or (1, k) in kept for k in range(2, 7))


# Nulls, and what is left out


def test_pairs_without_a_third_latent_are_direct(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    columns = []
    for _ in range(20):
        where = rng.random(4000) < 0.05
        columns += [some(rng, where, 0.6, 0.02), some(rng, where, 0.6, 0.02)]
    told = told_of(np.stack(columns, 1), tmp_path)
    assert {(2 * k, 2 * k + 1) for k in range(20)} <= set(told)
    for row in told.values():
        assert row["direct"]
        assert row["explained_by"] is None
        assert (row["direct_log_odds"], row["direct_log_odds_se"]) == (row["log_odds"], row["log_odds_se"])


def test_weak_only_and_other_pairs_are_not_told_of_and_explain_nothing(tmp_path: Path) -> None:
    fires, _, explained = structure("star", 0)
    pair = min(explained)
    whole = told_of(fires, tmp_path / "whole")
    assert whole[pair]["explained_by"] == 0
    for which in ({"weak": {(0, pair[0])}}, {"out": {(0, pair[0])}}):
        told = told_of(fires, tmp_path / "left out", **which)
        assert [told[0, pair[0]][name] for name in COLUMNS] == [None] * 4
        # Its hub is no neighbour any more, so the edge has no witness in it; that of the others stays.
        assert told[pair]["explained_by"] != 0
        rest = {other for other in explained if pair[0] not in other}
        assert all(told[other]["explained_by"] == 0 for other in rest)


def test_edges_with_few_witnesses_beside_stronger_ones(tmp_path: Path) -> None:
    # 0-1 has the witness 2, 3-4 none; they are together on far more tokens than 0 fires on.
    fires = np.zeros((8000, 5), np.bool_)
    for latent, where in enumerate((range(60), range(20, 80), range(40, 100))):
        fires[list(where), latent] = True
    fires[1000:3000, 3], fires[1200:3200, 4] = True, True
    told = told_of(fires, tmp_path)
    assert set(told) == {(0, 1), (0, 2), (1, 2), (3, 4)}
    assert told[3, 4]["direct_log_odds"] == told[3, 4]["log_odds"]
    assert all(row["direct"] for row in told.values() if 2 not in (row["a"], row["b"]))
    # 0 and 2 share 20 tokens; on all of them 1 fires, too.
    assert told[0, 2]["explained_by"] == 1


def test_no_edges(tmp_path: Path) -> None:
    fires = np.zeros((50, 3), np.bool_)
    assert told_of(fires, tmp_path) == {}
    assert twins_table(kept_of(fires), fires.sum(axis=0)).num_rows == 0


# Order, memory, and being stopped


def blocks_of(fires: Bools, work: Path, counted: CountTriples) -> tuple[pa.Table, dict[str, Any]]:
    return direct_edges(
        kept_of(fires), fires.sum(axis=0), len(fires), bound=1.0, memory=MEMORY, work=work, count=counted
    )  # fmt: skip


def test_blocks_change_nothing_and_are_not_counted_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fires = contexts(1, members=10, groups=3, tokens=5000)
    whole = blocks_of(fires, tmp_path, counting(fires))
    assert list(tmp_path.iterdir()) == []  # one block of no time
    edges = whole[0].num_rows
    monkeypatch.setattr(direct, "BYTES_OF_EDGE", MEMORY * 3 // 4 // 50)
    stages: list[str] = []

    def stopped(left: int) -> CountTriples:
        def counted(wanted: Triples, memory: int, stage: str) -> Ints:
            if len(stages) == left:
                raise KeyboardInterrupt
            stages.append(stage)
            return counting(fires)(wanted, memory, stage)

        return counted

    with pytest.raises(KeyboardInterrupt):
        blocks_of(fires, tmp_path, stopped(2))
    assert len(list(tmp_path.iterdir())) == 2
    again = blocks_of(fires, tmp_path, stopped(-1))
    many = -(-edges // 50)
    assert stages == [f"direct edges {number + 1}/{many}" for number in range(many)]
    assert again[0].equals(whole[0])
    assert again[1] == whole[1]


def test_memory_of_a_block() -> None:
    assert BYTES_OF_EDGE == 12 * 16 + 40
    assert direct._blocks(0, 1000) == [(0, 0)]
    assert direct._blocks(10, 4 * BYTES_OF_EDGE) == [(0, 4), (4, 8), (8, 10)]
    assert direct._blocks(2, 0) == [(0, 1), (1, 2)]


def test_sixteen_common_neighbours_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fires = contexts(0, members=40, groups=3, tokens=8000, share=0.3)
    few = told_of(fires, tmp_path / "few")
    monkeypatch.setattr(direct, "witnesses", partial(witnesses, most=200))
    every = told_of(fires, tmp_path / "every")
    wrong = [pair for pair in every if few[pair]["direct"] != every[pair]["direct"]]
    off = max(abs(few[pair]["direct_log_odds"] - every[pair]["direct_log_odds"]) for pair in every)
    explained = sum(not row["direct"] for row in every.values())
    assert len(every) > 2000
    assert explained > 30
    assert len(wrong) <= 1e-3 * len(every), (len(wrong), explained, off)


# The command


def capture_of(folder: Path, fires: Bools, documents: int = 20) -> Any:
    rows = [dict.fromkeys(map(int, np.flatnonzero(row)), 1.0) for row in fires]
    return make_capture(folder, arrays_of(rows, fires.shape[1], doc=np.arange(len(rows)) * documents // len(rows)))


def test_count_tells_direct_edges(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fires, wanted, explained = structure("star", 1, tokens=3000)
    monkeypatch.setattr("cofire.ingest.import_activations.ROWS_PER_SHARD", 700)
    capture = capture_of(tmp_path, fires)
    told: list[str] = []
    assert count(capture, progress=lambda stage, _done, _total: told.append(stage))
    assert told.count("direct edges 1/1") == 5
    rows = {(row["a"], row["b"]): row for row in read_table(capture, EDGES).to_pylist()}
    assert {pair for pair, row in rows.items() if row["direct"]} == wanted
    assert {pair for pair, row in rows.items() if row["direct"] is False} == explained
    info = table_infos(capture)["edges"]
    assert (info.figures["edges_direct"], info.figures["edges_explained"]) == (len(wanted), len(explained))
    assert info.figures["twins"] == 0 == read_table(capture, TWINS).num_rows
    assert (info.settings["direct"], info.settings["direct_bound"]) == (True, 1.0)
    assert not count(capture)

    # Stale with its settings: nothing is explained below a bound that nothing reaches.
    assert count(capture, CountSettings(direct_bound=-50))
    assert all(row["direct"] for row in read_table(capture, EDGES).to_pylist())
    assert count(capture, CountSettings(direct=False))
    assert all(row[name] is None for row in read_table(capture, EDGES).to_pylist() for name in COLUMNS)
    assert "edges_direct" not in table_infos(capture)["edges"].figures
    assert count(capture, CountSettings(edges="all"))
    every = {(row["a"], row["b"]): row for row in read_table(capture, EDGES).to_pylist()}
    assert {pair: [row[name] for name in COLUMNS] for pair, row in every.items() if row["direct"] is not None} == {
        pair: [row[name] for name in COLUMNS] for pair, row in rows.items()
    }
