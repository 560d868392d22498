"""The size of a value in a message, against the driver's own packing."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from neo4j._codec.packstream.v1 import PackableBuffer, Packer

from cofire.errors import QueryError
from cofire.store.packed import packed_size
from cofire.store.results import sent

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


def test_broken_texts_have_a_size() -> None:
    assert packed_size("\ud800") == packed_size("日")


def nested(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


class Broken:
    def tolist(self) -> None:
        raise RuntimeError("no list\nof mine")


class Endless:
    def tolist(self) -> Endless:
        return self


@pytest.mark.parametrize("kind", ["neo4j", "embedded"])
def test_what_would_take_the_driver_down_is_not_sent(kind: str) -> None:
    itself: list[Any] = []
    itself += [itself, itself]
    of_itself: dict[str, Any] = {}
    of_itself["x"] = (of_itself,)
    for value in (nested(501), nested(100_000), itself, of_itself, Endless(), {"a": np.array([nested(600)], object)}):
        with pytest.raises(QueryError, match="nested more than 500 levels deep") as caught:
            sent("RETURN $x", {"x": value}, kind)
        assert str(caught.value).isprintable()
    with pytest.raises(QueryError, match=r"a parameter cannot be sent to the server: .*no list") as caught:
        sent("RETURN $x", {"x": Broken()}, kind)
    assert str(caught.value).isprintable()
    assert packed(nested(400)) <= packed_size(nested(400))
    assert sent("RETURN $x", {"x": nested(400)}, kind) == {"x": nested(400)}
