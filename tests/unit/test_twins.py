"""Twins: of two members that are never apart the one that fires less is left out, and nothing else changes."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from cofire.analysis.function_evidence import function_evidence
from cofire.analysis.function_model import CLASSES, function_probabilities
from cofire.analysis.twins import TWINS, without_twins
from cofire.worlds import TEST_SEEDS


def split_up(matrix):
    """Return (shared, alone) of the activations [tokens, n] of a cluster."""
    number = (matrix > 0).sum(axis=1)
    return matrix[number >= 2], matrix[number == 1]


def mixture(seed, function, n=5, events=300, alone=600):
    """Activations [tokens, n]: each pair shares one weight (ambiguity) or is in full (composition)."""
    rng = np.random.default_rng([seed, 31])
    pair = rng.random((events, n)).argsort(axis=1) < 2
    share = rng.uniform(0.3, 0.7, (events, 1))
    amount = np.where(pair.argmax(axis=1)[:, None] == np.arange(n), share, 1 - share)
    matrix = np.zeros((events + alone * n, n))
    matrix[:events] = pair * (amount if function == "ambiguity" else 1.0)
    matrix[events + np.arange(alone * n), np.repeat(np.arange(n), alone)] = 1.0
    return np.where(matrix > 0, matrix * (1 + 0.05 * rng.standard_normal(matrix.shape)), 0)


def with_twin(matrix, of, share, rng):
    """Add a member that fires on this share of the tokens of another, in full of what that has."""
    on = (matrix[:, of] > 0) & (rng.random(len(matrix)) < share)
    return np.column_stack([matrix, on * matrix[:, of] * 0.7])


def evidence(matrix, *, sparse=False):
    shared, alone = split_up(matrix)
    return function_evidence(
        shared.astype(np.float32),
        sp.csr_array(alone.astype(np.float32)) if sparse else alone,
        tokens=len(shared),
        mu=np.array([np.median(column[column > 0]) for column in matrix.T]),
        is_mode=np.ones(matrix.shape[1], np.bool_),
        floor=np.full(matrix.shape[1], 0.1),
        firings=(matrix > 0).sum(axis=0),
    )


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("function", ["ambiguity", "composition"])
@pytest.mark.parametrize("seed", TEST_SEEDS)
def test_a_split_member_does_not_change_what_a_cluster_is(seed, function, sparse):
    rng = np.random.default_rng(seed)
    plain = mixture(seed, function)
    twice = with_twin(with_twin(plain, 0, 0.97, rng), 3, 0.9, rng)
    before, after = evidence(plain, sparse=sparse), evidence(twice, sparse=sparse)
    assert (before.twins, after.twins) == (0, 2)
    assert after.tokens == before.tokens
    for name in ("ratio_sum", "excess", "magnitude_r", "spread", "containment"):
        assert getattr(after, name) == pytest.approx(getattr(before, name), abs=0.02), name
    p = function_probabilities({"plain": before, "twice": after})["with"]
    assert {CLASSES[int(found.argmax())] for found in p.values()} == {function}


def test_two_that_are_never_apart_tell_nothing():
    matrix = np.ones((50, 2))
    found = evidence(matrix)
    assert (found.tokens, found.excess, found.twins) == (0, None, 1)


@pytest.mark.parametrize(("share", "left"), [(TWINS - 0.05, 2), (TWINS + 0.05, 1)])
def test_both_must_fire_nearly_always_with_the_other(share, left):
    both = round(1000 * share)
    matrix = np.zeros((1000 + 1000 - both, 2))
    matrix[:1000, 0] = 1
    matrix[1000 - both : 2000 - both, 1] = 1
    shared, alone = split_up(matrix)
    kept = without_twins(shared, alone, tokens=both, firings=np.array([1000, 1000]))
    assert kept.keep.sum() == left
    # A child is always with its parent, which is often without it: no twins.
    child = without_twins(np.ones((100, 2)), alone, tokens=100, firings=np.array([100, 400]))
    assert child.keep.all()
    assert child.shared.shape == (100, 2)


def test_of_several_the_one_that_fires_most_stays():
    matrix = np.zeros((100, 4))
    matrix[:, 1] = 1
    matrix[:95, 0] = 1
    matrix[:90, 3] = 1
    matrix[::2, 2] = 1
    kept = without_twins(matrix, matrix[:0], tokens=100, firings=np.array([95, 100, 50, 90]))
    assert kept.keep.tolist() == [False, True, True, False]
    assert (len(kept.shared), len(kept.alone), kept.tokens) == (50, 50, 50)


def test_a_sample_stands_for_all_tokens():
    shared = np.zeros((100, 3))
    shared[:80, :2] = 1
    shared[80:, 1:] = 1
    kept = without_twins(shared, shared[:0], tokens=1000, firings=np.array([850, 950, 5000]))
    assert kept.keep.tolist() == [False, True, True]
    assert (len(kept.shared), len(kept.alone), kept.tokens) == (20, 80, 200)


def test_blocks_change_nothing(monkeypatch):
    rng = np.random.default_rng(TEST_SEEDS[0])
    shared = (rng.random((300, 12)) < 0.4) * 1.0
    shared[:, 7] = shared[:, 2]
    shared[:, 11] = shared[:, 2] * (rng.random(300) < 0.95)
    firings = (shared > 0).sum(axis=0)
    whole = without_twins(shared, shared[:0], tokens=300, firings=firings)
    monkeypatch.setattr("cofire.analysis.twins._BLOCK", 5)
    assert np.array_equal(without_twins(shared, shared[:0], tokens=300, firings=firings).keep, whole.keep)
    assert np.flatnonzero(~whole.keep).tolist() in ([7, 11], [2, 11])
