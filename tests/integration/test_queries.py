"""Every query file gives what its oracle gives, on both stores, row by row and in order."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest
from query_cases import cases, crossed
from query_check import check
from query_oracle import ORACLES
from query_view import View
from query_worlds import READY, Row, hub_world, load_world, make_world

from cofire.queries.library import library
from cofire.store import Store
from cofire.store.embedded.database_files import DATABASE

# (seed, latents an SAE, share of the pairs that co-fire): sparse with long paths, middling, dense, and nothing at all.
WORLDS = ((1, 24, 0.08), (2, 16, 0.35), (3, 12, 0.9), (4, 8, 0.0))


def test_every_query_has_an_oracle() -> None:
    assert set(ORACLES) == set(library())


@pytest.mark.parametrize(("seed", "n", "p_edge"), WORLDS)
def test_rows_are_those_of_the_oracle(store: Store, seed: int, n: int, p_edge: float) -> None:
    world = make_world(seed, n, p_edge)
    load_world(store, world)
    for name in library():
        for given in cases(name, world):
            check(store, world, name, given)


# With which parameters the motifs of a hub are asked for.
HUBS: dict[str, list[Row]] = {
    "triangles_through_latent": [{}],
    "star_at_latent": [{}, {"min_log_odds": 2.0}],
    "open_triads_at_latent": [{}, {"min_log_odds": 3.0}],
}


def test_motifs_of_a_hub_are_those_of_the_oracle(store: Store) -> None:
    """A latent of some 650 neighbours: its strongest edges are looked at first, and with every limit that shows not."""
    world = hub_world()
    load_world(store, world)
    assert len(View(world, READY[0]).neighbours(0)) > 620
    for name, sets in HUBS.items():
        for given in crossed(sets, "limit", (1, 100, 999, 2**40)):
            if name != "open_triads_at_latent" or given["limit"] < 1000 or "min_log_odds" in given:
                check(store, world, name, {"sae": READY[0], "index": 0, **given})


def test_what_stands_around_a_word_or_in_a_phrase_does_not_count(store: Store) -> None:
    world = make_world(2, 16, 0.35)
    next(context for sae, _, _, context in world.contexts if sae == READY[0])["text"] = "« Oui », dit-il «of» two"
    load_world(store, world)
    for word in ("of", " of", "OF ", "\tof\n"):
        assert check(store, world, "latents_by_word", {"sae": READY[0], "word": word}), word
    for phrase in ("« Oui », dit", "Oui , dit", "-il of", "-il «of» two"):
        assert check(store, world, "contexts_with_text", {"sae": READY[0], "phrase": phrase}), phrase


def test_a_large_sae_does_not_hide_the_neighbours_in_a_small_one(store: Store) -> None:
    """All 2,000 latents more of the other SAE are nearer than any of the same one."""
    world = make_world(5, 14, 0.3)
    large = READY[1]
    for index in range(14):
        world.latents[READY[0], index]["decoder"] = [1.0, 0.0, 0.0] if index == 0 else [0.6, 0.8, 0.0]
        world.latents[large, index]["decoder"] = None
    for index in range(14, 2014):
        angle = index / 4000
        place = {"uid": f"{large}/{index}", "index": index, "decoder": [math.cos(angle), math.sin(angle), 0.0]}
        world.latents[large, index] = world.latents[large, 0] | place
    world.saes[large]["nLatents"] = 2014
    load_world(store, world)
    assert len(check(store, world, "nearest_decoders", {"sae": READY[0], "index": 0, "limit": 10})) == 10


ANCHORED = {"index", "a", "b", "indices", "cluster", "text"}


def test_an_anchored_query_scans_nothing(store: Store) -> None:
    """A question about one latent, cluster or token finds it by an index, on a graph of any size."""
    world = make_world(1, 24, 0.3)
    load_world(store, world)
    asked = [query for query in library().values() if ANCHORED & {p.name for p in query.parameters}]
    assert len(asked) > 25
    for query in asked:
        plan = explained(store, query.text_for(store.kind), query.bind(cases(query.name, world)[0]))
        assert "operatorType" in plan, query.name
        assert not re.search(r"AllNodesScan|LabelScan|RelationshipTypeScan", plan), f"{query.name}\n{plan}"
        # ArcadeDB joins what stands in neighbouring MATCHes in this way, where no WITH keeps them apart.
        assert store.kind == "neo4j" or "CartesianProduct" not in plan, f"{query.name}\n{plan}"


def explained(store: Store, text: str, parameters: dict[str, Any]) -> str:
    with store._connection.driver().session(database="neo4j" if store.kind == "neo4j" else DATABASE) as session:
        plan = session.run("EXPLAIN " + text, parameters).consume().plan
    return repr(plan)
