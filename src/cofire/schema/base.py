"""What the schema is made of: nodes, relationships and their properties; tables and their columns."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import pyarrow as pa

PropertyType = Literal["string", "integer", "float", "boolean", "list<integer>", "list<float>", "list<string>"]


@dataclass(frozen=True)
class Property:
    """One property: camelCase name, type and meaning.

    Attributes:
        key: the property identifies its node: a uniqueness constraint is made, and loads MERGE on it.
        index: a range index is made.
    """

    name: str
    type: PropertyType
    description: str
    key: bool = False
    index: bool = False


@dataclass(frozen=True)
class Node:
    """One sort of node.

    Attributes:
        shared: several SAEs may point at one such node (a release, a token), so a load MERGEs it and the deletion of
            an SAE leaves it.
        written: a stage of this version writes such nodes; False for those that a later version fills.
    """

    label: str
    description: str
    properties: tuple[Property, ...]
    shared: bool = False
    written: bool = True

    @property
    def key(self) -> str:
        """The name of the property that identifies a node."""
        return next(p.name for p in self.properties if p.key)


@dataclass(frozen=True)
class Relationship:
    """One sort of relationship, (source)-[type]->(target)."""

    type: str
    source: Node
    target: Node
    description: str
    properties: tuple[Property, ...] = ()
    written: bool = True


def camel_case(name: str) -> str:
    """Return the property of a table's column or figure: log_odds -> logOdds."""
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def snake_case(name: str) -> str:
    """Return the table column of a property: logOdds -> log_odds, pBGivenA -> p_b_given_a."""
    return re.sub(r"(?=[A-Z])", "_", name).lower()


LONGEST_TEXT = 8_100
"""The most bytes (UTF-8) of a text that is a key or has an index: Neo4j's range index takes 8,164."""

ColumnType = Literal[
    "int32", "int64", "float64", "bool", "string", "list<int32>", "list<int64>", "list<float32>", "list<float64>"
]

_IN_GRAPH: dict[ColumnType, PropertyType] = {
    "int32": "integer",
    "int64": "integer",
    "float64": "float",
    "bool": "boolean",
    "string": "string",
    "list<int32>": "list<integer>",
    "list<int64>": "list<integer>",
    "list<float32>": "list<float>",
    "list<float64>": "list<float>",
}


@dataclass(frozen=True)
class Column:
    """One column: its name, Parquet type and meaning."""

    name: str
    type: ColumnType
    description: str
    nullable: bool = False


@dataclass(frozen=True)
class Table:
    """One table: the file `NAME.parquet`, sorted by its key.

    Attributes:
        name: its name.
        description: what a row is.
        key: the columns that tell rows apart.
        columns: all columns, in order.
        maker: the command that makes it.
        in_graph: whether its rows go into the graph; else they are read from the file alone.
        part_of: name of a table with the same key, into which `cofire analyze` copies the columns that it has too.
    """

    name: str
    description: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    maker: Literal["count", "analyze"] = "count"
    in_graph: bool = True
    part_of: str | None = None

    def arrow_schema(self) -> pa.Schema:
        """Return the Parquet schema, in the order of the columns."""
        import pyarrow as pa

        arrow: dict[ColumnType, Any] = {
            "int32": pa.int32(),
            "int64": pa.int64(),
            "float64": pa.float64(),
            "bool": pa.bool_(),
            "string": pa.string(),
            "list<int32>": pa.list_(pa.int32()),
            "list<int64>": pa.list_(pa.int64()),
            "list<float32>": pa.list_(pa.float32()),
            "list<float64>": pa.list_(pa.float64()),
        }
        return pa.schema([pa.field(c.name, arrow[c.type], nullable=c.nullable) for c in self.columns])


def filled_columns(parts: Iterable[Table]) -> tuple[Column, ...]:
    """Return the columns that a table has from its parts, keys left out: null where a part says nothing."""
    return tuple(replace(c, nullable=True) for part in parts for c in part.columns if c.name not in part.key)


def property_of(column: Column) -> Property:
    """Return the property that a column becomes in the graph."""
    return Property(camel_case(column.name), _IN_GRAPH[column.type], column.description)
