"""Tokens as a reader can see them, on a page or in a terminal.

Spaces and line ends get a sign, a figure's font gets only what it can draw.
"""

from __future__ import annotations

import unicodedata
from functools import cache

_SIGNS = {" ": "␣", "\n": "⏎", "\t": "⇥", "\r": "↵"}
_MISSING = "□"


def visible_token(text: str) -> str:
    """Return a token with its white space and its invisible characters made visible.

    A space becomes ␣, a line feed ⏎, a tab ⇥, a carriage return ↵; any other control, format, surrogate or separator
    character (a zero-width space, a change of writing direction) becomes its number, as in U+200B. An empty token is ∅.
    """
    return "".join(_sign(c) for c in text) or "∅"


def visible_line(text: str) -> str:
    """Return a text as one line: as visible_token, but spaces between words stay spaces."""
    return "".join(c if c == " " else _sign(c) for c in text)


def visible_cell(text: str) -> str:
    """Return a text for one cell of a table: as visible_line, but spaces at its ends become ␣, too; empty text is ∅.

    A mark that would combine with what stands before the cell gets a circle to stand on.
    """
    inner = text.strip(" ")
    before = len(text) - len(text.lstrip(" "))
    shown = _SIGNS[" "] * before + visible_line(inner) + _SIGNS[" "] * (len(text) - len(inner) - before)
    return (f"◌{shown}" if shown and unicodedata.category(shown[0]).startswith("M") else shown) or "∅"


def drawable(text: str, limit: int) -> str:
    """Return what a figure shows of a visible text: at most `limit` characters, □ for those that its font lacks."""
    if len(text) > limit:
        text = text[: limit - 1] + "…"
    return "".join(c if ord(c) in _charmap() else _MISSING for c in text)


def _sign(character: str) -> str:
    if character in _SIGNS:
        return _SIGNS[character]
    if unicodedata.category(character) in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Zs"}:
        return f"U+{ord(character):04X}"
    return character


@cache
def _charmap() -> frozenset[int]:
    """Return the code points of DejaVu Sans, which ships with matplotlib."""
    from matplotlib import font_manager

    font = font_manager.get_font(font_manager.findfont("DejaVu Sans", fallback_to_default=False))
    return frozenset(int(code) for code in font.get_charmap())
