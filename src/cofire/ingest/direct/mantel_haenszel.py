"""How strong is an edge given a third latent? The Mantel-Haenszel log odds ratio over the tokens with h on and h off.

Of each stratum: X tokens on which both fire, A and B on which one alone does, U on which neither does, each and half a
firing (Haldane 1956), and t = X + A + B + U. The strata are taken to share one odds ratio; where they do not, it is a
mean that weights a stratum by A B / t.
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
        """Return X, A, B, U, half a firing added to each, float64 [2, ...]: of tokens with h on, then with h off."""
        both = _strata(self.ijh, self.ij - self.ijh)
        i, j = _strata(self.ih, self.i - self.ih), _strata(self.jh, self.j - self.jh)
        tokens = _strata(np.broadcast_to(self.h, self.ijh.shape), np.broadcast_to(self.tokens - self.h, self.ijh.shape))
        return both + 0.5, i - both + 0.5, j - both + 0.5, tokens - i - j + both + 0.5


def _strata(on: Ints, off: Ints) -> Floats:
    # Whole numbers below 2^53, so no difference of them is rounded.
    return np.stack([on, off]).astype(np.float64)


def mantel_haenszel(counts: TripleCounts) -> Floats:
    """Return ln(sum X U / t over sum A B / t), natural log, float64, finite (Mantel and Haenszel 1959)."""
    x, a, b, u = counts.cells()
    t = x + a + b + u
    return np.asarray(np.log((x * u / t).sum(axis=0) / (a * b / t).sum(axis=0)), np.float64)


def mantel_haenszel_error(counts: TripleCounts) -> Floats:
    """Return the standard error of `mantel_haenszel`, float64, > 0 (Robins, Breslow and Greenland 1986).

    With P = (X + U)/t, Q = (A + B)/t, R = X U/t, S = A B/t of each stratum, the variance is
    sum P R / (2 (sum R)^2) + sum (P S + Q R) / (2 sum R sum S) + sum Q S / (2 (sum S)^2). It takes tokens for
    independent; firings that come in runs make the true error larger. Of one stratum it is the error of the plain log
    odds ratio, sqrt of the sum of 1/cell.
    """
    x, a, b, u = counts.cells()
    t = x + a + b + u
    p, q, r, s = (x + u) / t, (a + b) / t, x * u / t, a * b / t
    all_r, all_s = r.sum(axis=0), s.sum(axis=0)
    variance = (
        (p * r).sum(axis=0) / (2 * all_r**2)
        + (p * s + q * r).sum(axis=0) / (2 * all_r * all_s)
        + (q * s).sum(axis=0) / (2 * all_s**2)
    )
    return np.asarray(np.sqrt(variance), np.float64)
