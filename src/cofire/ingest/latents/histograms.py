"""Where a latent's activations lie.

The fine histogram has 256 equal bins between the latent's threshold and its largest activation; `modes` finds the main
mode mu in it. The aligned histogram is of u = (a - theta) / (mu - theta), 256 equal bins over [0, 4).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from cofire.common.arrays import Floats, Ints, Ints32, Singles
from cofire.common.compiled import compiled
from cofire.common.extras import needed_by
from cofire.ingest.latents.bins import BINS, Histograms, aligned_bin, fine_bin


def fine_histograms(threshold: Floats, high: Floats, device: str = "cpu") -> Histograms:
    """Return empty histograms by `fine_bin` between float64 [N] `threshold` and `high`, counted on `device`."""
    if device != "cpu":
        with needed_by(f"--device {device}"):
            from cofire.ingest.latents.histograms_cuda import FineHistograms

        return FineHistograms(threshold, high, device)

    return _Counted(_add_fine, threshold, high)


def aligned_histograms(threshold: Floats, mu: Floats, device: str = "cpu") -> Histograms:
    """Return empty histograms by `aligned_bin`, counted on `device`; latents whose mu is NaN are left out."""
    if device != "cpu":
        with needed_by(f"--device {device}"):
            from cofire.ingest.latents.histograms_cuda import AlignedHistograms

        return AlignedHistograms(threshold, mu, device)

    return _Counted(_add_aligned, threshold, mu)


class _Counted:
    """Histograms on the CPU; `add` counts firings in int64 [N, BINS], given two numbers of each latent."""

    def __init__(self, add: Callable[[Ints32, Singles, Floats, Floats, Ints], None], low: Floats, high: Floats) -> None:
        self._add, self._low, self._high = add, low, high
        self._counts = np.zeros((len(low), BINS), np.int64)

    def add(self, indices: Ints32, values: Singles) -> None:
        self._add(indices, values, self._low, self._high, self._counts)

    def counts(self) -> Ints:
        return self._counts


@compiled
def _add_fine(indices: Ints32, values: Singles, threshold: Floats, high: Floats, counts: Ints) -> None:
    for k in range(len(indices)):
        latent = indices[k]
        counts[latent, fine_bin(np.float64(values[k]), threshold[latent], high[latent])] += 1


@compiled
def _add_aligned(indices: Ints32, values: Singles, threshold: Floats, mu: Floats, counts: Ints) -> None:
    for k in range(len(indices)):
        latent = indices[k]
        if np.isfinite(mu[latent]):
            counts[latent, aligned_bin(np.float64(values[k]), threshold[latent], mu[latent])] += 1
