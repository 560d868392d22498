"""On which tokens a latent fires: the ten most frequent of each latent, and the ten that tell it most from the text.

A latent's most frequent tokens are often those that everything fires on (" of", ","). What it stands for shows in the
tokens on which it fires more often than their own frequency would give, ranked by the evidence for that (`evidence`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cofire.common.arrays import Array, Bools, Floats, Ints
from cofire.common.compiled import compiled
from cofire.common.files import read_arrays, write_arrays
from cofire.ingest.capture_dir.shard import Shard
from cofire.ingest.capture_dir.token_bytes import id_text
from cofire.schema.tables import TOKENS

TOP_TOKENS = 10

# Part of the fingerprint of the table `tokens` alone: raise it when the meaning of one of its columns changes.
TOKENS_VERSION = 1

_AT_ONCE = 1 << 22  # pairs


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
        self._tokens = counted_with(self._tokens, shard)

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
        """Return the `tokens` table: of each latent the ten most frequent tokens and the ten of the highest score.

        Ties go to the lower token id; tokens of no positive score are not among the latter. Rows are in the order of
        the latents, the most frequent token first.

        Args:
            firing_count: int64 [N].
            texts: text of each token id; without it a token's text is its id in brackets.
        """
        self._sum()
        chosen = [self._chosen(start, stop, firing_count) for start, stop in self._blocks()]
        at, score = np.concatenate([np.zeros(0, np.int64), *(at for at, _ in chosen)]), [s for _, s in chosen]
        latent, token, count = self._keys[at] >> 32, self._keys[at] & 0xFFFFFFFF, self._counts[at]
        share = count / firing_count[latent]
        return pa.table(
            {
                "latent": latent.astype(np.int32),
                "token": token.astype(np.int32),
                "text": [token_text(int(t), texts) for t in token],
                "count": count,
                "share": share,
                "lift": share / (self._tokens[token] / self._tokens.sum()),
                "score": np.concatenate([np.zeros(0), *score]),
            },
            schema=TOKENS.arrow_schema(),
        )

    def _blocks(self) -> Iterator[tuple[int, int]]:
        """Yield ranges of pairs that hold whole latents, some millions each."""
        start = 0
        while start < len(self._keys):
            last = self._keys[min(start + _AT_ONCE, len(self._keys)) - 1] >> 32
            stop = int(np.searchsorted(self._keys, (last + 1) << 32))
            yield start, stop
            start = stop

    def _chosen(self, start: int, stop: int, firing_count: Ints) -> tuple[Ints, Floats]:
        """Return which pairs of a range are kept, in the table's order, and the score of each."""
        keys, counts = self._keys[start:stop], self._counts[start:stop]
        score, kept = np.empty(len(keys)), np.zeros(len(keys), np.bool_)
        _choose(keys, counts, firing_count, self._tokens, int(self._tokens.sum()), score, kept)
        at = np.flatnonzero(kept)
        # A stable sort: the tokens of a latent are in order already.
        at = at[np.lexsort((-counts[at], keys[at] >> 32))]
        return start + at, score[at]


def counted_with(seen: Ints, shard: Shard) -> Ints:
    """Return how often each token id was seen, int64 by id, with a shard's tokens added; either may be the longer."""
    more = np.bincount(shard.token).astype(np.int64)
    width = max(len(seen), len(more))
    return np.pad(seen, (0, width - len(seen))) + np.pad(more, (0, width - len(more)))


def distinctive_texts(
    tokens: pa.Table, latents: Sequence[int] | None = None, most: int = TOP_TOKENS
) -> dict[int, list[str]]:
    """Return the texts of the tokens of the highest positive score, best first, ties by token id.

    Args:
        tokens: the `tokens` table.
        latents: of these alone; of all where it is None. A latent that has none is left out.
        most: at most so many of each.
    """
    kept = pc.greater(tokens.column("score"), 0)
    if latents is not None:
        kept = pc.and_(kept, pc.is_in(tokens.column("latent"), pa.array(latents, pa.int32())))
    best = [("latent", "ascending"), ("score", "descending"), ("token", "ascending")]
    rows = tokens.filter(kept).sort_by(best)
    found: dict[int, list[str]] = {}
    for latent, text in zip(rows.column("latent").to_pylist(), rows.column("text").to_pylist(), strict=True):
        texts = found.setdefault(latent, [])
        if len(texts) < most:
            texts.append(text)
    return found


