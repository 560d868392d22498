"""What a failing comparison of two folders says: the files, the columns and the rows, and no megabytes."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from safetensors.numpy import save

from differing import differing


def parquet(columns: dict[str, Any], **options: Any) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file, **options)
    return file.getvalue()


def test_equal_folders_differ_in_nothing() -> None:
    files = {"a": b"1", "b.parquet": parquet({"x": [1, 2]})}
    assert differing(files, dict(files)) == []
    assert differing({}, {}) == []


def test_files_of_one_side_columns_rows_and_lines_are_named() -> None:
    values = [[1.0, 2.0], [3.0], [4.0]]
    other = [[1.0, 2.0], [3.5], [4.5]]
    same = {"x": [1, 2, 3], "z": [None, float("nan"), 1.0], "s": [{"list": [1, 2]}, None, {"list": []}]}
    left = {"gone": b"", "t.parquet": parquet({**same, "v": values}), "m.json": b'{\n"a": 1\n}'}
    right = {"new": b"", "t.parquet": parquet({**same, "v": other}), "m.json": b'{\n"a": 2\n}'}
    lines = differing(left, right)
    assert lines[:2] == ["only on the left: gone", "only on the right: new"]
    assert [line.strip() for line in lines if "rows differ" in line] == ["v: 2 of 3 rows differ, the first is 1:"]
    assert [line.strip() for line in lines if line.strip()[:1] in "+-"][2:] == ['-"a": 1', '+"a": 2']
    tensors = [{"w": np.array([1, 2, value], np.float32)} for value in (3, 4)]
    (line, *_) = differing(*({"w.safetensors": save(tensor)} for tensor in tensors))[1:]
    assert line.strip() == "w: 1 of 3 rows differ, the first is 2:"
    large = [{"t.parquet": parquet({"n": [None, 2**60 + more]})} for more in (0, 1)]
    assert differing(*large)[1:] == [
        "    n: 1 of 2 rows differ, the first is 1:",
        f"        {2**60}",
        f"        {2**60 + 1}",
    ]
    scalars = [{"w.safetensors": save({"w": np.array(value)})} for value in (1, 2)]
    assert differing(*scalars)[1].strip() == "w: 1 of 1 rows differ, the first is 0:"


def test_what_is_written_otherwise_or_damaged_is_said() -> None:
    one, other = (parquet({"x": [1, 2]}, compression=name) for name in ("zstd", "snappy"))
    assert "they were written otherwise" in differing({"t.parquet": one}, {"t.parquet": other})[-1]
    assert "cannot be read" in differing({"t.parquet": one}, {"t.parquet": one[:-1]})[-1]
    assert "cannot be read" in differing({"w.safetensors": b"1" * 10}, {"w.safetensors": b"2" * 10})[-1]
