"""The residuals of a whole capture that the noise floor is measured on: those of the lowest hashes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from cofire.common.arrays import Halves, Ints, Ints32, Singles
from cofire.common.csr import pick_rows
from cofire.common.hashing import place_hash
from cofire.errors import CaptureError
from cofire.ingest.capture_dir.residuals import to_single

if TYPE_CHECKING:
    from cofire.ingest.capture_dir.directory import CaptureDir


@dataclass(frozen=True)
class Sample:
    """Sampled tokens of a whole capture, by ascending hash.

    Attributes:
        hash: uint64 [R].
        half: float16 [R, d], the residuals less their exponent.
        exponent: int16 [R].
        indptr: int64 [R+1], row boundaries of the activations.
        indices: int32 [nnz], latents, ascending within a row.
        values: float32 [nnz], activations.
    """

    hash: npt.NDArray[np.uint64]
    half: Halves
    exponent: npt.NDArray[np.int16]
    indptr: Ints
    indices: Ints32
    values: Singles

    def x(self) -> Singles:
        """Return the residuals, float32 [R, d]."""
        return to_single(self.half, self.exponent)

    def lowest(self, limit: int) -> Sample:
        """Return the rows of the `limit` lowest hashes, by hash."""
        order = np.argsort(self.hash)[:limit]
        indptr, entries = pick_rows(self.indptr, order)
        return Sample(
            self.hash[order],
            self.half[order],
            self.exponent[order],
            indptr,
            self.indices[entries],
            self.values[entries],
        )


def residual_sample(capture: CaptureDir, limit: int) -> Sample:
    """Return the `limit` sampled tokens of the lowest hash, or all if there are fewer, with their activations.

    One pass over shards and residuals; memory: one shard and 2 x `limit` rows.

    Raises:
        CaptureError: the capture has no residuals, or a file is damaged.
    """
    kept: list[Sample] = []
    for shard, found in zip(capture.shards(), capture.residuals(), strict=True):
        rows = found.rows.astype(np.int64)
        indptr, entries = pick_rows(shard.indptr, rows)
        here = Sample(
            place_hash(shard.document[rows], shard.position[rows]),
            found.half,
            found.exponent,
            indptr,
            shard.indices[entries],
            shard.values[entries],
        )
        kept.append(here.lowest(limit))
        if sum(len(one.hash) for one in kept) > limit:
            kept = [_join(kept).lowest(limit)]
    if not kept:
        raise CaptureError(f"capture {capture.path} has no shards")
    return _join(kept).lowest(limit)


def _join(parts: list[Sample]) -> Sample:
    lengths = np.concatenate([np.diff(part.indptr) for part in parts])
    return Sample(
        np.concatenate([part.hash for part in parts]),
        np.concatenate([part.half for part in parts]),
        np.concatenate([part.exponent for part in parts]),
        np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        np.concatenate([part.indices for part in parts]),
        np.concatenate([part.values for part in parts]),
    )
