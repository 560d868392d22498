"""Example contexts of a latent, over its whole activation range."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from cofire.common.arrays import Floats, Ints, Ints32, Singles
from cofire.common.compiled import compiled
from cofire.common.hashing import mixed
from cofire.ingest.capture_dir.shard import Shard
from cofire.ingest.capture_dir.token_bytes import TokenBytes
from cofire.schema.tables import CONTEXTS

CONTEXTS_PER_LATENT = 10
WINDOW = 12


class ContextSampler:
    """Keeps ten firings of each latent, one from each equal slice of its activation range.

    From the top slice it keeps the strongest firing (the first of equal ones), from each other slice the one with the
    lowest hash of (document, position, latent). Memory: 24 bytes x 10 x N.
    """

    def __init__(self, low: Floats, high: Floats) -> None:
        """Start empty.

        Args:
            low: float64 [N], smallest activation of each latent.
            high: float64 [N], largest.
        """
        self.low, self.high = low, high
        slots = CONTEXTS_PER_LATENT * len(low)
        self.priority: Floats = np.full(slots, np.inf)
        self.activation: Floats = np.zeros(slots)
        self.document = np.zeros(slots, np.int32)
        self.position = np.zeros(slots, np.int32)

    def add(self, shard: Shard) -> None:
        """Look at every firing of a shard."""
        kept = (self.priority, self.activation, self.document, self.position)
        rows = (shard.document, shard.position, shard.indptr, shard.indices, shard.values)
        _choose(*rows, self.low, self.high, *kept)

    def table(
        self,
        threshold: Floats,
        mu: Floats,
        documents: Mapping[int, Ints32],
        texts: TokenBytes,
    ) -> pa.Table:
        """Return the `contexts` table, strongest first within a latent.

        Args:
            threshold: float64 [N].
            mu: float64 [N], NaN for dead latents.
            documents: all tokens of each document.
            texts: what each token id adds to a text.
        """
        slot = np.flatnonzero(np.isfinite(self.priority))
        latent = slot // CONTEXTS_PER_LATENT
        order = np.lexsort((self.position[slot], self.document[slot], -self.activation[slot], latent))
        slot, latent = slot[order], latent[order]
        u = (self.activation[slot] - threshold[latent]) / (mu[latent] - threshold[latent])
        return pa.table(
            {
                "latent": latent.astype(np.int32),
                "rank": (np.arange(len(latent)) - np.searchsorted(latent, latent)).astype(np.int32),
                "document": self.document[slot],
                "position": self.position[slot],
                "text": [context_text(documents[int(self.document[s])], int(self.position[s]), texts) for s in slot],
                "activation": self.activation[slot],
                "u": pa.array(u, mask=~np.isfinite(u)),
            },
            schema=CONTEXTS.arrow_schema(),
        )


def context_text(tokens: Ints32, position: int, texts: TokenBytes) -> str:
    """Return the token at `position` between « and », with 12 tokens on either side; see `TokenBytes.around`."""
    before, token, after = window_around(tokens, position, texts)
    return f"{before}«{token}»{after}"


def window_around(tokens: Ints32, position: int, texts: TokenBytes) -> tuple[str, str, str]:
    """Return the text before the token at `position`, the token, and the text after it: 12 tokens on either side."""
    start = max(0, position - WINDOW)
    return texts.around(tokens[start : position + WINDOW + 1].tolist(), position - start)


@compiled
def _choose(
    document: Ints32,
    position: Ints32,
    indptr: Ints,
    indices: Ints32,
    values: Singles,
    low: Floats,
    high: Floats,
    priority: Floats,
    activation: Floats,
    of_document: Ints32,
    of_position: Ints32,
) -> None:
    """Put the firings that come first into the slots [10 N] of their slices; of equal ones, the first in the text."""
    top = CONTEXTS_PER_LATENT - 1
    for row in range(len(document)):
        place = mixed((np.uint64(document[row]) << np.uint64(32)) ^ np.uint64(position[row]))
        for k in range(indptr[row], indptr[row + 1]):
            latent, value = indices[k], np.float64(values[k])
            part = top
            # A latent whose firings are all alike has one slice; call it the top one.
            if high[latent] > low[latent]:
                share = (value - low[latent]) / (high[latent] - low[latent]) * CONTEXTS_PER_LATENT
                part = int(min(max(share, 0.0), top))
            chance = np.float64(mixed(place ^ np.uint64(latent))) / 2.0**64
            first = -value if part == top else chance
            slot = np.int64(latent) * CONTEXTS_PER_LATENT + part
            if first > priority[slot] or (
                first == priority[slot] and (document[row], position[row]) >= (of_document[slot], of_position[slot])
            ):
                continue
            priority[slot], activation[slot] = first, value
            of_document[slot], of_position[slot] = document[row], position[row]
