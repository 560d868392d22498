"""On which tokens a latent fires, and how often: the ten most frequent of each."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa

from cofire.common.arrays import Ints
from cofire.common.files import read_arrays, write_arrays
from cofire.ingest.capture_dir.shard import Shard
from cofire.schema.tables import TOKENS

TOP_TOKENS = 10


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
        write_arrays(path, {"keys": self._keys, "counts": self._counts, "tokens": self._tokens})

    @classmethod
    def load(cls, path: Path) -> TokenCounter:
        """Return what `save` wrote."""
        counter = cls()
        saved = read_arrays(path)
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


def token_text(token: int, texts: Mapping[int, str] | None) -> str:
    """Return a token as text, or its id in brackets where no text is known."""
    return texts.get(token, f"[{token}]") if texts is not None else f"[{token}]"
