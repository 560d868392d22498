"""Rows of a compressed sparse matrix."""

from __future__ import annotations

import numpy as np

from cofire.common.arrays import Ints


def pick_rows(indptr: Ints, rows: Ints) -> tuple[Ints, Ints]:
    """Return the row pointer of the rows `rows` alone, and where their entries stand in the whole; both int64.

    Args:
        indptr: int64 [R+1].
        rows: int64 [r], row numbers in any order.
    """
    lengths = np.diff(indptr)[rows]
    of_rows = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return of_rows, np.repeat(indptr[rows] - of_rows[:-1], lengths) + np.arange(of_rows[-1])
