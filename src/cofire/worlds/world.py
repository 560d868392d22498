"""What every planted world is made of: documents, sparse rows, and the seeds that worlds are made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from cofire.common.arrays import Floats, Halves, Ints, Ints32, Singles

DEV_SEEDS = (11, 12, 13, 14, 15)
TEST_SEEDS = (7001, 7002, 7003)
TRAINED_TEST_SEEDS = (7004, 7005, 7006)
"""Of worlds seen through trained SAEs: their settings were changed once, after scores of TEST_SEEDS had been seen."""

TOPICS = 12
_LENGTH = 300
_BURST = 3.0


@dataclass(frozen=True)
class World:
    """T tokens of N latents, and the pairs that were meant to fire together.

    Attributes:
        document: int32 [T], non-decreasing.
        indptr: int64 [T+1], row boundaries.
        indices: int32 [nnz], the latents that fire, ascending within a row.
        n_latents: N.
        planted: int64 [P, 2], pairs a < b that truly fire together.
        log_odds: float64 [P], the log odds ratio within a document; NaN where the plan fixes none.
    """

    document: Ints32
    indptr: Ints
    indices: Ints32
    n_latents: int
    planted: Ints
    log_odds: Floats


@dataclass(frozen=True, kw_only=True)
class ShownWorld(World):
    """A world as an SAE shows it: what `write_capture` puts on the disk.

    Attributes:
        values: float32 [nnz], activations, those of `indices`.
        threshold: float64 [N], theta; a latent fires above it.
        weights: W_enc, W_dec, b_enc, b_dec, as `cofire import activations` takes them; empty in true space.
        x: float16 [T, d], what the SAE reads; None in true space.
    """

    values: Singles
    threshold: Floats
    weights: Mapping[str, Singles] = field(default_factory=dict)
    x: Halves | None = None


@dataclass(frozen=True)
class Text:
    """Documents and their topics.

    Attributes:
        document: int32 [T], non-decreasing.
        topic: int64 [documents], in 0..TOPICS-1.
    """

    document: Ints32
    topic: Ints

    @classmethod
    def drawn(cls, rng: np.random.Generator, tokens: int) -> Text:
        """Draw documents of some 300 tokens, each of one topic."""
        document = documents(rng, tokens, _LENGTH)
        return cls(document, rng.integers(TOPICS, size=int(document[-1]) + 1))

    def draw(self, rng: np.random.Generator, rate: float, topic: int) -> Ints:
        """Return tokens, `rate` of all on the whole: more in documents of the topic, more in some than in others."""
        rates = self._rates(rng, rate, topic)
        return np.flatnonzero(rng.random(len(self.document)) < rates[self.document])

    def draw_few(self, rng: np.random.Generator, rate: float, topic: int) -> Ints:
        """Return tokens of the same law as `draw`, at the cost of those that fire and not of the text."""
        rates = self._rates(rng, rate, topic)
        most = float(rates.max())
        tokens = len(self.document)
        at = rng.choice(tokens, rng.binomial(tokens, most), replace=False, shuffle=False)
        return np.sort(at[rng.random(len(at)) * most < rates[self.document[at]]])

    def _rates(self, rng: np.random.Generator, rate: float, topic: int) -> Floats:
        """Return the chance of a token of each document, .5 at the most; float64 [documents]."""
        burst = np.where(self.topic == topic, _BURST, 1.0) * rng.gamma(2.0, 1 / 2.0, len(self.topic))
        burst *= TOPICS / (TOPICS - 1 + _BURST)
        return np.asarray(np.minimum(rate * burst, 0.5), np.float64)


def documents(rng: np.random.Generator, tokens: int, mean_length: int) -> Ints32:
    """Return the document of each token, int32 [T]; lengths vary by a factor of two either way."""
    # Ten tokens at the least, so that this many documents fill the text.
    lengths = rng.lognormal(0, 0.6, tokens // 10 + 1) * mean_length
    starts = np.cumsum(np.maximum(lengths.astype(np.int64), 10))
    return np.searchsorted(starts, np.arange(tokens), side="right").astype(np.int32)


def rows_of(fires: list[Ints], tokens: int) -> tuple[Ints, Ints32]:
    """Return CSR rows, indptr int64 [T+1] and indices int32 [nnz], of the tokens at which each latent fires."""
    token = np.concatenate(fires)
    latent = np.repeat(np.arange(len(fires), dtype=np.int32), [len(at) for at in fires])
    order = np.argsort(token, kind="stable")
    indptr = np.concatenate([[0], np.cumsum(np.bincount(token, minlength=tokens))]).astype(np.int64)
    return indptr, latent[order]


def between(rng: np.random.Generator, low: float, high: float) -> float:
    """Draw a number between two, evenly in the logarithm."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def full(rng: np.random.Generator, n: int) -> Floats:
    """Draw activations of a main peak: 1, spread .06; float64 [n]."""
    return rng.normal(1.0, 0.06, n)
