"""The exclusive star of each hub, and those that are left when its candidates are shuffled: a pure function of tokens.

1. Spokes are chosen greedily, by descending weight. A candidate is taken unless it has a direct edge with a spoke
   before it, or is that one's twin, or fires with it on more than n_hs n_hs' / n_h + ALLOWANCE of the hub's tokens:
   what two that do not mind each other would share on average, and one.
2. It is a star where LEAST_SPOKES and more are left, and exclusivity, the tokens that pairs of spokes share by those
   that they would share on average, is at most MOST_TOGETHER.
3. Its statistic is (E - O) / sqrt(V): O the joint firings of all pairs of spokes on the hub's tokens; E and V their
   mean and variance when each spoke's firings are scattered over the hub's tokens within each document. A pair's O is
   then a sum of hypergeometric variables, and different pairs are uncorrelated. No star: minus infinity.
4. The same again with every candidate so scattered, as often as asked. The greedy choice prefers what happens to avoid
   each other; so it does among shuffled ones, which is why the normal tail of 3 is no p.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cofire.analysis.stars.hubs import LEAST_JOINT, LEAST_SPOKES, Candidates, HubTokens
from cofire.analysis.stars.kernels import FACTS, NO_STAR, stars
from cofire.common.processes import processors

if TYPE_CHECKING:
    from cofire.common.arrays import Bools, Floats, Ints

ALLOWANCE = 1.0
"""Joint firings by which two spokes may exceed what two that do not mind each other share on average."""

MOST_TOGETHER = 0.5
"""Exclusivity up to which spokes are said to avoid each other."""

_HUBS_AT_ONCE = 32


@dataclass(frozen=True)
class Found:
    """What was found of H hubs with E candidates.

    Attributes:
        is_spoke: bool [E], whether the candidate is a spoke of its hub's star.
        joint: int64 [E], tokens of the hub on which it fires.
        facts: float64 [H, FACTS], see `kernels`: spokes, their joint firings, those expected, ...
        null: float64 [H, B], the statistic after each shuffle; NO_STAR where no star was left.
    """

    is_spoke: Bools
    joint: Ints
    facts: Floats
    null: Floats


def search_stars(
    tokens: HubTokens,
    found: Candidates,
    *,
    shuffles: int,
    seed: int,
    processes: int | None = None,
    tell: Callable[[int], None] | None = None,
) -> Found:
    """Return the star of each hub, and what shuffles leave.

    The same seed gives the same shuffles of a hub, whatever other hubs are looked at and however many processors
    there are. Cost: for each hub and shuffle the joint firings of its candidates that no spoke bars, and a 64th of the
    hub's tokens for each pair of such a candidate and a spoke.

    Args:
        tokens: of `gathered`.
        found: of `candidates`.
        shuffles: B >= 0.
        seed: 0 <= seed < 2^63.
        processes: threads that share the hubs; None: one a processor. It changes nothing in the result.
        tell: called with the number of hubs that are done since the last call.
    """
    hubs = len(tokens.hub)
    made = Found(
        is_spoke=np.zeros(len(tokens.spoke), np.bool_),
        joint=tokens.joint_count,
        facts=np.zeros((hubs, FACTS)),
        null=np.full((hubs, shuffles), NO_STAR),
    )

    def part(start: int) -> int:
        stop = min(start + _HUBS_AT_ONCE, hubs)
        stars(
            start,
            stop,
            tokens.hub,
            tokens.first,
            tokens.document,
            tokens.spoke_first,
            tokens.spoke,
            tokens.joint_first,
            tokens.joint_count,
            tokens.joint,
            found.near_first,
            found.near,
            np.full(len(found.near_first) - 1, -1, np.int32),
            np.uint64(seed),
            LEAST_JOINT,
            LEAST_SPOKES,
            ALLOWANCE,
            MOST_TOGETHER,
            made.is_spoke,
            made.facts,
            made.null,
        )
        return stop - start

    with ThreadPoolExecutor(processes or processors()) as pool:
        for done in pool.map(part, range(0, hubs, _HUBS_AT_ONCE)):
            if tell is not None:
                tell(done)
    return made
