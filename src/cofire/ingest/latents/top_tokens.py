"""On which tokens a latent fires: the ten most frequent of each latent, and the ten that tell it most from the text.

A latent's most frequent tokens are often those that everything fires on (" of", ","). What it stands for shows in the
tokens on which it fires more often than their own frequency would give, ranked by the evidence for that (`evidence`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cofire.common.arrays import Array, Bools, Floats, Ints, Ints32
from cofire.common.compiled import compiled
from cofire.common.files import read_arrays, write_arrays
from cofire.ingest.capture_dir.shard import Shard
from cofire.ingest.capture_dir.token_bytes import id_text
from cofire.schema.tables import TOKENS

TOP_TOKENS = 10

# Part of the fingerprint of the table `tokens` alone: raise it when the meaning of one of its columns changes.
TOKENS_VERSION = 1


class TokenCounter:
    """Counts, exactly, how often each latent fires on each token id.

    Memory: 16 bytes for each distinct (latent, token id) that occurs, twice that while two parts are made one, and 16 a
    firing of one shard; no setting bounds it. Cost: two walks over each shard's firings, and one over a pair each time
    that the part which it is in doubles.
    """

    def __init__(self) -> None:
        """Start empty."""
        # Parts, the largest first, of some shards each. int64 [P]: latent << 32 | token id, ascending, and how often.
        self._parts: list[tuple[Ints, Ints]] = []
        # int64 [largest token id + 1]: tokens, whatever fires on them.
        self._tokens: Ints = np.zeros(0, np.int64)

    def add(self, shard: Shard) -> None:
        """Add a shard."""
        if len(shard.indices):
            order = np.argsort(shard.token, kind="stable")
            latents = int(shard.indices.max()) + 1
            self._parts.append(_count(shard.token, order, shard.indptr, shard.indices, latents))
        # So a pair is summed as often as its part doubles, not once for each shard.
        while len(self._parts) > 1 and len(self._parts[-2][0]) < 2 * len(self._parts[-1][0]):
            self._join()
        self._tokens = counted_with(self._tokens, shard)

    def _join(self) -> None:
        """Make the last two parts one."""
        other, one = self._parts.pop(), self._parts.pop()
        self._parts.append(_merged(*one, *other))

    def _whole(self) -> tuple[Ints, Ints]:
        """Return the pairs and counts of all shards; the parts are then one."""
        while len(self._parts) > 1:
            self._join()
        return self._parts[0] if self._parts else (np.zeros(0, np.int64), np.zeros(0, np.int64))

    def save(self, path: Path) -> None:
        """Write it to one npz file, atomically: keys, counts, tokens, all int64."""
        keys, counts = self._whole()
        write_arrays(path, {"keys": keys, "counts": counts, "tokens": self._tokens})

    @classmethod
    def load(cls, path: Path) -> TokenCounter:
        """Return what `save` wrote."""
        counter = cls()
        saved = read_arrays(path)
        counter._parts, counter._tokens = [(saved["keys"], saved["counts"])], saved["tokens"]
        return counter

    def table(self, firing_count: Ints, texts: Mapping[int, str] | None) -> pa.Table:
        """Return the `tokens` table: of each latent the ten most frequent tokens and the ten of the highest score.

        Ties go to the lower token id; tokens of no positive score are not among the latter. Rows are in the order of
        the latents, the most frequent token first.

        Args:
            firing_count: int64 [N].
            texts: text of each token id; without it a token's text is its id in brackets.
        """
        keys, counts = self._whole()
        score, kept = np.zeros(len(keys)), np.zeros(len(keys), np.bool_)
        _choose(keys, counts, firing_count, self._tokens, int(self._tokens.sum()), score, kept)
        at = np.flatnonzero(kept)
        # A stable sort: the tokens of a latent are in order already.
        at = at[np.lexsort((-counts[at], keys[at] >> 32))]
        latent, token, count = keys[at] >> 32, keys[at] & 0xFFFFFFFF, counts[at]
        share = count / firing_count[latent]
        ids, place = np.unique(token, return_inverse=True)
        return pa.table(
            {
                "latent": latent.astype(np.int32),
                "token": token.astype(np.int32),
                "text": pa.array([token_text(id_, texts) for id_ in ids.tolist()], pa.string()).take(pa.array(place)),
                "count": count,
                "share": share,
                "lift": share / (self._tokens[token] / self._tokens.sum()),
                "score": score[at],
            },
            schema=TOKENS.arrow_schema(),
        )


@compiled
def _count(token: Ints32, order: Ints, indptr: Ints, indices: Ints32, latents: int) -> tuple[Ints, Ints]:
    """Return the distinct (latent, token) of a shard, ascending, and how often each comes.

    `order` int64 [R] are the rows by token, so that each latent's firings are listed in the order of the tokens.
    """
    start = np.zeros(latents + 1, np.int64)
    for latent in indices:
        start[latent + 1] += 1
    for latent in range(latents):
        start[latent + 1] += start[latent]
    fires, put = np.empty(len(indices), np.int32), start[:-1].copy()
    for row in order:
        for k in range(indptr[row], indptr[row + 1]):
            fires[put[indices[k]]] = token[row]
            put[indices[k]] += 1
    keys, counts = np.empty(len(indices), np.int64), np.empty(len(indices), np.int64)
    found = 0
    for latent in range(latents):
        for k in range(start[latent], start[latent + 1]):
            if k == start[latent] or fires[k] != fires[k - 1]:
                keys[found], counts[found] = (np.int64(latent) << 32) | fires[k], 0
                found += 1
            counts[found - 1] += 1
    return keys[:found].copy(), counts[:found].copy()


@compiled
def _merged(keys: Ints, counts: Ints, more_keys: Ints, more_counts: Ints) -> tuple[Ints, Ints]:
    """Return two lists of ascending keys as one, the counts of a key in both added up."""
    room = len(keys) + len(more_keys)
    made, sums = np.empty(room, np.int64), np.empty(room, np.int64)
    i = j = found = 0
    while i < len(keys) or j < len(more_keys):
        first = j == len(more_keys) or (i < len(keys) and keys[i] <= more_keys[j])
        second = i == len(keys) or (j < len(more_keys) and more_keys[j] <= keys[i])
        made[found] = keys[i] if first else more_keys[j]
        sums[found] = (counts[i] if first else 0) + (more_counts[j] if second else 0)
        i, j, found = i + int(first), j + int(second), found + 1
    return made[:found].copy(), sums[:found].copy()


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
def _most_evidence(count: int, firings: int, of_token: int, tokens: int) -> float:
    """Return what the score cannot exceed, by no logarithm; 0 where the score is not above 0.

    Kullback and Leibler's divergence is at most ln(1 + chi^2), so G^2 is at most twice Pearson's chi^2 of the table.
    """
    both, n, k, total = np.float64(count), np.float64(firings), np.float64(of_token), np.float64(tokens)
    more = both * total - n * k
    if more <= 0:
        return 0.0
    sides = n * k * (total - n) * (total - k)
    return 2.0 * more * more * total / sides if sides > 0 else np.inf


@compiled
def _choose(keys: Ints, counts: Ints, firings: Ints, of_token: Ints, tokens: int, score: Floats, kept: Bools) -> None:
    """Mark TOP_TOKENS of each latent by count, and as many by a score above 0; fill in the scores of these.

    `score` comes in as zeros. Of equal ones the lower token id comes first.
    """
    often, telling = np.empty(TOP_TOKENS, np.int64), np.empty(TOP_TOKENS, np.int64)
    latent, held, told = np.int64(-1), 0, 0
    for place in range(len(keys) + 1):
        if place == len(keys) or keys[place] >> 32 != latent:
            for at in often[:held]:
                kept[at] = True
                score[at] = _evidence(counts[at], firings[latent], of_token[keys[at] & 0xFFFFFFFF], tokens)
            kept[telling[:told]] = True
            held = told = 0
            if place == len(keys):
                return
            latent = keys[place] >> 32
        held = _insert(often, held, counts, place)
        of_table = (counts[place], firings[latent], of_token[keys[place] & 0xFFFFFFFF], tokens)
        most = _most_evidence(*of_table)
        # A bound that is as large but for rounding does not decide.
        if most > 0 and (told < TOP_TOKENS or most * (1 + 1e-9) >= score[telling[told - 1]]):
            score[place] = _evidence(*of_table)
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
