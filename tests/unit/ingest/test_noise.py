"""The noise floor and the centroids against plain numpy, on planted captures whose every number is known."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from cofire.ingest.capture_dir.directory import CaptureDir
from cofire.ingest.capture_dir.manifest import SaeInfo
from cofire.ingest.import_activations import import_activations
from cofire.ingest.latents.centroids import centroids
from cofire.ingest.noise.floor import MAD_TO_SIGMA, MIN_OFF, capture_noise, noise_moments

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class World:
    """An SAE and what it makes of x: activations float32 [T, N], 0 where it does not fire."""

    x: Array
    weights: dict[str, Array]
    acts: Array
    pre: Array


def normalised(x: Array, kind: str | None) -> Array:
    """What sae-lens makes of x before it encodes, written anew in float64."""
    x = x.astype(np.float64)
    if kind == "layer_norm":
        x = x - x.mean(1, keepdims=True)
        return x / (x.std(1, ddof=1, keepdims=True) + 1e-5)
    if kind == "constant_norm_rescale":
        return x / np.sqrt((x**2).sum(1, keepdims=True)) * np.sqrt(x.shape[1])
    return x


def make(
    seed: int = 0, rows: int = 1500, d: int = 12, n: int = 9, kind: str | None = None, b_dec: bool = True
) -> World:
    """Activations made from x before it is rounded to float16, as a capture does."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, d)) * 3 + np.linspace(-4, 9, d)
    weights = {
        "W_enc": rng.normal(size=(d, n)),
        "W_dec": rng.normal(size=(n, d)),
        "b_dec": rng.normal(size=d) * 5,
        "threshold": rng.uniform(0.5, 1, n),
    }
    z = normalised(x, kind) - (weights["b_dec"].astype(np.float32) if b_dec else 0)
    # A latent fires on about 15% of the rows.
    weights["b_enc"] = weights["threshold"] - np.quantile(z @ weights["W_enc"], 0.85, axis=0)
    weights = {name: tensor.astype(np.float32) for name, tensor in weights.items()}
    pre = z @ weights["W_enc"].astype(np.float64) + weights["b_enc"]
    return World(x, weights, np.where(pre > weights["threshold"], pre, 0).astype(np.float32), pre)


def csr(fires: Array) -> tuple[Array, Array]:
    indptr = np.concatenate([[0], np.cumsum(fires.sum(axis=1))]).astype(np.int64)
    return indptr, np.nonzero(fires)[1].astype(np.int32)


def brute(pre: Array, fires: Array) -> tuple[Array, Array]:
    """Median and 1.4826 MAD over the off rows of each column, by numpy's own median."""
    m0, sigma0 = np.full(pre.shape[1], np.nan), np.full(pre.shape[1], np.nan)
    for latent in range(pre.shape[1]):
        off = pre[~fires[:, latent], latent]
        if len(off) >= 200:
            m0[latent] = np.median(off)
            sigma0[latent] = 1.4826022185056018 * np.median(np.abs(off - m0[latent]))
    return m0, sigma0


