"""The oracle of direct edges, on cases worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from cofire.common.arrays import Array, Bools
from direct_oracle import direct_edges, mantel_haenszel, matrix_of


def tokens(rows: dict[tuple[int, ...], int], n: int) -> Bools:
    """So many tokens on which these latents fire, of n."""
    return np.concatenate([np.tile(np.isin(np.arange(n), on), (times, 1)) for on, times in rows.items()])


def ints(*values: int) -> Array:
    return np.array(values, np.int64)


def edges(*pairs: tuple[int, int]) -> tuple[Array, Array]:
    return ints(*(a for a, _ in pairs)), ints(*(b for _, b in pairs))


def marginal(fires: Bools, a: Array, b: Array) -> Array:
    """The log odds ratios over all tokens, half a firing in each cell."""
    found = []
    for i, j in zip(a, b, strict=True):
        x, y = fires[:, i], fires[:, j]
        found.append(np.log(((x & y).sum() + 0.5) * ((~x & ~y).sum() + 0.5)))
        found[-1] -= np.log(((x & ~y).sum() + 0.5) * ((~x & y).sum() + 0.5))
    return np.array(found)


def test_the_pooled_log_odds_and_its_error_by_hand() -> None:
    # h (latent 2) on: 2 of each cell, of 8; off: 0, 1, 1, 16, of 18; and one of each cell, of 4.
    fires = tokens({(0, 1, 2): 2, (0, 2): 2, (1, 2): 2, (2,): 2, (0,): 1, (1,): 1, (): 16}, 3)
    value, error = mantel_haenszel(*fires.T)
    r, s = (1 / 2, 0.0, 1 / 4), (1 / 2, 1 / 18, 1 / 4)
    of_r, of_s = 3 / 4, 3 / 4 + 1 / 18
    assert value == pytest.approx(np.log(of_r / of_s))
    p, q = (1 / 2, 16 / 18, 1 / 2), (1 / 2, 2 / 18, 1 / 2)
    variance = (
        np.dot(p, r) / (2 * of_r**2) + (np.dot(p, s) + np.dot(q, r)) / (2 * of_r * of_s) + np.dot(q, s) / (2 * of_s**2)
    )
    assert error == pytest.approx(np.sqrt(variance))
    # Of two latents it does not matter which comes first.
    assert mantel_haenszel(fires[:, 1], fires[:, 0], fires[:, 2]) == (value, error)


def test_a_middle_explains_its_two_neighbours() -> None:
    # 0 and 2 follow 1 on half of its 80 tokens each, independently: 20 of each cell.
    fires = tokens({(0, 1, 2): 20, (0, 1): 20, (1, 2): 20, (1,): 20, (0,): 10, (2,): 10, (): 900}, 3)
    a, b = edges((0, 1), (0, 2), (1, 2))
    log_odds = marginal(fires, a, b)
    found = direct_edges(fires, a, b, log_odds, np.full(3, 0.1))
    assert found.direct.tolist() == [True, False, True]
    assert found.explained_by.tolist() == [-1, 1, -1]
    # On 1: 20^2 / 80 either way. Off: 0, and 10^2 of 920. And 1 / 4 either way.
    by_hand = np.log((5 + 1 / 4) / (5 + 10**2 / 920 + 1 / 4))
    assert found.log_odds[1] == pytest.approx(by_hand)
    assert found.error[1] != 0.1
    assert (found.log_odds <= log_odds).all()
    assert found.twins.shape == (0, 2)
    # Without an edge from the middle to one end it cannot speak.
    found = direct_edges(fires, *edges((0, 1), (0, 2)), log_odds[:2], np.full(2, 0.1))
    assert found.direct.all()
    np.testing.assert_array_equal(found.log_odds, log_odds[:2])
    np.testing.assert_array_equal(found.error, 0.1)


def test_what_has_fallen_explains_nothing_more() -> None:
    # Three latents on the same 100 tokens but for two of each: any explains the other two.
    fires = tokens({(0, 1, 2): 30, (0, 1): 20, (0, 2): 20, (1, 2): 20, (0,): 50, (1,): 50, (2,): 50, (): 800}, 3)
    a, b = edges((0, 1), (0, 2), (1, 2))
    everything = direct_edges(fires, a, b, np.array([2.0, 2.0, 2.0]), np.ones(3), bound=9.0)
    # Equal log odds: the lowest pair goes first, and with it the witnesses of the other two.
    assert everything.direct.tolist() == [False, True, True]
    other = direct_edges(fires, a, b, np.array([2.0, 2.0, 1.5]), np.ones(3), bound=9.0)
    assert other.direct.tolist() == [True, True, False]
    assert other.explained_by.tolist() == [-1, -1, 0]
    # What has fallen still counts in the value.
    np.testing.assert_array_equal(np.minimum(everything.log_odds, [2.0, 2.0, 1.5]), other.log_odds)


def test_the_witness_is_the_one_that_explains_most_of_those_that_stand() -> None:
    # 0 and 1 follow 2 exactly; 3 is on three quarters of 2's tokens.
    rows = {(0, 1, 2, 3): 15, (0, 2, 3): 15, (1, 2, 3): 15, (2, 3): 15, (0, 1, 2): 5, (0, 2): 5, (1, 2): 5, (2,): 5}
    fires = tokens({**rows, (0,): 20, (1,): 20, (3,): 40, (): 900}, 4)
    a, b = edges((0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3))
    values = [mantel_haenszel(*fires[:, [0, 1, h]].T)[0] for h in (2, 3)]
    assert values[0] < values[1]
    found = direct_edges(fires, a, b, np.array([2.0, 4.0, 3.0, 4.0, 3.0, 5.0]), np.ones(6), bound=values[1] + 1e-9)
    assert found.explained_by[0] == 2
    assert found.log_odds[0] == min(2.0, values[0])
    # With a bound below both it stays, and the value is the same.
    assert direct_edges(fires, a, b, np.full(6, 2.0), np.ones(6), bound=values[0]).direct[0]
    # Where 0-2 goes first (3 explains it), 3 alone may still speak of 0-1; the value is that of all.
    weakest = np.array([2.0, 1.9, 3.0, 4.0, 3.0, 5.0])
    found = direct_edges(fires, a, b, weakest, np.ones(6), bound=9.0)
    assert found.explained_by[:2].tolist() == [3, 1]
    assert found.log_odds[0] == min(2.0, values[0])


def test_twins_explain_nothing_of_each_other() -> None:
    # 0 and 1 are one feature twice (80 of 100 of each); 2 is on half of their tokens.
    fires = tokens({(0, 1, 2): 40, (0, 1): 40, (0, 2): 10, (1, 2): 10, (0,): 10, (1,): 10, (): 900}, 3)
    a, b = edges((0, 1), (0, 2), (1, 2))
    log_odds = marginal(fires, a, b)
    found = direct_edges(fires, a, b, log_odds, np.ones(3), bound=9.0)
    assert found.twins.tolist() == [[0, 1]]
    # 0-1 has the witness 2, which is no twin of either; 0-2 has 1 alone, the twin of 0.
    np.testing.assert_array_equal(found.log_odds[1:], log_odds[1:])
    assert found.direct[1:].all()
    # One firing fewer together, and they are no twins.
    fires[np.flatnonzero(fires.all(axis=1))[0], 1] = False
    assert len(direct_edges(fires, a, b, log_odds, np.ones(3), bound=9.0).twins) == 0


def test_pairs_that_meet_on_tokens_of_their_own_stay() -> None:
    # Each pair of three has 400 tokens of its own, each latent 1,000 alone.
    fires = tokens({(0, 1): 400, (0, 2): 400, (1, 2): 400, (0,): 1000, (1,): 1000, (2,): 1000, (): 60_000}, 3)
    a, b = edges((0, 1), (0, 2), (1, 2))
    found = direct_edges(fires, a, b, marginal(fires, a, b), np.ones(3))
    # By symmetry the same for all. On h: 0 and 1,000 against 400 and 400, of 1,800; off: 400 and 60,000 against 1,000
    # and 1,000, of 62,400.
    r = 400 * 60_000 / 62_400 + 1 / 4
    s = 400**2 / 1800 + 1000**2 / 62_400 + 1 / 4
    np.testing.assert_allclose(found.log_odds, np.log(r / s))
    assert np.log(r / s) > 1.2
    assert found.direct.all()


def test_the_matrix_of_some_latents() -> None:
    found = matrix_of(ints(0, 2, 2, 5), np.array([1, 4, 0, 1, 3], np.int32), ints(1, 3, 4))
    assert found.tolist() == [[True, False, True], [False, False, False], [True, True, False]]
