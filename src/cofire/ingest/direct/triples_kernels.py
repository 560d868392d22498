"""Compiled loops of the triple counts (`triples`).

1. `list_rows` lists, for each latent, the rows on which it fires (a counting sort), and sets one bit a firing.
2. `walk` goes through the rows of an edge's rarer latent and keeps those whose bit the busier one has set too; then it
   looks up the bit of each witness on these. An edge takes as many look-ups as its rarer latent has firings, and K for
   each joint firing.

An edge's counts are written by one thread.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from cofire.common.arrays import Ints, Ints32
from cofire.common.compiled import compiled


@compiled
def list_rows(indptr: Ints, indices: Ints32, place: Ints32, starts: Ints, rows: Ints32, bits: Any, words: int) -> None:
    """Fill starts [U+1], rows and bits: the latent at place u fires on rows[starts[u]:starts[u+1]], ascending.

    `place` [N] numbers the latents in use from 0; -1 are the others, which are left out. `starts` and `bits`, uint64
    [U words], come in as zeros. Bit r % 64 of bits[u words + r // 64] is set where it fires on row r.
    """
    used = len(starts) - 1
    for latent in indices:
        if place[latent] >= 0:
            starts[place[latent] + 1] += 1
    for one in range(used):
        starts[one + 1] += starts[one]
    fill = starts[:-1].copy()
    for row in range(len(indptr) - 1):
        for k in range(indptr[row], indptr[row + 1]):
            u = np.int64(place[indices[k]])
            if u >= 0:
                rows[fill[u]] = row
                fill[u] += 1
                bits[u * words + (row >> 6)] |= np.uint64(1) << np.uint64(row & 63)


@compiled
def walk(
    order: Ints,
    busier: Ints32,
    rarer: Ints32,
    witness: Ints32,
    place: Ints32,
    starts: Ints,
    rows: Ints32,
    bits: Any,
    words: int,
    counts: Ints,
) -> None:
    """Add to counts [M, K] of the edges `order` the rows on which both latents and each witness [M, K] (-1: none) fire.

    busier, rarer [M] and witness hold latents; `place` and what follows are those of `list_rows`.
    """
    # Where in the bits of any latent each joint row stands: its word, and by how much that is to be shifted.
    word, shift = np.empty(64 * words + 1, np.uint64), np.empty(64 * words + 1, np.uint64)
    one, six, low, width = np.uint64(1), np.uint64(6), np.uint64(63), np.uint64(words)
    for edge in order:
        own = np.uint64(place[busier[edge]]) * width
        u = place[rarer[edge]]
        joint = np.uint64(0)
        for k in range(starts[u], starts[u + 1]):
            row = np.uint64(rows[np.uint64(k)])
            # Written in any case and counted only if set: a branch that cannot be foretold costs more.
            word[joint], shift[joint] = row >> six, row & low
            joint += (bits[own + word[joint]] >> shift[joint]) & one
        if joint == np.uint64(0):
            continue
        for k in range(witness.shape[1]):
            h = witness[edge, k]
            if h < 0:
                break
            its = np.uint64(place[h]) * width
            both = np.uint64(0)
            for at in range(np.int64(joint)):
                both += (bits[its + word[np.uint64(at)]] >> shift[np.uint64(at)]) & one
            counts[edge, k] += np.int64(both)
