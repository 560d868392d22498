"""The structure scores of the closest peer, to be compared with ours on the same graphs.

A graph is four numbers: density, maximal over mean degree, mean clustering and diameter. Each score is 1 - distance to
an ideal / sum of the distances to the three ideals. The ideals of n latents are its own: a star's ratio of degrees is
put at n - 1 (it is n / 2), a line's density at 2 / (n - 1) (it is 2 / n) and its ratio at 2 (it is n / (n - 1)).
"""

from __future__ import annotations

from typing import Any

import igraph
import numpy as np


def peer_scores(n: int, pairs: Any) -> dict[str, float]:
    """Return the scores of a connected graph on 0..n-1, by our names of the labels."""
    graph = igraph.Graph(n=n, edges=pairs)
    degree = np.array(graph.degree())
    clustering = float(np.mean(graph.transitivity_local_undirected(mode="zero")))
    here = np.array([graph.density(), min(degree.max() / degree.mean(), n - 1), clustering, graph.diameter()])
    ideals = {
        "hub_and_spoke": (2 / n, n - 1, 0, 2),
        "clique": (1, 1, 1, 1),
        "path": (2 / (n - 1), 2, 0, n - 1),
    }
    distance = {label: float(np.linalg.norm(here - ideal)) for label, ideal in ideals.items()}
    total = sum(distance.values())
    return {label: 1 - one / total for label, one in distance.items()}


def peer_label(n: int, pairs: Any) -> str:
    """Return the label of the highest score."""
    scores = peer_scores(n, pairs)
    return max(scores, key=lambda label: scores[label])
