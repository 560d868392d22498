"""The text of every token of a Hugging Face tokenizer, exactly: what it adds to a text, and how it is shown.

decode([id]) is not the answer: decoders strip the space at the beginning of a text, put spaces between words, and make
replacement characters of parts of characters. So each token is decoded between two plain ones, which asks the decoder
itself, whatever its kind. Only parts of characters are read from the tokenizer's pieces: `<0xE6>` is a byte, and else
the piece is spelled in the alphabet of byte-level BPE. All of it is then compared with what `decode` makes of many
tokens together; where this differs, the next way is tried, and in the end the pieces stand as they are.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cofire.ingest.capture_dir.token_bytes import TokenText, id_text

__all__ = ["token_texts"]

_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")
_AT_ONCE = 512
# Words, spaces, lines and characters of two to four bytes: what no single token shows is seen in it.
_SAMPLE = "The cat's  café, don't\n\tstop. Я читаю книгу; 我喜欢稀疏 日本語です 한국어 עברית العربية हिन्दी 🙂👩‍👧 1234"


def token_texts(tokenizer: Any) -> dict[int, TokenText]:
    """Return the text of every token id of a Hugging Face tokenizer, fast or not.

    A token of whole characters is shown as these, its leading space included; but a tokenizer that puts the spaces
    between pieces itself (WordPiece) has its pieces shown. A part of a character shows its bytes: `<0xE6><0xBB>`. Where
    two would be shown alike, the later id follows its text; an id without a token is shown as `[id]`.

    Costs some microseconds for each token.
    """
    tokens = _Tokens.of(tokenizer)
    found = next((read for read in _readings(tokenizer, tokens) if _agrees(tokenizer, tokens, read)), None)
    if found is None:
        found = _Reading({token: piece.encode() for token, piece in tokens.pieces.items()})
    shown = {token: _shown(piece, found.added[token], spaced=found.spaced) for token, piece in tokens.pieces.items()}
    unique = _unique({token: shown.get(token, "") for token in range(tokens.size)})
    return {
        token: TokenText(
            text,
            found.added.get(token, text.encode()),
            tokens.pieces[token].encode() if found.spaced and token in tokens.pieces else None,
        )
        for token, text in unique.items()
    }


@dataclass(frozen=True)
class _Tokens:
    """The tokens of a tokenizer.

    Attributes:
        pieces: piece by id.
        size: ids are below it; some may have no piece.
        own: ids that were added to the model's vocabulary. Their content stands in a text as it is.
        left, right: two plain tokens, between which others are decoded.
    """

    pieces: dict[int, str]
    size: int
    own: frozenset[int]
    left: int
    right: int

    @classmethod
    def of(cls, tokenizer: Any) -> _Tokens:
        vocabulary = tokenizer.get_vocab()
        size = max(len(tokenizer), 1 + max(vocabulary.values(), default=-1))
        try:
            added = set(tokenizer.added_tokens_decoder)
        except NotImplementedError:  # mistral_common's
            added = set()
        backend = getattr(tokenizer, "backend_tokenizer", None)
        if backend is not None:
            model = set(backend.get_vocab(with_added_tokens=False).values())
            pieces = {token: backend.id_to_token(token) for token in range(size)}
        else:
            model = set(vocabulary.values()) - added
            pieces = {token: piece for piece, token in vocabulary.items()}
        pieces = {token: piece for token, piece in pieces.items() if piece is not None}
        plain = sorted(
            (token for token in model if token in pieces),
            key=lambda token: (not (pieces[token].isascii() and pieces[token].isalnum()), len(pieces[token]), token),
        )
        left, right = (plain * 2)[:2] if plain else (0, 0)
        return cls(pieces, size, frozenset(added - model), left, right)


@dataclass(frozen=True)
class _Reading:
    """What one way of asking a tokenizer found.

    Attributes:
        added: what each token adds to a text, by id.
        odd: ids on which `decode` and this differ with reason.
        head: the text of the left one of the two plain tokens, where a text begins with it.
        spaced: True where decoding, and not the token, brings the space before a word.
    """

    added: dict[int, bytes]
    odd: frozenset[int] = frozenset()
    head: str = ""
    spaced: bool = False


def _readings(tokenizer: Any, tokens: _Tokens) -> Iterator[_Reading]:
    """Yield what the tokenizer's decoder says, which is quick, and then what its `decode` does."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None:
        yield _read(lambda runs: list(backend.decode_batch(runs, skip_special_tokens=False)), tokens)
    yield _read(lambda runs: [_decode(tokenizer, run) for run in runs], tokens)


