"""Of direct edges: triples and witnesses against brute force, Mantel-Haenszel by hand, the sequential rule."""

from __future__ import annotations

from itertools import combinations
from math import log, sqrt
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cofire.common.arrays import Array, Bools
from cofire.ingest.direct import triples
from cofire.ingest.direct.mantel_haenszel import TripleCounts, mantel_haenszel, mantel_haenszel_error
from cofire.ingest.direct.neighbours import Graph, witnesses
from cofire.ingest.direct.sequential import explained_edges
from cofire.ingest.direct.triples import TripleCounter, Triples, count_triples
from cofire.ingest.edges.rule import KeptEdges
from cofire.ingest.noise.clear import ClearFirings
from direct_worlds import MEMORY, contexts, kept_of, rows_of, shard_of, told_of

# Triple counts


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_triples_are_those_of_brute_force(data: st.DataObject) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    n, tokens, k = data.draw(st.integers(3, 9)), data.draw(st.integers(1, 300)), data.draw(st.integers(1, 6))
    fires = rng.random((tokens, n)) < rng.choice([0.0, 0.02, 0.3, 0.9], n)
    pairs = [pair for pair in combinations(range(n), 2) if rng.random() < 0.6]
    chosen = np.full((len(pairs), k), -1, np.int32)
    for row, pair in enumerate(pairs):
        third = rng.permutation([h for h in range(n) if h not in pair])[: rng.integers(0, k + 1)]
        chosen[row, : len(third)] = third
    total = fires.sum(axis=0)
    ends = np.array(pairs, np.int32).reshape(-1, 2)
    higher = total[ends[:, 1]] > total[ends[:, 0]]
    busier, rarer = np.where(higher, ends[:, 1], ends[:, 0]), np.where(higher, ends[:, 0], ends[:, 1])
    counter = TripleCounter(
        Triples(n, busier, rarer, chosen, total[rarer]),
        memory=data.draw(st.sampled_from([0, 64, MEMORY])),
        threads=data.draw(st.integers(1, 3)),
    )
    # In any order, however they are cut.
    cuts = np.sort(rng.integers(0, tokens + 1, data.draw(st.integers(0, 5))))
    parts = np.split(np.arange(tokens), cuts)
    for number in rng.permutation(len(parts)):
        counter.add(*rows_of(fires[parts[number]]))
    found = counter.counts()
    assert found.dtype == np.int64
    for row, (i, j) in enumerate(pairs):
        wanted = [0 if h < 0 else int((fires[:, i] & fires[:, j] & fires[:, h]).sum()) for h in chosen[row]]
        assert found[row].tolist() == wanted


