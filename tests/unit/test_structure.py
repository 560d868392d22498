"""The structure label is right on every perfect shape, and never names anything else."""

from __future__ import annotations

import itertools
import math

import igraph
import numpy as np
import pytest

from cofire.analysis import structure as module
from cofire.analysis.structure import Structure, structure
from cofire.errors import InputError

SIZES = range(4, 41)


def describe(n, pairs, weights=None, members=None):
    members = list(range(n)) if members is None else members
    a, b = (np.array([pair[k] for pair in pairs], dtype=np.int64) for k in (0, 1))
    return structure(members, a, b, np.ones(len(pairs)) if weights is None else weights)


def shuffled(n, pairs, seed):
    """The same graph with scattered latent indices, edges in another order and turned round."""
    rng = np.random.default_rng(seed)
    members = rng.choice(16384, n, replace=False)
    order = rng.permutation(len(pairs))
    turned = [pairs[k] if rng.random() < 0.5 else pairs[k][::-1] for k in order]
    named = [(int(members[x]), int(members[y])) for x, y in turned]
    return describe(n, named, weights=rng.uniform(0.1, 6, len(pairs)), members=rng.permutation(members))


def is_perfect(n, pairs):
    """Whether a graph is a star, a clique or a path, told by isomorphism and not by degrees."""
    graph = igraph.Graph(n=n, edges=pairs)
    shapes = (igraph.Graph.Star(n), igraph.Graph.Full(n), igraph.Graph.Ring(n, circular=False))
    return any(graph.isomorphic(shape) for shape in shapes)


def star(n):
    return [(0, i) for i in range(1, n)]


def clique(n):
    return list(itertools.combinations(range(n), 2))


def path(n):
    return [(i, i + 1) for i in range(n - 1)]


@pytest.mark.parametrize(("shape", "label"), [(star, "hub_and_spoke"), (clique, "clique"), (path, "path")])
def test_every_perfect_shape_is_named(shape, label):
    wrong = [n for n in SIZES if describe(n, shape(n)).label != label or shuffled(n, shape(n), n).label != label]
    assert wrong == []


@pytest.mark.parametrize("n", [65, 200])
def test_large_perfect_shapes_are_named(n):
    assert describe(n, star(n)).label == "hub_and_spoke"
    assert describe(n, clique(n)).label == "clique"
    assert describe(n, path(n)).label == "path"


def test_cycles_are_mixed():
    assert {describe(n, [*path(n), (n - 1, 0)]).label for n in SIZES} == {"mixed"}


def test_double_stars_are_mixed():
    labels = set()
    for n in range(5, 41):
        for left in range(1, n - 2):
            pairs = [(0, 1), *((0, i) for i in range(2, 2 + left)), *((1, i) for i in range(2 + left, n))]
            if not is_perfect(n, pairs):
                labels.add(describe(n, pairs).label)
    assert labels == {"mixed"}


def test_paws_and_kites_are_mixed():
    """A clique with one pendant, of any size; the paw is the one on four nodes."""
    assert {describe(n, [*clique(n - 1), (0, n - 1)]).label for n in SIZES} == {"mixed"}


@pytest.mark.parametrize("change", ["missing", "extra"])
def test_one_edge_off_a_perfect_shape_is_mixed(change):
    for n in range(5, 41):
        if change == "missing":
            assert describe(n, star(n)[1:]).label == "mixed"
            assert describe(n, path(n)[1:]).label == "mixed"
            assert describe(n, clique(n)[1:]).label == "mixed"
        else:
            assert describe(n, [*star(n), (1, 2)]).label == "mixed"
            assert describe(n, [*path(n), (0, 2)]).label == "mixed"


def test_degrees_of_a_path_without_its_connectedness_are_mixed():
    """A cycle beside loose nodes or a shorter path has n - 1 edges and no degree above 2."""
    for n in range(5, 41):
        ring = [(i, (i + 1) % (n - 1)) for i in range(n - 1)]
        assert describe(n, ring).label == "mixed"
    assert describe(7, [(0, 1), (1, 2), (2, 0), (3, 4), (4, 5), (5, 6)]).label == "mixed"


@pytest.mark.parametrize("density", [0.05, 0.15, 0.3, 0.5, 0.7, 0.9, 0.97])
def test_random_graphs_are_mixed(density):
    checked = 0
    for n in SIZES:
        for seed in range(4):
            rng = np.random.default_rng([n, seed, int(100 * density)])
            pairs = [pair for pair in clique(n) if rng.random() < density]
            if not is_perfect(n, pairs):
                assert describe(n, pairs).label == "mixed"
                checked += 1
    assert checked > 120


@pytest.mark.parametrize(("n", "pairs"), [(2, [(0, 1)]), (3, path(3)), (3, clique(3))])
def test_fewer_than_four_members_have_no_structure(n, pairs):
    found = describe(n, pairs)
    assert found.label == "too_small"
    assert [found.density, found.centralization, found.transitivity, found.max_clique_share, found.gini] == [None] * 5
    assert found.strength.sum() == 2 * len(pairs)


