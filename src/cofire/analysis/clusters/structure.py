"""The shape of one cluster: a star, a clique, a path, a core with a periphery, or none of these.

    1. take the graph that the kept edges induce on the cluster's n members;
    2. describe it by seven numbers, each undefined (None) below four members;
    3. name the ideal shape that it is, or is but for one edge in ten, with a probability (`shapes`);
    4. give each member its role in that shape.

The label looks at edges alone, not at their weights. How near a cluster comes to a star or a clique is what
`centralization` and `density` say; a fixed rule on such scores ties small stars and cliques.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from cofire.analysis.clusters.cliques import largest_clique, neighbours_as_bits
from cofire.analysis.clusters.shapes import Label, shape_of
from cofire.errors import InputError
from cofire.schema.cluster_tables import NUMBERS

if TYPE_CHECKING:
    import numpy.typing as npt

    from cofire.common.arrays import Array, Floats, Ints

__all__ = ["MAX_CLIQUE_WORK", "MIN_SIZE", "NUMBERS", "Label", "Role", "Structure", "structure"]

Role = Literal["hub", "spoke", "core", "member"]

MIN_SIZE = 4
"""Below four members a star is a path and a path is nearly a clique: no structure is told."""

MAX_CLIQUE_WORK = 5_000_000
"""Nodes coloured (a tenth of a second's work) after which the search for a cluster's largest clique is given up; its
`max_clique_share` is then None."""


@dataclass(frozen=True)
class Structure:
    """The structure of one cluster. Every number lies in [0, 1]; None means undefined.

    Attributes:
        label: hub_and_spoke, clique, path, core_periphery, mixed, or too_small (n < 4, all numbers None).
        structure_p: probability of the label; None for too_small.
        density: m / (n (n - 1) / 2), m edges among n members.
        centralization: Freeman degree centralisation; 1 for a star, 0 for a regular graph.
        strength_centralization: the same of strengths, relative to a star whose edges all have the largest weight: 1
            for a star of equal edges alone; None without an edge.
        transitivity: 3 * triangles / connected triples; None without any connected triple.
        core_periphery: correlation over all pairs of being an edge with touching the hub, for the hub that gives the
            highest; 1 for a star; None for a clique and without an edge.
        max_clique_share: members of the largest clique / n; None when the search was given up.
        gini: Gini coefficient of the members' strengths; None when all strengths are 0.
        strength: per member, in the order given, the sum of its edges' weights (defined for every n).
        roles: per member, in the order given. hub_and_spoke: hub, spoke for those that it meets; core_periphery: core;
            all others member.
    """

    label: Label
    structure_p: float | None
    density: float | None
    centralization: float | None
    strength_centralization: float | None
    transitivity: float | None
    core_periphery: float | None
    max_clique_share: float | None
    gini: float | None
    strength: Floats
    roles: tuple[Role, ...]


def structure(members: npt.ArrayLike, a: npt.ArrayLike, b: npt.ArrayLike, weight: npt.ArrayLike) -> Structure:
    """Describe the graph that weighted edges induce on the members of one cluster.

    Formulas: Freeman degree centralisation, sum_i (k_max - k_i) / ((n - 1)(n - 2)) (Freeman 1979, Social Networks 1);
    strength centralisation, sum_i (s_max - s_i) / ((n - 1)(n - 2) w_max), which is the largest that weights of at most
    w_max can give (divided by the mean weight instead, a clique with one heavy edge would reach 2); core-periphery
    correlation with a core of one latent (Borgatti and Everett 2000, Social Networks 21, unweighted), the hub being
    one of the highest degree, as that maximises it;
    transitivity, 3 * triangles / connected triples (Newman, Watts and Strogatz 2002, PNAS 99, computed by igraph);
    Gini coefficient of the ascending strengths x, sum_i (2 i - n - 1) x_i / (n sum_i x_i) (Sen 1973; without the
    small-sample factor n / (n - 1)). The largest clique is given up once MAX_CLIQUE_WORK nodes have been coloured
    (`cliques`; a random graph of 200 nodes and density .5 takes a few percent of that).

    Args:
        members: [n] int, distinct latent indices.
        a: [m] int, one end of each edge, a member.
        b: [m] int, the other end, another member. Each pair stands once, in either order.
        weight: [m] float, finite and > 0 (log_odds, in nats).

    Returns:
        The label, the numbers and the members' strengths.

    Raises:
        InputError: An edge leaves the cluster, is a loop or stands twice, or a weight is not finite and positive.
    """
    import igraph

    nodes = np.asarray(members, dtype=np.int64)
    ends, weights = _checked(nodes, np.stack([np.asarray(a), np.asarray(b)], axis=1), weight)
    n, m = len(nodes), len(ends)
    strength = np.bincount(ends.ravel(), weights=np.repeat(weights, 2), minlength=n).astype(np.float64)
    if n < MIN_SIZE:
        return Structure("too_small", None, None, None, None, None, None, None, None, strength, _roles((), n, ends))

    graph = igraph.Graph(n=n, edges=ends)
    degree = np.bincount(ends.ravel(), minlength=n)
    shape = shape_of(n, ends)
    transitivity = float(graph.transitivity_undirected(mode="nan"))
    clique = n if 2 * m == n * (n - 1) else _clique_number(graph, ends)
    return Structure(
        label=shape.label,
        structure_p=shape.p,
        density=m / (n * (n - 1) / 2),
        centralization=float((degree.max() - degree).sum()) / ((n - 1) * (n - 2)),
        strength_centralization=_strength_centralization(strength, weights),
        transitivity=None if np.isnan(transitivity) else transitivity,
        core_periphery=_core_periphery(n, m, int(degree.max())),
        max_clique_share=None if clique is None else clique / n,
        gini=_gini(strength),
        strength=strength,
        roles=_roles(shape.core, n, ends),
    )


def _checked(nodes: Ints, pairs: Array, weight: npt.ArrayLike) -> tuple[Ints, Floats]:
    """Return the edges as positions [m, 2] in `nodes`, low first, and the weights [m] as float64."""
    weights = np.asarray(weight, dtype=np.float64)
    order = np.argsort(nodes, kind="stable")
    ranked = nodes[order]
    if len(np.unique(ranked)) != len(nodes):
        raise InputError("cluster: a latent is listed twice among the members; list each once")
    if len(weights) != len(pairs):
        raise InputError(f"cluster: {len(pairs)} edges but {len(weights)} weights; give one weight per edge")
    if not np.isin(pairs, nodes).all():
        raise InputError("cluster: an edge ends outside the members; give the edges among the members only")
    if not (np.isfinite(weights) & (weights > 0)).all():
        raise InputError("cluster: a weight is not finite and positive; leave such edges out")
    ends = np.sort(order[np.searchsorted(ranked, pairs)].reshape(-1, 2), axis=1)
    if (ends[:, 0] == ends[:, 1]).any() or len(np.unique(ends, axis=0)) != len(ends):
        raise InputError("cluster: an edge is a loop or stands twice; give each pair of latents once")
    return ends, weights


def _strength_centralization(strength: Floats, weights: Floats) -> float | None:
    n = len(strength)
    if not len(weights):
        return None
    # Rounding must not take a star past 1.
    return min(1.0, float((strength.max() - strength).sum()) / ((n - 1) * (n - 2) * float(weights.max())))


def _core_periphery(n: int, m: int, hub: int) -> float | None:
    """Return Pearson's correlation of two 0/1 variables over all pairs.

    m pairs are edges, n - 1 touch the hub, `hub` do both.
    """
    pairs = n * (n - 1) // 2
    if m in (0, pairs):
        return None
    spread = m * (pairs - m) * (n - 1) * (pairs - n + 1)
    return (pairs * hub - m * (n - 1)) / math.sqrt(spread)


def _roles(core: tuple[int, ...], n: int, ends: Ints) -> tuple[Role, ...]:
    """Give the roles: a core of one is a star's hub."""
    roles: list[Role] = ["member"] * n
    if len(core) == 1:
        for node in ends[(ends == core[0]).any(axis=1)].ravel().tolist():
            roles[node] = "spoke"
    for node in core:
        roles[node] = "hub" if len(core) == 1 else "core"
    return tuple(roles)


def _gini(strength: Floats) -> float | None:
    total = float(strength.sum())
    if total <= 0:
        return None
    n = len(strength)
    rank = 2.0 * np.arange(1, n + 1) - n - 1
    # Equal strengths can leave -1e-17 behind, which is no share of anything.
    return max(0.0, float(rank @ np.sort(strength)) / (n * total))


def _clique_number(graph: Any, ends: Ints) -> int | None:
    """Return the size of the largest clique, or None when MAX_CLIQUE_WORK did not suffice to prove one largest."""
    coreness, degree = graph.coreness(), graph.degree()
    nodes = sorted(range(graph.vcount()), key=lambda v: (-coreness[v], -degree[v], v))
    near = neighbours_as_bits(graph.vcount(), ends)
    return largest_clique(near, np.array(nodes, np.int64), MAX_CLIQUE_WORK) or None
