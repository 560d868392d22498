"""Oracles of the queries about latents, their tokens, words, contexts and decoder directions."""

from __future__ import annotations

from query_view import Rows, View, cut, pick, ready_saes
from query_worlds import World, camel


def saes(world: World) -> Rows:
    columns = "uid release sae_id model hook layer architecture n_latents tokens documents firings mean_l0 edge_rule"
    names = {c: camel(c) for c in columns.split()}
    return [pick(world.saes[uid], names) for uid in ready_saes(world)]


def sae_summary(world: World, sae: str) -> Rows:
    if sae not in ready_saes(world):
        return []
    view, row = View(world, sae), world.saes[sae]
    partners = {i: len(view.neighbours(i)) for i in view.latents}
    dead = {i for i, latent in view.latents.items() if latent["dead"]}
    fine = [c for c in view.clusters.values() if c["level"] == 0]
    structures = [c["structure"] for c in fine]
    return [
        {
            "latents": len(view.latents),
            "dead": len(dead),
            "isolated": sum(1 for i, n in partners.items() if n == 0 and i not in dead),
            "clustered": len(view.members),
            "edges": len(view.edges),
            "most_partners": max(partners.values()),
            "clusters": len(fine),
            "largest_cluster": max((c["size"] for c in fine), default=0),
        }
        | {s: structures.count(s) for s in ("hub_and_spoke", "clique", "path", "core_periphery", "mixed", "too_small")}
        | {"tokens": row["tokens"], "documents": row["documents"], "firings": row["firings"], "mean_l0": row["meanL0"]}
    ]


def latent_card(world: World, sae: str, index: int) -> Rows:
    view = View(world, sae)
    if index not in view.latents:
        return []
    columns = "index firing_count frequency mean std max threshold mu mu_rule dead distinctive_tokens top_tokens"
    row = pick(view.latents[index], {c: camel(c) for c in columns.split()})
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
    return cut(sorted(rows, key=lambda r: (-r["score"], r["token"])), limit)


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


def _firings(world: World, sae: str, text: str, spaced: bool) -> Rows:
    view = View(world, sae)
    return [
        {"index": i, "token": t, "text": world.tokens[t]}
        | row
        | {"firing_count": view.latents[i]["firingCount"], "cluster": view.cluster(i), **view.named(i)}
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
            best = {c: found[0][c] for c in ("index", "text", "share", "count", "distinctive_tokens", "top_tokens")}
            latents = len({row["index"] for row in found})
            rows.append({"sae": sae, "layer": world.saes[sae]["layer"], "latents": latents} | best)
    return rows


def dense_latents(world: World, sae: str, min_frequency: float, limit: int) -> Rows:
    view = View(world, sae)
    rows = [
        {"index": i, "frequency": row["frequency"], "firing_count": row["firingCount"], "mean": row["mean"]}
        | {"max": row["max"], "partners": len(view.neighbours(i)), **view.named(i)}
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
        | {"frequency": row["frequency"], "cluster": view.cluster(i), **view.named(i)}
        for i, row in view.latents.items()
        if view.neighbours(i)
    ]
    return cut(sorted(rows, key=lambda r: (-r["partners"], r["index"])), limit)


def latents_by_word(world: World, sae: str, word: str, limit: int) -> Rows:
    view = View(world, sae)
    rows = [
        {"index": i, "label": row["label"], "firing_count": row["firingCount"], "frequency": row["frequency"]}
        | {"cluster": view.cluster(i), **view.named(i)}
        for i, row in view.latents.items()
        if word.strip(" \t\n").lower() in row["words"].split()
    ]
    return cut(sorted(rows, key=lambda r: (-r["firing_count"], r["index"])), limit)


def contexts_with_text(world: World, sae: str, phrase: str, limit: int) -> Rows:
    ready, unmarked = View(world, sae).latents, str.maketrans("", "", "«»")
    rows = [
        {"index": i} | shown | {c: context[c] for c in ("document", "position", "text")}
        for s, i, shown, context in world.contexts
        if s == sae and ready and phrase.translate(unmarked) in context["text"].translate(unmarked)
    ]
    return cut(sorted(rows, key=lambda r: (r["index"], r["rank"])), limit)


def nearest_decoders(world: World, sae: str, index: int, limit: int) -> Rows:
    view = View(world, sae)
    mine = view.latents[index]["decoder"] if index in view.latents else None
    rows = []
    for other, row in view.latents.items():
        if mine is not None and row["decoder"] is not None and other != index:
            edge = view.edge(index, other)
            rows.append(
                {"index": other, "cosine": sum(x * y for x, y in zip(mine, row["decoder"], strict=True))}
                | {"log_odds": edge and edge["logOdds"], "cluster": view.cluster(other)}
                | {**view.named(other)}
            )
    return cut(sorted(rows, key=lambda r: (-r["cosine"], r["index"])), limit)
