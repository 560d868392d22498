"""Rows for a person: a table where it fits the width of the terminal, else each row as `name: value` lines.

Nothing is left out or broken: a uid or a text stands on one line, which the terminal may wrap and a copy joins again; a
list is broken between its items. Nothing of a text acts on the terminal: white space at the ends of a text and what has
no shape of its own (control characters, marks of direction) gets a sign, as on pages (`analysis.report.visible`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from rich.cells import cell_len

from cofire.analysis.report.visible import visible_cell, visible_token

LIST_WIDTH = 120
"""Characters of a list that are shown; the items beyond it are counted."""
_GAP = "  "


def lines_of(names: Sequence[str], rows: Sequence[Sequence[Any]], width: int, encoding: str = "utf-8") -> list[str]:
    """Return the lines that show rows.

    Args:
        names: of the columns.
        rows: plain Python values; None for what is missing.
        width: columns of the terminal.
        encoding: what it lacks is shown as an escape.
    """

    def known(text: str) -> str:
        return text.encode(encoding, "backslashreplace").decode(encoding)

    heads = [known(visible_cell(name)) for name in names]
    cells = [[known(shown(value)) for value in row] for row in rows]
    widths = [max(map(cell_len, column)) for column in zip(heads, *cells, strict=True)]
    if sum(widths) + len(_GAP) * (len(widths) - 1) <= width:
        right = [bool(rows) and all(_is_number(value) for value in column) for column in zip(*rows, strict=True)]
        pads = [_right if number else _left for number in (right or [False] * len(heads))]
        rule = ["".ljust(size, "-" if known("─") != "─" else "─") for size in widths]
        return [_line(row, widths, pads) for row in (heads, rule, *cells)]
    if not rows:
        return [f"no rows of {', '.join(heads)}"]
    lines = []
    for number, (row, values) in enumerate(zip(cells, rows, strict=True)):
        lines += [""] if number else []
        for head, cell, value in zip(heads, row, values, strict=True):
            lines += _wrapped(f"{head}: {cell}", width) if isinstance(value, list) else [f"{head}: {cell}"]
    return lines


def shown(value: Any) -> str:
    """Return a value as it is shown in one line."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1e6 else f"{value:,.0f}"
    if isinstance(value, list):
        return _list(value)
    return visible_cell(value if isinstance(value, str) else str(value))


def _list(values: list[Any]) -> str:
    """Return the items with a space between; those that do not fit are counted, never cut in the middle."""
    items = [visible_token(item) if isinstance(item, str) else visible_cell(str(item)) for item in values]
    size = 0
    for number, item in enumerate(items):
        size += cell_len(item) + 1
        if number and size > LIST_WIDTH:
            return f"{' '.join(items[:number])} … ({len(items) - number} more)"
    return " ".join(items) or "[]"


def _wrapped(text: str, width: int) -> list[str]:
    """Return the lines of a list, broken where a space is; further lines stand two columns in."""
    lines: list[str] = []
    for word in text.split(" "):
        if lines and cell_len(lines[-1]) + 1 + cell_len(word) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(f"  {word}" if lines else word)
    return lines


def _is_number(value: Any) -> bool:
    return value is None or isinstance(value, int | float)


def _line(cells: Sequence[str], widths: Sequence[int], pads: Sequence[Callable[[str, int], str]]) -> str:
    return _GAP.join(pad(cell, width) for cell, width, pad in zip(cells, widths, pads, strict=True)).rstrip()


def _left(text: str, width: int) -> str:
    return text + " " * (width - cell_len(text))


def _right(text: str, width: int) -> str:
    return " " * (width - cell_len(text)) + text
