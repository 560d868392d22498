"""Example contexts of a latent, over its whole activation range."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from cofire.common.arrays import Floats, Ints32
from cofire.common.hashing import mix, place_hash
from cofire.ingest.capture_dir.shard import Shard
from cofire.ingest.capture_dir.token_bytes import TokenBytes
from cofire.schema.tables import CONTEXTS

CONTEXTS_PER_LATENT = 10
WINDOW = 12
ROWS_AT_ONCE = 1024


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
        self._width = np.where(high > low, high - low, 1.0)
        slots = CONTEXTS_PER_LATENT * len(low)
        self.priority: Floats = np.full(slots, np.inf)
        self.activation: Floats = np.zeros(slots)
        self.document = np.zeros(slots, np.int32)
        self.position = np.zeros(slots, np.int32)

    def add(self, shard: Shard) -> None:
        """Look at every firing of a shard."""
        # Few rows at a time: what they need stays in the cache, and fewer firings are better than those that are kept.
        for start in range(0, shard.rows, ROWS_AT_ONCE):
            self._add(shard, start, min(start + ROWS_AT_ONCE, shard.rows))

    def _add(self, shard: Shard, start: int, stop: int) -> None:
        entries = slice(shard.indptr[start], shard.indptr[stop])
        latent = shard.indices[entries].astype(np.int64)
        values = shard.values[entries].astype(np.float64)
        per_row = np.diff(shard.indptr[start : stop + 1])
        document = np.repeat(shard.document[start:stop], per_row)
        position = np.repeat(shard.position[start:stop], per_row)
        part = np.clip(
            (values - self.low[latent]) / self._width[latent] * CONTEXTS_PER_LATENT, 0, CONTEXTS_PER_LATENT - 1
        ).astype(np.int64)
        # A latent whose firings are all alike has one slice; call it the top one.
        part[self.high[latent] == self.low[latent]] = CONTEXTS_PER_LATENT - 1
        chance = mix(place_hash(document, position) ^ latent.astype(np.uint64)).astype(np.float64) / 2.0**64
        priority = np.where(part == CONTEXTS_PER_LATENT - 1, -values, chance)
        slot = latent * CONTEXTS_PER_LATENT + part
        found = np.flatnonzero(priority < self.priority[slot])
        order = found[np.lexsort((position[found], document[found], priority[found], slot[found]))]
        better = order[np.flatnonzero(np.diff(slot[order], prepend=-1))]
        where = slot[better]
        self.priority[where] = priority[better]
        self.activation[where] = values[better]
        self.document[where] = document[better]
        self.position[where] = position[better]

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
    return texts.around(tokens[start : position + WINDOW + 1], position - start)