def _decode(tokenizer: Any, ids: list[int]) -> str:
    return str(tokenizer.decode(ids, clean_up_tokenization_spaces=False))


def _read(decode: Callable[[list[list[int]]], list[str]], tokens: _Tokens) -> _Reading:
    left, right = tokens.left, tokens.right
    head, tail = decode([[left], [left, right]])
    tail = tail.removeprefix(head)
    added: dict[int, bytes] = {}
    odd: set[int] = set()
    texts = decode([[left, token, right] for token in tokens.pieces])
    for (token, piece), text in zip(tokens.pieces.items(), texts, strict=True):
        inside = len(text) >= len(head) + len(tail) and text.startswith(head) and text.endswith(tail)
        middle = text[len(head) : len(text) - len(tail)] if inside else _REPLACEMENT
        byte = _BYTE.fullmatch(piece)
        known: bytes | None = middle.encode()
        if token in tokens.own and piece not in middle:
            odd.add(token)
            known = piece.encode()
        elif byte and middle != piece:
            known = bytes([int(byte[1], 16)])
        elif _REPLACEMENT in middle and _REPLACEMENT not in piece:
            known = _spelled(piece, middle)
        if known is None:
            odd.add(token)
        added[token] = piece.encode() if known is None else known
    return _Reading(added, frozenset(odd), head, tail == f" {tokens.pieces.get(right, '')}")


def _agrees(tokenizer: Any, tokens: _Tokens, found: _Reading) -> bool:
    """Return whether `decode` of many tokens together, and of a text, gives what the tokens add to it."""
    whole = [token for token, added in found.added.items() if _is_text(added) and token not in found.odd]
    runs = [whole[start : start + _AT_ONCE] for start in range(0, len(whole), _AT_ONCE)]
    sample = tokenizer(_SAMPLE, add_special_tokens=False)["input_ids"]
    runs.append([token for token in sample if token not in found.odd])
    tail = found.added.get(tokens.right, b"")
    for run in runs:
        joined = b"".join([*(found.added.get(token, b"") for token in run), tail]).decode(errors="replace")
        text = _decode(tokenizer, [tokens.left, *run, tokens.right])
        # One character for each byte that is none, or one for several: decoders differ.
        if _marked(text).rstrip(" ") != _marked(found.head + joined).rstrip(" "):
            return False
    return True


def _marked(text: str) -> str:
    return re.sub(f"{_REPLACEMENT}+", _REPLACEMENT, text)


def _is_text(added: bytes) -> bool:
    try:
        added.decode()
    except UnicodeDecodeError:
        return False
    return True


def _alphabet() -> dict[str, int]:
    """Return the byte of each character by which GPT-2's byte-level BPE writes it.

    Printable ones stand for themselves, the others follow from U+0100 on.
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(0x100) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(0x100 + k): byte for k, byte in enumerate(others)}


_ALPHABET = _alphabet()


def _spelled(piece: str, text: str) -> bytes | None:
    """Return the bytes of a piece of byte-level BPE that is decoded to `text`, or None where it is none."""
    # CLIP marks the end of a word, which is decoded to a space.
    end = "</w>" if piece.endswith("</w>") and text.endswith(" ") else ""
    letters = piece.removesuffix(end)
    if any(character not in _ALPHABET for character in letters):
        return None
    return bytes(_ALPHABET[character] for character in letters) + (b" " if end else b"")


def _shown(piece: str, added: bytes, *, spaced: bool) -> str:
    if spaced or _BYTE.fullmatch(piece):
        return piece
    if _is_text(added) and _REPLACEMENT not in (text := added.decode()):
        return text
    return "".join(f"<0x{byte:02X}>" for byte in added)


def _unique(shown: Mapping[int, str]) -> dict[int, str]:
    """Return the texts with the id behind those that a lower id has, and in the place of those that are empty."""
    found: dict[int, str] = {}
    taken: set[str] = set()
    for token, text in shown.items():
        if text and text not in taken:
            found[token] = text
            taken.add(text)
    for token, text in shown.items():
        while token not in found:
            text += id_text(token)
            if text not in taken:
                found[token] = text
                taken.add(text)
    return dict(sorted(found.items()))
