"""Oracles of the motif queries: every combination of latents is looked at."""

from __future__ import annotations

from itertools import combinations, pairwise

from query_view import Rows, View, cut
from query_worlds import World


def triangles_through_latent(world: World, sae: str, index: int, limit: int) -> Rows:
    view = View(world, sae)
    rows = []
    for b, c in combinations(sorted(view.neighbours(index)), 2):
        ab, ac, bc = view.edge(index, b), view.edge(index, c), view.edge(b, c)
        if ab and ac and bc:
            rows.append(
                {"b": b, "c": c, "weakest_log_odds": min(e["logOdds"] for e in (ab, ac, bc))}
                | {"log_odds_ab": ab["logOdds"], "log_odds_ac": ac["logOdds"], "log_odds_bc": bc["logOdds"]}
                | {"least_count": min(e["count"] for e in (ab, ac, bc))}
                | {"tokens_b": view.tokens(b), "tokens_c": view.tokens(c)}
            )
    return cut(sorted(rows, key=lambda r: (-r["weakest_log_odds"], r["b"], r["c"])), limit)


def star_at_latent(world: World, sae: str, index: int, min_log_odds: float | None, limit: int) -> Rows:
    view = View(world, sae).strong(min_log_odds)
    near = view.neighbours(index)
    leaves = {i: view.edge(index, i) or {} for i in near if not any(view.edge(i, j) for j in near)}
    rows = [
        {"index": i, "log_odds": edge["logOdds"], "count": edge["count"], "degree": len(near), "leaves": len(leaves)}
        | {"independence": len(leaves) / len(near)}
        | {"weakest_log_odds": min(e["logOdds"] for e in leaves.values()), "top_tokens": view.tokens(i)}
        for i, edge in leaves.items()
    ]
    return cut(sorted(rows, key=lambda r: (-r["log_odds"], r["index"])), limit)


def open_triads_at_latent(world: World, sae: str, index: int, min_log_odds: float | None, limit: int) -> Rows:
    view = View(world, sae).strong(min_log_odds)
    rows = []
    for b, c in combinations(sorted(view.neighbours(index)), 2):
        ab, ac = view.strength(index, b), view.strength(index, c)
        if not view.edge(b, c):
            rows.append(
                {"b": b, "c": c, "weaker_log_odds": min(ab, ac), "log_odds_ab": ab, "log_odds_ac": ac}
                | {"tokens_b": view.tokens(b), "tokens_c": view.tokens(c)}
            )
    return cut(sorted(rows, key=lambda r: (-r["weaker_log_odds"], r["b"], r["c"])), limit)


def cliques_at_latent(world: World, sae: str, index: int, size: int, min_log_odds: float | None, limit: int) -> Rows:
    """igraph finds the cliques; those without the latent are left out."""
    view = View(world, sae).strong(min_log_odds)
    found = [sorted(c) for c in view.graph().cliques(size, size) if index in c] if view.latents else []
    return _best(view, [(c, min(view.strength(x, y) for x, y in combinations(c, 2))) for c in found], limit)


def chains_at_latent(world: World, sae: str, index: int, size: int, min_log_odds: float | None, limit: int) -> Rows:
    """igraph finds the simple paths; those with an edge between latents that are no neighbours in it are left out."""
    view = View(world, sae).strong(min_log_odds)
    if index not in view.latents:
        return []
    found = []
    for path in view.graph().get_all_simple_paths(index, minlen=size - 1, maxlen=size - 1):
        strengths = [view.strength(x, y) for x, y in pairwise(path)]
        edges = sum(1 for x, y in combinations(path, 2) if view.edge(x, y))
        if edges == size - 1:
            found.append((path, min(strengths)))
    return _best(view, found, limit)


def _best(view: View, found: list[tuple[list[int], float]], limit: int) -> Rows:
    return [
        {"members": members, "weakest_log_odds": score, "member_tokens": [view.shown(i, 3) for i in members]}
        for members, score in cut(sorted(found, key=lambda f: (-f[1], f[0])), limit)
    ]


def bifans_at_latent(world: World, sae: str, index: int, min_log_odds: float | None, limit: int) -> Rows:
    """Every latent that is not joined to this one, with every pair of partners that the two share."""
    view = View(world, sae).strong(min_log_odds)
    near = set(view.neighbours(index))
    rows = []
    for b in set(view.latents) - near - {index}:
        for c, d in combinations(sorted(near & set(view.neighbours(b))), 2):
            if not view.edge(c, d):
                edges = [view.strength(x, y) for x in (index, b) for y in (c, d)]
                rows.append(
                    {"opposite": b, "c": c, "d": d, "weakest_log_odds": min(edges)}
                    | {"opposite_tokens": view.tokens(b), "tokens_c": view.tokens(c), "tokens_d": view.tokens(d)}
                )
    return cut(sorted(rows, key=lambda r: (-r["weakest_log_odds"], r["opposite"], r["c"], r["d"])), limit)
