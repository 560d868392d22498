"""Which ideal shape a small graph is a noisy copy of: star, clique, path, core and periphery, or none of these.

    1. Each shape is a set of templates on the n members (n stars, n!/2 paths, ...), all equally likely. A template
       with T edges explains the graph with x of them missing and y others added; x, and y, are equally likely from 0
       to NOISE * T, and so is every set of that many pairs.
    2. What is none of them has models of its own: any graph of a given number of edges (Erdos and Renyi), two blocks
       of latents with a density within each and between (Holland, Laskey and Leinhardt 1983, Social Networks 5), a
       double star, a cycle with loose ends.
    3. Bayes' rule over these eight models, equally likely beforehand and each represented by its best template, gives
       the probability of each label.

A model's likelihood here is e^-(length of its shortest description of the graph): the choice is one by minimum
description length (Rissanen 1978, Automatica 14).

Below TOLERANT members only a perfect shape is named: there one moved edge makes another small graph with as good a
claim to be itself. From there on some graphs have two names. A star with one spoke moved onto another spoke is a double
star whose smaller hub has one leaf: it is called mixed (2 in 7 of the stars of 8 with one edge moved, 1 in 7 of
those of 15). A random graph of density .9 is a clique with one edge in ten missing: it is called a clique.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from cofire.common.arrays import Ints

Label = Literal["hub_and_spoke", "clique", "path", "core_periphery", "mixed", "too_small"]

TOLERANT = 8
"""Members from which on a shape may have missing and added edges."""

NOISE = 0.10
"""Largest share of a template's edges that may be missing, and that may have been added: one in ten, at least one."""


PATH_ATTEMPTS = 20
"""Orders of the latents in which a path is looked for; fewer beyond 250 members."""


@dataclass(frozen=True)
class Shape:
    """The most likely label of a graph.

    Attributes:
        label: hub_and_spoke, clique, path, core_periphery or mixed.
        p: its posterior probability.
        core: the hub of a star, or the core of a core-periphery graph; empty elsewhere. Positions, ascending.
    """

    label: Label
    p: float
    core: tuple[int, ...]


def shape_of(n: int, ends: Ints) -> Shape:
    """Name a simple graph.

    Args:
        n: nodes, at least 4.
        ends: [m, 2] int64, the edges, each once, ends in 0..n-1.
    """
    m, pairs = len(ends), n * (n - 1) // 2
    near: list[set[int]] = [set() for _ in range(n)]
    for u, v in ends.tolist():
        near[u].add(v)
        near[v].add(u)
    degree = np.bincount(ends.ravel(), minlength=n)
    # Highest degree first, equal ones by index; edges and ends of edges among the first 1, 2, ... n of them.
    order = np.argsort(-degree, kind="stable")
    rank = np.empty(n, dtype=np.int64)
    rank[order] = np.arange(n)
    inside = np.cumsum(np.bincount(rank[ends].max(axis=1), minlength=n)) if m else np.zeros(n, dtype=np.int64)
    across = np.cumsum(degree[order]) - 2 * inside
    core, core_score = _core_periphery(n, m, inside, across)
    scores = {
        "hub_and_spoke": _noisy(n, m, n - 1, n - 1 - int(degree.max())) - math.log(n),
        "clique": _noisy(n, m, pairs, pairs - m),
        "path": _path(n, m, near),
        "core_periphery": core_score,
        "random": -math.log(pairs + 1) - _log_choose(pairs, m),
        "blocks": _blocks(n, m, inside, across),
        "double_star": _double_star(n, m, near, int(order[0]), int(order[1])),
        "cycle": _cycle(n, m, near),
    }
    highest = max(scores.values())
    weights = {name: math.exp(score - highest) for name, score in scores.items()}
    total = sum(weights.values())
    named: tuple[Label, ...] = ("hub_and_spoke", "clique", "path", "core_periphery")
    posterior: dict[Label, float] = {name: weights[name] / total for name in named}
    label = max(named, key=lambda name: posterior[name])
    mixed = 1 - sum(posterior.values())
    if posterior[label] <= max(mixed, 0.5):
        return Shape("mixed", mixed, ())
    found = {"hub_and_spoke": (int(order[0]),), "core_periphery": tuple(sorted(order[:core].tolist()))}.get(label, ())
    return Shape(label, posterior[label], found)


def _log_factorial(n: int) -> float:
    return math.lgamma(n + 1)


def _log_choose(n: int, k: int) -> float:
    return _log_factorial(n) - _log_factorial(k) - _log_factorial(n - k)


def _bound(n: int, template: int) -> int:
    """Return how many of a template's edges may be missing."""
    return max(1, round(NOISE * template)) if n >= TOLERANT else 0


def _noisy(n: int, m: int, template: int, missing: int) -> float:
    """Return the log likelihood of m edges given one template, of which so many are missing; -inf beyond the bounds."""
    others = n * (n - 1) // 2 - template
    added = m - (template - missing)
    bound = _bound(n, template)
    most = min(bound, others)
    if missing > bound or added > most:
        return -math.inf
    equally = math.log(bound + 1) + math.log(most + 1)
    return -equally - _log_choose(template, missing) - _log_choose(others, added)


