"""What counts as a firing where cofire looks at activations again after the count: the clear ones, as `count` saw them.

1. the floor of each latent is the table `latents`' clear_floor; a latent without one has only clear firings.
2. where the floors were found with known interference taken off the activations, it is taken off here too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa

    from cofire.common.arrays import Floats, Singles
    from cofire.ingest.capture_dir.directory import CaptureDir
    from cofire.ingest.capture_dir.shard import Shard


@dataclass(frozen=True)
class ClearValues:
    """The arguments `floor` and `values` of `cluster_tokens`.

    Attributes:
        floor: float64 [N], a firing counts where its activation is above it, and above 0; NaN counts all. None where
            none is known.
        values: returns float32 [nnz], a shard's activations less known interference; None to take them as they are.
    """

    floor: Floats | None
    values: Callable[[Shard], Singles] | None


def clear_values(capture: CaptureDir, latents: pa.Table) -> ClearValues:
    """Return what counts as a firing of a counted capture.

    Cost: where floors are known, a look at the capture's residuals, and 4 N^2 bytes for the interference.

    Args:
        capture: the capture.
        latents: its table of latents, with the column clear_floor.

    Raises:
        CaptureError: a file of the capture is damaged.
    """
    from cofire.ingest.capture_dir.table_files import table_infos
    from cofire.ingest.noise.floor import capture_noise

    floor = np.asarray(latents.column("clear_floor").to_numpy(zero_copy_only=False), dtype=np.float64)
    if not np.isfinite(floor).any():
        return ClearValues(None, None)
    info = table_infos(capture).get("latents")
    if info is None or not info.settings.get("denoise"):
        return ClearValues(floor, None)
    interference = capture_noise(capture, denoise=True).interference
    if interference is None:
        return ClearValues(floor, None)
    return ClearValues(floor, lambda shard: interference.less(shard.indptr, shard.indices, shard.values))
