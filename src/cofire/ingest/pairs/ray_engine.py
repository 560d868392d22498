"""The walk of `tally` on a Ray cluster: the same counts to the integer, whatever the nodes.

1. The shards that are still to be counted are cut into ranges of about as many tokens, and the ranges into waves: as
   many ranges as the cluster counts at a time.
2. Each range is counted by one remote task, from an empty tally. Further tasks merge two results at a time until one
   of the wave is left.
3. That one comes to the driver and joins its tally, while the next wave is being counted. Once a minute the driver puts
   its tally on the disk, as the local walk does, so either goes on from what the other has left.

Between the tasks travel the files of saved tallies, as arrays of bytes in Ray's object store. A task whose worker or
node dies is run again by Ray; an error is not tried again.
"""

from __future__ import annotations

import shutil
import socket
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cofire.common.arrays import Ints32
from cofire.common.characters import first_line
from cofire.common.files import sha256_of, writing
from cofire.errors import CaptureError, CofireError, InputError, StoreError
from cofire.ingest.capture_dir.directory import CaptureDir
from cofire.ingest.capture_dir.layout import MANIFEST
from cofire.ingest.noise.clear import ClearFirings
from cofire.ingest.pairs.ray_cluster import RETRIES, cluster, scratch
from cofire.ingest.pairs.tally import CHECKPOINT_SECONDS, Tally, begin_walk, save_walk

State = dict[str, npt.NDArray[np.uint8]]
"""A saved tally: the bytes of each of its files, by path."""

RANGES_PER_SLOT = 4
"""Ranges for each task that runs at a time: what one lost worker costs, and how evenly the cluster ends."""
MIN_RANGE_TOKENS, MAX_RANGE_TOKENS = 2**22, 2**25
"""Saving and merging a count takes seconds, as long as counting a million tokens: a range is to be well above that,
and still no more than minutes."""
WAVES_AT_ONCE = 2


@dataclass(frozen=True)
class Walk:
    """What all tasks of a walk have in common.

    Attributes:
        capture: absolute path of the capture, the same on every node.
        manifest: SHA-256 of its manifest.
        version: of cofire.
        n_latents: N.
        memory: bound in bytes on the counters of a task.
        frequent: see `Tally.add`.
        clear: the clear firings, if these alone count; every node must see their folder, which is in the capture.
    """

    capture: Path
    manifest: str
    version: str
    n_latents: int
    memory: int
    frequent: Ints32
    clear: ClearFirings | None


@dataclass(frozen=True)
class _Wave:
    """A wave that was sent: its end, and references to what tells of each range that it is counted, and to the sum."""

    stop: int
    counting: set[Any]
    state: Any


def ray_tally(
    capture: CaptureDir,
    work: Path,
    name: str,
    *,
    memory: int,
    frequent: Ints32,
    clear: ClearFirings | None,
    tell: Callable[[int], None],
    address: str | None,
) -> Tally:
    """Walk over a capture on a Ray cluster; the result is that of `tally`.

    Memory: `memory` bytes for the joint firings, a quarter more for the strata, here and in every task, and one shard
    there. Besides, Ray's object stores hold the saved tallies of two waves, of the ranges that have not been merged.

    Args:
        capture: the capture; every node must see it under its absolute path.
        work: directory of this machine for what is put on the disk.
        name: of the walk.
        memory: bound in bytes; it changes no count.
        frequent: see `Tally.add`.
        clear: see `tally`.
        tell: called with the number of shards done; the merging of what is told may be ahead.
        address: of the cluster; see `cluster`.

    Raises:
        InputError: Ray is not installed, the address is wrong, no node can run a task with this memory, or nodes differ
            in their version of cofire.
        CaptureError: a node does not see the capture, or it is damaged.
        StoreError: the cluster could not be reached, or workers kept dying.
        CofireError: a task failed otherwise.
    """
    n = capture.manifest.n_latents
    # What joins is held beside what it joins.
    half = memory // 2
    done, counted, spill = begin_walk(work, name, n, memory=half)
    total = len(capture.manifest.shards)
    if done == total:
        return counted
    path = capture.path.resolve()
    walk = Walk(path, sha256_of(path / MANIFEST), metadata.version("cofire"), n, memory, frequent, clear)
    begun = time.monotonic()
    with cluster(address):
        for stop, state in _waves([shard.rows for shard in capture.manifest.shards], done, walk, tell):
            _join(counted, state, spill / "wave", half)
            if time.monotonic() - begun > CHECKPOINT_SECONDS:
                save_walk(counted, work, name, stop)
                begun = time.monotonic() if stop < total else begun
    return counted


