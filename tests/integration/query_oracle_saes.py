"""Oracles of the queries that compare SAEs, and of those about hierarchy and peaks."""

from __future__ import annotations

from query_oracle_latents import sae_summary
from query_view import Rows, View, cut, pick, ready_saes
from query_worlds import Row, World, camel


def _both_ready(world: World, sae_a: str, sae_b: str) -> bool:
    return {sae_a, sae_b} <= set(ready_saes(world))


def compare_saes(world: World, sae_a: str, sae_b: str) -> Rows:
    if not _both_ready(world, sae_a, sae_b):
        return []
    named = {c: camel(c) for c in ("model", "hook", "layer", "architecture", "tokens", "mean_l0")}
    counted = ("latents", "dead", "isolated", "edges", "most_partners", "clusters", "clustered", "largest_cluster")
    rows = []
    for sae in (sae_a, sae_b):
        summary = sae_summary(world, sae)[0]
        rows.append({"sae": sae} | pick(world.saes[sae], named) | {c: summary[c] for c in counted})
    return rows


def tokens_in_both_saes(world: World, sae_a: str, sae_b: str, limit: int) -> Rows:
    rows: Rows = []
    for token, text in world.tokens.items():
        if not _both_ready(world, sae_a, sae_b):
            break
        found = []
        for sae in (sae_a, sae_b):
            shares = [(row["share"], -i) for (i, t), row in View(world, sae).fires_on.items() if t == token]
            found.append((len(shares), max(shares, default=(0.0, 0))))
        (many_a, (share_a, a)), (many_b, (share_b, b)) = found
        if many_a and many_b:
            rows.append(
                {"token": token, "text": text, "latents_a": many_a, "latents_b": many_b, "a": -a, "b": -b}
                | {"share_a": share_a, "share_b": share_b, "lesser_share": min(share_a, share_b)}
            )
    return cut(sorted(rows, key=lambda r: (-r["lesser_share"], r["token"])), limit)


def _matches(world: World, sae: str) -> Rows:
    """The matches of an SAE with ready ones, as seen from it."""
    ready = ready_saes(world)
    rows = []
    for (first, second), row in world.matches.items():
        for here, there, forward in ((first, second, True), (second, first, False)):
            if here[0] == sae and sae in ready and there[0] in ready:
                rows.append(
                    {"a": here[1], "other_sae": there[0], "index": there[1], "forward": forward} | row
                    | View(world, there[0]).named(there[1])
                )  # fmt: skip
    return rows


def matches_of_latent(world: World, sae: str, index: int, limit: int) -> Rows:
    rows = [
        {"other_sae": row["other_sae"], "layer": world.saes[row["other_sae"]]["layer"]}
        | {c: row[c] for c in ("index", "score", "method", "kind", "forward", "distinctive_tokens", "top_tokens")}
        for row in _matches(world, sae)
        if row["a"] == index
    ]
    return cut(sorted(rows, key=lambda r: (-r["score"], r["other_sae"], r["index"], r["forward"])), limit)


def matched_latents(
    world: World, sae_a: str, sae_b: str, min_score: float | None, kind: str | None, limit: int
) -> Rows:
    rows = [
        {"a": row["a"], "b": row["index"]}
        | {c: row[c] for c in ("score", "method", "kind", "forward")}
        | {"tokens_a": View(world, sae_a).tokens(row["a"]), "tokens_b": row["distinctive_tokens"]}
        for row in _matches(world, sae_a)
        if row["other_sae"] == sae_b and kind in (None, row["kind"]) and row["score"] >= (min_score or 0)
    ]
    return cut(sorted(rows, key=lambda r: (-r["score"], r["a"], r["b"], r["forward"])), limit)


def _mirrors(world: World, cluster: str) -> Rows:
    ready = ready_saes(world)
    columns = {"score": "score", "p": "p", "q": "q", "hub_change": "hubChange", "function_change": "functionChange"}
    return [
        {"mirror": there} | pick(row, columns) | {"forward": forward}
        for (first, second), row in world.mirrors.items()
        for here, there, forward in ((first, second, True), (second, first, False))
        if here == cluster and {world.clusters[here]["sae"], world.clusters[there]["sae"]} <= set(ready)
    ]


