"""What a latent does given another, against brute force in numpy, and on pairs whose magnitudes are planted."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cofire.common.arrays import Array, Bools, Floats, Ints32, Singles
from cofire.common.files import write_parquet
from cofire.ingest.capture_dir.shard import Shard
from cofire.ingest.edges import conditionals
from cofire.ingest.edges.conditionals import (
    BYTES_OF_STATE,
    BYTES_OF_TABLE,
    MAX_TOKENS,
    SCHEMA,
    ConditionalCounter,
    edge_blocks,
    join_blocks,
)
from plain_bins import aligned_bins

Edges = tuple[Ints32, Ints32]


def shard_of(activations: Array) -> Shard:
    """Return dense activations [R, N], 0 where a latent is off, as a shard."""
    fires = activations > 0
    rows = len(activations)
    zeros = np.zeros(rows, np.int32)
    indptr = np.concatenate([[0], np.cumsum(fires.sum(axis=1))]).astype(np.int64)
    indices = np.nonzero(fires)[1].astype(np.int32)
    return Shard(zeros, np.arange(rows, dtype=np.int32), zeros, indptr, indices, activations[fires].astype(np.float32))


def world(seed: int, rows: int = 300, n: int = 11) -> tuple[Singles, dict[str, Floats]]:
    """Return random activations [rows, n] of very different scales, some latents dead, always on or without mu."""
    rng = np.random.default_rng(seed)
    share = rng.choice([0.0, 0.01, 0.2, 0.5, 1.0], n, p=[0.1, 0.1, 0.3, 0.4, 0.1])
    size = 10.0 ** rng.uniform(-6, 6, n)
    values = (rng.lognormal(0, rng.uniform(0, 1.5, n), (rows, n)) * size).astype(np.float32)
    activations = np.where(rng.random((rows, n)) < share, values, np.float32(0))
    high = activations.max(axis=0, initial=0).astype(np.float64)
    threshold = rng.choice([0.0, 0.3], n) * size
    mu = np.where(rng.random(n) < 0.2, np.nan, threshold + rng.uniform(0.1, 2, n) * size)
    main_low = np.where(rng.random(n) < 0.2, np.nan, rng.uniform(0, 2, n) * size)
    return activations, {"threshold": threshold, "mu": mu, "main_low": main_low, "high": high}


def some_edges(seed: int, n: int, share: float) -> Edges:
    rng = np.random.default_rng(seed)
    a, b = np.nonzero(np.triu(rng.random((n, n)) < share, 1))
    return a.astype(np.int32), b.astype(np.int32)


def counted(parts: list[Array], edges: Edges, known: dict[str, Floats], **more: Any) -> ConditionalCounter:
    counter = ConditionalCounter(len(known["mu"]), *edges, **known, **more)
    for part in parts:
        counter.add(shard_of(part))
    return counter


def brute_row(activations: Array, i: int, j: int, known: dict[str, Floats]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what one row of the table must hold: what is exact, and what is rounded."""
    x, y = activations[:, i].astype(np.float64), activations[:, j].astype(np.float64)
    theta, mu, low_i, low_j = known["threshold"][i], known["mu"][i], known["main_low"][i], known["main_low"][j]
    on, off = (x > 0) & (y > 0), (x > 0) & (y <= 0)
    main = on & (y >= low_j)

    def histogram(rows: Bools) -> list[int]:
        bins = aligned_bins(x[rows], np.full(rows.sum(), theta), np.full(rows.sum(), mu))
        return np.bincount(bins // 4, minlength=64).tolist()

    def mean(rows: Bools) -> float | None:
        return float(x[rows].mean()) if rows.any() else None

    # Three tokens of nearly equal small values: what is left of their differences in fixed point decides.
    u, v = (np.rint(np.ldexp(z[on], 28 - np.frexp(known["high"][k])[1])).astype(np.int64) for z, k in ((x, i), (y, j)))
    varies = on.sum() >= 3 and np.ptp(u) > 0 and np.ptp(v) > 0
    exact = {
        "count_off": int(off.sum()),
        "count_on": int(on.sum()),
        "count_main": None if np.isnan(low_j) else int(main.sum()),
        "count_both_main": None if np.isnan(low_j) or np.isnan(low_i) else int((main & (x >= low_i)).sum()),
        "histogram_on": None if np.isnan(mu) else histogram(on),
        "histogram_main": None if np.isnan(mu) or np.isnan(low_j) else histogram(main),
    }
    rounded = {
        "mean_off": mean(off),
        "mean_on": mean(on),
        "mean_main": None if np.isnan(low_j) else mean(main),
        "magnitude_r": float(np.corrcoef(u - u[0], v - v[0])[0, 1]) if varies else None,
    }
    return exact, rounded


def check(table: pa.Table, activations: Array, edges: Edges, known: dict[str, Floats]) -> None:
    assert table.schema == SCHEMA
    rows = table.to_pylist()
    both = list(zip(*[e.tolist() for e in edges], strict=True))
    assert [(row["latent"], row["given"]) for row in rows] == sorted(both + [(b, a) for a, b in both])
    for row in rows:
        exact, rounded = brute_row(activations, row["latent"], row["given"], known)
        assert {name: row[name] for name in exact} == exact
        largest = known["high"][row["latent"]]
        for name, value in rounded.items():
            if value is None:
                assert row[name] is None, name
            elif name == "magnitude_r":
                assert row[name] == pytest.approx(value, abs=1e-6)
            else:
                # At most half a step of the fixed point, and the rounding of numpy's mean.
                assert row[name] == pytest.approx(value, rel=1e-12, abs=largest * 2.0**-28), name


@given(st.integers(0, 10**6), st.integers(0, 300), st.integers(1, 6), st.sampled_from([0.0, 0.1, 0.6, 1.0]))
@settings(max_examples=60)
def test_equal_to_brute_force_however_it_is_split_and_merged(seed: int, rows: int, cuts: int, share: float) -> None:
    activations, known = world(seed, rows)
    edges = some_edges(seed, len(known["mu"]), share)
    whole = counted([activations], edges, known, threads=2).table()
    check(whole, activations, edges, known)
    parts = np.array_split(activations, cuts)
    np.random.default_rng(seed).shuffle(parts)
    assert counted(parts, edges, known, threads=1).table().equals(whole)
    merged, *others = [counted([part], edges, known, threads=1) for part in parts]
    for other in others:
        merged.merge(other)
    assert merged.table().equals(whole)
    assert merged.tokens == rows


@pytest.mark.parametrize("memory", [1, 4 * (BYTES_OF_STATE + BYTES_OF_TABLE), 10**9])
def test_blocks_of_edges_make_the_same_table(tmp_path: Path, memory: int) -> None:
    activations, known = world(7)
    a, b = some_edges(7, len(known["mu"]), 0.5)
    blocks = edge_blocks(len(a), memory)
    assert len(blocks) == {1: len(a), 10**9: 1}.get(memory, -(-len(a) // 4))
    tables = [counted([activations], (a[low:stop], b[low:stop]), known).table() for low, stop in blocks]
    whole = counted([activations], (a, b), known).table()
    assert join_blocks(tables).equals(whole)
    # As count keeps them between passes.
    for number, table in enumerate(tables):
        write_parquet(tmp_path / f"{number}.parquet", table)
    assert join_blocks([pq.read_table(tmp_path / f"{number}.parquet") for number in range(len(tables))]).equals(whole)


def test_no_edges() -> None:
    activations, known = world(3)
    assert edge_blocks(0, 10**9) == []
    assert join_blocks([]).equals(counted([activations], some_edges(0, 11, 0.0), known).table())


def test_small_slabs_and_buffers_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    activations, known = world(5, rows=400)
    edges = some_edges(5, len(known["mu"]), 0.8)
    whole = counted([activations], edges, known).table()
    monkeypatch.setattr(conditionals, "SLAB", 100)
    monkeypatch.setattr(conditionals, "EXACT_AT_ONCE", 3)
    assert counted(np.array_split(activations, 37), edges, known).table().equals(whole)


def test_more_firings_than_one_buffer_holds() -> None:
    # Latent 0 and nine partners fire on 20,000 tokens: 180,000 joint firings are noted, and a buffer holds 65,536.
    rng = np.random.default_rng(2)
    activations = rng.uniform(0.5, 1, (20_000, 10)).astype(np.float32)
    known = {"threshold": np.zeros(10), "mu": np.full(10, 0.7), "main_low": np.full(10, 0.8)}
    known["high"] = activations.max(axis=0).astype(np.float64)
    edges = np.zeros(9, np.int32), np.arange(1, 10, dtype=np.int32)
    check(counted([activations], edges, known, threads=2).table(), activations, edges, known)


def test_a_token_longer_than_a_buffer() -> None:
    n = 70_000
    rng = np.random.default_rng(4)
    activations = rng.uniform(0.5, 1, (4, n)).astype(np.float32)
    known = {"threshold": np.zeros(n), "mu": np.full(n, 0.7), "main_low": np.full(n, 0.8), "high": np.ones(n)}
    edges = np.zeros(n - 1, np.int32), np.arange(1, n, dtype=np.int32)
    table = counted([activations], edges, known, threads=1).table()
    assert table.column("count_on").to_numpy().min() == 4
    first = table.slice(0, 3)
    for row in first.to_pylist():
        exact, rounded = brute_row(activations, 0, row["given"], known)
        assert {name: row[name] for name in exact} == exact
        assert row["magnitude_r"] == pytest.approx(rounded["magnitude_r"], abs=1e-6)


def test_a_low_peak_when_the_other_is_in_its_main_peak() -> None:
    # Latent 0 lies at 2 when latent 1 is in its main peak (about 10), and at 8 when 1 is off or low (about 1).
    rng = np.random.default_rng(11)
    rows = 6000
    state = rng.integers(0, 3, rows)
    other = np.choose(state, [np.zeros(rows), rng.normal(1, 0.1, rows), rng.normal(10, 0.5, rows)])
    own = np.where(state == 2, rng.normal(2, 0.1, rows), rng.normal(8, 0.4, rows))
    activations = np.stack([own, other], axis=1)
    known = {
        "threshold": np.zeros(2),
        "mu": np.array([8.0, 10.0]),
        "main_low": np.array([6.0, 7.0]),
        "high": activations.astype(np.float32).max(axis=0).astype(np.float64),
    }
    row = counted([activations], (np.array([0], np.int32), np.array([1], np.int32)), known).table().to_pylist()[0]
    main, on = np.array(row["histogram_main"]), np.array(row["histogram_on"])
    # u = 2/8 is bin 4, u = 8/8 bin 16.
    assert main.sum() == row["count_main"] == (state == 2).sum()
    assert main[:8].sum() == main.sum()
    assert on[:8].sum() == main.sum()
    assert on[8:].sum() == (state == 1).sum()
    assert row["count_off"] == (state == 0).sum()
    assert row["count_both_main"] == 0
    assert row["mean_main"] == pytest.approx(2, abs=0.02)
    assert row["mean_off"] == pytest.approx(8, abs=0.05)


@pytest.mark.parametrize("r", [-0.8, 0.0, 0.6])
def test_planted_correlation_of_magnitudes(r: float) -> None:
    rng = np.random.default_rng(int(10 * r) + 100)
    pair = rng.multivariate_normal([6, 9], [[1, 1.5 * r], [1.5 * r, 2.25]], 20_000)
    activations = np.maximum(pair, 0.01)
    activations[::3, 0] = 0
    activations[1::7, 1] = 0
    known = {"threshold": np.zeros(2), "mu": np.array([6.0, 9.0]), "main_low": np.array([3.0, 5.0])}
    known["high"] = activations.astype(np.float32).max(axis=0).astype(np.float64)
    edge = np.array([0], np.int32), np.array([1], np.int32)
    counter = counted([activations], edge, known)
    # Four standard errors, 1 / sqrt(n).
    assert counter.magnitude_r()[0] == pytest.approx(r, abs=0.035)
    assert counter.table().column("magnitude_r").to_pylist() == [counter.magnitude_r()[0]] * 2


def test_correlation_is_exact_where_numbers_nearly_cancel() -> None:
    # Spread of 1e-4 about 100: sums of squares in float64 keep few digits of it. The outliers set the scale.
    rng = np.random.default_rng(8)
    x = (100 + 1e-4 * rng.normal(size=(5000, 2)) @ np.array([[1.0, 0.5], [0.0, 0.8]])).astype(np.float32)
    spike = np.array([[2000.0, 0.0], [0.0, 2000.0]], np.float32)
    known = {
        "threshold": np.zeros(2),
        "mu": np.full(2, 100.0),
        "main_low": np.full(2, 50.0),
        "high": np.full(2, 2000.0),
    }
    edge = np.array([0], np.int32), np.array([1], np.int32)
    found = counted([x, spike], edge, known).magnitude_r()[0]
    assert found == pytest.approx(np.corrcoef(x[:, 0].astype(np.float64), x[:, 1].astype(np.float64))[0, 1], abs=1e-9)


def test_no_correlation_of_two_tokens_or_without_spread() -> None:
    activations = np.array([[1, 2, 5], [2, 3, 5], [3, 0, 5]], np.float32)
    known = {"threshold": np.zeros(3), "mu": np.ones(3), "main_low": np.ones(3), "high": np.full(3, 5.0)}
    edges = np.array([0, 0, 1], np.int32), np.array([1, 2, 2], np.int32)
    assert np.isnan(counted([activations], edges, known).magnitude_r()).all()
    third = np.array([[4, 4, 5]], np.float32)
    r = counted([activations, third], edges, known).magnitude_r()
    assert r[0] == pytest.approx(np.corrcoef([1, 2, 4], [2, 3, 4])[0, 1])
    assert np.isnan(r[1:]).all()


def test_bins_are_four_of_the_latents_histogram() -> None:
    # An always-on partner: histogram_on is the latent's whole aligned histogram, four bins added.
    rng = np.random.default_rng(9)
    x = rng.gamma(2, 1, 5000).astype(np.float32)
    activations = np.stack([x, np.ones(5000, np.float32)], axis=1)
    known = {"threshold": np.array([0.4, 0.0]), "mu": np.array([1.3, 1.0]), "main_low": np.array([1.0, np.nan])}
    known["high"] = np.array([x.max(), 1.0], np.float64)
    row = counted([activations], (np.array([0], np.int32), np.array([1], np.int32)), known).table().to_pylist()[0]
    bins = aligned_bins(x.astype(np.float64), np.full(5000, 0.4), np.full(5000, 1.3))
    fine = np.bincount(bins, minlength=256)
    assert row["histogram_on"] == fine.reshape(64, 4).sum(axis=1).tolist()
    assert row["histogram_main"] is row["count_main"] is row["mean_main"] is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"a": np.array([1], np.int32)}, "a < b"),
        ({"a": np.array([-1], np.int32)}, "a < b"),
        ({"b": np.array([3], np.int32)}, "a < b"),
        ({"a": np.zeros(2, np.int32), "b": np.ones(2, np.int32)}, "none twice"),
        ({"a": np.zeros(2, np.int32)}, "equally long"),
        ({"high": np.ones(2)}, "high must have one value"),
        ({"mu": np.zeros(3)}, "above the threshold"),
        ({"n_latents": 0}, "n_latents"),
        ({"n_latents": 2**20 + 1}, "n_latents"),
    ],
)
def test_wrong_arguments(change: dict[str, Any], words: str) -> None:
    good: dict[str, Any] = {"n_latents": 3, "a": np.zeros(1, np.int32), "b": np.ones(1, np.int32)}
    good |= {"threshold": np.zeros(3), "mu": np.ones(3), "main_low": np.ones(3), "high": np.ones(3)}
    ConditionalCounter(**good)
    with pytest.raises(ValueError, match=words):
        ConditionalCounter(**good | change)


