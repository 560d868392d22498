"""Which firings are clear: those above their latent's noise floor (DESIGN section 6).

1. The noise floor of each latent comes from stored residuals (`noise`); nothing is known without them.
2. Where the decoder directions are known, both an activation and the noise are taken less the interference of the
   latents that fire on the same token (`denoise`). A floor alone lets a crowd of overlapping latents through: 12 to 15%
   of the edges in it are meant, 84 to 100% with the interference taken off (tests/unit/ingest/test_planted_edges.py).
3. A firing is clear above max(theta, m + 3 s), m and s being centre and spread of the noise. Whether it is, is kept on
   the disk, a bit a firing, so that all who count clear firings count the same ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cofire.common.arrays import Bools, Floats
from cofire.common.files import write_array
from cofire.common.progress import Progress
from cofire.ingest.capture_dir.directory import CaptureDir
from cofire.ingest.noise.floor import capture_noise

__all__ = ["CLEAR_SIGMAS", "ClearFirings", "clear_firings"]

CLEAR_SIGMAS = 3.0
"""By how many spreads of the noise a clear firing lies above its centre."""


@dataclass(frozen=True)
class NoiseFloors:
    """Above which activation a firing is clear.

    Attributes:
        off_median: float64 [N], centre of the pre-activation where the latent is off; NaN where unknown.
        sigma0: float64 [N], its spread.
        clear_floor: float64 [N], a firing is clear above it.
        reason: what they come from, or why there are none.
    """

    off_median: Floats
    sigma0: Floats
    clear_floor: Floats
    reason: str

    @classmethod
    def unknown(cls, n_latents: int, reason: str) -> NoiseFloors:
        """Return those of an SAE of which none is known."""
        nothing = np.full(n_latents, np.nan)
        return cls(nothing, nothing, nothing, reason)


@dataclass(frozen=True)
class ClearFirings:
    """The clear firings of a capture, on the disk.

    Attributes:
        folder: where, one file a shard.
    """

    folder: Path

    def of(self, shard: int, firings: int) -> Bools:
        """Return whether each of the `firings` firings of shard number `shard` is clear, bool [nnz]."""
        return np.unpackbits(np.load(self._file(shard)), count=firings).astype(np.bool_)

    def put(self, shard: int, clear: Bools) -> None:
        """Write down which firings of a shard are clear."""
        write_array(self._file(shard), np.packbits(clear))

    def _file(self, shard: int) -> Path:
        return self.folder / f"{shard:05d}.npy"


def clear_firings(
    capture: CaptureDir,
    threshold: Floats,
    folder: Path,
    *,
    denoise: bool,
    tell: Progress,
) -> NoiseFloors:
    """Find the noise floors, and write down which firings lie above them.

    A latent whose floor is unknown has only clear firings. Cost: that of `capture_noise`, and with `denoise` 4 L0^2
    look-ups a token in a table of 4 N^2 bytes.

    Args:
        capture: the capture.
        threshold: float64 [N], theta.
        folder: for the `ClearFirings`; nothing is written where no floor is known.
        denoise: take known interference off, where that can be.
        tell: called with (steps done, steps in all).

    Raises:
        CaptureError: a file of the capture is damaged.
    """
    shards = len(capture.manifest.shards)
    if capture.has_residuals:
        tell(0, shards)
    noise = capture_noise(capture, denoise=denoise)
    floor = np.maximum(threshold, noise.rest_m0 + CLEAR_SIGMAS * noise.rest_sigma0)
    if noise.reason is not None:
        return NoiseFloors(noise.m0, noise.sigma0, floor, noise.reason)
    folder.mkdir(parents=True, exist_ok=True)
    lowest = np.where(np.isfinite(floor), floor, -np.inf)
    for number, shard in enumerate(capture.shards()):
        values = shard.values
        if noise.interference is not None:
            values = noise.interference.less(shard.indptr, shard.indices, values)
        ClearFirings(folder).put(number, values > lowest[shard.indices])
        tell(number + 1, shards)
    words = f"residuals of {noise.tokens:,} tokens"
    unknown = int(np.isnan(floor).sum())
    if unknown:
        words += f" (too few where they are off for {unknown:,} latents)"
    if noise.interference is not None:
        words += ", firings judged less the interference of other latents"
    elif noise.plain is not None:
        words += f", firings judged as they are, for {noise.plain}"
    return NoiseFloors(noise.m0, noise.sigma0, floor, words)
