"""Rows on stdout as they come, in the formats of `cofire.cli.output`: memory does not grow with their number."""

from __future__ import annotations

import csv
import json
import math
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from cofire.cli.output import TABLE_ROWS, Format, emit

FLUSH_SECONDS = 0.2
PARQUET_ROWS = 50_000

Row = tuple[Any, ...]


def write_stream(rows: Iterable[Row], types: Mapping[str, str], format: Format) -> None:  # noqa: A002 - the contract's name
    """Print rows as they come. What ends the iteration early, Ctrl-C too, leaves a whole file of those printed.

    The values are those that `cofire.cli.output.emit` prints: NaN is null, in JSON the infinities, too.

    Args:
        rows: values in the order of the columns; plain Python values.
        types: the columns' types by name: string, integer, float or list<integer>.
        format: csv and json go out row by row, parquet in row groups, table as tables of 50 rows.
    """
    rows = (tuple(map(_known, row)) for row in rows)
    if format is Format.csv:
        _csv(rows, list(types))
    elif format is Format.json:
        _json(rows, list(types))
    elif format is Format.parquet:
        _parquet(rows, types)
    else:
        _tables(rows, types)
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


def _csv(rows: Iterable[Row], names: list[str]) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(names)
    for row in _flushed(rows):
        writer.writerow([json.dumps(cell) if isinstance(cell, list) else cell for cell in row])


def _json(rows: Iterable[Row], names: list[str]) -> None:
    sys.stdout.write("[")
    separator = "\n"
    try:
        for row in _flushed(rows):
            record = dict(zip(names, map(_finite, row), strict=True))
            sys.stdout.write(separator + json.dumps(record, ensure_ascii=False, allow_nan=False))
            separator = ",\n"
    finally:
        sys.stdout.write("\n]\n")


def _parquet(rows: Iterable[Row], types: Mapping[str, str]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    arrow = {"string": pa.string(), "integer": pa.int64(), "float": pa.float64(), "list<integer>": pa.list_(pa.int64())}
    schema = pa.schema([(name, arrow[kind]) for name, kind in types.items()])
    with pq.ParquetWriter(sys.stdout.buffer, schema) as writer:
        for block in _blocks(rows, PARQUET_ROWS):
            writer.write_table(pa.table([list(column) for column in zip(*block, strict=True)], schema=schema))


def _tables(rows: Iterable[Row], types: Mapping[str, str]) -> None:
    from cofire.queries.frames import typed_frame

    none = True
    for block in _blocks(rows, TABLE_ROWS):
        emit(typed_frame(list(types), list(types.values()), block), Format.table)
        none = False
    if none:
        emit(typed_frame(list(types), list(types.values()), []), Format.table)


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
