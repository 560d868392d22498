"""Descriptive measures of association of a pair of latents, from exact counts over all tokens.

They say how the pair looks, not whether it is more than a shared topic: that is `significance`.
Sources: Jaccard 1912; phi is Pearson's r of two indicators (Yule 1912); NPMI: Bouma 2009; lift: Brin et al. 1997.
"""

from __future__ import annotations

import numpy as np

from cofire.common.arrays import Floats, Ints


def pair_measures(count: Ints, n_a: Ints, n_b: Ints, tokens: int) -> dict[str, Floats]:
    """Return the columns jaccard, phi, npmi, lift, p_b_given_a, p_a_given_b.

    Args:
        count: int64 [M], joint firings, >= 1.
        n_a: int64 [M], firings of the lower latent.
        n_b: int64 [M], firings of the higher latent.
        tokens: T, the number of counted tokens.

    Returns:
        float64 [M] each; NaN where a measure is undefined (phi of a latent that fires on every token).
    """
    o, a, b, t = count.astype(np.float64), n_a.astype(np.float64), n_b.astype(np.float64), float(tokens)
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = np.sqrt(a * (t - a) * b * (t - b))
        phi = np.where(spread > 0, (t * o - a * b) / spread, np.nan)
        # Where both latents fire together on every token p_ab is 1 and NPMI 0/0; its limit there is 1.
        npmi = np.where(o < t, np.log(o * t / (a * b)) / -np.log(o / t), 1.0)
    return {
        "jaccard": o / (a + b - o),
        "phi": phi,
        "npmi": npmi,
        "lift": o * t / (a * b),
        "p_b_given_a": o / a,
        "p_a_given_b": o / b,
    }
