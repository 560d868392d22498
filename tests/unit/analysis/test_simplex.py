"""The simplex fit finds shared weight where it was planted, and none in compositions, circles and shuffled tokens."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import nnls

from cofire.analysis.subspaces.simplex import simplex_fit
from cofire.errors import InputError
from cofire.worlds import TEST_SEEDS


def fires(random, tokens, n):
    """Flags [tokens, n] with two or three members on each token."""
    rank = random.random((tokens, n)).argsort(axis=1).argsort(axis=1)
    return rank < random.integers(2, 4, tokens)[:, None]


def mixture(random, tokens=400, n=6, noise=0.05):
    """Members that share one unit of weight."""
    share = random.gamma(1.0, size=(tokens, n)) * fires(random, tokens, n)
    share /= share.sum(axis=1, keepdims=True)
    return np.maximum(share * (1 + noise * random.standard_normal((tokens, n))), 0)


def composition(random, tokens=400, n=6, noise=0.05):
    """Members at full strength, whoever else fires."""
    return fires(random, tokens, n) * np.maximum(1 + noise * random.standard_normal((tokens, n)), 0.01)


def variable(random, tokens=400, n=6):
    """Members of any strength, whoever else fires."""
    return fires(random, tokens, n) * random.uniform(0.2, 1.6, (tokens, n))


def circle(random, tokens=400, n=8):
    """A circle read by a tied encoder: each direction within a right angle fires."""
    angle = random.uniform(0, 2 * np.pi, tokens)
    return np.maximum(np.cos(angle[:, None] - 2 * np.pi * np.arange(n) / n), 0)


def polygon(random, tokens=400, n=8):
    """The same circle told by the two neighbours on either side of each token."""
    step = 2 * np.pi / n
    angle = random.uniform(0, 2 * np.pi, tokens)
    lower = (angle // step).astype(int) % n
    inside = angle % step
    b = np.zeros((tokens, n))
    b[np.arange(tokens), lower] = np.sin(step - inside) / np.sin(step)
    b[np.arange(tokens), (lower + 1) % n] = np.sin(inside) / np.sin(step)
    return b


@pytest.mark.parametrize("seed", TEST_SEEDS)
@pytest.mark.parametrize("n", [2, 3, 6, 20])
def test_a_planted_mixture_is_recovered(seed, n):
    random = np.random.default_rng(seed)
    fit = simplex_fit(mixture(random, n=n))
    assert fit.r2 > 0.95
    assert fit.null < fit.r2 - 0.1
    assert fit.p == pytest.approx(0.01)


@pytest.mark.parametrize("seed", TEST_SEEDS)
@pytest.mark.parametrize("noise", [0.03, 0.15, 0.3])
def test_noise_costs_what_it_should(seed, noise):
    """Noise in the direction of the corners' sum alone is not explained: r2 falls, the verdict against chance stays."""
    fit = simplex_fit(mixture(np.random.default_rng(seed), noise=noise))
    assert fit.r2 > 1 - 4 * noise**2 - 0.01
    assert fit.p == pytest.approx(0.01)


@pytest.mark.parametrize("seed", TEST_SEEDS)
@pytest.mark.parametrize("world", [composition, variable])
def test_a_composition_does_not_fit_and_is_as_by_chance(seed, world):
    fit = simplex_fit(world(np.random.default_rng(seed)))
    assert fit.r2 < 0.5
    assert abs(fit.r2 - fit.null) < 0.05


@pytest.mark.parametrize(("n", "expected"), [(4, 0.5), (8, 2 / 3), (60, 0.741)])
def test_pairs_at_full_strength_reach_what_the_module_says(n, expected):
    """Residual 1/2 a token, of a variance of 2 (1 - 2 / n)."""
    random = np.random.default_rng(0)
    b = (random.random((4000, n)).argsort(axis=1).argsort(axis=1) < 2).astype(float)
    assert simplex_fit(b, shuffles=1).r2 == pytest.approx(1 - 0.25 / (1 - 2 / n), abs=0.01)
    assert expected == pytest.approx(1 - 0.25 / (1 - 2 / n), abs=0.001)


