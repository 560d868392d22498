"""Where the totals of the counting on a GPU stand: the packed upper triangle of pairs, cut into row blocks.

Row a holds the pairs (a, a+1) ... (a, N-1) and starts at a (2N - a - 1) / 2. The totals are int64, on the device where
the triangle fits there, otherwise records in a spill file.
"""

from __future__ import annotations

import tempfile
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
import torch

from cofire.common.arrays import Ints
from cofire.ingest.pairs.blocks import PairBlock


@dataclass(frozen=True)
class RowBlocks:
    """The packed upper triangle of N latents, cut into row blocks.

    Attributes:
        n_latents: N.
        bounds: int64 [blocks + 1], the first latent of each block, and N.
    """

    n_latents: int
    bounds: Ints

    @classmethod
    def cut(cls, n_latents: int, most_cells: int) -> RowBlocks:
        """Cut into blocks of `most_cells` counters at most, but one row at least."""
        bounds = [0]
        starts = packed_start(np.arange(n_latents + 1), n_latents)
        while bounds[-1] < n_latents:
            stop = int(np.searchsorted(starts, starts[bounds[-1]] + most_cells, side="right")) - 1
            bounds.append(min(max(stop, bounds[-1] + 1), n_latents))
        return cls(n_latents, np.array(bounds, np.int64))

    def __len__(self) -> int:
        return len(self.bounds) - 1

    @property
    def bases(self) -> Ints:
        """The packed place where each block starts, and the number of all pairs, int64 [blocks + 1]."""
        return packed_start(self.bounds, self.n_latents)

    def rows(self, block: int) -> Ints:
        """Return where the rows of a block start within it, and where the last one ends, int64 [rows + 1]."""
        start, stop = self.bounds[block : block + 2]
        places = packed_start(np.arange(start, stop + 1), self.n_latents)
        within: Ints = places - places[0]
        return within

    def places(self, pairs: PairBlock) -> Ints:
        """Return the packed places of pairs, ascending, int64 [nnz]."""
        row = np.repeat(np.arange(pairs.start, pairs.stop), np.diff(pairs.indptr))
        return packed_start(row, self.n_latents) + pairs.latent - row - 1


def packed_start(row: Ints, n_latents: int) -> Ints:
    """Return the packed place where a row starts: a (2N - a - 1) / 2."""
    row = row.astype(np.int64)
    return row * (2 * n_latents - row - 1) // 2


class Totals(ABC):
    """int64 totals of the slabs that were counted."""

    @abstractmethod
    def add(self, block: int, counts: torch.Tensor) -> None:
        """Add a row block's int32 counters."""

    @abstractmethod
    def add_pairs(self, block: int, places: Ints, counts: Ints) -> None:
        """Add counts at places, int64 [n] and relative to the block, each once."""

    @abstractmethod
    def read(self, block: int) -> torch.Tensor:
        """Return a row block's int64 totals, a copy."""

    @abstractmethod
    def close(self) -> None:
        """Give back what is held."""


class DeviceTotals(Totals):
    """All totals, packed, on the device: 4 N (N - 1) bytes."""

    def __init__(self, blocks: RowBlocks, device: torch.device) -> None:
        self._bases = blocks.bases
        self._counts = torch.zeros(int(self._bases[-1]), dtype=torch.int64, device=device)

    def _part(self, block: int) -> torch.Tensor:
        return self._counts[int(self._bases[block]) : int(self._bases[block + 1])]

    def add(self, block: int, counts: torch.Tensor) -> None:
        """Add a row block's int32 counters."""
        self._part(block).add_(counts)

    def add_pairs(self, block: int, places: Ints, counts: Ints) -> None:
        """Add counts at places relative to the block."""
        device = self._counts.device
        self._part(block).index_add_(0, torch.from_numpy(places).to(device), torch.from_numpy(counts).to(device))

    def read(self, block: int) -> torch.Tensor:
        """Return a row block's int64 totals, a copy."""
        return self._part(block).clone()

    def close(self) -> None:
        """Give the device memory back."""
        self._counts = self._counts[:0].clone()


class SpilledTotals(Totals):
    """The totals as records in one file that only grows: uint32 places and int64 counts of the pairs that co-fired."""

    def __init__(self, blocks: RowBlocks, device: torch.device, work: Path) -> None:
        self._sizes = np.diff(blocks.bases)
        self._device = device
        self._records: list[list[tuple[int, int]]] = [[] for _ in range(len(blocks))]
        # It has no name in the directory, so that it is gone when the process ends, however that ends.
        self._file: BinaryIO = tempfile.TemporaryFile(dir=work)  # noqa: SIM115  # lives as long as the counter

    def add(self, block: int, counts: torch.Tensor) -> None:
        """Write a row block's int32 counters, those that are not 0."""
        places = torch.nonzero(counts).flatten()
        self._write(block, places.cpu().numpy(), counts[places].cpu().numpy())

    def add_pairs(self, block: int, places: Ints, counts: Ints) -> None:
        """Write counts at places relative to the block."""
        self._write(block, places, counts)

    def _write(self, block: int, places: Ints, counts: npt.NDArray[np.integer]) -> None:
        if len(places):
            self._records[block].append((self._file.seek(0, 2), len(places)))
            self._file.write(places.astype(np.uint32).tobytes())
            self._file.write(counts.astype(np.int64).tobytes())

    def read(self, block: int) -> torch.Tensor:
        """Return the sum of a row block's records, int64."""
        total = torch.zeros(int(self._sizes[block]), dtype=torch.int64, device=self._device)
        for offset, pairs in self._records[block]:
            self._file.seek(offset)
            places = np.frombuffer(self._file.read(4 * pairs), np.uint32).astype(np.int64)
            counts = np.frombuffer(self._file.read(8 * pairs), np.int64).copy()
            total.index_add_(0, torch.from_numpy(places).to(self._device), torch.from_numpy(counts).to(self._device))
        return total

    def close(self) -> None:
        """Drop the spill file."""
        self._file.close()
