"""The largest clique of a small graph, by branch and bound with a greedy colouring (Tomita and Seki 2003), compiled.

It needs exponential time on hard graphs, so the nodes that are coloured are counted, and the search is given up,
deterministically, after a number of them. igraph's own search has no limit of this kind: 60 nodes in twenty mutually
exclusive threes (a plausible family of sibling latents) keep it busy for hours.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from cofire.common.arrays import Ints
from cofire.common.compiled import compiled, lowest, ones


def neighbours_as_bits(n: int, ends: Ints) -> Any:
    """Return the adjacency of a simple graph, uint64 [n, ceil(n / 64)]; `ends` is int64 [m, 2]."""
    near = np.zeros((n, (n + 63) // 64), np.uint64)
    both = np.concatenate([ends, ends[:, ::-1]])
    bits = np.uint64(1) << (both[:, 1] % 64).astype(np.uint64)
    np.bitwise_or.at(near, (both[:, 0], both[:, 1] // 64), bits)
    return near


@compiled
def largest_clique(near: Any, order_of_nodes: Any, most: int) -> int:
    """Return the size of the largest clique; 0 when `most` steps did not suffice to prove one largest.

    Args:
        near: uint64 [n, words], each node's neighbours as bits.
        order_of_nodes: int64 [n], the nodes in an order that makes the colouring tight: dense ones first.
        most: nodes that may be coloured.
    """
    n, words = near.shape
    degree = np.zeros(n, np.int64)
    for u in range(n):
        for word in range(words):
            degree[u] += ones(near[u, word])
    depth = _clique_bound(np.sort(degree)[::-1]) + 1
    rank = np.empty(n, np.int64)
    rank[order_of_nodes] = np.arange(n)
    ranked = np.zeros((n, words), np.uint64)
    for u in range(n):
        for word in range(words):
            rest = near[u, word]
            while rest:
                v = rank[word * 64 + lowest(rest)]
                rest &= rest - np.uint64(1)
                ranked[rank[u], v // 64] |= np.uint64(1) << np.uint64(v % 64)
    candidates = np.zeros((depth, words), np.uint64)
    order, colour = np.zeros((depth, n), np.int32), np.zeros((depth, n), np.int32)
    left = np.zeros(depth, np.int64)
    free, uncoloured = np.zeros(words, np.uint64), np.zeros(words, np.uint64)
    for u in range(n):
        candidates[0, u // 64] |= np.uint64(1) << np.uint64(u % 64)
    left[0] = _colour(candidates[0], ranked, order[0], colour[0], uncoloured, free)
    level, best, work = 0, 0, n
    while level >= 0:
        if left[level] == 0 or level + colour[level, left[level] - 1] <= best:
            level -= 1
            continue
        left[level] -= 1
        u = order[level, left[level]]
        candidates[level, u // 64] &= ~(np.uint64(1) << np.uint64(u % 64))
        best = max(best, level + 1)
        rest = 0
        for word in range(words):
            candidates[level + 1, word] = candidates[level, word] & ranked[u, word]
            rest += ones(candidates[level + 1, word])
        if rest:
            work += rest
            if work > most:
                return 0
            level += 1
            left[level] = _colour(candidates[level], ranked, order[level], colour[level], uncoloured, free)
    return best


@compiled
def _clique_bound(falling: Any) -> int:
    """Return a size that no clique exceeds: one of k nodes needs k whose degree is k - 1 and more (of a star, two)."""
    size = 0
    while size < len(falling) and falling[size] >= size:
        size += 1
    return size


@compiled
def _colour(candidates: Any, near: Any, order: Any, colour: Any, uncoloured: Any, free: Any) -> int:
    """Colour the candidates greedily into `order` and `colour`, by ascending colour from 1; return how many."""
    words, count, number = len(candidates), 0, 0
    uncoloured[:] = candidates
    more = True
    while more:
        number += 1
        free[:] = uncoloured
        more = False
        for word in range(words):
            # Nodes below are done: a coloured node only takes away later ones of this round.
            while free[word]:
                bit = lowest(free[word])
                u = word * 64 + bit
                order[count], colour[count] = u, number
                count += 1
                uncoloured[word] &= ~(np.uint64(1) << np.uint64(bit))
                free[word] &= free[word] - np.uint64(1)
                for other in range(word, words):
                    free[other] &= ~near[u, other]
        for word in range(words):
            if uncoloured[word]:
                more = True
    return count
