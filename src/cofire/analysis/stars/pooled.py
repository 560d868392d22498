"""p and q of exclusive stars, from the stars that are left when candidates are shuffled."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cofire.analysis.stars.kernels import NO_STAR
from cofire.ingest.edges.significance import benjamini_hochberg

if TYPE_CHECKING:
    from cofire.common.arrays import Floats


def pooled_p(statistic: Floats, null: Floats) -> tuple[Floats, Floats]:
    """Return p and q of H hubs, float64 [H] each.

    p = (1 + shuffled hubs with a statistic as high) / (1 + all shuffled hubs), over the shuffles of all hubs together:
    B of each hub alone could give no p below 1 / (1 + B), and Benjamini and Hochberg (1995) over some thousand hubs
    asks for less. A hub without a star has p = 1: no shuffle is lower.

    So p is the chance of such a star at a hub drawn at random, not at this one; hubs differ in how easily shuffles
    leave them a star. That takes nothing from q: with t the statistic of the last star that is kept, H p(t) estimates
    how many stars of that statistic and more there were if nobody avoided anybody, and those of the hubs of which that
    is true are a part of them. q is that number by the stars that are kept.

    Args:
        statistic: float64 [H], NO_STAR where there is none.
        null: float64 [H, B], the same after each of B >= 1 shuffles.
    """
    pool = np.sort(null[null > NO_STAR])
    shuffled = null.size
    as_high = len(pool) - np.searchsorted(pool, statistic, side="left")
    p = np.where(statistic > NO_STAR, (1 + as_high) / (1 + shuffled), 1.0)
    return p, benjamini_hochberg(p, len(p))
