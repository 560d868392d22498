"""Planted cases of direct and indirect pairs: each is what it says, measured; and what the definition makes of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from cofire.common.arrays import Array, Ints
from cofire.ingest.count import count
from cofire.worlds import (
    CASES,
    DEV_SEEDS,
    TEST_SEEDS,
    TRAINED_TEST_SEEDS,
    IndirectWorld,
    PlantedCase,
    World,
    cluster_world,
    indirect_world,
    write_capture,
)
from cofire.worlds.scoring import kept_by_case
from direct_oracle import direct_edges, matrix_of

SEED = DEV_SEEDS[0]
# By what a third latent leaves of an indirect pair, the hubs that do not tell all.
LEAKY = ("hub_misses", "hub_elsewhere")


@dataclass(frozen=True)
class Firings:
    """The tokens of each latent, and the document of each token."""

    at: list[Ints]
    document: Array

    @classmethod
    def of(cls, world: World) -> Firings:
        token = np.repeat(np.arange(len(world.document)), np.diff(world.indptr))
        order = np.argsort(world.indices, kind="stable")
        ends = np.cumsum(np.bincount(world.indices, minlength=world.n_latents))
        return cls(np.split(token[order], ends[:-1]), world.document)

    def excess(self, i: int, j: int, given: Ints | None = None) -> tuple[float, float]:
        """Joint firings less those of independence within documents, or documents x given on or off; and its variance.

        A sum of hypergeometric variables: mean s_i s_j / L, variance s_i (L - s_i) s_j (L - s_j) / (L^2 (L - 1)).
        """

        def by_stratum(at: Ints) -> Array:
            each = np.bincount(self.document[at], minlength=documents)
            if given is None:
                return each
            on = np.bincount(self.document[np.intersect1d(at, given, assume_unique=True)], minlength=documents)
            return np.concatenate([on, each - on])

        documents = int(self.document[-1]) + 1
        both = np.intersect1d(self.at[i], self.at[j], assume_unique=True)
        s, t, together = by_stratum(self.at[i]), by_stratum(self.at[j]), by_stratum(both)
        size = np.bincount(self.document)
        if given is not None:
            on = np.bincount(self.document[given], minlength=documents)
            size = np.concatenate([on, size - on])
        # In a stratum of one token there is no surprise.
        some = size > 1
        length, s, t = size[some].astype(float), s[some], t[some]
        variance = s * (length - s) * t * (length - t) / (length**2 * (length - 1))
        return float(together[some].sum() - (s * t / length).sum()), float(variance.sum())


def z_of(parts: Sequence[tuple[float, float]]) -> float:
    """The excess of several pairs together, in standard deviations."""
    excess, variance = np.array(parts).sum(axis=0)
    return float(excess / np.sqrt(variance)) if variance else 0.0


def explaining(case: PlantedCase, i: int, j: int, firings: Firings) -> Ints:
    """The tokens of what an indirect pair is explained by."""
    first = case.members[0]
    if case.name.endswith("chain") or case.name.startswith("nested"):
        return firings.at[i + 1]
    if case.name.endswith("companion"):
        return firings.at[j - (len(case.members) - 1) // 2]
    if case.name == "twin_hubs":
        return np.union1d(firings.at[first], firings.at[first + 1])
    return firings.at[first]


FEW = {name: min(4, groups) for name, (groups, _) in CASES.items()} | {"exclusive_star": 8}


@pytest.fixture(scope="module")
def world() -> IndirectWorld:
    return indirect_world(SEED, cases=FEW)


@pytest.fixture(scope="module")
def firings(world: IndirectWorld) -> Firings:
    return Firings.of(world)


def named(world: IndirectWorld, *names: str) -> list[PlantedCase]:
    return [case for case in world.cases if case.name in names]


def test_indirect_pairs_fire_together_and_do_not_given_what_explains_them(
    world: IndirectWorld, firings: Firings
) -> None:
    marginal, given = defaultdict(list), defaultdict(list)
    for case in world.cases:
        for i, j in case.indirect.tolist():
            marginal[case.name].append(firings.excess(i, j))
            given[case.name].append(firings.excess(i, j, explaining(case, i, j, firings)))
    assert set(marginal) == {name for name in CASES if not name.startswith(("context", "weak_context", "dense"))} - {
        "some_of_six",
        "split_hub",
        "exclusive_star",
    }
    for name in marginal:
        assert z_of(marginal[name]) > 25, name
        if name in LEAKY:
            assert z_of(given[name]) > 10, name
        else:
            assert abs(z_of(given[name])) < 3.5, name


def test_direct_pairs_fire_together_whatever_is_given(world: IndirectWorld, firings: Firings) -> None:
    least = defaultdict(list)
    for case in world.cases:
        # Of a dense latent's pairs the dense latent alone is near to both.
        near = case.members[:1] if case.name.startswith("dense") else case.members
        for i, j in case.direct.tolist():
            others = [h for h in near if h not in (i, j)][:3]
            given = [firings.excess(i, j, firings.at[h]) for h in others] or [firings.excess(i, j)]
            least[case.name].append(min(given, key=lambda part: z_of([part])))
    assert set(least) == set(CASES)
    for name, parts in least.items():
        assert z_of(parts) > 15, name
        assert np.mean([z_of([part]) > 3 for part in parts]) >= 0.9, name


def test_a_hidden_context_has_the_conditional_log_odds_of_its_share(world: IndirectWorld, firings: Firings) -> None:
    # ln(1 + 1 / (p (1 - p))) where members fire in their context alone; firings by themselves make it larger.
    for p in (3, 5, 7, 9):
        cases, found = named(world, f"context_{p}"), []
        for case in cases:
            fires = matrix_of(world.indptr, world.indices, np.array(case.members))
            sums = np.zeros(2)
            for i, j, h in ((0, 1, 2), (3, 4, 5), (5, 6, 7)):
                for on in (fires[:, h], ~fires[:, h]):
                    a, b = fires[on, i], fires[on, j]
                    sums += (a & b).sum() * (~a & ~b).sum() / on.sum(), (a & ~b).sum() * (~a & b).sum() / on.sum()
            found.append(np.log(sums[0] / sums[1]))
        share = p / 10
        assert (
            np.log(1 + 1 / (share * (1 - share))) - 0.15 < np.median(found) < np.log(1 + 1 / (share * (1 - share))) + 1
        )


def test_expected_joint_firings_are_as_said(world: IndirectWorld, firings: Firings) -> None:
    def joint(case: PlantedCase, pairs: Ints) -> list[int]:
        return [len(np.intersect1d(firings.at[i], firings.at[j])) for i, j in pairs.tolist()]

    for case in world.cases:
        if case.name.startswith("weak"):
            about = case.direct if "context" in case.name else case.indirect
            # The mean of a case lies in 20-60; the shares of its pairs differ, and counts by chance.
            assert 10 <= np.mean(joint(case, about)) <= 80, case
        elif case.name.startswith(("context", "some", "dense")):
            assert 45 <= np.mean(joint(case, case.direct)) <= 300, case


def test_containment_twins_and_halves(world: IndirectWorld, firings: Firings) -> None:
    def share(i: int, j: int) -> float:
        """Of the firings of i, those on which j fires."""
        return float(np.isin(firings.at[i], firings.at[j], assume_unique=True).mean())

    for case in named(world, "nested"):
        a, b, c = case.members
        assert 0.93 < share(b, a) < 1
        assert 0.93 < share(c, b) < 1
    for case in named(world, "nested_whole"):
        a, b, c = case.members
        assert share(b, a) == share(c, b) == 1
    for case in named(world, "companion", "weak_companion"):
        half = (len(case.members) - 1) // 2
        parent, children = case.members[0], case.members[1 : half + 1]
        assert all(share(child, parent) == 1 for child in children)
        assert not any(share(x, y) for x, y in combinations(children, 2))
    for case in named(world, "twin_hubs"):
        one, two = case.members[:2]
        assert min(share(one, two), share(two, one)) > 0.9
    for case in named(world, "split_hub"):
        one, two = case.members[:2]
        assert 0.5 < min(share(one, two), share(two, one)) < 0.83
    for name, prevalence in (("dense_15", 0.15), ("dense_35", 0.35)):
        for case in named(world, name):
            assert len(firings.at[case.members[0]]) / len(world.document) == pytest.approx(prevalence, abs=0.02)
            assert all(share(k, case.members[0]) > prevalence + 0.2 for k in case.members[1:])
    (position,) = named(world, "position")
    start = np.flatnonzero(np.diff(world.document, prepend=-1))
    place = firings.at[position.members[0]] - start[world.document[firings.at[position.members[0]]]]
    assert place.max() < 10
    assert set(np.bincount(place)) - {0} <= {int(world.document[-1]), int(world.document[-1]) + 1}


def test_stars_are_exclusive_or_not(world: IndirectWorld, firings: Firings) -> None:
    kinds = defaultdict(list)
    for star in world.stars:
        kinds[star.kind].append(star)
        hub = firings.at[star.hub]
        on = np.array([np.isin(hub, firings.at[spoke]) for spoke in star.spokes])
        assert star.cover == on.any(axis=0).mean()
        assert star.one_of == (on.sum(axis=0) == 1).mean()
        assert 4 <= len(star.spokes) <= 8
        shares = on.mean(axis=1)
        together = sum(float((on[a] & on[b]).sum()) for a, b in combinations(range(len(on)), 2))
        expected = sum(shares[a] * shares[b] * len(hub) for a, b in combinations(range(len(on)), 2))
        if star.kind == "exclusive":
            # By chance alone, where a spoke fires by itself on a token of the hub's.
            assert together < 0.2 * expected
            assert 0.45 < star.cover < 1
            assert all(len(firings.at[spoke]) <= len(hub) for spoke in star.spokes)
        else:
            assert together == pytest.approx(expected, rel=0.3)
    assert {kind: len(stars) for kind, stars in kinds.items()} == {"exclusive": 8, "independent": 4, "plain": 8}
    covers = [star.cover for star in kinds["exclusive"]]
    assert min(covers) < 0.65 < 0.8 < max(covers)


def test_every_latent_is_in_one_case_and_pairs_lie_within(world: IndirectWorld) -> None:
    members = [latent for case in world.cases for latent in case.members]
    assert members == list(range(len(members)))
    assert world.n_latents == len(members) + 50
    for case in world.cases:
        pairs = [tuple(pair) for pair in np.concatenate([case.direct, case.indirect]).tolist()]
        assert len(set(pairs)) == len(pairs)
        assert all(a < b and {a, b} <= set(case.members) for a, b in pairs)
    assert {name: sum(case.name == name for case in world.cases) for name in CASES} == FEW
    assert len(world.planted) == sum(len(case.direct) for case in world.cases)


def test_the_same_seed_gives_the_same_world_and_seeds_lie_apart(world: IndirectWorld) -> None:
    again = indirect_world(SEED, cases=FEW)
    for name in ("document", "indptr", "indices", "values", "threshold", "planted"):
        np.testing.assert_array_equal(getattr(world, name), getattr(again, name))
    assert world.stars == again.stars
    few = {"chain": 1, "exclusive_star": 1}
    one, other = (indirect_world(seed, tokens=20_000, cases=few, background=3) for seed in DEV_SEEDS[:2])
    assert [case.name for case in one.cases] == ["chain", "exclusive_star"]
    assert not np.array_equal(one.document, other.document)
    lists = [*DEV_SEEDS, *TEST_SEEDS, *TRAINED_TEST_SEEDS]
    assert len(set(lists)) == len(lists)
    row = np.repeat(np.arange(len(world.document)), np.diff(world.indptr))
    assert (np.diff(row * world.n_latents + world.indices) > 0).all()
    assert (world.values > world.threshold[world.indices]).all()
    with pytest.raises(ValueError, match="ring is no case; there are chain, "):
        indirect_world(SEED, tokens=1000, cases={"ring": 1})


def test_the_definition_tells_them_apart(tmp_path: Path) -> None:
    """Edges by the project's rule, direct ones by the oracle; two groups of each case."""
    world = indirect_world(SEED, cases={name: min(2, groups) for name, (groups, _) in CASES.items()})
    capture = write_capture(world, tmp_path / "capture", sae_id="w")
    count(capture)
    table = pq.read_table(capture.tables / "edges.parquet")
    a, b, log_odds, error = (table.column(name).to_numpy() for name in ("a", "b", "log_odds", "log_odds_se"))
    direct = np.ones(len(a), np.bool_)
    for case in world.cases:
        members = np.array(case.members)
        inside = np.isin(a, members) & np.isin(b, members)
        fires = matrix_of(world.indptr, world.indices, members)
        low, high = np.searchsorted(members, a[inside]), np.searchsorted(members, b[inside])
        direct[inside] = direct_edges(fires, low, high, log_odds[inside], error[inside]).direct
    false = np.zeros(2, np.int64)
    for kept in kept_by_case(world.cases, a, b, direct):
        weak = kept.case.startswith("weak")
        # Weak pairs of less than 20 joint firings are no edges.
        assert kept.what == "indirect" or kept.edges >= (0.4 if weak else 0.97) * kept.planted, kept
        if kept.what == "latents":
            assert kept.share == 1, kept
        elif kept.what == "direct":
            # Of the edges of a spoke with the two halves of a hub one often explains the other.
            assert kept.share >= (0.5 if kept.case == "split_hub" else 0.8 if weak else 0.97), kept
        elif kept.case not in ("hub_elsewhere", "companion", "weak_companion", "nested_whole"):
            false += kept.kept, kept.edges
    assert false[1] > 200
    assert false[0] <= 0.03 * false[1]


