"""Motifs of a co-firing graph: stars, cliques, induced paths and bi-fans, each found once, one after the other.

A star    one per hub: the hub and its leaves, the neighbours that co-fire with no other neighbour of the hub
A clique  k latents that all co-fire with each other
A path    an induced path of k latents: neighbours in the path co-fire, all others do not
A bi-fan  an induced K(2,2): a and b both co-fire with c and with d; a with b does not, nor c with d

The score of a motif is the least value, over its own edges, of the measure that the graph was built with.

Every search goes up the latents by index and puts out members in ascending order of their tuples. So equal scores
need no further key: whoever came first stands first. And a search for the N best can drop a partial motif as soon as
its score so far is no better than that of the N-th best, as no extension can be better and no later one precedes.

igraph's own searches either hold all results in memory (cliques, subisomorphisms) or only count them (motifs), so the
searches here are written over neighbour sets; the tests compare them with igraph's.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import combinations

from cofire.analysis.motifs import Kind
from cofire.common.progress import Progress
from cofire.errors import InputError

Score = int | float

DEFAULT_SIZE = 4
"""Below four latents a star is a path and a clique is a triangle."""

_SIZES: dict[Kind, tuple[int, float]] = {"star": (3, math.inf), "clique": (3, 6), "path": (3, 6), "bifan": (4, 4)}


@dataclass(frozen=True)
class Motif:
    """One motif.

    Attributes:
        kind: star, clique, path or bifan.
        members: latent indices. star: the hub, then its leaves ascending. clique: ascending. path: from one end to the
            other, the lower end first. bifan: a, b, c, d, where a is the lowest of all, b the one that it does not
            co-fire with, and c < d.
        score: the least value of the measure over the motif's edges; None where it is undefined on one of them.
    """

    kind: Kind
    members: tuple[int, ...]
    score: Score | None


@dataclass
class CoFiring:
    """The co-firing graph of one SAE with one measure on its edges; latents without an edge are not in it.

    Some 300 bytes of memory an edge.

    Attributes:
        neighbours: per latent, those that it co-fires with.
        measure: per latent and neighbour, the value of the measure, the same both ways; -inf where it is undefined.
    """

    neighbours: dict[int, set[int]] = field(default_factory=dict)
    measure: dict[int, dict[int, Score]] = field(default_factory=dict)

    @classmethod
    def of(cls, edges: Iterable[tuple[int, int, Score | None]]) -> CoFiring:
        """Build the graph of edges (a, b, value of the measure or None), each pair of latents given once."""
        graph = cls()
        for a, b, value in edges:
            known = -math.inf if value is None else value
            for one, other in ((a, b), (b, a)):
                graph.neighbours.setdefault(one, set()).add(other)
                graph.measure.setdefault(one, {})[other] = known
        return graph


def checked_sizes(kind: Kind, min_size: int | None, max_size: int | None) -> tuple[int, float]:
    """Return the least and largest size to search for, defaults filled in.

    The default is exactly four latents; for stars four and more. With only a least size, cliques and paths have exactly
    that size; with only a largest one, motifs have four latents up to that, or exactly that many where it is lower.

    Raises:
        InputError: an unknown kind; bounds beyond what it allows, or crossing.
    """
    if kind not in _SIZES:
        raise InputError(f"unknown kind of motif {kind}; give one of {', '.join(_SIZES)}")
    least, largest = _SIZES[kind]
    high: float
    if max_size is not None:
        high = max_size
    elif kind == "star":
        high = largest
    else:
        high = DEFAULT_SIZE if min_size is None else min_size
    low = min_size if min_size is not None else int(min(DEFAULT_SIZE, high))
    if not least <= low <= high <= largest:
        allowed = f"{least} and more" if largest == math.inf else f"{least} to {largest}"
        wanted = f"{low} and more" if high == math.inf else f"{low} to {high}"
        raise InputError(f"--min-size, --max-size: a {kind} of {wanted} latents; give sizes of {allowed}")
    return low, high


def motifs(
    graph: CoFiring,
    kind: Kind,
    *,
    min_size: int | None = None,
    max_size: int | None = None,
    at: int | None = None,
    progress: Progress | None = None,
) -> Iterator[Motif]:
    """Yield every motif of one kind as it is found, in ascending order of the members (around a latent: nearly).

    Memory does not grow with the number of motifs.

    Args:
        graph: the edges that count as co-firing; for induced motifs, a pair without an edge here does not co-fire.
        kind: star, clique, path or bifan.
        min_size: least number of latents; see `checked_sizes`.
        max_size: largest number of latents.
        at: only the motifs around this latent: the star whose hub it is; the cliques and bi-fans that hold it; the
            paths that begin at it, told from there.
        progress: called with (latents done, latents in all).

    Raises:
        InputError: the sizes do not fit the kind.
    """
    low, high = checked_sizes(kind, min_size, max_size)
    found = _Search(graph, low, high, math.nan).run(kind, at, progress)
    return (_motif(kind, score, members) for score, members in found)


class BestMotifs:
    """The best motifs of one search after the other: the highest scores, undefined ones last, equal ones as they came.

    Holds `limit` + 1 motifs: the one too many tells whether there are more.

    Args:
        limit: how many to keep, at least 1.
        floor: motifs whose score is not above it are left out; NaN for all.
    """

    def __init__(self, limit: int, floor: Score = math.nan) -> None:
        if limit < 1:
            raise InputError(f"limit is {limit}; give 1 or more")
        self._limit = limit
        self._heap: list[tuple[Score, int, str, Motif]] = []
        self._seen = 0
        self._floor: Score = floor

    def search(
        self,
        sae: str,
        graph: CoFiring,
        kind: Kind,
        *,
        min_size: int | None = None,
        max_size: int | None = None,
        at: int | None = None,
        progress: Progress | None = None,
    ) -> None:
        """Search one SAE's graph; arguments and errors as `motifs`."""
        low, high = checked_sizes(kind, min_size, max_size)
        search = _Search(graph, low, high, self._floor)
        for score, members in search.run(kind, at, progress):
            self._seen += 1
            entry = (score, -self._seen, sae, _motif(kind, score, members))
            if len(self._heap) <= self._limit:
                heapq.heappush(self._heap, entry)
            else:
                heapq.heapreplace(self._heap, entry)
            if len(self._heap) > self._limit:
                search.floor = self._floor = self._heap[0][0]

    @property
    def more(self) -> bool:
        """True when there are more motifs than the best ones."""
        return len(self._heap) > self._limit

    def best(self) -> list[tuple[str, Motif]]:
        """Return (SAE uid, motif), the best first."""
        ordered = sorted(self._heap, key=lambda entry: entry[:2], reverse=True)
        return [(sae, motif) for _, _, sae, motif in ordered[: self._limit]]


