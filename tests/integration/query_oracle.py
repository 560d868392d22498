"""What each query of the library must answer, computed in plain Python from a world.

One function a query, of the query's name; it takes the world and the bound parameters and returns the rows in order,
each a dict of the query's columns. `CASES` says with which parameters each is asked.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import combinations, pairwise
from typing import Any

from query_worlds import LOADING, READY, TEXTS, Row, World

Rows = list[Row]
EDGE = {
    "count": "count",
    "expected": "expected",
    "log_odds": "logOdds",
    "jaccard": "jaccard",
    "phi": "phi",
    "npmi": "npmi",
    "lift": "lift",
}
BOTH_WAYS = EDGE | {"p_b_given_a": "pBGivenA", "p_a_given_b": "pAGivenB", "decoder_cosine": "decoderCosine"}
MEASURES = EDGE | {"decoder_cosine": "decoderCosine"}
del MEASURES["expected"]


class View:
    """One SAE of a world, as library queries may see it: empty unless it is ready."""

    def __init__(self, world: World, sae: str) -> None:
        self.sae = sae
        ready = sae in world.saes and world.saes[sae]["status"] == "ready"
        self.latents = {i: row for (s, i), row in world.latents.items() if ready and s == sae}
        self.edges = {(a, b): row for (s, a, b), row in world.edges.items() if ready and s == sae}
        self.clusters = {c: row for c, row in world.clusters.items() if ready and row["sae"] == sae}
        self.members = {i: member for (s, i), member in world.members.items() if ready and s == sae}
        self.fires_on = {(i, t): row for (s, i, t), row in world.fires_on.items() if ready and s == sae}

    def edge(self, a: int, b: int) -> Row | None:
        return self.edges.get((min(a, b), max(a, b)))

    def neighbours(self, a: int) -> list[int]:
        return [y if x == a else x for x, y in self.edges if a in (x, y)]

    def cluster(self, index: int) -> str | None:
        return self.members[index][0] if index in self.members else None

    def inside(self, cluster: str) -> list[int]:
        """The cluster's members, strongest first."""
        found = [i for i, (c, _) in self.members.items() if c == cluster]
        return sorted(found, key=lambda i: (-self.members[i][1]["strength"], i))

    def partners_inside(self, index: int, cluster: str) -> int:
        return sum(
            1
            for other in self.neighbours(index)
            if self.cluster(other) == cluster and self.edge(index, other)["logOdds"] > 0  # type: ignore[index]
        )

    def tokens(self, index: int) -> list[str]:
        return list(self.latents[index]["topTokens"])


def ready_saes(world: World) -> list[str]:
    return sorted(uid for uid, row in world.saes.items() if row["status"] == "ready")


def pick(row: Row, names: dict[str, str]) -> Row:
    return {column: row[prop] for column, prop in names.items()}


def cut(rows: Rows, limit: int) -> Rows:
    return rows[:limit] if limit else rows


def null_last(value: Any) -> tuple[bool, float]:
    """A sort key: largest first, null last."""
    return (value is None, 0 if value is None else -value)


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)


def saes(world: World) -> Rows:
    columns = "uid release sae_id model hook layer architecture n_latents tokens documents firings mean_l0 edge_rule"
    names = {c: _camel(c) for c in columns.split()}
    return [pick(world.saes[uid], names) for uid in ready_saes(world)]


def sae_summary(world: World, sae: str) -> Rows:
    if sae not in ready_saes(world):
        return []
    view, row = View(world, sae), world.saes[sae]
    partners = {i: len(view.neighbours(i)) for i in view.latents}
    dead = {i for i, latent in view.latents.items() if latent["dead"]}
    structures = [c["structure"] for c in view.clusters.values()]
    return [
        {
            "latents": len(view.latents),
            "dead": len(dead),
            "isolated": sum(1 for i, n in partners.items() if n == 0 and i not in dead),
            "clustered": len(view.members),
            "edges": len(view.edges),
            "most_partners": max(partners.values()),
            "clusters": len(view.clusters),
            "largest_cluster": max((c["size"] for c in view.clusters.values()), default=0),
        }
        | {s: structures.count(s) for s in ("hub_and_spoke", "clique", "path", "mixed", "too_small")}
        | {"tokens": row["tokens"], "documents": row["documents"], "firings": row["firings"], "mean_l0": row["meanL0"]}
    ]


def latent_card(world: World, sae: str, index: int) -> Rows:
    view = View(world, sae)
    if index not in view.latents:
        return []
    columns = "index firing_count frequency mean std max threshold mu mu_rule dead top_tokens"
    row = pick(view.latents[index], {c: _camel(c) for c in columns.split()})
    cluster, member = view.members.get(index, (None, {}))
    found = view.clusters[cluster] if cluster else {}
    row |= {"partners": len(view.neighbours(index)), "cluster": cluster, "role": member.get("role")}
    row |= {"strength": member.get("strength"), "cluster_size": found.get("size"), "structure": found.get("structure")}
    return [row | {"histogram": view.latents[index]["histogram"]}]


