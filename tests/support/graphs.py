"""Looking at a whole graph, and emptying one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from cofire.schema.nodes import NODES
from cofire.schema.relationships import RELATIONSHIPS
from cofire.store import Store


def dump_graph(store: Store) -> tuple[list[str], list[str]]:
    """Every node and every relationship with all their properties, as sorted JSON lines."""
    nodes: list[str] = []
    for node in NODES:
        for (properties,) in store.read(f"MATCH (n:{node.label}) RETURN n", {}).rows:
            nodes.append(json.dumps([node.label, properties], sort_keys=True))
    links: list[str] = []
    for kind in RELATIONSHIPS:
        text = (
            f"MATCH (a:{kind.source.label})-[r:{kind.type}]->(b:{kind.target.label}) "
            f"RETURN a.{kind.source.key}, b.{kind.target.key}, r"
        )
        links += [json.dumps([kind.type, *row], sort_keys=True) for row in store.read(text, {}).rows]
    return sorted(nodes), sorted(links)


def wipe(store: Store) -> None:
    """Delete everything."""
    statement = "MATCH (n) WITH n LIMIT 5000 DETACH DELETE n RETURN count(*)"
    while store.write([(statement, {})])[0].rows[0][0]:
        pass


@contextmanager
def cut_at(store: Store, call: int) -> Iterator[None]:
    """Inside, the store's transaction of this number is not run: Ctrl-C comes in its place."""
    once, calls = store.transact, 0

    def cut(work: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == call:
            raise KeyboardInterrupt
        return once(work)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "transact", cut)
        yield
