"""Exact co-firing counts, C = A^T A for the 0/1 matrix A [T, N] of firings: the interface.

A counter takes rows (tokens) in any pieces and gives every pair a < b that fired together with its int64 count, in
blocks of latents. Counters merge exactly in any order. How a row is counted is the backend's affair: `cpu`, `cuda`;
`choose` makes one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from cofire.common.arrays import Ints, Ints32
from cofire.common.files import write_atomically
from cofire.ingest.pairs.blocks import PairBlock, write_pairs


class PairCounter(ABC):
    """Counts joint firings of all pairs of N latents; a context manager that closes itself.

    Attributes:
        n_latents: N.
        tokens: rows counted so far, merged ones included. No count can be higher.
    """

    def __init__(self, n_latents: int) -> None:
        if n_latents < 1:
            raise ValueError("a counter needs a latent")
        self.n_latents = n_latents
        self.tokens = 0

    @abstractmethod
    def add(self, indptr: Ints, indices: Ints32) -> None:
        """Count R tokens.

        Args:
            indptr: int64 [R+1], row boundaries.
            indices: int32 [nnz], latents that fire, ascending and unique within a row.

        Raises:
            ValueError: the rows are not so, or name a latent outside 0..N-1. Nothing is counted then.
        """

    @abstractmethod
    def absorb(self, tokens: int, blocks: Iterable[PairBlock]) -> None:
        """Add what another counter found in `tokens` tokens: all of its blocks, in order, min_count 1."""

    @abstractmethod
    def blocks(self, min_count: int = 1) -> Iterator[PairBlock]:
        """Yield all latents in consecutive blocks, with the pairs of count >= min_count >= 1.

        May be called again, and followed by more tokens; but while it is being read nothing may be added.
        """

    @abstractmethod
    def close(self) -> None:
        """Give up the memory and the spill files; the counter is of no use afterwards. May be called twice."""

    def merge(self, other: PairCounter) -> None:
        """Add the counts and tokens of another counter, which stays as it is.

        Raises:
            ValueError: it counts another number of latents, or is this one.
        """
        if other is self or other.n_latents != self.n_latents:
            raise ValueError("a counter merges with another one of as many latents")
        self.absorb(other.tokens, other.blocks())

    def save(self, path: Path) -> None:
        """Write all counts to one file, atomically; counting can go on."""
        write_atomically(path, lambda part: write_pairs(part, self.n_latents, self.tokens, self.blocks()))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
