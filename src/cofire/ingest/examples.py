"""What a latent fires on: its most frequent tokens, and example contexts over its whole activation range."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa

from cofire.common.arrays import Floats, Ints, Ints32
from cofire.common.files import write_atomically
from cofire.common.hashing import mix, place_hash
from cofire.ingest.capture_dir import Shard
from cofire.schema.tables import CONTEXTS, TOKENS

TOP_TOKENS = 10
CONTEXTS_PER_LATENT = 10
WINDOW = 12
ROWS_AT_ONCE = 1024


class TokenCounter:
    """Counts, exactly, how often each latent fires on each token id.

    Memory: 16 bytes for each distinct (latent, token id) that occurs, and up to five times that while shards are
    summed; no setting bounds it. Cost: a sort of each shard's firings, and sums over all pairs as often as they double.
    """

    def __init__(self) -> None:
        """Start empty."""
        # int64 [P]: latent << 32 | token id, ascending, and how often; of the shards that are summed.
        self._keys: Ints = np.zeros(0, np.int64)
        self._counts: Ints = np.zeros(0, np.int64)
        # The same of each shard that is not.
        self._waiting: list[tuple[Ints, Ints]] = []
        # int64 [largest token id + 1]: tokens, whatever fires on them.
        self._tokens: Ints = np.zeros(0, np.int64)

    def add(self, shard: Shard) -> None:
        """Add a shard."""
        token = np.repeat(shard.token.astype(np.int64), np.diff(shard.indptr))
        keys, counts = np.unique((shard.indices.astype(np.int64) << 32) | token, return_counts=True)
        self._waiting.append((keys, counts.astype(np.int64)))
        # So a pair is summed as often as the whole doubles, not once for each shard.
        if sum(len(waiting) for waiting, _ in self._waiting) > len(self._keys):
            self._sum()
        seen = np.bincount(shard.token).astype(np.int64)
        width = max(len(seen), len(self._tokens))
        self._tokens = np.pad(self._tokens, (0, width - len(self._tokens))) + np.pad(seen, (0, width - len(seen)))

    def _sum(self) -> None:
        if not self._waiting:
            return
        keys = np.concatenate([self._keys, *(keys for keys, _ in self._waiting)])
        counts = np.concatenate([self._counts, *(counts for _, counts in self._waiting)])
        # Given up now: all of it is in these two.
        self._keys, self._counts, self._waiting = np.zeros(0, np.int64), np.zeros(0, np.int64), []
        # Stable sorting of 64-bit integers merges the runs that are sorted already.
        order = np.argsort(keys, kind="stable")
        keys = keys[order]
        starts = np.flatnonzero(np.diff(keys, prepend=-1))
        self._keys = keys[starts]
        self._counts = np.add.reduceat(counts[order], starts) if len(starts) else counts

    def save(self, path: Path) -> None:
        """Write it to one npz file, atomically: keys, counts, tokens, all int64."""
        self._sum()

        def write(part: Path) -> None:
            with part.open("wb") as handle:
                np.savez(handle, keys=self._keys, counts=self._counts, tokens=self._tokens)

        write_atomically(path, write)

    @classmethod
    def load(cls, path: Path) -> TokenCounter:
        """Return what `save` wrote."""
        counter = cls()
        with np.load(path, allow_pickle=False) as saved:
            counter._keys, counter._counts, counter._tokens = saved["keys"], saved["counts"], saved["tokens"]
        return counter

    def table(self, firing_count: Ints, texts: Mapping[int, str] | None) -> pa.Table:
        """Return the `tokens` table: the ten most frequent tokens of each latent, ties by token id.

        Args:
            firing_count: int64 [N].
            texts: text of each token id; without it a token's text is its id in brackets.
        """
        self._sum()
        latent = self._keys >> 32
        # Most pairs were seen once; they are in no top ten of a latent that has ten others.
        often = np.bincount(latent, weights=self._counts > 1)
        chosen = np.flatnonzero((self._counts > 1) | (often[latent] < TOP_TOKENS))
        latent, token, count = latent[chosen], self._keys[chosen] & 0xFFFFFFFF, self._counts[chosen]
        # A stable sort: the tokens of a latent are in order already.
        order = np.lexsort((-count, latent))
        latent, token, count = latent[order], token[order], count[order]
        rank = np.arange(len(latent)) - np.searchsorted(latent, latent)
        keep = rank < TOP_TOKENS
        latent, token, count = latent[keep], token[keep], count[keep]
        share = count / firing_count[latent]
        return pa.table(
            {
                "latent": latent.astype(np.int32),
                "token": token.astype(np.int32),
                "text": [token_text(int(t), texts) for t in token],
                "count": count,
                "share": share,
                "lift": share / (self._tokens[token] / self._tokens.sum()),
            },
            schema=TOKENS.arrow_schema(),
        )


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
        texts: Mapping[int, str] | None,
    ) -> pa.Table:
        """Return the `contexts` table, strongest first within a latent.

        Args:
            threshold: float64 [N].
            mu: float64 [N], NaN for dead latents.
            documents: all tokens of each document.
            texts: text of each token id.
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


def token_text(token: int, texts: Mapping[int, str] | None) -> str:
    """Return a token as text, or its id in brackets where no text is known."""
    return texts.get(token, f"[{token}]") if texts is not None else f"[{token}]"


def context_text(tokens: Ints32, position: int, texts: Mapping[int, str] | None) -> str:
    """Return the token at `position` between « and », with 12 tokens on either side."""
    words = [token_text(int(t), texts) for t in tokens[max(0, position - WINDOW) : position + WINDOW + 1]]
    at = min(position, WINDOW)
    return "".join([*words[:at], "«", words[at], "»", *words[at + 1 :]])
