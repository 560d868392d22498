"""Which firings are clear, against a plain computation on dense arrays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from builders import arrays_of, make_capture, random_arrays
from cofire.ingest.capture_dir.directory import CaptureDir
from cofire.ingest.import_activations import import_activations
from cofire.ingest.noise.clear import ClearFirings, clear_firings
from cofire.ingest.noise.floor import MAD_TO_SIGMA

Array = np.ndarray[Any, np.dtype[Any]]
N, D, T, THETA = 40, 256, 1500, 0.5


def world(folder: Path, seed: int) -> tuple[CaptureDir, Array, Array, Array]:
    """A capture of overlapping directions: it, what the SAE reads x [T, D], pre-activations h [T, N], directions."""
    rng = np.random.default_rng(seed)
    directions = rng.standard_normal((N, D))
    directions[1] = directions[0] + 0.8 * directions[1]
    directions = (directions / np.linalg.norm(directions, axis=1, keepdims=True)).astype(np.float32)
    active = np.where(rng.random((T, N)) < 0.2, rng.uniform(1, 3, (T, N)), 0)
    x = (active @ directions + rng.normal(0, 0.03, (T, D))).astype(np.float16)
    h = x.astype(np.float32) @ directions.T
    a = np.where(h > THETA, h, 0)
    rows = [{int(i): float(row[i]) for i in np.flatnonzero(row)} for row in a]
    folder.mkdir(parents=True)
    np.savez(folder / "acts.npz", **arrays_of(rows, N, x=x))
    threshold = np.full(N, THETA, np.float32)
    weights = {"W_enc": np.ascontiguousarray(directions.T), "W_dec": directions, "threshold": threshold}
    save_file(weights, folder / "w.safetensors")
    capture = import_activations(
        folder / "acts.npz", folder / "capture", release="test", sae_id="crowd", weights=folder / "w.safetensors"
    )
    return capture, x.astype(np.float64), h.astype(np.float64), directions.astype(np.float64)


def plain(x: Array, h: Array, directions: Array, denoise: bool) -> tuple[Array, Array]:
    """Activations and floors as they are judged, [T, N] and [N]."""
    fires = h > THETA
    values, rest = np.where(fires, h, 0), h
    if denoise:
        overlap = directions @ directions.T
        overlap[np.abs(overlap) >= 4 / np.sqrt(D)] = 0
        once = values - values @ overlap.T
        values = np.where(fires, h - np.where(fires & (once > THETA), once, 0) @ overlap.T, 0)
        rest = (x - np.where(values > THETA, values, 0) @ directions) @ directions.T
    off = np.where(fires, np.nan, rest)
    m0 = np.nanmedian(off, axis=0)
    sigma0 = MAD_TO_SIGMA * np.nanmedian(np.abs(off - m0), axis=0)
    return values, np.maximum(THETA, m0 + 3 * sigma0)


@pytest.mark.parametrize("denoise", [True, False])
@pytest.mark.parametrize("rows", [65_536, 400])
def test_clear_firings_are_those_of_the_formula(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, denoise: bool, rows: int
) -> None:
    monkeypatch.setattr("cofire.ingest.import_activations.ROWS_PER_SHARD", rows)
    capture, x, h, directions = world(tmp_path / "w", 400)
    told: list[tuple[int, int]] = []
    found = clear_firings(
        capture, np.full(N, THETA), tmp_path / "clear", denoise=denoise, tell=lambda *step: told.append(step)
    )
    values, floor = plain(x, h, directions, denoise)
    np.testing.assert_allclose(found.clear_floor, floor, rtol=1e-4)
    clear = ClearFirings(tmp_path / "clear")
    got = np.zeros((T, N), np.bool_)
    start = 0
    for number, shard in enumerate(capture.shards()):
        row = start + np.repeat(np.arange(shard.rows), np.diff(shard.indptr))
        got[row, shard.indices] = clear.of(number, len(shard.indices))
        start += shard.rows
    sure = np.abs(values - floor) > 1e-4 * floor
    assert sure[h > THETA].mean() > 0.999
    np.testing.assert_array_equal(got[sure], ((h > THETA) & (values > floor))[sure])
    assert told[-1] == (len(capture.manifest.shards),) * 2
    assert ("less the interference" in found.reason) is denoise


def test_without_residuals_nothing_is_known_and_nothing_written(tmp_path: Path) -> None:
    capture = make_capture(tmp_path, random_arrays(0))
    found = clear_firings(capture, np.zeros(12), tmp_path / "clear", denoise=True, tell=lambda *_: None)
    assert np.isnan(found.clear_floor).all()
    assert "no residuals" in found.reason
    assert not (tmp_path / "clear").exists()


def test_wide_saes_are_judged_as_they_are_and_say_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cofire.ingest.noise.interference.MAX_LATENTS", N - 1)
    capture = world(tmp_path / "w", 402)[0]
    found = clear_firings(capture, np.full(N, THETA), tmp_path / "clear", denoise=True, tell=lambda *_: None)
    assert found.reason.endswith(f"judged as they are, for it has more than {N - 1} latents")
