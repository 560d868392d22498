"""The adjusted mutual information is the formula's, on worked values and against sums over every cell."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cofire.analysis.clusters.agreement import adjusted_mutual_information as ami
from cofire.errors import InputError


def slow(first, second):
    """Vinh, Epps and Bailey 2010, eq. 24a, cell by cell in exact factorials."""
    n = len(first)
    ones = [[k for k in range(n) if first[k] == u] for u in sorted(set(first))]
    twos = [[k for k in range(n) if second[k] == v] for v in sorted(set(second))]
    information = chance = 0.0
    for u in ones:
        for v in twos:
            a, b, shared = len(u), len(v), len(set(u) & set(v))
            if shared:
                information += shared / n * math.log(n * shared / (a * b))
            for k in range(max(1, a + b - n), min(a, b) + 1):
                p = math.comb(a, k) * math.comb(n - a, b - k) / math.comb(n, b)
                chance += k / n * math.log(n * k / (a * b)) * p
    entropy = [-sum(len(x) / n * math.log(len(x) / n) for x in parts) for parts in (ones, twos)]
    return (information - chance) / (sum(entropy) / 2 - chance)


def test_worked_values():
    # MI = ln 2, E = 2/3 ln 2, H = ln 2 and 3/2 ln 2: (1 - 2/3) / (5/4 - 2/3) = 4/7.
    assert ami([1, 1, 2, 2], [1, 1, 2, 3]) == pytest.approx(4 / 7)
    # Two pairs crossed: MI = 0, E = ln 2 / 3, H = ln 2.
    assert ami([0, 0, 1, 1], [0, 1, 0, 1]) == pytest.approx(-0.5)
    # One cluster tells nothing of the others.
    assert ami([0, 0, 0, 0], [0, 1, 2, 2]) == pytest.approx(0, abs=1e-12)


def test_equal_partitions_agree_fully_whatever_their_numbers():
    assert ami([0, 0, 1, 2], [7, 7, 3, 5]) == 1
    assert ami([4, 4, 4], [0, 0, 0]) == 1
    assert ami([0, 1, 2], [2, 0, 1]) == 1
    assert ami([], []) == 1


@settings(max_examples=150)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3)), min_size=3, max_size=24))
def test_it_is_the_direct_formula(items):
    first, second = zip(*items, strict=True)
    same = len(set(items)) == len(set(first)) == len(set(second))
    one_each = {len(set(first)), len(set(second))} in ({1}, {len(items)})
    if same or one_each:
        assert ami(first, second) == 1
    else:
        expected = slow(first, second)
        assert ami(first, second) == pytest.approx(expected, abs=1e-9)
        assert ami(second, first) == pytest.approx(expected, abs=1e-9)


def test_unrelated_partitions_agree_by_nought_on_average():
    rng = np.random.default_rng(0)
    found = [ami(rng.integers(40, size=400), rng.integers(25, size=400)) for _ in range(60)]
    assert abs(np.mean(found)) < 4 * np.std(found) / math.sqrt(60)
    assert abs(np.mean(found)) < 0.01


def test_large_partitions_are_exact_in_both_orders():
    rng = np.random.default_rng(1)
    one = rng.integers(2000, size=16_384)
    two = np.where(rng.random(16_384) < 0.3, rng.integers(2000, size=16_384), one)
    assert ami(one, two) == pytest.approx(ami(two, one), abs=1e-9)
    assert 0.4 < ami(one, two) < 0.8


@pytest.mark.parametrize("second", [[0, 1], [[0, 1, 2]]])
def test_partitions_of_other_items_are_refused(second):
    with pytest.raises(InputError, match="not of the same items"):
        ami([0, 1, 2], second)