@pytest.mark.parametrize(
    ("indices", "values"),
    [([1, 0], [1, 1]), ([0, 0], [1, 1]), ([0, 3], [1, 1]), ([-1, 1], [1, 1])]
    + [([0, 1], [1, bad]) for bad in (0, -1, 1.5, np.nan, np.inf)],
)
def test_firings_against_the_contract_are_refused(indices: list[int], values: list[float]) -> None:
    known = {"threshold": np.zeros(3), "mu": np.ones(3), "main_low": np.ones(3), "high": np.ones(3)}
    counter = counted([], (np.zeros(1, np.int32), np.ones(1, np.int32)), known)
    zero = np.zeros(1, np.int32)
    shard = Shard(zero, zero, zero, np.array([0, 2]), np.array(indices, np.int32), np.array(values, np.float32))
    with pytest.raises(ValueError, match="of a shard"):
        counter.add(shard)


def test_only_like_counters_merge_and_only_so_many_tokens() -> None:
    activations, known = world(1)
    edges = some_edges(1, 11, 0.5)
    counter = counted([activations], edges, known)
    with pytest.raises(ValueError, match="different edges"):
        counter.merge(counted([], some_edges(2, 11, 0.5), known))
    with pytest.raises(ValueError, match="different edges"):
        counter.merge(counted([], edges, known | {"main_low": known["main_low"] + 1}))
    other = counted([], edges, known)
    other.tokens = MAX_TOKENS
    with pytest.raises(ValueError, match="at most"):
        counter.merge(other)
    with pytest.raises(ValueError, match="at most"):
        other.add(shard_of(activations))


