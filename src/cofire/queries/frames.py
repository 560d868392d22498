"""Make pandas DataFrames of a query's rows.

A column has one of pandas' nullable types, Int64, Float64, boolean or string, so that null is `pd.NA` and integers
stay integers; or object, where null is None, for lists and for columns of mixed or unknown type.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

__all__ = ["typed_frame", "untyped_frame"]

_DTYPES = {"integer": "Int64", "float": "Float64", "boolean": "boolean", "string": "string"}
_EXACT_IN_A_FLOAT = 2**53


def typed_frame(names: Sequence[str], types: Sequence[str], rows: Sequence[Sequence[Any]]) -> pd.DataFrame:
    """Make a frame of declared types; without rows it has the same columns and types.

    Args:
        names: [m] column names.
        types: [m] string, integer, float, boolean or list<...>, as `cofire.queries.value_types.ValueType.base`.
        rows: [n] rows of m values.
    """
    columns = zip(*rows, strict=True) if rows else ([] for _ in names)
    data = {
        name: pd.Series(list(values), dtype=_DTYPES.get(kind, "object"))
        for name, kind, values in zip(names, types, columns, strict=True)
    }
    return pd.DataFrame(data, columns=list(names), index=range(len(rows)))


def untyped_frame(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> pd.DataFrame:
    """Make a frame whose types are those of the values: all integers, numbers, booleans or text, else object."""
    columns = [list(values) for values in zip(*rows, strict=True)] if rows else [[] for _ in names]
    return typed_frame(names, [_found(values) for values in columns], rows)


def _found(values: list[Any]) -> str:
    kinds = {type(value) for value in values if value is not None}
    if kinds == {int}:
        return "integer"
    if kinds and kinds <= {int, float} and all(type(v) is not int or abs(v) <= _EXACT_IN_A_FLOAT for v in values):
        return "float"
    if kinds == {bool}:
        return "boolean"
    return "string" if kinds == {str} else "object"
