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

from cofire.common.arrays import Floats, Ints
from cofire.common.compiled import compiled
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
    peaks, valleys = np.empty(len(histogram), np.int64), np.empty(len(histogram), np.int64)
    _find(smooth, histogram.sum(axis=1), peaks, valleys)
    clear = peaks >= 0
    width = (high[clear] - low[clear]) / BINS
    modes[clear] = low[clear] + (peaks[clear] + 0.5) * width
    begins[clear] = low[clear] + valleys[clear] * width
    return modes, begins


@compiled
def _find(smooth: Floats, firings: Ints, peaks: Ints, valleys: Ints) -> None:
    """Fill in the highest clear mode of each latent and the valley on its left; -1 where it has none."""
    for latent in range(len(smooth)):
        peaks[latent], valleys[latent] = _highest_clear_mode(smooth[latent], firings[latent])


@compiled
def _highest_clear_mode(density: Floats, firings: int) -> tuple[int, int]:
    """Return the bins of the highest clear mode, and of the valley on its left, of one smoothed histogram [256].

    Both are -1 where there is none.
    """
    # A Gaussian of s bins averages about 2 s sqrt(pi) of them: the count that one smoothed value stands for.
    window = 2 * SMOOTHING * np.sqrt(np.pi)
    # A mode at the largest activation is one too: beyond it nothing fires. The threshold on the left cuts the density.
    end = after = BINS
    while end > 0:
        # Bins of one value count as one, at its middle.
        start = end - 1
        while start > 0 and density[start - 1] == density[end - 1]:
            start -= 1
        falls = density[end - 1] > (density[after] if after < BINS else 0.0)
        rises = start > 0 and density[start - 1] < density[start]
        peak = (start + end - 1) // 2
        if falls and rises:
            if peak < 2 * SMOOTHING:
                return -1, -1
            left, right = peak, peak
            while left > 0 and density[left] <= density[peak]:
                left -= 1
            while right < BINS and density[right] <= density[peak]:
                right += 1
            valley = left + int(np.argmin(density[left : peak + 1]))
            mass = density[valley:right].sum() / firings
            top, bottom = density[peak] * window, density[valley] * window
            clear = bottom <= MAX_VALLEY * top and top - bottom >= MIN_Z * np.sqrt(top + bottom)
            if mass >= MIN_MASS and clear:
                return peak, valley
        end = after = start
    return -1, -1
