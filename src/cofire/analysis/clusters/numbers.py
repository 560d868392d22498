"""The seven numbers of `structure` for every cluster of a partition at once, compiled: null clusters are many.

    1. sort the edges inside clusters by cluster;
    2. per cluster of four latents and more, set up its adjacency as rows of bits;
    3. degrees and strengths from its edges; triangles by counting common bits of an edge's ends; the largest clique,
       which is given up after a bounded number of steps (`cliques`).

The formulas are those of `structure`; tests/unit/analysis/test_nulls.py holds one against the other.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from cofire.analysis.clusters.cliques import largest_clique
from cofire.analysis.clusters.structure import MIN_SIZE, NUMBERS
from cofire.common.compiled import compiled, ones

if TYPE_CHECKING:
    from cofire.common.arrays import Floats, Ints

CLIQUE_WORK = 1_000_000
"""Nodes coloured after which the search for one cluster's largest clique is given up (some 20 ms)."""


def cluster_numbers(community: Ints, ends: Ints, weights: Floats) -> tuple[Ints, Ints, Floats]:
    """Describe the clusters of a partition that have four latents and more.

    Args:
        community: int64 [n], >= 0, the cluster of each node; -1 for none.
        ends: int64 [m, 2] in 0..n-1, a simple graph.
        weights: float64 [m], > 0.

    Returns:
        The community numbers int64 [k], ascending, their sizes int64 [k], and the numbers float64 [k, 7] in the order
        of structure.NUMBERS; NaN where one is undefined or the search for a clique was given up.
    """
    sizes = np.bincount(community[community >= 0])
    chosen = np.flatnonzero(sizes >= MIN_SIZE)
    if not len(chosen):
        return chosen, sizes[chosen], np.zeros((0, len(NUMBERS)))
    # Position of each node in its cluster.
    order = np.argsort(community, kind="stable")
    starts = np.searchsorted(community[order], np.arange(len(sizes)))
    place = np.empty(len(community), dtype=np.int64)
    inside_any = community[order] >= 0
    place[order[inside_any]] = np.flatnonzero(inside_any) - starts[community[order[inside_any]]]
    cluster = community[ends[:, 0]]
    inside = np.flatnonzero((cluster == community[ends[:, 1]]) & (cluster >= 0))
    inside = inside[np.argsort(cluster[inside], kind="stable")]
    local, weight = place[ends[inside]], weights[inside]
    bounds = np.searchsorted(cluster[inside], np.stack([chosen, chosen + 1], axis=1))
    found = np.full((len(chosen), len(NUMBERS)), np.nan)
    _describe(sizes[chosen], bounds, local, weight, CLIQUE_WORK, found)
    return chosen, sizes[chosen], found


@compiled
def _describe(sizes: Any, bounds: Any, local: Any, weight: Any, most: int, found: Any) -> None:
    """Fill in the numbers of each cluster."""
    for c in range(len(sizes)):
        n = sizes[c]
        first, last = bounds[c]
        m = last - first
        near = np.zeros((n, (n + 63) // 64), np.uint64)
        degree, strength = np.zeros(n, np.int64), np.zeros(n)
        heaviest = 0.0
        for e in range(first, last):
            u, v = local[e]
            near[u, v // 64] |= np.uint64(1) << np.uint64(v % 64)
            near[v, u // 64] |= np.uint64(1) << np.uint64(u % 64)
            degree[u] += 1
            degree[v] += 1
            strength[u] += weight[e]
            strength[v] += weight[e]
            heaviest = max(heaviest, weight[e])
        closed = 0
        for e in range(first, last):
            u, v = local[e]
            for word in range(near.shape[1]):
                closed += ones(near[u, word] & near[v, word])
        pairs, hub = n * (n - 1) // 2, degree.max()
        found[c, 0] = m / pairs
        found[c, 1] = (n * hub - 2 * m) / ((n - 1) * (n - 2))
        triples = 0
        for u in range(n):
            triples += degree[u] * (degree[u] - 1) // 2
        if m:
            total = strength.sum()
            found[c, 2] = min(1.0, max(0.0, (n * strength.max() - total) / ((n - 1) * (n - 2) * heaviest)))
            ranked = np.sort(strength)
            sum_ranked = 0.0
            for i in range(n):
                sum_ranked += (2 * i + 1 - n) * ranked[i]
            found[c, 6] = max(0.0, sum_ranked / (n * total))
        if triples:
            found[c, 3] = closed / triples
        if 0 < m < pairs:
            spread = float(m) * (pairs - m) * (n - 1) * (pairs - n + 1)
            found[c, 4] = (pairs * hub - m * (n - 1)) / math.sqrt(spread)
        # Nodes in order of falling degree: the colouring takes low numbers first.
        clique = n if m == pairs else largest_clique(near, np.argsort(-degree, kind="mergesort"), most)
        if clique:
            found[c, 5] = clique / n
