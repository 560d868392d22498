"""Direct edges by their definition, worked out plainly: what the counting of `cofire count` is held against.

Every common neighbour is tried, every joint firing is read off a matrix of truths, one pair at a time. The steps:

1. Only edges that were kept and are judged come in; h must have an edge to both ends.
2. Twins, two latents that fire together on .8 and more of the firings of each, never explain each other's edges.
3. MH_h, the log odds ratio of a and b within the strata h on and h off and a third of one token in each cell, pooled
   (Mantel and Haenszel 1959); its variance by Robins, Breslow and Greenland (1986).
4. direct_log_odds is the least of the marginal log odds and of all MH_h.
5. Edges are visited from the weakest; one goes when some MH_h lies below the bound whose two edges still stand.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cofire.common.arrays import Bools, Floats, Ints, Ints32

TWIN = 0.8


@dataclass(frozen=True)
class DirectEdges:
    """What is said of each edge, in the order in which they came.

    Attributes:
        direct: bool [M].
        log_odds: float64 [M], direct_log_odds.
        error: float64 [M], direct_log_odds_se.
        explained_by: int64 [M], the witness; -1 where direct.
        twins: int64 [P, 2], a < b, ascending.
    """

    direct: Bools
    log_odds: Floats
    error: Floats
    explained_by: Ints
    twins: Ints


def matrix_of(indptr: Ints, indices: Ints32, latents: Ints) -> Bools:
    """Return which of these latents, ascending, fire on each token, bool [T, len(latents)]."""
    token = np.repeat(np.arange(len(indptr) - 1), np.diff(indptr))
    mine = np.isin(indices, latents)
    fires = np.zeros((len(indptr) - 1, len(latents)), np.bool_)
    fires[token[mine], np.searchsorted(latents, indices[mine])] = True
    return fires


def mantel_haenszel(a: Bools, b: Bools, h: Bools) -> tuple[float, float]:
    """Return the pooled log odds ratio of two latents given a third and its standard error, from bool [T] each."""
    strata = [(1, 1, 1, 1)]
    for stratum in (h, ~h):
        if stratum.any():
            both, only_a = np.count_nonzero(a & b & stratum), np.count_nonzero(a & ~b & stratum)
            only_b, neither = np.count_nonzero(~a & b & stratum), np.count_nonzero(~a & ~b & stratum)
            strata.append((both, only_a, only_b, neither))
    x, only_a, only_b, u = np.array(strata, np.float64).T
    t = x + only_a + only_b + u
    with_odds, against = x * u / t, only_a * only_b / t
    p, q = (x + u) / t, (only_a + only_b) / t
    r, s = with_odds.sum(), against.sum()
    variance = (
        (p * with_odds).sum() / (2 * r**2)
        + (p * against + q * with_odds).sum() / (2 * r * s)
        + (q * against).sum() / (2 * s**2)
    )
    return float(np.log(r / s)), float(np.sqrt(variance))


def direct_edges(fires: Bools, a: Ints, b: Ints, log_odds: Floats, error: Floats, *, bound: float = 1.0) -> DirectEdges:
    """Return which edges are direct.

    Args:
        fires: bool [T, N], clear firings.
        a: int64 [M], lower latents of the judged edges.
        b: int64 [M], higher latents.
        log_odds: float64 [M], the marginal log odds.
        error: float64 [M], their standard errors.
        bound: an edge below it goes.
    """
    n = fires.shape[1]
    of_latent = np.ascontiguousarray(fires.T)
    firings = of_latent.sum(axis=1)
    edge = {(int(i), int(j)): k for k, (i, j) in enumerate(zip(a, b, strict=True))}
    near: list[set[int]] = [set() for _ in range(n)]
    for i, j in edge:
        near[i].add(j)
        near[j].add(i)
    twins = set()
    for i, j in edge:
        together = np.count_nonzero(of_latent[i] & of_latent[j])
        if together >= TWIN * firings[i] and together >= TWIN * firings[j]:
            twins.add((i, j))
    given: list[dict[int, tuple[float, float]]] = []
    for i, j in edge:
        common = [h for h in sorted(near[i] & near[j]) if not {_pair(i, h), _pair(j, h)} & twins]
        given.append({h: mantel_haenszel(of_latent[i], of_latent[j], of_latent[h]) for h in common})
    least, error = log_odds.astype(np.float64), error.astype(np.float64)
    for k, found in enumerate(given):
        for value, its_error in found.values():
            if value < least[k]:
                least[k], error[k] = value, its_error
    stands = np.ones(len(a), np.bool_)
    explained_by = np.full(len(a), -1, np.int64)
    for k in np.lexsort((b, a, log_odds)):
        witnesses = [
            (value, h)
            for h, (value, _) in given[k].items()
            if value < bound and stands[edge[_pair(int(a[k]), h)]] and stands[edge[_pair(int(b[k]), h)]]
        ]
        if witnesses:
            stands[k], explained_by[k] = False, min(witnesses)[1]
    return DirectEdges(stands, least, error, explained_by, np.array(sorted(twins), np.int64).reshape(-1, 2))


def _pair(i: int, j: int) -> tuple[int, int]:
    return min(i, j), max(i, j)
