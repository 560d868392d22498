"""Strata and the joint firings they predict, against exact fractions, for any split, order, memory and merge."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from cofire.common.arrays import Array
from cofire.errors import CaptureError, InputError
from cofire.ingest.edges.expected import ONE, expected_joint
from cofire.ingest.pairs import strata as strata_module
from cofire.ingest.pairs.strata import Strata, StratumCounter, token_strata

LARGE = 10**9


def csr(fires: Array) -> tuple[Array, Array]:
    matrix = sp.csr_array(fires)
    return matrix.indptr.astype(np.int64), matrix.indices.astype(np.int32)


def text(rng: np.random.Generator, tokens: int, n: int, documents: int) -> tuple[Array, Array]:
    """Strata in any order, and firings [T, n] whose rates differ between latents; some latents may be silent."""
    stratum = rng.integers(-3, documents, tokens) * 10**12
    return stratum, rng.random((tokens, n)) < rng.choice([0.0, 0.02, 0.3, 0.9, 1.0], n)


def counted(parts: list[tuple[Array, Array]], n: int, work: Path | None = None, memory: int = LARGE) -> StratumCounter:
    counter = StratumCounter(n, work=work, memory=memory)
    for stratum, fires in parts:
        counter.add(stratum, *csr(fires))
    return counter


def as_dict(counter: StratumCounter) -> dict[tuple[int, int], int]:
    """(stratum, latent) -> s, and (stratum, -1) -> L, checked for order and uniqueness on the way."""
    found: dict[tuple[int, int], int] = {}
    last = np.iinfo(np.int64).min
    for chunk in counter.chunks():
        for d, key in enumerate(chunk.keys.tolist()):
            assert key > last
            last = key
            found[key, -1] = int(chunk.tokens[d])
            low, high = chunk.indptr[d], chunk.indptr[d + 1]
            assert (np.diff(chunk.latents[low:high]) > 0).all()
            for latent, count in zip(chunk.latents[low:high].tolist(), chunk.counts[low:high].tolist(), strict=True):
                found[key, latent] = count
    return found


def brute_counts(stratum: Array, fires: Array) -> dict[tuple[int, int], int]:
    truth: dict[tuple[int, int], int] = {}
    for key in np.unique(stratum).tolist():
        truth[key, -1] = int((stratum == key).sum())
        for latent, count in enumerate(fires[stratum == key].sum(axis=0).tolist()):
            if count:
                truth[key, latent] = count
    return truth


def brute_moments(stratum: Array, fires: Array, a: int, b: int) -> tuple[Fraction, Fraction]:
    mean, variance = Fraction(0), Fraction(0)
    for key in np.unique(stratum):
        rows = fires[stratum == key]
        L, s, t = len(rows), int(rows[:, a].sum()), int(rows[:, b].sum())
        mean += Fraction(s * t, L)
        if L > 1:
            variance += Fraction(s * (L - s) * t * (L - t), L * L * (L - 1))
    return mean, variance


def all_pairs(n: int) -> tuple[Array, Array]:
    a, b = np.triu_indices(n, 1)
    return a.astype(np.int64), b.astype(np.int64)


@given(st.integers(0, 10**6), st.integers(1, 120), st.integers(2, 9), st.integers(1, 30))
@settings(max_examples=60)
def test_moments_equal_exact_fractions(seed: int, tokens: int, n: int, documents: int) -> None:
    stratum, fires = text(np.random.default_rng(seed), tokens, n, documents)
    a, b = all_pairs(n)
    expected, variance = expected_joint(counted([(stratum, fires)], n), a, b, threads=1)
    assert expected.dtype == variance.dtype == np.int64
    strata = len(np.unique(stratum))
    for m in range(len(a)):
        mean, spread = brute_moments(stratum, fires, int(a[m]), int(b[m]))
        assert abs(int(expected[m]) - mean * 2**30) <= strata * (Fraction(1, 2) + Fraction(1, 1000))
        assert abs(int(variance[m]) - spread * 2**30) <= strata * (Fraction(1, 2) + Fraction(1, 1000))


@pytest.mark.parametrize("memory", [400, 2_000, 8_000, LARGE])
@pytest.mark.parametrize("spill", [True, False])
def test_neither_splits_nor_order_nor_memory_nor_threads_change_a_unit(
    memory: int, spill: bool, tmp_path: Path
) -> None:
    rng = np.random.default_rng(4)
    n = 25
    stratum, fires = text(rng, 200, n, 20)
    a, b = all_pairs(n)
    some = np.sort(rng.choice(len(a), 60, replace=False))
    whole = expected_joint(counted([(stratum, fires)], n), a, b, threads=1)
    order = rng.permutation(200)
    parts = [(stratum[part], fires[part]) for part in np.array_split(order, 13)]
    with counted(parts, n, tmp_path if spill else None, memory) as counter:
        assert as_dict(counter) == brute_counts(stratum, fires)
        assert bool(list(tmp_path.iterdir())) == (spill and memory <= 8_000)
        for threads in (1, 3):
            for at in (np.arange(len(a)), some):
                again = expected_joint(counter, a[at], b[at], threads=threads)
                np.testing.assert_array_equal(again[0], whole[0][at])
                np.testing.assert_array_equal(again[1], whole[1][at])
    assert not list(tmp_path.iterdir())


def test_both_ways_of_adding_terms_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(5)
    stratum, fires = text(rng, 3000, 30, 6)
    counter = counted([(stratum, fires)], 30)
    a, b = all_pairs(30)
    results = []
    for by_row, by_partner in ((0.0, 1.0), (1.0, 0.0)):
        monkeypatch.setattr(
            "cofire.ingest.edges.expected._steps",
            lambda arrays, *_rest, x=by_row, y=by_partner: (
                np.full(len(arrays[3]) - 1, x),
                np.full(len(arrays[3]) - 1, y),
            ),
        )
        results.append(expected_joint(counter, a, b))
    np.testing.assert_array_equal(results[0], results[1])
    assert results[0][0].any()


@pytest.mark.parametrize("seed", range(16))
def test_counters_merge_in_any_tree(seed: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    stratum, fires = text(rng, 100, 6, 8)
    # Documents are cut in the middle, as between machines.
    parts = [(stratum[part], fires[part]) for part in np.array_split(np.arange(100), 1 + seed % 8)]
    counters = [counted([part], 6, tmp_path, int(rng.choice([400, 2_000, LARGE]))) for part in parts]
    while len(counters) > 1:
        one, other = (counters.pop(rng.integers(len(counters))) for _ in range(2))
        before = as_dict(other)
        one.merge(other)
        assert as_dict(other) == before
        other.close()
        counters.append(one)
    assert counters[0].tokens == 100
    assert as_dict(counters[0]) == brute_counts(stratum, fires)
    a, b = all_pairs(6)
    merged, whole = (expected_joint(c, a, b, threads=1) for c in (counters[0], counted([(stratum, fires)], 6)))
    np.testing.assert_array_equal(merged, whole)
    counters[0].close()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("memory", [1, LARGE])
def test_a_saved_counter_goes_on(memory: int, tmp_path: Path) -> None:
    stratum, fires = text(np.random.default_rng(6), 300, 7, 20)
    first = counted([(stratum[:150], fires[:150])], 7, tmp_path, memory)
    first.save(tmp_path / "saved")
    again = StratumCounter.load(tmp_path / "saved", work=tmp_path, memory=memory)
    assert (again.tokens, again.n_latents) == (150, 7)
    again.add(stratum[150:], *csr(fires[150:]))
    assert as_dict(again) == brute_counts(stratum, fires)
    assert as_dict(first) == brute_counts(stratum[:150], fires[:150])


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    stratum, fires = text(np.random.default_rng(6), 300, 7, 20)
    path = tmp_path / "saved"
    counted([(stratum, fires)], 7).save(path)
    whole = path.read_bytes()
    for damaged in (b"", b"no counter", whole[:-10], whole[: len(whole) // 2], whole[:300]):
        path.write_bytes(damaged)
        with pytest.raises(CaptureError, match="saved cannot be read"):
            StratumCounter.load(path, work=None, memory=LARGE)
    other = StratumCounter(7, work=None, memory=LARGE)
    other._append(Strata(*(np.array(x) for x in ([1], [1], [0, 1])), np.array([7], np.int32), np.array([1], np.int32)))
    other.save(path)
    with pytest.raises(CaptureError, match="a latent outside"):
        StratumCounter.load(path, work=None, memory=LARGE)


def test_strata_of_one_token_are_in_the_mean_and_not_in_the_variance() -> None:
    # Five tokens, each its own document: O is fixed, so E = O = 2 and V = 0.
    fires = np.array([[1, 1], [1, 1], [1, 0], [0, 1], [0, 0]], bool)
    expected, variance = expected_joint(counted([(np.arange(5), fires)], 2), np.array([0]), np.array([1]))
    assert (expected[0] / ONE, variance[0]) == (2, 0)


def test_by_hand() -> None:
    # One document of 4 tokens (2 and 3 firings), one of 2 (1 and 1).
    fires = np.array([[1, 1], [1, 1], [0, 1], [0, 0], [1, 0], [0, 1]], bool)
    stratum = np.array([5, 5, 5, 5, 9, 9])
    expected, variance = expected_joint(counted([(stratum, fires)], 2), np.array([0]), np.array([1]))
    assert expected[0] / ONE == 2 * 3 / 4 + 1 / 2
    assert variance[0] / ONE == 2 * 2 * 3 * 1 / (16 * 3) + 1 / 4


def test_empty_rows_empty_adds_and_no_pairs() -> None:
    counter = counted([(np.zeros(0, np.int64), np.zeros((0, 3), bool)), (np.array([4, 4]), np.zeros((2, 3), bool))], 3)
    assert as_dict(counter) == {(4, -1): 2}
    none = np.zeros(0, np.int64)
    assert [len(x) for x in expected_joint(counter, none, none)] == [0, 0]
    assert [x.tolist() for x in expected_joint(counter, np.array([0]), np.array([2]))] == [[0], [0]]
    assert list(StratumCounter(3, work=None, memory=LARGE).chunks()) == []


def test_a_wide_counter_sorts_what_a_narrow_one_scans() -> None:
    rng = np.random.default_rng(7)
    n = 200_000
    assert n > 40 * strata_module.SORT_STEPS
    latents = np.sort(rng.choice(n, (30, 4), replace=False), axis=1).astype(np.int32)
    counter = StratumCounter(n, work=None, memory=LARGE)
    counter.add(np.repeat([1, 2, 3], 10), np.arange(0, 121, 4), latents.ravel())
    truth = {(d, int(latent)): 1 for d in (1, 2, 3) for latent in latents[10 * d - 10 : 10 * d].ravel()}
    assert as_dict(counter) == truth | {(d, -1): 10 for d in (1, 2, 3)}


def test_what_does_not_fit_together_is_refused() -> None:
    counter = StratumCounter(3, work=None, memory=LARGE)
    one = np.array([1])
    for indptr, indices in [([0, 1], [3]), ([0, 1], [-1]), ([0, 2], [1]), ([1, 1], [1]), ([0], [])]:
        with pytest.raises(ValueError, match=r"fit together|outside"):
            counter.add(one, np.array(indptr), np.array(indices, np.int32))
    with pytest.raises(ValueError, match="as many latents"):
        counter.merge(StratumCounter(4, work=None, memory=LARGE))
    with pytest.raises(ValueError, match="as many latents"):
        counter.merge(counter)
    assert counter.tokens == 0
    for a, b in [([1], [1]), ([1], [0]), ([-1], [0]), ([0], [3]), ([0, 0], [2, 1]), ([0, 0], [1, 1]), ([0], [1, 2])]:
        with pytest.raises(ValueError, match="candidate pairs"):
            expected_joint(counter, np.array(a), np.array(b))


def doubled(strata: int, times: int) -> StratumCounter:
    """Counters of 2^times tokens in each stratum, by doubling."""
    counter = counted([(np.arange(strata), np.ones((strata, 2), bool))], 2)
    for _ in range(times):
        other = StratumCounter(2, work=None, memory=LARGE)
        other.merge(counter)
        counter.merge(other)
        (chunk,) = counter.chunks()
        counter = StratumCounter(2, work=None, memory=LARGE)
        counter._grow(int(chunk.tokens.sum()))
        counter._append(chunk)
    return counter


def test_up_to_2_to_the_33_tokens_are_exact_and_more_are_refused() -> None:
    counter = doubled(7, 30)
    assert counter.tokens == 7 * 2**30
    expected, variance = expected_joint(counter, np.array([0]), np.array([1]))
    # Both fire always: E = T, in units of 2^-30 just below 2^63.
    assert (int(expected[0]), int(variance[0])) == (7 * 2**60, 0)
    more = doubled(1, 30)
    with pytest.raises(InputError, match=r"2\^33 tokens"):
        counter.merge(more)
    assert counter.tokens == 7 * 2**30
    with pytest.raises(InputError, match=r"a document of 2\^31 tokens"):
        doubled(1, 31)


def test_counts_are_views_of_whole_rows() -> None:
    whole = Strata(
        np.arange(3), np.ones(3, np.int64), np.array([0, 2, 2, 5]), np.arange(5, dtype=np.int32), np.ones(5, np.int32)
    )
    part = whole.rows(1, 3)
    assert (part.indptr.tolist(), part.latents.tolist()) == ([0, 0, 3], [2, 3, 4])


def test_token_strata() -> None:
    document, token = np.array([0, 0, 2, 2], np.int32), np.array([7, 3, 9, -1], np.int32)
    # The classes are 9, 3 and other.
    assert token_strata(document, token, np.array([9, 3], np.int32)).tolist() == [2, 1, 6, 8]
    assert token_strata(document, token, np.zeros(0, np.int32)).tolist() == [0, 0, 2, 2]
    far = token_strata(np.array([2**31 - 1], np.int32), np.array([1], np.int32), np.arange(50_000, dtype=np.int32))
    assert far.tolist() == [(2**31 - 1) * 50_001 + 1]
    with pytest.raises(ValueError, match="twice"):
        token_strata(document, token, np.array([3, 9, 3], np.int32))


def test_many_runs_on_the_disk_are_made_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cofire.ingest.pairs.strata.MAX_RUNS", 3)
    rng = np.random.default_rng(5)
    spilling, whole = StratumCounter(30, work=tmp_path, memory=2000), StratumCounter(30, work=None, memory=2000)
    for _ in range(60):
        fires = rng.random((20, 30)) < 0.2
        indptr = np.concatenate([[0], np.cumsum(fires.sum(axis=1))]).astype(np.int64)
        indices = np.nonzero(fires)[1].astype(np.int32)
        stratum = np.sort(rng.integers(0, 40, 20)).astype(np.int64)
        spilling.add(stratum, indptr, indices)
        whole.add(stratum, indptr, indices)
        assert len({path.name.split("-")[0] for path in tmp_path.rglob("*-0")}) < 4
    spilling.save(tmp_path / "a")
    whole.save(tmp_path / "b")

    def rows(counter: StratumCounter) -> list[tuple[int, int, list[int], list[int]]]:
        return [
            (int(key), int(tokens), chunk.latents[low:high].tolist(), chunk.counts[low:high].tolist())
            for chunk in counter.chunks()
            for key, tokens, low, high in zip(
                chunk.keys, chunk.tokens, chunk.indptr[:-1], chunk.indptr[1:], strict=True
            )
        ]

    assert len(rows(whole)) == 40
    assert rows(spilling) == rows(whole)
    spilling.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]