def test_slabs_are_cut_by_memory_and_by_most_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    fires = np.random.default_rng(0).random((1000, 3)) < 0.5
    wanted = int(fires.all(axis=1).sum())
    one = Triples(3, *(np.array([i], np.int32) for i in (0, 1)), np.array([[2]], np.int32), np.array([500]))
    walked: list[int] = []
    honest = triples.list_rows
    monkeypatch.setattr(
        triples, "list_rows", lambda indptr, *rest: (walked.append(len(indptr) - 1), honest(indptr, *rest))
    )
    for memory, most, slabs in (
        (0, 65_536, [64] * 15 + [40]),
        (3 * 256 // 8, 65_536, [256] * 3 + [232]),
        (MEMORY, 640, [640, 360]),
    ):
        monkeypatch.setattr(triples, "MOST_ROWS", most)
        walked.clear()
        counter = TripleCounter(one, memory=memory, threads=1)
        counter.add(*rows_of(fires[:700]))
        counter.add(*rows_of(fires[700:]))
        assert counter.counts().tolist() == [[wanted]]
        assert walked == slabs


def test_only_clear_firings_count_where_these_are_asked_for(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    fires, clear = rng.random((500, 3)) < 0.5, rng.random((500, 3)) < 0.7
    one = Triples(3, *(np.array([i], np.int32) for i in (0, 1)), np.array([[2]], np.int32), np.array([250]))
    shards, kept = [shard_of(part) for part in np.split(fires, [200])], ClearFirings(tmp_path)
    for number, part in enumerate(np.split(fires & clear, [200])):
        kept.put(number, part[np.split(fires, [200])[number]])
    assert count_triples(one, MEMORY, shards, kept).tolist() == [[int((fires & clear).all(axis=1).sum())]]
    assert count_triples(one, MEMORY, shards, None).tolist() == [[int(fires.all(axis=1).sum())]]


# Witnesses


def brute_witnesses(fires: Bools, kept: KeptEdges, most: int) -> list[list[int]]:
    pairs = list(zip(*(kept.table.column(c).to_pylist() for c in ("a", "b")), strict=True))
    n = fires.sum(axis=0)
    phi = np.nan_to_num(np.corrcoef(fires.T.astype(float)))
    joint = dict(zip(pairs, kept.joint.tolist(), strict=True))
    twin = {pair for pair, count in joint.items() if count >= 0.8 * max(n[pair[0]], n[pair[1]])}
    found = []
    for i, j in pairs:
        both = [h for h in range(len(n)) if {tuple(sorted((i, h))), tuple(sorted((j, h)))} <= set(pairs) - twin]
        found.append(sorted(both, key=lambda h: (-round(phi[i, h] * phi[j, h], 12), h))[:most])
    return found


@pytest.mark.parametrize("seed", range(4))
def test_witnesses_are_the_common_neighbours_of_the_largest_product(seed: int) -> None:
    fires = contexts(seed, members=9, groups=3, tokens=4000)
    fires[:, 1] = fires[:, 0] & (np.random.default_rng(seed).random(len(fires)) < 0.9)  # twins
    kept = kept_of(fires)
    a, b = (kept.table.column(c).to_numpy() for c in ("a", "b"))
    graph = Graph.of(a, b, kept.joint, fires.sum(axis=0), len(fires))
    assert graph.twin.any()
    for most in (1, 3, 16):
        chosen = witnesses(graph, 0, len(a), most)
        assert [[h for h in row if h >= 0] for row in chosen.tolist()] == brute_witnesses(fires, kept, most)
        middle = len(a) // 2
        assert np.array_equal(witnesses(graph, middle, len(a), most), chosen[middle:])
    known = np.array([0, 1, 2], np.int32)
    to = graph.edges_to(known, np.array([[1], [0], [-1]], np.int32))
    assert (to[0, 0], to[1, 0], to[2, 0]) == (0, 0, -1)


# Mantel and Haenszel


def test_mantel_haenszel_by_hand() -> None:
    # h on, 10 tokens: X 4, A 2, B 1, U 3. h off, 90 tokens: X 2, A 6, B 8, U 74.
    counts = TripleCounts(
        *(np.array([value]) for value in (4 + 2 + 2 + 6, 4 + 1 + 2 + 8, 10, 4 + 2, 4 + 2, 4 + 1, 4)), tokens=100
    )
    assert [cells[:, 0].tolist() for cells in counts.cells()] == [[4, 2, 1], [2, 6, 1], [1, 8, 1], [3, 74, 1]]
    agree, differ = 4 * 3 / 10 + 2 * 74 / 90 + 1 / 4, 2 * 1 / 10 + 6 * 8 / 90 + 1 / 4
    assert mantel_haenszel(counts)[0] == pytest.approx(log(agree / differ), rel=1e-14)
    # As statsmodels' StratifiedTable.logodds_pooled_se has it: with (a + d)/n, (b + c)/n, ad/n and bc/n of each table.
    apd, bpc, ad, bc = (
        [7 / 10, 76 / 90, 1 / 2],
        [3 / 10, 14 / 90, 1 / 2],
        [4 * 3 / 10, 2 * 74 / 90, 1 / 4],
        [2 * 1 / 10, 6 * 8 / 90, 1 / 4],
    )
    variance = (
        np.dot(apd, ad) / agree**2
        + (np.dot(apd, bc) + np.dot(bpc, ad)) / (agree * differ)
        + np.dot(bpc, bc) / differ**2
    )
    assert mantel_haenszel_error(counts)[0] == pytest.approx(sqrt(variance / 2), rel=1e-14)


def test_without_a_token_in_a_stratum_or_in_all_there_is_nothing_to_tell() -> None:
    # h on all of 20 tokens, or on none: the other stratum is empty.
    for h, part in ((20, 1), (0, 0)):
        values = (10, 8, h, 5, 10 * part, 8 * part, 5 * part)
        counts = TripleCounts(*(np.array([value]) for value in values), tokens=20)
        agree, differ = 5 * 7 / 20 + 1 / 4, 5 * 3 / 20 + 1 / 4
        assert mantel_haenszel(counts)[0] == pytest.approx(log(agree / differ), rel=1e-14)
        assert np.isfinite(mantel_haenszel_error(counts)[0])
    # i is on whenever h is, and the rest never with j: no stratum says anything, and the log odds are 0.
    counts = TripleCounts(*(np.array([value]) for value in (10, 4, 10, 4, 10, 4, 4)), tokens=100)
    assert mantel_haenszel(counts)[0] == 0.0


def test_the_error_is_how_far_the_estimate_is_off() -> None:
    rng, truth, draws = np.random.default_rng(0), 1.2, 4000

    def stratum(tokens: int, p: float, q: float) -> Array:
        """Tables [draws, 4] of X, A, B, U with the true log odds ratio."""
        x = next(
            x
            for x in np.linspace(p * q, min(p, q), 20_001)
            if log(x * (1 - p - q + x) / ((p - x) * (q - x) + 1e-12)) >= truth
        )
        return rng.multinomial(tokens, [x, p - x, q - x, 1 - p - q + x], draws)

    on, off = stratum(400, 0.3, 0.4), stratum(5000, 0.03, 0.05)
    tables = TripleCounts(
        i=(on + off)[:, :2].sum(axis=1), j=(on + off)[:, [0, 2]].sum(axis=1), h=on.sum(axis=1), ij=(on + off)[:, 0],
        ih=on[:, :2].sum(axis=1), jh=on[:, [0, 2]].sum(axis=1), ijh=on[:, 0], tokens=5400,
    )  # fmt: skip
    found, error = mantel_haenszel(tables), mantel_haenszel_error(tables)
    assert found.mean() == pytest.approx(truth, abs=0.02)
    assert error.mean() == pytest.approx(found.std(), rel=0.05)


def test_an_h_that_tells_nothing_leaves_the_log_odds() -> None:
    # h fires on half of the tokens, whatever i and j do: both strata are alike, and the third weighs little.
    x, a, b, u = 30_000, 50_000, 40_000, 900_000
    counts = TripleCounts(
        *(np.array([v]) for v in (x + a, x + b, (x + a + b + u) // 2, x, (x + a) // 2, (x + b) // 2, x // 2)),
        tokens=x + a + b + u,
    )
    assert mantel_haenszel(counts)[0] == pytest.approx(log(x * u / (a * b)), abs=2e-4)
    assert mantel_haenszel_error(counts)[0] == pytest.approx(sqrt(1 / x + 1 / a + 1 / b + 1 / u), rel=1e-2)


# The sequential rule


def graph_of(pairs: list[tuple[int, int]], n: int) -> Graph:
    a, b = (np.array(ends, np.int32) for ends in zip(*pairs, strict=True))
    return Graph.of(a, b, np.full(len(a), 10), np.full(n, 100), 10_000)


def test_an_edge_goes_only_while_both_edges_to_its_witness_stand() -> None:
    graph = graph_of([(0, 1), (0, 2), (1, 2)], 3)
    first, below = np.array([0, 1, 2, 3]), np.array([2, 1, 0], np.int32)  # each is explained by the third
    # The weakest goes; then neither of the others has both edges of its witness.
    assert explained_edges(graph, np.array([3.0, 2.0, 1.0]), first, below).tolist() == [-1, -1, 0]
    assert explained_edges(graph, np.array([1.0, 2.0, 3.0]), first, below).tolist() == [2, -1, -1]
    # Equal ones by (a, b).
    assert explained_edges(graph, np.ones(3), first, below).tolist() == [2, -1, -1]


def test_the_first_witness_that_stands_is_named() -> None:
    graph = graph_of([(0, 1), (0, 2), (0, 3), (1, 2), (1, 3)], 4)
    # 0-2 goes first, by 1; then 0-1 is explained by 2 no more, by 3 still.
    below, first = np.array([2, 3, 1], np.int32), np.array([0, 2, 3, 3, 3, 3])
    assert explained_edges(graph, np.array([2.0, 1.0, 5.0, 5.0, 5.0]), first, below).tolist() == [3, 1, -1, -1, -1]


def test_components_stay_whole(tmp_path: Path) -> None:
    fires = contexts(3, members=12, groups=4, tokens=6000)
    told = told_of(fires, tmp_path, bound=2.5)  # breaks nearly everything
    direct_ones = {pair for pair, row in told.items() if row["direct"]}
    assert 0 < len(direct_ones) < 0.6 * len(told)
    assert components(direct_ones) == components(set(told))
    for pair, row in told.items():
        assert (row["explained_by"] is None) == row["direct"]
        if not row["direct"]:
            assert row["direct_log_odds"] < 2.5
            assert {tuple(sorted((end, row["explained_by"]))) for end in pair} <= set(told)


def components(pairs: set[tuple[int, int]]) -> set[frozenset[int]]:
    of = {end: {end} for pair in pairs for end in pair}
    for a, b in pairs:
        if of[a] is not of[b]:
            of[a] |= of[b]
            for end in of[b]:
                of[end] = of[a]
    return {frozenset(one) for one in of.values()}
