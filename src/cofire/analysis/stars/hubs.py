"""Which latents may be hubs of exclusive stars, which neighbours may be their spokes, and on which tokens these fire.

1. `candidates`: the direct edges, each seen from its busier end. Twins of a hub are no candidates.
2. `gathered`: for some hubs at a time, one pass over the shards: the documents of each hub's tokens, and at which of
   these each candidate fires. How much memory that takes is known from the edges' counts beforehand.

Where the noise floor of a latent is known, only its clear firings are looked at, as for the edges.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cofire.analysis.stars.kernels import gather
from cofire.errors import CaptureError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cofire.common.arrays import Floats, Ints, Ints32

LEAST_FIRINGS = 60
"""Tokens of a hub: fewer have no room for four spokes that avoid each other."""

MOST_SHARE = 0.1
"""Share of all tokens up to which a latent may be a hub. What fires everywhere is no context for others."""

LEAST_JOINT = 8
"""Joint firings of hub and spoke."""

LEAST_SPOKES = 4

SPARE = 8
"""Joint firings for which there is room beyond those of the tables, where clear firings are worked out again."""


@dataclass(frozen=True)
class Candidates:
    """H latents that may be hubs, and E pairs of a hub and a neighbour that may be its spoke.

    Attributes:
        hub: int64 [H], ascending.
        firings: int64 [H], tokens on which it fires.
        first: int64 [H+1], where its candidates begin.
        spoke: int64 [E], of each hub by descending weight; of equal weights the lower index first.
        room: int64 [E], joint firings at the most.
        near_first: int64 [N+1], where begins what `near` lists of each latent.
        near: int32, latents that share a direct edge with it, or are its twins; so they are no spokes together.
        direct_edges: M, of which they were taken.
    """

    hub: Ints
    firings: Ints
    first: Ints
    spoke: Ints
    room: Ints
    near_first: Ints
    near: Ints32
    direct_edges: int

    def block(self, start: int, memory: int) -> int:
        """Return where a block of hubs that begins at `start` ends, so that it takes `memory` bytes or is one hub."""
        entries = np.concatenate([[0], np.cumsum(self.room)])[self.first]
        size = 4 * (entries + np.concatenate([[0], np.cumsum(self.firings)]))
        return max(start + 1, int(np.searchsorted(size, size[start] + memory, side="right")) - 1)


@dataclass(frozen=True)
class HubTokens:
    """The tokens of H hubs and of their E candidates.

    Attributes:
        hub: int64 [H].
        first: int64 [H+1], where each hub's tokens begin.
        document: int32, the document of each token of each hub, in the order of the text.
        spoke_first: int64 [H+1], where each hub's candidates begin.
        spoke: int64 [E].
        joint_first: int64 [E+1], where each candidate's positions begin.
        joint_count: int64 [E], how many there are: joint firings.
        joint: int32, positions among the hub's tokens at which the candidate fires, ascending.
    """

    hub: Ints
    first: Ints
    document: Ints32
    spoke_first: Ints
    spoke: Ints
    joint_first: Ints
    joint_count: Ints
    joint: Ints32


def candidates(
    a: Ints,
    b: Ints,
    weight: Floats,
    joint: Ints,
    twins: tuple[Ints, Ints],
    firings: Ints,
    tokens: int,
) -> Candidates:
    """Return the latents that may be hubs, with the neighbours that may be their spokes.

    Args:
        a: int64 [M], one end of each direct edge.
        b: int64 [M], the other.
        weight: float64 [M], by which spokes are chosen: direct_log_odds.
        joint: int64 [M], joint firings at the most.
        twins: int64 [W] twice, pairs of latents that are one feature.
        firings: int64 [N], tokens on which each latent fires.
        tokens: all tokens.

    Returns:
        Hubs of LEAST_FIRINGS tokens and more, on MOST_SHARE of all tokens at the most, with LEAST_SPOKES candidates
        and more: direct neighbours that fire no more often than the hub, at least LEAST_JOINT times with it, and are
        not its twins. Where two neighbours fire equally often, each may be the other's spoke.
    """
    n = len(firings)
    one, other = np.concatenate([a, b]), np.concatenate([b, a])
    near = np.concatenate([one, *twins]), np.concatenate([other, twins[1], twins[0]])
    near_first, near_of = _by_latent(*near, n)
    hub, spoke = one, other
    able = (firings >= LEAST_FIRINGS) & (firings <= MOST_SHARE * tokens)
    keep = able[hub] & (firings[spoke] <= firings[hub])
    twin = np.concatenate([twins[0] * n + twins[1], twins[1] * n + twins[0]])
    keep &= ~np.isin(hub * n + spoke, twin)
    weights, room = np.concatenate([weight, weight]), np.concatenate([joint, joint])
    keep &= room >= LEAST_JOINT
    keep &= np.bincount(hub[keep], minlength=n)[hub] >= LEAST_SPOKES
    hub, spoke, weights, room = hub[keep], spoke[keep], weights[keep], room[keep]
    order = np.lexsort((spoke, -weights, hub))
    hubs, first = np.unique(hub[order], return_index=True)
    return Candidates(
        hub=hubs,
        firings=firings[hubs],
        first=np.append(first, len(order)).astype(np.int64),
        spoke=spoke[order],
        room=room[order],
        near_first=near_first,
        near=near_of.astype(np.int32),
        direct_edges=len(a),
    )


def _by_latent(latent: Ints, values: Ints, n: int) -> tuple[Ints, Ints]:
    """Group `values` by latent, ascending; return where each latent's begin, int64 [n+1], and all of them."""
    order = np.lexsort((values, latent))
    return np.concatenate([[0], np.cumsum(np.bincount(latent, minlength=n))]).astype(np.int64), values[order]


