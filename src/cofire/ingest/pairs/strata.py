"""How often each latent fires in each stratum (a document, or a document x a class of tokens), counted exactly.

1. Rows of the same stratum are summed: s, firings of each latent that fires there, and L, tokens. What is summed is
   a run: strata in ascending order. Runs pass to the disk when memory is full.
2. The runs are read side by side, in chunks of strata; a stratum that several runs hold (a document that goes on in
   the next shard, or on another machine) is summed across them, so whoever reads a chunk has the whole of it.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import numpy as np

from cofire.common.arrays import Array, Ints, Ints32
from cofire.common.compiled import compiled
from cofire.common.files import for_numpy, write_atomically, writing
from cofire.errors import CaptureError, InputError

MAX_TOKENS = 2**33
"""E <= T, and E is summed in units of 2^-30 (`expected`): T 2^30 has to stay below 2^63."""
MAX_STRATUM = 2**31
"""Counts within a stratum are int32."""

# What a firing latent of a stratum takes while its chunk is made and walked: its latent and count (8) as they come,
# side by side, summed, and without the latents that no pair asks for, and its place by latent (12). A stratum takes
# less than four times that.
ENTRY_BYTES = 64
STRATUM_ENTRIES = 4
MAX_RUNS = 32
"""Runs on the disk are made one when there are so many."""
# Sorting one latent of a stratum takes the time of looking at some 32 counters, one after another.
SORT_STEPS = 32
FORMAT = 1


@dataclass(frozen=True)
class Strata:
    """D strata as CSR rows.

    Attributes:
        keys: int64 [D], which stratum; ascending and unique in what a counter gives out.
        tokens: int64 [D], L.
        indptr: int64 [D+1], row boundaries.
        latents: int32 [nnz], ascending within a row.
        counts: int32 [nnz], s >= 1.
    """

    keys: Ints
    tokens: Ints
    indptr: Ints
    latents: Ints32
    counts: Ints32

    def arrays(self) -> tuple[Ints, Ints, Ints, Ints32, Ints32]:
        """Return the arrays in order."""
        return self.keys, self.tokens, self.indptr, self.latents, self.counts

    def rows(self, start: int, stop: int) -> Strata:
        """Return the rows start..stop-1, as views."""
        low, high = int(self.indptr[start]), int(self.indptr[stop])
        indptr = self.indptr[start : stop + 1] - low
        return Strata(
            self.keys[start:stop], self.tokens[start:stop], indptr, self.latents[low:high], self.counts[low:high]
        )


class StratumCounter:
    """Counts the firings of each latent in each stratum, exactly; a context manager that closes itself.

    Strata may come in any order and in parts.

    Memory: `memory` bytes, or one stratum's latents (64 bytes each) where that is more; with no directory to spill to
    (`work` None) all counts stay in memory, 8 bytes for each latent of a stratum and 24 for the stratum.
    """

    def __init__(self, n_latents: int, *, work: Path | None, memory: int) -> None:
        self.n_latents, self.memory = n_latents, memory
        self.tokens = 0
        self._work = work
        self._folder: Path | None = None
        self._runs: list[Strata] = []
        self._runs_made = 0
        self._held: list[Strata] = []
        self._held_bytes = 0

    def add(self, stratum: Ints, indptr: Ints, indices: Ints32) -> None:
        """Add R tokens.

        Args:
            stratum: int64 [R], the stratum of each token.
            indptr: int64 [R+1], from 0.
            indices: int32 [nnz], the latents that fire, unique per row.

        Raises:
            InputError: there are 2^33 tokens and more (2^31 in one stratum, which may show up only when it is read).
            ValueError: arrays that do not fit together, or a latent outside 0..n_latents-1.
        """
        stratum, indptr, indices = (
            np.asarray(stratum, np.int64),
            np.asarray(indptr, np.int64),
            np.asarray(indices, np.int32),
        )
        rows = len(stratum)
        _check(rows, indptr, indices, self.n_latents)
        self._grow(rows)
        step = self._chunk_weight
        weight = indptr + STRATUM_ENTRIES * np.arange(rows + 1)
        start = 0
        while start < rows:
            stop = max(start + 1, int(np.searchsorted(weight, weight[start] + step, side="right")) - 1)
            piece = Strata(stratum, np.ones(rows, np.int64), indptr, indices, indices).rows(start, stop)
            ones = np.ones(len(piece.latents), np.int32)
            self._append(_summed([Strata(piece.keys, piece.tokens, piece.indptr, piece.latents, ones)], self.n_latents))
            start = stop

    def merge(self, other: StratumCounter) -> None:
        """Add what another counter holds; `other` stays as it is.

        Raises:
            ValueError: it counts another number of latents, or is this one.
            InputError: as for `add`.
        """
        if other is self or other.n_latents != self.n_latents:
            raise ValueError("a counter merges with another one of as many latents")
        self._grow(other.tokens)
        for chunk in other.chunks():
            self._append(chunk)

    def chunks(self) -> Iterator[Strata]:
        """Yield all strata once, in ascending order, as many at a time as the memory bound allows."""
        return self._read_together(self._runs + self._held, len(self._runs))

    def _read_together(self, runs: list[Strata], on_disk: int) -> Iterator[Strata]:
        """Yield the strata of some runs, the first `on_disk` of them files."""
        at = [0] * len(runs)
        while any(start < len(run.keys) for start, run in zip(at, runs, strict=True)):
            end = _chunk_end(runs, at, self._chunk_weight)
            parts: list[Strata] = []
            for number, run in enumerate(runs):
                stop = len(run.keys) if end is None else int(np.searchsorted(run.keys, end))
                if stop > at[number]:
                    part = run.rows(at[number], stop)
                    # What is on the disk is read once, here.
                    parts.append(Strata(*map(np.array, part.arrays())) if number < on_disk else part)
                    at[number] = stop
            yield _summed(parts, self.n_latents)

    def save(self, path: Path) -> None:
        """Write everything to one file, atomically; `load` gives an equal counter."""

        def write(part: Path) -> None:
            with part.open("wb") as handle:
                _write(handle, np.array([FORMAT, self.n_latents, self.tokens], np.int64))
                for chunk in self.chunks():
                    for array in chunk.arrays():
                        _write(handle, array)
                _write(handle, np.zeros(0, np.int64))  # no stratum: the end

        write_atomically(path, write)

    @classmethod
    def load(cls, path: Path, *, work: Path | None, memory: int) -> StratumCounter:
        """Read what `save` wrote.

        Raises:
            CaptureError: the file is damaged or of another version.
        """
        try:
            with path.open("rb") as handle:
                version, n_latents, tokens = (int(v) for v in _read(handle))
                if version != FORMAT:
                    raise ValueError(f"format {version}")
                counter = cls(n_latents, work=work, memory=memory)
                counter._grow(tokens)
                while len(keys := _read(handle)):
                    run = Strata(keys, *(_read(handle) for _ in range(4)))
                    _check(len(keys), run.indptr, run.latents, n_latents)
                    counter._append(run)
        except (ValueError, EOFError, OSError) as error:
            raise CaptureError(f"{path} cannot be read ({error}); remove it and count again") from error
        return counter

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Drop the counts and the files they were spilled to."""
        self._runs, self._held, self._held_bytes = [], [], 0
        if self._folder is not None:
            shutil.rmtree(self._folder)
            self._folder = None

    @property
    def _chunk_weight(self) -> int:
        """How many entries a chunk may have: three quarters of the memory; the runs in memory have the fourth."""
        return max(1, 3 * self.memory // 4 // ENTRY_BYTES)

    def _grow(self, tokens: int) -> None:
        if self.tokens + tokens >= MAX_TOKENS:
            raise InputError("2^33 tokens and more cannot be counted in one; count the text in parts")
        self.tokens += tokens

    def _append(self, run: Strata) -> None:
        size = sum(array.nbytes for array in run.arrays())
        if self._work is not None and self._held and self._held_bytes + size > self.memory // 4:
            self._spill()
        self._held.append(run)
        self._held_bytes += size

    def _spill(self) -> None:
        """Put what is in memory on the disk as one run."""
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="strata-", dir=self._work))
        merged = _summed(self._held, self.n_latents)
        self._held, self._held_bytes = [], 0
        self._runs.append(self._on_disk(iter([merged])))
        # Each run keeps five files open.
        if len(self._runs) == MAX_RUNS:
            joined = self._on_disk(self._read_together(self._runs, MAX_RUNS))
            for number in range(self._runs_made - MAX_RUNS - 1, self._runs_made - 1):
                for path in self._folder.glob(f"{number}-*"):
                    path.unlink()
            self._runs = [joined]

    def _on_disk(self, chunks: Iterator[Strata]) -> Strata:
        """Write strata, in ascending order, to the files of a new run, and return them mapped."""
        if self._folder is None:
            raise RuntimeError("there is no directory to spill to")
        paths = [self._folder / f"{self._runs_made}-{array}" for array in range(5)]
        self._runs_made += 1
        end = 0
        with ExitStack() as stack:
            files = [stack.enter_context(writing(path)) for path in paths]
            files[2].write(np.zeros(1, np.int64).data)
            for chunk in chunks:
                arrays: list[Array] = list(chunk.arrays())
                arrays[2] = chunk.indptr[1:] + end
                for file, array in zip(files, arrays, strict=True):
                    file.write(np.ascontiguousarray(array).data)
                end += int(chunk.indptr[-1])
        kinds = (np.int64, np.int64, np.int64, np.int32, np.int32)
        # An empty file cannot be mapped.
        mapped: list[Any] = [
            np.memmap(path, kind, "r") if path.stat().st_size else np.zeros(0, kind)
            for path, kind in zip(paths, kinds, strict=True)
        ]
        return Strata(*mapped)


