"""The support of cliques is that of the definition, told where planted, and its p holds under the null."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from cofire.analysis.motifs.support import clique_support
from cofire.errors import InputError
from cofire.worlds import DEV_SEEDS


def lists(fires):
    """The tokens of each latent, of bool [T, N]."""
    latent, token = np.nonzero(fires.T)
    return np.searchsorted(latent, np.arange(fires.shape[1] + 1)).astype(np.int64), token.astype(np.int32)


def test_support_worked_by_hand():
    fires = np.zeros((12, 3), bool)
    fires[[0, 1, 6], 0] = fires[[0, 1, 2, 7], 1] = fires[[0, 2, 3, 6, 7], 2] = True
    document = np.repeat([4, 9], 6).astype(np.int32)
    found = clique_support(*lists(fires), document, [(0, 1, 2), (2, 0), (0, 1)])
    assert found.tokens.tolist() == [1, 2, 2]
    # Of all three: without 2 there are the tokens 0 and 1, and 3 firings of 2 on 6 tokens; without 0 0 and 2, and 7;
    # without 1 0, and 6.
    assert found.expected[0] == pytest.approx(2 * 3 / 6 + (2 * 2 / 6 + 1 * 1 / 6) + (1 * 3 / 6 + 1 * 1 / 6))
    assert found.expected[1] == pytest.approx(2 * (2 * 3 + 1 * 2) / 6)
    assert found.p.tolist() == [1, 1, 1]


@pytest.mark.parametrize("seed", DEV_SEEDS)
def test_it_is_the_definition(seed):
    rng = np.random.default_rng(seed)
    fires = rng.random((500, 8)) < rng.uniform(0.05, 0.7, 8)
    fires[:, 7] = False
    document = np.sort(rng.integers(0, 20, 500)).astype(np.int32)
    cliques = [rng.permutation(c).tolist() for size in (2, 3, 5) for c in combinations(range(8), size)]
    found = clique_support(*lists(fires), document, cliques)
    for number, clique in enumerate(cliques):
        assert found.tokens[number] == fires[:, clique].all(axis=1).sum()
        means = []
        for m in clique:
            rest = fires[:, [other for other in clique if other != m]].all(axis=1)
            of = [document == d for d in np.unique(document)]
            means.append(sum((rest & d).sum() * (fires[:, m] & d).sum() / d.sum() for d in of))
        assert found.expected[number] == pytest.approx(sum(means))
    again = clique_support(*lists(fires), document, cliques[::-1])
    assert again.tokens.tolist() == found.tokens[::-1].tolist()
    assert again.expected.tolist() == found.expected[::-1].tolist()


def test_a_hidden_context_has_support_and_contexts_of_two_have_none():
    rng = np.random.default_rng(DEV_SEEDS[0])
    fires = rng.random((40_000, 300)) < 0.01
    document = (np.arange(40_000) // 250).astype(np.int32)
    context = [tuple(range(start, start + 4)) for start in range(0, 120, 4)]
    for clique in context:
        at = rng.choice(40_000, 200, replace=False)
        fires[np.ix_(at, clique)] |= rng.random((200, 4)) < 0.6
    by_two = [tuple(range(start, start + 3)) for start in range(120, 210, 3)]
    for clique in by_two:
        for pair in combinations(clique, 2):
            fires[np.ix_(rng.choice(40_000, 80, replace=False), pair)] = True
    chance = [tuple(range(start, start + 3)) for start in range(210, 300, 3)]
    for clique in chance:
        # Two that go together, and one that is frequent where they are.
        fires[np.ix_(rng.choice(40_000, 150, replace=False), clique[:2])] = True
        fires[:, clique[2]] = rng.random(40_000) < np.where(rng.random(160) < 0.3, 0.3, 0.02)[document]
    p = clique_support(*lists(fires), document, context + by_two + chance).p
    assert (p[:30] < 1e-6).all()
    assert (p[30:60] > 1e-3).all()
    assert (p[60:] > 1e-3).all()


def test_p_is_no_smaller_than_it_should_be_under_its_null():
    rng = np.random.default_rng(DEV_SEEDS[1])
    document = (np.arange(6000) // 60).astype(np.int32)
    fires = np.zeros((6000, 1200), bool)
    for start in range(0, 1200, 3):
        fires[np.ix_(rng.choice(6000, 300, replace=False), [start, start + 1])] = True
        fires[:, start + 2] = rng.random(6000) < rng.choice([0.0, 0.02, 0.2], 100)[document]
    p = clique_support(*lists(fires), document, [(k, k + 1, k + 2) for k in range(0, 1200, 3)]).p
    for level in (0.01, 0.05, 0.2):
        assert (p <= level).mean() <= level + 3 * np.sqrt(level / 400)
    assert (p <= 0.3).mean() > 0.05  # it is no constant


@pytest.mark.parametrize("clique", [[1], [1, 1], [0, 3], [-1, 0]])
def test_what_is_no_clique_is_refused(clique):
    with pytest.raises(InputError, match="clique"):
        clique_support(np.zeros(4, np.int64), np.zeros(0, np.int32), np.zeros(5, np.int32), [clique])
