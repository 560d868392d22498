"""The planted clusters as an SAE shows them that reads the sum of their directions.

1. The plan is that of `plan_clusters`. Each feature has a random unit direction in d dimensions, fewer than there are
   features; x = sum of mu amount direction + isotropic noise.
2. x is read by an SAE: `crowd`, a perfect tied one (its rows are the true directions) with many unrelated features
   besides; or one that was trained on x (`training`): batchtopk, tied, jumprelu, matryoshka.
3. A latent of a trained SAE stands for the feature with which it is paired: the assignment of the largest sum of
   decoder cosines, pairs below .7 dropped. The planted clusters are then told in latents.

Trained weights are kept in a folder, under a name made of all settings.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from cofire.common.arrays import Bools, Floats, Ints, Singles
from cofire.worlds.clusters import ClusterPlan, ClusterWorld, PlantedCluster, family_counts, plan_clusters
from cofire.worlds.training import JUMP_START, JUMP_WEIGHT, JUMP_WIDTH, SaeKind, SaeSettings, train_sae
from cofire.worlds.world import full

if TYPE_CHECKING:
    import scipy.sparse as sp

    from cofire.common.progress import Progress

Kind = Literal["crowd"] | SaeKind

SEEN_VERSION = 1
"""Part of the name of stored weights: raise it when the same settings give other worlds or other weights."""

MATCH = 0.7
"""Least decoder cosine of a latent with the feature that it stands for."""

_ROWS = 8192


@dataclass(frozen=True)
class SeenSettings:
    """What a seen world is made of.

    Attributes:
        tokens: T.
        exceptions: see `family_counts`.
        each: compositions, and as many ambiguities; a quarter as many paths, three eighths hierarchies and topics.
        background: features in no cluster.
        unrelated: features of the crowd besides.
        active: how many of these are active on a token on the whole.
        d: dimensions of x.
        noise: spread of x's noise along any direction, in units of the median mu.
        n_latents: N of a trained SAE.
        k: latents on a token of a trained SAE, in units of the features that are active on one on the whole.
        steps: optimiser steps.
    """

    tokens: int = 200_000
    exceptions: float = 0.25
    each: int = 8
    background: int = 150
    unrelated: int = 0
    active: float = 0.0
    d: int = 128
    noise: float = 0.03
    n_latents: int = 448
    k: float = 1.6
    steps: int = 3000

    @property
    def families(self) -> dict[str, int]:
        """How many clusters of each family there are."""
        some = -(-3 * self.each // 8)
        return family_counts(self.exceptions, each=self.each, paths=-(-self.each // 4), hierarchies=some, topics=some)


CROWD = SeenSettings(each=16, background=100, unrelated=400, active=12.0, d=1024, noise=0.0)
TRAINED = SeenSettings(tokens=600_000, d=192, k=1.25)
SHORT = SeenSettings()
"""A third of the text, so that weak pairs have too few clear firings, and k too large."""
SMALL = SeenSettings(tokens=150_000, each=2, background=30, d=48, n_latents=128, steps=2000)
"""What the tests use: its weights are committed."""


def seen_world(
    seed: int,
    kind: Kind,
    *,
    settings: SeenSettings | None = None,
    cache: Path | None = None,
    progress: Progress | None = None,
) -> ClusterWorld:
    """Return the clusters of a plan as an SAE shows them.

    Args:
        seed: of DEV_SEEDS to calibrate on, of TEST_SEEDS (trained kinds: TRAINED_TEST_SEEDS) to score by.
        kind: crowd, batchtopk, tied, jumprelu or matryoshka.
        settings: CROWD or TRAINED by default.
        cache: folder of trained weights; read where they are there, else written. None trains anew.
        progress: called with (steps done, steps in all) of the training.

    Returns:
        The world, with weights and x. Its `clusters` keep their order; one of whose members none was recovered has no
        members.
    """
    settings = settings or (CROWD if kind == "crowd" else TRAINED)
    plan = plan_clusters(seed, tokens=settings.tokens, families=settings.families, background=settings.background)
    if settings.unrelated:
        plan = _crowded(plan, seed, settings.unrelated, settings.active)
    rng = np.random.default_rng([seed, 8])
    directions = rng.standard_normal((plan.n_features, settings.d))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    x = _inputs(rng, plan, directions, settings.noise)
    if kind == "crowd":
        theta = 0.25 * plan.mu
        true = {"W_enc": directions.T, "W_dec": directions, "threshold": theta}
        weights = {name: np.ascontiguousarray(w, np.float32) for name, w in true.items()}
        feature = np.arange(plan.n_features)
    else:
        active = len(plan.indices) / settings.tokens
        sae = SaeSettings(kind, settings.n_latents, settings.k * active, settings.steps, seed=seed)
        weights = _trained(x, sae, settings, seed, cache, progress)
        feature = matched(weights["W_dec"], directions)
    return _read(plan, x, weights, feature)


def matched(decoder: npt.NDArray[np.floating], directions: Floats) -> Ints:
    """Return the feature that each latent stands for, int64 [N], -1 for none.

    Args:
        decoder: [N, d], of unit rows.
        directions: [F, d], of unit rows.
    """
    from scipy.optimize import linear_sum_assignment

    cosine = decoder.astype(np.float64) @ directions.T
    latent, feature = linear_sum_assignment(cosine, maximize=True)
    found = np.full(len(decoder), -1, np.int64)
    close = cosine[latent, feature] >= MATCH
    found[latent[close]] = feature[close]
    return found


def _crowded(plan: ClusterPlan, seed: int, unrelated: int, active: float) -> ClusterPlan:
    """Return the plan with unrelated features besides, more often active in some documents than in others."""
    import scipy.sparse as sp

    rng = np.random.default_rng([seed, 7])
    tokens = len(plan.document)
    prevalence = rng.lognormal(0, 0.5, unrelated)
    prevalence *= active / prevalence.sum()
    rows, columns = [], []
    for number, rate in enumerate(prevalence):
        by_document = np.minimum(rate * rng.gamma(2.0, 1 / 2.0, int(plan.document[-1]) + 1), 0.5)
        rows.append(np.flatnonzero(rng.random(tokens) < by_document[plan.document]))
        columns.append(np.full(len(rows[-1]), number))
    row, column = np.concatenate(rows), np.concatenate(columns)
    crowd = sp.csr_array((full(rng, len(row)).astype(np.float32), (row, column)), shape=(tokens, unrelated))
    both = sp.hstack([_true(plan), crowd], format="csr")
    both.sort_indices()
    return replace(
        plan,
        indptr=both.indptr.astype(np.int64),
        indices=both.indices.astype(np.int32),
        amount=both.data.astype(np.float32),
        n_features=plan.n_features + unrelated,
        mu=np.concatenate([plan.mu, rng.lognormal(0.0, 0.2, unrelated)]),
    )


def _true(plan: ClusterPlan) -> sp.csr_array:
    import scipy.sparse as sp

    return sp.csr_array((plan.amount, plan.indices, plan.indptr), shape=(len(plan.document), plan.n_features))


def _inputs(rng: np.random.Generator, plan: ClusterPlan, directions: Floats, noise: float) -> Singles:
    """Return x, float32 [T, d]."""
    shown = (plan.mu[:, None] * directions).astype(np.float32)
    x: Singles = np.asarray(_true(plan) @ shown, np.float32)
    if noise:
        x += np.float32(noise * np.median(plan.mu)) * rng.standard_normal(x.shape, np.float32)
    return x


def _trained(
    x: Singles,
    sae: SaeSettings,
    settings: SeenSettings,
    seed: int,
    cache: Path | None,
    progress: Progress | None,
) -> dict[str, Singles]:
    """Return the weights, from the cache if they are there; as float16 holds them, so that it makes no difference."""
    from safetensors.numpy import load_file

    from cofire.common.files import write_tensors

    path = None if cache is None else cache / weights_name(seed, sae.kind, settings)
    if path is not None and path.is_file():
        halves = load_file(path)
    else:
        halves = {name: w.astype(np.float16) for name, w in train_sae(x, sae, progress=progress).items()}
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_tensors(path, halves)
    return {name: w.astype(np.float32) for name, w in halves.items()}


def weights_name(seed: int, kind: Kind, settings: SeenSettings) -> str:
    """Return the file name of the weights of a trained SAE."""
    said = json.dumps([SEEN_VERSION, seed, kind, asdict(settings), asdict(SaeSettings("tied", 0, 0))], sort_keys=True)
    if kind == "jumprelu":
        said += json.dumps([JUMP_WIDTH, JUMP_START, JUMP_WEIGHT])
    return f"{kind}-{seed}-{hashlib.sha256(said.encode()).hexdigest()[:12]}.safetensors"


def _read(plan: ClusterPlan, x: Singles, weights: Mapping[str, Singles], feature: Ints) -> ClusterWorld:
    """Encode x; tell the clusters in latents."""
    shift = (
        weights.get("b_enc", np.float32(0)) - weights.get("b_dec", np.zeros(x.shape[1], np.float32)) @ weights["W_enc"]
    )
    lengths, indices, values = [], [], []
    for start in range(0, len(x), _ROWS):
        h = x[start : start + _ROWS] @ weights["W_enc"] + shift
        fires: Bools = h > np.maximum(weights["threshold"], 0)
        lengths.append(fires.sum(axis=1))
        indices.append(np.nonzero(fires)[1].astype(np.int32))
        values.append(h[fires].astype(np.float32))
    latent_of = np.full(plan.n_features, -1)
    latent_of[feature[feature >= 0]] = np.flatnonzero(feature >= 0)
    planted = np.sort(latent_of[plan.planted], axis=1)
    planted = planted[planted[:, 0] >= 0]
    return ClusterWorld(
        document=plan.document,
        indptr=np.concatenate([[0], np.cumsum(np.concatenate(lengths))]).astype(np.int64),
        indices=np.concatenate(indices),
        n_latents=len(feature),
        planted=planted,
        log_odds=np.full(len(planted), np.nan),
        values=np.concatenate(values),
        threshold=weights["threshold"].astype(np.float64),
        clusters=tuple(_told(cluster, latent_of) for cluster in plan.clusters),
        feature=feature,
        weights={name: w for name, w in weights.items() if name != "threshold"},
        x=x.astype(np.float16),
    )


def _told(cluster: PlantedCluster, latent_of: Ints) -> PlantedCluster:
    """Return a planted cluster in latents."""
    found = latent_of[list(cluster.members)]
    hub = -1 if cluster.hub is None else int(latent_of[cluster.hub])
    return replace(cluster, members=tuple(sorted(found[found >= 0].tolist())), hub=hub if hub >= 0 else None)
