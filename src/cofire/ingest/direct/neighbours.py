"""Which third latents may explain an edge: the K common neighbours that are most tied to both ends.

1. h is a kept neighbour of both ends, and a twin of neither: a twin explains everything of its twin.
2. The K with the largest phi_ih phi_jh stay, ties by the lower h: to the first order, that product is what h adds to
   the correlation of i and j. On 113,273 real edges K = 12 and more gave the flags that all common neighbours give.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cofire.common.arrays import Bools, Floats, Ints, Ints32
from cofire.common.compiled import compiled
from cofire.ingest.direct.twins import are_twins
from cofire.ingest.edges.measures import pair_measures

K = 16
"""Witnesses of an edge at the most."""


@dataclass(frozen=True)
class Graph:
    """The kept edges, weak-only ones left out, and the neighbours of each latent.

    Attributes:
        a: int32 [M], the lower latents, sorted by (a, b).
        b: int32 [M], the higher ones.
        joint: int64 [M], joint firings; these and all that follow are clear ones where such were counted.
        firings: int64 [N], firings of each latent.
        tokens: T.
        phi: float64 [M], correlation of the two firing indicators.
        twin: bool [M], whether the two are twins.
        indptr: int64 [N+1]; the neighbours of i stand at indptr[i]:indptr[i+1].
        neighbour: int32 [2 M], ascending for each latent.
        edge: int32 [2 M], the number of the edge that leads there.
    """

    a: Ints32
    b: Ints32
    joint: Ints
    firings: Ints
    tokens: int
    phi: Floats
    twin: Bools
    indptr: Ints
    neighbour: Ints32
    edge: Ints32

    @classmethod
    def of(cls, a: Ints32, b: Ints32, joint: Ints, firings: Ints, tokens: int) -> Graph:
        """Return the graph of these edges; the arguments are the attributes of these names."""
        n_a, n_b = firings[a], firings[b]
        # A latent that fires on every token has no phi, and explains nothing.
        phi = np.nan_to_num(pair_measures(joint, n_a, n_b, tokens)["phi"])
        end, other = np.concatenate([a, b]), np.concatenate([b, a])
        order = np.lexsort((other, end))
        return cls(
            a,
            b,
            joint,
            firings,
            tokens,
            phi,
            are_twins(joint, n_a, n_b),
            np.searchsorted(end[order], np.arange(len(firings) + 1)).astype(np.int64),
            other[order],
            (order % max(len(a), 1)).astype(np.int32),
        )

    def edges_to(self, latent: Ints32, witness: Ints32) -> Ints32:
        """Return the number of the edge from each latent [m] to each of its witnesses [m, K]; -1 where none is."""
        found = np.empty(witness.shape, np.int32)
        _edges_to(latent, witness, self.indptr, self.neighbour, self.edge, found)
        return found


def witnesses(graph: Graph, start: int, stop: int, most: int = K) -> Ints32:
    """Return up to `most` witnesses of the edges start..stop-1, int32 [stop - start, most]; -1 behind the last.

    Cost: for each edge, a step for each neighbour of its higher latent.
    """
    chosen = np.full((stop - start, most), -1, np.int32)
    _choose(start, graph.a, graph.b, graph.phi, graph.twin, graph.indptr, graph.neighbour, graph.edge, chosen)
    return chosen


@compiled
def _choose(
    start: int,
    a: Ints32,
    b: Ints32,
    phi: Floats,
    twin: Bools,
    indptr: Ints,
    neighbour: Ints32,
    edge: Ints32,
    chosen: Ints32,
) -> None:
    most = chosen.shape[1]
    # The edge from the lower latent to each of its neighbours.
    leads, last = np.full(len(indptr) - 1, -1, np.int32), -1
    score = np.empty(most, np.float64)
    for number in range(len(chosen)):
        i, j, best = a[start + number], b[start + number], chosen[number]
        if i != last:
            if last >= 0:
                leads[neighbour[indptr[last] : indptr[last + 1]]] = -1
            for k in range(indptr[i], indptr[i + 1]):
                leads[neighbour[k]] = -1 if twin[edge[k]] else edge[k]
            last = i
        found = 0
        for k in range(indptr[j], indptr[j + 1]):
            h = neighbour[k]
            if leads[h] < 0 or twin[edge[k]]:
                continue
            product = phi[leads[h]] * phi[edge[k]]
            if found < most:
                found += 1
            elif product <= score[most - 1]:
                continue
            # h ascends, so of equal products the lower h stays in front.
            at = found - 1
            while at > 0 and score[at - 1] < product:
                score[at], best[at] = score[at - 1], best[at - 1]
                at -= 1
            score[at], best[at] = product, h


@compiled
def edge_to(latent: int, other: int, indptr: Ints, neighbour: Ints32, edge: Ints32) -> int:
    """Return the number of the edge between two latents, -1 where there is none."""
    low, high = indptr[latent], indptr[latent + 1]
    while low < high:
        middle = (low + high) // 2
        if neighbour[middle] < other:
            low = middle + 1
        else:
            high = middle
    return int(edge[low]) if low < indptr[latent + 1] and neighbour[low] == other else -1


@compiled
def _edges_to(latent: Ints32, witness: Ints32, indptr: Ints, neighbour: Ints32, edge: Ints32, found: Ints32) -> None:
    for row in range(len(witness)):
        for k in range(witness.shape[1]):
            h = witness[row, k]
            found[row, k] = -1 if h < 0 else edge_to(latent[row], h, indptr, neighbour, edge)
