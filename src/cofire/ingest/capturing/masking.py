"""Which tokens are left out of every count: special tokens, and tokens of massive norm.

A few tokens (BOS, and words in the first positions that become attention sinks) have residuals a hundred times
longer than the rest. An SAE answers them with hundreds of latents at once, and they swamp every statistic.

The rule is relative: longer than `factor` times the median norm of the not-special tokens of the first shard, at the
SAE's own hook point. How 4 was chosen, from SmolLM2-135M-Instruct over Austen's novels with the two SAEs of
examples/smollm2 (first 6 positions of 8,006 windows, where nearly all outliers are; norm over median -> number of
tokens / mean number of latents that fire, 32 by design):

                 <= 1.4        1.4-3.5      3.5-5      5-10         > 10
    layer 12     46,401 / 29   1,327 / 28   18 / 81    50 / 88      240 / 482
    layer 18     47,721 / 26      34 / 65   15 / 75    56 / 116     210 / 605

The body ends at 1.4. Layer 12 has a second population of ordinary first words up to 3.5, answered with the usual
number of latents; from 3.5 on a token fires three times as many, and these are sinks in the making. 3.5-5 is the
valley between the two in both layers, and 4 lies in it: all that looks ordinary in either layer is kept, and fewer
than 10 in 48,000 tokens would fall otherwise at 3.5 or 5. The factor of 10 that others use would keep a hundred
tokens here that fire 3-4 times as many latents as the rest.
"""

from __future__ import annotations

import numpy as np

from cofire.common.arrays import Bools, Singles

__all__ = ["NORM_FACTOR", "norm_limit", "rule"]

NORM_FACTOR = 4.0


def norm_limit(norms: Singles, special: Bools, factor: float | None) -> float | None:
    """Return the residual norm above which a token is an outlier: `factor` times the median over not-special tokens.

    Args:
        norms: float32 [T], the residuals' norms.
        special: bool [T], True for special tokens.
        factor: the factor, or None for no limit.

    Returns:
        The limit, or None if there is no factor or every token is special.
    """
    ordinary = norms[~special]
    if factor is None or len(ordinary) == 0:
        return None
    return float(factor * np.median(ordinary.astype(np.float64)))


def rule(special: frozenset[int], mask_special: bool, factor: float | None, bos: str = "BOS") -> str:
    """Return the masking rule in words, for the manifest; `bos` is what windows begin with where they do."""
    parts = [f"inserted {bos}"]
    if mask_special:
        parts.append(f"special tokens (ids {', '.join(map(str, sorted(special)))})")
    if factor is not None:
        parts.append(f"tokens with a norm at the hook point above {factor:g} x the median of the first shard")
    return "left out: " + "; ".join(parts)
