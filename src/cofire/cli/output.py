r"""Rows on stdout as a table, CSV, JSON or Parquet: of a data frame (`emit`), or as they come (`write_stream`).

What CSV and JSON hold is exact, and UTF-8 whatever the terminal's encoding. Only a terminal gets what would act on it,
a control character or a mark of direction in a token, as JSON's escape (`\u001b`): the JSON that it shows is the same.
"""

from __future__ import annotations

import csv
import io
import json
import math
import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Literal

from cofire.cli.common import notice
from cofire.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

MOST_ROWS = 1_000_000_000
FLUSH_SECONDS = 0.2
PARQUET_ROWS = 50_000
TABLE_ROWS = 50
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
    _prepare(format)
    if format == "table":
        _table(frame)
    elif format == "csv":
        flat = frame.map(lambda cell: json.dumps(cell, ensure_ascii=False) if isinstance(cell, list | dict) else cell)
        _say(flat.to_csv(index=False))
    elif format == "json":
        _say(json.dumps(records(frame), ensure_ascii=False, indent=1, allow_nan=False) + "\n")
    else:
        _parquet(frame)
    sys.stdout.flush()
    if cut:
        notice(f"the first {len(frame)} rows; --limit 0 prints all")


def tell(text: str) -> None:
    """Print a text of several lines, as a query file has them; a terminal gets it without control characters."""
    _say(text)
    sys.stdout.flush()


def _prepare(format: Format) -> None:  # noqa: A002 - the contract's name
    """Make standard output ready: CSV and JSON are UTF-8, wherever they go.

    Raises:
        InputError: Parquet would go to a terminal.
    """
    if format == "parquet" and sys.stdout.isatty():
        raise InputError("--format parquet is no text for a terminal; send it to a file with > FILE")
    if format in ("csv", "json") and isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")


def _say(text: str) -> None:
    """Write a text to standard output; to a terminal with JSON's escape for what would act on it."""
    sys.stdout.write(_escaped(text) if sys.stdout.isatty() else text)


def _escaped(text: str) -> str:
    return "".join(c if c == "\n" or c.isprintable() else json.dumps(c)[1:-1] for c in text)


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
    from cofire.cli.table import lines_of

    # A file or pipe has no width of its own.
    width = (os.get_terminal_size(sys.stdout.fileno()).columns or 80) if sys.stdout.isatty() else PIPE_WIDTH
    rows = [list(row.values()) for row in records(frame)]
    for line in lines_of([str(name) for name in frame.columns], rows, width, sys.stdout.encoding or "utf-8"):
        sys.stdout.write(line + "\n")


def write_stream(rows: Iterable[Row], types: Mapping[str, str], format: Format) -> None:  # noqa: A002 - the contract's name
    """Print rows as they come. What ends the iteration early, Ctrl-C too, leaves a whole file of those printed.

    The values are those that `emit` prints: NaN is null, in JSON the infinities, too.

    Args:
        rows: values in the order of the columns; plain Python values.
        types: the columns' types by name: string, integer, float, list<integer> or list<list<string>>.
        format: csv and json go out row by row, parquet in row groups, table as tables of 50 rows.
    """
    _prepare(format)
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
    writer = csv.writer(SimpleNamespace(write=_say), lineterminator="\n")
    writer.writerow(names)
    for row in _flushed(rows):
        writer.writerow([json.dumps(cell, ensure_ascii=False) if isinstance(cell, list) else cell for cell in row])


def _stream_json(rows: Iterable[Row], names: list[str]) -> None:
    sys.stdout.write("[")
    separator = "\n"
    try:
        for row in _flushed(rows):
            record = dict(zip(names, map(_finite, row), strict=True))
            _say(separator + json.dumps(record, ensure_ascii=False, allow_nan=False))
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

    number = 0
    for number, block in enumerate(_blocks(rows, TABLE_ROWS), 1):
        if number > 1:
            sys.stdout.write("\n")
        emit(typed_frame(list(types), list(types.values()), block), "table")
    if not number:
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
