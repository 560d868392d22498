"""The decoder directions of a capture's SAE, at norm 1, as rows for the graph."""

from __future__ import annotations

from cofire.common.files import sha256_of
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
    return sha256_of(capture.path / WEIGHTS) if width is not None and width <= MAX_DECODER_DIMS else None


def decoder_width(capture: CaptureDir) -> int | None:
    """Return d, the length of a decoder direction, or None where the capture has none.

    Raises:
        CaptureError: the weights cannot be read.
    """
    weights = capture.weights()
    return weights.shape("W_dec")[1] if "W_dec" in weights else None


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

    directions = np.asarray(capture.weights().rows("W_dec", start, stop), np.float64)
    norms = np.linalg.norm(directions, axis=1, keepdims=True)
    good = (np.isfinite(norms) & (norms > 0)).ravel()
    unit = np.divide(directions, norms, out=np.zeros_like(directions), where=good[:, None]).astype(np.float32)
    return [row if ok else None for row, ok in zip(unit.astype(np.float64).tolist(), good, strict=True)]
