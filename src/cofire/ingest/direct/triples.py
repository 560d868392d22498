"""On how many tokens do both latents of an edge fire together with a third? Exact counts of n_ijh.

1. Input are edges and up to K witnesses of each (`neighbours`). What they count is the rows they are given: all
   firings, or the clear ones alone.
2. Rows are gathered into slabs. In each, every latent in use gets the list of its rows and a bit a row; the edges go
   through them on all processors (`triples_kernels`).
3. Every count is an integer that adds up, so no order of shards, cut into slabs, sum of counters or number of threads
   changes a bit of the result.

Of 196,220 edges with 173 joint firings each, K = 16, in 200,000 tokens of 61 firing latents, the walk takes 1.6 to 2 s
of one thread. Walking the joint rows themselves into K slots (L0 look-ups a joint firing instead of K) took 6 s.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from cofire.common.arrays import Bools, Ints, Ints32
from cofire.common.csr import pick_entries
from cofire.common.processes import processors
from cofire.ingest.capture_dir.shard import Shard
from cofire.ingest.direct.triples_kernels import list_rows, walk
from cofire.ingest.noise.clear import ClearFirings

# Rows of a slab: with fewer the edges are gone through more often, with more the bits of an edge leave the caches.
MOST_ROWS = 65_536
PIECES_A_THREAD = 8


@dataclass(frozen=True)
class Triples:
    """What is to be counted.

    Attributes:
        n_latents: N.
        busier: int32 [M], the latent of each edge that fires more often (either, where both do alike).
        rarer: int32 [M], the other one.
        witness: int32 [M, K], third latents of each edge, no one twice; where there are fewer, -1 behind them.
        rarer_firings: int64 [M], firings of the rarer latent, by which the work is dealt out.
    """

    n_latents: int
    busier: Ints32
    rarer: Ints32
    witness: Ints32
    rarer_firings: Ints


def count_triples(
    triples: Triples, memory: int, shards: Iterable[Shard], clear: ClearFirings | None, first: int = 0
) -> Ints:
    """Return n_ijh over these shards, int64 [M, K].

    Args:
        triples: what is to be counted.
        memory: see `TripleCounter`.
        shards: of the capture, in order, none left out between two.
        clear: the clear firings, if these alone count.
        first: the number of the first of these shards.
    """
    counter = TripleCounter(triples, memory=memory)
    for number, shard in enumerate(shards, start=first):
        counter.add(*_firings_of(shard, None if clear is None else clear.of(number, len(shard.indices))))
    return counter.counts()


def _firings_of(shard: Shard, clear: Bools | None) -> tuple[Ints, Ints32]:
    """Return indptr and indices of a shard, of the firings `clear`, bool [nnz], alone; None takes all."""
    return (shard.indptr, shard.indices) if clear is None else pick_entries(shard.indptr, shard.indices, clear)


class TripleCounter:
    """Counts, exactly, the rows on which both latents of an edge and each of its witnesses fire.

    Memory: 8 K bytes an edge, `memory` for the bits of a slab, 4 bytes for each of its firings, and 1 MB a thread.
    """

    def __init__(self, triples: Triples, *, memory: int, threads: int | None = None) -> None:
        """Start with zero counts.

        Args:
            triples: what is to be counted.
            memory: bytes for the bits of a slab, R U / 8 of U latents in use with R rows; 64 rows are the fewest. It
                changes no count.
            threads: how many; default all processors that this process may use.
        """
        self._triples = triples
        self._threads = threads or processors()
        self._counts: Ints = np.zeros(triples.witness.shape, np.int64)
        order = np.lexsort((triples.rarer, triples.busier))
        order = order[triples.witness[order, 0] >= 0] if triples.witness.shape[1] else order[:0]
        work = np.cumsum(triples.rarer_firings[order])
        aims = np.linspace(0, work[-1] if len(work) else 0, self._threads * PIECES_A_THREAD + 1)[1:-1]
        self._pieces = [piece for piece in np.split(order, np.searchsorted(work, aims)) if len(piece)]
        in_use = np.zeros(triples.n_latents, np.bool_)
        in_use[triples.busier[order]] = in_use[triples.rarer[order]] = True
        for column in triples.witness.T:
            in_use[column[column >= 0]] = True
        self._used = int(in_use.sum())
        self._place = np.where(in_use, np.cumsum(in_use) - 1, -1).astype(np.int32)
        self._rows = int(np.clip(8 * memory // max(self._used, 1) // 64 * 64, 64, MOST_ROWS))
        self._waiting: list[tuple[Ints, Ints32]] = []
        self._held = 0

    def add(self, indptr: Ints, indices: Ints32) -> None:
        """Add rows: the latents that fire on row r are indices[indptr[r]:indptr[r+1]], int32, none twice."""
        row, rows = 0, len(indptr) - 1
        while row < rows and self._pieces:
            stop = min(row + self._rows - self._held, rows)
            self._waiting.append((np.diff(indptr[row : stop + 1]), indices[indptr[row] : indptr[stop]]))
            self._held += stop - row
            row = stop
            if self._held == self._rows:
                self._walk()

    def counts(self) -> Ints:
        """Return n_ijh of all rows so far, int64 [M, K]; 0 where there is no witness."""
        if self._held:
            self._walk()
        return self._counts

    def _walk(self) -> None:
        """Walk the slab that has been gathered."""
        lengths, parts = zip(*self._waiting, strict=True)
        indptr = np.concatenate([[0], np.cumsum(np.concatenate(lengths))]).astype(np.int64)
        indices = np.concatenate(parts)
        words = (self._held + 63) // 64
        starts, rows = np.zeros(self._used + 1, np.int64), np.empty(len(indices), np.int32)
        bits = np.zeros(self._used * words, np.uint64)
        list_rows(indptr, indices, self._place, starts, rows, bits, words)
        one = self._triples

        def piece(edges: Ints) -> None:
            walk(edges, one.busier, one.rarer, one.witness, self._place, starts, rows, bits, words, self._counts)

        with ThreadPoolExecutor(self._threads) as pool:
            for _ in pool.map(piece, self._pieces):
                pass
        self._waiting, self._held = [], 0
