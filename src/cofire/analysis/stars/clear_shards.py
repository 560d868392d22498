"""The clear firings of a capture, shard by shard, as often as they are asked for.

Where an activation lies within float32 rounding of its latent's floor, another processor, or another number of
threads, may find it on the other side than the count did: some two firings in 64 million. So nothing here takes the
tables' clear counts for exact.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cofire.analysis.activations.clear_values import ClearValues, clear_values
from cofire.common.csr import pick_entries
from cofire.ingest.noise.clear import ClearFirings

if TYPE_CHECKING:
    import pyarrow as pa

    from cofire.common.arrays import Bools, Floats, Ints, Ints32
    from cofire.ingest.capture_dir.directory import CaptureDir
    from cofire.ingest.capture_dir.shard import Shard


class ClearShards:
    """The shards of a capture with their clear firings alone; which they are is kept in `folder` for the next pass."""

    def __init__(self, capture: CaptureDir, latents: pa.Table, folder: Path) -> None:
        self._capture, self._latents = capture, latents
        self._bits = ClearFirings(folder)
        folder.mkdir(parents=True, exist_ok=True)

    @cached_property
    def _rule(self) -> ClearValues:
        return clear_values(self._capture, self._latents)

    @property
    def worked_out(self) -> bool:
        """Whether some firings are not clear: which is worked out here, as the count did."""
        return self._rule.floor is not None

    def firings(self, tell: Callable[[int], None]) -> Ints:
        """Return how many clear firings each latent has, int64 [N], by a pass of its own."""
        total = np.zeros(self._capture.manifest.n_latents, np.int64)
        for _, _, indices in self.shards(tell):
            total += np.bincount(indices, minlength=len(total))
        return total

    def shards(self, tell: Callable[[int], None]) -> Iterator[tuple[Ints32, Ints, Ints32]]:
        """Yield document, indptr and indices of each shard (see `gathered`)."""
        for number, shard in enumerate(self._capture.shards()):
            indptr, indices = shard.indptr, shard.indices
            if self._rule.floor is not None:
                indptr, indices = pick_entries(indptr, indices, self._of(number, shard, self._rule.floor))
            yield shard.document, indptr, indices
            tell(1)

    def _of(self, number: int, shard: Shard, floor: Floats) -> Bools:
        try:
            return self._bits.of(number, len(shard.indices))
        except FileNotFoundError:
            values = shard.values if self._rule.values is None else self._rule.values(shard)
            # As `count` has it: a latent whose floor is unknown has only clear firings.
            clear = values > np.where(np.isfinite(floor), floor, -np.inf)[shard.indices]
            self._bits.put(number, clear)
            return clear
