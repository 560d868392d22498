"""Counted pairs in blocks of latents, and how they are saved.

A saved counter is a zip of .npy arrays (so each carries a CRC): `header` int64 [version, n_latents, tokens], then for
every block START-STOP of latents, in order and without a gap, `indptr`, `latent` and `count` as in `PairBlock`, each in
the narrowest unsigned type.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cofire.common.arrays import Array, Ints, Ints32
from cofire.common.files import naming
from cofire.errors import CaptureError

FORMAT = 1


@dataclass(frozen=True)
class PairBlock:
    """The pairs (a, b), a < b, of the latents a = start..stop-1, ordered by (a, b).

    Attributes:
        start: first latent a.
        stop: one past the last latent a.
        indptr: int64 [stop-start+1], where each a's pairs begin.
        latent: int32 [nnz], b.
        count: int64 [nnz], tokens on which both fired, >= the min_count that was asked for.
        co_fired: pairs with count >= 1, whether listed or not.
    """

    start: int
    stop: int
    indptr: Ints
    latent: Ints32
    count: Ints
    co_fired: int


class RowReader:
    """Reads rows in order, in ranges of any size, from blocks that are cut otherwise."""

    def __init__(self, blocks: Iterator[PairBlock]) -> None:
        """Start at the first row of `blocks`."""
        self._blocks = blocks
        self._block = next(blocks)

    def take(self, start: int, stop: int) -> tuple[Ints, Ints32, Ints]:
        """Return indptr [stop-start+1], latent and count of rows start..stop-1; the next call goes on at `stop`."""
        lengths, latents, counts = [np.zeros(1, np.int64)], [], []
        while True:
            block = self._block
            first, last = max(start, block.start) - block.start, min(stop, block.stop) - block.start
            low, high = block.indptr[first], block.indptr[last]
            lengths.append(np.diff(block.indptr[first : last + 1]))
            latents.append(block.latent[low:high])
            counts.append(block.count[low:high])
            if stop <= block.stop:
                return np.cumsum(np.concatenate(lengths)), np.concatenate(latents), np.concatenate(counts)
            self._block = next(self._blocks)


def write_pairs(path: Path, n_latents: int, tokens: int, blocks: Iterable[PairBlock]) -> None:
    """Write a saved counter, block by block; not atomically."""
    with naming(path), zipfile.ZipFile(path, "w") as file:
        _write_array(file, "header", np.array([FORMAT, n_latents, tokens], np.int64))
        for block in blocks:
            name = f"{block.start}-{block.stop}"
            _write_array(file, f"{name}/indptr", _narrow(block.indptr))
            _write_array(file, f"{name}/latent", _narrow(block.latent))
            _write_array(file, f"{name}/count", _narrow(block.count))


class SavedPairs:
    """A saved counter, to be read.

    Attributes:
        n_latents: N.
        tokens: tokens counted.

    Raises:
        CaptureError: the file is damaged or no saved counter; also from `blocks`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._open() as file:
            version, self.n_latents, self.tokens = (int(value) for value in self._array(file, "header"))
        if version != FORMAT:
            raise CaptureError(f"{path} is a saved count of another version of cofire; count again")

    def blocks(self) -> Iterator[PairBlock]:
        """Yield the blocks in order."""
        with self._open() as file:
            names = [name.removesuffix("/indptr.npy") for name in file.namelist() if name.endswith("/indptr.npy")]
            at = 0
            for name in names:
                start, stop = (int(word) for word in name.split("-"))
                indptr = self._array(file, f"{name}/indptr").astype(np.int64)
                latent = self._array(file, f"{name}/latent").astype(np.int32)
                count = self._array(file, f"{name}/count").astype(np.int64)
                # What comes from a file ends up as an address in compiled code, so it is looked at here.
                sound = start == at < stop and len(indptr) == stop - start + 1 and indptr[0] == 0
                sound = sound and bool((np.diff(indptr) >= 0).all()) and indptr[-1] == len(latent) == len(count)
                if not sound or (len(latent) and not (start < latent.min() and latent.max() < self.n_latents)):
                    raise self._damaged()
                yield PairBlock(start, stop, indptr, latent, count, len(latent))
                at = stop
            if at != self.n_latents:
                raise self._damaged()

    def _open(self) -> zipfile.ZipFile:
        try:
            return zipfile.ZipFile(self.path)
        except (OSError, zipfile.BadZipFile) as error:
            raise self._damaged() from error

    def _array(self, file: zipfile.ZipFile, name: str) -> Array:
        try:
            with file.open(f"{name}.npy") as handle:
                array: Array = np.lib.format.read_array(handle, allow_pickle=False)
                # The CRC is compared when the end is met.
                handle.read()
        except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise self._damaged() from error
        return array

    def _damaged(self) -> CaptureError:
        return CaptureError(f"{self.path} is damaged or no saved count; delete it and count again")


def _write_array(file: zipfile.ZipFile, name: str, array: Array) -> None:
    # A ZipInfo has a fixed date, so equal counts give equal bytes.
    with file.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as handle:
        np.lib.format.write_array(handle, array, allow_pickle=False)


def _narrow(array: Array) -> Array:
    """Return non-negative integers in the narrowest unsigned type."""
    return array.astype(np.min_scalar_type(int(array.max()) if len(array) else 0))