def latent_contexts(world: World, sae: str, index: int, limit: int) -> Rows:
    view = View(world, sae)
    rows = [shown | context for s, i, shown, context in world.contexts if s == sae and i == index and view.latents]
    columns = ("rank", "activation", "u", "document", "position", "text")
    return cut([{c: row[c] for c in columns} for row in sorted(rows, key=lambda row: row["rank"])], limit)


def latent_tokens(world: World, sae: str, index: int, limit: int) -> Rows:
    rows = [
        {"token": t, "text": world.tokens[t]} | row for (i, t), row in View(world, sae).fires_on.items() if i == index
    ]
    return cut(sorted(rows, key=lambda r: (-r["count"], r["token"])), limit)


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
            | {"decoder_cosine": row["decoderCosine"], "firing_count": view.latents[other]["firingCount"]}
            | {"cluster": view.cluster(other), "top_tokens": view.tokens(other)}
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


def common_neighbours(world: World, sae: str, a: int, b: int, limit: int) -> Rows:
    view = View(world, sae)
    rows = []
    for c in set(view.neighbours(a)) & set(view.neighbours(b)):
        x, y = view.edge(a, c), view.edge(b, c)
        assert x
        assert y
        rows.append(
            {"index": c, "weaker_log_odds": min(x["logOdds"], y["logOdds"]), "log_odds_a": x["logOdds"]}
            | {"log_odds_b": y["logOdds"], "count_a": x["count"], "count_b": y["count"], "top_tokens": view.tokens(c)}
        )
    return cut(sorted(rows, key=lambda r: (-r["weaker_log_odds"], r["index"])), limit) if a != b else []


def common_tokens(world: World, sae: str, a: int, b: int, limit: int) -> Rows:
    view = View(world, sae)
    rows = []
    for token, text in world.tokens.items():
        x, y = view.fires_on.get((a, token)), view.fires_on.get((b, token))
        if x and y and a != b:
            rows.append(
                {"token": token, "text": text, "count_a": x["count"], "count_b": y["count"], "share_a": x["share"]}
                | {"share_b": y["share"], "lesser_share": min(x["share"], y["share"])}
            )
    return cut(sorted(rows, key=lambda r: (-r["lesser_share"], r["token"])), limit)


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
        | {"cluster": view.cluster(i), "top_tokens": view.tokens(i)}
        for step, (i, edge) in enumerate(zip(best, [None, *edges(best)], strict=True))
    ]


def _cluster_row(view: View, uid: str, columns: str) -> Row:
    return {"cluster": uid} | pick(view.clusters[uid], {c: _camel(c) for c in columns.split()})


def hub_and_spoke_clusters(
    world: World, sae: str, min_centralization: float, min_size: int, n_tokens: int, limit: int
) -> Rows:
    view = View(world, sae)
    rows = []
    for uid, cluster in view.clusters.items():
        if cluster["size"] >= min_size and (cluster["centralization"] or -1) >= min_centralization:
            order = sorted(view.inside(uid), key=lambda i: -view.partners_inside(i, uid))
            rows.append(
                _cluster_row(view, uid, "size structure centralization density")
                | {"hub": order[0], "hub_tokens": view.tokens(order[0]), "spokes": order[1:]}
                | {"spoke_tokens": [view.tokens(i)[:n_tokens] for i in order[1:]]}
            )
    return cut(sorted(rows, key=lambda r: (-r["centralization"], -r["size"], r["cluster"])), limit)


def clique_clusters(world: World, sae: str, min_clique_share: float, min_size: int, n_tokens: int, limit: int) -> Rows:
    view = View(world, sae)
    rows = [
        _cluster_row(view, uid, "size structure density max_clique_share transitivity") | _members(view, uid, n_tokens)
        for uid, cluster in view.clusters.items()
        if cluster["size"] >= min_size and (cluster["maxCliqueShare"] or -1) >= min_clique_share
    ]
    return cut(sorted(rows, key=lambda r: (-r["density"], -r["size"], r["cluster"])), limit)


def _members(view: View, uid: str, n_tokens: int) -> Row:
    inside = view.inside(uid)
    return {"members": inside, "member_tokens": [view.tokens(i)[:n_tokens] for i in inside]}


