"""What a table is made of: columns, a key, and the command that makes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import pyarrow as pa

ColumnType = Literal[
    "int32", "int64", "float64", "bool", "string", "list<int32>", "list<int64>", "list<float32>", "list<float64>"
]


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
    """

    name: str
    description: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    maker: Literal["count", "analyze"] = "count"
    in_graph: bool = True

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
