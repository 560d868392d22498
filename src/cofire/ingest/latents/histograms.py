"""Where a latent's activations lie.

The fine histogram has 256 equal bins between the latent's threshold and its largest activation; `modes` finds the main
mode mu in it. The aligned histogram is of u = (a - theta) / (mu - theta), 256 equal bins over [0, 4).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from cofire.common.arrays import Floats, Ints, Ints32, Singles
from cofire.common.extras import needed_by
from cofire.ingest.latents.bins import BINS, Histograms, aligned_bins, fine_bins


def fine_histograms(threshold: Floats, high: Floats, device: str = "cpu") -> Histograms:
    """Return empty histograms by `fine_bins` between float64 [N] `threshold` and `high`, counted on `device`."""
    if device != "cpu":
        with needed_by(f"--device {device}"):
            from cofire.ingest.latents.histograms_cuda import FineHistograms

        return FineHistograms(threshold, high, device)

    def place(at: Ints32, values: Floats) -> Ints:
        return at.astype(np.int64) * BINS + fine_bins(values, threshold[at], high[at])

    return _Counted(len(threshold), place)


def aligned_histograms(threshold: Floats, mu: Floats, device: str = "cpu") -> Histograms:
    """Return empty histograms by `aligned_bins`, counted on `device`; latents whose mu is NaN are left out."""
    if device != "cpu":
        with needed_by(f"--device {device}"):
            from cofire.ingest.latents.histograms_cuda import AlignedHistograms

        return AlignedHistograms(threshold, mu, device)

    def place(at: Ints32, values: Floats) -> Ints:
        known = np.isfinite(mu[at])
        at = at[known]
        return at.astype(np.int64) * BINS + aligned_bins(values[known], threshold[at], mu[at])[0]

    return _Counted(len(threshold), place)


class _Counted:
    """Histograms by numpy; `place` returns the counter of each firing that counts."""

    def __init__(self, n_latents: int, place: Callable[[Ints32, Floats], Ints]) -> None:
        self._place = place
        self._counts = np.zeros(n_latents * BINS, np.int64)

    def add(self, indices: Ints32, values: Singles) -> None:
        np.add.at(self._counts, self._place(indices, values.astype(np.float64)), 1)

    def counts(self) -> Ints:
        return self._counts.reshape(-1, BINS)
