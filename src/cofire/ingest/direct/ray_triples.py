"""Triple counts on a Ray cluster: the same to the integer, whatever the nodes.

The shards are cut into ranges of about as many tokens; each is counted by one remote task, and the driver adds the
counts up as they come. What the pair counts ask of nodes and tell of faults holds here too (`ray_engine`).
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import metadata
from typing import Any

import numpy as np

from cofire.common.arrays import Ints
from cofire.common.files import sha256_of
from cofire.errors import CaptureError
from cofire.ingest.capture_dir.directory import CaptureDir
from cofire.ingest.capture_dir.layout import MANIFEST
from cofire.ingest.direct.triples import Triples, count_triples
from cofire.ingest.noise.clear import ClearFirings
from cofire.ingest.pairs.ray_cluster import RETRIES, cluster
from cofire.ingest.pairs.ray_engine import (
    WAVES_AT_ONCE,
    Walk,
    check_seen,
    even_ranges,
    fetched,
    open_here,
    room,
)


def ray_triples(
    capture: CaptureDir,
    triples: Triples,
    *,
    memory: int,
    clear: ClearFirings | None,
    tell: Callable[[int], None],
    address: str | None,
) -> Ints:
    """Return n_ijh over all shards, int64 [M, K]; the result is that of `count_triples`.

    Memory: here the sum, 8 K bytes an edge, and one result; a task has the triples, its counts and `memory`. Ray's
    object stores hold the triples once a node, and the results that wait to be added.

    Args:
        capture: the capture; every node must see it under its absolute path.
        triples: what is to be counted.
        memory: see `TripleCounter`, in each task.
        clear: the clear firings, if these alone count; every node must see their folder.
        tell: called with the number of shards done.
        address: of the cluster; see `cluster`.

    Raises:
        InputError, CaptureError, StoreError, CofireError: as `cofire.ingest.pairs.ray_engine.ray_tally`.
    """
    import ray

    rows = [shard.rows for shard in capture.manifest.shards]
    path = capture.path.resolve()
    walk = Walk(
        capture=path,
        manifest=sha256_of(path / MANIFEST),
        version=metadata.version("cofire"),
        n_latents=capture.manifest.n_latents,
        memory=memory,
        frequent=np.zeros(0, np.int32),
        clear=clear,
    )
    counts: Ints = np.zeros(triples.witness.shape, np.int64)
    with cluster(address):
        wants, slots = room(memory + 2 * counts.nbytes)
        # No GPU is of use here.
        task = ray.remote(count_range).options(**{**wants, "num_gpus": 0}, max_retries=RETRIES)
        shared, wanted = ray.put(walk), ray.put(triples)
        waiting: list[Any] = []
        done = 0

        def add_one() -> int:
            ready = ray.wait(waiting, num_returns=1)[0][0]
            waiting.remove(ready)
            shards, found = fetched(ready)
            counts[:] += found
            return int(shards)

        for start, stop in even_ranges(rows, 0, slots):
            if len(waiting) == WAVES_AT_ONCE * slots:
                tell(done := done + add_one())
            waiting.append(task.remote(shared, wanted, start, stop))
        while waiting:
            tell(done := done + add_one())
    return counts


def count_range(walk: Walk, triples: Triples, start: int, stop: int) -> tuple[int, Ints]:
    """Count the shards start..stop-1 (a remote task); return how many they are, and n_ijh, int64 [M, K].

    Raises:
        InputError: this node has another version of cofire.
        CaptureError: this node does not see the capture, or it is damaged.
    """
    try:
        shards = open_here(walk).shards(start, stop)
        return stop - start, count_triples(triples, walk.memory, shards, walk.clear, first=start)
    except (CaptureError, OSError):
        # A file system that went away while a task ran looks like a damaged capture.
        check_seen(walk)
        raise
