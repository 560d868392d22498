"""How large a value is in a Bolt message, which servers bound."""

from __future__ import annotations

from typing import Any

_HEAD = 5
"""Bytes that say what a text, list or map is and how long, at most."""
_NUMBER = 9


def packed_size(value: Any) -> int:
    """Return the bytes that PackStream, Bolt's encoding, needs for a value at most.

    Args:
        value: None, a bool, number, text or bytes, or a list, tuple or dict of such, nested in any way. A text counts
            by its UTF-8 length, arrays and tables of NumPy and pandas as the lists that the driver makes of them.
            Anything else (a date) counts as 64 bytes.
    """
    size, waiting = 0, [value]
    while waiting:
        found = waiting.pop()
        if isinstance(found, str):
            # Three bytes for a lone surrogate, as for its neighbours; that it cannot be sent is another matter.
            size += _HEAD + (len(found) if found.isascii() else len(found.encode("utf-8", "surrogatepass")))
        elif found is None or isinstance(found, bool):
            size += 1
        elif isinstance(found, int | float):
            size += _NUMBER
        elif isinstance(found, bytes | bytearray):
            size += _HEAD + len(found)
        elif isinstance(found, dict):
            size += _HEAD
            waiting.extend(found)
            waiting.extend(found.values())
        elif isinstance(found, list | tuple):
            size += _HEAD
            waiting.extend(found)
        elif hasattr(found, "tolist"):
            waiting.append(found.tolist())
        elif hasattr(found, "to_dict"):
            waiting.append(found.to_dict("list"))
        else:
            size += 64
    return size
