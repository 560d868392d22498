"""The main mode, on activations whose shape is known; histograms, and modes, against numpy and scipy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import find_peaks

from cofire.common.arrays import Floats
from cofire.ingest.latents.bins import BINS, aligned_bin
from cofire.ingest.latents.histograms import aligned_histograms, fine_histograms
from cofire.ingest.latents.modes import MAX_VALLEY, MIN_MASS, MIN_Z, SMOOTHING, _highest_clear_mode, main_modes
from plain_bins import aligned_bins, fine_bins

TEST_SEEDS = tuple(range(100, 120))


def mode_of(values: np.ndarray, threshold: float = 0.0) -> float:
    low, high = np.full(len(values), threshold), np.full(len(values), values.max())
    histogram = np.bincount(fine_bins(values, low, high), minlength=BINS)[None]
    return float(main_modes(histogram, low[:1], high[:1])[0][0])


@pytest.mark.parametrize("seed", TEST_SEEDS)
def test_one_mode(seed: int) -> None:
    values = np.random.default_rng(seed).normal(5, 0.5, 3000)
    assert mode_of(values) == pytest.approx(5, abs=0.35)


@pytest.mark.parametrize("seed", TEST_SEEDS)
def test_the_highest_of_two_modes_even_when_it_is_the_smaller(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = np.concatenate([rng.normal(2, 0.4, 4000), rng.normal(6, 0.4, 800)])
    assert mode_of(values) == pytest.approx(6, abs=0.35)


@pytest.mark.parametrize("seed", TEST_SEEDS)
def test_no_mode_where_density_falls_from_the_threshold(seed: int) -> None:
    values = np.random.default_rng(seed).exponential(1.0, 3000) + 1
    assert np.isnan(mode_of(values, threshold=1.0))


def test_outliers_are_no_mode() -> None:
    values = np.concatenate([np.random.default_rng(1).normal(3, 0.5, 3000), [9.0, 9.1]])
    assert mode_of(values) == pytest.approx(3, abs=0.4)


def test_too_few_firings_make_no_mode() -> None:
    assert np.isnan(mode_of(np.array([1.0, 2.0, 3.0])))


def test_dead_latents_have_none() -> None:
    modes, begins = main_modes(np.zeros((2, BINS), np.int64), np.zeros(2), np.zeros(2))
    assert np.isnan(modes).all()
    assert begins.tolist() == [0, 0]


def test_aligned_bins_by_hand() -> None:
    assert [aligned_bin(a, 1.0, 3.0) for a in (0.5, 1.0, 2.0, 3.0, 50.0)] == [0, 0, 32, 64, 255]


def test_histograms_are_those_of_numpy() -> None:
    rng = np.random.default_rng(0)
    n, firings = 20, 5000
    at, values = rng.integers(0, n, firings).astype(np.int32), rng.gamma(2, 1, firings).astype(np.float32)
    threshold, high = rng.uniform(0, 0.5, n), np.full(n, -np.inf)
    np.maximum.at(high, at, values.astype(np.float64))
    high[3] = threshold[3]
    mu = threshold + rng.uniform(0.1, 3, n)
    mu[5] = np.nan
    wide, known = values.astype(np.float64), np.isfinite(mu[at])
    fine, aligned = fine_histograms(threshold, high), aligned_histograms(threshold, mu)
    for half in np.split(np.arange(firings), 2):
        fine.add(at[half], values[half])
        aligned.add(at[half], values[half])
    wanted = np.zeros((2, n, BINS), np.int64)
    np.add.at(wanted[0], (at, fine_bins(wide, threshold[at], high[at])), 1)
    at, wide = at[known], wide[known]
    np.add.at(wanted[1], (at, aligned_bins(wide, threshold[at], mu[at])), 1)
    np.testing.assert_array_equal(fine.counts(), wanted[0])
    np.testing.assert_array_equal(aligned.counts(), wanted[1])


def mode_by_scipy(density: Floats, firings: int) -> tuple[int, int]:
    """The same rule with scipy's peaks: a zero on the right makes a mode at the largest activation a peak."""
    window = 2 * SMOOTHING * np.sqrt(np.pi)
    for peak in find_peaks(np.append(density, 0.0))[0][::-1]:
        if peak < 2 * SMOOTHING:
            break
        left = np.flatnonzero(density[:peak] > density[peak])
        right = np.flatnonzero(density[peak:] > density[peak])
        start = int(left[-1]) if len(left) else 0
        valley = start + int(np.argmin(density[start : peak + 1]))
        stop = peak + int(right[0]) if len(right) else BINS
        top, bottom = density[peak] * window, density[valley] * window
        clear = bottom <= MAX_VALLEY * top and top - bottom >= MIN_Z * np.sqrt(top + bottom)
        if density[valley:stop].sum() / firings >= MIN_MASS and clear:
            return int(peak), valley
    return -1, -1


@given(st.integers(0, 10**6), st.integers(1, 60), st.integers(1, 40), st.booleans())
@settings(max_examples=300)
def test_the_mode_is_the_one_of_scipys_peaks(seed: int, steps: int, height: int, falls: bool) -> None:
    """On steps of whole numbers, so that bins are alike, at both ends too."""
    rng = np.random.default_rng(seed)
    density = np.sort(rng.integers(0, height, BINS)) if falls else rng.integers(0, height, BINS)
    density = np.repeat(density[rng.integers(0, BINS, steps)], -(-BINS // steps))[:BINS].astype(np.float64)
    firings = max(int(density.sum()), 1)
    assert _highest_clear_mode(density, firings) == mode_by_scipy(density, firings)
