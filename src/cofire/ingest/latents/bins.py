"""The two ways of putting activations, all float64, into bins, and what counts them."""

from __future__ import annotations

from typing import Protocol

from cofire.common.arrays import Ints, Ints32, Singles
from cofire.common.compiled import compiled

BINS = 256
U_MAX = 4.0


@compiled
def fine_bin(value: float, low: float, high: float) -> int:
    """Return the bin, 0..255, of an activation between its latent's `low` and `high`."""
    width = high - low if high > low else 1.0
    return int(min(max((value - low) / width * BINS, 0.0), BINS - 1.0))


@compiled
def aligned_bin(value: float, threshold: float, mu: float) -> int:
    """Return the bin, 0..255, of u = (a - threshold) / (mu - threshold) over [0, 4), the ends open; mu > threshold."""
    return int(min(max((value - threshold) / (mu - threshold) * (BINS / U_MAX), 0.0), BINS - 1.0))


class Histograms(Protocol):
    """Counters of each latent's firings by bin."""

    def add(self, indices: Ints32, values: Singles) -> None:
        """Count firings: their latents, int32 [nnz], and activations, float32 [nnz]."""

    def counts(self) -> Ints:
        """Return the histograms, int64 [N, BINS]."""