def count_range(walk: Walk, start: int, stop: int) -> tuple[int, State]:
    """Count the shards start..stop-1 (a remote task); return how many they are, and the saved tally.

    Raises:
        InputError: this node has another version of cofire.
        CaptureError: this node does not see the capture, or it is damaged.
    """
    try:
        capture = open_here(walk)
        with scratch("cofire-task-") as work:
            counted = Tally.empty(walk.n_latents, memory=walk.memory, work=work, device="cuda" if _gpu() else "cpu")
            for number, shard in enumerate(capture.shards(start, stop), start=start):
                clear = None if walk.clear is None else walk.clear.of(number, len(shard.indices))
                counted.add(shard, walk.frequent, clear)
            return stop - start, _packed(counted, work / "saved")
    except (CaptureError, OSError):
        # A file system that went away while a task ran looks like a damaged capture.
        check_seen(walk)
        raise


def merge_states(a: State, b: State, memory: int) -> State:
    """Return two saved tallies as one (a remote task), with `memory` bytes for both."""
    with scratch("cofire-task-") as work:
        counted = _unpacked(a, work / "a", memory // 2)
        _join(counted, b, work / "b", memory // 2)
        return _packed(counted, work / "saved")


def open_here(walk: Walk) -> CaptureDir:
    """Open the capture of a walk on the node where this runs.

    Raises:
        InputError: this node has another version of cofire.
        CaptureError: this node does not see the capture, or another one.
    """
    host = socket.gethostname()
    here = metadata.version("cofire")
    if walk.version != here:
        raise InputError(f"node {host} has cofire {here}, the driver {walk.version}; install one on all nodes")
    check_seen(walk)
    if walk.clear is not None and not walk.clear.folder.is_dir():
        raise CaptureError(
            f"node {host} does not see {walk.clear.folder}; where clear firings are counted, all nodes must see "
            "the same file system, not a copy of the capture"
        )
    if sha256_of(walk.capture / MANIFEST) != walk.manifest:
        raise CaptureError(f"node {host} sees another capture at {walk.capture}; all nodes must see the same files")
    return CaptureDir.open(walk.capture)


def check_seen(walk: Walk) -> None:
    """Raise a CaptureError where this node does not see the capture."""
    try:
        seen = (walk.capture / MANIFEST).is_file()
    except OSError:  # a stale mount
        seen = False
    if not seen:
        host = socket.gethostname()
        raise CaptureError(f"node {host} does not see {walk.capture}; put the capture where all nodes see it")


def _gpu() -> bool:
    """Return True where Ray has given this task a GPU, and torch is there and sees it."""
    import ray

    # Outside of a task, asking would start a cluster.
    if not (ray.is_initialized() and ray.get_gpu_ids()):
        return False
    try:
        import torch
    except ModuleNotFoundError:
        return False
    return torch.cuda.is_available()


def _packed(counted: Tally, folder: Path) -> State:
    """Save a tally into a new directory and close it; return the files, mapped: they need not stay on the disk."""
    counted.save(folder)
    counted.close()
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    # A plain array of bytes goes to the object store as it is, without a copy in between.
    return {path.relative_to(folder).as_posix(): np.asarray(np.memmap(path, np.uint8, "r")) for path in files}


def _unpacked(state: State, folder: Path, memory: int) -> Tally:
    """Write a saved tally into a new directory, and load it; what it spills stays there."""
    for name, data in state.items():
        path = folder / "saved" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with writing(path) as file:
            file.write(data.data)
    counted = Tally.load(folder / "saved", memory=memory, work=folder)
    shutil.rmtree(folder / "saved")
    return counted


def _join(counted: Tally, state: State, folder: Path, memory: int) -> None:
    """Add a saved tally to `counted`."""
    other = _unpacked(state, folder, memory)
    counted.merge(other)
    other.close()
    shutil.rmtree(folder)


def _waves(rows: list[int], first: int, walk: Walk, tell: Callable[[int], None]) -> Iterator[tuple[int, State]]:
    """Have the shards from `first` counted.

    Args:
        rows: tokens of each shard.
        first: first shard to be counted.
        walk: what the tasks must know.
        tell: called with the number of shards done.

    Yields:
        The end of each wave, and the saved tally of its shards, in order.
    """
    import ray

    wants, slots = room(walk.memory)
    ranges = even_ranges(rows, first, slots)
    count = ray.remote(count_range).options(**wants, num_returns=2, max_retries=RETRIES)
    # No GPU is wanted for merging.
    merge = ray.remote(merge_states).options(**{**wants, "num_gpus": 0}, max_retries=RETRIES)
    shared = ray.put(walk)
    counting: set[Any] = set()
    sent: deque[_Wave] = deque()
    told = first

    def send(wave: list[tuple[int, int]]) -> None:
        refs = [count.remote(shared, start, stop) for start, stop in wave]
        counting.update(shards for shards, _ in refs)
        # No reference to a range's state is kept here, so that it goes as soon as it is merged.
        states = [state for _, state in refs]
        while len(states) > 1:
            pairs = zip(states[0:-1:2], states[1::2], strict=True)
            states = [merge.remote(a, b, walk.memory) for a, b in pairs] + states[len(states) // 2 * 2 :]
        sent.append(_Wave(wave[-1][1], {shards for shards, _ in refs}, states[0]))

    def receive() -> tuple[int, State]:
        nonlocal told
        wave = sent.popleft()
        while wave.counting & counting:
            ready, _ = ray.wait(list(counting), num_returns=1, fetch_local=False)
            counting.difference_update(ready)
            told += sum(fetched(shards) for shards in ready)
            tell(told)
        return wave.stop, fetched(wave.state)

    for at in range(0, len(ranges), slots):
        if len(sent) == WAVES_AT_ONCE:
            yield receive()
        send(ranges[at : at + slots])
    while sent:
        yield receive()


def even_ranges(rows: list[int], first: int, slots: int) -> list[tuple[int, int]]:
    """Cut the shards from `first` into the ranges that so many tasks at a time are to count."""
    even = sum(rows[first:]) // (RANGES_PER_SLOT * slots) + 1
    return cut(rows, first, min(max(even, MIN_RANGE_TOKENS), MAX_RANGE_TOKENS))


def cut(rows: list[int], first: int, tokens: int) -> list[tuple[int, int]]:
    """Cut the shards from `first` into ranges (start, stop) that end with the shard that brings `tokens` together."""
    ranges = []
    start, held = first, 0
    for number in range(first, len(rows)):
        held += rows[number]
        if held >= tokens or number == len(rows) - 1:
            ranges.append((start, number + 1))
            start, held = number + 1, 0
    return ranges


def room(memory: int) -> tuple[dict[str, float], int]:
    """Return what a task asks for, and how many of them the cluster runs at a time.

    The counters use all the CPUs that they find, so a task has the node to itself, or its share of a larger node; on a
    cluster with GPUs it has a GPU.

    Raises:
        InputError: no node can run such a task.
    """
    import ray

    need = memory + memory // 4
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    able = [node for node in nodes if node.get("CPU", 0) >= 1 and node.get("memory", 0) >= need]
    if not able:
        raise InputError(f"no node of the cluster has a CPU and {need:,} bytes of memory to give; give less --memory")
    gpus = int(sum(node.get("GPU", 0) for node in able))
    if gpus:
        return {"num_cpus": 1, "num_gpus": 1, "memory": need}, gpus
    cpus = min(int(node["CPU"]) for node in able)
    slots = sum(min(int(node["CPU"]) // cpus, int(node["memory"] // max(need, 1))) for node in able)
    return {"num_cpus": cpus, "memory": need}, slots


def fetched(reference: Any) -> Any:
    """Return what a task gave, or raise its error as one of ours."""
    import ray
    from ray.exceptions import RayError, RayTaskError

    try:
        return ray.get(reference)
    except RayTaskError as error:
        if isinstance(error.cause, CofireError):
            raise error.cause from None
        cause = str(error.cause).strip().splitlines()
        raise CofireError(
            f"a task on node {error.ip} failed: {type(error.cause).__name__}: {cause[-1] if cause else ''}"
        ) from error
    except RayError as error:
        raise StoreError(f"the Ray cluster gave up: {first_line(error)}") from error
