"""What a latent's node says of its tokens: those shown, and the words to search it by."""

from __future__ import annotations

import re
from collections.abc import Iterable

from cofire.ingest.latents.top_tokens import TOP_TOKENS

_WORD = re.compile(r"\w+")


def top_tokens(tokens: Iterable[tuple[str, int, float]]) -> list[str]:
    """Return the most frequent of a latent's tokens, given as (text, count, score) in the order of their ids."""
    return [text for text, _, _ in sorted(tokens, key=lambda token: -token[1])[:TOP_TOKENS]]


def distinctive_tokens(tokens: Iterable[tuple[str, int, float]]) -> list[str]:
    """Return those of the highest positive score, of tokens as in `top_tokens`."""
    telling = [token for token in tokens if token[2] > 0]
    return [text for text, _, _ in sorted(telling, key=lambda token: -token[2])[:TOP_TOKENS]]


def words_of(texts: list[str]) -> str:
    """Return the words of some texts: lower case, each once, in order, a blank between them."""
    return " ".join(sorted({word for text in texts for word in _WORD.findall(text.lower())}))
