"""Taking interference off: by hand, and where the truth is known."""

from __future__ import annotations

import numpy as np

from cofire.ingest.noise.interference import LIMIT, denoised, interference
from cofire.worlds import DEV_SEEDS, crowd


def test_by_hand() -> None:
    # Latent 0 is truly at 1. 1 overlaps with it by .3 and fires at .4 (.1 is of something unknown); 2 is not touched.
    overlap = np.array([[0, 0.3, 0], [0.3, 0, 0], [0, 0, 0]], np.float32)
    indptr, indices = np.array([0, 2, 2, 3]), np.array([0, 1, 2], np.int32)
    values = np.array([1.03, 0.4, 0.7], np.float32)
    # First 1.03 - .12 = .91 and .4 - .309 = .091, which is below theta; then 1.03 and .4 - .273 = .127.
    out = denoised(indptr, indices, values, overlap, np.full(3, 0.2, np.float32))
    np.testing.assert_allclose(out, [1.03, 0.127, 0.7], rtol=1e-5)
    # With theta 0 both stay in: 1.03 - .3 .091 and .4 - .3 .91.
    out = denoised(indptr, indices, values, overlap, np.zeros(3, np.float32))
    np.testing.assert_allclose(out, [1.0027, 0.127, 0.7], rtol=1e-5)


def test_interference_leaves_near_directions_alone() -> None:
    rng = np.random.default_rng(0)
    w_dec = rng.standard_normal((50, 400)).astype(np.float32)
    w_dec[1] = w_dec[0] + 0.3 * w_dec[1]
    w_enc = rng.standard_normal((400, 50)).astype(np.float32)
    overlap = interference(w_enc, w_dec)
    dots = np.einsum("di,kd->ik", w_enc.astype(np.float64), w_dec.astype(np.float64))
    unit = w_dec / np.linalg.norm(w_dec, axis=1, keepdims=True)
    far = np.abs(unit @ unit.T) < LIMIT / 20
    assert not far[0, 1]
    assert far.mean() > 0.9
    np.testing.assert_allclose(overlap, np.where(far, dots, 0), atol=1e-3)


def test_a_dead_direction_interferes_with_nothing() -> None:
    w_dec = np.eye(3, 4, dtype=np.float32)
    w_dec[2] = 0
    assert not interference(np.ones((4, 3), np.float32), w_dec)[:, 2].any()


def test_what_is_left_in_a_crowd_is_nearer_to_the_truth() -> None:
    loud, quiet = crowd(DEV_SEEDS[0], tokens=5_000), crowd(DEV_SEEDS[0], tokens=5_000, unrelated=0)
    overlap = interference(loud.w_enc, np.ascontiguousarray(loud.w_enc.T))
    clean = denoised(loud.indptr, loud.indices, loud.values, overlap, loud.threshold.astype(np.float32))
    row = np.repeat(np.arange(5_000), np.diff(loud.indptr))
    truth = {
        (int(t), int(i)): float(v)
        for t, i, v in zip(np.repeat(np.arange(5_000), np.diff(quiet.indptr)), quiet.indices, quiet.values, strict=True)
    }
    own = loud.indices < quiet.n_latents
    wanted = np.array([truth.get((int(t), int(i)), 0.0) for t, i in zip(row[own], loud.indices[own], strict=True)])
    before, after = (np.sqrt(np.mean((v[own] - wanted) ** 2)) for v in (loud.values, clean))
    assert after < before / 3
