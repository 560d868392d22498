"""A co-firing graph rewired: every latent keeps its number of edges, and the weights stay with their sort of pair.

    1. Latents fall into strata by how often they fire.
    2. Double-edge swaps: take two ends of edges, u of u-x and v of v-y, both of one stratum, and make the edges v-x
       and u-y, unless one is a loop or is there already (Maslov and Sneppen 2002, Science 296:910). So each latent
       keeps its degree, and each pair of strata its number of edges: how often rare latents meet frequent ones is no
       surprise.
    3. The weights are permuted among the edges between the same two strata.

The proposal of a swap is as likely as that of its undoing, and one that is refused counts as a step, so that the
chain's stationary law is uniform over the simple graphs that swaps reach. SWAPS attempts an edge leave no more edges
in common with the graph than two independent chains have with each other (tests/unit/analysis/test_rewire.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cofire.common.compiled import compiled

if TYPE_CHECKING:
    from cofire.common.arrays import Floats, Ints

SWAPS = 5
"""Attempted swaps an edge. Milo and others (2003, cond-mat/0312028) found 100 to be more than adequate; here the share
of edges left in place is, from 3 on, that of two independent chains."""

STRATA = 4
"""Quartiles of the firing counts."""


def rewire(
    ends: Ints,
    weights: Floats,
    stratum: Ints,
    *,
    seed: tuple[int, ...],
    swaps: int = SWAPS,
) -> tuple[Ints, Floats]:
    """Return a rewired simple graph.

    Args:
        ends: [m, 2] int64 in 0..n-1, a simple graph: no loop, no pair twice.
        weights: [m] float64.
        stratum: [n] int64 >= 0, of each node.
        seed: numbers >= 0; the same give the same graph.
        swaps: attempts an edge.

    Returns:
        The ends int64 [m, 2], lower one first, and the weights [m], sorted by (a, b).
    """
    m = len(ends)
    rng = np.random.default_rng(seed)
    halves = ends.astype(np.int32).ravel()
    of_half = stratum[halves]
    by_stratum = np.argsort(of_half, kind="stable")
    starts = np.searchsorted(of_half[by_stratum], np.arange(int(stratum.max()) + 2)) if m else np.zeros(2, np.int64)
    table = np.full(1 << max(4, (4 * m - 1).bit_length()), -1, dtype=np.int64)
    if m:
        _swap(halves, of_half, by_stratum, starts, table, swaps * m, np.uint64(rng.integers(1, 2**63)))
    # The ends of an edge never change stratum, so the edges between two strata are those that were there.
    low, high = np.sort(of_half.reshape(-1, 2), axis=1).T
    new = weights.copy()
    pair = low * (int(stratum.max(initial=0)) + 1) + high
    for one in np.unique(pair):
        among = np.flatnonzero(pair == one)
        new[among] = weights[rng.permutation(among)]
    found = np.sort(halves.reshape(-1, 2).astype(np.int64), axis=1)
    order = np.lexsort((found[:, 1], found[:, 0]))
    return found[order], new[order]


def strata_of(counts: Ints) -> Ints:
    """Return the quartile, 0..STRATA - 1, of each firing count among all of them; equal counts share one."""
    if not len(counts):
        return np.zeros(0, dtype=np.int64)
    inner = np.quantile(counts, np.arange(1, STRATA) / STRATA)
    return np.searchsorted(inner, counts, side="right").astype(np.int64)


@compiled
def _place(table: Any, key: int) -> Any:
    """Return where a key stands in the hash table, or the free place where it belongs."""
    mask = len(table) - 1
    mixed = np.uint64(key) * np.uint64(0x9E3779B97F4A7C15)
    at = np.int64(mixed >> np.uint64(20)) & mask
    while table[at] not in (-1, key):
        at = (at + 1) & mask
    return at


@compiled
def _remove(table: Any, key: int) -> None:
    """Remove a key that is there; those behind it move up, so that no gap cuts off any (Knuth, 6.4, algorithm R)."""
    mask = len(table) - 1
    gap = _place(table, key)
    table[gap] = -1
    at = (gap + 1) & mask
    while table[at] != -1:
        other = table[at]
        table[at] = -1
        table[_place(table, other)] = other
        at = (at + 1) & mask


@compiled
def _key(u: int, v: int) -> Any:
    return (np.int64(min(u, v)) << 32) | np.int64(max(u, v))


@compiled
def _swap(halves: Any, of_half: Any, by_stratum: Any, starts: Any, table: Any, attempts: int, state: Any) -> int:
    """Make the swaps in `halves` (edge e is halves 2e, 2e + 1), and return how many were made; xorshift64."""
    m = len(halves) // 2
    for edge in range(m):
        key = _key(halves[2 * edge], halves[2 * edge + 1])
        table[_place(table, key)] = key
    made = 0
    for _ in range(attempts):
        state ^= state << np.uint64(13)
        state ^= state >> np.uint64(7)
        state ^= state << np.uint64(17)
        one = np.int64((state >> np.uint64(11)) % np.uint64(2 * m))
        group = of_half[one]
        first, size = starts[group], starts[group + 1] - starts[group]
        state ^= state << np.uint64(13)
        state ^= state >> np.uint64(7)
        state ^= state << np.uint64(17)
        two = by_stratum[first + np.int64((state >> np.uint64(11)) % np.uint64(size))]
        u, x, v, y = halves[one], halves[one ^ 1], halves[two], halves[two ^ 1]
        # u == v or x == y would change nothing; the same edge taken twice has u == y and v == x, or u == v.
        if u in (v, y) or x in (v, y):
            continue
        now_one, now_two = _key(v, x), _key(u, y)
        if table[_place(table, now_one)] != -1 or table[_place(table, now_two)] != -1:
            continue
        _remove(table, _key(u, x))
        _remove(table, _key(v, y))
        table[_place(table, now_one)] = now_one
        table[_place(table, now_two)] = now_two
        halves[one], halves[two] = v, u
        made += 1
    return made
