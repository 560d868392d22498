"""Exact co-firing counts on the CPU: compiled row-block Gustavson (Gustavson 1978), cost T L0^2 / 2 whatever N is.

1. Rows are copied into a slab: every token's list of latents, each list followed by SENTINELS dummies of value N.
2. A full slab is transposed: for each latent, the places in the slab that follow its firings (counting sort).
3. Each latent's firings are walked: the rest of each token's list adds 1 to a row of N uint16 counters, which stays in
   the L1 or L2 cache. The lists lie all over the slab, so they are prefetched AHEAD firings before.
4. If one slab holds all tokens, its rows are the result. Else they are added to the upper triangle in memory where that
   fits half of it, and where it does not, written to a file of sparse rows (a run). Runs are added up row by row.

Threads take consecutive latents; integers add up the same in any order.
"""

from __future__ import annotations

import shutil
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from cofire.common.arrays import Array, Ints, Ints32
from cofire.common.processes import processors
from cofire.ingest.pairs.blocks import PairBlock, RowReader, SavedPairs, write_pairs
from cofire.ingest.pairs.counter import PairCounter
from cofire.ingest.pairs.cpu_kernels import (
    SENTINELS,
    add_rows,
    count_firings,
    pack,
    place_firings,
    rows_are_sound,
    sum_rows,
    triangle_rows,
    walk_into_triangle,
    walk_rows,
)

Emit = Callable[[int, int, Ints, Ints32, Ints], int]

# A count in the triangle is below 2^32 as long as there are fewer tokens.
NARROW_TOKENS = 2**32
# Runs are made into one when there are so many, each holding a block in memory while they are added up.
RUNS = 32
# Bytes of a pair in a block: latent and count.
PAIR_BYTES = 12
# Blocks are not made smaller than so many pairs, however small the memory.
LEAST_PAIRS = 4096


class _Slab(NamedTuple):
    """A transposed slab: the firings of latent i are positions[starts[i]:starts[i + 1]]."""

    starts: Ints
    positions: npt.NDArray[np.uint32]


