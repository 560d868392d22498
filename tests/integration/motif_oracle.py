"""Oracle of the motifs around a latent: every combination of latents is looked at."""

from __future__ import annotations

from itertools import combinations, pairwise

from query_view import View
from query_worlds import World

Found = list[tuple[tuple[int, ...], float]]
"""Members, as `cofire motifs` tells them, and the weakest edge, the best first."""


def motifs_at(world: World, sae: str, index: int, kind: str, size: int, min_log_odds: float | None) -> Found:
    """The motifs around one latent; igraph finds cliques and simple paths, of which those with chords are left out."""
    view = View(world, sae).strong(min_log_odds)
    if index not in view.latents:
        return []
    found = {"star": _star, "clique": _cliques, "path": _paths, "bifan": _bifans}[kind](view, index, size)
    scored = [(members, min(view.strength(x, y) for x, y in links)) for members, links in found]
    return sorted(scored, key=lambda f: -f[1])  # equal ones stay as they are


_Found = list[tuple[tuple[int, ...], list[tuple[int, int]]]]


def _star(view: View, hub: int, size: int) -> _Found:
    near = view.neighbours(hub)
    leaves = [i for i in near if not any(view.edge(i, j) for j in near)]
    return [((hub, *sorted(leaves)), [(hub, i) for i in leaves])] if len(leaves) >= size - 1 else []


def _cliques(view: View, index: int, size: int) -> _Found:
    found = sorted(tuple(sorted(c)) for c in view.graph().cliques(size, size) if index in c)
    return [(c, list(combinations(c, 2))) for c in found]


def _paths(view: View, index: int, size: int) -> _Found:
    paths = view.graph().get_all_simple_paths(index, minlen=size - 1, maxlen=size - 1)
    induced = [p for p in paths if sum(1 for x, y in combinations(p, 2) if view.edge(x, y)) == size - 1]
    return [(tuple(p), list(pairwise(p))) for p in sorted(induced)]


def _bifans(view: View, index: int, _size: int) -> _Found:
    near, found = set(view.neighbours(index)), []
    for b in sorted(set(view.latents) - near - {index}):
        for c, d in combinations(sorted(near & set(view.neighbours(b))), 2):
            if not view.edge(c, d):
                first, second = sorted([tuple(sorted((index, b))), (c, d)])
                found.append(((*first, *second), [(x, y) for x in first for y in second]))
    return found
