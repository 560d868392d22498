"""The two ways of putting activations into bins, and what counts them."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from cofire.common.arrays import Floats, Ints, Ints32, Singles

BINS = 256
U_MAX = 4.0


def fine_bins(values: Floats, low: Floats, high: Floats) -> Ints:
    """Return the bin, int64 in 0..255, of each activation between its latent's `low` and `high` (all float64 [nnz])."""
    width = np.where(high > low, high - low, 1.0)
    return np.clip((values - low) / width * BINS, 0, BINS - 1).astype(np.int64)


def aligned_bins(values: Floats, threshold: Floats, mu: Floats) -> tuple[Ints, Floats]:
    """Return the bin of u, int64 in 0..255 over [0, 4), and u itself, float64, of each activation (float64 [nnz])."""
    u = (values - threshold) / (mu - threshold)
    return np.clip(u * (BINS / U_MAX), 0, BINS - 1).astype(np.int64), u


class Histograms(Protocol):
    """Counters of each latent's firings by bin."""

    def add(self, indices: Ints32, values: Singles) -> None:
        """Count firings: their latents, int32 [nnz], and activations, float32 [nnz]."""

    def counts(self) -> Ints:
        """Return the histograms, int64 [N, BINS]."""