class CpuPairCounter(PairCounter):
    """Counts on all cores that the process may use. The arguments are those of `pair_counter`.

    Memory: `memory` bytes, but never less than a few rows of N counters a core and some 600 kB of pairs.
    """

    def __init__(self, n_latents: int, memory: int, work: Path) -> None:
        super().__init__(n_latents)
        self._memory, self._work = memory, work
        self._threads = processors()
        self._dtype = np.uint16 if n_latents <= np.iinfo(np.uint16).max else np.uint32
        self._is_dense = self._triangle_fits(4)
        # The slab, not there until a row comes.
        self._lists: Array = np.empty(0, self._dtype)
        self._triangle: Array | None = None
        self._runs: list[Path] = []
        self._run_pairs: Ints = np.zeros(n_latents, np.int64)
        self._runs_made = 0
        self._folder: Path | None = None
        self._used = 0
        # For each latent, how many entries its firings in the slab have behind them in their lists.
        self._rest: Ints = np.zeros(n_latents, np.int64)
        # Counters, touched latents, starts: of every thread; work and bounds. An eighth is for the blocks.
        rows = n_latents * (30 * self._threads + 48)
        share = (memory // 2 if self._is_dense else memory) - memory // 8 - rows
        # Beside each entry of a list there is at most one position (uint32). One row must fit, and uint32 address all.
        entries = max(share // (np.dtype(self._dtype).itemsize + 4), n_latents + SENTINELS)
        self._capacity = min(entries, 2**32 - 2 * SENTINELS)

    def add(self, indptr: Ints, indices: Ints32) -> None:
        """Count R tokens; see `PairCounter.add`."""
        indptr = np.ascontiguousarray(indptr, np.int64)
        indices = np.ascontiguousarray(indices, np.int32)
        if len(indptr) < 1 or not rows_are_sound(indptr, indices, self.n_latents):
            raise ValueError(f"rows must hold ascending latents of 0..{self.n_latents - 1}")
        self._expect(len(indptr) - 1)
        row = 0
        while True:
            if not len(self._lists):
                self._lists = np.empty(self._capacity, self._dtype)
            row, self._used = pack(indptr, indices, row, self._lists, self._used, self._rest, self.n_latents)
            if row == len(indptr) - 1:
                return
            self._flush()

    def absorb(self, tokens: int, blocks: Iterable[PairBlock]) -> None:
        """Add another counter's blocks; see `PairCounter.absorb`."""
        self._expect(tokens)
        if self._is_dense:
            triangle = self._need_triangle()
            for block in blocks:
                add_rows(block.start, block.indptr, block.latent, block.count, triangle, self.n_latents)
        else:
            self._write_run(blocks)

    def blocks(self, min_count: int = 1) -> Iterator[PairBlock]:
        """Yield all pairs; see `PairCounter.blocks`."""
        if min_count < 1:
            raise ValueError("min_count is at least 1")
        if self._triangle is None and not self._runs:
            yield from self._slab_blocks(min_count)
            return
        self._flush()
        if self._triangle is not None:
            yield from self._triangle_blocks(self._triangle, min_count)
        else:
            yield from self._run_blocks(min_count)

    def close(self) -> None:
        """Give up memory and files; see `PairCounter.close`."""
        self._lists, self._triangle, self._runs = self._lists[:0].copy(), None, []
        if self._folder is not None:
            shutil.rmtree(self._folder)
            self._folder = None

    # The slab

    def _flush(self) -> None:
        """Add the slab's counts to the triangle, or write them as a run."""
        if self._used == 0:
            return
        if self._is_dense:
            triangle = self._need_triangle()
            slab = self._transposed()

            def walk(start: int, stop: int) -> None:
                row = np.zeros(self.n_latents + 1, np.uint16)
                walk_into_triangle(start, stop, slab.starts, slab.positions, self._lists, self._rest, row, triangle)

            # More pieces than threads, so that they end together; a latent costs its entries and the row's pass.
            cost = self._rest + np.arange(self.n_latents, 0, -1)
            pieces = _ranges(cost, int(cost.sum()) // (16 * self._threads) + 1)
            with ThreadPoolExecutor(self._threads) as pool:
                list(pool.map(lambda piece: walk(*piece), pieces))
        else:
            self._write_run(self._slab_blocks(1))
        self._used = 0
        self._rest[:] = 0

    def _transposed(self) -> _Slab:
        """Sort the slab's firings by latent; each thread takes a part of the lists."""
        n, lists = self.n_latents, self._lists
        cuts = [self._used * part // self._threads for part in range(self._threads + 1)]
        places = np.zeros((self._threads, n), np.int64)
        with ThreadPoolExecutor(self._threads) as pool:
            parts = range(self._threads)
            list(pool.map(lambda part: count_firings(lists, cuts[part], cuts[part + 1], places[part]), parts))
            starts = np.zeros(n + 1, np.int64)
            np.cumsum(places.sum(axis=0), out=starts[1:])
            # Where the part's first firing of each latent goes: after those of the parts before it.
            before = starts[:-1].copy()
            for part in parts:
                places[part], before = before, before + places[part]
            positions = np.empty(int(starts[-1]), np.uint32)
            list(
                pool.map(lambda part: place_firings(lists, cuts[part], cuts[part + 1], places[part], positions), parts)
            )
        return _Slab(starts, positions)

    def _slab_blocks(self, min_count: int) -> Iterator[PairBlock]:
        n = self.n_latents
        bound = np.minimum(self._rest, np.arange(n - 1, -1, -1))
        slab = self._transposed()

        def emit(start: int, stop: int, indptr: Ints, latent: Ints32, count: Ints) -> int:
            row = np.zeros(n + 1, np.uint16)
            sums, touched = np.zeros(n, np.int64), np.empty(n, np.int32)
            arrays = (slab.starts, slab.positions, self._lists, self._rest, row, sums, touched)
            return int(walk_rows(start, stop, *arrays, min_count, indptr, latent, count))

        yield from self._emitted(bound, emit)

    # The triangle

    def _triangle_fits(self, width: int) -> bool:
        return width * (self.n_latents * (self.n_latents - 1) // 2) <= self._memory // 2

    def _need_triangle(self) -> Array:
        if self._triangle is None:
            dtype = np.uint32 if self.tokens < NARROW_TOKENS else np.uint64
            self._triangle = np.zeros(self.n_latents * (self.n_latents - 1) // 2, dtype)
        return self._triangle

    def _expect(self, tokens: int) -> None:
        """Make room for counts up to the tokens so far and these: wider counters, or else runs."""
        before, self.tokens = self.tokens, self.tokens + tokens
        if not self._is_dense or self.tokens < NARROW_TOKENS or before >= NARROW_TOKENS:
            return
        narrow, self._triangle = self._triangle, None
        self._is_dense = self._triangle_fits(8)
        if narrow is None:
            return
        self._write_run(self._triangle_blocks(narrow, 1))
        del narrow
        if self._is_dense:
            triangle = self._need_triangle()
            run = self._runs.pop()
            for block in SavedPairs(run).blocks():
                add_rows(block.start, block.indptr, block.latent, block.count, triangle, self.n_latents)
            run.unlink()
            self._run_pairs[:] = 0

    def _triangle_blocks(self, triangle: Array, min_count: int) -> Iterator[PairBlock]:
        n = self.n_latents

        def emit(start: int, stop: int, indptr: Ints, latent: Ints32, count: Ints) -> int:
            return int(triangle_rows(start, stop, n, triangle, min_count, indptr, latent, count))

        yield from self._emitted(np.arange(n - 1, -1, -1), emit)

    # Runs

    def _write_run(self, blocks: Iterable[PairBlock]) -> None:
        if len(self._runs) == RUNS:
            self._join_runs()
        self._runs.append(self._run_of(blocks))

    def _run_of(self, blocks: Iterable[PairBlock]) -> Path:
        """Write blocks, noting how many pairs each latent has in them."""
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="pairs-", dir=self._work))
        path = self._folder / f"run-{self._runs_made}.zip"
        self._runs_made += 1
        pairs = np.zeros(self.n_latents, np.int64)

        def noted() -> Iterator[PairBlock]:
            for block in blocks:
                pairs[block.start : block.stop] = np.diff(block.indptr)
                yield block

        write_pairs(path, self.n_latents, 0, noted())
        self._run_pairs += pairs
        return path

    def _join_runs(self) -> None:
        old, before = self._runs, self._run_pairs.copy()
        joined = self._run_of(self._run_blocks(1))
        self._run_pairs -= before
        self._runs = [joined]
        for path in old:
            path.unlink()

    def _run_blocks(self, min_count: int) -> Iterator[PairBlock]:
        n = self.n_latents
        runs = [RowReader(SavedPairs(path).blocks()) for path in self._runs]
        rows: dict[int, tuple[Ints, Ints32, Ints]] = {}

        def emit(start: int, stop: int, indptr: Ints, latent: Ints32, count: Ints) -> int:
            sums, touched = np.zeros(n, np.int64), np.empty(n, np.int32)
            return int(sum_rows(start, stop, *rows.pop(start), sums, touched, min_count, indptr, latent, count))

        def read(start: int, stop: int) -> None:
            parts = [run.take(start, stop) for run in runs]
            at = np.cumsum([0] + [len(part[1]) for part in parts])
            starts = np.stack([part[0] + first for part, first in zip(parts, at, strict=False)])
            rows[start] = (starts, np.concatenate([p[1] for p in parts]), np.concatenate([p[2] for p in parts]))

        yield from self._emitted(self._run_pairs, emit, read)

    # Blocks

    def _emitted(
        self, bound: Ints, emit: Emit, prepare: Callable[[int, int], None] | None = None
    ) -> Iterator[PairBlock]:
        """Yield blocks in order, made by all threads some blocks ahead.

        Args:
            bound: int64 [N], at most so many pairs has each latent.
            emit: writes the pairs of latents start..stop-1 to arrays that have room; returns the pairs that co-fired.
            prepare: called in order, by the calling thread, before the block goes to a thread.
        """

        def make(start: int, stop: int) -> PairBlock:
            room = int(bound[start:stop].sum())
            indptr = np.zeros(stop - start + 1, np.int64)
            latent, count = np.empty(room, np.int32), np.empty(room, np.int64)
            co_fired = emit(start, stop, indptr, latent, count)
            kept = int(indptr[-1])
            latent, count = latent[:kept], count[:kept]
            if 2 * kept < room:
                # A view would keep all of the room alive as long as the block.
                latent, count = latent.copy(), count.copy()
            return PairBlock(start, stop, indptr, latent, count, co_fired)

        # Each of threads + 2 blocks in the making: read from the runs, its room, its copy.
        pairs = max(self._memory // 8 // (3 * PAIR_BYTES * (self._threads + 2)), LEAST_PAIRS)
        made: deque[Future[PairBlock]] = deque()
        with ThreadPoolExecutor(self._threads) as pool:
            for piece in _ranges(bound, pairs):
                if prepare is not None:
                    prepare(*piece)
                made.append(pool.submit(make, *piece))
                if len(made) > self._threads:
                    yield made.popleft().result()
            while made:
                yield made.popleft().result()


def _ranges(cost: Ints, most: int) -> list[tuple[int, int]]:
    """Cut 0..N-1 into consecutive pieces of cost at most `most`, or of one latent."""
    total = np.cumsum(cost)
    pieces, start = [], 0
    while start < len(cost):
        done = int(total[start - 1]) if start else 0
        stop = max(int(np.searchsorted(total, done + most, side="right")), start + 1)
        pieces.append((start, stop))
        start = stop
    return pieces
