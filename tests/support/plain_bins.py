"""The bins of activations by numpy, all firings at once: what the compiled loops have to agree with to the integer."""

from __future__ import annotations

import numpy as np

from cofire.common.arrays import Floats, Ints
from cofire.ingest.latents.bins import BINS, U_MAX


def fine_bins(values: Floats, low: Floats, high: Floats) -> Ints:
    """Return the bin, int64 in 0..255, of each activation between its latent's `low` and `high` (all float64 [nnz])."""
    width = np.where(high > low, high - low, 1.0)
    return np.clip((values - low) / width * BINS, 0, BINS - 1).astype(np.int64)


def aligned_bins(values: Floats, threshold: Floats, mu: Floats) -> Ints:
    """Return the bin of u, int64 in 0..255 over [0, 4), of each activation (float64 [nnz])."""
    return np.clip((values - threshold) / (mu - threshold) * (BINS / U_MAX), 0, BINS - 1).astype(np.int64)
