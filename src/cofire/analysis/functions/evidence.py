"""What the members of one cluster do on the tokens that they share, in a few numbers. No edge is looked at.

1. r_k = a_k / m_k, the activation of member k in units of its full strength m_k: mu where that is a mode of its
   activations well above the floor of what counts as a firing; else its mean activation on tokens where no other member
   fires; else mu, their mean.
2. s, the sum of r_k over the k members that fire on a token, and (s - 1) / (k - 1): 0 where they share the weight of
   one, 1 where each fires in full. Its median over the tokens is the **excess**, whatever the number of members.
3. The correlation of two members' activations over the tokens where both fire and as many others: negative where one
   has what the other has not, about 0 where they do not mind each other, positive where something drives both.
4. What says how far 2 and 3 can be believed: the share of the firings whose mu is a mode, how far the firing floor lies
   below full strength (two members that fire only above half of it cannot be seen to share it), and the spread of
   activations on tokens where no other member fires.
5. Containment, kept apart because it is close to a graph feature: how much of the firing of a member lies inside that
   of another.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cofire.analysis.activations.full_strength import MIN_ALONE, full_strength

if TYPE_CHECKING:
    import numpy.typing as npt

    from cofire.common.arrays import Bools, Floats, Ints

MOST_MEMBERS = 2000
"""Members up to which the correlation is taken: it holds a dozen arrays of n x n numbers at once, 400 MB here."""

_BLOCK = 500

MIN_BOTH = 5
"""Tokens with both members (and as many others) firing from which a correlation is taken; pairs weigh by
their number."""


@dataclass(frozen=True)
class Evidence:
    """The evidence on one cluster; None is undefined.

    Attributes:
        tokens: tokens on which two members and more fire.
        ratio_sum: median of s, each member in units of mu, whatever its rule.
        excess: median of (s - 1) / (k - 1), each member in units of its full strength.
        excess_alone: the same in units of the mean activation on tokens where no other member fires; None where it is
            known of less than half of the firings.
        magnitude_r: mean over pairs of the correlation of their activations given both fire and as many others,
            by number of tokens; None of more than MOST_MEMBERS members.
        mode_share: share of the firings on these tokens of members whose mu is a mode well above the floor.
        floor_share: mean over these firings of (the floor above which a firing counts) / full strength.
        spread: standard deviation / mean of the activations on tokens where no other member fires, by their number;
            on the shared tokens for members that never fire alone.
        containment: mean, over all members but the one that fires most, of the largest P(other member | member).
    """

    tokens: int
    ratio_sum: float | None
    excess: float | None
    excess_alone: float | None
    magnitude_r: float | None
    mode_share: float | None
    floor_share: float | None
    spread: float | None
    containment: float | None


def function_evidence(
    shared: npt.NDArray[np.floating[Any]],
    alone: Any,
    *,
    tokens: int,
    mu: Floats,
    is_mode: Bools,
    floor: Floats,
    firings: Ints,
) -> Evidence:
    """Return the evidence on one cluster of n members.

    Memory: up to 42 R n + 100 n^2 bytes besides `shared`: 120 MB for 500 members and R = 5000, 500 MB for 1,500. With
    more than MOST_MEMBERS members, of which no correlation is taken, 25 R n.

    Args:
        shared: [R, n] float, activations on (a sample of) the tokens where two members and more fire; 0: does not fire.
        alone: [Q, n] float, the same where just one fires; a numpy or a scipy sparse array.
        tokens: how many tokens of the first kind there are in all.
        mu: [n] float, NaN where unknown.
        is_mode: [n] bool, whether mu is a clear mode of the activations.
        floor: [n] float, a firing counts above it.
        firings: [n] int, tokens on which each member fires.
    """
    fires = shared > 0
    if tokens == 0:
        return Evidence(0, None, None, None, None, None, None, None, None)
    strength = full_strength(alone, mu, is_mode, floor)
    together: Floats = shared.astype(np.float64)
    number = fires.sum(axis=1)
    weight = fires.sum(axis=0)
    return Evidence(
        tokens=tokens,
        ratio_sum=_median(_sums(together, mu, fires)),
        excess=_median((_sums(together, strength.value, fires) - 1) / (number - 1)),
        excess_alone=_excess_alone(together, strength.alone, fires),
        magnitude_r=_magnitude_r(together, fires),
        mode_share=float(weight[strength.by_mode].sum() / weight.sum()),
        floor_share=_mean(floor / strength.value, weight),
        spread=_spread(together, alone.astype(np.float64), strength.tokens_alone, weight),
        containment=_containment(fires, tokens, firings),
    )


def _sums(shared: Floats, full: Floats, fires: Bools) -> Floats:
    """Return s of each token, [R]; NaN where a member fires whose full strength is unknown."""
    unknown = ~(full > 0)
    sums = shared @ np.where(unknown, 0.0, 1 / np.where(unknown, 1.0, full))
    sums[fires[:, unknown].any(axis=1)] = np.nan
    return np.asarray(sums, np.float64)


def _excess_alone(shared: Floats, alone_mean: Floats, fires: Bools) -> float | None:
    known = ~np.isnan(alone_mean)
    if fires[:, known].sum() < 0.5 * fires.sum():
        return None
    number = fires[:, known].sum(axis=1)
    some = number >= 2
    if not some.any():
        return None
    sums = _sums(shared[some][:, known], alone_mean[known], fires[some][:, known])
    return _median((sums - 1) / (number[some] - 1))


def _magnitude_r(shared: Floats, fires: Bools) -> float | None:
    """Return the mean correlation of two members given both fire, by sums over tokens as matrix products."""
    if shared.shape[1] > MOST_MEMBERS:
        return None
    number = fires.sum(axis=1)
    total = np.zeros((4, shared.shape[1], shared.shape[1]))
    for k in np.unique(number):
        # Shares of one weight shrink together as more members fire: only tokens with as many are compared.
        at = number == k
        on, values = fires[at].astype(np.float64), shared[at]
        # Centred and scaled first, or the sums of squares cancel.
        mean = values.sum(axis=0) / np.maximum(on.sum(axis=0), 1)
        centred = np.where(fires[at], values / np.where(mean > 0, mean, 1) - 1, 0.0)
        both = on.T @ on
        some = both >= MIN_BOTH
        safe = np.maximum(both, 1)
        first = centred.T @ on
        products = (both, centred.T @ centred - first * first.T / safe, (centred**2).T @ on - first**2 / safe)
        for place, product in enumerate(products):
            total[place] += np.where(some, product, 0)
        total[3] += np.where(some, (centred**2).T @ on, 0)
    both, covariance, variance, square = total
    scale = np.sqrt(np.maximum(variance, 0) * np.maximum(variance.T, 0))
    # What is left of equal values after rounding is no variance.
    varies = (variance > 1e-9 * square) & (variance.T > 1e-9 * square.T) & (scale > 1e-12)
    pairs = np.triu((both > 0) & varies, 1)
    if not pairs.any():
        return None
    r = np.clip(covariance[pairs] / scale[pairs], -1, 1)
    return float(np.average(r, weights=both[pairs]))


def _spread(shared: Floats, alone: Any, alone_count: Ints, weight: Ints) -> float | None:
    values, count = np.where(alone_count >= MIN_ALONE, 1, 0), alone_count
    total, square = alone.sum(axis=0), (alone**2).sum(axis=0)
    few = values == 0
    total[few], square[few] = shared.sum(axis=0)[few], (shared**2).sum(axis=0)[few]
    count = np.where(few, weight, count)
    known = (count >= MIN_ALONE) & (weight > 0)
    if not known.any():
        return None
    mean = total[known] / count[known]
    variance = np.maximum(square[known] / count[known] - mean**2, 0)
    return _mean(np.sqrt(variance) / mean, weight[known])


def _containment(fires: Bools, tokens: int, firings: Ints) -> float | None:
    # Whole numbers below 2^24, so float32 holds them.
    on = fires.astype(np.float32)
    most = np.zeros(len(firings))
    # In blocks of members, so that the pairs of a large cluster are never all there at once.
    for low in range(0, len(firings), _BLOCK):
        both = on[:, low : low + _BLOCK].T @ on
        at = np.arange(len(both))
        both[at, low + at] = 0
        most[low : low + _BLOCK] = both.max(axis=1)
    # The sample stands for all tokens.
    share = np.minimum(most * (tokens / len(fires)) / np.maximum(firings, 1), 1)
    others = np.arange(len(firings)) != firings.argmax()
    live = others & (firings > 0)
    return float(share[live].mean()) if live.any() else None


def _median(values: Floats) -> float | None:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else None


def _mean(values: Floats, weight: Ints) -> float | None:
    known = np.isfinite(values) & (weight > 0)
    return float(np.average(values[known], weights=weight[known])) if known.any() else None
