"""Rows on stdout as a table, CSV, JSON or Parquet."""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from cofire.cli.common import notice

if TYPE_CHECKING:
    import pandas as pd

TABLE_ROWS = 50
CELL = 60


class Format(StrEnum):
    """How rows are printed."""

    table = "table"
    csv = "csv"
    json = "json"
    parquet = "parquet"


def emit(frame: pd.DataFrame, format: Format, limit: int | None) -> None:  # noqa: A002 - the contract's name
    """Print a data frame to stdout; a notice on stderr says when rows were cut.

    Args:
        frame: the rows.
        format: table (for people), csv, json (a list of objects) or parquet.
        limit: most rows; 0 for all; None for 50 as a table and all otherwise.
    """
    most = limit if limit is not None else (TABLE_ROWS if format is Format.table else 0)
    shown = frame.head(most) if most else frame
    if format is Format.table:
        _table(shown)
    elif format is Format.csv:
        flat = shown.map(lambda cell: json.dumps(cell, ensure_ascii=False) if isinstance(cell, list | dict) else cell)
        sys.stdout.write(flat.to_csv(index=False))
    elif format is Format.json:
        sys.stdout.write(json.dumps(records(shown), ensure_ascii=False, indent=1, allow_nan=False) + "\n")
    else:
        shown.to_parquet(sys.stdout.buffer, index=False)
    sys.stdout.flush()
    if len(shown) < len(frame):
        notice(f"{len(shown)} of {len(frame)} rows shown; --limit 0 prints all")


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows as plain Python values; what is missing is None."""
    columns = [[_plain(value) for value in frame[name].tolist()] for name in frame.columns]
    return [dict(zip(frame.columns, row, strict=True)) for row in zip(*columns, strict=True)]


def _plain(value: Any) -> Any:
    import pandas as pd

    if isinstance(value, list | dict | str):
        return value
    return None if pd.isna(value) else value


def _table(frame: pd.DataFrame) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    # Into a file or pipe there is no width to fit; on a terminal rich folds the cells.
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 10_000)
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
        return Text(shown if len(shown) <= CELL * 2 else shown[: CELL * 2 - 1] + "…")
    return Text(value if isinstance(value, str) else str(value))