def token_strata(document: Ints32, token: Ints32, frequent: Ints32) -> Ints:
    """Return the stratum of each token where frequent tokens have strata of their own: document x which one, or other.

    Args:
        document: int32 [R].
        token: int32 [R], token ids.
        frequent: int32 [K], the frequent tokens' ids, unique.

    Returns:
        int64 [R], document (K + 1) + the token's place in `frequent`, K where it is not there.

    Raises:
        ValueError: an id is twice in `frequent`.
    """
    order = np.argsort(frequent, kind="stable")
    ids = frequent[order]
    if (np.diff(ids) == 0).any():
        raise ValueError("a frequent token is named twice")
    place = np.full(len(token), len(frequent), np.int64)
    if len(frequent):
        at = np.minimum(np.searchsorted(ids, token), len(ids) - 1)
        found = ids[at] == token
        place[found] = order[at[found]]
    return document.astype(np.int64) * (len(frequent) + 1) + place


def _check(rows: int, indptr: Ints, latents: Ints32, n_latents: int) -> None:
    """Raise ValueError for rows that compiled code cannot walk safely."""
    if len(indptr) != rows + 1 or indptr[0] != 0 or indptr[-1] != len(latents) or (np.diff(indptr) < 0).any():
        raise ValueError("rows that do not fit together")
    if len(latents) and not 0 <= latents.min() <= latents.max() < n_latents:
        raise ValueError(f"a latent outside 0..{n_latents - 1}")


