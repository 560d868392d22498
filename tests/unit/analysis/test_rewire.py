"""A rewired graph keeps what it should, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from cofire.analysis.nulls.rewire import STRATA, rewire, strata_of
from cofire.worlds import TEST_SEEDS
from structure_graphs import clique, random_graph


def blocks(seed, n=240, size=12):
    """Cliques of 12 among random edges: a graph far from random. Weights say which pair of strata they were on."""
    rng = np.random.default_rng([seed, 3])
    inside = [(x, y) for x, y in clique(n) if x // size == y // size]
    pairs = np.array(sorted({*inside, *random_graph(n, 0.02, rng)}), dtype=np.int64)
    stratum = rng.integers(STRATA, size=n)
    low, high = np.sort(stratum[pairs], axis=1).T
    return pairs, low * 10.0 + high + rng.random(len(pairs)) / 2, stratum


def keys(ends):
    return set((ends[:, 0] * 10_000 + ends[:, 1]).tolist())


@pytest.mark.parametrize("seed", TEST_SEEDS)
def test_degrees_strata_and_weights_stay(seed):
    ends, weights, stratum = blocks(seed)
    new, heavy = rewire(ends, weights, stratum, seed=(seed,))
    assert (new[:, 0] < new[:, 1]).all()
    assert len(keys(new)) == len(ends)
    assert (np.bincount(new.ravel()) == np.bincount(ends.ravel())).all()
    assert sorted(heavy) == sorted(weights)
    low, high = np.sort(stratum[new], axis=1).T
    assert (np.floor(heavy) == low * 10 + high).all()


def test_the_same_seed_gives_the_same_graph():
    ends, weights, stratum = blocks(1)
    one, two, other = (rewire(ends, weights, stratum, seed=seed) for seed in ((4, 1), (4, 1), (4, 2)))
    assert (one[0] == two[0]).all()
    assert (one[1] == two[1]).all()
    assert keys(one[0]) != keys(other[0])


@pytest.mark.parametrize("seed", TEST_SEEDS)
def test_the_swaps_are_enough(seed):
    """As many edges in common with the graph as two chains have with each other; triangles as after ten times more."""
    ends, weights, stratum = blocks(seed)
    one, two = (rewire(ends, weights, stratum, seed=(seed, k))[0] for k in (1, 2))
    left = len(keys(ends) & keys(one)) / len(ends)
    apart = len(keys(one) & keys(two)) / len(ends)
    assert abs(left - apart) < 0.03
    assert left < 0.2

    def triangles(swaps, seed):
        import igraph

        graph = igraph.Graph(edges=rewire(ends, weights, stratum, seed=seed, swaps=swaps)[0])
        return len(graph.cliques(min=3, max=3))

    usual = [triangles(5, (seed, k)) for k in range(12)]
    long = [triangles(50, (seed, k)) for k in range(12, 24)]
    error = np.sqrt((np.var(usual, ddof=1) + np.var(long, ddof=1)) / 12)
    assert abs(np.mean(usual) - np.mean(long)) < 4 * error
    assert np.mean(usual) < 0.2 * 20 * 220


def test_every_graph_of_the_same_degrees_comes_up_equally_often():
    """A path of four and a loose pair, degrees 1 2 2 1 1 1: all graphs with these degrees in 3,000 chains."""
    ends = np.array([(0, 1), (1, 2), (2, 3), (4, 5)], dtype=np.int64)
    stratum = np.zeros(6, dtype=np.int64)
    found: dict[tuple, int] = {}
    for number in range(3000):
        new, _ = rewire(ends, np.ones(4), stratum, seed=(9, number), swaps=20)
        name = tuple(map(tuple, new.tolist()))
        found[name] = found.get(name, 0) + 1
    possible = set()
    for one in range(2**15):
        chosen = [pair for k, pair in enumerate(clique(6)) if one >> k & 1]
        if len(chosen) == 4 and np.bincount(np.ravel(chosen), minlength=6).tolist() == [1, 2, 2, 1, 1, 1]:
            possible.add(tuple(chosen))
    assert set(found) == possible
    expected = 3000 / len(possible)
    chi_square = sum((many - expected) ** 2 / expected for many in found.values())
    # 99.9% of a chi-square law with as many degrees of freedom lies below this (Wilson and Hilferty 1931).
    freedom = len(possible) - 1
    assert chi_square < freedom * (1 - 2 / (9 * freedom) + 3.09 * np.sqrt(2 / (9 * freedom))) ** 3


def test_graphs_that_cannot_change_come_back():
    for ends in (np.zeros((0, 2), np.int64), np.array([(0, 1)]), np.array(clique(4))):
        new, weights = rewire(ends, np.arange(len(ends)) + 1.0, np.zeros(5, np.int64), seed=(0,))
        assert keys(new) == keys(ends)
        assert sorted(weights) == (np.arange(len(ends)) + 1.0).tolist()


def test_strata_are_quartiles_of_the_firing_counts():
    counts = np.random.default_rng(0).permutation(np.arange(1000))
    assert np.bincount(strata_of(counts)).tolist() == [250] * 4
    assert len(set(strata_of(np.full(7, 3)).tolist())) == 1
    assert strata_of(np.zeros(0, np.int64)).tolist() == []
