"""Nodes that several SAEs share, put together as a load does: each once, a row fills in what those before it lack."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from cofire.errors import InputError
from cofire.schema.base import Node
from cofire.store.packed import fitting
from cofire.store.plan.section import Row


class SharedNodes:
    """Shared nodes (releases, models, tokens) by key. Memory holds all of them."""

    def __init__(self) -> None:
        # Of each key its row, and the SAE that has told so much of it.
        self._found: dict[str, tuple[Node, dict[Any, tuple[Row, str]]]] = {}

    def add(self, node: Node, rows: list[Row], sae: str) -> None:
        """Take in rows of one sort, the values in the order of its properties.

        Args:
            node: the sort.
            rows: the rows.
            sae: uid of the SAE that they belong to.

        Raises:
            InputError: a node has another value here than with an SAE before.
        """
        key = next(i for i, p in enumerate(node.properties) if p.key)
        _, known = self._found.setdefault(node.label, (node, {}))
        for row in rows:
            old, whose = known.setdefault(row[key], (row, sae))
            if old == row:
                continue
            for prop, a, b in zip(node.properties, old, row, strict=True):
                if a is not None and b is not None and a != b:
                    raise InputError(
                        f"{whose} and {sae} both have the {node.label} {row[key]}, whose {prop.name} is {a} for the "
                        f"one and {b} for the other: two of one name; load one of these SAEs into another store, or "
                        "make its capture again under another name"
                    )
            both = [b if a is None else a for a, b in zip(old, row, strict=True)]
            known[row[key]] = both, whose if both == old else sae

    def slices(self, rows: int, size: int) -> Iterator[tuple[Node, list[Row]]]:
        """Yield the nodes, at most `rows` of one sort and about `size` bytes (but one row) at a time."""
        for node, known in self._found.values():
            waiting = iter([row for row, _ in known.values()])
            part: list[Row] = []
            while part := part + list(islice(waiting, rows - len(part))):
                now = fitting(part, size)
                yield node, now
                part = part[len(now) :]
