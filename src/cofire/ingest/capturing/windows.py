"""Documents as token ids: tokenised once, kept in `text.parquet`, cut into windows for the model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np

from cofire.common.arrays import Ints32
from cofire.ingest.capture_dir.text_file import TokenisedDocument

# Documents handed to the tokenizer at once: it works through them in parallel. No more are added to this many
# characters, for it takes 155 bytes for each.
TOKENISE_AT_ONCE = 64
CHARACTERS_AT_ONCE = 2**20


@dataclass(frozen=True)
class Window:
    """What the model sees of a document at once: `tokens` int32 [n] from offset `start`, without an inserted BOS."""

    document: int
    start: int
    tokens: Ints32


def tokenise(
    documents: Iterable[tuple[str, str]],
    encode: Callable[[list[str]], list[list[int]]],
    limit: int | None = None,
) -> Iterator[TokenisedDocument]:
    """Yield (name, int32 token ids) of each document with a token, until `limit` tokens; the last document is cut.

    Args:
        documents: (name, text) pairs.
        encode: texts to token ids, without special tokens added.
        limit: total number of tokens, or None for all.
    """
    left = limit
    source = iter(documents)
    while left is None or left > 0:
        # Near the limit few documents are asked for, so that a bad line far behind it does not matter.
        chunk = _chunk(source, 1 if left is not None and left < 10_000 else TOKENISE_AT_ONCE)
        if not chunk:
            return
        for (name, _), ids in zip(chunk, encode([text for _, text in chunk]), strict=True):
            tokens = np.asarray(ids[:left], np.int32)
            if len(tokens) == 0:
                continue
            yield name, tokens
            if left is not None:
                left -= len(tokens)
                if left == 0:
                    return


def _chunk(source: Iterator[tuple[str, str]], most: int) -> list[tuple[str, str]]:
    """Take the next documents: at most `most`, fewer where they are long; none at the end."""
    chunk: list[tuple[str, str]] = []
    characters = 0
    while len(chunk) < most and characters < CHARACTERS_AT_ONCE and (document := next(source, None)) is not None:
        chunk.append(document)
        characters += len(document[1])
    return chunk


def windows(documents: Iterable[Ints32], length: int) -> Iterator[Window]:
    """Cut each document into windows of `length` tokens, the last one shorter."""
    for number, tokens in enumerate(documents):
        for start in range(0, len(tokens), length):
            yield Window(number, start, tokens[start : start + length])


def shards_of(source: Iterable[Window], size: int) -> Iterator[list[Window]]:
    """Group windows into lists of `size`, the last one shorter."""
    iterator = iter(source)
    while chunk := list(islice(iterator, size)):
        yield chunk
