"""Every query file gives what its oracle gives, on both stores, row by row and in order."""

from __future__ import annotations

import re
from typing import Any

import pytest
from query_oracle import ORACLES, cases
from query_worlds import LOADING, World, load_world, make_world

from cofire.queries.library import library
from cofire.store import Store
from cofire.store.embedded_child import DATABASE

# (seed, latents an SAE, share of the pairs that co-fire): sparse with long paths, middling, dense, and nothing at all.
WORLDS = ((1, 24, 0.08), (2, 16, 0.35), (3, 12, 0.9), (4, 8, 0.0))
PYTHON = {"integer": int, "float": float, "boolean": bool, "string": str}


def test_every_query_has_an_oracle() -> None:
    assert set(ORACLES) == set(library())


@pytest.mark.parametrize(("seed", "n", "p_edge"), WORLDS)
def test_rows_are_those_of_the_oracle(store: Store, seed: int, n: int, p_edge: float) -> None:
    world = make_world(seed, n, p_edge)
    load_world(store, world)
    for name in library():
        for given in cases(name, world):
            check(store, world, name, given)


def check(store: Store, world: World, name: str, given: dict[str, Any]) -> None:
    query = library()[name]
    rows = query(store, **given)
    # ArcadeDB names no columns where there is no row.
    if rows.rows or store.kind == "neo4j":
        assert rows.columns == tuple(column.name for column in query.columns), name
    found = [dict(zip(rows.columns, row, strict=True)) for row in rows.rows]
    wanted = ORACLES[name](world, **query.bind(given))
    assert found == wanted, f"{name} {given} on {store.kind}"
    assert LOADING not in repr(found)
    for row in rows.rows:
        for column, value in zip(query.columns, row, strict=True):
            if value is None:
                assert column.type.nullable, f"{name}: {column.name} is null"
            else:
                assert type(value) is PYTHON.get(column.type.base, list), f"{name}: {column.name} is {value!r}"


ANCHORED = {"index", "a", "b", "indices", "cluster", "text"}


def test_an_anchored_query_scans_nothing(store: Store) -> None:
    """A question about one latent, cluster or token finds it by an index, on a graph of any size."""
    world = make_world(1, 24, 0.3)
    load_world(store, world)
    asked = [query for query in library().values() if ANCHORED & {p.name for p in query.parameters}]
    assert len(asked) > 10
    for query in asked:
        plan = explained(store, query.text, query.bind(cases(query.name, world)[0]))
        assert "operatorType" in plan, query.name
        assert not re.search(r"AllNodesScan|LabelScan|RelationshipTypeScan", plan), f"{query.name}\n{plan}"
        # ArcadeDB joins what stands in neighbouring MATCHes in this way, where no WITH keeps them apart.
        assert store.kind == "neo4j" or "CartesianProduct" not in plan, f"{query.name}\n{plan}"


def explained(store: Store, text: str, parameters: dict[str, Any]) -> str:
    with store.connect().session(database="neo4j" if store.kind == "neo4j" else DATABASE) as session:
        plan = session.run("EXPLAIN " + text, parameters).consume().plan
    return repr(plan)
