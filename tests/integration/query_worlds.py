"""Small random graphs for the tests of the query library, as plain Python data, and their way into a store.

Every world has two ready SAEs with the same latent indices, one that is still loading and one that is being deleted;
values are drawn from a few, so that there are ties; counts go up to the largest 64-bit integer; tokens have quotes,
blanks and other alphabets in them, and some latents that fire have none; texts have guillemets of their own; some
latents are dead and some fire without any edge. What later versions of cofire write (matches,
hierarchy, peaks) is there, too: `add_links` makes it.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

from cofire.schema.base import Node, Relationship
from cofire.schema.cypher import create_nodes, create_relationships
from cofire.schema.nodes import CLUSTER, CONTEXT, LATENT, MOTIF_COUNT, PEAK, PEAK_CLUSTER, SAE, TOKEN
from cofire.schema.relationships import (
    CO_FIRES,
    COUNTED_IN,
    FIRES_ON,
    HAS_PEAK,
    IN,
    MATCHES,
    MIRRORS,
    OF,
    PARENT_OF,
    PART_OF,
    PEAK_CO_FIRES,
    PEAK_IN,
    SHOWN_BY,
)
from cofire.store import Store
from cofire.store.latent_texts import words_of
from cofire.store.versions import ensure_schema

READY = ("rel/layer_1/width_16k", "rel 'two' \"ü\"/b$x")
LOADING = "rel/loading"
DELETING = "rel/deleting"
TEXTS = (
    "of", " of", "of", " the", "The", "O'Brien", "'", '"', "\\", "$text", "\n", "a\nb", "", "名前", "🙂", "\ufffd", "é",
    "e\u0301", "// x",
)  # fmt: skip
LABELS = (None, None, "names of people", 'a "quoted" label', "É; DROP")
# Of norm 1, of two widths; several have the same cosine.
DECODERS = {
    0: ((1.0, 0.0, 0.0), (0.6, 0.8, 0.0), (0.6, -0.8, 0.0), (0.0, 0.28, 0.96), (-0.6, 0.0, 0.8)),
    1: ((0.5, 0.5, 0.5, 0.5), (1.0, 0.0, 0.0, 0.0), (-0.5, 0.5, -0.5, 0.5), (0.0, 0.0, 0.6, 0.8)),
}
# Beyond 2^53 a float no longer holds them.
LARGE = (2**53 + 1, 2**53 + 2, 2**62 + 1, 2**63 - 2, 2**63 - 1)
LOG_ODDS = (-0.5, 0.0, 1.0, 1.5, 1.5, 2.25, 3.0)
PROBABILITIES = (0.25, 0.5, 0.75, 0.75, 1.0)
SHARES = (0.125, 0.25, 0.5, 0.8, 0.875, 1.0)
STRUCTURES = ("hub_and_spoke", "clique", "path", "mixed", "core_periphery")
SHAPE = (
    "density", "centralization", "strength_centralization", "transitivity", "core_periphery", "max_clique_share",
    "gini",
)  # fmt: skip
FUNCTIONS = ("composition", "ambiguity", "hierarchy")
Z = (None, -0.5, 2.5, 4.0, 4.0)

Row = dict[str, Any]


@dataclass
class World:
    """The graph; properties have the names that they have in the store."""

    saes: dict[str, Row] = field(default_factory=dict)
    latents: dict[tuple[str, int], Row] = field(default_factory=dict)
    edges: dict[tuple[str, int, int], Row] = field(default_factory=dict)
    tokens: dict[int, str] = field(default_factory=dict)
    fires_on: dict[tuple[str, int, int], Row] = field(default_factory=dict)
    contexts: list[tuple[str, int, Row, Row]] = field(default_factory=list)
    clusters: dict[str, Row] = field(default_factory=dict)
    members: dict[tuple[str, int], tuple[str, Row]] = field(default_factory=dict)
    motif_counts: dict[str, Row] = field(default_factory=dict)
    # The rest is what `add_links` adds. A latent is (SAE, index), a peak (SAE, index, number).
    parents: dict[tuple[str, int, int], Row] = field(default_factory=dict)
    matches: dict[tuple[tuple[str, int], tuple[str, int]], Row] = field(default_factory=dict)
    mirrors: dict[tuple[str, str], Row] = field(default_factory=dict)
    peaks: dict[tuple[str, int, int], Row] = field(default_factory=dict)
    peak_edges: dict[tuple[tuple[str, int, int], tuple[str, int, int]], int] = field(default_factory=dict)
    peak_clusters: dict[str, Row] = field(default_factory=dict)
    peak_members: dict[tuple[str, int, int], str] = field(default_factory=dict)


def make_world(seed: int, n: int, p_edge: float) -> World:
    """Make a world of n latents an SAE in which each pair co-fires with probability p_edge."""
    rng = random.Random(seed)  # noqa: S311 - tests want the same numbers each time
    world = World(tokens={100 + i: text for i, text in enumerate(TEXTS)})
    for uid in (*READY, LOADING, DELETING):
        _add_sae(world, uid, rng, n, p_edge)
    add_links(world, rng)
    return world


def add_links(world: World, rng: random.Random) -> None:
    """Add parents, matches, mirrors and peaks; some of them touch the SAEs that are not ready."""
    for sae in world.saes:
        indices = [i for s, i in world.latents if s == sae]
        for _ in range(len(indices)):
            a, b = rng.sample(indices, 2)
            world.parents[sae, a, b] = {"p": rng.choice(PROBABILITIES), "evidence": rng.choice([None, "'\\n"])}
        _add_peaks(world, sae, indices, rng)
    saes = list(world.saes)
    latents, clusters = list(world.latents), list(world.clusters)
    for _ in range(len(latents)):
        a, b = rng.choice(latents), rng.choice(latents)
        if a[0] != b[0]:
            world.matches[a, b] = {
                "score": rng.choice(SHARES), "method": rng.choice([None, "pearson"]),
                "kind": rng.choice(["one_to_one", "split", "merge"]),
            }  # fmt: skip
    for _ in range(2 * len(clusters)):
        first, second = rng.choice(clusters), rng.choice(clusters)
        if saes.index(world.clusters[first]["sae"]) != saes.index(world.clusters[second]["sae"]):
            world.mirrors[first, second] = {
                "score": rng.choice(SHARES), "p": rng.choice([None, 0.01]), "q": rng.choice([None, 0.05]),
                "hubChange": rng.choice([None, True, False]), "functionChange": rng.choice([None, True]),
            }  # fmt: skip


def _add_peaks(world: World, sae: str, indices: list[int], rng: random.Random) -> None:
    keys = [(sae, i, k) for i in indices if i % 3 for k in range(rng.randint(0, 3))]
    groups = [f"{sae}/pc-{number}" for number in range(rng.randint(0, 3))]
    for key in keys:
        _, index, number = key
        world.peaks[key] = {
            "uid": f"{sae}/{index}/p{number}", "sae": sae, "latent": index, "peak": number,
            "position": rng.choice([None, 0.5, 1.0]), "mass": rng.choice(SHARES), "main": number == 0,
        }  # fmt: skip
        if groups and rng.random() < 0.7:
            world.peak_members[key] = rng.choice(groups)
    for _ in range(2 * len(keys)):
        a, b = sorted(rng.sample(keys, 2)) if len(keys) > 1 else (keys[0], keys[0])
        if a[1] != b[1]:
            world.peak_edges[a, b] = rng.choice([3, 3, 7, *LARGE])
    for group in groups:
        size = list(world.peak_members.values()).count(group)
        if size:
            world.peak_clusters[group] = {"uid": group, "sae": sae, "size": size}


def _add_sae(world: World, uid: str, rng: random.Random, n: int, p_edge: float) -> None:
    status = {LOADING: "loading", DELETING: "deleting"}.get(uid, "ready")
    world.saes[uid] = {
        "uid": uid, "release": uid.partition("/")[0], "saeId": uid.partition("/")[2], "status": status,
        "layer": rng.choice([None, 3, 12]), "hook": "hook_resid_post", "model": "m", "architecture": "jumprelu",
        "nLatents": n, "tokens": rng.choice([1000, 2**63 - 1]), "documents": 7, "firings": 5000, "meanL0": 5.0,
        "edgeRule": "all", "nEdges": 0, "nClusters": 0,
    }  # fmt: skip
    decoders = DECODERS[READY.index(uid) if uid in READY else 0]
    for index in range(n):
        dead = index % 7 == 3
        fires = not dead
        top: list[str] | None = rng.sample(TEXTS, rng.randint(1, 5)) if fires and index % 9 != 6 else []
        top, label = (None if index % 9 == 8 else top), rng.choice(LABELS)
        # Drawn apart, so that all else stays as it was.
        telling = None if top is None else random.Random(f"{uid} {index}").sample(TEXTS, min(3, len(top)))  # noqa: S311
        world.latents[uid, index] = {
            "uid": f"{uid}/{index}", "sae": uid, "index": index, "dead": dead,
            "firingCount": rng.choice([10, 20, 100, *LARGE]) if fires else 0,
            "frequency": rng.choice([0.05, 0.1, 0.1, 0.5]) if fires else 0.0,
            "mean": rng.choice([1.0, 2.0]) if fires else None, "std": 0.5 if fires else None,
            "max": rng.choice([3.0, 4.0]) if fires else None, "threshold": rng.choice([0.0, 0.25]),
            "mu": 1.5 if index % 2 and fires else None, "muRule": "mode" if index % 2 and fires else None,
            "histogram": [index, 0, 5] if index % 2 and fires else None,
            "distinctiveTokens": telling, "topTokens": top, "label": label,
            "words": words_of([*(top or []), *(telling or []), label or ""]),
            "decoder": list(rng.choice(decoders)) if rng.random() < 0.8 else None,
        }  # fmt: skip
    alive = [i for i in range(n) if i % 7 != 3 and i % 11 != 5]  # 5, 16, ... fire, but have no edge
    for a in alive:
        for b in alive:
            if a < b and (rng.random() < p_edge or (uid == READY[0] and a == 0 and b <= 6)):
                world.edges[uid, a, b] = random_edge(rng)
    for a in (i for i in range(n) if i % 7 != 3):
        for token in rng.sample(sorted(world.tokens), rng.randint(0, 4)):
            world.fires_on[uid, a, token] = {
                "count": rng.choice([1, 5, 9, *LARGE]), "share": rng.choice(SHARES), "lift": rng.choice([1.5, 3.0]),
                "score": float(token % 3) - 0.5,
            }  # fmt: skip
        for rank in range(rng.randint(0, 3)):
            context = {
                "uid": f"{uid}/x-{a}-{rank}", "sae": uid, "document": rng.randint(0, 3), "position": rank,
                "text": ("« Oui », dit-il " if rank == 1 else "one ") + f"«{rng.choice(TEXTS)}» two",
            }  # fmt: skip
            shown = {"rank": rank, "activation": 4.0 - rank, "u": rng.choice([None, 0.5])}
            world.contexts.append((uid, a, shown, context))
    _add_clusters(world, uid, rng, alive)


def random_edge(rng: random.Random) -> Row:
    """The properties of one edge."""
    return {
        "count": rng.choice([20, 30, 30, 40, *LARGE]), "expected": 2.5, "logOdds": rng.choice(LOG_ODDS),
        "jaccard": rng.choice(SHARES), "phi": rng.choice([None, 0.25, 0.5]), "npmi": rng.choice([None, -0.5, 0.5]),
        "lift": rng.choice([2.0, 4.0]), "pBGivenA": rng.choice(SHARES), "pAGivenB": rng.choice(SHARES),
        "decoderCosine": rng.choice([None, -0.25, 0.75]), "clearCount": rng.choice([None, 0, 21, *LARGE]),
        "weakOnly": rng.choice([True, False]), "p": rng.choice([0.0, 1e-300, 0.5]), "q": rng.choice([0.0, 0.01, 1.0]),
        "z": rng.choice([None, -0.5, 40.0]), "logOddsSe": rng.choice(SHARES),
        "magnitudeR": rng.choice([None, -0.5, 0.5]),
    }  # fmt: skip


def _add_clusters(world: World, uid: str, rng: random.Random, alive: list[int]) -> None:
    left = [i for i in alive if i % 5 != 4]
    number = 0
    roles = (("hub", "spoke"), ("member", "member"), ("member", "member"), ("member", "member"), ("core", "member"))
    while len(left) >= 2:
        size = min(len(left), rng.choice([2, 3, 4, 5, 6]))
        cluster = f"{uid}/c-{rng.randrange(16**12):012x}"
        small = size < 4

        def number_or_null(values: tuple[float, ...], null: bool = small) -> float | None:
            return None if null else rng.choice(values)

        world.clusters[cluster] = {
            "uid": cluster, "sae": uid, "size": size, "resolution": 0.5, "seed": 0,
            "structure": "too_small" if small else STRUCTURES[number % 5], "density": number_or_null((0.5, 1.0)),
            "centralization": number_or_null((0.25, 0.8, 1.0)), "gini": number_or_null((0.25, 0.5)),
            "transitivity": number_or_null((0.0, 1.0), small or rng.random() < 0.3),
            "maxCliqueShare": number_or_null((0.5, 0.8, 1.0)), "level": 0, "parent": None,
            **_judged(rng, small=small),
        }  # fmt: skip
        for position, index in enumerate(left[:size]):
            role = "member" if small else roles[number % 5][position > 0]
            world.members[uid, index] = (cluster, {"role": role, "strength": rng.choice([1.0, 2.0, 2.5])})
        left = left[size:]
        number += 1
    fine = [c for c, row in world.clusters.items() if row["sae"] == uid]
    for first in range(0, len(fine) - 1, 3):  # each third cluster is in none
        coarse, held = f"{uid}/c-{rng.randrange(16**12):012x}", fine[first : first + 2]
        world.clusters[coarse] = {
            "uid": coarse, "sae": uid, "size": sum(world.clusters[c]["size"] for c in held) + rng.choice([0, 2]),
            "resolution": 0.25, "seed": 0, "structure": "mixed", "density": 0.5, "centralization": 0.25, "gini": 0.25,
            "transitivity": None, "maxCliqueShare": 0.5, "level": 1, "parent": None, **_judged(rng, small=False),
        }  # fmt: skip
        for cluster in held:
            world.clusters[cluster]["parent"] = coarse
    for kind, size in (("star", 4), ("clique", 3), ("clique", 4), ("path", 4), ("bifan", 4)):
        motif = f"{uid}/motif/{kind}/{size}"
        world.motif_counts[motif] = {
            "uid": motif, "sae": uid, "kind": kind, "size": size, "count": rng.choice([0, 7, *LARGE]),
            "nullMean": rng.choice([None, 2.5]), "nullSd": rng.choice([None, 1.5]), "z": rng.choice(Z), "rewires": 20,
        }  # fmt: skip


def _judged(rng: random.Random, *, small: bool) -> Row:
    """What nulls and functions say of a cluster; any of it may be null."""
    numbers = {"strengthCentralization": (0.25, 0.5), "corePeriphery": (0.5, 1.0), "structureP": PROBABILITIES}
    return (
        {name: None if small else rng.choice(values) for name, values in numbers.items()}
        | {f"{camel(name)}Z": None if small else rng.choice(Z) for name in SHAPE}
        | {"stability": rng.choice([None, 0.75, 1.0]), "function": rng.choice([None, "unclear", *FUNCTIONS])}
        | {f"p{name.capitalize()}": rng.choice([None, *PROBABILITIES]) for name in FUNCTIONS}
    )


def camel(name: str) -> str:
    """The property of a column: log_odds -> logOdds."""
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)


def load_world(store: Store, world: World) -> None:
    """Write the world into an empty store."""
    ensure_schema(store)

    def nodes(node: Node, rows: list[Row]) -> tuple[str, dict[str, Any]]:
        return create_nodes(node), {"rows": [[row.get(p.name) for p in node.properties] for row in rows]}

    def links(kind: Relationship, rows: list[tuple[str, str, Row]]) -> tuple[str, dict[str, Any]]:
        return create_relationships(kind), {"rows": [[a, b, *(r[p.name] for p in kind.properties)] for a, b, r in rows]}

    def uid(*parts: object) -> str:
        return "/".join(str(part) for part in parts)

    tokens = [{"uid": f"m/{token}", "token": token, "text": text} for token, text in world.tokens.items()]
    store.write(
        [
            nodes(SAE, list(world.saes.values())),
            nodes(LATENT, list(world.latents.values())),
            nodes(TOKEN, tokens),
            nodes(CONTEXT, [context for _, _, _, context in world.contexts]),
            nodes(CLUSTER, list(world.clusters.values())),
            nodes(MOTIF_COUNT, list(world.motif_counts.values())),
            nodes(PEAK, list(world.peaks.values())),
            nodes(PEAK_CLUSTER, list(world.peak_clusters.values())),
            links(OF, [(uid(sae, i), sae, {}) for sae, i in world.latents]),
            links(CO_FIRES, [(uid(sae, a), uid(sae, b), row) for (sae, a, b), row in world.edges.items()]),
            links(FIRES_ON, [(uid(sae, i), uid("m", t), row) for (sae, i, t), row in world.fires_on.items()]),
            links(SHOWN_BY, [(uid(sae, i), context["uid"], shown) for sae, i, shown, context in world.contexts]),
            links(IN, [(uid(sae, i), cluster, row) for (sae, i), (cluster, row) in world.members.items()]),
            links(PART_OF, [(c, row["parent"], {}) for c, row in world.clusters.items() if row["parent"]]),
            links(COUNTED_IN, [(motif, row["sae"], {}) for motif, row in world.motif_counts.items()]),
            links(PARENT_OF, [(uid(sae, a), uid(sae, b), row) for (sae, a, b), row in world.parents.items()]),
            links(MATCHES, [(uid(*a), uid(*b), row) for (a, b), row in world.matches.items()]),
            links(MIRRORS, [(a, b, row) for (a, b), row in world.mirrors.items()]),
            links(HAS_PEAK, [(uid(*key[:2]), row["uid"], {}) for key, row in world.peaks.items()]),
            links(
                PEAK_CO_FIRES,
                [
                    (world.peaks[a]["uid"], world.peaks[b]["uid"], {"count": n})
                    for (a, b), n in world.peak_edges.items()
                ],
            ),
            links(PEAK_IN, [(world.peaks[key]["uid"], cluster, {}) for key, cluster in world.peak_members.items()]),
        ]
    )


def hub_world() -> World:
    """A world with a latent, 0 of the first SAE, of more than 620 neighbours."""
    world = make_world(6, 960, 0.009)
    rng = random.Random(6)  # noqa: S311 - tests want the same numbers each time
    for other in range(1, 960):
        if world.latents[READY[0], other]["firingCount"] and other % 11 != 5 and other % 8 != 7:
            world.edges[READY[0], 0, other] = random_edge(rng)
    for row in world.edges.values():
        row["logOdds"] += rng.randint(0, 40) / 16  # many strengths, and still ties
    return world
