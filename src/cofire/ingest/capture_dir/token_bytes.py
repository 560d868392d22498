"""Token ids as text: how one token is shown, and the bytes that it adds to a text.

A token need not be whole characters: texts are made of the bytes of several tokens, decoded together.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

__all__ = ["TokenBytes", "TokenText", "id_text"]


class TokenText(NamedTuple):
    """One token of a vocabulary.

    Attributes:
        text: how it is shown; no two tokens of a vocabulary that cofire reads from a tokenizer are shown alike.
        added: what it adds to a text, UTF-8 or a part of it; None: the UTF-8 of `text`.
        first: what it adds where a text begins with it; None: `added`.
    """

    text: str
    added: bytes | None = None
    first: bytes | None = None


@dataclass(frozen=True)
class TokenBytes:
    """What each token adds to a text.

    Attributes:
        anywhere: bytes by token id; an id that is not there stands for itself, in brackets.
        first: bytes by token id, of those that add other ones where a text begins with them.
    """

    anywhere: Mapping[int, bytes] = field(default_factory=dict)
    first: Mapping[int, bytes] = field(default_factory=dict)

    def of(self, tokens: Iterable[int]) -> list[bytes]:
        """Return the bytes of each token of a text that begins with the first of them."""
        ids = list(map(int, tokens))
        known = list(map(self.anywhere.get, ids))
        found = [
            id_text(token).encode() if bytes_ is None else bytes_ for token, bytes_ in zip(ids, known, strict=True)
        ]
        if ids and ids[0] in self.first:
            found[0] = self.first[ids[0]]
        return found

    def around(self, tokens: Iterable[int], at: int) -> tuple[str, str, str]:
        """Return a text in three parts: before a token, the token, and after it.

        Where the token is a part of a character, the middle is the whole character. Parts of characters at the outer
        edges are dropped; elsewhere what is no UTF-8 is U+FFFD.

        Args:
            tokens: ids of the text's tokens.
            at: which of them, from 0.
        """
        pieces = self.of(tokens)
        before, token, after = b"".join(pieces[:at]), pieces[at], b"".join(pieces[at + 1 :])
        try:
            return before.decode(), token.decode(), after.decode()
        except UnicodeDecodeError:
            return _whole_characters(before, token, after)


def _whole_characters(before: bytes, token: bytes, after: bytes) -> tuple[str, str, str]:
    # Each byte that belongs to no character becomes one lone surrogate.
    units = (before + token + after).decode("utf-8", "surrogateescape")
    start, stop = len(before), len(before) + len(token)
    low = high = place = 0
    for number, unit in enumerate(units):
        begin, place = place, place + len(unit.encode("utf-8", "surrogateescape"))
        if place <= start:
            low = number + 1
        # A token of no bytes marks nothing.
        if begin < stop and stop > start:
            high = number + 1
    high = max(low, high)
    head, tail = units[:low].lstrip(_STRAY), units[high:].rstrip(_STRAY)
    return _readable(head), _readable(units[low:high]), _readable(tail)


_STRAY = "".join(chr(0xDC80 + byte) for byte in range(0x80))


def _readable(units: str) -> str:
    return units.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def id_text(token: int) -> str:
    """Return a token of which nothing but the id is known as text: the id in brackets."""
    return f"[{token}]"
