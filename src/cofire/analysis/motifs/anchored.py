"""The motifs around one latent, the best first, from its own surroundings alone.

1. A motif is as strong as its weakest edge. So it is first looked for among edges as strong as the latent's k-th
strongest, and among weaker ones only where that gives too few.
2. What is read for that (`Surroundings`): for stars the leaves; for cliques the edges among the neighbours; for paths
and bi-fans all edges of the neighbours (and of paths longer than three, of those further on), as latents that co-fire
without being neighbours in the motif rule it out, however weakly they do.
3. `search` finds the best in that small graph, and drops what can no longer be among them.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from typing import Protocol

from cofire.analysis.motifs import Kind
from cofire.analysis.motifs.search import BestMotifs, CoFiring, Motif, Score, checked_sizes, motifs

Near = dict[int, Score]
"""Latents that a latent co-fires with, and the measure of each pair; -inf where it is undefined."""

# The latent's so many strongest edges make the first tries.
TRIES: dict[Kind, tuple[int, ...]] = {
    "star": (),
    "clique": (400, 1000),
    "path": (1, 3, 10, 30, 100),
    "bifan": (30, 100),
}
MANY = 1_000
"""From so many wanted on, there is one try with all edges."""


class Surroundings(Protocol):
    """Reads the edges of some latents of one SAE; those that do not count as co-firing are not there."""

    def edges_of(self, latents: Collection[int]) -> dict[int, Near]:
        """Return all edges of each latent."""

    def leaves_of(self, latent: int) -> Collection[int]:
        """Return the latents that co-fire with this one and with none of the others that do."""

    def edges_among(self, latents: Collection[int], floor: Score) -> dict[int, Near]:
        """Return, of each latent, the edges to others of them that are `floor` and more."""


def motifs_at(
    surroundings: Surroundings,
    latent: int,
    kind: Kind,
    *,
    min_size: int | None = None,
    max_size: int | None = None,
    limit: int,
) -> tuple[list[Motif], bool]:
    """Return the motifs around one latent, the best first, and whether there are more.

    Args:
        surroundings: reads the graph.
        latent: the latent; `cofire.analysis.motifs.search.motifs` says which motifs are around it.
        kind: star, clique, path or bifan.
        min_size: least number of latents; see `cofire.analysis.motifs.search.checked_sizes`.
        max_size: largest number of latents.
        limit: at most so many, 0 for all.

    Raises:
        InputError: the sizes do not fit the kind.
    """
    low, high = checked_sizes(kind, min_size, max_size)
    most = None if high == math.inf else int(high)
    known = surroundings.edges_of([latent])
    for floor in _floors(kind, known[latent], limit):
        graph = _graph(surroundings, latent, known, kind, high, floor)
        if limit == 0:
            found = motifs(graph, kind, min_size=low, max_size=most, at=latent)
            return sorted(found, key=_best_first), False
        best = BestMotifs(limit, math.nan if floor == -math.inf else math.nextafter(floor, -math.inf))
        best.search("", graph, kind, min_size=low, max_size=most, at=latent)
        if best.more or floor == -math.inf:
            break
    return [motif for _, motif in best.best()], best.more


def _best_first(motif: Motif) -> Score:
    # Sorting is stable: equal ones stay as they came.
    return math.inf if motif.score is None else -motif.score


def _floors(kind: Kind, near: Near, limit: int) -> Iterator[Score]:
    """Yield the scores above which motifs are looked for, falling; the last leaves nothing out."""
    strongest = sorted(near.values(), reverse=True)
    if 0 < limit < MANY:
        yield from (strongest[k] for k in TRIES[kind] if k < len(strongest) and strongest[k] > -math.inf)
    yield -math.inf


def _graph(
    surroundings: Surroundings, latent: int, known: dict[int, Near], kind: Kind, high: float, floor: Score
) -> CoFiring:
    """Return what of the graph a try needs; `known` are all edges of some latents, which it adds to."""
    near = known[latent]
    strong = {x for x, score in near.items() if score >= floor}
    if kind == "star":
        # Two readings may see two versions of the SAE; whoever reads notices that at the end.
        return _of(_joined(latent, {x: near[x] for x in surroundings.leaves_of(latent) if x in near}, {}))
    if kind == "clique":
        # A clique without strong edges is not looked for in this try.
        among = surroundings.edges_among(strong, floor)
        return _of(_joined(latent, {x: near[x] for x in strong}, among))
    reached, further = {latent}, strong
    for _ in range(int(high) - 2 if kind == "path" else 1):
        known |= surroundings.edges_of(further - known.keys())
        reached |= further
        further = {y for x in further for y, score in known[x].items() if score >= floor} - reached
    return _of({x: known[x] for x in reached})


def _joined(latent: int, near: Near, edges: dict[int, Near]) -> dict[int, Near]:
    """Return the edges with those of one latent added, from both ends."""
    return {latent: near, **{x: {**edges.get(x, {}), latent: score} for x, score in near.items()}}


def _of(edges: dict[int, Near]) -> CoFiring:
    return CoFiring({x: set(near) for x, near in edges.items()}, edges)
