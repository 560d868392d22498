"""Clusters that were published for Gemma-2-2b and GPT-2 small, as far as their edges are known."""

from __future__ import annotations

import itertools

import igraph
import numpy as np
import pytest

from cofire.analysis.clusters.structure import structure
from structure_graphs import clique

# Cluster 4740, Gemma-2-2b layer 12: the Jaccards of the hub with its spokes; those of the spokes lie in .143-.173, and
# only that range was published: its ends and its middle are given to them.
HUB, SPOKES = 12257, (15441, 12649, 5004)
WITH_HUB = dict(zip(SPOKES, (0.268, 0.259, 0.252), strict=True))
AMONG = dict(zip(itertools.combinations(SPOKES, 2), (0.143, 0.158, 0.173), strict=True))
CUT = 0.2188


def described(pairs, weights=None):
    members = sorted({latent for pair in pairs for latent in pair})
    a, b = np.array(pairs).T
    return members, structure(members, a, b, np.ones(len(pairs)) if weights is None else weights)


def quantifiers():
    return {**{(HUB, spoke): value for spoke, value in WITH_HUB.items()}, **AMONG}


def test_the_quantifiers_cut_as_published_are_a_star():
    kept = {pair: value for pair, value in quantifiers().items() if value >= CUT}
    members, found = described(list(kept), list(kept.values()))
    assert len(kept) == 3
    assert found.label == "hub_and_spoke"
    assert dict(zip(members, found.roles, strict=True)) == {HUB: "hub", **dict.fromkeys(SPOKES, "spoke")}
    assert found.strength_centralization == pytest.approx(0.969, abs=0.001)


def test_the_quantifiers_with_all_six_edges_are_a_clique_that_leans_on_its_hub():
    """4 * .779 - 2 * 1.253 over 3 * 2 * .268; a clique of equal edges has 0, a star of equal edges 1."""
    pairs = quantifiers()
    members, found = described(list(pairs), list(pairs.values()))
    assert found.label == "clique"
    assert found.strength_centralization == pytest.approx((4 * 0.779 - 2 * 1.253) / (6 * 0.268))
    assert found.strength_centralization == pytest.approx(0.379, abs=0.001)
    assert members[int(found.strength.argmax())] == HUB


def test_the_place_in_a_url_is_a_clique_with_a_pendant():
    pairs = [*itertools.combinations((125, 734, 5748, 19054), 2), (5748, 1179)]
    _, found = described(pairs)
    assert (found.label, found.max_clique_share) == ("mixed", 4 / 5)
    assert set(found.roles) == {"member"}


def test_the_apostrophes_are_nearly_a_clique():
    """Cluster 4334: nine of ten edges, so the graph is known but for the names."""
    _, found = described(clique(5)[1:])
    assert (found.label, found.density, found.max_clique_share) == ("mixed", 0.9, 4 / 5)


def test_the_decades_are_neither_star_nor_clique():
    """Cluster 2282: 11 of 15 edges, largest degree 5, mean clustering .838889 and diameter 2 leave few graphs."""
    labels, stars = set(), set()
    for absent in itertools.combinations(clique(6), 4):
        pairs = [pair for pair in clique(6) if pair not in absent]
        graph = igraph.Graph(n=6, edges=pairs)
        clustering = np.mean(graph.transitivity_local_undirected(mode="zero"))
        if max(graph.degree()) == 5 and abs(clustering - 0.838889) < 1e-5 and graph.diameter() == 2:
            _, found = described(pairs)
            labels.add(found.label)
            stars.add(round(found.centralization, 3))
    assert labels == {"mixed"}
    assert stars == {0.4}