def check(found: Structure, density, centralization, transitivity, max_clique_share, gini):
    numbers = (found.density, found.centralization, found.transitivity, found.max_clique_share, found.gini)
    assert numbers == pytest.approx((density, centralization, transitivity, max_clique_share, gini))


def test_the_star_of_four_by_hand():
    """Degrees 3 1 1 1: (2 + 2 + 2) / (3 * 2) = 1; strengths 1 1 1 3: (-3 - 1 + 1 + 3 * 3) / (4 * 6) = 1/4."""
    check(describe(4, star(4)), 3 / 6, 1, 0, 2 / 4, 1 / 4)


def test_the_path_of_four_by_hand():
    """Degrees 1 2 2 1: (1 + 1) / 6; two open triples; strengths 1 1 2 2: (-3 - 1 + 2 + 6) / (4 * 6)."""
    check(describe(4, path(4)), 3 / 6, 2 / 6, 0, 2 / 4, 4 / 24)


def test_the_paw_by_hand():
    """Triangle 0 1 2, pendant 3 on 0: degrees 3 2 2 1, (1 + 1 + 2) / 6; 5 triples, 3 closed; strengths 1 2 2 3:
    (-3 - 2 + 2 + 9) / (4 * 8)."""
    check(describe(4, [(0, 1), (1, 2), (0, 2), (0, 3)]), 4 / 6, 4 / 6, 3 / 5, 3 / 4, 6 / 32)


def test_cliques_and_cycles_by_hand():
    for n in SIZES:
        check(describe(n, clique(n)), 1, 0, 1, 1, 0)
    for n in range(5, 41):
        check(describe(n, [*path(n), (n - 1, 0)]), 2 / (n - 1), 0, 0, 2 / n, 0)


def test_strength_and_gini_follow_the_weights():
    """Star with weights 1 2 3: strengths hub 6, spokes 1 2 3; ascending 1 2 3 6: (-3 - 2 + 3 + 18) / (4 * 12)."""
    found = describe(4, [(9, 5), (9, 2), (7, 9)], weights=[1.0, 2.0, 3.0], members=[9, 5, 2, 7])
    assert found.strength.tolist() == [6, 1, 2, 3]
    assert found.gini == pytest.approx(16 / 48)


def test_undefined_numbers_are_none():
    alone = describe(5, [])
    assert (alone.transitivity, alone.gini) == (None, None)
    assert (alone.density, alone.max_clique_share, alone.label) == (0, 1 / 5, "mixed")
    assert describe(4, [(0, 1), (2, 3)]).transitivity is None


def test_the_largest_clique_equals_igraph():
    rng = np.random.default_rng(7)
    for _ in range(150):
        n = int(rng.integers(4, 24))
        density = rng.random()
        pairs = [pair for pair in clique(n) if rng.random() < density]
        expected = igraph.Graph(n=n, edges=pairs).clique_number() / n
        assert describe(n, pairs).max_clique_share == pytest.approx(expected)


@pytest.mark.timeout(60)
def test_the_largest_clique_is_found_where_igraph_takes_hours():
    """Twenty mutually exclusive threes: 3^20 largest cliques of 20."""
    pairs = [(x, y) for x, y in clique(60) if x // 3 != y // 3]
    assert describe(60, pairs).max_clique_share == pytest.approx(20 / 60)


def test_the_search_for_a_clique_gives_up_at_its_bound(monkeypatch):
    rng = np.random.default_rng(1)
    pairs = [pair for pair in clique(40) if rng.random() < 0.5]
    share = describe(40, pairs).max_clique_share
    monkeypatch.setattr(module, "MAX_CLIQUE_WORK", 100)
    given_up = describe(40, pairs)
    assert share is not None
    assert given_up.max_clique_share is None
    assert given_up.density == pytest.approx(len(pairs) / 780)
    assert [describe(40, shape(40)).max_clique_share for shape in (star, clique, path)] == [2 / 40, 1, 2 / 40]


@pytest.mark.parametrize(
    ("members", "pairs", "weights", "said"),
    [
        ([0, 1, 1], [(0, 1)], [1.0], "listed twice"),
        ([0, 1, 2], [(0, 1)], [1.0, 2.0], "one weight per edge"),
        ([0, 1, 2], [(0, 3)], [1.0], "outside the members"),
        ([0, 1, 2], [(1, 1)], [1.0], "loop"),
        ([0, 1, 2], [(0, 1), (1, 0)], [1.0, 1.0], "stands twice"),
        ([0, 1, 2], [(0, 1)], [0.0], "not finite and positive"),
        ([0, 1, 2], [(0, 1)], [math.inf], "not finite and positive"),
    ],
)
def test_damaged_clusters_are_refused(members, pairs, weights, said):
    with pytest.raises(InputError, match=said):
        describe(len(members), pairs, weights=weights, members=members)
