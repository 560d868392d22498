"""How sure and how strong is it that two latents fire together? Pure functions of exact counts.

1. O, joint firings, is compared with what it is when both latents are independent given the stratum (document):
   then O is a sum of hypergeometric variables with mean E and variance V (`strata.expected_joint`).
2. p: `poisson_tail` bounds P(O or more) from above, whatever the documents.
3. q: `benjamini_hochberg` over all pairs that could have been found, not only those that were looked at.
4. Effect: `stratified_log_odds`, the log odds ratio less the one that the strata explain, and its standard error;
   `may_reach` says from a bound of E which pairs cannot have so large a one.
"""

from __future__ import annotations

import numpy as np

from cofire.common.arrays import Bools, Floats, Ints
from cofire.common.compiled import compiled

# How far rounding may put two of eight float64 factors apart, and logarithms of them, many times over.
ROUNDING = 1e-9
# From here scipy's gammainc cuts its series short (after 2,000 terms) and falls up to a factor of three below p.
LARGE = 100_000


def poisson_tail(observed: Ints, expected: Floats) -> Floats:
    """Return an upper bound of P(O >= observed) when both latents are independent given the stratum.

    A hypergeometric variable is distributed as a sum of independent Bernoulli variables (its generating function has
    only real roots: Vatutin and Mikhailov 1982), so O is one too. Hoeffding (1956) bounds the tail of such a
    sum by the binomial's with the same mean, and Anderson and Samuels (1967) that one by the Poisson's:
    P(O >= k) <= P(Poisson(E) >= k) for k >= E + 1. Below E + 1 the bound is 1.

    It is sharp where both latents are rare within each document. Where they are not, V < E and it is conservative.

    Args:
        observed: int64 [M], O.
        expected: float64 [M], E >= 0.

    Returns:
        float64 [M], P(Poisson(E) >= O), the regularised lower incomplete gamma function of (O, E), to a relative 1e-6
        down to 1e-300, then 0; 1 where O < E + 1.
    """
    from scipy.special import gammainc

    bound = np.ones(len(observed))
    beyond = (observed >= 1) & (observed >= expected + 1)
    small = beyond & (observed < LARGE)
    large = beyond & (observed >= LARGE)
    bound[small] = gammainc(observed[small].astype(np.float64), expected[small])
    bound[large] = _large_gammainc(observed[large].astype(np.float64), expected[large])
    return bound


def _large_gammainc(a: Floats, x: Floats) -> Floats:
    """Return gammainc(a, x) for large a and x <= a - 1 by Temme's uniform expansion (1979), two terms (DLMF 8.12.3)."""
    from scipy.special import erfcx

    off = np.maximum((x - a) / a, -1 + 1e-12)  # x = 0 gives 0 below as it should, and log1p stays finite
    near = off > -1e-4  # there the differences cancel, and the first terms of their series are exact enough
    half_square = np.where(near, off**2 * (1 / 2 - off / 3 + off**2 / 4), off - np.log1p(off))
    eta = -np.sqrt(2 * half_square)
    first = np.where(near, -1 / 3 + eta / 12, 1 / off - 1 / eta)
    tail = erfcx(np.sqrt(a * half_square)) / 2 - first / np.sqrt(2 * np.pi * a)
    return np.asarray(np.exp(-a * half_square) * tail, np.float64)


def benjamini_hochberg(p: Floats, tests: int) -> Floats:
    """Return q: the least false discovery rate at which each pair is a discovery (Benjamini and Hochberg 1995).

    q of the r-th smallest p is the least p_(s) tests / s over s >= r. The pairs that were tested without a p of their
    own enter with p = 1; being last they change nothing but `tests`.

    Args:
        p: float64 [M], of the candidate pairs.
        tests: the number of all pairs that could have been found, >= M.

    Returns:
        float64 [M], in 0..1, in the order of p. Equal p have equal q.

    Raises:
        ValueError: tests < M.
    """
    if tests < len(p):
        raise ValueError(f"{len(p)} p-values of {tests} tests")
    order = np.argsort(p, kind="stable")
    scaled = p[order] * (float(tests) / np.arange(1, len(p) + 1))
    q = np.empty(len(p))
    q[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1.0)
    return q


