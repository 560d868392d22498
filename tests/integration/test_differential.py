"""Both stores and the oracle give the same rows, in the same order, of the same types, on many random graphs."""

from __future__ import annotations

import random
from collections import Counter

from query_cases import cases
from query_check import check
from query_worlds import LARGE, READY, World, load_world, make_world

from cofire.queries.library import library
from cofire.store import Store
from effort import ROUND, WORLDS, seed_of
from graphs import wipe

EACH = 3
"""Parameter sets of a query on one graph."""


def test_both_stores_and_the_oracle_agree(neo4j_store: Store, embedded_store: Store) -> None:
    asked: Counter[str] = Counter()
    answered: Counter[str] = Counter()
    for seed in range(seed_of(1000), seed_of(1000) + WORLDS):
        rng = random.Random(seed)  # noqa: S311 - tests want the same numbers each time
        world = make_world(seed, rng.randint(5, 18), rng.choice([0.1, 0.3, 0.5, 0.9]))
        _holds_what_it_should(world)
        for store in (neo4j_store, embedded_store):
            wipe(store)
            load_world(store, world)
        for name in library():
            for given in cases(name, world, EACH):
                rows = [check(store, world, name, given) for store in (neo4j_store, embedded_store)]
                assert repr(rows[0]) == repr(rows[1])
                asked[name] += 1
                answered[name] += bool(rows[0])
    assert asked.total() >= 140 * WORLDS
    assert set(asked) == set(library())
    # In the suite's own worlds; elsewhere chance may have it.
    assert ROUND or not [name for name in library() if not answered[name]], "a query that never had a row"


def _holds_what_it_should(world: World) -> None:
    for sae in READY:
        linked = {i for s, a, b in world.edges if s == sae for i in (a, b)}
        assert {i for s, i in world.latents if s == sae} - linked, "no isolated latent"
    first, second = ({i for s, i in world.latents if s == sae} for sae in READY)
    assert first == second, "not parallel"
    assert {row["count"] for row in world.fires_on.values()} & set(LARGE), "no count above 2^53"
