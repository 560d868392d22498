"""Null clusters: what is planted stands out, what is rewired does not, and a run that was stopped goes on."""

from __future__ import annotations

import igraph
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from cofire.analysis.clusters import cliques
from cofire.analysis.clusters import numbers as kernel
from cofire.analysis.clusters.leiden import leiden
from cofire.analysis.clusters.numbers import cluster_numbers
from cofire.analysis.clusters.structure import NUMBERS, structure
from cofire.analysis.motifs.counts import count_motifs
from cofire.analysis.nulls import nulls as module
from cofire.analysis.nulls.nulls import cluster_nulls
from cofire.analysis.nulls.rewire import rewire, strata_of
from cofire.errors import InputError
from cofire.schema.tables import CLUSTER_NULLS, MOTIF_COUNTS
from cofire.worlds import TEST_SEEDS
from structure_graphs import random_graph

LEVELS = pa.schema(
    [("cluster", pa.string()), ("level", pa.int32()), ("parent", pa.string()), ("resolution", pa.float64())]
)
RESOLUTION = 0.4


def planted(seed, n=500, stars=3, cliques=3):
    """A random graph with stars of twelve and cliques of eight in it; returns the edges, the counts and the plan."""
    rng = np.random.default_rng([seed, 6])
    latents = rng.permutation(n)
    weights = {pair: rng.uniform(0.7, 2) for pair in random_graph(n, 0.016, rng)}
    plan = []
    for number in range(stars + cliques):
        size = 12 if number < stars else 8
        chosen, latents = latents[:size].tolist(), latents[size:]
        plan.append(("star" if number < stars else "clique", set(chosen)))
        among = [tuple(sorted((x, y))) for place, x in enumerate(chosen) for y in chosen[place + 1 :]]
        for pair in among:
            weights.pop(pair, None)
        for pair in among[: size - 1] if number < stars else among:
            weights[pair] = rng.uniform(5, 7) if number < stars else rng.uniform(1.6, 2.4)
    pairs = sorted(weights)
    edges = pd.DataFrame({"a": [x for x, _ in pairs], "b": [y for _, y in pairs]})
    edges["log_odds"] = [weights[pair] for pair in pairs]
    return edges, rng.integers(20, 5000, n), plan


def clustered(edges, resolution=RESOLUTION, level=0):
    """The tables of one level, by one Leiden run."""
    latents, ends = np.unique(edges[["a", "b"]].to_numpy(), return_inverse=True)
    graph = igraph.Graph(n=len(latents), edges=ends.reshape(-1, 2))
    community = leiden(graph, edges["log_odds"].to_numpy(), resolution=resolution, seed=3, iterations=-1)
    sets = [latents[community == number] for number in np.unique(community)]
    rows = [
        {"cluster": f"c{number:04d}", "level": level, "parent": None, "resolution": resolution}
        for number, members in enumerate(sets)
        if len(members) > 1
    ]
    members = [
        {"cluster": f"c{number:04d}", "latent": int(latent)}
        for number, members in enumerate(sets)
        if len(members) > 1
        for latent in members
    ]
    return pa.Table.from_pylist(rows, schema=LEVELS), pa.Table.from_pylist(members)


def test_planted_stars_and_cliques_stand_out():
    edges, counts, plan = planted(TEST_SEEDS[0])
    clusters, members = clustered(edges)
    found = cluster_nulls(edges, counts, clusters, members, rewires=40)
    assert found.clusters.schema == CLUSTER_NULLS.arrow_schema()
    assert found.clusters["cluster"].to_pylist() == clusters["cluster"].to_pylist()
    by_uid = {row["cluster"]: row for row in found.clusters.to_pylist()}
    sets = members.to_pandas().groupby("cluster")["latent"].agg(set)
    for shape, latents in plan:
        uid = max(sets.index, key=lambda uid: len(sets[uid] & latents) / len(sets[uid] | latents))
        assert len(sets[uid] & latents) >= 7
        row = by_uid[uid]
        if shape == "star":
            assert row["centralization_z"] > 3
            assert row["strength_centralization_z"] > 3
            assert row["core_periphery_z"] > 3
            assert row["density_z"] < 0
        else:
            assert row["density_z"] > 3
            assert row["transitivity_z"] > 3
            assert row["max_clique_share_z"] > 3
            assert row["centralization_z"] < 0
        assert row["null_clusters"] >= 50
        assert row["null_resolution"] <= RESOLUTION
    motifs = {(row["kind"], row["size"]): row for row in found.motifs.to_pylist()}
    assert found.motifs.schema == MOTIF_COUNTS.arrow_schema()
    assert all(motifs["clique", size]["z"] is None or motifs["clique", size]["z"] > 3 for size in (3, 4, 5, 6))
    # No rewired graph has a clique of five or six, and they do not differ in that.
    row = motifs["clique", 6]
    assert [row[name] for name in ("count", "null_mean", "null_sd", "z", "rewires")] == [84, 0, 0, None, 40]


