"""Exact co-firing counts on a GPU: torch tensors and the Triton kernels of `cuda_kernels`.

1. Added rows gather on the device as a slab: one list of latents a token, 2 bytes a firing up to 65,536 latents.
2. When the slab is full, and when blocks are asked for, it is transposed by a counting sort, and the latents that fire
   most (`choose_hot`: the counted cost decides) are paired by an int8 product on the tensor cores.
3. Row block by row block, so that the counters fit: every other pair is added by a walk over the slab, T L0^2 / 2
   atomic additions in L2 (Gustavson 1978). int32 is enough here: a slab has fewer than 2^31 tokens.
4. A full slab's row blocks are added to int64 totals: on the device where the triangle N (N - 1) / 2 fits in half of
   the memory, otherwise as sparse records in a spill file. The text is never read again. A slab that never fills up
   needs no totals.

The same counts come out whatever the memory, the slabs and the order of adding.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import torch

from cofire.common.arrays import Ints, Ints32
from cofire.errors import InputError
from cofire.ingest.pairs import cuda_kernels as kernels
from cofire.ingest.pairs.blocks import PairBlock
from cofire.ingest.pairs.counter import PairCounter
from cofire.ingest.pairs.cuda_totals import DeviceTotals, RowBlocks, SpilledTotals, Totals

# Multiply-adds of `multiply` that take as long as one atomic addition of `walk`. From data sheets: an H200 does some
# 6e14 int8 multiply-adds a second of the 1e15 that it promises, and some 2e11 additions into L2 (one a cycle and
# multiprocessor). To be calibrated on a GPU: bench/count_gpu.py measures both and prints this quotient.
MACS_PER_ADDITION = 3000
# Visits of one program of `walk`. A latent that fires more often is cut into pieces.
VISITS = 256
# A row block's counter: int64, the totals of earlier slabs; and while pairs are picked out the comparison, and their
# place, row, latent (with what these are computed from) and count: 8 bytes each.
BYTES_PER_CELL = 72
# One firing in the slab beside its id: where its visit goes on, and for how long.
BYTES_PER_VISIT = 8
# What a copied piece of rows takes while it is checked: int32 ids, and the comparisons.
BYTES_STAGED = 8
# Counters, cursors, ranks and flags of each latent.
BYTES_PER_LATENT = 40
# Places within a row block are written as 32-bit numbers.
MOST_CELLS = 2**30
MOST_FIRINGS = 2**31 - 2**20


def choose_hot(firings: Ints, tokens: int, most: int) -> Ints:
    """Return the latents whose pairs among each other the tensor cores count; the one rule of cost.

    The walk does about S^2 / (2 T) additions for h latents that fire S times in T tokens (exact if they fire
    independently; whatever they do, only the speed depends on it). The product does T h (h + TILE) / 2
    multiply-adds. h, a multiple of TILE, is where MACS_PER_ADDITION times the first exceeds the second most.

    Args:
        firings: int64 [N], firings of each latent in the slab.
        tokens: T.
        most: the greatest h that the memory allows.

    Returns:
        int64 [h'], ascending, h' <= h (latents that do not fire are left out); empty where the walk is always cheaper.
    """
    order = np.argsort(-firings, kind="stable")
    most = min(most, -(-int(np.count_nonzero(firings)) // kernels.TILE) * kernels.TILE)
    sizes = np.arange(kernels.TILE, most + 1, kernels.TILE)
    if not len(sizes) or not tokens:
        return np.zeros(0, np.int64)
    total = np.cumsum(firings[order].astype(np.float64))[np.minimum(sizes, len(order)) - 1]
    gain = MACS_PER_ADDITION * total**2 / (2 * tokens) - tokens * (sizes * (sizes + kernels.TILE) / 2)
    best = int(np.argmax(gain))
    if gain[best] <= 0:
        return np.zeros(0, np.int64)
    chosen = order[: sizes[best]]
    return np.sort(chosen[firings[chosen] > 0])


class Slab:
    """The lists of latents of the tokens that were added and not yet counted, on the device."""

    def __init__(self, n_latents: int, device: torch.device) -> None:
        self.n_latents, self.device = n_latents, device
        self.wide = n_latents > 65_536
        self.clear()

    def clear(self) -> None:
        """Drop all rows."""
        self.tokens = self.firings = 0
        self._ids: list[torch.Tensor] = []
        self._starts: list[torch.Tensor] = [torch.zeros(1, dtype=torch.int32, device=self.device)]

    def append(self, indptr: Ints, indices: Ints32) -> None:
        """Add rows: indptr int64 [R + 1] from 0, indices int32 [indptr[-1]].

        Raises:
            ValueError: a row's latents do not ascend, or lie outside 0..N-1. No row is added then.
        """
        ids = self.checked(indptr, indices)
        self._ids.append(ids if self.wide else ids.to(torch.int16))
        self._starts.append(torch.from_numpy((indptr[1:] + self.firings).astype(np.int32)).to(self.device))
        self.tokens += len(indptr) - 1
        self.firings += len(indices)

    def checked(self, indptr: Ints, indices: Ints32) -> torch.Tensor:
        """Return the rows' latents on the device, int32; raises as `append` does."""
        ids = torch.from_numpy(np.require(indices, np.int32, ["C", "W"])).to(self.device, copy=True)
        # An id outside its range, or out of order, would write outside the counters: refuse it.
        rising = ids[1:] > ids[:-1]
        # (From one row to the next it may fall.)
        inner = indptr[(indptr > 0) & (indptr < len(indices))]
        rising[torch.from_numpy(inner - 1).to(self.device)] = True
        if len(indices) and not bool(rising.all() & (ids.min() >= 0) & (ids.max() < self.n_latents)):
            raise self.unsound()
        return ids

    def unsound(self) -> ValueError:
        """Return the error that says what rows must be like."""
        return ValueError(f"rows must hold ascending latents of 0..{self.n_latents - 1}")

    def lists(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return ids, int16 (unsigned) or int32 [nnz], and starts, int32 [tokens + 1], of a slab that has rows."""
        for parts in (self._ids, self._starts):
            if len(parts) > 1:
                # The parts go as soon as the whole is there: the memory bound counts on it.
                parts[:] = [torch.cat(parts)]
        return self._ids[0], self._starts[0]


class Transposed:
    """A slab, ready to be counted: the visits of each latent in pieces, and the joint firings of the hot latents."""

    def __init__(self, slab: Slab, dense_bytes: int) -> None:
        n, device = slab.n_latents, slab.device
        self._span, self._wide = 2 * n - 1, slab.wide
        self._ids, starts = slab.lists()
        grid = (-(-slab.tokens // kernels.TOKENS),)
        layout = (slab.tokens, slab.wide)
        cursor = torch.zeros(n, dtype=torch.int32, device=device)
        self._at = torch.empty(slab.firings, dtype=torch.int32, device=device)
        self._rest = torch.empty(slab.firings, dtype=torch.int32, device=device)
        lists = (self._ids, starts, cursor, self._at, self._rest)
        kernels.visits[grid](*lists, *layout, PLACE=False, TOKENS=kernels.TOKENS, LANES=kernels.LANES)
        firings = cursor.cpu().numpy().astype(np.int64)
        stop = np.cumsum(firings)
        cursor.copy_(torch.from_numpy((stop - firings).astype(np.int32)))
        kernels.visits[grid](*lists, *layout, PLACE=True, TOKENS=kernels.TOKENS, LANES=kernels.LANES)
        # Now each cursor stands at the end of its latent's visits.
        self._stop = cursor
        self._hot = choose_hot(firings, slab.tokens, _most_hot(dense_bytes))
        self._joint = hot_pairs(slab, self._hot, dense_bytes)
        pieces = -(-firings // VISITS)
        if len(self._hot) == np.count_nonzero(firings):
            pieces[:] = 0
        self._first_piece = np.concatenate([[0], np.cumsum(pieces)])
        latent = np.repeat(np.arange(n), pieces)
        begin = (stop - firings)[latent] + VISITS * (np.arange(len(latent)) - self._first_piece[latent])
        self._piece_latent = torch.from_numpy(latent.astype(np.int32)).to(device)
        self._piece_start = torch.from_numpy(begin.astype(np.int32)).to(device)
        self._is_hot = torch.zeros(n, dtype=torch.int8, device=device)
        self._is_hot[torch.from_numpy(self._hot).to(device)] = 1
        self._hot_ids = torch.from_numpy(self._hot.astype(np.int32)).to(device)

    def count(self, start: int, stop: int, base: int, cells: int) -> torch.Tensor:
        """Return the counters of rows start..stop-1, packed, int32 [cells]; `base` is their packed place."""
        counters = torch.zeros(cells, dtype=torch.int32, device=self._ids.device)
        first, last = int(self._first_piece[start]), int(self._first_piece[stop])
        if last > first:
            kernels.walk[(last - first,)](
                self._ids,
                self._at,
                self._rest,
                self._piece_latent,
                self._piece_start,
                self._stop,
                self._is_hot,
                counters,
                first,
                base,
                self._span,
                WIDE=self._wide,
                HOT=len(self._hot) > 0,
                VISITS=VISITS,
                LISTS=kernels.LISTS,
                LANES=kernels.LANES,
            )
        low, high = (int(rank) for rank in np.searchsorted(self._hot, [start, stop]))
        if high > low:
            width = self._joint.shape[1]
            arguments = (self._joint, self._hot_ids, counters, low, len(self._hot), width, base, self._span)
            kernels.spread[(high - low,)](*arguments, LANES=kernels.TILE)
        return counters


def _most_hot(dense_bytes: int) -> int:
    """Return how many hot latents fit: half of the memory for their int32 joint firings, half for a tile."""
    joint = int(np.sqrt(dense_bytes // 2 // 4))
    tile = dense_bytes // 2 // kernels.STEP
    return min(joint, tile) // kernels.TILE * kernels.TILE


def hot_pairs(slab: Slab, hot: Ints, dense_bytes: int) -> torch.Tensor:
    """Return the joint firings of the hot latents, int32 [H, H], H a multiple of TILE; only the upper half is meant."""
    groups = -(-len(hot) // kernels.TILE)
    width = groups * kernels.TILE
    joint = torch.zeros((width, width), dtype=torch.int32, device=slab.device)
    if not groups:
        return joint
    ids, starts = slab.lists()
    rank = np.full(slab.n_latents, -1, np.int32)
    rank[hot] = np.arange(len(hot))
    hot_rank = torch.from_numpy(rank).to(slab.device)
    i, j = (torch.from_numpy(part.astype(np.int32)).to(slab.device) for part in np.triu_indices(groups))
    most = dense_bytes // 2 // width // kernels.STEP
    stride = min(most, -(-slab.tokens // kernels.STEP)) * kernels.STEP
    tile = torch.empty((width, stride), dtype=torch.int8, device=slab.device)
    for first in range(0, slab.tokens, stride):
        last = min(first + stride, slab.tokens)
        tile.zero_()
        grid = (-(-(last - first) // kernels.TOKENS),)
        places = (first, last, stride)
        sizes = {"TOKENS": kernels.TOKENS, "LANES": kernels.LANES}
        kernels.fill[grid](ids, starts, hot_rank, tile, *places, WIDE=slab.wide, **sizes)
        steps = -(-(last - first) // kernels.STEP)
        kernels.multiply[(len(i),)](
            tile, i, j, joint, width, stride, steps, TILE=kernels.TILE, STEP=kernels.STEP, num_warps=8
        )
    return joint


class CudaPairCounter(PairCounter):
    """Counts joint firings on a CUDA device.

    Memory on the device: `memory` bytes, but room for one row of counters, one token in which all latents fire, and
    BYTES_PER_LATENT a latent at least; torch may keep as much again that it has freed. On the host: one row block.

    Args:
        n_latents: N.
        memory: bound on the device memory, bytes.
        work: directory for the spill file.
        device: "cuda"; "cpu" where Triton interprets the kernels (tests).

    Raises:
        InputError: torch finds no such device.
    """

    def __init__(self, n_latents: int, *, memory: int, work: Path, device: str = "cuda") -> None:
        if device.startswith("cuda") and not torch.cuda.is_available():
            raise InputError("--device cuda: torch finds no CUDA device here; give --device cpu")
        super().__init__(n_latents)
        self._device, self._work = torch.device(device), work
        triangle = 4 * n_latents * (n_latents - 1)
        self._on_device = triangle <= memory // 2
        room = max(memory - BYTES_PER_LATENT * n_latents - (triangle if self._on_device else 0), 0)
        self._slab = Slab(n_latents, self._device)
        # Half of the room is the slab's: seven eighths of that for its firings and tokens, the rest to take rows in.
        per_firing = BYTES_PER_VISIT + (4 if self._slab.wide else 2)
        self._most_firings = max(min(room * 3 // 8 // per_firing, MOST_FIRINGS), n_latents)
        self._most_tokens = max(min(room // 32 // 4, MOST_FIRINGS), 1)
        self._piece = max(room // 16 // BYTES_STAGED, n_latents)
        self._dense_bytes = room // 4
        self._blocks = RowBlocks.cut(n_latents, min(room // 4 // BYTES_PER_CELL, MOST_CELLS))
        self._bases = self._blocks.bases
        self._totals: Totals | None = None
        self._transposed: Transposed | None = None

    def add(self, indptr: Ints, indices: Ints32) -> None:
        """Count R tokens; see `PairCounter.add`."""
        indptr = np.ascontiguousarray(indptr, np.int64)
        indices = np.ascontiguousarray(indices, np.int32)
        lengths = np.diff(indptr)
        if len(indptr) < 1 or indptr[0] != 0 or indptr[-1] != len(indices) or lengths.min(initial=0) < 0:
            raise self._slab.unsound()
        if lengths.max(initial=0) > self.n_latents:
            raise self._slab.unsound()
        slab = self._slab
        fits = len(indices) <= min(self._most_firings - slab.firings, self._piece)
        if not fits or slab.tokens + len(lengths) > self._most_tokens:
            # What is counted cannot be taken back, so rows that come in several pieces are all looked at before.
            for part in self._pieces(indptr, into_empty=True):
                slab.checked(part - part[0], indices[part[0] : part[-1]])
        for part in self._pieces(indptr, into_empty=False):
            self._transposed = None
            slab.append(part - part[0], indices[part[0] : part[-1]])
        self.tokens += len(lengths)

    def _pieces(self, indptr: Ints, *, into_empty: bool) -> Iterator[Ints]:
        """Yield the boundaries of runs of rows that fit into the slab; it is counted where it is full.

        With `into_empty` each run is as if the slab were empty, and nothing is counted.
        """
        row = 0
        while row < len(indptr) - 1:
            firings, tokens = (0, 0) if into_empty else (self._slab.firings, self._slab.tokens)
            room = min(self._most_firings - firings, self._piece)
            fits = int(np.searchsorted(indptr, indptr[row] + room, side="right")) - 1
            stop = min(fits, row + self._most_tokens - tokens)
            if stop <= row:
                self._flush()
                continue
            yield indptr[row : stop + 1]
            row = stop

    def absorb(self, tokens: int, blocks: Iterable[PairBlock]) -> None:
        """Add another counter's blocks; see `PairCounter.absorb`."""
        totals = self._made_totals()
        for pairs in blocks:
            places = self._blocks.places(pairs)
            cuts = np.searchsorted(places, self._bases)
            for block in np.flatnonzero(np.diff(cuts)):
                part = slice(cuts[block], cuts[block + 1])
                totals.add_pairs(int(block), places[part] - self._bases[block], pairs.count[part])
        self.tokens += tokens

    def blocks(self, min_count: int = 1) -> Iterator[PairBlock]:
        """Yield all pairs; see `PairCounter.blocks`."""
        if min_count < 1:
            raise ValueError("min_count is at least 1")
        for block in range(len(self._blocks)):
            counts = self._count(block).long()
            if self._totals is not None:
                counts += self._totals.read(block)
            yield self._pairs(block, counts, min_count)

    def close(self) -> None:
        """Give back the device memory and the spill file; see `PairCounter.close`."""
        if self._totals is not None:
            self._totals.close()
        self._totals = self._transposed = None
        self._slab.clear()

    def _count(self, block: int) -> torch.Tensor:
        """Return a row block's counters from the slab alone, int32."""
        cells = int(self._bases[block + 1] - self._bases[block])
        if not self._slab.firings:
            return torch.zeros(cells, dtype=torch.int32, device=self._device)
        start, stop = (int(bound) for bound in self._blocks.bounds[block : block + 2])
        # Triton launches on the current device, which is another one where `device` is cuda:1.
        with torch.cuda.device(self._device) if self._device.type == "cuda" else nullcontext():
            if self._transposed is None:
                self._transposed = Transposed(self._slab, self._dense_bytes)
            return self._transposed.count(start, stop, int(self._bases[block]), cells)

    def _flush(self) -> None:
        """Add the slab's counts to the totals, and empty it."""
        totals = self._made_totals()
        for block in range(len(self._blocks)):
            totals.add(block, self._count(block))
        self._transposed = None
        self._slab.clear()

    def _made_totals(self) -> Totals:
        if self._totals is None:
            self._totals = (
                DeviceTotals(self._blocks, self._device)
                if self._on_device
                else SpilledTotals(self._blocks, self._device, self._work)
            )
        return self._totals

    def _pairs(self, block: int, counts: torch.Tensor, min_count: int) -> PairBlock:
        start, stop = (int(bound) for bound in self._blocks.bounds[block : block + 2])
        place = torch.nonzero(counts >= min_count).flatten()
        # On the device: where all pairs co-fire there are too many for the host to number in the time.
        begins = torch.from_numpy(self._blocks.rows(block)).to(self._device)
        indptr = torch.searchsorted(place, begins)
        row = torch.repeat_interleave(torch.arange(stop - start, device=self._device), indptr.diff())
        latent = (place - begins[row] + row + (start + 1)).int()
        begin, other, count = (tensor.cpu().numpy() for tensor in (indptr, latent, counts[place]))
        return PairBlock(start, stop, begin, other, count, int(torch.count_nonzero(counts)))
