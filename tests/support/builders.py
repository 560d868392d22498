"""Small captures for tests, made through the public import."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from cofire.ingest.capture_dir.directory import CaptureDir
from cofire.ingest.import_activations import import_activations


def arrays_of(rows: Iterable[dict[int, float]], n_latents: int, **extra: Any) -> dict[str, Any]:
    """The npz arrays of rows given as {latent: activation}."""
    rows = [dict(sorted(row.items())) for row in rows]
    return {
        "indptr": np.cumsum([0, *(len(row) for row in rows)]),
        "indices": np.array([i for row in rows for i in row], np.int32),
        "values": np.array([v for row in rows for v in row.values()], np.float32),
        "n_latents": np.int64(n_latents),
        **extra,
    }


def random_arrays(seed: int, tokens: int = 400, n_latents: int = 12, documents: int = 5) -> dict[str, Any]:
    """Rows with latents of very different frequencies, one dead, one always on, and pairs that go together."""
    rng = np.random.default_rng(seed)
    frequency = rng.uniform(0.01, 0.5, n_latents)
    fires = rng.random((tokens, n_latents)) < frequency
    fires[:, 1] |= fires[:, 0] & (rng.random(tokens) < 0.8)
    fires[:, -1] = False
    if n_latents > 4:
        fires[:, 4] = True
    rows = [{int(i): float(rng.gamma(3.0) + 0.01) for i in np.flatnonzero(row)} for row in fires]
    vocabulary = [" of", " the", "'", '"quoted"', "\n", "日本", " naïve", "\\", "{x}", "`"]
    return arrays_of(
        rows,
        n_latents,
        doc=np.sort(rng.integers(0, documents, tokens)),
        token=rng.integers(0, len(vocabulary), tokens),
        token_text=np.array(vocabulary),
    )


def make_capture(
    folder: Path, arrays: dict[str, Any], *, release: str = "test", sae_id: str = "a/b", model: str | None = "tiny"
) -> CaptureDir:
    """Import arrays as a capture under `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    npz = folder / "acts.npz"
    np.savez(npz, **arrays)
    return import_activations(npz, folder / "capture", release=release, sae_id=sae_id, model=model, layer=3)


def dense(arrays: dict[str, Any]) -> np.ndarray[Any, np.dtype[np.float32]]:
    """The arrays as a dense [T, N] matrix of activations."""
    tokens = len(arrays["indptr"]) - 1
    matrix = np.zeros((tokens, int(arrays["n_latents"])), np.float32)
    matrix[np.repeat(np.arange(tokens), np.diff(arrays["indptr"])), arrays["indices"]] = arrays["values"]
    return matrix