def densest_clusters(world: World, sae: str, structure: str | None, min_size: int, n_tokens: int, limit: int) -> Rows:
    view = View(world, sae)
    columns = "size structure density centralization transitivity max_clique_share gini"
    rows = []
    for uid, cluster in view.clusters.items():
        if cluster["size"] >= min_size and structure in (None, cluster["structure"]):
            edges = sum(view.partners_inside(i, uid) for i in view.inside(uid)) // 2
            rows.append(_cluster_row(view, uid, columns) | {"edges": edges} | _members(view, uid, n_tokens))
    return cut(sorted(rows, key=lambda r: (null_last(r["density"]), -r["size"], r["cluster"])), limit)


def _view_of_cluster(world: World, cluster: str) -> View:
    return View(world, world.clusters[cluster]["sae"] if cluster in world.clusters else "")


def cluster_card(world: World, cluster: str) -> Rows:
    view = _view_of_cluster(world, cluster)
    return [
        {"index": i, "role": view.members[i][1]["role"], "strength": view.members[i][1]["strength"]}
        | {"partners_inside": view.partners_inside(i, cluster), "partners": len(view.neighbours(i))}
        | {"firing_count": view.latents[i]["firingCount"], "frequency": view.latents[i]["frequency"]}
        | {"top_tokens": view.tokens(i)}
        for i in view.inside(cluster)
    ]


def cluster_edges(world: World, cluster: str) -> Rows:
    view = _view_of_cluster(world, cluster)
    return edges_among(world, view.sae, view.inside(cluster))


def bridges_between_clusters(world: World, sae: str, min_log_odds: float, min_edges: int, limit: int) -> Rows:
    view = View(world, sae)
    groups: dict[tuple[str, str], Rows] = {}
    for (x, y), row in view.edges.items():
        ends = sorted((view.cluster(i) or "", i) for i in (x, y))
        (first, a), (second, b) = ends
        if first and first != second and row["logOdds"] >= min_log_odds:
            groups.setdefault((first, second), []).append(
                {"a": a, "b": b, "log_odds": row["logOdds"], "count": row["count"]}
            )
    rows = []
    for (first, second), links in groups.items():
        best = min(links, key=lambda r: (-r["log_odds"], r["a"], r["b"]))
        tokens = {"tokens_a": view.tokens(best["a"]), "tokens_b": view.tokens(best["b"])}
        rows.append({"cluster_a": first, "cluster_b": second, "edges": len(links)} | best | tokens)
    rows = [row for row in rows if row["edges"] >= min_edges]
    return cut(sorted(rows, key=lambda r: (-r["edges"], -r["log_odds"], r["cluster_a"], r["cluster_b"])), limit)


def _firings(world: World, sae: str, text: str, spaced: bool) -> Rows:
    view = View(world, sae)
    return [
        {"index": i, "token": t, "text": world.tokens[t]}
        | row
        | {"firing_count": view.latents[i]["firingCount"], "cluster": view.cluster(i), "top_tokens": view.tokens(i)}
        for (i, t), row in view.fires_on.items()
        if world.tokens[t] == text or (spaced and world.tokens[t] == " " + text)
    ]


def shared_token(world: World, sae: str, text: str, spaced: bool, limit: int) -> Rows:
    rows = _firings(world, sae, text, spaced)
    return cut(sorted(rows, key=lambda r: (-r["share"], -r["count"], r["index"], r["token"])), limit)


def latents_by_token(world: World, text: str, spaced: bool, limit: int) -> Rows:
    rows = [
        {"sae": sae, "layer": world.saes[sae]["layer"]} | row
        for sae in ready_saes(world)
        for row in _firings(world, sae, text, spaced)
    ]
    return cut(sorted(rows, key=lambda r: (-r["share"], -r["count"], r["sae"], r["index"], r["token"])), limit)


def same_token_across_saes(world: World, text: str, spaced: bool) -> Rows:
    rows = []
    for sae in ready_saes(world):
        found = shared_token(world, sae, text, spaced, 0)
        if found:
            best = {c: found[0][c] for c in ("index", "text", "share", "count", "top_tokens")}
            latents = len({row["index"] for row in found})
            rows.append({"sae": sae, "layer": world.saes[sae]["layer"], "latents": latents} | best)
    return rows


def dense_latents(world: World, sae: str, min_frequency: float, limit: int) -> Rows:
    view = View(world, sae)
    rows = [
        {"index": i, "frequency": row["frequency"], "firing_count": row["firingCount"], "mean": row["mean"]}
        | {"max": row["max"], "partners": len(view.neighbours(i)), "top_tokens": view.tokens(i)}
        for i, row in view.latents.items()
        if row["frequency"] >= min_frequency
    ]
    return cut(sorted(rows, key=lambda r: (-r["frequency"], r["index"])), limit)