def capture_of(place: Path, world: World, info: dict[str, Any] | None = None, **drop: bool) -> CaptureDir:
    """Import a world; `info` is written over what the manifest says of the SAE, as a capture would have said it."""
    place.mkdir(parents=True, exist_ok=True)
    fires = world.acts > 0
    indptr, indices = csr(fires)
    arrays = {"indptr": indptr, "indices": indices, "values": world.acts[fires], "n_latents": world.acts.shape[1]}
    rows = len(world.x)
    np.savez(place / "a.npz", **arrays, x=world.x.astype(np.float16), doc=np.arange(rows) // 50)
    save_file({n: t for n, t in world.weights.items() if not drop.get(n)}, place / "w.safetensors")
    capture = import_activations(
        place / "a.npz", place / "out", release="r", sae_id="s", weights=place / "w.safetensors", force=True
    )
    if info is not None:
        capture.manifest.sae = SaeInfo(**info)
        capture.manifest.write(capture.path)
    return CaptureDir.open(capture.path)


@settings(max_examples=50)
@given(st.integers(0, 2**32 - 1), st.integers(MIN_OFF - 20, 500), st.integers(1, 12), st.booleans())
def test_moments_equal_brute_force(seed: int, rows: int, n: int, bias: bool) -> None:
    rng = np.random.default_rng(seed)
    x, w = rng.normal(size=(rows, 5)).astype(np.float32), rng.normal(size=(5, n)).astype(np.float32)
    b = rng.normal(size=n).astype(np.float32) if bias else None
    fires = rng.random((rows, n)) < rng.choice([0.0, 0.1, 0.5, 1.0], n)
    m0, sigma0 = noise_moments(x, w, b, csr(fires))
    pre = x.astype(np.float64) @ w + (0 if b is None else b)
    expected = brute(pre, fires)
    np.testing.assert_allclose(m0, expected[0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(sigma0, expected[1], rtol=1e-4, atol=1e-5)
    assert m0.dtype == sigma0.dtype == np.float64


def test_blocks_of_latents_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    world = make()
    given = (world.x.astype(np.float32), world.weights["W_enc"], world.weights["b_enc"], csr(world.acts > 0))
    whole = noise_moments(*given)
    monkeypatch.setattr("cofire.ingest.noise.floor._BLOCK_BYTES", 4 * 1500 * 2)
    np.testing.assert_allclose(noise_moments(*given), whole, rtol=1e-6)
    monkeypatch.setattr("cofire.ingest.noise.floor._BLOCK_BYTES", 1)
    np.testing.assert_allclose(noise_moments(*given), whole, rtol=1e-6)


def test_no_row_and_no_latent_give_nan_and_nothing() -> None:
    none = (np.zeros(1, np.int64), np.zeros(0, np.int32))
    m0, sigma0 = noise_moments(np.zeros((0, 3), np.float32), np.ones((3, 2), np.float32), None, none)
    assert np.isnan([m0, sigma0]).all()
    assert noise_moments(np.zeros((0, 3), np.float32), np.ones((3, 0), np.float32), None, none)[0].shape == (0,)
    with pytest.raises(ValueError, match="do not fit"):
        noise_moments(np.zeros((2, 3), np.float32), np.ones((4, 2), np.float32), None, csr(np.zeros((2, 2), bool)))


def test_planted_gaussian_noise_is_recovered() -> None:
    """Pre-activation = noise N(-1, .3), plus a firing of 4 on one row in fifty; sd of the estimates as MIN_OFF says."""
    rng = np.random.default_rng(7)
    rows, n = 20_000, 40
    fires = rng.random((rows, n)) < 0.02
    h = rng.normal(-1, 0.3, (rows, n)) + 4 * fires
    # The identity as encoder: x is the pre-activation itself.
    m0, sigma0 = noise_moments(h.astype(np.float32), np.eye(n, dtype=np.float32), None, csr(fires))
    step = 0.3 / np.sqrt(rows * 0.98)
    assert np.abs(m0 + 1).max() < 4 * 1.253 * step
    assert np.abs(sigma0 - 0.3).max() < 4 * 1.167 * step
    # And they vary no less than that: the tolerance above is not slack.
    assert np.std(sigma0) > 0.6 * 1.167 * step


@pytest.mark.parametrize("b_dec", [True, False])
def test_an_import_does_not_say_whether_b_dec_is_taken_off(tmp_path: Path, b_dec: bool) -> None:
    world = make(1, b_dec=b_dec)
    noise = capture_noise(capture_of(tmp_path, world))
    assert (noise.reason, noise.tokens) == (None, 1500)
    m0, sigma0 = brute(world.pre, world.acts > 0)
    assert np.isfinite(m0).all()
    np.testing.assert_allclose(noise.m0, m0, atol=0.02)
    np.testing.assert_allclose(noise.sigma0, sigma0, rtol=2e-3)


@pytest.mark.parametrize("kind", [None, "none", "layer_norm", "constant_norm_rescale"])
@pytest.mark.parametrize("b_dec", [True, False])
def test_every_normalisation(tmp_path: Path, kind: str | None, b_dec: bool) -> None:
    world = make(2, kind=kind, b_dec=b_dec)
    info = {"architecture": "jumprelu", "normalize_activations": kind, "apply_b_dec_to_input": b_dec}
    noise = capture_noise(capture_of(tmp_path, world, info))
    assert noise.reason is None
    np.testing.assert_allclose(noise.sigma0, brute(world.pre, world.acts > 0)[1], rtol=3e-3)
    # The same activations under another convention are seen not to be its own.
    for other in (
        {"normalize_activations": "layer_norm" if kind != "layer_norm" else "none"},
        {"apply_b_dec_to_input": not b_dec},
    ):
        wrong = capture_noise(capture_of(tmp_path, world, info | other))
        assert "times what rounding explains" in (wrong.reason or "")
        assert np.isnan([wrong.m0, wrong.sigma0]).all()


def test_a_top_k_that_rescales_by_decoder_norms(tmp_path: Path) -> None:
    world = make(3)
    norms = np.linalg.norm(world.weights["W_dec"], axis=1)
    world = World(world.x, world.weights, world.acts * norms, world.pre * norms)
    info = {"architecture": "topk", "apply_b_dec_to_input": True, "rescale_acts_by_decoder_norm": True}
    noise = capture_noise(capture_of(tmp_path, world, info))
    assert noise.reason is None
    np.testing.assert_allclose(noise.sigma0, brute(world.pre, world.acts > 0)[1], rtol=3e-3)
    assert capture_noise(capture_of(tmp_path, world, info, W_dec=True)).reason == "the stored weights have no W_dec"


def test_what_cannot_be_known_is_null_with_its_reason(tmp_path: Path) -> None:
    world = make(4)

    def reason(number: int, world: World = world, info: dict[str, Any] | None = None, **drop: bool) -> str:
        noise = capture_noise(capture_of(tmp_path / str(number), world, info, **drop))
        assert np.isnan([noise.m0, noise.sigma0]).all()
        assert noise.m0.shape == noise.sigma0.shape == (9,)
        assert "\n" not in (noise.reason or "")
        return noise.reason or ""

    linear = {"architecture": "standard", "apply_b_dec_to_input": True}
    assert reason(0, W_enc=True) == "the stored weights have no W_enc"
    assert reason(1, info=linear, b_dec=True) == "the stored weights have no b_dec"
    assert "no pre-activation" in reason(2, info={"architecture": "matching_pursuit"})
    assert reason(3, info={"architecture": "gated"}) == "the stored weights have no b_mag, r_mag"
    assert "crosscoder SAE encodes is not known" in reason(4, info={"architecture": "crosscoder"})
    # Residuals of other rows, weights of another SAE, activations in other units: none passes for its own.
    both = "are not (x - b_dec) W_enc + b_enc nor x W_enc + b_enc of the stored residuals"
    assert both in reason(5, World(np.roll(world.x, 1, axis=0), world.weights, world.acts, world.pre))
    assert both in reason(6, World(world.x, make(5).weights, world.acts, world.pre))
    assert both in reason(7, World(world.x, world.weights, world.acts * np.float32(1.01), world.pre))
    one_wrong = world.acts.copy()
    one_wrong[np.unravel_index(one_wrong.argmax(), one_wrong.shape)] += 0.5
    assert both in reason(8, World(world.x, world.weights, one_wrong, world.pre))
    assert "no latent fires" in reason(9, World(world.x, world.weights, world.acts * 0, world.pre))
    few = World(world.x[:199], world.weights, world.acts[:199], world.pre)
    assert reason(10, few) == "residuals of 199 tokens are stored, and 200 are the fewest"
    # A latent that is nearly always on is not known, the others are.
    lift = np.zeros(9, np.float32)
    lift[0] = 1 - world.pre[:, 0].min()
    acts = np.where(lift > 0, world.pre + lift, world.acts).astype(np.float32)
    shifted = world.weights | {"b_enc": world.weights["b_enc"] + lift}
    noise = capture_noise(capture_of(tmp_path / "11", World(world.x, shifted, acts, world.pre)))
    assert noise.reason is None
    assert np.isnan(noise.sigma0).tolist() == [True] + [False] * 8


def test_no_residuals(tmp_path: Path) -> None:
    from builders import make_capture, random_arrays

    noise = capture_noise(make_capture(tmp_path, random_arrays(0)))
    assert noise.reason == "no residuals are stored: make the capture again with x in the npz, to another --out"
    assert np.isnan(noise.sigma0).all()


def test_shards_and_the_limit_of_checked_firings_change_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make(6)
    low = np.where(np.arange(9) == 3, np.nan, 5.0)
    one = capture_of(tmp_path / "one", world)
    noise, (tokens, mean) = capture_noise(one), centroids(one, low)
    monkeypatch.setattr("cofire.ingest.import_activations.ROWS_PER_SHARD", 101)
    monkeypatch.setattr("cofire.ingest.noise.floor._CHECKED_FIRINGS", 50)
    many = capture_of(tmp_path / "many", world)
    assert len(many.manifest.shards) == 15
    np.testing.assert_array_equal(capture_noise(many).m0, noise.m0)
    np.testing.assert_array_equal(capture_noise(many).sigma0, noise.sigma0)
    again = centroids(many, low)
    np.testing.assert_array_equal(again[0], tokens)
    np.testing.assert_array_equal(again[1], mean)


def test_the_sample_is_capped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from cofire.common.hashing import place_hash

    world = make(8)
    monkeypatch.setattr("cofire.ingest.noise.floor.SAMPLE", 600)
    noise = capture_noise(capture_of(tmp_path, world))
    assert noise.tokens == 600
    rows = np.arange(1500, dtype=np.int32)
    chosen = np.argsort(place_hash(rows // 50, rows % 50))[:600]
    np.testing.assert_allclose(noise.sigma0, brute(world.pre[chosen], world.acts[chosen] > 0)[1], rtol=3e-3)


def test_centroids_equal_brute_force(tmp_path: Path) -> None:
    world = make(9)
    capture = capture_of(tmp_path, world)
    low = np.quantile(world.acts, 0.8, axis=0).astype(np.float64)
    low[2], low[5], low[7] = np.nan, 1e9, 0.0
    tokens, mean = centroids(capture, low)
    assert (tokens.dtype, mean.dtype, mean.shape) == (np.int64, np.float32, (9, 12))
    x = world.x.astype(np.float16).astype(np.float64)
    for latent in range(9):
        main = (world.acts[:, latent] > 0) & (world.acts[:, latent] >= low[latent])
        assert tokens[latent] == main.sum()
        if main.any():
            np.testing.assert_allclose(mean[latent], x[main].mean(axis=0), rtol=1e-5, atol=1e-5)
        else:
            assert np.isnan(mean[latent]).all()
    assert (tokens[[2, 5]] == 0).all()
    assert tokens[7] == (world.acts[:, 7] > 0).sum()


def test_the_constant_is_that_of_the_normal() -> None:
    from statistics import NormalDist

    assert pytest.approx(1 / NormalDist().inv_cdf(0.75), rel=1e-12) == MAD_TO_SIGMA
