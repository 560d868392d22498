"""How strong is an edge given a third latent? The Mantel-Haenszel log odds ratio over the tokens with h on and h off.

Of each stratum: X tokens on which both fire, A and B on which one alone does, U on which neither does, and
t = X + A + B + U. The strata are taken to share one odds ratio; where they do not, it is a mean that weights a stratum
by A B / t.

A third stratum of four tokens, one in each cell, keeps it finite, and near 0 where the others have nothing to tell.
Half a firing in each cell of these two instead (Haldane 1956) leans to more than 0 just there: where h lies within i,
only tokens with h off can tell, and few joint firings expected and none found gave up to ln 3 (docs/validation.md).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cofire.common.arrays import Floats, Ints


@dataclass(frozen=True)
class TripleCounts:
    """Exact counts of edges (i, j) and third latents h: int64 arrays that go together (numpy's broadcasting).

    Attributes:
        i: firings of i; j and h likewise.
        ij: joint firings of i and j; ih and jh likewise.
        ijh: joint firings of all three.
        tokens: T.
    """

    i: Ints
    j: Ints
    h: Ints
    ij: Ints
    ih: Ints
    jh: Ints
    ijh: Ints
    tokens: int

    def cells(self) -> tuple[Floats, Floats, Floats, Floats]:
        """Return X, A, B, U, float64 [3, ...]: of tokens with h on, with h off, and one token each."""
        both = _strata(self.ijh, self.ij - self.ijh)
        i, j = _strata(self.ih, self.i - self.ih), _strata(self.jh, self.j - self.jh)
        tokens = _strata(np.broadcast_to(self.h, self.ijh.shape), np.broadcast_to(self.tokens - self.h, self.ijh.shape))
        x, a, b, u = (
            np.concatenate([cell, np.ones((1, *cell.shape[1:]))])
            for cell in (both, i - both, j - both, tokens - i - j + both)
        )
        return x, a, b, u


def _strata(on: Ints, off: Ints) -> Floats:
    # Whole numbers below 2^53, so no difference of them is rounded.
    return np.stack([on, off]).astype(np.float64)


def mantel_haenszel(counts: TripleCounts) -> Floats:
    """Return ln(sum X U / t over sum A B / t), natural log, float64, finite (Mantel and Haenszel 1959)."""
    x, a, b, u = counts.cells()
    t = _tokens(x, a, b, u)
    return np.asarray(np.log((x * u / t).sum(axis=0) / (a * b / t).sum(axis=0)), np.float64)


def _tokens(x: Floats, a: Floats, b: Floats, u: Floats) -> Floats:
    """Return t; 1 for a stratum without tokens, whose terms are then 0."""
    return np.maximum(x + a + b + u, 1.0)


def mantel_haenszel_error(counts: TripleCounts) -> Floats:
    """Return the standard error of `mantel_haenszel`, float64, > 0 (Robins, Breslow and Greenland 1986).

    With P = (X + U)/t, Q = (A + B)/t, R = X U/t, S = A B/t of each stratum, the variance is
    sum P R / (2 (sum R)^2) + sum (P S + Q R) / (2 sum R sum S) + sum Q S / (2 (sum S)^2). It takes tokens for
    independent; firings that come in runs make the true error larger. The third stratum counts as the others do.
    """
    x, a, b, u = counts.cells()
    t = _tokens(x, a, b, u)
    p, q, r, s = (x + u) / t, (a + b) / t, x * u / t, a * b / t
    all_r, all_s = r.sum(axis=0), s.sum(axis=0)
    variance = (
        (p * r).sum(axis=0) / (2 * all_r**2)
        + (p * s + q * r).sum(axis=0) / (2 * all_r * all_s)
        + (q * s).sum(axis=0) / (2 * all_s**2)
    )
    return np.asarray(np.sqrt(variance), np.float64)
