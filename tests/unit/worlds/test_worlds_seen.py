"""Planted clusters through an SAE: a perfect one in a crowd, and trained ones with weights in tests/data/worlds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import pyarrow.parquet as pq
import pytest

from cofire.ingest.count import count
from cofire.worlds import DEV_SEEDS, SMALL, TEST_SEEDS, SeenSettings, seen, seen_world, write_capture
from cofire.worlds.training import SaeKind, SaeSettings, train_sae
from repository import ROOT

STORED = ROOT / "tests" / "data" / "worlds"


def features(seed: int, n: int = 20, d: int = 16, tokens: int = 20_000) -> tuple[np.ndarray, np.ndarray]:
    """Return x [tokens, d] float32 of sparse features, and their directions [n, d]."""
    rng = np.random.default_rng(seed)
    directions = rng.standard_normal((n, d))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    active = (rng.random((tokens, n)) < 0.04) * rng.uniform(0.8, 1.2, (tokens, n))
    return (active @ directions + 0.01 * rng.standard_normal((tokens, d))).astype(np.float32), directions


@pytest.mark.parametrize("kind", get_args(SaeKind))
def test_training_finds_the_features(kind: SaeKind) -> None:
    x, directions = features(3)
    settings = SaeSettings(kind, 32, 1.0, steps=600, batch=256, seed=1)
    ticks: list[tuple[int, int]] = []
    weights = train_sae(x, settings, progress=lambda done, total: ticks.append((done, total)))
    assert ticks == [(k + 1, 600) for k in range(600)]
    shapes = {"W_enc": (16, 32), "W_dec": (32, 16), "b_enc": (32,), "b_dec": (16,), "threshold": (32,)}
    assert {name: (w.shape, w.dtype) for name, w in weights.items()} == {n: (s, np.float32) for n, s in shapes.items()}
    np.testing.assert_allclose(np.linalg.norm(weights["W_dec"], axis=1), 1, rtol=1e-4)
    assert np.array_equal(weights["W_enc"], weights["W_dec"].T) == (kind == "tied")
    assert (seen.matched(weights["W_dec"], directions) >= 0).sum() >= 17
    fires = (x - weights["b_dec"]) @ weights["W_enc"] + weights["b_enc"] > weights["threshold"]
    assert fires.sum(axis=1).mean() == pytest.approx(1, abs=0.35)
    assert (len(np.unique(weights["threshold"])) > 1) == (kind == "jumprelu")
    again = train_sae(x, settings)
    np.testing.assert_array_equal(weights["W_dec"], again["W_dec"])


@pytest.mark.parametrize("kind", ["batchtopk", "tied"])
def test_a_world_through_a_stored_sae(
    kind: Literal["batchtopk", "tied"], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_args: object, **_keywords: object) -> dict[str, np.ndarray]:
        pytest.fail("the weights in tests/data/worlds are of other settings: make them anew with seen_world(cache=...)")

    monkeypatch.setattr(seen, "train_sae", refused)
    world = seen_world(TEST_SEEDS[0], kind, settings=SMALL, cache=STORED)
    recovered = sum(len(cluster.members) for cluster in world.clusters)
    assert recovered >= 0.7 * sum(cluster.size for cluster in world.clusters)
    # Each feature has one latent at most, and each latent is in one cluster at most.
    stands = world.feature[world.feature >= 0]
    assert len(np.unique(stands)) == len(stands)
    members = [member for cluster in world.clusters for member in cluster.members]
    assert len(set(members)) == len(members)
    # The activations are those of the weights on x, up to the rounding of x to float16.
    assert world.x is not None
    rows = slice(0, 2000)
    h = (world.x[rows].astype(np.float32) - world.weights["b_dec"]) @ world.weights["W_enc"] + world.weights["b_enc"]
    row = np.repeat(np.arange(2000), np.diff(world.indptr[:2001]))
    at = slice(0, int(world.indptr[2000]))
    np.testing.assert_allclose(h[row, world.indices[at]], world.values[at], atol=5e-3)
    assert (world.values > world.threshold[world.indices]).all()

    capture = write_capture(world, tmp_path / "capture", sae_id="small")
    count(capture)
    latents = pq.read_table(capture.tables / "latents.parquet").to_pandas()
    # Noise floors are known only where x gives back the stored activations.
    assert latents["sigma0"].notna().all()
    edges = pq.read_table(capture.tables / "edges.parquet").to_pandas()
    kept = set(zip(edges["a"].tolist(), edges["b"].tolist(), strict=True))
    planted = {(a, b) for a, b in world.planted.tolist()}
    assert len(planted & kept) >= 0.5 * len(planted)


def test_a_crowd_has_the_clusters_and_the_unrelated() -> None:
    settings = SeenSettings(tokens=30_000, each=2, background=10, unrelated=60, active=3.0, d=256, noise=0.0)
    world, same = (seen_world(DEV_SEEDS[0], "crowd", settings=settings) for _ in range(2))
    quiet = seen_world(DEV_SEEDS[0], "crowd", settings=replace(settings, unrelated=0))
    np.testing.assert_array_equal(world.values, same.values)
    assert world.clusters == quiet.clusters
    assert world.n_latents == quiet.n_latents + 60
    np.testing.assert_array_equal(world.weights["W_enc"], world.weights["W_dec"].T)
    own = world.indices < quiet.n_latents
    assert (~own).sum() / settings.tokens > 3.0
    # Superposition puts firings where the quiet world has none.
    assert own.sum() > len(quiet.indices)


def test_trained_weights_are_kept_under_a_name_of_all_settings(tmp_path: Path) -> None:
    tiny = replace(SMALL, tokens=3000, steps=30, n_latents=40, background=5, each=1, d=24)
    world = seen_world(DEV_SEEDS[0], "batchtopk", settings=tiny, cache=tmp_path)
    (file,) = tmp_path.iterdir()
    assert file.name == seen.weights_name(DEV_SEEDS[0], "batchtopk", tiny)
    written = file.stat().st_mtime_ns
    again = seen_world(DEV_SEEDS[0], "batchtopk", settings=tiny, cache=tmp_path)
    assert file.stat().st_mtime_ns == written
    np.testing.assert_array_equal(world.values, again.values)
    others = [replace(tiny, k=2.0), replace(tiny, noise=0.1), replace(tiny, steps=31)]
    names = {seen.weights_name(DEV_SEEDS[0], "batchtopk", other) for other in (tiny, *others)}
    names |= {seen.weights_name(DEV_SEEDS[1], "batchtopk", tiny), seen.weights_name(DEV_SEEDS[0], "tied", tiny)}
    assert len(names) == 6
