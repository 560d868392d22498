"""Oracles of the queries about clusters."""

from __future__ import annotations

from query_oracle_edges import edges_among
from query_view import Rows, View, cut, null_last, pick, ready_saes
from query_worlds import FUNCTIONS, SHAPE, Row, World, camel


def _cluster_row(view: View, uid: str, columns: str) -> Row:
    return {"cluster": uid} | pick(view.clusters[uid], {c: camel(c) for c in columns.split()})


def hub_and_spoke_clusters(
    world: World, sae: str, min_centralization: float, min_size: int, n_tokens: int, limit: int
) -> Rows:
    view = View(world, sae)
    rows = []
    for uid, cluster in view.finest.items():
        if cluster["size"] >= min_size and (cluster["centralization"] or -1) >= min_centralization:
            order = sorted(view.inside(uid), key=lambda i: -view.partners_inside(i, uid))
            rows.append(
                _cluster_row(view, uid, "size structure centralization density")
                | {"hub": order[0], "hub_tokens": view.tokens(order[0]), "spokes": order[1:]}
                | {"spoke_tokens": [view.shown(i, n_tokens) for i in order[1:]]}
            )
    return cut(sorted(rows, key=lambda r: (-r["centralization"], -r["size"], r["cluster"])), limit)


def clique_clusters(world: World, sae: str, min_clique_share: float, min_size: int, n_tokens: int, limit: int) -> Rows:
    view = View(world, sae)
    rows = [
        _cluster_row(view, uid, "size structure density max_clique_share transitivity") | _members(view, uid, n_tokens)
        for uid, cluster in view.finest.items()
        if cluster["size"] >= min_size and (cluster["maxCliqueShare"] or -1) >= min_clique_share
    ]
    return cut(sorted(rows, key=lambda r: (-r["density"], -r["size"], r["cluster"])), limit)


def _members(view: View, uid: str, n_tokens: int) -> Row:
    inside = view.inside(uid)
    return {"members": inside, "member_tokens": [view.shown(i, n_tokens) for i in inside]}


def densest_clusters(world: World, sae: str, structure: str | None, min_size: int, n_tokens: int, limit: int) -> Rows:
    view = View(world, sae)
    columns = "size structure density centralization transitivity max_clique_share gini"
    rows = []
    for uid, cluster in view.finest.items():
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
        | {**view.named(i)}
        for i in view.inside(cluster)
    ]


def cluster_edges(world: World, cluster: str) -> Rows:
    view = _view_of_cluster(world, cluster)
    return edges_among(world, view.sae, view.inside(cluster))


def bridges_between_clusters(world: World, sae: str, min_log_odds: float | None, min_edges: int, limit: int) -> Rows:
    view = View(world, sae).strong(min_log_odds)
    groups: dict[tuple[str, str], Rows] = {}
    for (x, y), row in view.edges.items():
        ends = sorted((view.cluster(i) or "", i) for i in (x, y))
        (first, a), (second, b) = ends
        if first and first != second:
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


def cluster_mates(world: World, sae: str, index: int, limit: int) -> Rows:
    view = View(world, sae)
    cluster = view.cluster(index)
    rows = []
    for other in view.inside(cluster) if cluster else []:
        edge = view.edge(index, other) or {}
        if other != index:
            rows.append(
                {"index": other, "cluster": cluster} | view.members[other][1]
                | {"log_odds": edge.get("logOdds"), "count": edge.get("count"), **view.named(other)}
            )  # fmt: skip
    return cut(rows, limit)


def members_by_role(world: World, sae: str, role: str, min_size: int, limit: int) -> Rows:
    view = View(world, sae)
    rows = []
    for i, (cluster, member) in view.members.items():
        found = view.clusters[cluster]
        if member["role"] == role and found["size"] >= min_size:
            rows.append(
                {"index": i, "cluster": cluster, "strength": member["strength"], "size": found["size"]}
                | {"structure": found["structure"], "partners": len(view.neighbours(i)), **view.named(i)}
            )
    return cut(sorted(rows, key=lambda r: (-r["strength"], r["index"])), limit)


def _links_out(view: View, cluster: str, min_log_odds: float | None) -> Rows:
    """The edges between members of the cluster and members of any, this one included."""
    return [
        {"inside": i, "outside": j, "cluster": view.cluster(j), "log_odds": edge["logOdds"], "count": edge["count"]}
        for (a, b), edge in view.strong(min_log_odds).edges.items()
        for i, j in ((a, b), (b, a))
        if view.cluster(i) == cluster and view.cluster(j) is not None
    ]


