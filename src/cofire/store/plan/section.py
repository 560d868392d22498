"""The parts of a plan: sections of rows of one sort, which can be had in slices."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from cofire.schema.base import Node, Relationship
from cofire.store.packed import fitting, packed_size

Row = list[Any]
Slice = Callable[[int, int], list[Row]]


@dataclass(frozen=True)
class Section:
    """All rows of one sort of node or relationship.

    Attributes:
        kind: what each row makes.
        count: how many rows there are.
        rows: rows `start` to `stop`, not included. A node's row holds its values in the order of `kind.properties`; a
            relationship's the keys of its source and target, then its values.
    """

    kind: Node | Relationship
    count: int
    rows: Slice


@dataclass(frozen=True)
class LoadPlan:
    """What one SAE's load writes.

    Attributes:
        uid: the SAE's uid.
        sae: the properties of its `Sae` node, without status and contentHash. It comes before all sections.
        content_hash: fingerprint of everything in the plan.
        sections: shared nodes first, nodes before the relationships that need them.
    """

    uid: str
    sae: dict[str, Any]
    content_hash: str
    sections: tuple[Section, ...]

    @property
    def rows(self) -> int:
        """The number of rows in all sections."""
        return sum(section.count for section in self.sections)


def values_in(row: Row) -> int:
    """Return how many values a row carries, those in its lists included: what a message with it weighs."""
    return sum(len(value) if isinstance(value, list) else 1 for value in row)


def slices(section: Section, *, rows: int, values: int, size: int) -> Iterator[list[Row]]:
    """Yield all rows of a section, each time at most `rows`, about `values` values and `size` bytes, but one row."""
    start = 0
    while start < section.count:
        part = section.rows(start, min(start + likely(section, start, rows, values, size), section.count))
        part = fitting(part, size)
        yield part
        start += len(part)


def likely(section: Section, at: int, rows: int, values: int, size: int) -> int:
    """Return how many rows, one at least, are within these bounds if all are as the one at `at`."""
    first = section.rows(at, at + 1)[0]
    return max(min(rows, values // max(values_in(first), 1), size // packed_size(first)), 1)
