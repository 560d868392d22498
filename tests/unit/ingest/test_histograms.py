"""The main mode, on activations whose shape is known."""

from __future__ import annotations

import numpy as np
import pytest

from cofire.ingest.latents.bins import BINS, aligned_bins, fine_bins
from cofire.ingest.latents.modes import main_modes

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
    bins, u = aligned_bins(np.array([1.0, 2.0, 3.0, 50.0]), np.full(4, 1.0), np.full(4, 3.0))
    assert u.tolist() == [0.0, 0.5, 1.0, 24.5]
    assert bins.tolist() == [0, 32, 64, 255]
