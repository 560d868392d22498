"""Hold one answer of one store against the oracle."""

from __future__ import annotations

from typing import Any

from query_oracle import ORACLES
from query_worlds import DELETING, LOADING, World

from cofire.queries.library import library
from cofire.store import Store

PYTHON = {"integer": int, "float": float, "boolean": bool, "string": str}


def check(store: Store, world: World, name: str, given: dict[str, Any]) -> list[list[Any]]:
    """Ask a store that holds `world`: rows, order and types must be the oracle's. Returns the rows."""
    query = library()[name]
    wanted = ORACLES[name](world, **query.bind(given))
    names = tuple(column.name for column in query.columns)
    assert all(set(row) == set(names) for row in wanted), name
    rows = query(store, **given)
    assert rows.columns == names, name
    found = [list(row) for row in rows.rows]
    # As text, 1 and 1.0 differ, in lists of lists too.
    assert repr(found) == repr([[row[c] for c in names] for row in wanted]), f"{name} {given} on {store.kind}"
    assert not [sae for sae in (LOADING, DELETING) if sae in repr(found)]
    for row in found:
        for column, value in zip(query.columns, row, strict=True):
            if value is None:
                assert column.type.nullable, f"{name}: {column.name} is null"
            else:
                assert type(value) is PYTHON.get(column.type.base, list), f"{name}: {column.name} is {value!r}"
    return found