def _core_periphery(n: int, m: int, inside: Ints, across: Ints) -> tuple[int, float]:
    """Return the best size of the core, k, and its score: 2 <= k <= n / 3 latents that meet each other and all the
    others, which do not meet. A larger core would be a clique with a few edges missing, a single latent a star's hub.
    """
    best = (0, -math.inf)
    for k in range(2, n // 3 + 1):
        within = k * (k - 1) // 2
        found = int(inside[k - 1])
        # Two hubs that share their spokes but do not meet are no core.
        if 2 * found <= within:
            continue
        template = within + k * (n - k)
        score = _noisy(n, m, template, template - found - int(across[k - 1]))
        score -= _log_choose(n, k) + math.log(n // 3 - 1)
        best = max(best, (k, score), key=lambda one: one[1])
    return best


def _blocks(n: int, m: int, inside: Ints, across: Ints) -> float:
    """Return the log likelihood of the best split of the latents, by degree, into two blocks of any densities."""
    best = -math.inf
    for k in range(1, n):
        one, both = int(inside[k - 1]), int(across[k - 1])
        parts = (
            (k * (k - 1) // 2, one),
            (k * (n - k), both),
            ((n - k) * (n - k - 1) // 2, m - one - both),
        )
        score = -math.log(n - 1) - _log_choose(n, k)
        score -= sum(math.log(possible + 1) + _log_choose(possible, found) for possible, found in parts)
        best = max(best, score)
    return best


def _double_star(n: int, m: int, near: list[set[int]], first: int, second: int) -> float:
    """Return the log likelihood of a double star on these hubs: they meet, and each has leaves of its own."""
    if n < 5:
        return -math.inf
    missing = n - len(near[first] | near[second] | {first, second}) + (second not in near[first])
    own = len(near[second] - near[first] - {first})
    fewer = min(max(own, 1), (n - 2) // 2)
    ways = math.log(n * (n - 1)) + _log_choose(n - 2, fewer) + math.log((n - 2) // 2)
    return _noisy(n, m, n - 1, missing) - ways


def _cycle(n: int, m: int, near: list[set[int]]) -> float:
    """Return the log likelihood of one cycle of c latents, the rest loose or hanging on; -inf where there is none."""
    core = [set(around) for around in near]
    leaves = [u for u in range(n) if len(core[u]) == 1]
    while leaves:
        u = leaves.pop()
        for v in core[u]:
            core[v].discard(u)
            if len(core[v]) == 1:
                leaves.append(v)
        core[u] = set()
    degrees = [len(around) for around in core if around]
    length = len(degrees)
    if length < 4 or max(degrees) != 2:
        return -math.inf
    # Several cycles side by side are taken for one, which only makes `mixed` likelier.
    ways = _log_choose(n, length) + _log_factorial(length - 1) - math.log(2) + math.log(n - 3)
    return _noisy(n, m, length, 0) - ways


def _path(n: int, m: int, near: list[set[int]]) -> float:
    """Return the log likelihood of a path."""
    bound = _bound(n, n - 1)
    # No path template can have more of its edges there than this.
    most = min(n - 1, sum(min(len(around), 2) for around in near) // 2)
    if m > n - 1 + bound or n - 1 - most > bound:
        return -math.inf
    found = 0
    for attempt in range(max(1, min(PATH_ATTEMPTS, 5000 // n))):
        order = np.random.default_rng([attempt, n]).permutation(n).tolist()
        found = max(found, _linear_forest(n, near, order))
        if found == most:
            break
    return _noisy(n, m, n - 1, n - 1 - found) - _log_factorial(n) + math.log(2)


def _linear_forest(n: int, graph: list[set[int]], order: list[int]) -> int:
    """Return how many edges a large set of disjoint paths in the graph has: those of the best path template.

    Largest sets are hard to find in general. Rule: take an edge of the latent that has fewest left, towards the one
    that has fewest, ties by `order`; drop edges that would close a cycle, and those of latents that have their two
    (after Karp and Sipser 1981, FOCS 22; exact on trees, which noisy paths nearly are).
    """
    near = [set(around) for around in graph]
    taken = [0] * n
    end = list(range(n))  # of a path's end, its other end
    edges = 0
    while True:
        open_ = [u for u in range(n) if near[u]]
        if not open_:
            return edges
        u = min(open_, key=lambda u: (len(near[u]) + taken[u], order[u]))
        v = min(near[u], key=lambda v: (len(near[v]) + taken[v], order[v]))
        near[u].discard(v)
        near[v].discard(u)
        if end[u] == v:
            continue
        edges += 1
        a, b = end[u], end[v]
        end[a], end[b] = b, a
        for w in (u, v):
            taken[w] += 1
            if taken[w] == 2:
                for x in near[w]:
                    near[x].discard(w)
                near[w] = set()