def dead_latents(world: World, sae: str, limit: int) -> Rows:
    dead = [row for row in View(world, sae).latents.values() if row["dead"]]
    return cut([{"index": row["index"], "threshold": row["threshold"]} for row in dead], limit)


def most_connected_latents(world: World, sae: str, limit: int) -> Rows:
    view = View(world, sae)
    rows = [
        {"index": i, "partners": len(view.neighbours(i)), "firing_count": row["firingCount"]}
        | {"frequency": row["frequency"], "cluster": view.cluster(i), "top_tokens": view.tokens(i)}
        for i, row in view.latents.items()
        if view.neighbours(i)
    ]
    return cut(sorted(rows, key=lambda r: (-r["partners"], r["index"])), limit)


ORACLES: dict[str, Callable[..., Rows]] = {
    f.__name__: f
    for f in (
        saes, sae_summary, latent_card, latent_contexts, latent_tokens, strongest_neighbours, edge_between, edges_among,
        strongest_edges, contained_latents, triangles_through_latent, common_neighbours, common_tokens,
        path_between_latents, hub_and_spoke_clusters, clique_clusters, densest_clusters, cluster_card, cluster_edges,
        bridges_between_clusters, shared_token, latents_by_token, same_token_across_saes, dense_latents, dead_latents,
        most_connected_latents,
    )
}  # fmt: skip


def cases(name: str, world: World, most: int = 60) -> list[Row]:
    """Return the parameter sets with which a query is asked of a world; those left out have their defaults.

    Where there are more than `most`, so many of them, other ones for each world.
    """
    every = all_cases(name, world)
    rng = random.Random(f"{name} {sorted(world.clusters)}")  # noqa: S311 - tests want the same each time
    return every if len(every) <= most else rng.sample(every, most)


def all_cases(name: str, world: World) -> list[Row]:
    saes = (*READY, LOADING, "rel/unknown")
    n = len(world.latents) // len(world.saes)
    one = [{"sae": sae, "index": i} for sae in saes for i in (0, 1, 3, 5, n - 1, n)]
    pairs = [
        {"sae": sae, "a": a, "b": b} for sae in saes for a, b in ((0, 1), (6, 0), (1, n - 2), (2, 2), (0, 5), (7, 8))
    ]
    texts: list[Row] = [
        {"text": text, "spaced": spaced} for text in (*sorted(set(TEXTS)), "no") for spaced in (True, False)
    ]
    plain: list[Row] = [{"sae": sae} for sae in saes]
    clusters = [{"cluster": c} for c in (*world.clusters, f"{READY[0]}/c-none")]

    def limited(sets: list[Row]) -> list[Row]:
        return sets + [s | {"limit": limit} for s in sets for limit in (0, 1, 3, 2**40)]

    def crossed(sets: list[Row], name: str, values: tuple[Any, ...]) -> list[Row]:
        return [s | {name: value} for s in sets for value in values]

    found: dict[str, list[Row]] = {
        "saes": [{}],
        "sae_summary": plain,
        "latent_card": one,
        "latent_contexts": limited(one),
        "latent_tokens": limited(one),
        "strongest_neighbours": limited(crossed(one, "by", tuple(MEASURES))),
        "edge_between": pairs,
        "edges_among": crossed(plain, "indices", ([], [0, 1, 2, 6, 6], list(range(n)), [2**62, -1])),
        "strongest_edges": limited(crossed(crossed(plain, "by", tuple(MEASURES)), "min_count", (0, 30))),
        "contained_latents": limited(crossed(crossed(plain, "min_p", (0.5, 0.8)), "max_reverse", (0.5, 0.8))),
        "triangles_through_latent": limited(one),
        "common_neighbours": limited(pairs),
        "common_tokens": limited(pairs),
        "path_between_latents": crossed(pairs, "max_steps", (1, 2, 3, 6)),
        "hub_and_spoke_clusters": limited(crossed(plain, "min_centralization", (0.0, 0.8, 1.0))),
        "clique_clusters": limited(crossed(plain, "min_clique_share", (0.0, 0.8, 1.0))),
        "densest_clusters": limited(
            plain + crossed(plain, "structure", ("clique", "too_small")) + crossed(plain, "min_size", (4, 5))
        ),
        "cluster_card": clusters,
        "cluster_edges": clusters,
        "bridges_between_clusters": limited(
            crossed(crossed(plain, "min_log_odds", (-9.0, 0.0, 1.5)), "min_edges", (1, 2))
        ),
        "shared_token": limited([s | t for s in plain for t in texts]),
        "latents_by_token": limited(texts),
        "same_token_across_saes": texts,
        "dense_latents": limited(plain + crossed(plain, "min_frequency", (0.0, 0.5))),
        "dead_latents": limited(plain),
        "most_connected_latents": limited(plain),
    }  # fmt: skip
    return found[name]
