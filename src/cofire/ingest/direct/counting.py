"""Where triples are counted: on this machine, or on a Ray cluster. It changes no result."""

from __future__ import annotations

from collections.abc import Iterator

from cofire.common.arrays import Ints
from cofire.common.progress import StageProgress
from cofire.ingest.capture_dir.directory import CaptureDir
from cofire.ingest.capture_dir.shard import Shard
from cofire.ingest.direct.direct import CountTriples
from cofire.ingest.direct.triples import Triples, count_triples
from cofire.ingest.noise.clear import ClearFirings
from cofire.ingest.pairs.engine import Engine


def triple_counting(
    capture: CaptureDir, clear: ClearFirings | None, engine: Engine, progress: StageProgress
) -> CountTriples:
    """Return what counts the triples of a capture.

    Args:
        capture: the capture.
        clear: the clear firings, if these alone count.
        engine: where they are counted; a GPU that it names has no part in it.
        progress: called with (stage, shards done, shards in all).
    """
    total = len(capture.manifest.shards)

    def shards(stage: str) -> Iterator[Shard]:
        for number, shard in enumerate(capture.shards()):
            yield shard
            progress(stage, number + 1, total)

    def here(triples: Triples, memory: int, stage: str) -> Ints:
        return count_triples(triples, memory, shards(stage), clear)

    def on_cluster(triples: Triples, memory: int, stage: str) -> Ints:
        from cofire.ingest.direct.ray_triples import ray_triples

        return ray_triples(
            capture,
            triples,
            memory=memory,
            clear=clear,
            tell=lambda done: progress(stage, done, total),
            address=engine.address,
        )

    return on_cluster if engine.engine == "ray" else here
