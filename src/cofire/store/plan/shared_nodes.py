"""Nodes that several SAEs share, put together as MERGE would: each once, later rows fill in what earlier ones lack."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from cofire.schema.base import Node
from cofire.store.plan.section import Row


class SharedNodes:
    """Shared nodes (releases, models, tokens) by key. Memory holds all of them."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[Node, dict[Any, Row]]] = {}

    def add(self, node: Node, rows: list[Row]) -> None:
        """Take in rows of one sort, the values in the order of its properties."""
        key = next(i for i, p in enumerate(node.properties) if p.key)
        _, known = self._found.setdefault(node.label, (node, {}))
        for row in rows:
            old = known.get(row[key], row)
            known[row[key]] = [b if a is None else a for a, b in zip(old, row, strict=True)]

    def slices(self, size: int) -> Iterator[tuple[Node, list[Row]]]:
        """Yield the nodes, at most `size` rows of one sort at a time."""
        for node, known in self._found.values():
            rows = iter(known.values())
            while part := list(islice(rows, size)):
                yield node, part
