"""Counted motifs are as many as the listed ones."""

from __future__ import annotations

from collections import Counter

import igraph
import numpy as np
import pytest

from cofire.analysis.motifs import counts as motif_counts
from cofire.analysis.motifs.counts import count_motifs
from cofire.analysis.motifs.search import CoFiring, motifs
from cofire.worlds import TEST_SEEDS
from structure_graphs import clique, cycle, kite, path, random_graph, split, star


def listed(pairs):
    graph = CoFiring.of([(a, b, 1.0) for a, b in pairs])
    found = Counter()
    for kind, low, high in (("star", 3, None), ("clique", 3, 6), ("path", 3, 4), ("bifan", 4, 4)):
        found.update((kind, len(motif.members)) for motif in motifs(graph, kind, min_size=low, max_size=high))
    return dict(found)


def counted(n, pairs):
    found = count_motifs(n, np.array(pairs, dtype=np.int64).reshape(-1, 2))
    return {key: many for key, many in found.items() if many != 0}


@pytest.mark.parametrize("seed", TEST_SEEDS)
def test_random_graphs_have_as_many_as_are_listed(seed):
    rng = np.random.default_rng([seed, 8])
    for _ in range(25):
        n = int(rng.integers(2, 26))
        pairs = random_graph(n, rng.random() * 0.7, rng)
        assert counted(n, pairs) == listed(pairs)


@pytest.mark.parametrize("shape", [star, clique, path, cycle, kite, lambda n: split(n, 2)])
def test_shapes_have_as_many_as_are_listed(shape):
    for n in (4, 5, 9):
        assert counted(n, shape(n)) == listed(shape(n))


def test_a_dense_graph_agrees_with_igraph():
    """More than 64 neighbours, so that rows of bits have several words."""
    pairs = random_graph(110, 0.75, np.random.default_rng(TEST_SEEDS[0]))
    graph = igraph.Graph(n=110, edges=pairs)
    found = counted(110, pairs)
    # igraph numbers the graphs of three and four nodes: 10 the clique, 6 the path, 8 the cycle of four.
    three, four = graph.motifs_randesu(size=3), graph.motifs_randesu(size=4)
    assert (found["path", 3], found["clique", 3]) == (three[2], three[3])
    assert (found["path", 4], found["bifan", 4], found["clique", 4]) == (four[6], four[8], four[10])


def test_without_edges_there_is_nothing():
    assert counted(0, []) == {}
    assert counted(5, []) == {}
    assert counted(5, [(0, 4)]) == {}


def test_too_many_cliques_are_not_counted(monkeypatch):
    monkeypatch.setattr(motif_counts, "MAX_CLIQUES", 100)
    ends = np.array(clique(11), dtype=np.int64)
    found = count_motifs(11, ends)
    assert [found["clique", size] for size in (3, 4, 5, 6)] == [165, 330, None, None]
    assert (found["path", 4], found["bifan", 4]) == (0, 0)
    assert count_motifs(11, ends[:20], largest_clique=5)["clique", 6] is None