def test_rewired_graphs_taken_for_real_ones_have_hardly_a_z_beyond_three():
    """A normal law would have .27% of them there, and a mean of 0 and a standard deviation of 1."""
    values = []
    for seed in TEST_SEEDS:
        edges, counts, _ = planted(seed)
        latents, ends = np.unique(edges[["a", "b"]].to_numpy(), return_inverse=True)
        stratum = strata_of(counts[latents])
        new, weights = rewire(ends.reshape(-1, 2), edges["log_odds"].to_numpy(), stratum, seed=(99, seed))
        one = pd.DataFrame({"a": latents[new[:, 0]], "b": latents[new[:, 1]], "log_odds": weights})
        found = cluster_nulls(one, counts, *clustered(one), rewires=30, seed=seed)
        values += [z for name in NUMBERS for z in found.clusters[f"{name}_z"].to_pylist() if z is not None]
        assert sum(abs(row["z"]) > 3 for row in found.motifs.to_pylist() if row["z"] is not None) <= 1
    assert len(values) > 500
    assert np.mean(np.abs(values) > 3) < 0.01
    assert abs(np.mean(values)) < 0.15
    assert 0.85 < np.std(values) < 1.15


def test_the_compiled_numbers_are_those_of_structure():
    rng = np.random.default_rng(5)
    community = rng.integers(-1, 60, 900)
    weights = {}
    for number in range(60):
        latents, density = np.flatnonzero(community == number), rng.random()
        for x, y in random_graph(len(latents), density, rng):
            weights[latents[x], latents[y]] = rng.uniform(0.1, 5)
    for _ in range(800):
        weights[tuple(sorted(rng.choice(900, 2, replace=False).tolist()))] = 1.0
    ends, weight = np.array(list(weights)), np.array(list(weights.values()))
    numbers, sizes, found = cluster_numbers(community, ends, weight)
    assert numbers.tolist() == [k for k in range(60) if np.sum(community == k) >= 4]
    for number, size, values in zip(numbers, sizes, found, strict=True):
        inside = (community[ends] == number).all(axis=1)
        latents = np.flatnonzero(community == number)
        shape = structure(latents, *ends[inside].T, weight[inside])
        wanted = [getattr(shape, name) for name in NUMBERS]
        assert size == len(latents)
        assert values == pytest.approx([np.nan if value is None else value for value in wanted], nan_ok=True)


def test_a_hard_clique_is_given_up(monkeypatch):
    """Large enough for several words of bits; the compiled search agrees with igraph, or gives up."""
    pairs = np.array(random_graph(100, 0.5, np.random.default_rng(2)))
    largest = igraph.Graph(n=100, edges=pairs).clique_number()
    community = np.zeros(100, dtype=np.int64)
    place = NUMBERS.index("max_clique_share")
    assert cluster_numbers(community, pairs, np.ones(len(pairs)))[2][0, place] == largest / 100
    monkeypatch.setattr(kernel, "CLIQUE_WORK", 500)
    assert np.isnan(cluster_numbers(community, pairs, np.ones(len(pairs)))[2][0, place])


def test_the_search_for_a_clique_needs_little_memory():
    """Its arrays are as deep as a clique may be large, and that is not the degree of a hub."""
    assert cliques._clique_bound(np.array([5999] + [1] * 5999)) == 2
    assert cliques._clique_bound(np.array([4] * 5 + [1])) == 5
    spokes = np.stack([np.zeros(2999, np.int64), np.arange(1, 3000)], axis=1)
    place = NUMBERS.index("max_clique_share")
    for clique in (2, 3, 7):
        among = [(x, y) for y in range(1, clique) for x in range(1, y)]
        ends = np.concatenate([spokes, np.array(among, dtype=np.int64).reshape(-1, 2)])
        found = cluster_numbers(np.zeros(3000, np.int64), ends, np.ones(len(ends)))[2]
        assert found[0, place] == clique / 3000


