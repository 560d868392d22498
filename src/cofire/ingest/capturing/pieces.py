"""Long texts in pieces: a tokenizer takes 155 bytes of memory for each byte that it is given at once.

A text of at most PIECE bytes is one document. A longer one is several, named `NAME (part 1)`, `NAME (part 2)`, ...:
each ends after the last line end within PIECE bytes of its beginning, or where there is none, after the last whole
character.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from io import BytesIO

__all__ = ["numbered", "pieces", "pieces_of"]

PIECE = 2**20


def pieces(read: Callable[[int], bytes]) -> Iterator[tuple[int, bytes, bool]]:
    """Yield (offset, bytes, whether there are more) of each piece of a UTF-8 text; two pieces are in memory at most.

    Args:
        read: returns the next bytes, at most as many as it is asked for; none at the end.
    """
    offset, data = 0, b""
    while True:
        # One byte more than a piece: what follows decides whether a character ends there.
        while len(data) <= PIECE and (more := read(PIECE + 1 - len(data))):
            data += more
        end = len(data) if len(data) <= PIECE else _end(data)
        if end == 0:
            return
        yield offset, data[:end], end < len(data)
        offset, data = offset + end, data[end:]


def _end(data: bytes) -> int:
    """Return where a piece ends in `data`, which is longer than one."""
    if line := data.rfind(b"\n", 0, PIECE) + 1:
        return line
    end = PIECE
    # The second byte of a character and those after it begin with the bits 10; there are three at most.
    while end > max(PIECE - 3, 1) and data[end] & 0xC0 == 0x80:
        end -= 1
    split_line_end = data[end - 1 : end + 1] == b"\r\n"
    return end - 1 if split_line_end and end > 1 else end


def pieces_of(name: str, text: str) -> Iterator[tuple[str, str]]:
    """Yield (name, text) of each piece of a text that is in memory."""
    # A character has four bytes at most: a short text need not be encoded to be measured.
    if len(text) <= PIECE // 4 or len(data := text.encode()) <= PIECE:
        yield name, text
        return
    yield from numbered(name, ((piece.decode(), more) for _, piece, more in pieces(BytesIO(data).read)))


def numbered(name: str, texts: Iterable[tuple[str, bool]]) -> Iterator[tuple[str, str]]:
    """Yield (name, text) of each (text, whether more follow); names say which part it is where there are several."""
    for part, (text, more) in enumerate(texts, 1):
        yield (f"{name} (part {part})" if more or part > 1 else name), text
