"""Planted clusters: the generator does what it says, and the plan comes out of a count."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from cofire.ingest.count import count
from cofire.worlds import DEV_SEEDS, FAMILIES, TEST_SEEDS, ClusterPlan, cluster_world, family_counts, write_capture
from cofire.worlds.clusters import SIZES, plan_clusters
from cofire.worlds.nulls import reordered, shuffled

SEED = DEV_SEEDS[0]


def dense(plan: ClusterPlan, members: tuple[int, ...]) -> np.ndarray:
    """Amounts of these features on the tokens where two or more of them are active, [tokens, members]."""
    row = np.repeat(np.arange(len(plan.document)), np.diff(plan.indptr))
    inside = np.isin(plan.indices, members)
    found = np.zeros((len(plan.document), len(members)))
    found[row[inside], np.searchsorted(members, plan.indices[inside])] = plan.amount[inside]
    return found[(found > 0).sum(axis=1) >= 2]


@pytest.fixture(scope="module")
def plan() -> ClusterPlan:
    return plan_clusters(SEED, bridges=0)


def test_sums_tell_compositions_from_ambiguities(plan: ClusterPlan) -> None:
    for cluster in plan.clusters:
        amount = dense(plan, cluster.members)
        total = np.median(amount.sum(axis=1))
        if cluster.function == "ambiguity":
            assert 0.85 < total < 1.15, cluster
            # The others: two members alone on the same token by chance.
            assert (amount.sum(axis=1) < 1.6).mean() > 0.85
        elif cluster.function in ("composition", "hierarchy"):
            # Two and more members near full strength: .85 and up to 1.1 of it.
            assert total > 1.6, cluster
            assert np.median(amount[amount > 0]) == pytest.approx(1.0, abs=0.17)


def test_shares_of_a_mixture_trade_off(plan: ClusterPlan) -> None:
    for cluster in plan.clusters:
        if cluster.family == "ambiguity_star":
            amount = dense(plan, cluster.members)
            events = amount[amount.sum(axis=1) < 1.6]
            assert np.corrcoef(events[:, 0], events[:, 1:].sum(axis=1))[0, 1] < -0.7


def test_shapes_are_those_of_the_family(plan: ClusterPlan) -> None:
    for cluster in plan.clusters:
        size = cluster.size
        assert SIZES[0] <= size == len(cluster.members) <= SIZES[1]
        inside = plan.planted[np.isin(plan.planted[:, 0], cluster.members)] - cluster.members[0]
        every = size * (size - 1) // 2
        if cluster.structure == "hub_and_spoke":
            assert cluster.hub == cluster.members[0]
            np.testing.assert_array_equal(inside, [[0, spoke] for spoke in range(1, size)])
        elif cluster.structure == "path":
            np.testing.assert_array_equal(inside, [[k, k + 1] for k in range(size - 1)])
        elif cluster.structure == "clique":
            assert every - every // 10 <= len(inside) <= every
        else:
            assert len(inside) == 0


def test_only_planted_pairs_are_joined_by_events(plan: ClusterPlan) -> None:
    for cluster in plan.clusters:
        if cluster.function == "none":
            continue
        amount = dense(plan, cluster.members) > 0
        together = amount.T.astype(int) @ amount
        planted = np.zeros_like(together, dtype=bool)
        inside = plan.planted[np.isin(plan.planted[:, 0], cluster.members)] - cluster.members[0]
        planted[inside[:, 0], inside[:, 1]] = planted[inside[:, 1], inside[:, 0]] = True
        np.fill_diagonal(together, 0)
        assert together[planted].min() >= 20
        # Two members that are alone on the same token, or a lone one on another's event, by chance. A child never
        # is alone, but two children may have their events on one token.
        assert together[~planted].max() <= 10


def test_a_child_is_active_only_with_its_parent(plan: ClusterPlan) -> None:
    for cluster in plan.clusters:
        if cluster.function == "hierarchy":
            assert cluster.hub is not None
            row = np.repeat(np.arange(len(plan.document)), np.diff(plan.indptr))
            parent = set(row[plan.indices == cluster.hub].tolist())
            for child in cluster.members[1:]:
                own = row[plan.indices == child]
                assert set(own.tolist()) <= parent
                assert len(own) < 0.7 * len(parent)


def test_prevalences_lie_where_they_should(plan: ClusterPlan) -> None:
    prevalence = np.bincount(plan.indices, minlength=plan.n_features) / len(plan.document)
    assert prevalence.min() >= 0.8e-3
    assert prevalence.max() <= 3e-2


def test_members_fire_alone_often_enough_to_know_their_full_strength(plan: ClusterPlan) -> None:
    row = np.repeat(np.arange(len(plan.document)), np.diff(plan.indptr))
    for cluster in plan.clusters:
        if cluster.function not in ("composition", "ambiguity"):
            continue
        inside = np.isin(plan.indices, cluster.members)
        number = np.bincount(row[inside], minlength=len(plan.document))
        alone = inside & (number[row] == 1)
        amounts = [plan.amount[alone & (plan.indices == member)] for member in cluster.members]
        assert min(len(a) for a in amounts) >= 120
        for amount in amounts:
            assert np.median(amount) == pytest.approx(1.0, abs=0.03)
            assert 0.01 < amount.std() < 0.1


@pytest.mark.parametrize(("exceptions", "odd"), [(0.0, 0), (0.1, 2), (0.25, 4), (0.5, 8)])
def test_exceptions_are_as_many_as_asked_for(exceptions: float, odd: int) -> None:
    counts = family_counts(exceptions)
    assert set(counts) == set(FAMILIES)
    assert (counts["composition_clique"], counts["composition_star"]) == (odd, 16 - odd)
    assert (counts["ambiguity_star"], counts["ambiguity_clique"]) == (odd, 16 - odd)


def test_an_unknown_family_is_refused() -> None:
    with pytest.raises(ValueError, match="composition_ring is no family"):
        plan_clusters(SEED, tokens=1000, families={"composition_ring": 1})


def test_the_same_seed_gives_the_same_world_and_noise_changes_activations_alone() -> None:
    few = {"composition_star": 1, "ambiguity_clique": 1, "topic": 1}
    one, same, other = (cluster_world(seed, tokens=20_000, families=few) for seed in (SEED, SEED, DEV_SEEDS[1]))
    np.testing.assert_array_equal(one.values, same.values)
    np.testing.assert_array_equal(one.indices, same.indices)
    assert not np.array_equal(one.document, other.document)
    assert one.clusters == cluster_world(SEED, tokens=20_000, families=few, noise=0.2).clusters
    row = np.repeat(np.arange(len(one.document)), np.diff(one.indptr))
    assert (np.diff(row * one.n_latents + one.indices) > 0).all()
    assert (one.values > one.threshold[one.indices]).all()
    assert not set(DEV_SEEDS) & set(TEST_SEEDS)


def test_a_count_finds_the_planted_pairs_and_no_others(tmp_path: Path) -> None:
    world = cluster_world(SEED, noise=0.06)
    capture = write_capture(world, tmp_path / "capture", sae_id="w")
    count(capture)
    edges = pq.read_table(capture.tables / "edges.parquet")
    kept = set(zip(edges.column("a").to_pylist(), edges.column("b").to_pylist(), strict=True))
    planted = {(a, b) for a, b in world.planted.tolist()}
    assert len(planted & kept) >= 0.99 * len(planted)
    assert len(kept - planted) <= 2
    clear = edges.column("count").to_numpy()
    assert clear.min() >= 20


@pytest.mark.parametrize("null", [shuffled, reordered])
def test_nulls_keep_each_latent_and_nothing_else(null: object, tmp_path: Path) -> None:
    world = cluster_world(SEED, tokens=60_000)
    other = shuffled(world, 1) if null is shuffled else reordered(world, 1)
    assert other.clusters == ()
    assert not np.array_equal(other.indices, world.indices)
    for latent in range(0, world.n_latents, 50):
        np.testing.assert_array_equal(
            np.sort(other.values[other.indices == latent]), np.sort(world.values[world.indices == latent])
        )
    row = np.repeat(np.arange(len(other.document)), np.diff(other.indptr))
    assert (np.diff(row * other.n_latents + other.indices) > 0).all()
    if null is shuffled:
        before = np.repeat(np.arange(len(world.document)), np.diff(world.indptr))
        for latent in range(0, world.n_latents, 50):
            np.testing.assert_array_equal(
                np.sort(other.document[row[other.indices == latent]]),
                np.sort(world.document[before[world.indices == latent]]),
            )
    capture = write_capture(other, tmp_path / "capture", sae_id="null")
    count(capture)
    assert pq.read_table(capture.tables / "edges.parquet").num_rows == 0
