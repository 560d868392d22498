"""What no store takes is refused while nothing is written yet.

    an indexed text     LONGEST_TEXT: Neo4j fails the transaction that makes a longer one, in the middle of a load
    a row               LONGEST_ROW: the embedded store takes no message above `cofire.store.results.MOST_BYTES`
    an integer          64 bits

Of what a user can make large, all comes through here but latents and edges. Of a latent the texts are those of twenty
tokens, once as they are and once as words, beside at most some 4,400 numbers: half a megabyte.
"""

from __future__ import annotations

from cofire.errors import InputError
from cofire.schema.base import LONGEST_TEXT, Node, Relationship
from cofire.store.packed import packed_size
from cofire.store.plan.section import Row

LONGEST_ROW = 8 << 20
"""Bytes; a row goes into a message with others, or with its statement alone."""


def check_rows(where: str, kind: Node | Relationship, rows: list[Row]) -> None:
    """Refuse rows that a store would not take.

    Args:
        where: what they come from, for the message.
        kind: what each row makes.
        rows: as in a `Section`.

    Raises:
        InputError: an indexed text, a whole row or a number is too large.
    """
    names = [p.name for p in kind.properties]
    indexed = []
    if isinstance(kind, Relationship):
        names = ["source", "target", *names]
    else:
        indexed = [i for i, p in enumerate(kind.properties) if p.type == "string" and (p.key or p.index)]
    for row in rows:
        what = f"{kind.label if isinstance(kind, Node) else kind.type} {_shown(row[0])}"
        for i in indexed:
            if row[i] is not None and (size := len(row[i].encode("utf-8", "surrogatepass"))) > LONGEST_TEXT:
                raise InputError(
                    f"{where}: the {names[i]} of {what} has {size:,} bytes ({row[i][:20]!r}...); "
                    f"{LONGEST_TEXT:,} are the most that a store's index takes: make the capture again with less"
                )
        if (size := packed_size(row)) > LONGEST_ROW:
            raise InputError(
                f"{where}: {what} has {size:,} bytes; {LONGEST_ROW:,} are the most that a store takes "
                f"in one row: make the capture again with less"
            )
        for name, value in zip(names, row, strict=True):
            if isinstance(value, int) and not -(2**63) <= value < 2**63:
                raise InputError(f"{where}: the {name} of {what} does not fit 64 bits; make it smaller")


def _shown(key: str) -> str:
    return key if len(key) <= 100 else f"{key[:60]}..."
