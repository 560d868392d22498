"""Which edges are dropped, one after the other, so that each has its witness when it goes.

All at once, two latents that are explained by each other's edges would both lose theirs: of a hub that an SAE splits
over several latents nothing would be left. Weakest first, what explains stands until its own turn.
"""

from __future__ import annotations

import numpy as np

from cofire.common.arrays import Bools, Floats, Ints, Ints32
from cofire.common.compiled import compiled
from cofire.ingest.direct.neighbours import Graph, edge_to


def explained_edges(graph: Graph, log_odds: Floats, first: Ints, below: Ints32) -> Ints32:
    """Return the latent that explains each edge, int32 [M]; -1 where the edge is direct.

    Edges come by ascending log odds, then (a, b). One is dropped when, of some h that explains it, both edges i-h and
    j-h still stand; the h of the smallest Mantel-Haenszel log odds among these is what is returned.

    So every dropped edge leaves a path by its witness, and the components of the graph stay whole.

    Args:
        graph: the edges.
        log_odds: float64 [M], of each.
        first: int64 [M+1]; what explains edge e stands at first[e]:first[e+1] of `below`.
        below: int32, the witnesses whose Mantel-Haenszel log odds lie below the bound, smallest first.
    """
    explained = np.full(len(graph.a), -1, np.int32)
    standing = np.ones(len(graph.a), np.bool_)
    order = np.argsort(log_odds, kind="stable")
    _drop(order, first, below, graph.a, graph.b, graph.indptr, graph.neighbour, graph.edge, standing, explained)
    return explained


@compiled
def _drop(
    order: Ints,
    first: Ints,
    below: Ints32,
    a: Ints32,
    b: Ints32,
    indptr: Ints,
    neighbour: Ints32,
    edge: Ints32,
    standing: Bools,
    explained: Ints32,
) -> None:
    for e in order:
        for k in range(first[e], first[e + 1]):
            h = below[k]
            if (
                standing[edge_to(a[e], h, indptr, neighbour, edge)]
                and standing[edge_to(b[e], h, indptr, neighbour, edge)]
            ):
                standing[e] = False
                explained[e] = h
                break