def test_a_run_that_was_stopped_goes_on(tmp_path, monkeypatch):
    edges, counts, _ = planted(TEST_SEEDS[1], n=200)
    tables = clustered(edges)
    whole = cluster_nulls(edges, counts, *tables, rewires=8)

    def stop(done, total):
        assert total == 8
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cluster_nulls(edges, counts, *tables, rewires=8, work=tmp_path, progress=stop)
    assert len(list(tmp_path.glob("rewire-*.npz"))) == 5
    drawn, draw = [], module._draw
    monkeypatch.setattr(module, "_draw", lambda *arguments: drawn.append(arguments) or draw(*arguments))
    told = []
    again = cluster_nulls(
        edges, counts, *tables, rewires=8, work=tmp_path, progress=lambda done, total: told.append((done, total))
    )
    assert len(drawn) == 3
    assert told == sorted(told)
    assert set(told) == {(done, 8) for done in range(5, 9)}
    assert again.clusters.equals(whole.clusters)
    assert again.motifs.equals(whole.motifs)
    assert again.figures == whole.figures
    # What other input left is not used, nor is the order of the edges part of it.
    cluster_nulls(edges, counts, *tables, rewires=8, work=tmp_path, seed=1)
    assert len(drawn) == 11
    other = cluster_nulls(edges.sample(frac=1, random_state=1), counts, *tables, rewires=8)
    assert other.clusters.equals(whole.clusters)


def test_coarser_clusters_are_compared_with_null_clusters_of_their_own_resolution():
    edges, counts, _ = planted(TEST_SEEDS[2], n=200)
    fine, members = clustered(edges, 0.8)
    pair = fine["cluster"].to_pylist()[:2]
    rows = [{**row, "parent": "joined" if row["cluster"] in pair else None} for row in fine.to_pylist()] + [
        {"cluster": "joined", "level": 1, "parent": None, "resolution": 0.1}
    ]
    clusters = pa.Table.from_pylist(rows, schema=LEVELS)
    found = {
        row["cluster"]: row for row in cluster_nulls(edges, counts, clusters, members, rewires=20).clusters.to_pylist()
    }
    assert set(found) == {row["cluster"] for row in rows}
    assert found["joined"]["null_resolution"] in (0.1, 0.05, 0.025)
    assert {row["null_resolution"] for uid, row in found.items() if uid != "joined"} <= {0.8, 0.1, 0.05, 0.025, None}


def test_pairs_and_threes_have_no_z():
    edges = pd.DataFrame({"a": [0, 0, 1, 5], "b": [1, 2, 2, 6], "log_odds": [2.0, 2.0, 2.0, 1.0]})
    found = cluster_nulls(edges, np.full(7, 9), *clustered(edges), rewires=2)
    assert found.clusters["null_clusters"].to_pylist() == [0, 0]
    assert found.clusters["null_resolution"].to_pylist() == [None, None]
    assert (found.figures["clusters_of_four"], found.figures["clusters_with_z"]) == (0, 0)


def test_without_edges_there_is_nothing_to_compare():
    edges = pd.DataFrame({"a": [1], "b": [2], "log_odds": [-1.0]})
    nothing = pa.Table.from_pylist([], schema=LEVELS)
    members = pa.Table.from_pylist([], schema=pa.schema([("cluster", pa.string()), ("latent", pa.int32())]))
    found = cluster_nulls(edges, np.full(4, 9), nothing, members, rewires=2)
    assert found.clusters.num_rows == 0
    assert {row["count"] for row in found.motifs.to_pylist()} == {0}


def test_the_motif_counts_are_those_of_the_graph():
    edges, counts, _ = planted(TEST_SEEDS[1], n=200)
    found = cluster_nulls(edges, counts, *clustered(edges), rewires=3).motifs.to_pylist()
    exact = count_motifs(200, edges[["a", "b"]].to_numpy())
    assert {(row["kind"], row["size"]): row["count"] for row in found if row["count"]} == {
        key: many for key, many in exact.items() if many
    }


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"rewires": 1}, "needs 2 and more"),
        ({"firing_count": np.ones(3, dtype=np.int64)}, "firing counts of 3 latents only"),
        ({"members": [{"cluster": "c0000", "latent": 199_999}]}, "has no edge"),
    ],
)
def test_wrong_input_is_refused(change, said):
    edges, counts, _ = planted(TEST_SEEDS[1], n=200)
    clusters, members = clustered(edges)
    rows = change.get("members")
    arguments = (change.get("firing_count", counts), clusters, members if rows is None else pa.Table.from_pylist(rows))
    with pytest.raises(InputError, match=said):
        cluster_nulls(edges, *arguments, rewires=change.get("rewires", 2))
