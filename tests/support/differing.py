"""Says how two folders differ, in a few lines: where a capture is not what it should be, its bytes tell nothing."""

from __future__ import annotations

import difflib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from safetensors import SafetensorError
from safetensors.numpy import load

LINES = 40  # of a text that differs


def files_of(folder: Path) -> dict[str, bytes]:
    """Return every file under a folder, by its path in it."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def differing(left: Mapping[str, bytes], right: Mapping[str, bytes]) -> list[str]:
    """Return what differs between the files of two folders, each by its name: nothing where they are equal."""
    lines = [f"only on the left: {name}" for name in sorted(left.keys() - right.keys())]
    lines += [f"only on the right: {name}" for name in sorted(right.keys() - left.keys())]
    for name in sorted(left.keys() & right.keys()):
        if left[name] != right[name]:
            lines.append(f"{name}: {len(left[name])} bytes on the left, {len(right[name])} on the right")
            lines += [f"    {line:.300}" for line in _how(name, left[name], right[name])]
    return lines


def _how(name: str, left: bytes, right: bytes) -> list[str]:
    try:
        if name.endswith(".parquet"):
            return _columns(_parquet(left), _parquet(right))
        if name.endswith(".safetensors"):
            return _columns(_tensors(left), _tensors(right))
        texts = [data.decode().splitlines() for data in (left, right)]
    except (OSError, ValueError, SafetensorError) as error:
        return [f"one of the two cannot be read: {error}"]
    return list(difflib.unified_diff(*texts, "left", "right", lineterm="", n=0))[:LINES]


def _parquet(data: bytes) -> dict[str, Any]:
    table = pq.read_table(io.BytesIO(data))
    return {name: table.column(name).to_pylist() for name in table.column_names}


def _tensors(data: bytes) -> dict[str, Any]:
    return {name: np.atleast_1d(tensor).tolist() for name, tensor in load(data).items()}


def _columns(left: Mapping[str, Any], right: Mapping[str, Any]) -> list[str]:
    lines = [f"columns {sorted(left)} and {sorted(right)}"] if left.keys() != right.keys() else []
    for name in sorted(left.keys() & right.keys()):
        one, other = left[name], right[name]
        if len(one) != len(other):
            lines.append(f"{name}: {len(one)} rows and {len(other)}")
            continue
        # By what is shown of them: a NaN equals a NaN, and no integer becomes a float.
        rows = [row for row in range(len(one)) if repr(one[row]) != repr(other[row])]
        if rows:
            lines.append(f"{name}: {len(rows)} of {len(one)} rows differ, the first is {rows[0]}:")
            lines += [f"    {value!s:.200}" for value in (one[rows[0]], other[rows[0]])]
    return lines or ["equal in every value: they were written otherwise"]
