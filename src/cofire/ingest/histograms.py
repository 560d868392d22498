"""Where a latent's activations lie: the main mode mu, and the aligned histogram of u = (a - theta) / (mu - theta).

1. A fine histogram: 256 equal bins between the latent's threshold and its largest activation.
2. Smoothed by a Gaussian of 4 bins, reflected at the threshold so that the cut does not look like a valley.
3. mu is the highest mode that is clear: at least 2 smoothing widths above the threshold, with at least 3% of the
   firings, a valley/peak ratio of at most .8 towards its higher neighbour on the left, and a difference of peak
   and valley counts of at least 4 Poisson standard deviations. With no such mode mu is the mean activation.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter1d
from scipy.signal import find_peaks

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

BINS = 256
U_MAX = 4.0
SMOOTHING = 4.0
MIN_MASS = 0.03
MAX_VALLEY = 0.8
MIN_Z = 4.0


def fine_bins(values: Floats, low: Floats, high: Floats) -> Ints:
    """Return the bin, int64 in 0..255, of each activation between its latent's `low` and `high` (all float64 [nnz])."""
    width = np.where(high > low, high - low, 1.0)
    return np.clip((values - low) / width * BINS, 0, BINS - 1).astype(np.int64)


def aligned_bins(values: Floats, threshold: Floats, mu: Floats) -> tuple[Ints, Floats]:
    """Return the bin of u, int64 in 0..255 over [0, 4), and u itself, float64, of each activation (float64 [nnz])."""
    u = (values - threshold) / (mu - threshold)
    return np.clip(u * (BINS / U_MAX), 0, BINS - 1).astype(np.int64), u


def main_modes(histogram: Ints, low: Floats, high: Floats) -> Floats:
    """Return the activation at the highest clear mode of each latent, NaN where none is clear.

    Args:
        histogram: int64 [N, 256], the fine histograms.
        low: float64 [N], lower end of each (the threshold).
        high: float64 [N], upper end of each (the largest activation).
    """
    smooth = gaussian_filter1d(histogram.astype(np.float64), SMOOTHING, axis=1, mode="reflect")
    modes = np.full(len(histogram), np.nan)
    for latent in np.flatnonzero(histogram.sum(axis=1)):
        position = _highest_clear_mode(smooth[latent], int(histogram[latent].sum()))
        if position is not None:
            width = (high[latent] - low[latent]) / BINS
            modes[latent] = low[latent] + (position + 0.5) * width
    return modes


def _highest_clear_mode(density: Floats, firings: int) -> int | None:
    """Return the bin of the highest clear mode of one smoothed histogram [256]."""
    # A zero on the right makes a mode at the largest activation a peak; on the left the threshold cuts the density.
    peaks = find_peaks(np.append(density, 0.0))[0]
    # A Gaussian of s bins averages about 2 s sqrt(pi) of them: the count that one smoothed value stands for.
    window = 2 * SMOOTHING * np.sqrt(np.pi)
    for peak in peaks[::-1]:
        if peak < 2 * SMOOTHING:
            return None
        higher_left = np.flatnonzero(density[:peak] > density[peak])
        start = int(higher_left[-1]) if len(higher_left) else 0
        valley = start + int(np.argmin(density[start : peak + 1]))
        higher_right = np.flatnonzero(density[peak:] > density[peak])
        stop = peak + int(higher_right[0]) if len(higher_right) else BINS
        mass = density[valley:stop].sum() / firings
        top, bottom = density[peak] * window, density[valley] * window
        clear = bottom <= MAX_VALLEY * top and top - bottom >= MIN_Z * np.sqrt(top + bottom)
        if mass >= MIN_MASS and clear:
            return int(peak)
    return None
