"""Members of a cluster that are one feature told twice: latents that fire together nearly whenever either fires.

SAEs split features: two latents of nearly one direction then fire on the same tokens, each at full strength. Beside the
pairs of a cluster, whose tokens are few, those of such a pair are so many that they decide what the cluster looks like:
an ambiguity with one split member looks like a composition. Whether two latents that are never apart are parts of one
thing or two things that go together no activation can tell, so the one that fires less is left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from cofire.common.arrays import Bools, Ints

TWINS = 0.8
"""Share of the firings of each of two latents on which the other fires too, from which on they are one. In three worlds
of DEV_SEEDS through trained SAEs split features had .81 to 1.00 (and one .66, which stays), planted pairs .45 and
less."""

LEAST = 50
"""Tokens looked at with both firing from which on a share of a sample is believed. A pair whose true share is .45 then
reaches TWINS twice in a hundred thousand. Where all tokens are looked at there is nothing to guess."""

_BLOCK = 500


def without_twins(fires: Bools, *, tokens: int, firings: Ints) -> Bools:
    """Return which members of a cluster stay, bool [n]: going down in firings, those with no twin above that stayed.

    Memory: 4 R n bytes, and some 25 n for each of 500 members at a time.

    Args:
        fires: bool [R, n], which members fire on (a sample of) the tokens where two of them and more do.
        tokens: how many such tokens there are in all.
        firings: [n] int, tokens on which each member fires.
    """
    keep = np.ones(fires.shape[1], dtype=np.bool_)
    if not len(fires):
        return keep
    on = fires.astype(np.float32)
    # The sample stands for all tokens.
    each = tokens / len(fires)
    least = LEAST if each > 1 else 1
    twins: dict[int, set[int]] = {}
    for low in range(0, fires.shape[1], _BLOCK):
        both = on[:, low : low + _BLOCK].T @ on
        most = np.maximum(firings[low : low + _BLOCK, None], firings[None, :])
        for a, b in zip(*np.nonzero((both * each >= TWINS * most) & (both >= least)), strict=True):
            if low + a != b:
                twins.setdefault(low + int(a), set()).add(int(b))
    for member in np.argsort(-firings, kind="stable").tolist():
        # A twin that is still kept and comes later goes; those before have been dealt with.
        if keep[member]:
            keep[list(twins.get(member, ()))] = False
    return keep
