"""From the columns of a capture's tables to rows for the graph."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import TYPE_CHECKING

from cofire.ingest.capture_dir.directory import CaptureDir
from cofire.ingest.capture_dir.table_files import read_table
from cofire.schema.base import Relationship, snake_case
from cofire.schema.tables import Table
from cofire.store.plan.section import Row, Slice

if TYPE_CHECKING:
    import pyarrow as pa


def columns_as_rows(table: pa.Table, names: list[str]) -> list[Row]:
    """Return the named columns as rows."""
    return [list(row) for row in zip(*(table.column(name).to_pylist() for name in names), strict=True)]


class TableReader:
    """The tables of a capture, read at their first use; only the last one is kept, as sections come one by one."""

    def __init__(self, capture: CaptureDir) -> None:
        self._capture = capture
        self._last: tuple[str, pa.Table] | None = None
        self._reading = Lock()

    def slice(self, table: Table, start: int, stop: int) -> pa.Table:
        """Rows `start` to `stop` (not included) of a table."""
        with self._reading:
            if self._last is None or self._last[0] != table.name:
                self._last = (table.name, read_table(self._capture, table))
            return self._last[1].slice(start, stop - start)


def link_rows(
    capture: CaptureDir,
    tables: TableReader,
    table: Table,
    relationship: Relationship,
    ends: Callable[[CaptureDir, pa.Table], tuple[list[str], list[str]]],
) -> Slice:
    """Return rows [source key, target key, properties...] of a relationship that a table holds."""

    def rows(start: int, stop: int) -> list[Row]:
        data = tables.slice(table, start, stop)
        columns = [data.column(snake_case(p.name)).to_pylist() for p in relationship.properties]
        return list(map(list, zip(*ends(capture, data), *columns, strict=True)))

    return rows


def latent_uids(capture: CaptureDir, data: pa.Table, column: str) -> list[str]:
    """Return the uids of the latents whose numbers stand in a column."""
    return [f"{capture.uid}/{i}" for i in data.column(column).to_pylist()]