def mirrors_of_cluster(world: World, cluster: str, limit: int) -> Rows:
    rows = []
    for row in _mirrors(world, cluster):
        other = world.clusters[row["mirror"]]
        named = {"other_sae": other["sae"], "layer": world.saes[other["sae"]]["layer"]}
        rows.append(named | row | {"size": other["size"], "structure": other["structure"]})
    return cut(sorted(rows, key=lambda r: (-r["score"], r["other_sae"], r["mirror"], r["forward"])), limit)


def mirrored_clusters(world: World, sae_a: str, sae_b: str, limit: int) -> Rows:
    rows = []
    for uid in [c for c, row in world.clusters.items() if row["sae"] == sae_a]:
        for row in _mirrors(world, uid):
            other = row.pop("mirror")
            if world.clusters[other]["sae"] == sae_b:
                sizes = {"size_a": world.clusters[uid]["size"], "size_b": world.clusters[other]["size"]}
                rows.append({"cluster_a": uid, "cluster_b": other} | row | sizes)
    return cut(sorted(rows, key=lambda r: (-r["score"], r["cluster_a"], r["cluster_b"], r["forward"])), limit)


def _relative(view: View, index: int, row: Row) -> Row:
    return (
        {"index": index} | row
        | {"firing_count": view.latents[index]["firingCount"], "cluster": view.cluster(index)}
        | {**view.named(index)}
    )  # fmt: skip


def parents_of_latent(world: World, sae: str, index: int, limit: int) -> Rows:
    view = View(world, sae)
    rows = [
        _relative(view, a, row) for (s, a, b), row in world.parents.items() if s == sae and b == index and view.latents
    ]
    return cut(sorted(rows, key=lambda r: (-r["p"], r["index"])), limit)


def children_of_latent(world: World, sae: str, index: int, limit: int) -> Rows:
    view = View(world, sae)
    rows = [
        _relative(view, b, row) for (s, a, b), row in world.parents.items() if s == sae and a == index and view.latents
    ]
    return cut(sorted(rows, key=lambda r: (-r["p"], r["index"])), limit)


def hierarchy_roots(world: World, sae: str, min_p: float, limit: int) -> Rows:
    view = View(world, sae)
    pairs = [(a, b) for (s, a, b), row in world.parents.items() if s == sae and row["p"] >= min_p]
    rows = []
    for i, row in view.latents.items():
        children = sum(1 for a, _ in pairs if a == i)
        if children and not any(b == i for _, b in pairs):
            counts = {"index": i, "children": children, "firing_count": row["firingCount"]}
            rows.append(counts | {**view.named(i)})
    return cut(sorted(rows, key=lambda r: (-r["children"], r["index"])), limit)


def latent_peaks(world: World, sae: str, index: int) -> Rows:
    ready = sae in ready_saes(world)
    return [
        {c: row[c] for c in ("peak", "position", "mass", "main")}
        | {"partners": sum(1 for pair in world.peak_edges if key in pair), "cluster": world.peak_members.get(key)}
        for key, row in sorted(world.peaks.items())
        if ready and key[:2] == (sae, index)
    ]


def peak_partners(world: World, sae: str, index: int, limit: int) -> Rows:
    rows = [
        {"peak": here[2], "partner": there[1], "partner_peak": there[2], "count": count}
        | {"partner_position": world.peaks[there]["position"]}
        for (a, b), count in world.peak_edges.items()
        for here, there in ((a, b), (b, a))
        if here[:2] == (sae, index) and sae in ready_saes(world)
    ]
    return cut(sorted(rows, key=lambda r: (-r["count"], r["peak"], r["partner"], r["partner_peak"])), limit)


def peak_clusters(world: World, sae: str, min_size: int, limit: int) -> Rows:
    rows = []
    for uid, row in world.peak_clusters.items():
        if row["sae"] == sae and sae in ready_saes(world) and row["size"] >= min_size:
            members = sorted([key[1], key[2]] for key, cluster in world.peak_members.items() if cluster == uid)
            rows.append({"cluster": uid, "size": row["size"], "members": members})
    return cut(sorted(rows, key=lambda r: (-r["size"], r["cluster"])), limit)
