"""The consensus is the median partition, found with nothing lost by atoms and components."""

from __future__ import annotations

import numpy as np
import pytest

from cofire.analysis.clusters import consensus as module
from cofire.analysis.clusters.consensus import consensus


def score(partitions, labels):
    """Sum over the pairs in one cluster of (share of the runs that put them together - 1/2)."""
    share = (partitions[:, :, None] == partitions[:, None, :]).mean(axis=0)
    together = np.triu(labels[:, None] == labels[None, :], 1)
    return float(((share - 0.5) * together).sum())


def every_partition(n):
    def grow(labels):
        if len(labels) == n:
            yield np.array(labels)
            return
        for label in range(max(labels, default=-1) + 2):
            yield from grow([*labels, label])

    return grow([])


def noisy(rng, base, runs, noise):
    base = np.asarray(base)
    kinds = int(base.max()) + 1
    return np.array(
        [np.where(rng.random(len(base)) < noise, rng.integers(kinds, size=len(base)), base) for _ in range(runs)]
    )


@pytest.mark.parametrize("seed", range(8))
def test_no_partition_is_nearer_to_the_runs(seed):
    rng = np.random.default_rng(seed)
    partitions = noisy(rng, rng.integers(3, size=8), runs=7, noise=0.4)
    best = max(score(partitions, labels) for labels in every_partition(8))
    assert score(partitions, consensus(partitions)) == pytest.approx(best)


def test_equal_runs_are_their_own_consensus():
    partitions = np.array([[0, 0, 1, 1, 2], [5, 5, 0, 0, 1]])
    assert consensus(partitions).tolist() == [0, 0, 1, 1, 2]


def test_the_majority_decides():
    assert consensus(np.array([[0, 0, 0], [0, 0, 1], [0, 0, 1]])).tolist() == [0, 0, 1]
    assert consensus(np.array([[0, 0, 0], [0, 0, 0], [0, 0, 1]])).tolist() == [0, 0, 0]


def test_atoms_stay_together_whatever_the_runs_say():
    partitions = np.array([[0, 1, 2, 2, 3, 3]] * 3)
    atoms = np.array([0, 0, 1, 1, 2, 2])
    assert consensus(partitions, atoms=atoms).tolist() == [0, 0, 1, 1, 2, 2]
    # Half of the four pairs between the first two atoms in all runs, and more in one: joined.
    partitions = np.array([[0, 1, 0, 1, 2, 2], [0, 1, 0, 1, 2, 2], [0, 0, 0, 0, 2, 2]])
    assert consensus(partitions, atoms=atoms).tolist() == [0, 0, 0, 0, 1, 1]


def test_small_blocks_change_nothing(monkeypatch):
    rng = np.random.default_rng(3)
    partitions = noisy(rng, np.repeat(np.arange(12), 9), runs=11, noise=0.3)
    whole = consensus(partitions, seed=4)
    monkeypatch.setattr(module, "BLOCK", 50)
    assert np.array_equal(consensus(partitions, seed=4), whole)


def test_planted_clusters_come_out_of_bad_runs():
    rng = np.random.default_rng(5)
    base = np.repeat(np.arange(15), 8)
    found = consensus(noisy(rng, base, runs=40, noise=0.15))
    assert np.array_equal(found, base)


def test_one_run_and_one_latent():
    assert consensus(np.array([[3, 1, 3]])).tolist() == [0, 1, 0]
    assert consensus(np.array([[0], [0]])).tolist() == [0]
