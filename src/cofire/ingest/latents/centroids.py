"""Where the model is while a latent is in its main peak: the mean of the stored residuals."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa

from cofire.common.arrays import Floats, Ints, Ints32, Singles
from cofire.common.compiled import compiled
from cofire.common.processes import processors
from cofire.ingest.capture_dir.directory import CaptureDir
from cofire.schema.tables import CENTROIDS


def centroids_table(capture: CaptureDir, main_low: Floats) -> pa.Table:
    """Return the table `centroids` of the latents whose main peak some sampled token shows; see `centroids`."""
    tokens, centroid = centroids(capture, main_low)
    found = np.flatnonzero(tokens)
    width = centroid.shape[1]
    offsets = pa.array(np.arange(len(found) + 1, dtype=np.int32) * width)
    columns = [
        pa.array(found.astype(np.int32)),
        pa.array(tokens[found]),
        pa.ListArray.from_arrays(offsets, pa.array(centroid[found].ravel())),
    ]
    return pa.table(columns, schema=CENTROIDS.arrow_schema())


def centroids(capture: CaptureDir, main_low: Floats) -> tuple[Ints, Singles]:
    """Return the mean residual of each latent's main peak: over the stored tokens where its activation >= main_low.

    The sums are float64 and made token by token in the order of the text, so they do not depend on the cut into shards.
    Memory: 12 N d bytes, and one shard.

    Args:
        capture: a capture with residuals.
        main_low: float64 [N], lower end of the main peak; NaN for none.

    Returns:
        How many tokens each mean is of, int64 [N], and the means, float32 [N, d]: NaN where there is no token.

    Raises:
        CaptureError: the capture has no residuals, or a file is damaged.
    """
    n_latents = len(main_low)
    tokens = np.zeros(n_latents, np.int64)
    sums: Floats | None = None
    threads = processors()
    # Each thread has its own latents, in turn, so that frequent ones are shared out.
    with ThreadPoolExecutor(threads) as pool:
        for shard, found in zip(capture.shards(), capture.residuals(), strict=True):
            if sums is None:
                sums = np.zeros((n_latents, found.half.shape[1]))
            for rows, x in found.chunks():
                parts = [
                    pool.submit(
                        _add, rows, x, shard.indptr, shard.indices, shard.values, main_low, tokens, sums, one, threads
                    )
                    for one in range(threads)
                ]
                for part in parts:
                    part.result()
    if sums is None:
        sums = np.zeros((n_latents, 0))
    sums[tokens == 0] = np.nan
    sums /= np.maximum(tokens, 1)[:, None]
    return tokens, sums.astype(np.float32)


@compiled
def _add(
    rows: Ints32,
    x: Singles,
    indptr: Ints,
    indices: Ints32,
    values: Singles,
    main_low: Floats,
    tokens: Ints,
    sums: Floats,
    first: int,
    step: int,
) -> None:
    """Add the rows x [c, d] to the sums of the latents of `first`, `first` + `step`, ... in their main peak there."""
    for c in range(len(rows)):
        for entry in range(indptr[rows[c]], indptr[rows[c] + 1]):
            latent = indices[entry]
            # Nothing is >= NaN.
            if latent % step == first and values[entry] >= main_low[latent]:
                tokens[latent] += 1
                for j in range(x.shape[1]):
                    sums[latent, j] += x[c, j]
