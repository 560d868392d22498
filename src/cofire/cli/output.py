"""Rows on stdout as a table, CSV, JSON or Parquet: of a data frame (`emit`), or as they come (`write_stream`)."""

from __future__ import annotations

import csv
import json
import math
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal

from cofire.cli.common import notice
from cofire.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

MOST_ROWS = 1_000_000_000
FLUSH_SECONDS = 0.2
PARQUET_ROWS = 50_000
TABLE_ROWS = 50
CELL = 120
PIPE_WIDTH = 160


Row = tuple[Any, ...]


Format = Literal["table", "csv", "json", "parquet"]
"""How rows are printed."""


def most_rows(format: Format, limit: int | None) -> int:  # noqa: A002 - the contract's name
    """Return how many rows to print at most, 0 for all: `limit`, else 50 as a table and all otherwise."""
    if limit is None:
        return TABLE_ROWS if format == "table" else 0
    return min(limit, MOST_ROWS)


def emit(frame: pd.DataFrame, format: Format, *, cut: bool = False) -> None:  # noqa: A002 - the contract's name
    """Print a data frame to stdout; a notice on stderr says when rows were cut.

    Args:
        frame: the rows.
        format: table (for people), csv, json (a list of objects) or parquet.
        cut: there are more rows than these.
    """
    if format == "table":
        _table(frame)
    elif format == "csv":
        flat = frame.map(lambda cell: json.dumps(cell, ensure_ascii=False) if isinstance(cell, list | dict) else cell)
        sys.stdout.write(flat.to_csv(index=False))
    elif format == "json":
        sys.stdout.write(json.dumps(records(frame), ensure_ascii=False, indent=1, allow_nan=False) + "\n")
    else:
        _parquet(frame)
    sys.stdout.flush()
    if cut:
        notice(f"the first {len(frame)} rows; --limit 0 prints all")


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows as plain Python values; what is missing or not finite is None, as JSON has no other word."""
    columns = [[_plain(value) for value in frame[name].tolist()] for name in frame.columns]
    return [dict(zip(frame.columns, row, strict=True)) for row in zip(*columns, strict=True)]


def _plain(value: Any) -> Any:
    import pandas as pd

    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, str):
        return value
    return None if pd.isna(value) or value in (float("inf"), float("-inf")) else value


def _parquet(frame: pd.DataFrame) -> None:
    import pyarrow as pa

    try:
        frame.to_parquet(sys.stdout.buffer, index=False)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
        raise InputError(
            f"a column has values, of several types or none, that Parquet cannot hold ({error}); use --format json"
        ) from error


def _table(frame: pd.DataFrame) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    # Cells that do not fit are folded, never cut. A file or pipe has no width of its own.
    console = Console(highlight=False, width=None if sys.stdout.isatty() else PIPE_WIDTH)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in frame.columns:
        numeric = all(isinstance(v, int | float) or v is None for v in frame[name].map(_plain))
        table.add_column(str(name), justify="right" if numeric and len(frame) else "left", overflow="fold")
    for row in records(frame):
        table.add_row(*(_cell(value) for value in row.values()))
    console.print(table, markup=False)


def _cell(value: Any) -> Any:
    from rich.text import Text

    if value is None:
        return Text("-", style="dim")
    if isinstance(value, float):
        return Text(f"{value:.4g}" if abs(value) < 1e6 else f"{value:,.0f}")
    if isinstance(value, list):
        shown = " ".join(repr(item) if isinstance(item, str) else f"{item}" for item in value)
        return Text(shown if len(shown) <= CELL else shown[: CELL - 1] + "…")
    return Text(value if isinstance(value, str) else str(value))


def write_stream(rows: Iterable[Row], types: Mapping[str, str], format: Format) -> None:  # noqa: A002 - the contract's name
    """Print rows as they come. What ends the iteration early, Ctrl-C too, leaves a whole file of those printed.

    The values are those that `emit` prints: NaN is null, in JSON the infinities, too.

    Args:
        rows: values in the order of the columns; plain Python values.
        types: the columns' types by name: string, integer, float, list<integer> or list<list<string>>.
        format: csv and json go out row by row, parquet in row groups, table as tables of 50 rows.
    """
    rows = (tuple(map(_known, row)) for row in rows)
    if format == "csv":
        _stream_csv(rows, list(types))
    elif format == "json":
        _stream_json(rows, list(types))
    elif format == "parquet":
        _stream_parquet(rows, types)
    else:
        _stream_tables(rows, types)
    sys.stdout.flush()


def _known(cell: Any) -> Any:
    return None if isinstance(cell, float) and math.isnan(cell) else cell


def _finite(cell: Any) -> Any:
    return None if isinstance(cell, float) and not math.isfinite(cell) else cell


def _flushed(rows: Iterable[Row]) -> Iterator[Row]:
    """Yield the rows, and send what was printed on its way every now and then."""
    last = 0.0
    for row in rows:
        yield row
        if time.monotonic() - last > FLUSH_SECONDS:
            sys.stdout.flush()
            last = time.monotonic()


def _stream_csv(rows: Iterable[Row], names: list[str]) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(names)
    for row in _flushed(rows):
        writer.writerow([json.dumps(cell, ensure_ascii=False) if isinstance(cell, list) else cell for cell in row])


def _stream_json(rows: Iterable[Row], names: list[str]) -> None:
    sys.stdout.write("[")
    separator = "\n"
    try:
        for row in _flushed(rows):
            record = dict(zip(names, map(_finite, row), strict=True))
            sys.stdout.write(separator + json.dumps(record, ensure_ascii=False, allow_nan=False))
            separator = ",\n"
    finally:
        sys.stdout.write("\n]\n")


def _stream_parquet(rows: Iterable[Row], types: Mapping[str, str]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    arrow = {"string": pa.string(), "integer": pa.int64(), "float": pa.float64(), "list<integer>": pa.list_(pa.int64())}
    arrow["list<list<string>>"] = pa.list_(pa.list_(pa.string()))
    schema = pa.schema([(name, arrow[kind]) for name, kind in types.items()])
    with pq.ParquetWriter(sys.stdout.buffer, schema) as writer:
        for block in _blocks(rows, PARQUET_ROWS):
            writer.write_table(pa.table([list(column) for column in zip(*block, strict=True)], schema=schema))


def _stream_tables(rows: Iterable[Row], types: Mapping[str, str]) -> None:
    from cofire.queries.frames import typed_frame

    none = True
    for block in _blocks(rows, TABLE_ROWS):
        emit(typed_frame(list(types), list(types.values()), block), "table")
        none = False
    if none:
        emit(typed_frame(list(types), list(types.values()), []), "table")


def _blocks(rows: Iterable[Row], size: int) -> Iterator[list[Row]]:
    """Yield the rows in lists; what ends them early comes after those that were there."""
    rows = iter(rows)
    while True:
        block: list[Row] = []
        try:
            for row in islice(rows, size):
                block.append(row)
        finally:
            if block:
                yield block
        if len(block) < size:
            return
