"""Clusters of known shape and function, in the space of the true features.

1. `plan_clusters`: what happens on each token. A cluster has events; on an event a few members are active together.
   Each member is also active alone, on tokens of its own, so that its full strength mu can be learned. A document has
   one topic of 12; events and lone firings come three times as often in documents of the cluster's topic, and each
   document has an intensity of its own for each feature besides (a gamma variable).
2. `cluster_world`: what a perfect SAE would give: activations mu (amount + noise), above a threshold.

Functions, in units of mu: the members of a *composition* are all near full strength on an event (the sum of a / mu is 2
and more); those of an *ambiguity* share one token's weight (the sum is about 1); of a *hierarchy* the parent is active
in full wherever a child is, and a child nowhere else. *none*: the members share a topic, and no event.

Shapes: in a star one hub is active with one spoke; in a (near-)clique 2 to 4 members of any are active together, up to
a tenth of the pairs excepted; in a path two neighbours. Besides, bridges join clusters: pairs of members of two
clusters that are active together in full, so that clusters are not mere components of the graph.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np

from cofire.common.arrays import Bools, Floats, Ints, Ints32, Singles
from cofire.worlds.world import TOPICS, ShownWorld, Text, between

FAMILIES: dict[str, tuple[str, str]] = {
    "composition_star": ("composition", "hub_and_spoke"),
    "composition_clique": ("composition", "clique"),
    "composition_path": ("composition", "path"),
    "ambiguity_star": ("ambiguity", "hub_and_spoke"),
    "ambiguity_clique": ("ambiguity", "clique"),
    "ambiguity_path": ("ambiguity", "path"),
    "hierarchy": ("hierarchy", "hub_and_spoke"),
    "topic": ("none", "none"),
}
"""Function and shape of each family."""

SIZES = (4, 9)


@dataclass(frozen=True)
class PlantedCluster:
    """One cluster of the plan.

    Attributes:
        members: the latents, ascending; through a trained SAE those that were recovered, so fewer than `size` or none.
        family: a key of FAMILIES.
        size: how many members were planned.
        hub: the latent in the middle of a star, or the parent; None in other shapes, and where it was not recovered.
    """

    members: tuple[int, ...]
    family: str
    size: int
    hub: int | None

    @property
    def function(self) -> str:
        """composition, ambiguity, hierarchy or none."""
        return FAMILIES[self.family][0]

    @property
    def structure(self) -> str:
        """hub_and_spoke, clique, path or none."""
        return FAMILIES[self.family][1]


@dataclass(frozen=True)
class ClusterPlan:
    """What is truly active on each token.

    Attributes:
        document: int32 [T], non-decreasing.
        indptr: int64 [T+1], row boundaries.
        indices: int32 [nnz], the active features, ascending within a row.
        amount: float32 [nnz], > 0, how active, in units of the feature's full strength.
        n_features: F. First the clusters' members, cluster by cluster, then the background.
        mu: float64 [F], the full strength of each.
        clusters: the planted clusters.
        planted: int64 [P, 2], pairs a < b that events bring together.
        indirect: int64 [Q, 2], pairs a < b that only a middle brings together, which both follow.
    """

    document: Ints32
    indptr: Ints
    indices: Ints32
    amount: Singles
    n_features: int
    mu: Floats
    clusters: tuple[PlantedCluster, ...]
    planted: Ints
    indirect: Ints


@dataclass(frozen=True)
class ClusterWorld(ShownWorld):
    """Clusters as an SAE shows them.

    Attributes:
        clusters: the planted clusters, in latents.
        feature: int64 [N], the feature that each latent stands for; -1 where it stands for none.
        indirect: int64 [Q, 2], pairs a < b that fire together by way of a third latent alone; none by default.
    """

    clusters: tuple[PlantedCluster, ...]
    feature: Ints
    indirect: Ints = field(default_factory=lambda: np.zeros((0, 2), np.int64))


def family_counts(
    exceptions: float, *, each: int = 16, paths: int = 4, hierarchies: int = 6, topics: int = 6
) -> dict[str, int]:
    """Return how many clusters of each family there are.

    Args:
        exceptions: share of the compositions (paths aside) that are near-cliques, and of the ambiguities that are
            stars. At .5 the shape tells nothing of the function.
        each: compositions, and as many ambiguities, paths aside.
        paths: composition chains, and as many ambiguity chains.
        hierarchies: families of a parent with its children.
        topics: groups that share a topic alone.
    """
    odd = round(exceptions * each)
    return {
        "composition_star": each - odd,
        "composition_clique": odd,
        "composition_path": paths,
        "ambiguity_star": odd,
        "ambiguity_clique": each - odd,
        "ambiguity_path": paths,
        "hierarchy": hierarchies,
        "topic": topics,
    }


def cluster_world(
    seed: int,
    *,
    tokens: int = 200_000,
    noise: float = 0.06,
    exceptions: float = 0.25,
    families: Mapping[str, int] | None = None,
    background: int = 100,
    bridges: int = 10,
    indirect: int = 0,
) -> ClusterWorld:
    """Return clusters as a perfect SAE shows them: latent k is feature k, and nothing else moves it.

    An activation is mu (amount + noise * normal); it fires above theta = max(.1, 2 noise) mu. A latent that is off
    stays off. The same seed gives the same plan whatever `noise` is.

    Args:
        seed: of DEV_SEEDS to calibrate on, of TEST_SEEDS to score by.
        tokens: T; 200,000 give each planted pair 50 events and more, fewer tokens proportionally fewer.
        noise: sigma / mu, the same for all latents.
        exceptions: see `family_counts`; without effect where `families` is given.
        families: how many clusters of each family.
        background: latents in no cluster.
        bridges: pairs that join two clusters.
        indirect: chains that join two clusters, and as many clean hubs, whose latents stand behind the background. They
            add direct pairs to `planted` and fill `indirect`; members of the clusters fire more often for it. Without
            them the world is the same to the byte as before there were any.
    """
    plan = plan_clusters(
        seed,
        tokens=tokens,
        exceptions=exceptions,
        families=families,
        background=background,
        bridges=bridges,
        indirect=indirect,
    )
    rng = np.random.default_rng([seed, 6])
    noisy = plan.amount + noise * rng.standard_normal(len(plan.amount))
    floor = max(0.1, 2 * noise)
    fires = noisy > floor
    row = np.repeat(np.arange(tokens), np.diff(plan.indptr))[fires]
    return ClusterWorld(
        document=plan.document,
        indptr=np.concatenate([[0], np.cumsum(np.bincount(row, minlength=tokens))]).astype(np.int64),
        indices=plan.indices[fires],
        n_latents=plan.n_features,
        planted=plan.planted,
        log_odds=np.full(len(plan.planted), np.nan),
        values=(plan.mu[plan.indices[fires]] * noisy[fires]).astype(np.float32),
        threshold=floor * plan.mu,
        clusters=plan.clusters,
        feature=np.arange(plan.n_features),
        indirect=plan.indirect,
    )


def plan_clusters(
    seed: int,
    *,
    tokens: int = 200_000,
    exceptions: float = 0.25,
    families: Mapping[str, int] | None = None,
    background: int = 100,
    bridges: int = 10,
    indirect: int = 0,
) -> ClusterPlan:
    """Return what is active where; the arguments are those of `cluster_world`.

    In 200,000 tokens each planted pair has 60 to 180 events (a child with its parent 200 to 500); each feature is alone
    half to four times as often as it is in events, on 200 tokens at least (a child never is; its parent is alone one to
    four times as often as with each child). The spread of a feature's full strength is 2 to 8%. Prevalences lie between
    1e-3 and 3e-2.

    Raises:
        ValueError: `families` names no family, or there are no two clusters that a middle could join.
    """
    counts = family_counts(exceptions) if families is None else families
    unknown = sorted(set(counts) - set(FAMILIES))
    if unknown:
        raise ValueError(f"{unknown[0]} is no family; there are {', '.join(FAMILIES)}")
    rng = np.random.default_rng([seed, 5])
    text = Text.drawn(rng, tokens)
    active: list[tuple[Ints, Floats]] = []
    clusters: list[PlantedCluster] = []
    planted: list[tuple[int, int]] = []
    for family in FAMILIES:
        for _ in range(counts.get(family, 0)):
            size, first = int(rng.integers(SIZES[0], SIZES[1] + 1)), len(active)
            pairs = _pairs(rng, family, size)
            active += _topical(rng, text, size) if family == "topic" else _members(rng, text, family, size, pairs)
            members = tuple(range(first, first + size))
            has_hub = FAMILIES[family][1] == "hub_and_spoke"
            clusters.append(PlantedCluster(members, family, size, first if has_hub else None))
            planted += [(first + a, first + b) for a, b in pairs]
    joined = [c.members for c in clusters if c.function != "none"]
    for _ in range(bridges if len(joined) > 1 else 0):
        ends = sorted(int(rng.choice(joined[c])) for c in rng.choice(len(joined), 2, replace=False))
        if (ends[0], ends[1]) in planted:
            continue
        at = text.draw(rng, between(rng, 60, 180) / 200_000, int(rng.integers(TOPICS)))
        for end in ends:
            active[end] = _with_full(active[end], at)
        planted.append((ends[0], ends[1]))
    for _ in range(background):
        at = text.draw(rng, 10 ** rng.uniform(-3, -2), int(rng.integers(TOPICS)))
        active.append((at, np.ones(len(at))))
    if indirect and len(joined) < 2:
        raise ValueError("indirect pairs need two clusters that have a function")
    apart: list[tuple[int, int]] = []
    for spokes in [2] * indirect + [5] * indirect:
        direct, by_the_middle = _middle(rng, text, active, joined, spokes)
        planted += direct
        apart += by_the_middle
    return _plan(rng, text.document, active, tuple(clusters), planted, [pair for pair in apart if pair not in planted])


def _pairs(rng: np.random.Generator, family: str, size: int) -> list[tuple[int, int]]:
    """Return the pairs a < b of members that some event brings together."""
    shape = FAMILIES[family][1]
    if shape == "hub_and_spoke":
        return [(0, spoke) for spoke in range(1, size)]
    if shape == "path":
        return [(k, k + 1) for k in range(size - 1)]
    if shape == "none":
        return []
    every = list(combinations(range(size), 2))
    missing = int(rng.integers(0, len(every) // 10 + 1))
    return [every[k] for k in np.sort(rng.permutation(len(every))[missing:])]


def _members(
    rng: np.random.Generator, text: Text, family: str, size: int, pairs: list[tuple[int, int]]
) -> list[tuple[Ints, Floats]]:
    """Return where each member is active, and how much."""
    function, shape = FAMILIES[family]
    topic = int(rng.integers(TOPICS))
    # In a clique an event has 2 to 4 members (.4, .4, .2 of the time), so 2.8 pairs on average.
    low, high = (200, 500) if function == "hierarchy" else (60, 180)
    events = len(pairs) * between(rng, low, high) / (2.8 if shape == "clique" else 1.0)
    at = text.draw(rng, events / 200_000, topic)
    chosen = _chosen(rng, shape, size, pairs, len(at))
    if function == "ambiguity":
        # One token's weight, in shares.
        share = rng.gamma(rng.uniform(3.0, 8.0), 1.0, chosen.shape) * chosen
        weight = rng.uniform(0.9, 1.1) * rng.normal(1.0, 0.06, (len(at), 1))
        amount = share / share.sum(axis=1, keepdims=True) * weight
    else:
        amount = chosen * (rng.uniform(0.85, 1.1) if function == "composition" else 1.0)
    found: list[tuple[Ints, Floats]] = []
    for member in range(size):
        on = np.flatnonzero(chosen[:, member])
        alone = max(200.0, len(on) / len(text.document) * 200_000 * 2 ** rng.uniform(-1, 2))
        if function == "hierarchy":
            alone = 0.0 if member else events / (size - 1) * 2 ** rng.uniform(0, 2)
        free = np.setdiff1d(text.draw(rng, alone / 200_000, topic), at, assume_unique=True)
        found.append((np.concatenate([at[on], free]), np.concatenate([amount[on, member], np.ones(len(free))])))
    return found


def _chosen(rng: np.random.Generator, shape: str, size: int, pairs: list[tuple[int, int]], events: int) -> Bools:
    """Return which members take part in each event, bool [events, size]."""
    chosen = np.zeros((events, size), np.bool_)
    ends = np.array(pairs)
    if shape != "clique":
        of = ends[rng.integers(len(pairs), size=events)]
        chosen[np.arange(events)[:, None], of] = True
        return chosen
    joined = np.eye(size, dtype=np.bool_)
    joined[ends[:, 0], ends[:, 1]] = joined[ends[:, 1], ends[:, 0]] = True
    # A pair first, so that no event has one member alone; then others that are joined with all that are in already.
    of = ends[rng.integers(len(pairs), size=events)]
    chosen[np.arange(events)[:, None], of] = True
    wanted = rng.choice([2, 3, 4], p=[0.4, 0.4, 0.2], size=events)
    order = rng.random((events, size)).argsort(axis=1)
    for place in range(size):
        member = order[:, place]
        fits = (chosen <= joined[member]).all(axis=1) & (chosen.sum(axis=1) < wanted)
        chosen[np.flatnonzero(fits), member[fits]] = True
    return chosen


def _topical(rng: np.random.Generator, text: Text, size: int) -> list[tuple[Ints, Floats]]:
    """Return latents that are independent given the document, and frequent in documents of one topic alone.

    Two of them fire together some 40 to 120 times in 200,000 tokens, by topic.
    """
    topic = int(rng.integers(TOPICS))
    on_topic = (text.topic == topic)[text.document]
    found = []
    for _ in range(size):
        rate = np.where(on_topic, rng.uniform(0.05, 0.09), 0.0003)
        at = np.flatnonzero(rng.random(len(text.document)) < rate)
        found.append((at, np.ones(len(at))))
    return found


def _with_full(active: tuple[Ints, Floats], at: Ints) -> tuple[Ints, Floats]:
    """Return a feature that is active in full on these tokens too, where it is not active already."""
    there, amount = active
    more = np.setdiff1d(at, there)
    return np.concatenate([there, more]), np.concatenate([amount, np.ones(len(more))])


def _middle(
    rng: np.random.Generator,
    text: Text,
    active: list[tuple[Ints, Floats]],
    clusters: list[tuple[int, ...]],
    spokes: int,
) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Add a latent that a member of each of two clusters follows, and as many new latents as are wanting to `spokes`.

    Two spokes make a chain from cluster to cluster, more a clean hub: given the middle they are independent. New spokes
    are alone half to twice as often as with it.

    Returns:
        The pairs of the middle with its spokes, and those of spokes.
    """
    topic, middle = int(rng.integers(TOPICS)), len(active)
    at = text.draw(rng, between(rng, 400, 1000) / 200_000, topic)
    active.append((at, np.ones(len(at))))
    follow = [int(rng.choice(clusters[c])) for c in rng.choice(len(clusters), 2, replace=False)]
    for _ in range(spokes - len(follow)):
        follow.append(len(active))
        alone = text.draw(rng, len(at) / len(text.document) / 2 * 2 ** rng.uniform(-1, 1), topic)
        active.append((alone, np.ones(len(alone))))
    for spoke in follow:
        active[spoke] = _with_full(active[spoke], at[rng.random(len(at)) < rng.uniform(0.35, 0.6)])
    direct = [(min(spoke, middle), max(spoke, middle)) for spoke in follow]
    return direct, list(combinations(sorted(follow), 2))


def _plan(
    rng: np.random.Generator,
    document: Ints32,
    active: list[tuple[Ints, Floats]],
    clusters: tuple[PlantedCluster, ...],
    planted: list[tuple[int, int]],
    indirect: list[tuple[int, int]],
) -> ClusterPlan:
    """Return the rows of what is active, each feature with a spread of its own."""
    token = np.concatenate([at for at, _ in active])
    feature = np.repeat(np.arange(len(active), dtype=np.int32), [len(at) for at, _ in active])
    amount = np.concatenate([a for _, a in active])
    spread = rng.uniform(0.02, 0.08, len(active))
    amount = np.maximum(amount * (1 + spread[feature] * rng.standard_normal(len(amount))), 0.01)
    order = np.argsort(token, kind="stable")
    return ClusterPlan(
        document=document,
        indptr=np.concatenate([[0], np.cumsum(np.bincount(token, minlength=len(document)))]).astype(np.int64),
        indices=feature[order],
        amount=amount[order].astype(np.float32),
        n_features=len(active),
        mu=rng.lognormal(0.0, 0.2, len(active)),
        clusters=clusters,
        planted=np.array(planted, np.int64).reshape(-1, 2),
        indirect=np.array(indirect, np.int64).reshape(-1, 2),
    )