def gathered(
    found: Candidates, start: int, stop: int, shards: Iterable[tuple[Ints32, Ints, Ints32]], n_latents: int
) -> HubTokens:
    """Return the tokens of hubs start..stop-1 and of their candidates.

    Cost: for each shard the firings once, to list them by latent, and those of the candidates once for each of their
    hubs. Memory: what `Candidates.block` was asked for, and one shard twice.

    Args:
        found: of `candidates`.
        start: the first hub's number.
        stop: the number behind the last hub.
        shards: of each shard document int32 [R], indptr int64 [R+1] and indices int32 [nnz]: the firings to count.
        n_latents: N.

    Raises:
        CaptureError: a latent fires more often than it was counted.
    """
    low, high = found.first[start], found.first[stop]
    first = _starts(found.firings[start:stop])
    joint_first = _starts(found.room[low:high])
    made = HubTokens(
        hub=found.hub[start:stop],
        first=first,
        document=np.zeros(first[-1], np.int32),
        spoke_first=found.first[start : stop + 1] - low,
        spoke=found.spoke[low:high],
        joint_first=joint_first,
        joint_count=np.zeros(high - low, np.int64),
        joint=np.empty(joint_first[-1], np.int32),
    )
    filled = np.zeros(stop - start, np.int64)
    for document, indptr, indices in shards:
        by_latent, token = _transposed(indptr, indices, n_latents)
        place = np.full(len(document), -1, np.int32)
        bad = gather(
            by_latent,
            token,
            document,
            made.hub,
            made.first,
            filled,
            made.document,
            made.spoke_first,
            made.spoke,
            made.joint_first,
            made.joint_count,
            made.joint,
            place,
        )
        if bad >= 0:
            raise CaptureError(f"latent {made.hub[bad]}: more firings than its tables say; run `cofire count` again")
    if not np.array_equal(filled, np.diff(first)):
        bad = int(np.flatnonzero(filled != np.diff(first))[0])
        raise CaptureError(f"latent {made.hub[bad]}: fewer firings than its tables say; run `cofire count` again")
    return made


def _starts(counts: Ints) -> Ints:
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)


def _transposed(indptr: Ints, indices: Ints32, n: int) -> tuple[Ints, Ints32]:
    """Return, for the firings of a shard, where each latent's rows begin, int64 [n+1], and the rows, ascending."""
    import scipy.sparse as sp

    rows = len(indptr) - 1
    firing = sp.csr_array((np.ones(len(indices), np.bool_), indices, indptr), (rows, n)).tocsc()
    return firing.indptr.astype(np.int64), firing.indices.astype(np.int32)


def blocks(found: Candidates, memory: int) -> Iterator[tuple[int, int]]:
    """Yield (start, stop) of the blocks of hubs whose tokens take `memory` bytes at the most, or are one hub's."""
    start = 0
    while start < len(found.hub):
        stop = found.block(start, memory)
        yield start, stop
        start = stop
