"""p, q, log odds and z against brute force, hand-worked numbers, and simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import false_discovery_control

from cofire.common.arrays import Array
from cofire.ingest.edges.significance import (
    LARGE,
    benjamini_hochberg,
    log_odds_error,
    poisson_tail,
    stratified_log_odds,
    z_score,
)


def tail_by_summing(k: int, mean: float) -> float:
    """P(Poisson(mean) >= k), term after term from k upwards."""
    first = math.exp(k * math.log(mean) - mean - math.lgamma(k + 1))
    more = np.cumsum(np.log(mean) - np.log(k + np.arange(1.0, 60 * math.sqrt(k) + 200)))
    return first * (1 + float(np.exp(more).sum()))


@given(st.integers(1, 400), st.floats(1e-6, 1))
@settings(max_examples=200)
def test_the_tail_is_the_poissons(k: int, share: float) -> None:
    mean = (k - 1) * share
    p = poisson_tail(np.array([k]), np.array([mean]))[0]
    if mean > 0:
        assert p == pytest.approx(tail_by_summing(k, mean), rel=1e-9)
    else:
        assert p == 0


@pytest.mark.parametrize("k", [LARGE - 1, LARGE, 10**6, 10**8])
@pytest.mark.parametrize("deviations", [0.5, 1, 5, 6.5, 20])
def test_the_tail_holds_at_large_counts(k: int, deviations: float) -> None:
    mean = k - deviations * math.sqrt(k)
    # math.lgamma is good to 1e-16 of k ln k, which the exponential makes 1e-16 k ln k of p.
    close = max(1e-6, 4e-16 * k * math.log(k))
    assert poisson_tail(np.array([k]), np.array([mean]))[0] == pytest.approx(tail_by_summing(k, mean), rel=close)


def test_both_formulas_of_the_tail_meet() -> None:
    mean = LARGE - np.array([1.0, 10.0, 300.0, 1000.0, 5000.0])
    below, above = (poisson_tail(np.full(5, k), mean + (k - LARGE)) for k in (LARGE - 1, LARGE))
    np.testing.assert_allclose(below, above, rtol=2e-3)


def test_the_tail_says_nothing_below_the_mean_plus_one() -> None:
    p = poisson_tail(np.array([0, 5, 5, 5, 1, 1, LARGE]), np.array([0.0, 4.1, 5.0, 9.0, 1e-9, 0.0, LARGE - 0.5]))
    assert p.tolist() == [1, 1, 1, 1, 1, 0, 1]


def documents(rng: np.random.Generator) -> tuple[Array, Array, Array]:
    """Lengths, and firings of two latents, in a few documents: some rare, some in nearly every token."""
    lengths = rng.integers(1, 60, rng.integers(1, 12))
    rate = rng.uniform(0.01, 0.9, 2)
    return lengths, rng.binomial(lengths, rate[0]), rng.binomial(lengths, rate[1])


def test_the_bound_bounds() -> None:
    """P(p <= alpha) <= alpha for independent placements within each document: p-values are super-uniform."""
    rng = np.random.default_rng(1)
    draws = 20_000
    for _ in range(30):
        lengths, s_a, s_b = documents(rng)
        joint = np.zeros(draws, np.int64)
        for L, a, b in zip(lengths, s_a, s_b, strict=True):
            joint += rng.hypergeometric(a, L - a, b, draws) if b else 0
        p = poisson_tail(joint, np.full(draws, (s_a * s_b / lengths).sum()))
        for alpha in (0.3, 0.1, 0.03, 0.01, 0.001):
            assert (p <= alpha).mean() <= alpha + 4 * math.sqrt(alpha * (1 - alpha) / draws)


def test_the_bound_is_sharp_where_firing_is_rare() -> None:
    rng = np.random.default_rng(2)
    joint = rng.hypergeometric(20, 1980, 20, (100_000, 40)).sum(axis=1)
    p = poisson_tail(joint, np.full(len(joint), 40 * 400 / 2000))
    assert (p <= 0.05).mean() > 0.025


def brute_q(p: list[float], tests: int) -> list[float]:
    """q as the definition has it, over all tests."""
    everything = sorted(p + [1.0] * (tests - len(p)))
    return [min(min(x * tests / (s + 1) for s, x in enumerate(everything) if x >= one), 1.0) for one in p]


@given(
    st.lists(st.sampled_from([0.0, 1e-300, 1e-9, 1e-4, 0.01, 0.02, 0.3, 1.0]) | st.floats(0, 1), max_size=30), st.data()
)
@settings(max_examples=200)
def test_q_is_benjamini_and_hochbergs(p: list[float], data: st.DataObject) -> None:
    tests = len(p) + data.draw(st.integers(0, 50))
    q = benjamini_hochberg(np.array(p), tests)
    np.testing.assert_allclose(q, brute_q(p, tests), rtol=1e-12, atol=1e-300)
    if p:
        with_ones = np.array(p + [1.0] * (tests - len(p)))
        np.testing.assert_allclose(q, false_discovery_control(with_ones)[: len(p)], rtol=1e-12, atol=1e-300)
    assert ((q >= np.array(p)) & (q <= 1)).all()


def test_q_refuses_fewer_tests_than_pairs() -> None:
    with pytest.raises(ValueError, match="3 p-values of 2 tests"):
        benjamini_hochberg(np.zeros(3), 2)


def one(values: Array) -> float:
    return float(values[0])


def test_log_odds_by_hand() -> None:
    # 10 tokens; a fires on 4, b on 5, both on 3; within documents 2.4 are expected.
    args = (np.array([4]), np.array([5]), 10)
    observed = math.log((3.5 * 4.5) / (1.5 * 2.5))
    explained = math.log((2.9 * 3.9) / (2.1 * 3.1))
    assert one(stratified_log_odds(np.array([3]), np.array([2.4]), *args)) == pytest.approx(observed - explained)
    error = math.sqrt(1 / 3.5 + 1 / 4.5 + 1 / 1.5 + 1 / 2.5)
    assert one(log_odds_error(np.array([3]), *args)) == pytest.approx(error)
    assert one(stratified_log_odds(np.array([3]), np.array([3.0]), *args)) == 0


def test_log_odds_stay_finite_at_the_margins_and_at_large_counts() -> None:
    # E a little beyond what the margins allow, as its rounded sum may be.
    for o, e, a, b, t in [
        (4, 4 + 1e-6, 4, 5, 10),
        (9, 9 - 1e-6, 10, 9, 10),
        (10, 10.0, 10, 10, 10),
        (0, 0.0, 3, 3, 10),
    ]:
        value = one(stratified_log_odds(np.array([o]), np.array([e]), np.array([a]), np.array([b]), t))
        assert value == pytest.approx(0, abs=1e-5)
    n = np.array([2**31])
    value = one(stratified_log_odds(np.array([2**30]), np.array([2.0**29]), n, n, 2**33 - 1))
    assert value == pytest.approx(
        math.log(2**30 * (5 * 2**30) / 2**60) - math.log(2**29 * 4.5 * 2**30 / (1.5 * 2**30) ** 2)
    )
    assert np.isfinite(log_odds_error(np.array([2**31]), n, n, 2**33 - 1)).all()


def test_the_error_is_the_spread_of_the_log_odds() -> None:
    """Of independent tokens: the assumption that its docstring states."""
    rng = np.random.default_rng(3)
    tables = rng.multinomial(5000, [0.02, 0.05, 0.03, 0.9], 20_000)
    both, n_a, n_b = tables[:, 0], tables[:, 0] + tables[:, 1], tables[:, 0] + tables[:, 2]
    value = np.log((both + 0.5) * (tables[:, 3] + 0.5) / ((tables[:, 1] + 0.5) * (tables[:, 2] + 0.5)))
    assert log_odds_error(both, n_a, n_b, 5000).mean() == pytest.approx(value.std(), rel=0.03)


def test_z_is_undefined_without_variance() -> None:
    z = z_score(np.array([7, 3]), np.array([3.0, 3.0]), np.array([4.0, 0.0]))
    assert z[0] == 2
    assert np.isnan(z[1])
