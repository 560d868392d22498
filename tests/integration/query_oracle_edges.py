"""Oracles of the queries about co-firing pairs, neighbourhoods and paths."""

from __future__ import annotations

from itertools import pairwise

from query_view import BOTH_WAYS, EDGE, MAGNITUDE, Rows, View, cut, null_last, pick
from query_worlds import Row, World


def strongest_neighbours(world: World, sae: str, index: int, by: str, limit: int) -> Rows:
    view = View(world, sae)
    rows = []
    for other in view.neighbours(index):
        row = view.edges[min(index, other), max(index, other)]
        there, back = ("pBGivenA", "pAGivenB") if index < other else ("pAGivenB", "pBGivenA")
        rows.append(
            {"index": other}
            | pick(row, EDGE)
            | {"p_neighbour_given_latent": row[there], "p_latent_given_neighbour": row[back]}
            | pick(row, MAGNITUDE)
            | {"decoder_cosine": row["decoderCosine"], "firing_count": view.latents[other]["firingCount"]}
            | {"cluster": view.cluster(other), **view.named(other)}
        )
    return cut(sorted(rows, key=lambda r: (null_last(r[by]), r["index"])), limit)


def edge_between(world: World, sae: str, a: int, b: int) -> Rows:
    view = View(world, sae)
    row = view.edge(a, b)
    if row is None or a == b:
        return []
    low, high = sorted((a, b))
    counts = {f"firing_count_{x}": view.latents[i]["firingCount"] for x, i in (("a", low), ("b", high))}
    tokens = {"tokens_a": view.tokens(low), "tokens_b": view.tokens(high)}
    return [{"a": low, "b": high} | pick(row, BOTH_WAYS) | counts | tokens]


def edges_among(world: World, sae: str, indices: list[int]) -> Rows:
    rows = [
        {"a": a, "b": b} | pick(row, BOTH_WAYS)
        for (a, b), row in View(world, sae).edges.items()
        if a in indices and b in indices
    ]
    return sorted(rows, key=lambda r: (-r["log_odds"], r["a"], r["b"]))


def strongest_edges(world: World, sae: str, by: str, min_count: int, limit: int) -> Rows:
    view = View(world, sae)
    rows = [
        {"a": a, "b": b} | pick(row, BOTH_WAYS) | {"tokens_a": view.tokens(a), "tokens_b": view.tokens(b)}
        for (a, b), row in view.edges.items()
        if row["count"] >= min_count
    ]
    return cut(sorted(rows, key=lambda r: (null_last(r[by]), r["a"], r["b"])), limit)


def contained_latents(world: World, sae: str, min_p: float, max_reverse: float, limit: int) -> Rows:
    view = View(world, sae)
    rows = []
    for (a, b), row in view.edges.items():
        for inner, outer, p, reverse in (
            (a, b, row["pBGivenA"], row["pAGivenB"]),
            (b, a, row["pAGivenB"], row["pBGivenA"]),
        ):
            if p >= min_p and reverse <= max_reverse:
                rows.append(
                    {"contained": inner, "container": outer, "p_container_given_contained": p}
                    | {"p_contained_given_container": reverse, "count": row["count"], "log_odds": row["logOdds"]}
                    | {"decoder_cosine": row["decoderCosine"], "contained_tokens": view.tokens(inner)}
                    | {"container_tokens": view.tokens(outer)}
                )
    rows.sort(key=lambda r: (-r["p_container_given_contained"], -r["log_odds"], r["contained"], r["container"]))
    return cut(rows, limit)


def common_neighbours(world: World, sae: str, a: int, b: int, limit: int) -> Rows:
    view = View(world, sae)
    rows = []
    for c in set(view.neighbours(a)) & set(view.neighbours(b)):
        x, y = view.edge(a, c), view.edge(b, c)
        assert x
        assert y
        rows.append(
            {"index": c, "weaker_log_odds": min(x["logOdds"], y["logOdds"]), "log_odds_a": x["logOdds"]}
            | {"log_odds_b": y["logOdds"], "count_a": x["count"], "count_b": y["count"], **view.named(c)}
        )
    return cut(sorted(rows, key=lambda r: (-r["weaker_log_odds"], r["index"])), limit) if a != b else []


def path_between_latents(world: World, sae: str, a: int, b: int, max_steps: int) -> Rows:
    view = View(world, sae)
    paths = [[a]]
    for _ in range(max_steps):
        if a == b or a not in view.latents or any(path[-1] == b for path in paths):
            break
        paths = [[*path, n] for path in paths for n in view.neighbours(path[-1]) if n not in path]
    ending = [path for path in paths if path[-1] == b and len(path) > 1]
    if not ending:
        return []

    def edges(path: list[int]) -> list[Row]:
        return [view.edge(x, y) or {} for x, y in pairwise(path)]

    best = min(ending, key=lambda path: (-min(edge["logOdds"] for edge in edges(path)), path))
    return [
        {"step": step, "index": i, "log_odds": edge and edge["logOdds"], "count": edge and edge["count"]}
        | {"cluster": view.cluster(i), **view.named(i)}
        for step, (i, edge) in enumerate(zip(best, [None, *edges(best)], strict=True))
    ]


def two_hop_neighbours(world: World, sae: str, index: int, limit: int) -> Rows:
    view = View(world, sae)
    near = set(view.neighbours(index))
    rows = []
    for other in set(view.latents) - near - {index}:
        partners = set(view.neighbours(other))
        if near & partners:
            rows.append(
                {"index": other, "shared": len(near & partners), "partners": len(partners)}
                | {"firing_count": view.latents[other]["firingCount"], **view.named(other)}
            )
    return cut(sorted(rows, key=lambda r: (-r["shared"], r["index"])), limit)


def similar_hubs(world: World, sae: str, index: int, limit: int) -> Rows:
    view = View(world, sae)
    near = set(view.neighbours(index))
    rows = []
    for other in set(view.latents) - {index}:
        partners = set(view.neighbours(other))
        if near & partners:
            edge = view.edge(index, other)
            either = (near | partners) - {index, other}
            rows.append(
                {"index": other, "shared": len(near & partners), "partners": len(partners)}
                | {"jaccard": len(near & partners) / len(either), "log_odds": edge and edge["logOdds"]}
                | {**view.named(other)}
            )
    return cut(sorted(rows, key=lambda r: (-r["shared"], r["index"])), limit)


def hub_overlap(world: World, sae: str, a: int, b: int, min_log_odds: float | None) -> Rows:
    view = View(world, sae).strong(min_log_odds)
    if a == b or a not in view.latents or b not in view.latents:
        return []
    of_a, of_b = set(view.neighbours(a)) - {b}, set(view.neighbours(b)) - {a}
    shared, either, lesser = len(of_a & of_b), len(of_a | of_b), min(len(of_a), len(of_b))
    return [
        {"partners_a": len(of_a), "partners_b": len(of_b), "shared": shared, "own_a": len(of_a - of_b)}
        | {"own_b": len(of_b - of_a), "jaccard": shared / either if either else None}
        | {"overlap": shared / lesser if lesser else None, "joined": view.edge(a, b) is not None}
        | {"tokens_a": view.tokens(a), "tokens_b": view.tokens(b)}
    ]
