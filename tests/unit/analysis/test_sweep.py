"""The sweep finds planted clusters without being told a resolution, and says where there is no plateau.

The thresholds of the sweep were chosen on DEV_SEEDS; the figures asserted here are of TEST_SEEDS.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pyarrow as pa
import pytest

from cofire.analysis.clusters import clusters as module
from cofire.analysis.clusters.agreement import adjusted_mutual_information
from cofire.analysis.clusters.clusters import LONG, find_clusters
from cofire.analysis.clusters.members import cluster_members
from cofire.analysis.clusters.sweep import RESOLUTIONS, Sweep, WeightedGraph, plateaus, sweep
from cofire.errors import InputError
from cofire.schema.tables import CLUSTERS, MEMBERS
from cofire.worlds import DEV_SEEDS, TEST_SEEDS
from processes import below, left_of

UID = "release/blocks.12"


def table(ends, log_odds, error):
    return pa.table({"a": ends[:, 0], "b": ends[:, 1], "log_odds": log_odds, "log_odds_se": error})


def planted(seed, *, noise=0.5, clusters=24, largest=10, loners=60):
    """Stars, cliques and 60%-cliques of 4 to `largest`, and chance edges of 1 nat and more, `noise` a latent."""
    rng = np.random.default_rng([seed, 77])
    truth, rows = [], {}
    for number in range(clusters):
        members = range(len(truth), len(truth) + int(rng.integers(4, largest + 1)))
        truth += [number] * len(members)
        mean = rng.uniform(2, 4.5)
        for a, b in itertools.combinations(members, 2):
            if number % 3 == 0 and a != members[0]:
                continue
            if number % 3 == 2 and rng.random() > 0.6:
                continue
            rows[a, b] = max(1.0, rng.normal(mean, 0.6))
    n = len(truth) + loners
    for _ in range(int(n * noise / 2)):
        a, b = sorted(int(x) for x in rng.choice(n, 2, replace=False))
        rows.setdefault((a, b), 1 + rng.exponential(0.5))
    ends = np.array(list(rows))
    return np.array(truth), table(ends, np.array(list(rows.values())), rng.uniform(0.1, 0.25, len(rows)))


def two_levels(seed):
    """Eight regions of three cliques of nine; within a region weak edges between the cliques."""
    rng = np.random.default_rng(seed)
    clique = np.arange(216) // 9
    region = clique // 3
    a, b = np.triu_indices(216, 1)
    same = clique[a] == clique[b]
    kept = same | ((region[a] == region[b]) & (rng.random(len(a)) < 0.12)) | (rng.random(len(a)) < 0.004)
    log_odds = np.where(same, rng.uniform(4, 5, len(a)), rng.uniform(1, 1.4, len(a)))
    ends = np.stack([a, b], axis=1)[kept]
    return clique, region, table(ends, log_odds[kept], np.full(len(ends), 0.15))


def random_graph(seed, n=200, degree=10):
    rng = np.random.default_rng(seed)
    a, b = np.triu_indices(n, 1)
    ends = np.stack([a, b], axis=1)[rng.random(len(a)) < degree / n]
    return table(ends, 1 + rng.exponential(0.6, len(ends)), np.full(len(ends), 0.2))


def labels(found, n):
    """Return the level-0 cluster of each latent 0..n-1; those in none are alone."""
    of = {row["latent"]: row["cluster"] for row in found.members.to_pylist()}
    return np.unique([of.get(k, f"alone {k}") for k in range(n)], return_inverse=True)[1]


def rand_index(one, two):
    """Adjusted Rand index (Hubert and Arabie 1985)."""

    def pairs(numbers):
        counts = np.unique(numbers, return_counts=True)[1].astype(float)
        return float((counts * (counts - 1) / 2).sum())

    both, a, b = pairs(one * (int(two.max()) + 1) + two), pairs(one), pairs(two)
    chance = a * b / pairs(np.zeros(len(one)))
    return (both - chance) / ((a + b) / 2 - chance)


@pytest.mark.parametrize("seed", TEST_SEEDS)
@pytest.mark.parametrize("noise", [0, 0.5])
def test_planted_clusters_are_found_without_a_resolution(seed, noise):
    truth, edges = planted(seed, noise=noise)
    found = find_clusters(UID, edges, runs=6)
    assert rand_index(labels(found, len(truth)), truth) >= 0.95
    assert found.clusters.schema == CLUSTERS.arrow_schema()
    assert found.members.schema == MEMBERS.arrow_schema()
    assert (found.figures["plateau_high"] / found.figures["plateau_low"] >= LONG) or found.figures["pooled"]


@pytest.mark.parametrize("seed", TEST_SEEDS)
def test_two_seeds_agree(seed):
    truth, edges = planted(seed, noise=2)
    one, two = (labels(find_clusters(UID, edges, runs=8, seed=k), len(truth) + 60) for k in (0, 1))
    assert adjusted_mutual_information(one, two) >= 0.9


def test_equal_edges_give_equal_tables_whatever_their_order():
    _, edges = planted(DEV_SEEDS[0])
    first = find_clusters(UID, edges, runs=3, seed=5)
    turned = edges.take(np.random.default_rng(0).permutation(len(edges))).rename_columns(
        ["b", "a", "log_odds", "log_odds_se"]
    )
    second = find_clusters(UID, turned.to_pandas(), runs=3, seed=5)
    assert first.clusters.equals(second.clusters)
    assert first.members.equals(second.members)
    assert (first.figures, first.sweep) == (second.figures, second.sweep)


@pytest.mark.parametrize("seed", DEV_SEEDS[:2])
def test_a_coarser_plateau_makes_a_coarser_level(seed):
    clique, region, edges = two_levels(seed)
    found = find_clusters(UID, edges, runs=6)
    assert rand_index(labels(found, 216), clique) == 1
    assert (found.figures["levels"], found.figures["n_plateaus"], found.figures["pooled"]) == (2, 2, 0)
    rows = {row["cluster"]: row for row in found.clusters.to_pylist()}
    latents = cluster_members(found.clusters, found.members)
    coarse = [uid for uid, row in rows.items() if row["level"] == 1]
    assert sorted(tuple(latents[uid]) for uid in coarse) == sorted(tuple(np.flatnonzero(region == k)) for k in range(8))
    for uid, row in rows.items():
        if row["level"] == 0:
            assert set(latents[uid]) < set(latents[row["parent"]])
            assert row["resolution"] > rows[row["parent"]]["resolution"]
        assert 0.9 < row["stability"] <= 1
    levels = [row["level"] for row in found.sweep]
    assert {0, 1} <= set(levels)


@pytest.mark.parametrize("seed", TEST_SEEDS)
def test_a_random_graph_has_no_plateau(seed):
    found = find_clusters(UID, random_graph(seed), runs=5)
    assert (found.figures["n_plateaus"], found.figures["pooled"]) == (0, 1)
    assert found.figures["plateau_ami"] < 0.7


@pytest.mark.parametrize("edges", [list(itertools.combinations(range(6), 2)), [(0, k) for k in range(1, 9)]])
def test_a_graph_of_one_cluster_and_a_pair(edges):
    ends = np.array([*edges, (20, 21)])
    found = find_clusters(UID, table(ends, np.full(len(ends), 3.0), np.full(len(ends), 0.1)), runs=5)
    assert sorted(found.clusters["size"].to_pylist()) == [2, len({x for pair in edges for x in pair})]


def cliques(sizes, rng):
    """Cliques of 2 to 3 nats: {pair: weight}, and how many latents."""
    ends = np.cumsum([0, *sizes])
    pairs = [
        pair for low, high in itertools.pairwise(ends.tolist()) for pair in itertools.combinations(range(low, high), 2)
    ]
    return dict(zip(pairs, rng.uniform(2, 3, len(pairs)).tolist(), strict=True)), int(ends[-1])


def found_sizes(rows, error=0.1):
    found = find_clusters(
        UID, table(np.array(list(rows)), np.array(list(rows.values())), np.full(len(rows), error)), runs=4
    )
    return found.figures, sorted(row["size"] for row in found.clusters.to_pylist() if row["level"] == 0)


@pytest.mark.parametrize("seed", TEST_SEEDS)
@pytest.mark.parametrize("chance", [0, 150])
def test_a_stable_community_of_more_than_half_does_not_hide_the_others(seed, chance):
    rng = np.random.default_rng(seed)
    rows, n = cliques([120, *[5] * 20], rng)
    for _ in range(chance):
        pair = tuple(sorted(int(x) for x in rng.choice(n, 2, replace=False)))
        rows.setdefault(pair, rng.uniform(1, 1.5))
    figures, sizes = found_sizes(rows)
    assert sizes == [5] * 20 + [120]
    assert figures["pooled"] == 0


def test_one_weak_edge_far_away_changes_no_cluster():
    rows, n = cliques([6] * 40, np.random.default_rng(TEST_SEEDS[0]))
    rows |= {(12 * k, 12 * k + 6): 1.5 for k in range(20)}
    figures, sizes = found_sizes(rows)
    assert sizes == [6] * 40
    rows[n, n + 1] = 1e-3
    other, sizes = found_sizes(rows)
    assert [size for size in sizes if size > 2] == [6] * 40
    for name in ("plateau_low", "plateau_high"):
        assert other[name] == pytest.approx(figures[name], rel=0.1)


@pytest.mark.parametrize("pairs", [1, 20])
@pytest.mark.parametrize("error", [0.05, 0.3])
def test_a_small_graph_whose_range_is_short_has_a_plateau_all_the_same(pairs, error):
    figures, sizes = found_sizes({(2 * k, 2 * k + 1): 2.0 for k in range(pairs)}, error)
    assert sizes == [2] * pairs
    assert (figures["n_plateaus"], figures["pooled"]) == (1, 0)
    assert figures["plateau_high"] / figures["plateau_low"] < 4.1


def test_a_graph_whose_partitions_are_all_trivial_gives_its_components():
    # A star of 101: it is the whole graph, and once it holds less than half the others are alone.
    ends = np.stack([np.zeros(100, np.int64), np.arange(1, 101)], axis=1)
    found = find_clusters(UID, table(ends, np.full(100, 3.0), np.full(100, 0.1)), runs=3)
    assert found.clusters["size"].to_pylist() == [101]
    assert found.clusters["stability"].null_count == 1
    assert (found.figures["n_plateaus"], found.figures["bootstrap"], found.sweep) == (0, 0, [])


def test_a_pair_is_its_component():
    found = find_clusters(UID, table(np.array([(3, 4)]), np.array([2.0]), np.array([0.1])), runs=3)
    assert found.clusters["size"].to_pylist() == [2]


def test_modularity_is_swept_too():
    clique, _, edges = two_levels(DEV_SEEDS[2])
    found = find_clusters(UID, edges, objective="modularity", runs=4)
    assert rand_index(labels(found, 216), clique) >= 0.95


def test_no_edges_give_empty_tables():
    found = find_clusters(UID, table(np.zeros((0, 2), np.int64), np.zeros(0), np.zeros(0)))
    assert (found.clusters.num_rows, found.members.num_rows, found.figures) == (0, 0, {"levels": 0})


@pytest.mark.parametrize("value", [None, float("nan"), -0.1])
def test_errors_that_are_no_number_are_refused(value):
    edges = pa.table({"a": [1, 7], "b": [2, 8], "log_odds": [1.0, 2.0], "log_odds_se": [0.1, value]})
    with pytest.raises(InputError, match=r"log_odds_se is null or not finite or negative in 1 rows, .* 7 and 8"):
        find_clusters(UID, edges)
    with pytest.raises(InputError, match="no column log_odds_se"):
        find_clusters(UID, edges.drop_columns(["log_odds_se"]))


def test_progress_goes_up_to_its_total(tmp_path):
    _, edges = planted(DEV_SEEDS[1], clusters=10)
    for _ in range(2):  # the second time from what the first one left
        calls = []
        find_clusters(UID, edges, runs=3, work=tmp_path, progress=lambda *step, calls=calls: calls.append(step))
        assert {total for _, total in calls} == {RESOLUTIONS * 4 + 1}
        assert [done for done, _ in calls] == sorted(done for done, _ in calls)
        assert calls[-1][0] == calls[-1][1]


KILLED = """
import sys
from pathlib import Path
import pyarrow.parquet as pq
import cofire.analysis.clusters.sweep
from cofire.analysis.clusters.clusters import find_clusters
cofire.analysis.clusters.sweep.ALONE_EDGES = int(sys.argv[3])
find_clusters("r/s", pq.read_table(sys.argv[1]), runs=10, work=Path(sys.argv[2]))
"""


@pytest.mark.parametrize("alone_edges", [10**9, 0], ids=["alone", "with helpers"])
def test_a_killed_run_goes_on_where_it_was(tmp_path, alone_edges):
    import pyarrow.parquet as pq

    _, edges = planted(DEV_SEEDS[2], clusters=12)
    whole = find_clusters("r/s", edges, runs=10)
    file, work = tmp_path / "edges.parquet", tmp_path / "work"
    pq.write_table(edges, file)
    child = subprocess.Popen([sys.executable, "-c", KILLED, str(file), str(work), str(alone_edges)])
    started = {}
    try:
        end = time.monotonic() + 120
        while len(list(work.glob("sweep-*.npy"))) < 3 and child.poll() is None and time.monotonic() < end:
            started |= below(child.pid)
            time.sleep(0.005)
    finally:
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
    assert left_of(started, 30) == {}
    kept = {path.name: path.stat().st_mtime_ns for path in work.glob("sweep-*.npy")}
    assert len(kept) >= 3
    (work / "sweep-0-29.npy.123.part").write_bytes(b"half")
    calls = []
    again = find_clusters("r/s", edges, runs=10, work=work, progress=lambda done, total: calls.append(done))
    assert calls[0] == 10 * len(kept)
    assert {name: (work / name).stat().st_mtime_ns for name in kept} == kept
    assert again.clusters.equals(whole.clusters)
    assert again.members.equals(whole.members)
    # Another seed starts anew.
    find_clusters("r/s", edges, runs=10, seed=1, work=work)
    assert not any((work / name).exists() for name in kept)
    assert len(list(work.glob("sweep-*"))) == RESOLUTIONS
    assert len(json.loads((work / "sweep.json").read_text())["resolutions"]) == RESOLUTIONS


def test_a_sweep_tells_of_every_resolution():
    _, edges = planted(DEV_SEEDS[0], clusters=12, loners=10)
    ends = np.stack([edges["a"].to_numpy(), edges["b"].to_numpy()], axis=1)
    used, ends = np.unique(ends, return_inverse=True)
    graph = WeightedGraph(len(used), ends.reshape(-1, 2), edges["log_odds"].to_numpy(), edges["log_odds_se"].to_numpy())
    found = sweep(graph, runs=3, seed=1)
    assert found.partitions.shape == (RESOLUTIONS, 3, graph.n)
    assert found.largest[-1] < found.largest[0] <= 0.6
    assert found.alone[0] < found.alone[-1] <= 0.6
    pairs = [adjusted_mutual_information(found.partitions[4, k], found.partitions[4, k - 1]) for k in range(3)]
    assert found.agreement[4, 4] == pytest.approx(np.mean(pairs))
    assert np.array_equal(found.agreement, found.agreement.T)


def drifting(agreement, *, largest=0.1, alone=0.1):
    agreement = np.asarray(agreement, dtype=float)
    k = len(agreement)
    shares = [np.broadcast_to(np.asarray(share, dtype=float), k) for share in (largest, alone)]
    return Sweep(2.0 ** np.arange(k), np.zeros((k, 1, 1000), np.int32), agreement, np.ones(k), *shares)


def test_a_plateau_agrees_from_end_to_end_and_not_only_from_neighbour_to_neighbour():
    near = np.abs(np.subtract.outer(np.arange(6), np.arange(6)))
    found = plateaus(drifting(np.where(near <= 2, 0.95, 0.8)), shortest=2)
    assert [(p.first, p.last, p.low, p.high) for p in found] == [(0, 2, 1, 4)]
    assert found[0].ami == pytest.approx(0.95)
    assert plateaus(drifting(np.where(near <= 2, 0.95, 0.8)), shortest=8) == []


def test_trivial_partitions_make_no_plateau():
    assert plateaus(drifting(np.ones((5, 5)), largest=0.6), shortest=2) == []
    assert plateaus(drifting(np.ones((5, 5)), alone=0.6), shortest=2) == []
    found = plateaus(drifting(np.ones((5, 5)), largest=[0.9, 0.6, 0.4, 0.4, 0.3]), shortest=2)
    assert [(p.first, p.last) for p in found] == [(2, 4)]
    # A large cluster is no reason when others are found beside it.
    beside = dataclasses.replace(drifting(np.ones((5, 5)), largest=0.6), clusters=np.full(5, 3.0))
    assert [(p.first, p.last) for p in plateaus(beside, shortest=2)] == [(0, 4)]


def test_a_plateau_of_nearly_the_whole_range_may_be_short():
    agreement = np.ones((10, 10))
    agreement[8:, :] = agreement[:, 8:] = 0.5
    assert [(p.first, p.last) for p in plateaus(drifting(agreement), shortest=1e3)] == [(0, 7)]
    agreement[7, :] = agreement[:, 7] = 0.5
    assert plateaus(drifting(agreement), shortest=1e3) == []


def test_coarser_plateaus_lie_below_the_longest():
    agreement = np.full((9, 9), 0.5)
    agreement[4:8, 4:8] = agreement[1:3, 1:3] = 0.97
    found = plateaus(drifting(agreement), shortest=2)
    assert [(p.first, p.last) for p in found] == [(4, 7), (1, 2)]


@pytest.mark.parametrize("joined", [False, True])
def test_a_coarser_plateau_that_joins_nothing_is_not_counted(joined):
    agreement = np.full((9, 9), 0.5)
    agreement[4:8, 4:8] = agreement[1:3, 1:3] = 0.97
    partitions = np.tile(np.arange(40, dtype=np.int32) // 4, (9, 2, 1))
    if joined:
        partitions[:4] //= 2
    ends = np.stack([np.arange(39), np.arange(1, 40)], axis=1)
    graph = WeightedGraph(40, ends, np.ones(39), np.full(39, 0.1))
    levels, figures, _ = module._levels(graph, dataclasses.replace(drifting(agreement), partitions=partitions), 0)
    assert len(levels) == figures["n_plateaus"] == 1 + joined
