"""Oracles of the motif queries: every combination of latents is looked at."""

from __future__ import annotations

from itertools import combinations

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
        | {"weakest_log_odds": min(e["logOdds"] for e in leaves.values()), **view.named(i)}
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
