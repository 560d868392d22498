"""Worlds in which nothing belongs together, made of a world's own firings: no cluster should come of them.

`shuffled`: each latent's firings are dealt anew to the tokens of their document. `reordered`: each latent has the
documents in an order of its own; its bursts stay, what it shares with others goes.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from cofire.common.arrays import Ints
from cofire.worlds.clusters import ClusterWorld


def shuffled(world: ClusterWorld, seed: int) -> ClusterWorld:
    """Return the world with each latent's firings dealt anew within documents; activations go with them."""
    rng = np.random.default_rng([seed, 20])
    tokens, row = len(world.document), _rows(world)
    starts = np.flatnonzero(np.diff(world.document, prepend=-1))
    lengths = np.diff(np.append(starts, tokens))
    document = world.document[row]
    key = world.indices.astype(np.int64) * len(starts) + document
    order = np.argsort(key, kind="stable")
    begins = np.flatnonzero(np.diff(key[order], prepend=-1))
    moved = np.empty_like(row)
    # Distinct places of a document for the firings of one latent in it.
    for begin, end in zip(begins, np.append(begins[1:], len(order)), strict=True):
        d = document[order[begin]]
        moved[order[begin:end]] = starts[d] + rng.choice(lengths[d], end - begin, replace=False)
    return _moved(world, moved)


def reordered(world: ClusterWorld, seed: int) -> ClusterWorld:
    """Return the world with the documents in another order for each latent; activations go with the firings."""
    rng = np.random.default_rng([seed, 21])
    tokens, row = len(world.document), _rows(world)
    starts = np.flatnonzero(np.diff(world.document, prepend=-1))
    lengths = np.diff(np.append(starts, tokens))
    order = np.argsort(world.indices, kind="stable")
    ends = np.cumsum(np.bincount(world.indices, minlength=world.n_latents))
    moved = np.empty_like(row)
    for latent in range(world.n_latents):
        own = order[ends[latent - 1] if latent else 0 : ends[latent]]
        place = rng.permutation(len(starts))
        begin = np.empty(len(starts), np.int64)
        begin[place] = np.cumsum(lengths[place]) - lengths[place]
        of = world.document[row[own]]
        moved[own] = begin[of] + row[own] - starts[of]
    return _moved(world, moved)


def _rows(world: ClusterWorld) -> Ints:
    return np.repeat(np.arange(len(world.document)), np.diff(world.indptr))


def _moved(world: ClusterWorld, row: Ints) -> ClusterWorld:
    """Return the world with its firings at other tokens; it has no residuals, which would not fit them."""
    order = np.lexsort((world.indices, row))
    indptr = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=len(world.document)))]).astype(np.int64)
    return replace(
        world,
        indptr=indptr,
        indices=world.indices[order],
        values=world.values[order],
        clusters=(),
        planted=world.planted[:0],
        log_odds=world.log_odds[:0],
        indirect=world.indirect[:0],
        weights={},
        x=None,
    )
