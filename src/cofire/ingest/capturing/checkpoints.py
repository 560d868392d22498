"""When the running counts of captures are put on the disk (`running_counts` says how)."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager

from cofire.ingest.capture_dir.layout import COUNTS, SPILL
from cofire.ingest.capturing.places import Place
from cofire.ingest.capturing.running_counts import checkpoint, resume_counts
from cofire.ingest.pairs.tally import CHECKPOINT_SECONDS, CHECKPOINT_SHARE


class Checkpoints:
    """Puts the running counts of some captures on the disk, now and then."""

    def __init__(self, places: list[Place]) -> None:
        self._places = places
        self._since = time.monotonic()
        self._took = 0.0

    def after_shard(self) -> None:
        """Put them on the disk if that is due."""
        if time.monotonic() - self._since > max(CHECKPOINT_SECONDS, self._took / CHECKPOINT_SHARE):
            self.write()

    def write(self) -> None:
        """Put on the disk whatever is not there yet."""
        begun = time.monotonic()
        for place in self._places:
            if place.running is not None and place.running.shards > place.begun.done:
                checkpoint(place.path, place.begun, place.running)
        self._since = time.monotonic()
        self._took = self._since - begun


@contextmanager
def counting(places: list[Place], memory: int) -> Iterator[Checkpoints]:
    """Give each place its running counts: new ones, or those of its last checkpoint.

    Args:
        places: captures whose manifests have begun; they are held for writing.
        memory: bytes for the counters of all of them, in equal parts.
    """
    try:
        for place in places:
            place.running = resume_counts(place.path, place.begun, memory=memory // len(places))
        yield Checkpoints(places)
    finally:
        for place in places:
            if place.running is not None:
                place.running.close()
                place.running = None
                shutil.rmtree(place.path / COUNTS / SPILL)
