"""The size of a value in a message, against the driver's own packing."""

from __future__ import annotations

from io import BytesIO
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from neo4j._codec.packstream.v1 import PackableBuffer, Packer

from cofire.store.packed import packed_size

_ALONE = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats() | st.text() | st.binary()
VALUES = st.recursive(_ALONE, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=30)


def packed(value: Any) -> int:
    buffer: Any = PackableBuffer()
    Packer(buffer).pack(value)
    return len(BytesIO(buffer.data).getvalue())


@settings(max_examples=30)
@given(VALUES)
def test_it_is_never_too_small(value: Any) -> None:
    assert packed(value) <= packed_size(value)


def test_it_is_close_for_what_is_large() -> None:
    for value in ("a" * 10_000, "é" * 10_000, "\U0001f600" * 10_000, [1.5] * 10_000, ["word " * 50] * 1000, b"x" * 999):
        assert packed(value) <= packed_size(value) <= 1.02 * packed(value) + 10


def test_deep_and_broken_values_have_a_size() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    assert packed_size(deep) >= 100_000
    assert packed_size("\ud800") == packed_size("日")