def stratified_log_odds(observed: Ints, expected: Floats, n_a: Ints, n_b: Ints, tokens: int) -> Floats:
    """Return LO(O) - LO(E), how much more two latents fire together than their strata explain, in nats.

    LO(x) = ln[(x + .5)(T - n_a - n_b + x + .5) / ((n_a - x + .5)(n_b - x + .5))], the log odds ratio with half a firing
    added to each cell (Haldane 1956, Anscombe 1956). LO(E) is what stratified independence alone would show.

    Where a document is dense in both latents, O has little room above E, and the difference is below the log odds ratio
    inside the documents (by .2 to .4 on the planted worlds, where rates vary by a gamma variable of shape 2).

    Args:
        observed: int64 [M], O <= min(n_a, n_b).
        expected: float64 [M], E.
        n_a: int64 [M], firings of the lower latent.
        n_b: int64 [M], firings of the higher latent.
        tokens: T < 2^33.

    Returns:
        float64 [M], finite.
    """
    # E comes as a rounded sum and may pass what the margins allow by its last digits.
    most = np.minimum(n_a, n_b).astype(np.float64)
    least = np.maximum(n_a + n_b - tokens, 0).astype(np.float64)
    return _log_odds(observed.astype(np.float64), n_a, n_b, tokens) - _log_odds(
        np.clip(expected, least, most), n_a, n_b, tokens
    )


def may_reach(observed: Ints, least: Floats, n_a: Ints, n_b: Ints, tokens: int, log_odds: float) -> Bools:
    """Return which pairs may have `stratified_log_odds` of `log_odds` and more, for E of `least` and more.

    LO(E) grows with E, so what does not reach it at the least E does not at the true one. Logarithms are not taken.

    Args:
        observed: int64 [M], O <= min(n_a, n_b).
        least: float64 [M], a lower bound of E.
        n_a: int64 [M], firings of the lower latent.
        n_b: int64 [M], firings of the higher latent.
        tokens: T < 2^33.
        log_odds: the bound, -100 to 100.

    Returns:
        bool [M]. False is certain; where the bound of E is sharp, True is too but for a relative 1e-9.
    """
    found = np.empty(len(observed), np.bool_)
    _reaching(observed, least, n_a, n_b, tokens, np.exp(log_odds) * (1 - ROUNDING), found)
    return found


@compiled
def _reaching(observed: Ints, least: Floats, n_a: Ints, n_b: Ints, tokens: int, ratio: float, found: Bools) -> None:
    for m in range(len(observed)):
        joint, a, b = np.float64(observed[m]), np.float64(n_a[m]), np.float64(n_b[m])
        rest = tokens - a - b
        e = min(max(least[m], -rest, 0.0), a, b)
        # Each factor is at least a half, and 2^34 at most.
        odds = (joint + 0.5) * (rest + joint + 0.5) * (a - e + 0.5) * (b - e + 0.5)
        found[m] = odds >= ratio * (e + 0.5) * (rest + e + 0.5) * (a - joint + 0.5) * (b - joint + 0.5)


def _log_odds(joint: Floats, n_a: Ints, n_b: Ints, tokens: int) -> Floats:
    both, only_a, only_b, neither = _cells(joint, n_a, n_b, tokens)
    # A sum of logarithms: the products pass 2^53.
    return np.log(both) + np.log(neither) - np.log(only_a) - np.log(only_b)


def _cells(joint: Floats, n_a: Ints, n_b: Ints, tokens: int) -> tuple[Floats, Floats, Floats, Floats]:
    """Return the four cells of the 2 x 2 table, each + .5: both, only a, only b, neither."""
    return joint + 0.5, n_a - joint + 0.5, n_b - joint + 0.5, tokens - n_a - n_b + joint + 0.5


def log_odds_error(observed: Ints, n_a: Ints, n_b: Ints, tokens: int) -> Floats:
    """Return the standard error of the log odds: sqrt of the sum of 1/(cell + .5) (Gart and Zweifel 1967).

    It assumes tokens drawn independently (a multinomial 2 x 2 table) and takes E as known, so it speaks of how finely
    this many joint firings can tell the effect in this text. It holds nothing of how the effect varies between
    documents; firings that come in runs within a document make the true error larger.

    Args:
        observed: int64 [M], O.
        n_a: int64 [M], firings of the lower latent.
        n_b: int64 [M], firings of the higher latent.
        tokens: T < 2^33.

    Returns:
        float64 [M], > 0, in nats.
    """
    cells = _cells(observed.astype(np.float64), n_a, n_b, tokens)
    return np.asarray(np.sqrt(sum(1 / cell for cell in cells)), np.float64)


def z_score(observed: Ints, expected: Floats, variance: Floats) -> Floats:
    """Return (O - E)/sqrt(V), for display only: its normal tail is wrong by orders of magnitude where E is small.

    Args:
        observed: int64 [M], O.
        expected: float64 [M], E.
        variance: float64 [M], V >= 0.

    Returns:
        float64 [M]; NaN where V = 0 (the strata leave O no freedom).
    """
    spread = np.sqrt(variance)
    z = np.full(len(observed), np.nan)
    np.divide(observed - expected, spread, out=z, where=spread > 0)
    return z
