"""The clear firings of a capture, shard by shard, as often as they are asked for."""

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
