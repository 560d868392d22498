"""How large a value is in a Bolt message, which servers bound."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from cofire.errors import QueryError

_HEAD = 5
"""Bytes that say what a text, list or map is and how long, at most."""
_NUMBER = 9
_DEEPEST = 500
"""Levels of a value; the driver's packer takes the whole process down some ten thousand deep."""
_NUMBERS, _LISTS = (int, float), (list, tuple)  # a union would be made anew for each value


def packed_size(value: Any) -> int:
    """Return the bytes that PackStream, Bolt's encoding, needs for a value at most.

    Cost: some 50 ns for each value inside.

    Args:
        value: None, a bool, number, text or bytes, or a list, tuple or dict of such, nested in any way. A text counts
            by its UTF-8 length, arrays and tables of NumPy and pandas as the lists that the driver makes of them.
            Anything else (a date) counts as 64 bytes.

    Raises:
        QueryError: it is nested deeper than any server takes, as is a list that holds itself.
    """
    size = 0
    waiting: list[tuple[int, Iterable[Any]]] = [(0, (value,))]
    while waiting:
        depth, inside = waiting.pop()
        if depth > _DEEPEST:
            raise QueryError(f"a value is nested more than {_DEEPEST} levels deep (does it hold itself?): flatten it")
        depth += 1
        for found in inside:
            kind = type(found)  # most are plain numbers, and this is a third of the time that isinstance takes
            if kind is float or kind is int or isinstance(found, _NUMBERS):
                size += _NUMBER
            elif isinstance(found, str):
                # Three bytes for a lone surrogate, as for its neighbours; that it cannot be sent is another matter.
                size += _HEAD + (len(found) if found.isascii() else len(found.encode("utf-8", "surrogatepass")))
            elif found is None:
                size += 1
            elif isinstance(found, _LISTS):
                size += _HEAD
                waiting.append((depth, found))
            elif isinstance(found, dict):
                size += _HEAD
                waiting += [(depth, found.keys()), (depth, found.values())]
            elif isinstance(found, bytes | bytearray):
                size += _HEAD + len(found)
            elif hasattr(found, "tolist"):
                waiting.append((depth, (found.tolist(),)))
            elif hasattr(found, "to_dict"):
                waiting.append((depth, (found.to_dict("list"),)))
            else:
                size += 64
    return size


def fitting(rows: list[list[Any]], size: int) -> list[list[Any]]:
    """Return the first of the rows, as many as pack into `size` bytes, but one at least."""
    for number, row in enumerate(rows):
        size -= packed_size(row)
        if size < 0:
            return rows[: max(number, 1)]
    return rows
