"""Exact co-firing counts, C = A^T A for the 0/1 matrix A [T, N] of firings, in row blocks of latents.

1. The latents are cut into row blocks, so that one block's int64 counters [B, N] fit the memory bound.
2. For each block the capture is read once; a shard adds A[:, block]^T A[:, block start:], a sparse product of cost
   tokens x L0^2 whatever N is (Gustavson 1978).
3. Only pairs a < b are kept. Counters add, so shards may be counted in any order and merged.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from cofire.ingest.capture_dir import Shard

Ints = npt.NDArray[np.int64]

# The counter itself (8), and at worst an entry of the product: its value, row and column (24), the same sorted into
# place by scipy (16), and the copies that adding it makes (16).
BYTES_PER_COUNTER = 64
# Counters that are turned into pairs at once; a pair takes some 150 bytes until it is measured and most are dropped.
PAIRS_AT_ONCE = 262_144


def firing_matrix(shard: Shard, n_latents: int) -> sp.csr_array:
    """Return A as int64 CSR [R, N]: 1 where the latent fires."""
    ones = np.ones(len(shard.indices), np.int64)
    return sp.csr_array((ones, shard.indices, shard.indptr), shape=(shard.rows, n_latents))


class PairCounter:
    """Counts joint firings of latents start..stop-1 with every higher latent, exactly (int64).

    Memory: 8 (stop - start) (n_latents - start) bytes.
    """

    def __init__(self, n_latents: int, start: int, stop: int) -> None:
        self.n_latents, self.start, self.stop = n_latents, start, stop
        self.counts: Ints = np.zeros((stop - start, n_latents - start), np.int64)

    def add(self, firings: sp.csr_array) -> None:
        """Add the tokens of A, int64 CSR [R, N]."""
        upper = firings[:, self.start :].tocsc()
        block = upper[:, : self.stop - self.start]
        product = (block.T @ upper).tocoo()
        # The product of two CSC matrices has each (row, column) once, so plain indexing adds every entry.
        self.counts[product.row, product.col] += product.data

    def merge(self, other: PairCounter) -> None:
        """Add the counts of another counter of the same block."""
        if (self.n_latents, self.start, self.stop) != (other.n_latents, other.start, other.stop):
            raise ValueError("counters of different blocks cannot be merged")
        self.counts += other.counts

    def pairs(self) -> Iterator[tuple[Ints, Ints, Ints]]:
        """Yield (a, b, count), a < b, of every pair that fired together, ordered by (a, b), a few latents at a time."""
        width = self.n_latents - self.start
        step = max(1, PAIRS_AT_ONCE // width)
        for low in range(0, self.stop - self.start, step):
            row, column = np.nonzero(np.triu(self.counts[low : low + step], k=1 + low))
            row += low
            yield row + self.start, column + self.start, self.counts[row, column]


def row_blocks(n_latents: int, memory: int) -> list[tuple[int, int]]:
    """Cut 0..n_latents-1 into blocks whose counters, and a shard's product with them, take `memory` bytes at most."""
    blocks: list[tuple[int, int]] = []
    start = 0
    while start < n_latents:
        height = max(1, memory // (BYTES_PER_COUNTER * (n_latents - start)))
        blocks.append((start, min(start + height, n_latents)))
        start = blocks[-1][1]
    return blocks