def cluster_neighbours(world: World, cluster: str, min_log_odds: float | None, limit: int) -> Rows:
    view = _view_of_cluster(world, cluster)
    links = _links_out(view, cluster, min_log_odds)
    rows = []
    for uid in {link["cluster"] for link in links} - {cluster}:
        mine = [link for link in links if link["cluster"] == uid]
        best = min(mine, key=lambda r: (-r["log_odds"], r["inside"], r["outside"]))
        row = {"neighbour": uid, "size": view.clusters[uid]["size"], "structure": view.clusters[uid]["structure"]}
        rows.append(row | {"edges": len(mine)} | {c: best[c] for c in ("inside", "outside", "log_odds", "count")})
    return cut(sorted(rows, key=lambda r: (-r["edges"], -r["log_odds"], r["neighbour"])), limit)


def bridge_latents(world: World, cluster: str, min_log_odds: float | None, limit: int) -> Rows:
    view = _view_of_cluster(world, cluster)
    links = _links_out(view, cluster, min_log_odds)
    rows = []
    for i in view.inside(cluster):
        mine = [link for link in links if link["inside"] == i]
        out = [link for link in mine if link["cluster"] != cluster]
        if out:
            best = min(out, key=lambda r: (-r["log_odds"], r["outside"]))
            rows.append(
                {"index": i, "role": view.members[i][1]["role"], "links": len(out)}
                | {"clusters": len({link["cluster"] for link in out}), "inside": len(mine) - len(out)}
                | {"partner": best["outside"], "partner_cluster": best["cluster"], "log_odds": best["log_odds"]}
                | {**view.named(i)}
            )
    return cut(sorted(rows, key=lambda r: (-r["links"], r["index"])), limit)


def cluster_numbers(world: World, cluster: str) -> Rows:
    view = _view_of_cluster(world, cluster)
    if cluster not in view.clusters:
        return []
    columns = [c for name in SHAPE for c in (name, f"{name}_z")]
    columns += ["size", "level", "parent", "resolution", "stability", "structure", "structure_p", "function"]
    columns += [f"p_{name}" for name in FUNCTIONS]
    return [pick(view.clusters[cluster], {c: camel(c) for c in columns})]


def cluster_tree(world: World, sae: str, min_size: int, limit: int) -> Rows:
    view = View(world, sae)
    rows = []
    for uid, cluster in view.clusters.items():
        held = [c for c, row in view.clusters.items() if row["parent"] == uid]
        if cluster["size"] >= min_size:
            rows.append(
                _cluster_row(view, uid, "level size structure parent")
                | {"children": sorted(held, key=lambda c: (-view.clusters[c]["size"], c))}
                | {"lone_members": cluster["size"] - sum(view.clusters[c]["size"] for c in held)}
            )
    return cut(sorted(rows, key=lambda r: (-r["level"], -r["size"], r["cluster"])), limit)


def clusters_above_null(world: World, sae: str, by: str, min_z: float, n_tokens: int, limit: int) -> Rows:
    view = View(world, sae)
    rows = [
        _cluster_row(view, uid, "size structure") | {"value": cluster[camel(by)], "z": cluster[f"{camel(by)}Z"]}
        | _members(view, uid, n_tokens)
        for uid, cluster in view.finest.items()
        if (cluster[f"{camel(by)}Z"] or -99.0) >= min_z
    ]  # fmt: skip
    return cut(sorted(rows, key=lambda r: (-r["z"], -r["size"], r["cluster"])), limit)


def clusters_by_function(
    world: World, sae: str, function: str, min_p: float, min_size: int, n_tokens: int, limit: int
) -> Rows:
    view = View(world, sae)
    rows = []
    for uid, cluster in view.finest.items():
        p = cluster[f"p{function.capitalize()}"]
        if cluster["size"] >= min_size and p is not None and p >= min_p:
            rows.append(_cluster_row(view, uid, "size function structure") | {"p": p} | _members(view, uid, n_tokens))
    return cut(sorted(rows, key=lambda r: (-r["p"], -r["size"], r["cluster"])), limit)


def motif_counts(world: World, sae: str, min_z: float | None, limit: int) -> Rows:
    found = [row for row in world.motif_counts.values() if row["sae"] == sae and sae in ready_saes(world)]
    columns = ["kind", "size", "count", "null_mean", "null_sd", "z", "rewires"]
    rows = [
        pick(row, {c: camel(c) for c in columns})
        for row in found
        if min_z is None or (row["z"] is not None and row["z"] >= min_z)
    ]
    return cut(sorted(rows, key=lambda r: (null_last(r["z"]), r["kind"], r["size"])), limit)