def _motif(kind: Kind, score: Score, members: tuple[int, ...]) -> Motif:
    return Motif(kind, members, None if score == -math.inf else score)


_Found = Generator[tuple[Score, tuple[int, ...]], None, None]


@dataclass
class _Search:
    """One search through one graph for motifs of low to high latents.

    Attributes:
        floor: partial motifs whose score is not above it are dropped; it may rise meanwhile. Nothing compares with
            NaN, so that keeps all.
    """

    graph: CoFiring
    low: int
    high: float
    floor: Score

    def run(self, kind: Kind, at: int | None, progress: Progress | None) -> _Found:
        """Yield (score, members) in ascending order of the members, of all latents or around one."""
        if at is not None:
            yield from self.around(kind, at) if at in self.graph.neighbours else ()
            return
        latents = sorted(self.graph.neighbours)
        later: dict[int, set[int]] = {}
        if kind == "clique":
            later = {x: {y for y in near if y > x} for x, near in self.graph.neighbours.items()}
        for done, latent in enumerate(latents):
            if progress is not None:
                progress(done, len(latents))
            if kind == "star":
                yield from self.star(latent)
            elif kind == "clique":
                yield from self.cliques(later, (latent,), later[latent], math.inf)
            elif kind == "path":
                yield from self.paths((latent,), self.graph.neighbours[latent], math.inf)
            else:
                yield from self.bifans(latent)
        if progress is not None:
            progress(len(latents), len(latents))

    def around(self, kind: Kind, latent: int) -> _Found:
        """Yield (score, members) of the motifs around one latent."""
        near = self.graph.neighbours[latent]
        if kind == "star":
            yield from self.star(latent)
        elif kind == "clique":
            later = {x: {y for y in self.graph.neighbours[x] if y > x} for x in near}
            # A latent that all have in common does not change which of two sets of equal size comes first.
            for score, members in self.cliques(later, (latent,), near, math.inf):
                yield score, tuple(sorted(members))
        elif kind == "path":
            yield from self.paths((latent,), near, math.inf, both_ways=True)
        else:
            for score, (a, b, c, d) in self.bifans(latent, lowest=False):
                first, second = sorted([(min(a, b), max(a, b)), (c, d)])
                yield score, (*first, *second)

    def star(self, hub: int) -> _Found:
        """Yield the star around a hub, if it has as many leaves as are asked for."""
        around = self.graph.neighbours[hub]
        leaves = sorted(x for x in around if around.isdisjoint(self.graph.neighbours[x]))
        if self.low <= 1 + len(leaves) <= self.high:
            score = min(self.graph.measure[hub][x] for x in leaves)
            if not score <= self.floor:
                yield score, (hub, *leaves)

    def cliques(
        self, later: dict[int, set[int]], members: tuple[int, ...], candidates: set[int], score: Score
    ) -> _Found:
        """Grow a clique by `candidates`, the latents above all members that co-fire with each of them."""
        size = len(members) + 1
        if len(members) + len(candidates) < self.low:
            return
        for x in sorted(candidates):
            known = self.graph.measure[x]
            least = min(score, *(known[m] for m in members))
            if least <= self.floor:
                continue
            grown = (*members, x)
            if size >= self.low:
                yield least, grown
            if size < self.high:
                yield from self.cliques(later, grown, candidates & later[x], least)

    def paths(self, members: tuple[int, ...], candidates: set[int], score: Score, *, both_ways: bool = False) -> _Found:
        """Grow an induced path by `candidates`, neighbours of its last latent that co-fire with none before it.

        `both_ways`: not only those that begin at their lower end.
        """
        size, known = len(members) + 1, self.graph.measure[members[-1]]
        first = -1 if both_ways else members[0]
        # A path of full size stands once, with its lower end first.
        for x in sorted(c for c in candidates if c > first) if size == self.high else sorted(candidates):
            least = min(score, known[x])
            if least <= self.floor:
                continue
            grown = (*members, x)
            if size >= self.low and x > first:
                yield least, grown
            if size < self.high:
                # The last latent itself is a neighbour of the one before it, so only the first needs to be taken out.
                onward = self.graph.neighbours[x] - {members[0]}
                for member in members:
                    onward -= self.graph.neighbours[member]
                yield from self.paths(grown, onward, least, both_ways=both_ways)

    def bifans(self, a: int, *, lowest: bool = True) -> _Found:
        """Yield the bi-fans of which a is the lowest latent, or just one."""
        near, of_a, measure = self.graph.neighbours[a], self.graph.measure[a], self.graph.measure
        least = a if lowest else -1
        shared: dict[int, list[int]] = {}
        for c in sorted(x for x in near if x > least and not of_a[x] <= self.floor):
            for b in self.graph.neighbours[c] - near:
                if b > least and b != a:
                    shared.setdefault(b, []).append(c)
        for b in sorted(shared):
            both = [c for c in shared[b] if not measure[c][b] <= self.floor]
            for c, d in combinations(both, 2):
                score = min(of_a[c], of_a[d], measure[c][b], measure[d][b])
                if not score <= self.floor and d not in self.graph.neighbours[c]:
                    yield score, (a, b, c, d)
