"""Small random graphs for the tests of the query library, as plain Python data, and their way into a store.

Every world has two ready SAEs with the same latent indices and a third that is still loading; values are drawn from
a few, so that there are ties; tokens have quotes, blanks and other alphabets in them; some latents are dead and some
fire without any edge.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

from cofire.schema.base import Node
from cofire.schema.cypher import create_nodes, create_relationships, ddl
from cofire.schema.nodes import CLUSTER, CONTEXT, LATENT, SAE, TOKEN
from cofire.schema.relationships import CO_FIRES, FIRES_ON, IN, OF, SHOWN_BY
from cofire.store import Store

READY = ("rel/layer_1/width_16k", "rel 'two' \"ü\"/b$x")
LOADING = "rel/loading"
TEXTS = ("of", " of", "of", " the", "'", '"', "\\", "$text", "\n", "", "名前", "🙂", "\ufffd", "é", "e\u0301", "// x")
LOG_ODDS = (-0.5, 0.0, 1.0, 1.5, 1.5, 2.25, 3.0)
SHARES = (0.125, 0.25, 0.5, 0.8, 0.875, 1.0)
STRUCTURES = ("hub_and_spoke", "clique", "path", "mixed")

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


def make_world(seed: int, n: int, p_edge: float) -> World:
    """Make a world of n latents an SAE in which each pair co-fires with probability p_edge."""
    rng = random.Random(seed)  # noqa: S311 - tests want the same numbers each time
    world = World(tokens={100 + i: text for i, text in enumerate(TEXTS)})
    for uid in (*READY, LOADING):
        _add_sae(world, uid, rng, n, p_edge)
    return world


def _add_sae(world: World, uid: str, rng: random.Random, n: int, p_edge: float) -> None:
    status = "loading" if uid == LOADING else "ready"
    world.saes[uid] = {
        "uid": uid, "release": uid.partition("/")[0], "saeId": uid.partition("/")[2], "status": status,
        "layer": rng.choice([None, 3, 12]), "hook": "hook_resid_post", "model": "m", "architecture": "jumprelu",
        "nLatents": n, "tokens": 1000, "documents": 7, "firings": 5000, "meanL0": 5.0, "edgeRule": "all",
    }  # fmt: skip
    for index in range(n):
        dead = index % 7 == 3
        fires = not dead
        world.latents[uid, index] = {
            "uid": f"{uid}/{index}", "sae": uid, "index": index, "dead": dead,
            "firingCount": rng.choice([10, 20, 100]) if fires else 0,
            "frequency": rng.choice([0.05, 0.1, 0.1, 0.5]) if fires else 0.0,
            "mean": rng.choice([1.0, 2.0]) if fires else None, "std": 0.5 if fires else None,
            "max": rng.choice([3.0, 4.0]) if fires else None, "threshold": rng.choice([0.0, 0.25]),
            "mu": 1.5 if index % 2 and fires else None, "muRule": "mode" if index % 2 and fires else None,
            "histogram": [index, 0, 5] if index % 2 and fires else None,
            "topTokens": rng.sample(TEXTS, rng.randint(1, 5)) if fires else [],
        }  # fmt: skip
    alive = [i for i in range(n) if i % 7 != 3 and i % 11 != 5]  # 5, 16, ... fire, but have no edge
    for a in alive:
        for b in alive:
            if a < b and (rng.random() < p_edge or (uid == READY[0] and a == 0 and b <= 6)):
                world.edges[uid, a, b] = _edge(rng)
    for a in (i for i in range(n) if i % 7 != 3):
        for token in rng.sample(sorted(world.tokens), rng.randint(0, 4)):
            world.fires_on[uid, a, token] = {
                "count": rng.choice([1, 5, 9]), "share": rng.choice(SHARES), "lift": rng.choice([1.5, 3.0]),
            }  # fmt: skip
        for rank in range(rng.randint(0, 3)):
            context = {
                "uid": f"{uid}/x-{a}-{rank}", "sae": uid, "document": rng.randint(0, 3), "position": rank,
                "text": f"one «{rng.choice(TEXTS)}» two",
            }  # fmt: skip
            shown = {"rank": rank, "activation": 4.0 - rank, "u": rng.choice([None, 0.5])}
            world.contexts.append((uid, a, shown, context))
    _add_clusters(world, uid, rng, alive)


def _edge(rng: random.Random) -> Row:
    return {
        "count": rng.choice([20, 30, 30, 40]), "expected": 2.5, "logOdds": rng.choice(LOG_ODDS),
        "jaccard": rng.choice(SHARES), "phi": rng.choice([None, 0.25, 0.5]), "npmi": rng.choice([None, -0.5, 0.5]),
        "lift": rng.choice([2.0, 4.0]), "pBGivenA": rng.choice(SHARES), "pAGivenB": rng.choice(SHARES),
        "decoderCosine": rng.choice([None, -0.25, 0.75]),
    }  # fmt: skip


def _add_clusters(world: World, uid: str, rng: random.Random, alive: list[int]) -> None:
    left = [i for i in alive if i % 5 != 4]
    number = 0
    while len(left) >= 2:
        size = min(len(left), rng.choice([2, 3, 4, 5, 6]))
        cluster = f"{uid}/c-{rng.randrange(16**12):012x}"
        small = size < 4

        def number_or_null(values: tuple[float, ...], null: bool = small) -> float | None:
            return None if null else rng.choice(values)

        world.clusters[cluster] = {
            "uid": cluster, "sae": uid, "size": size, "resolution": 0.5, "seed": 0,
            "structure": "too_small" if small else STRUCTURES[number % 4], "density": number_or_null((0.5, 1.0)),
            "centralization": number_or_null((0.25, 0.8, 1.0)), "gini": number_or_null((0.25, 0.5)),
            "transitivity": number_or_null((0.0, 1.0), small or rng.random() < 0.3),
            "maxCliqueShare": number_or_null((0.5, 0.8, 1.0)),
        }  # fmt: skip
        for position, index in enumerate(left[:size]):
            role = "member" if number % 4 or small else ("hub" if position == 0 else "spoke")
            world.members[uid, index] = (cluster, {"role": role, "strength": rng.choice([1.0, 2.0, 2.5])})
        left = left[size:]
        number += 1


def load_world(store: Store, world: World) -> None:
    """Write the world into an empty store."""
    store.ddl(ddl())

    def nodes(node: Node, rows: list[Row]) -> tuple[str, dict[str, Any]]:
        return create_nodes(node), {"rows": [[row.get(p.name) for p in node.properties] for row in rows]}

    tokens = [{"uid": f"m/{token}", "token": token, "text": text} for token, text in world.tokens.items()]
    store.write(
        [
            nodes(SAE, list(world.saes.values())),
            nodes(LATENT, list(world.latents.values())),
            nodes(TOKEN, tokens),
            nodes(CONTEXT, [context for _, _, _, context in world.contexts]),
            nodes(CLUSTER, list(world.clusters.values())),
            (create_relationships(OF), {"rows": [[f"{sae}/{i}", sae] for sae, i in world.latents]}),
            (
                create_relationships(CO_FIRES),
                {
                    "rows": [
                        [f"{sae}/{a}", f"{sae}/{b}", *(row[p.name] for p in CO_FIRES.properties)]
                        for (sae, a, b), row in world.edges.items()
                    ]
                },
            ),
            (
                create_relationships(FIRES_ON),
                {
                    "rows": [
                        [f"{sae}/{i}", f"m/{token}", *(row[p.name] for p in FIRES_ON.properties)]
                        for (sae, i, token), row in world.fires_on.items()
                    ]
                },
            ),
            (
                create_relationships(SHOWN_BY),
                {
                    "rows": [
                        [f"{sae}/{i}", context["uid"], *(shown[p.name] for p in SHOWN_BY.properties)]
                        for sae, i, shown, context in world.contexts
                    ]
                },
            ),
            (
                create_relationships(IN),
                {
                    "rows": [
                        [f"{sae}/{i}", cluster, *(row[p.name] for p in IN.properties)]
                        for (sae, i), (cluster, row) in world.members.items()
                    ]
                },
            ),
        ]
    )