def _chunk_end(runs: list[Strata], at: list[int], weight: int) -> int | None:
    """Return the stratum before which a chunk from `at` ends, so that it weighs `weight` or is one; None: nowhere."""

    def weighs(end: int) -> int:
        total = 0
        for start, run in zip(at, runs, strict=True):
            stop = int(np.searchsorted(run.keys, end))
            total += int(run.indptr[stop] - run.indptr[start]) + STRATUM_ENTRIES * (stop - start)
        return total

    ahead = [
        (int(run.keys[start]), int(run.keys[-1])) for start, run in zip(at, runs, strict=True) if start < len(run.keys)
    ]
    low, high = min(first for first, _ in ahead) + 1, max(last for _, last in ahead) + 1
    if high > np.iinfo(np.int64).max or weighs(high) <= weight:
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if weighs(middle) <= weight else (low, middle)
    return low


def _summed(parts: list[Strata], n_latents: int) -> Strata:
    """Return the strata of all parts in ascending order, those with the same key as one."""
    if len(parts) == 1 and (np.diff(parts[0].keys) > 0).all():
        return parts[0]
    keys = np.concatenate([part.keys for part in parts])
    tokens = np.concatenate([part.tokens for part in parts])
    latents = np.concatenate([part.latents for part in parts])
    counts = np.concatenate([part.counts for part in parts])
    offsets = np.cumsum([0] + [len(part.latents) for part in parts])
    ends = [part.indptr[1:] + offset for part, offset in zip(parts, offsets[:-1], strict=True)]
    indptr = np.concatenate([np.zeros(1, np.int64), *ends])
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    group = np.flatnonzero(np.concatenate([[True], np.diff(keys) > 0, [True]])).astype(np.int64)
    total = np.add.reduceat(tokens[order], group[:-1])
    if (total >= MAX_STRATUM).any():
        raise InputError("a document of 2^31 tokens and more cannot be counted; give the text document numbers")
    return Strata(keys[group[:-1]], total, *_sum_rows(order, group, indptr, latents, counts, n_latents))


def _write(handle: IO[bytes], array: Array) -> None:
    np.lib.format.write_array(for_numpy(handle), np.ascontiguousarray(array), allow_pickle=False)


def _read(handle: IO[bytes]) -> Array:
    return np.asarray(np.lib.format.read_array(handle, allow_pickle=False))


@compiled
def _sum_rows(
    order: Ints, group: Ints, indptr: Ints, latents: Ints32, counts: Ints32, n_latents: int
) -> tuple[Ints, Ints32, Ints32]:
    """Sum the rows order[group[g]:group[g+1]] to one row for each g, its latents ascending."""
    dense = np.zeros(n_latents, np.int32)
    touched = np.empty(n_latents, np.int32)
    out_indptr = np.zeros(len(group), np.int64)
    out_latents = np.empty(len(latents), np.int32)
    out_counts = np.empty(len(latents), np.int32)
    at = 0
    for g in range(len(group) - 1):
        n = 0
        for r in range(group[g], group[g + 1]):
            row = order[r]
            for e in range(indptr[row], indptr[row + 1]):
                latent = latents[e]
                if dense[latent] == 0:
                    touched[n] = latent
                    n += 1
                dense[latent] += counts[e]
        row_latents = touched[:n]
        if SORT_STEPS * n < n_latents:
            row_latents.sort()
        else:
            n = 0
            for latent in range(n_latents):
                if dense[latent] > 0:
                    row_latents[n] = latent
                    n += 1
        for latent in row_latents:
            out_latents[at] = latent
            out_counts[at] = dense[latent]
            dense[latent] = 0
            at += 1
        out_indptr[g + 1] = at
    return out_indptr, out_latents[:at].copy(), out_counts[:at].copy()
