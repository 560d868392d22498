"""Do the tokens of a cluster share one unit of weight between its members?

    1. b_k = activation / full strength m_k of each member, 0 where it does not fire; the corner e_k is one in full;
    2. the nearest point w of the simplex (w_k >= 0, sum 1) on the face of the members that fire on the token
       (Euclidean projection by sorting: Held, Wolfe and Crowder 1974; Duchi et al. 2008, ICML, algorithm 1);
    3. r2 = 1 - sum |b - w|^2 / sum |b - mean b|^2 over the tokens;
    4. the same after each member's activations are shuffled over the tokens on which it fires: who fires where and how
       strongly each fires stay as they are, only the trade-off between members is gone. sum |b - mean b|^2 is the same.

Being in a simplex does not depend on the axes, so the fit needs no decoder: b lies in it exactly where the sum of
a_k d_k lies in the simplex of the corners m_k d_k, if these are independent. The unit of b weighs all members alike.

How to read r2. On planted clusters (cofire.worlds, test seeds, sigma/mu <= .06) it is .91 to .95 for ambiguities and
.27 to .62 for compositions and hierarchies (medians of families; AUROC 1.00, and .998 at sigma/mu .2). It is not 0
for a composition, since weights are 0 where a member does not fire: members at full strength, two at a time, reach .5
among 4 and .75 among many. The shuffled r2 says how much of it the strengths alone give: it is only .03 to .11 lower
for ambiguities, as shares near one half fit whichever token they stand on, and no lower once noise covers that. So p
tells of a trade-off, not of a simplex: the neighbours on a circle that a tied encoder reads (8 latents) trade off too
(r2 .44, shuffled .38). A circle told by two neighbours at a time runs along the simplex's edges, and only directions
tell the two apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cofire.errors import InputError

if TYPE_CHECKING:
    import numpy.typing as npt

    from cofire.common.arrays import Floats, Ints

SHUFFLES = 99


@dataclass(frozen=True)
class SimplexFit:
    """How well the tokens fit the simplex of their members.

    Attributes:
        weights: float64 [R, n], the nearest points of the simplex: rows sum to 1, 0 where a member does not fire.
        r2: share of variance that they explain, at most 1, and below 0 where their mean is nearer; None for fewer than
            two tokens and for tokens that are all alike.
        null: mean of r2 over the shuffles; None where r2 is.
        p: (1 + shuffles with an r2 as high) / (1 + shuffles); None where r2 is.
    """

    weights: Floats
    r2: float | None
    null: float | None
    p: float | None


def simplex_fit(ratios: npt.ArrayLike, *, shuffles: int = SHUFFLES, seed: int = 0) -> SimplexFit:
    """Fit tokens to the simplex whose corners are the members at full strength.

    Give tokens on which two members and more fire: one that fires alone lies near its corner whatever the cluster is
    for. What r2 means rests on the strengths: one that is told wrongly moves its corner.

    Args:
        ratios: [R, n] float, activation / full strength of each member, 0 where it does not fire; on a token one
            fires at least.
        shuffles: how often activations are shuffled, >= 1; p is at least 1 / (1 + shuffles).
        seed: of the shuffles.

    Returns:
        The weights, r2 and what it is by chance.

    Raises:
        InputError: `ratios` is not a matrix of finite numbers >= 0, or a token has no member that fires.
    """
    b = np.asarray(ratios, dtype=np.float64)
    if b.ndim != 2 or not (np.isfinite(b) & (b >= 0)).all():
        raise InputError(
            "simplex: ratios are not a matrix of finite numbers >= 0; give activation / strength, 0 where off"
        )
    token, member = np.nonzero(b)
    firing = np.bincount(token, minlength=len(b))
    if (firing == 0).any():
        raise InputError(f"simplex: no member fires on token {int(firing.argmin())}; leave such tokens out")
    faces = _Faces(token, firing)
    values = b[token, member]
    weights = np.zeros_like(b)
    weights[token, member] = faces.nearest(values)
    total = float(((b - b.mean(axis=0)) ** 2).sum()) if len(b) else 0.0
    # Rounding alone leaves about 1e-32 of the squares.
    if len(b) < 2 or total <= 1e-24 * float((b**2).sum()):
        return SimplexFit(weights, None, None, None)

    left = float(((values - weights[token, member]) ** 2).sum())
    random = np.random.default_rng(seed)
    by_member = np.argsort(member, kind="stable")
    lost = np.empty(shuffles)
    for i in range(shuffles):
        shuffled = np.empty_like(values)
        # Sorted by member and then by chance: the entries of a member in a random order.
        shuffled[by_member] = values[np.lexsort((random.random(len(values)), member))]
        lost[i] = float(((shuffled - faces.nearest(shuffled)) ** 2).sum())
    # Sums in another order differ in the last digits: shuffles that change nothing must count.
    as_high = int((lost <= left + 1e-9 * total).sum())
    return SimplexFit(weights, 1 - left / total, 1 - float(lost.mean()) / total, (1 + as_high) / (1 + shuffles))


@dataclass(frozen=True)
class _Faces:
    """Which entries belong to one token; entries stand by token.

    Attributes:
        token: int64 [m], ascending.
        firing: int64 [R] > 0, entries of each token.
    """

    token: Ints
    firing: Ints

    def nearest(self, values: Floats) -> Floats:
        """Return the nearest point [m] of the simplex of each token's own entries."""
        width = int(self.firing.max(initial=0))
        first = np.cumsum(self.firing) - self.firing
        place = np.arange(len(self.token)) - first[self.token]
        # Descending, with -inf in the place of members that do not fire: these are on no face.
        ranked = np.full((len(self.firing), width), -np.inf)
        ranked[self.token, place] = values
        ranked = -np.sort(-ranked, axis=1)
        known = np.isfinite(ranked)
        excess = np.cumsum(np.where(known, ranked, 0.0), axis=1) - 1
        shift = excess / np.arange(1, width + 1)
        last = (known & (ranked > shift)).sum(axis=1) - 1
        taken = shift[np.arange(len(last)), last]
        nearest: Floats = np.maximum(values - taken[self.token], 0.0)
        return nearest