@compiled
def evidence(count: Ints, firings: Ints, of_token: Ints, tokens: int) -> Floats:
    """Return how surely a latent fires on a token more often (positive) or less (negative) than on others.

    The log-likelihood ratio G^2 = 2 sum O ln(O / E) of the two by two table of "it fires" and "it is this token"
    (Dunning 1993, "Accurate methods for the statistics of surprise and coincidence"), with the sign of count - E. It
    takes tokens for independent draws, which they are not: it ranks, and is no test. The weighted log odds of Monroe
    et al. (2008, "Fightin' words"), tried beside it, set a token back on which a latent fires *whenever* it comes: the
    other corner of the table is then known from the prior alone.

    Args:
        count: int64 [P], firings of the latent on the token.
        firings: int64 [P], firings of the latent.
        of_token: int64 [P], counted tokens that are this token.
        tokens: counted tokens.

    Returns:
        float64 [P]; 0 where a latent fires on everything.
    """
    found = np.empty(len(count))
    for place in range(len(count)):
        found[place] = _evidence(count[place], firings[place], of_token[place], tokens)
    return found


@compiled
def _evidence(count: int, firings: int, of_token: int, tokens: int) -> float:
    both, n, k, total = np.float64(count), np.float64(firings), np.float64(of_token), np.float64(tokens)
    found = _term(both, n * k, total)
    found += _term(n - both, n * (total - k), total)
    found += _term(k - both, (total - n) * k, total)
    found += _term(total - n - k + both, (total - n) * (total - k), total)
    # Rounding leaves a trace of either sign where there is nothing.
    return float(np.sign(both * total - n * k) * max(found, 0.0))


@compiled
def _term(observed: float, expected: float, total: float) -> float:
    # 0 ln 0 = 0
    return float(2 * observed * np.log(observed * total / expected)) if observed > 0 else 0.0


@compiled
def _choose(keys: Ints, counts: Ints, firings: Ints, of_token: Ints, tokens: int, score: Floats, kept: Bools) -> None:
    """Fill in the score of each pair, and mark TOP_TOKENS of each latent by count, and as many by a score above 0.

    Whole latents, as in `TokenCounter`. Of equal ones the lower token id comes first.
    """
    often, telling = np.empty(TOP_TOKENS, np.int64), np.empty(TOP_TOKENS, np.int64)
    latent, held, told = np.int64(-1), 0, 0
    for place in range(len(keys) + 1):
        if place == len(keys) or keys[place] >> 32 != latent:
            kept[often[:held]] = True
            kept[telling[:told]] = True
            held = told = 0
            if place == len(keys):
                return
            latent = keys[place] >> 32
        score[place] = _evidence(counts[place], firings[latent], of_token[keys[place] & 0xFFFFFFFF], tokens)
        held = _insert(often, held, counts, place)
        if score[place] > 0:
            told = _insert(telling, told, score, place)


@compiled
def _insert(best: Ints, held: int, values: Array, place: int) -> int:
    """Put `place` among the `held` best, in order, if its value is large enough or there is room; return how many."""
    if held == len(best):
        if values[place] <= values[best[held - 1]]:
            return held
        held -= 1
    at = held
    while at > 0 and values[best[at - 1]] < values[place]:
        best[at] = best[at - 1]
        at -= 1
    best[at] = place
    return held + 1


def token_text(token: int, texts: Mapping[int, str] | None) -> str:
    """Return a token as text, or its id in brackets where no text is known."""
    return texts.get(token, id_text(token)) if texts is not None else id_text(token)
