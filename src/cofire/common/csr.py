"""Rows of a compressed sparse matrix."""

from __future__ import annotations

import numpy as np

from cofire.common.arrays import Bools, Ints, Ints32


def pick_rows(indptr: Ints, rows: Ints) -> tuple[Ints, Ints]:
    """Return the row pointer of the rows `rows` alone, and where their entries stand in the whole; both int64.

    Args:
        indptr: int64 [R+1].
        rows: int64 [r], row numbers in any order.
    """
    lengths = np.diff(indptr)[rows]
    of_rows = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return of_rows, np.repeat(indptr[rows] - of_rows[:-1], lengths) + np.arange(of_rows[-1])


def pick_entries(indptr: Ints, indices: Ints32, keep: Bools) -> tuple[Ints, Ints32]:
    """Return the same rows with the entries `keep`, bool [nnz], alone: row pointer int64 [R+1], indices int32."""
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(keep)])[indptr], indices[keep]
