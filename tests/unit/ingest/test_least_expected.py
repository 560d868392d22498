"""The lower bound of E, and what it drops: never a pair that the rule would keep, whatever memory, order and way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from builders import arrays_of, make_capture, random_arrays
from cofire.common.arrays import Array
from cofire.ingest.capture_dir.table_files import read_table, table_infos
from cofire.ingest.count import count
from cofire.ingest.edges.expected import ONE, expected_joint
from cofire.ingest.edges.least_expected import BESIDE, ROUNDING, TERM, LeastExpected
from cofire.ingest.edges.settings import CountSettings
from cofire.ingest.edges.significance import may_reach, stratified_log_odds
from cofire.ingest.pairs.strata import StratumCounter
from cofire.schema.tables import EDGES

MODULE = "cofire.ingest.edges.least_expected"
LARGE = 10**9


def counted(stratum: Array, fires: Array, memory: int = LARGE, work: Path | None = None) -> StratumCounter:
    counter = StratumCounter(fires.shape[1], work=work, memory=memory)
    matrix = sp.csr_array(fires)
    counter.add(stratum, matrix.indptr.astype(np.int64), matrix.indices.astype(np.int32))
    return counter


def text(seed: int, tokens: int, n: int, documents: int) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    stratum = rng.integers(0, documents, tokens) * 10**9
    burst = rng.random((documents, n)) < rng.uniform(0.05, 1, n)
    rate = rng.choice([0.0, 0.02, 0.3, 0.9, 1.0], n) * burst[stratum // 10**9]
    return stratum, rng.random((tokens, n)) < rate


def bounds(bound: LeastExpected, a: Array, b: Array) -> Array:
    """The bound of each pair, none dropped."""
    left, least = bound.reaching(a, b, lambda pairs, _least: np.zeros(len(pairs), np.bool_))
    assert left.tolist() == list(range(len(a)))
    return least


def some_pairs(rng: np.random.Generator, n: int) -> tuple[Array, Array]:
    a, b = np.triu_indices(n, 1)
    some = rng.random(len(a)) < rng.choice([0.05, 0.5, 1.0])
    return a[some].astype(np.int64), b[some].astype(np.int64)


@given(
    st.integers(0, 10**6),
    st.integers(1, 400),
    st.integers(2, 40),
    st.integers(1, 60),
    st.sampled_from([0.0, 0.05, 0.5, 2.0]),
    st.sampled_from([0.0, 1 / 28, 0.5, 2.0]),
    st.sampled_from([300, 3_000, LARGE]),
    st.sampled_from([1, 3, 1024]),
)
@settings(max_examples=40)
def test_it_is_below_e_and_near(  # every way of working it out
    seed: int, tokens: int, n: int, documents: int, busy: float, dense: float, memory: int, columns: int
) -> None:
    stratum, fires = text(seed, tokens, n, documents)
    a, b = some_pairs(np.random.default_rng(seed + 1), n)
    strata = counted(stratum, fires, memory)
    expected = expected_joint(strata, a, b, threads=1)[0] / ONE
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (("BUSY", busy), ("DENSE", dense), ("COLUMNS", columns)):
            patch.setattr(f"{MODULE}.{name}", value)
        bound = LeastExpected(strata)
        least = bounds(bound, a, b)
        again = bounds(bound, a[::2], b[::2])
        limit = np.median(expected) if len(a) else 0.0
        left, of_left = bound.reaching(a, b, lambda _pairs, found: found > limit)
    size = len(np.unique(stratum))
    assert (least <= expected).all()
    assert (least >= expected * (1 - 2 * (size + BESIDE) * ROUNDING) - 4 * size * TERM).all()
    np.testing.assert_allclose(again, least[::2], rtol=1e-5, atol=1e-9)
    # What is dropped has more, and what has more is dropped.
    assert (of_left <= limit).all()
    assert (np.delete(expected, left) > limit).all()
    np.testing.assert_allclose(of_left, least[left], rtol=1e-5, atol=1e-9)


def test_long_sums_are_cut_and_the_bound_stays_sharp(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{MODULE}.MOST_STRATA", 7)
    stratum, fires = text(3, 3000, 30, 200)
    strata = counted(stratum, fires)
    a, b = some_pairs(np.random.default_rng(4), 30)
    expected = expected_joint(strata, a, b)[0] / ONE
    least = bounds(LeastExpected(strata), a, b)
    assert (least <= expected).all()
    assert (least >= expected * (1 - 2 * (7 + BESIDE) * ROUNDING) - 800 * TERM).all()


def test_of_nothing() -> None:
    none = np.zeros(0, np.int64)
    for strata in (StratumCounter(4, work=None, memory=LARGE), counted(np.arange(3), np.zeros((3, 4), np.bool_))):
        assert bounds(LeastExpected(strata), none, none).tolist() == []
        assert bounds(LeastExpected(strata), np.array([0, 1]), np.array([3, 2])).tolist() == [0, 0]


@given(st.integers(0, 10**6), st.integers(1, 2**33 - 1), st.floats(-100, 100), st.floats(0, 1))
@settings(max_examples=100)
def test_no_pair_of_that_effect_is_dropped(seed: int, tokens: int, bound: float, share: float) -> None:
    rng = np.random.default_rng(seed)
    n_a, n_b = (np.maximum((tokens * rng.random(50) ** 3).astype(np.int64), 1) for _ in range(2))
    low, high = np.maximum(n_a + n_b - tokens, 0), np.minimum(n_a, n_b)
    joint = low + ((high - low) * rng.random(50)).astype(np.int64)
    expected = low + (high - low) * rng.random(50) ** 2
    log_odds = stratified_log_odds(joint, expected, n_a, n_b, tokens)
    for least in (expected, expected * share):
        assert may_reach(joint, least, n_a, n_b, tokens, bound)[log_odds >= bound].all()
    sharp = may_reach(joint, expected, n_a, n_b, tokens, bound)
    assert not sharp[log_odds < bound - 1e-7].any()
    # Where the bound is just what a pair has, it stays.
    for m in range(5):
        assert may_reach(joint, expected, n_a, n_b, tokens, float(log_odds[m]))[m]


def kept(capture: Any, **given_settings: Any) -> Any:
    count(capture, CountSettings(**given_settings))
    return read_table(capture, EDGES)


@pytest.mark.parametrize("seed", range(3))
def test_the_edges_are_those_of_all_pairs_that_pass(seed: int, tmp_path: Path) -> None:
    """What is dropped unseen is what the rule would have dropped: values, q among them, are equal to the bit."""
    capture = make_capture(tmp_path, random_arrays(400 + seed, tokens=3000, documents=30))
    for rule in ({}, {"min_log_odds": 0.2, "min_count": 5}, {"min_log_odds": -100.0, "fdr": 0.2}):
        every = kept(capture, edges="all", **rule).to_pandas()
        edges = kept(capture, **rule).to_pandas()
        limits = CountSettings(**rule)
        passing = (every["count"] >= limits.min_count) & (every["q"] <= limits.fdr)
        passing &= every["log_odds"] >= limits.min_log_odds
        # These are made of what passes.
        later = ["magnitude_r", "direct", "direct_log_odds", "direct_log_odds_se", "explained_by"]
        wanted = every[passing].reset_index(drop=True).drop(columns=later)
        assert len(wanted)
        assert edges.drop(columns=later).equals(wanted)
        figures = table_infos(capture)["edges"].figures
        assert figures["pairs_frequent"] == (every["count"] >= limits.min_count).sum()
        assert figures["pairs_strong"] >= figures["pairs_passing"] == len(wanted)


def test_memory_pieces_and_ways_change_no_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(8)
    rows = [
        dict.fromkeys(sorted({*rng.choice(80, 12, replace=False).tolist(), *([70, 71, 72] * (t % 3 == 0))}), 1.0)
        for t in range(4000)
    ]
    arrays = arrays_of(rows, 80, doc=np.arange(4000) // 50)
    one = make_capture(tmp_path / "one", arrays)
    count(one, CountSettings())
    wanted = (one.tables / "edges.parquet").read_bytes()
    assert read_table(one, EDGES).num_rows >= 3
    for number, (name, value, memory) in enumerate(
        (
            (f"{MODULE}.BUSY", 2.0, LARGE),
            (f"{MODULE}.DENSE", 2.0, LARGE),
            (f"{MODULE}.COLUMNS", 3, 20_000),
            (f"{MODULE}.MOST_STRATA", 5, LARGE),
            ("cofire.ingest.edges.candidates.PAIRS_AT_ONCE", 7, 20_000),
        )
    ):
        with monkeypatch.context() as patch:
            patch.setattr(name, value)
            patch.setattr("cofire.ingest.import_activations.ROWS_PER_SHARD", 300 + number)
            again = make_capture(tmp_path / str(number), arrays)
            count(again, CountSettings(memory=memory))
        assert (again.tables / "edges.parquet").read_bytes() == wanted, name