def test_cluster_worlds_get_indirect_pairs_on_request() -> None:
    few = {"composition_star": 4, "ambiguity_clique": 4}
    plain, world = (cluster_world(SEED, families=few, indirect=n) for n in (0, 6))
    assert len(plain.indirect) == 0
    assert world.clusters == plain.clusters
    # The clusters are as they were but for the members that follow a middle; what is new stands behind the background.
    before, firings = Firings.of(plain), Firings.of(world)
    inside = world.indirect < plain.n_latents
    for latent in set(range(plain.n_latents)) - set(world.indirect[inside].tolist()):
        # Noise of its own moves a small share of a mixture above or below theta.
        assert len(np.setxor1d(before.at[latent], firings.at[latent])) <= 0.1 * len(before.at[latent])
    assert len(world.planted) == len(plain.planted) + 6 * 2 + 6 * 5
    assert world.n_latents == plain.n_latents + 6 + 6 * 4
    of = {member: number for number, cluster in enumerate(world.clusters) for member in cluster.members}
    assert all(of.get(i, -i) != of.get(j, -j) for i, j in world.indirect.tolist())
    joined = defaultdict(set)
    for i, j in world.planted[len(plain.planted) :].tolist():
        joined[max(i, j) if min(i, j) < plain.n_latents else min(i, j)].add((i, j))
    middles = {h: {k for pair in pairs for k in pair} - {h} for h, pairs in joined.items()}
    marginal, given = [], []
    for i, j in world.indirect.tolist():
        (middle,) = [h for h, spokes in middles.items() if {i, j} <= spokes]
        marginal.append(firings.excess(i, j))
        given.append(firings.excess(i, j, firings.at[middle]))
    assert len(marginal) == 6 + 6 * 10
    assert min(z_of([part]) for part in marginal) > 5
    assert abs(z_of(given)) < 3.5
    with pytest.raises(ValueError, match="need two clusters"):
        cluster_world(SEED, tokens=1000, families={"topic": 3}, indirect=1)
