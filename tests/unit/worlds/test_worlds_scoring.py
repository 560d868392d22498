"""Scores of clusters, on cases worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from cofire.worlds.clusters import PlantedCluster
from cofire.worlds.indirect import PlantedCase
from cofire.worlds.scoring import (
    Kept,
    adjusted_rand,
    auroc,
    auroc_interval,
    calibration_error,
    cluster_ari,
    found_for,
    kept_by_case,
    wilson_interval,
)

PLANTED = (
    PlantedCluster((0, 1, 2), "composition_star", 3, 0),
    PlantedCluster((3, 4), "ambiguity_clique", 4, None),
    PlantedCluster((5, 6, 7), "topic", 3, None),
)


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def test_adjusted_rand_worked_by_hand() -> None:
    assert adjusted_rand([0, 0, 1, 1], [5, 5, 2, 2]) == 1.0
    # Pairs together: 1 and 2 in the first, {1}, {2}: in both 1; by chance 2 * 2 / 6 = 2/3; (1 - 2/3) / (3/2 ...).
    assert adjusted_rand([0, 0, 1, 1], [0, 0, 1, 2]) == pytest.approx((1 - 2 / 6) / (1.5 - 2 / 6))
    assert adjusted_rand([0, 0, 1, 1], [0, 1, 0, 1]) == pytest.approx((0 - 4 / 6) / (2 - 4 / 6))
    with pytest.raises(ValueError, match="3 and 2 things"):
        adjusted_rand([0, 0, 1], [0, 1])


def test_adjusted_rand_of_nothing_is_not_known() -> None:
    assert np.isnan(adjusted_rand([], []))
    assert np.isnan(cluster_ari(PLANTED[2:], {"a": ints(0, 1)}, 10))
    with pytest.raises(ValueError, match="0 and 1 things"):
        adjusted_rand([], [0])


def test_adjusted_rand_of_random_partitions_is_nought_on_average() -> None:
    rng = np.random.default_rng(0)
    drawn = [adjusted_rand(rng.integers(8, size=200), rng.integers(5, size=200)) for _ in range(300)]
    assert abs(np.mean(drawn)) < 0.005


def test_ari_counts_lost_latents_as_alone_and_leaves_out_what_has_no_function() -> None:
    whole = {"a": ints(0, 1, 2, 9), "b": ints(3, 4)}
    assert cluster_ari(PLANTED, whole, 10) == 1.0
    # 2 lost, and 5 6 7 in some cluster, which is left out.
    lost = {"a": ints(0, 1), "b": ints(3, 4), "c": ints(5, 6, 7)}
    assert cluster_ari(PLANTED, lost, 10) == pytest.approx(adjusted_rand([0, 0, 0, 1, 1], [0, 0, 2, 1, 1]))


def test_the_found_cluster_is_the_one_of_the_largest_jaccard() -> None:
    found = {"a": ints(0, 1, 9), "b": ints(2, 3, 4, 8), "c": ints(5, 10, 11, 12)}
    # {0 1 2} with a: 2 of 4; {3 4} with b: 2 of 4; {5 6 7} with c: 1 of 6, too little.
    assert found_for(PLANTED, found) == ["a", "b", None]
    assert found_for(PLANTED, {}) == [None, None, None]
    empty = PlantedCluster((), "topic", 3, None)
    assert found_for((empty,), found) == [None]


def test_auroc_with_ties_and_its_interval() -> None:
    score = np.array([0.9, 0.5, 0.5, 0.1])
    positive = np.array([True, True, False, False])
    assert auroc(score, positive) == pytest.approx(3.5 / 4)
    assert np.isnan(auroc(score, np.ones(4, np.bool_)))
    low, high = auroc_interval(np.r_[np.ones(30), np.zeros(60)], np.arange(90) < 30)
    assert (low, high) == (pytest.approx(0.9), 1.0)
    rng = np.random.default_rng(1)
    positive = np.arange(200) < 100
    score = rng.standard_normal(200) + positive
    low, high = auroc_interval(score, positive)
    assert low < auroc(score, positive) < high
    assert 0.08 < high - low < 0.2


def test_calibration_error_worked_by_hand() -> None:
    # .95 twice, once right: gap .45; .75 twice, both right: gap .25.
    p = np.array([0.95, 0.95, 0.75, 0.75])
    right = np.array([True, False, True, True])
    assert calibration_error(p, right) == pytest.approx((0.45 + 0.25) / 2)
    assert np.isnan(calibration_error(np.zeros(0), np.zeros(0, np.bool_)))
    rng = np.random.default_rng(2)
    p = rng.uniform(0.4, 1, 200_000)
    assert calibration_error(p, rng.random(len(p)) < p) < 0.01


def test_kept_by_case_worked_by_hand() -> None:
    pairs = [np.array(rows, np.int64).reshape(-1, 2) for rows in ([(0, 1), (1, 2)], [(0, 2)], [(3, 4), (3, 5)], [])]
    cases = (
        PlantedCase("chain", (0, 1, 2), pairs[0], pairs[1]),
        PlantedCase("chain", (3, 4, 5), pairs[2], pairs[3]),
        PlantedCase("pair", (6, 7), np.array([[6, 7]]), pairs[3]),
    )
    # 3-5 is no edge; 2-9 is none of the plan's.
    a, b = ints(0, 0, 1, 2, 3), ints(1, 2, 2, 9, 4)
    direct = np.array([True, False, False, True, True])
    assert kept_by_case(cases, a, b, direct) == [
        Kept("chain", "direct", planted=4, edges=3, kept=2),
        Kept("chain", "indirect", planted=1, edges=1, kept=0),
        # 0, 1, 2, 3 and 4 have an edge to keep, 2 has lost its only one.
        Kept("chain", "latents", planted=6, edges=5, kept=4),
        Kept("pair", "direct", planted=1, edges=0, kept=0),
        Kept("pair", "latents", planted=2, edges=0, kept=0),
    ]
    found = Kept("chain", "direct", planted=4, edges=3, kept=2)
    assert found.share == pytest.approx(2 / 3)
    assert found.interval == wilson_interval(2, 3)
    assert np.isnan(Kept("pair", "direct", 1, 0, 0).share)


def test_wilson_interval_by_its_equation() -> None:
    # Its ends are the shares p at which the score (k / n - p) / sqrt(p (1 - p) / n) is 1.96 either way.
    for successes, n in ((8, 10), (1, 40), (25, 50)):
        for end in wilson_interval(successes, n):
            assert abs(successes / n - end) / np.sqrt(end * (1 - end) / n) == pytest.approx(1.959964, abs=1e-5)
    # No success in n: 0 to z^2 / (n + z^2).
    assert wilson_interval(0, 10) == (0.0, pytest.approx(3.841459 / 13.841459, abs=1e-6))
    assert wilson_interval(10, 10)[1] == pytest.approx(1)
    assert np.isnan(wilson_interval(0, 0)).all()
