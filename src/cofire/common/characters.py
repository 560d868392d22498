"""Text that is no text: halves of surrogate pairs, which Python carries and no file, tokenizer or database takes."""

from __future__ import annotations

import re

__all__ = ["brief", "first_line", "sound"]

_HALF = re.compile("[\ud800-\udfff]")


def sound(text: str) -> str:
    """Return `text` with U+FFFD for each half of a surrogate pair: what JSON has of an emoji that was cut in two.

    A name from the command line or of a file has them where its bytes are not UTF-8.
    """
    return _HALF.sub("\N{REPLACEMENT CHARACTER}", text)


def brief(text: str, most: int) -> str:
    """Return `text` in at most `most` characters, its end cut off where it is longer."""
    return text if len(text) <= most else text[: most - 1] + "…"


def first_line(error: Exception, most: int = 300) -> str:
    """Return the first line of what an error says, in at most `most` characters; the name of its class if nothing."""
    return brief((str(error).strip().splitlines() or [type(error).__name__])[0], most)
