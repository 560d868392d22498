"""Put a planted world on the disk as a capture, so that the whole pipeline (count, analyze) runs on it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cofire.worlds.world import ShownWorld

if TYPE_CHECKING:
    from cofire.ingest.capture_dir.directory import CaptureDir


def write_capture(world: ShownWorld, out: Path, *, release: str = "worlds", sae_id: str) -> CaptureDir:
    """Write a world as a capture directory, by `cofire.ingest.import_activations`.

    The capture has the thresholds, and the encoder, decoder and residuals where the world has them. It has no tokens.

    Args:
        world: the world.
        out: the capture directory to make.
        release: the release under which it stands.
        sae_id: its id within the release.

    Raises:
        CaptureError: `out` holds another capture.
    """
    from safetensors.numpy import save_file

    from cofire.ingest.import_activations import import_activations

    arrays: dict[str, Any] = {
        "indptr": world.indptr,
        "indices": world.indices,
        "values": world.values,
        "n_latents": np.int64(world.n_latents),
        "doc": world.document,
    }
    if world.x is not None:
        arrays["x"] = world.x
    tensors = {**world.weights, "threshold": world.threshold.astype(np.float32)}
    with tempfile.TemporaryDirectory() as scratch:
        npz, weights = Path(scratch) / "activations.npz", Path(scratch) / "weights.safetensors"
        np.savez(npz, **arrays)
        save_file({name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}, weights)
        return import_activations(npz, out, release=release, sae_id=sae_id, weights=weights)
