"""Graphs of known shape, perfect and with edges moved, for the tests of structure."""

from __future__ import annotations

import itertools
from typing import Any

Pairs = list[tuple[int, int]]


def star(n: int) -> Pairs:
    return [(0, i) for i in range(1, n)]


def clique(n: int) -> Pairs:
    return list(itertools.combinations(range(n), 2))


def path(n: int) -> Pairs:
    return [(i, i + 1) for i in range(n - 1)]


def cycle(n: int) -> Pairs:
    return [*path(n), (0, n - 1)]


def split(n: int, core: int) -> Pairs:
    """A core that meets everybody, a periphery that meets the core alone."""
    return [(i, j) for i in range(core) for j in range(i + 1, n)]


def double_star(n: int, left: int) -> Pairs:
    """Two hubs, 0 and 1, that meet; 0 has `left` leaves, 1 the others."""
    return [(0, 1), *((0, i) for i in range(2, 2 + left)), *((1, i) for i in range(2 + left, n))]


def kite(n: int) -> Pairs:
    """A clique with one pendant; the paw is the one on four nodes."""
    return [*clique(n - 1), (0, n - 1)]


def random_graph(n: int, density: float, rng: Any) -> Pairs:
    return [pair for pair in clique(n) if rng.random() < density]


def moved(n: int, pairs: Pairs, rng: Any, count: int | None = None) -> Pairs:
    """Delete one edge in ten (at least one, or `count`), and add as many pairs that were absent.

    A clique has no absent pair: its edges are moved out of the cluster. The nodes are numbered anew, at random.
    """
    count = max(1, round(len(pairs) / 10)) if count is None else count
    had = set(pairs)
    absent = [pair for pair in clique(n) if pair not in had]
    gone = set(rng.choice(len(pairs), count, replace=False).tolist())
    new = rng.choice(len(absent), count, replace=False).tolist() if absent else []
    left = [pair for place, pair in enumerate(pairs) if place not in gone] + [absent[place] for place in new]
    number = rng.permutation(n).tolist()
    return [(min(number[x], number[y]), max(number[x], number[y])) for x, y in left]


def planted_or_not(rng: Any) -> tuple[int, Pairs, str]:
    """Return n, the edges and the true label: half shapes, two thirds of them noisy from eight on; half others."""
    n, kind = int(rng.integers(6, 61)), int(rng.integers(8))
    if kind < 4:
        core = int(rng.integers(2, max(3, n // 3 + 1)))
        pairs = (star(n), clique(n), path(n), split(n, core))[kind]
        if n >= 8 and rng.random() < 2 / 3:
            pairs = moved(n, pairs, rng, int(rng.integers(1, max(1, round(len(pairs) / 10)) + 1)))
        return n, pairs, ("hub_and_spoke", "clique", "path", "core_periphery")[kind]
    density, cut, other = rng.random((2, 2)), int(rng.integers(1, n)), int(rng.integers(5))
    if other == 0:
        return n, cycle(n), "mixed"
    if other == 1:
        return n, double_star(n, int(rng.integers(1, n - 2))), "mixed"
    if other == 2:
        return n, kite(n), "mixed"
    if other == 3:
        return n, random_graph(n, density[0, 0], rng), "mixed"
    blocks = [(x, y) for x, y in clique(n) if rng.random() < density[int(x < cut), int(y < cut)]]
    return n, blocks, "mixed"