def test_counts_of_two_billion_tokens() -> None:
    # One block merged with itself 2^21 times over: the sums of products pass 2^63.
    activations, known = world(6, rows=1000, n=4)
    edges = some_edges(0, 4, 1.0)
    small, big = counted([activations], edges, known), counted([activations], edges, known)
    for _ in range(21):
        big.merge(big)
    assert big.tokens == 1000 * 2**21
    for one, many in zip(small.table().to_pylist(), big.table().to_pylist(), strict=True):
        assert many["count_on"] == one["count_on"] << 21
        assert many["histogram_on"] == (one["histogram_on"] and [k << 21 for k in one["histogram_on"]])
        assert many["mean_on"] == one["mean_on"]
        assert many["magnitude_r"] == one["magnitude_r"] or one["count_on"] < 3


def test_memory_stays_within_its_bound() -> None:
    rng = np.random.default_rng(0)
    n, rows = 1200, 400
    activations = np.where(rng.random((rows, n)) < 0.05, rng.uniform(0.1, 1, (rows, n)), 0).astype(np.float32)
    a, b = np.triu_indices(n, 1)
    known = {"threshold": np.zeros(n), "mu": np.full(n, 0.7), "main_low": np.full(n, 0.6), "high": np.ones(n)}
    bound = 64 * 1024**2
    low, stop = edge_blocks(len(a), bound)[0]
    edges = a[low:stop].astype(np.int32), b[low:stop].astype(np.int32)
    shard = shard_of(activations)
    tracemalloc.start()
    try:
        counter = ConditionalCounter(n, *edges, **known, threads=2)
        counter.add(shard)
        table = counter.table()
        peak = tracemalloc.get_traced_memory()[1] + table.nbytes
    finally:
        tracemalloc.stop()
    # Besides the block: the slab, its places, a latent's 100 bytes.
    assert peak < bound + 12 * conditionals.SLAB + 100 * n
