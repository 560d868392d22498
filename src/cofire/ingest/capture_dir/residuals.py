"""Residuals of a sample of the counted tokens: what the SAE read there, beside each shard as float16.

`CAPTURE/residuals/residuals-NNNNN.safetensors` belongs to the shard of the same number and holds `rows` int32 [r] (row
numbers within the shard, ascending), `x` float16 [r, d] and `exponent` int16 [r]: what the SAE read on a row, before
its own normalisation, is x * 2^exponent. The exponent is 0 unless the row's largest number is below 1 or beyond
float16; so no number overflows, and small ones keep their eleven bits.

Whether a token is in the sample is decided by a hash of its document and position, so the sample is the same however
the text is cut into batches and shards, and a smaller share is part of a larger one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cofire.common.arrays import Array, Bools, Halves, Ints32, Singles
from cofire.common.files import AGAIN, sha256_of, unreadable, write_tensors
from cofire.common.hashing import place_hash
from cofire.errors import CaptureError
from cofire.ingest.capture_dir.layout import RESIDUALS, residuals_file
from cofire.ingest.capture_dir.manifest import ResidualInfo

RESIDUAL_SHARE = 0.1
"""The share that is stored where none is given: d / 5 bytes a token, 115 at d = 576, where a shard takes 220 for 32
latents; 330,000 tokens then fill the sample that the noise floor uses."""

_CHUNK = 4096


@dataclass(frozen=True)
class Residuals:
    """The sampled rows of one shard.

    Attributes:
        number: of the shard.
        rows: int32 [r], row numbers within the shard, ascending.
        half: float16 [r, d], the residuals less their exponent.
        exponent: int16 [r].
    """

    number: int
    rows: Ints32
    half: Halves
    exponent: npt.NDArray[np.int16]

    def chunks(self) -> Iterator[tuple[Ints32, Singles]]:
        """Yield rows int32 [c] and residuals float32 [c, d], at most 4,096 rows at a time."""
        for start in range(0, len(self.rows), _CHUNK):
            part = slice(start, start + _CHUNK)
            yield self.rows[part], to_single(self.half[part], self.exponent[part])


def sampled(document: Ints32, position: Ints32, share: float | None) -> Bools:
    """Tell which tokens are in the sample, bool [R].

    Args:
        document: int32 [R].
        position: int32 [R].
        share: the expected share of tokens in the sample, above 0 and at most 1 (all); None for none.
    """
    if share is None:
        return np.zeros(len(document), np.bool_)
    # 53 bits, so that the quotient is exact and below 1.
    return (place_hash(document, position) >> np.uint64(11)).astype(np.float64) * 2.0**-53 < share


def to_half(x: Array) -> tuple[Halves, npt.NDArray[np.int16]]:
    """Return x, finite floats [r, d], as float16 [r, d] and an exponent of 2 for each row, int16 [r]."""
    half = np.empty(x.shape, np.float16)
    exponent = np.zeros(len(x), np.int16)
    for start in range(0, len(x), _CHUNK):
        part = slice(start, start + _CHUNK)
        single = x[part].astype(np.float32)
        largest = np.abs(single).max(axis=1, initial=0.0)
        # The largest number of a scaled row comes to lie in [2^14, 2^15), a factor of two below float16's largest.
        scaled = (largest > np.finfo(np.float16).max) | ((largest < 1) & (largest > 0))
        exponent[part] = np.where(scaled, np.frexp(largest)[1] - 15, 0)
        half[part] = np.ldexp(single, -exponent[part, None].astype(np.int32))
    return half, exponent


def to_single(half: Halves, exponent: npt.NDArray[np.int16]) -> Singles:
    """Return half * 2^exponent, float32 [r, d], all finite where half is."""
    with np.errstate(over="ignore"):
        x = np.ldexp(half.astype(np.float32), exponent[:, None].astype(np.int32))
    # Numbers within 2^-12 of float32's largest were rounded up to 2^128.
    largest = np.finfo(np.float32).max
    return np.clip(x, -largest, largest, out=x)


def write_residuals(capture: Path, number: int, rows: Ints32, x: Array) -> ResidualInfo:
    """Write the residuals of a shard, and return what the manifest says of them.

    Args:
        capture: the capture directory.
        number: of the shard.
        rows: int32 [r], row numbers within the shard, ascending.
        x: finite floats [r, d], what the SAE read on these rows.
    """
    half, exponent = to_half(x)
    file = residuals_file(number)
    (capture / RESIDUALS).mkdir(exist_ok=True)
    write_tensors(capture / file, {"rows": rows.astype(np.int32), "x": half, "exponent": exponent})
    return ResidualInfo(file=file, rows=len(rows), sha256=sha256_of(capture / file))


def read_residuals(capture: Path, number: int, info: ResidualInfo, shard_rows: int) -> Residuals:
    """Read the residuals of a shard that has `shard_rows` rows.

    Raises:
        CaptureError: the file cannot be read, or does not hold what the manifest says.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    path = capture / info.file
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise unreadable(path, error) from error
    shapes = {name: (tensor.dtype.name, tensor.shape[:1], tensor.ndim) for name, tensor in tensors.items()}
    r = (info.rows,)
    sound = shapes == {"rows": ("int32", r, 1), "x": ("float16", r, 2), "exponent": ("int16", r, 1)}
    if sound:
        rows = tensors["rows"]
        ascending = bool((np.diff(rows, prepend=-1) > 0).all()) and bool((rows < shard_rows).all())
        sound = ascending and bool(np.isfinite(tensors["x"]).all())
    if not sound:
        raise CaptureError(f"{path} does not hold what the manifest says; {AGAIN}")
    return Residuals(number, tensors["rows"], tensors["x"], tensors["exponent"])
