"""The main mode of a latent, from its fine histogram.

1. The histogram is smoothed by a Gaussian of 4 bins, reflected at the threshold so that the cut does not look like a
   valley.
2. mu is the highest mode that is clear: at least 2 smoothing widths above the threshold, with at least 3% of the
   firings, a valley/peak ratio of at most .8 towards its higher neighbour on the left, and a difference of peak
   and valley counts of at least 4 Poisson standard deviations. With no such mode mu is the mean activation.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.signal import find_peaks

from cofire.common.arrays import Floats, Ints
from cofire.ingest.latents.bins import BINS

SMOOTHING = 4.0
MIN_MASS = 0.03
MAX_VALLEY = 0.8
MIN_Z = 4.0


def main_modes(histogram: Ints, low: Floats, high: Floats) -> tuple[Floats, Floats]:
    """Return where the main peak of each latent stands and where it begins, as activations, both float64 [N].

    The main peak is the highest clear mode; it begins at the valley on its left. Where no mode is clear the first is
    NaN, and the whole density counts as the main peak: it begins at `low`.

    Args:
        histogram: int64 [N, 256], the fine histograms.
        low: float64 [N], lower end of each (the threshold).
        high: float64 [N], upper end of each (the largest activation).
    """
    smooth = gaussian_filter1d(histogram.astype(np.float64), SMOOTHING, axis=1, mode="reflect")
    modes, begins = np.full(len(histogram), np.nan), low.astype(np.float64)
    for latent in np.flatnonzero(histogram.sum(axis=1)):
        found = _highest_clear_mode(smooth[latent], int(histogram[latent].sum()))
        if found is not None:
            peak, valley = found
            width = (high[latent] - low[latent]) / BINS
            modes[latent] = low[latent] + (peak + 0.5) * width
            begins[latent] = low[latent] + valley * width
    return modes, begins


def _highest_clear_mode(density: Floats, firings: int) -> tuple[int, int] | None:
    """Return the bins of the highest clear mode, and of the valley on its left, of one smoothed histogram [256]."""
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
            return int(peak), valley
    return None
