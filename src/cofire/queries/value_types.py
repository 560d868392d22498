"""The types that a query's parameters and columns have, and the check that a value is of one."""

from __future__ import annotations

import json
import math
import numbers
import re
from dataclasses import dataclass
from typing import Any

from cofire.errors import QueryError

__all__ = ["SCALARS", "ValueType", "check_value", "parse_value", "read_json"]

SCALARS = ("string", "integer", "float", "boolean")

_INT64_LOW, _INT64_HIGH = -(2**63), 2**63 - 1
_DEEPEST = 50
_ARTICLES = {"string": "a string", "integer": "an integer", "float": "a number", "boolean": "true or false"}


@dataclass(frozen=True)
class ValueType:
    """One type, as a header writes it.

    Attributes:
        base: string, integer, float, boolean, or list<...> of a type.
        nullable: null is a value too.
        low: least number, inclusive; None for no bound.
        high: largest number, inclusive; None for no bound.
        choices: the strings that are allowed; empty for all.
    """

    base: str
    nullable: bool = False
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()

    @property
    def item(self) -> str | None:
        """The type of a list's items; None where it is no list."""
        return self.base[len("list<") : -1] if self.base.startswith("list<") else None

    def __str__(self) -> str:
        """Return the type as the header of a query file writes it."""
        text = "|".join(self.choices) or self.base
        if self.low is not None or self.high is not None:
            text += f" {_bound(self.low)}..{_bound(self.high)}"
        return f"{text} or null" if self.nullable else text


def _bound(value: float | None) -> str:
    return "" if value is None else f"{value:.15g}"


def check_value(value: Any, kind: ValueType, where: str) -> Any:
    """Return the value as Cypher gets it: an integer given for a float becomes a float, a NumPy scalar a Python one.

    Args:
        value: what the user gave.
        kind: the declared type.
        where: begins the error message, such as "query dense_latents: parameter limit".

    Raises:
        QueryError: the value is of another type (True is no integer), out of bounds or of the 64-bit range, not a
            number (NaN), none of the choices, or null where null is not allowed.
    """
    value = _python(value)
    if value is None:
        if kind.nullable:
            return None
        raise QueryError(f"{where} is null; give {_wanted(kind)}")
    if kind.item is not None:
        if not isinstance(value, list | tuple | range):
            raise _wrong(value, kind, where)
        item = ValueType(kind.item, low=kind.low, high=kind.high)
        return [check_value(entry, item, f"{where}[{i}]") for i, entry in enumerate(value)]
    checked = _check_scalar(value, kind, where)
    if kind.choices and checked not in kind.choices:
        raise QueryError(f"{where} is {_shown(checked)}; give one of {', '.join(kind.choices)}")
    if isinstance(checked, int | float) and not isinstance(checked, bool):
        below = kind.low is not None and checked < kind.low
        above = kind.high is not None and checked > kind.high
        if below or above:
            raise QueryError(f"{where} is {_shown(checked)}; give a value in {_bound(kind.low)}..{_bound(kind.high)}")
    return checked


def _python(value: Any) -> Any:
    """Return what NumPy, pandas and PyTorch hold as plain Python; anything else as it is."""
    tolist = getattr(value, "tolist", None)
    return tolist() if callable(tolist) else value


def _check_scalar(value: Any, kind: ValueType, where: str) -> Any:
    if kind.base == "boolean" and isinstance(value, bool):
        return value
    if kind.base == "string" and isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            raise QueryError(f"{where} has characters that are not Unicode text; give plain text") from None
        return str(value)
    if isinstance(value, bool):
        raise _wrong(value, kind, where)
    if kind.base == "integer" and isinstance(value, numbers.Integral):
        whole = int(value)
        if not _INT64_LOW <= whole <= _INT64_HIGH:
            raise QueryError(f"{where} is {_shown(whole)}, beyond the 64-bit range; give a smaller integer")
        return whole
    if kind.base == "float" and isinstance(value, numbers.Real):
        try:
            number = float(value)
        except OverflowError:
            raise QueryError(f"{where} is {_shown(value)}, too large for a float; give a smaller number") from None
        if math.isnan(number):
            raise QueryError(f"{where} is NaN; give a number")
        return number
    raise _wrong(value, kind, where)


def _wanted(kind: ValueType) -> str:
    if kind.choices:
        return f"one of {', '.join(kind.choices)}"
    return _ARTICLES.get(kind.base) or f"a list ({kind.base})"


def _wrong(value: Any, kind: ValueType, where: str) -> QueryError:
    return QueryError(f"{where} is {_shown(value)} ({type(value).__name__}); give {_wanted(kind)}")


def _shown(value: Any) -> str:
    if isinstance(value, int) and value.bit_length() > 200:
        return "an integer of that size"  # Python does not print one of more than 4,300 digits
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # it holds such an integer, or is nested without end
        return f"a {type(value).__name__} that cannot be shown"
    return text if len(text) <= 60 else text[:57] + "..."


def read_json(text: str, where: str) -> Any:
    """Read JSON that a user typed.

    Args:
        text: what was typed.
        where: begins the error message.

    Raises:
        ValueError: it is no JSON.
        QueryError: it is nested deeper than what reads, sends and prints values can follow.
    """
    too_deep = QueryError(f"{where} has lists or maps nested more than {_DEEPEST} deep; give a flatter value")
    try:
        value = json.loads(text)
    except RecursionError:
        raise too_deep from None
    level = [value]
    for _ in range(_DEEPEST):
        level = [item for holder in level for item in _items(holder)]
    if any(isinstance(item, list | dict) for item in level):
        raise too_deep
    return value


def _items(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def parse_value(text: str, kind: ValueType, where: str) -> Any:
    """Read a value from the text that a command line gives for it.

    A string stands as it is; `true` and `false` are booleans; a list is JSON, and its brackets may be left out
    (`1,2,3`); `null` is null where the type allows it.

    Raises:
        QueryError: the text is not of the type, or nested too deep.
    """
    if kind.nullable and text == "null":
        return None
    wrong = QueryError(f"{where} is {_shown(text)}; give {_wanted(kind)}")
    if kind.item is not None:
        try:
            value = read_json(text if text.lstrip().startswith("[") else f"[{text}]", where)
        except ValueError:
            raise wrong from None
        return check_value(value, kind, where)
    if kind.base == "boolean":
        if text not in ("true", "false"):
            raise wrong
        return text == "true"
    if kind.base == "integer":
        if not re.fullmatch(r"[+-]?[0-9]{1,30}", text):
            raise wrong
        return check_value(int(text), kind, where)
    if kind.base == "float":
        if "_" in text:  # Python's own way to group digits, which is no number elsewhere
            raise wrong
        try:
            return check_value(float(text), kind, where)
        except ValueError:
            raise wrong from None
    return check_value(text, kind, where)
