"""The decoder directions of a capture's SAE, at norm 1, as rows for the graph."""

from __future__ import annotations

from pathlib import Path

from cofire.common.files import sha256_of
from cofire.errors import CaptureError
from cofire.ingest.capture_dir.directory import CaptureDir
from cofire.ingest.capture_dir.layout import WEIGHTS
from cofire.schema.cypher import MAX_DECODER_DIMS


def decoders_digest(capture: CaptureDir) -> str | None:
    """Return a fingerprint of the directions that are loaded; None where there are none.

    None means: no weights, weights without W_dec, or directions of more than `MAX_DECODER_DIMS` numbers, which no
    vector index takes.

    Raises:
        CaptureError: the weights cannot be read.
    """
    width = decoder_width(capture)
    return sha256_of(_path(capture)) if width is not None and width <= MAX_DECODER_DIMS else None


def decoder_width(capture: CaptureDir) -> int | None:
    """Return d, the length of a decoder direction, or None where the capture has none.

    Raises:
        CaptureError: the weights cannot be read.
    """
    path = _path(capture)
    if not path.is_file():
        return None
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as weights:
            return int(weights.get_slice("W_dec").get_shape()[1]) if "W_dec" in weights.keys() else None  # noqa: SIM118
    except SafetensorError as error:
        raise CaptureError(f"{path} cannot be read ({error}); capture again with --force") from error


def decoder_rows(capture: CaptureDir, start: int, stop: int) -> list[list[float] | None]:
    """Return the directions of latents `start` to `stop` (not included), each d numbers of norm 1.

    They are divided by their norm in float64 and rounded to float32. One of norm 0 or with a number that is not
    finite has no direction: None.

    Args:
        capture: a capture with W_dec [N, d].
        start: the first latent.
        stop: the latent after the last.
    """
    import numpy as np
    from safetensors import safe_open

    with safe_open(_path(capture), framework="numpy") as weights:
        directions = np.asarray(weights.get_slice("W_dec")[start:stop], np.float64)
    norms = np.linalg.norm(directions, axis=1, keepdims=True)
    good = (np.isfinite(norms) & (norms > 0)).ravel()
    unit = np.divide(directions, norms, out=np.zeros_like(directions), where=good[:, None]).astype(np.float32)
    return [row if ok else None for row, ok in zip(unit.astype(np.float64).tolist(), good, strict=True)]


def _path(capture: CaptureDir) -> Path:
    return capture.path / WEIGHTS
