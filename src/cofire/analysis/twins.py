"""Members of a cluster that are one feature told twice: latents that fire together nearly whenever either fires.

SAEs split features: two latents of nearly one direction then fire on the same tokens, each at full strength. Beside the
pairs of a cluster, whose tokens are few, those of such a pair are so many that they decide what the cluster looks like:
an ambiguity with one split member looks like a composition. Whether two latents that are never apart are parts of one
thing or two things that go together no activation can tell, so the one that fires less is left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

TWINS = 0.8
"""Share of the firings of each of two latents on which the other fires too, from which on they are one. In three worlds
of DEV_SEEDS through trained SAEs split features had .81 and more, planted pairs .45 and less."""

_BLOCK = 500


@dataclass(frozen=True)
class Apart:
    """A cluster's tokens with one member of each group of twins.

    Attributes:
        keep: bool [n], the members that are left; n' of them.
        shared: [R', n'], the tokens of `shared` on which two of them and more fire.
        alone: [Q', n'], the tokens on which just one of them does, a numpy or a scipy sparse array as it was given.
        tokens: how many tokens of the first kind there are in all, as far as the sample tells.
    """

    keep: npt.NDArray[np.bool_]
    shared: npt.NDArray[np.floating[Any]]
    alone: Any
    tokens: int


def without_twins(
    shared: npt.NDArray[np.floating[Any]], alone: Any, *, tokens: int, firings: npt.NDArray[np.int64]
) -> Apart:
    """Leave out the members that are nearly always on together with one that fires as often or more.

    Memory: 4 R n bytes, and 4 n for each of 500 members at a time.

    Args:
        shared: [R, n] float, activations on (a sample of) the tokens where two members and more fire; 0: does not fire.
        alone: [Q, n] float, the same where just one fires; a numpy or a scipy sparse array.
        tokens: how many tokens of the first kind there are in all.
        firings: [n] int, tokens on which each member fires.
    """
    import scipy.sparse as sp

    keep = _first_of_twins(shared > 0, tokens, firings)
    if keep.all():
        return Apart(keep, shared, alone, tokens)
    rest = shared[:, keep]
    number = (rest > 0).sum(axis=1)
    more = rest[number == 1]
    both = [alone[:, keep], more]
    joined = sp.vstack([sp.csr_array(part) for part in both], format="csr") if sp.issparse(alone) else np.vstack(both)
    left = rest[number >= 2]
    return Apart(keep, left, joined, round(tokens * len(left) / len(shared)))


def _first_of_twins(fires: npt.NDArray[np.bool_], tokens: int, firings: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Return which members [n] stay: going down in firings, those with no twin among the ones that stayed."""
    keep = np.ones(fires.shape[1], dtype=np.bool_)
    if not len(fires):
        return keep
    on = fires.astype(np.float32)
    # The sample stands for all tokens.
    each = tokens / len(fires)
    pairs: list[tuple[int, int]] = []
    for low in range(0, fires.shape[1], _BLOCK):
        both = on[:, low : low + _BLOCK].T @ on
        most = np.maximum(firings[low : low + _BLOCK, None], firings[None, :])
        a, b = np.nonzero((both * each >= TWINS * most) & (both > 0))
        pairs += [(low + int(x), int(y)) for x, y in zip(a, b, strict=True) if low + x != y]
    twins: dict[int, set[int]] = {}
    for x, y in pairs:
        twins.setdefault(x, set()).add(y)
    for member in np.argsort(-firings, kind="stable").tolist():
        # A twin that is still kept and comes later goes; those before have been dealt with.
        if keep[member]:
            keep[list(twins.get(member, ()))] = False
    return keep
