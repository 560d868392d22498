"""What a query gives back, as plain Python values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from neo4j.graph import Node, Path, Relationship
from neo4j.spatial import Point
from neo4j.time import Date, DateTime, Duration, Time

__all__ = ["Rows", "plain"]

# Most values are one of these; asking for them first saves the seven questions below on each.
_ATOMS = frozenset({int, float, str, bool, type(None)})


@dataclass(frozen=True)
class Rows:
    """The whole answer of one statement.

    Attributes:
        columns: the result columns, in the order of the RETURN clause.
        rows: one tuple a row, as long as `columns`, of plain Python values (see `plain`).
    """

    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]


def plain(value: Any) -> Any:
    """Turn a value of the driver into int, float, str, bool, bytes, None, list or dict.

    A node or relationship becomes the dict of its properties; a path the list of its nodes and relationships in
    turn; a date, time or duration its ISO 8601 text; a point the list of its coordinates.
    """
    if type(value) in _ATOMS:
        return value
    if isinstance(value, Path):
        parts: list[Any] = [dict(value.start_node or {})]
        for relationship, node in zip(value.relationships, value.nodes[1:], strict=True):
            parts += [dict(relationship), dict(node)]
        return plain(parts)
    if isinstance(value, Node | Relationship):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, Date | DateTime | Duration | Time):
        return value.iso_format()
    if isinstance(value, Point):
        return [float(item) for item in value]
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value