@pytest.mark.parametrize("seed", TEST_SEEDS)
def test_a_circle_of_a_tied_encoder_does_not_fit(seed):
    fit = simplex_fit(circle(np.random.default_rng(seed)))
    assert fit.r2 < 0.5
    # Neighbours trade off on a circle too: p tells of a trade-off, r2 of a simplex.
    assert fit.p == pytest.approx(0.01)


def test_a_circle_of_two_neighbours_is_on_the_edges():
    """A limit that the module states: the activations of such a circle are those of a mixture."""
    assert simplex_fit(polygon(np.random.default_rng(TEST_SEEDS[0]))).r2 > 0.95


def test_members_that_rise_together_fit_worse_than_by_chance():
    random = np.random.default_rng(TEST_SEEDS[0])
    b = fires(random, 400, 6) * random.uniform(0.2, 1.0, (400, 1))
    fit = simplex_fit(b)
    assert fit.r2 < fit.null
    assert fit.p == pytest.approx(1.0)


def test_p_is_even_where_there_is_no_trade_off():
    p = [simplex_fit(variable(np.random.default_rng(seed), 60, 4), shuffles=39).p for seed in range(200)]
    # Binomial bounds of 1 in 1,000 and less at 200 worlds.
    assert sum(x <= 0.05 for x in p) <= 22
    assert 0.42 < np.mean(p) < 0.58


def test_activations_that_shuffling_cannot_change_are_no_evidence():
    b = np.array([[0.5, 0.5, 0.0], [0.0, 0.5, 0.5], [0.5, 0.0, 0.5]] * 5)
    fit = simplex_fit(b)
    assert (fit.r2, fit.null, fit.p) == (pytest.approx(1), pytest.approx(1), 1.0)


@given(
    st.integers(1, 5).flatmap(
        lambda n: st.lists(st.lists(st.floats(0, 4), min_size=n, max_size=n), min_size=1, max_size=12)
    )
)
@settings(max_examples=150)
def test_weights_are_the_nearest_of_the_face(rows):
    b = np.where(np.array(rows) < 1e-3, 0, np.array(rows))
    b = b[(b > 0).any(axis=1)]
    weights = simplex_fit(b, shuffles=1).weights
    assert weights.shape == b.shape
    assert (weights >= 0).all()
    assert (weights[b == 0] == 0).all()
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-9)
    heavy = 1e4
    for token, found in zip(b, weights, strict=True):
        on = token > 0
        matrix = np.vstack([np.eye(on.sum()), np.full((1, on.sum()), heavy)])
        best, _ = nnls(matrix, np.append(token[on], heavy))
        np.testing.assert_allclose(found[on], best, atol=1e-5)


def test_the_same_seed_gives_the_same_fit():
    b = variable(np.random.default_rng(3), 50)
    one, other, third = simplex_fit(b), simplex_fit(b), simplex_fit(b, seed=1)
    assert (one.r2, one.null, one.p) == (other.r2, other.null, other.p)
    assert one.r2 == third.r2
    assert one.null != third.null


@pytest.mark.parametrize("b", [np.zeros((0, 3)), [[0.3, 0.9]], [[0.3, 0.9]] * 4, np.zeros((0, 0))])
def test_tokens_that_do_not_differ_have_no_fit(b):
    fit = simplex_fit(b)
    assert (fit.r2, fit.null, fit.p) == (None, None, None)
    assert fit.weights.shape == np.shape(b)


@pytest.mark.parametrize(
    ("b", "told"),
    [
        ([0.5, 0.5], "not a matrix"),
        ([[0.5, np.nan]], "not a matrix of finite"),
        ([[0.5, -0.1]], "numbers >= 0"),
        ([[0.5, 0.5], [0, 0]], "no member fires on token 1"),
    ],
)
def test_wrong_input_is_told(b, told):
    with pytest.raises(InputError, match=told):
        simplex_fit(b)
