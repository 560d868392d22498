"""Counting on a Ray cluster of three nodes on this machine: the same counts, whatever dies on the way."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from builders import make_capture
from cofire import __version__
from cofire.common.files import sha256_of
from cofire.errors import CaptureError, InputError, StoreError
from cofire.ingest.capture_dir.directory import CaptureDir
from cofire.ingest.capture_dir.table_files import table_infos
from cofire.ingest.count import CountSettings, count
from cofire.ingest.direct.ray_triples import ray_triples
from cofire.ingest.direct.triples import Triples, count_triples
from cofire.ingest.noise.clear import ClearFirings
from cofire.ingest.pairs import ray_engine
from cofire.ingest.pairs import tally as tally_module
from cofire.ingest.pairs.engine import Engine
from cofire.ingest.pairs.ray_cluster import ENVIRONMENT, cluster
from cofire.ingest.pairs.ray_engine import count_range, cut, ray_tally
from cofire.ingest.pairs.tally import Tally, tally
from differing import differing, files_of
from direct_worlds import contexts, rows_of
from processes import below, kill_child, left_of, processes

N, SHARDS, ROWS = 40, 24, 500
FREQUENT = np.array([1, 3], np.int32)
MEMORY = 64 * 1024**2


def arrays(tokens: int, n_latents: int, l0: int) -> dict[str, Any]:
    """Rows in which low latents fire most, in documents that shards cut through."""
    rng = np.random.default_rng(0)
    picks = (rng.random((tokens, l0)) ** 2 * n_latents).astype(np.int64)
    codes = np.unique(np.arange(tokens)[:, None] * n_latents + picks)
    rows, indices = np.divmod(codes, n_latents)
    return {
        "indptr": np.searchsorted(rows, np.arange(tokens + 1)),
        "indices": indices.astype(np.int32),
        "values": rng.gamma(3.0, size=len(codes)).astype(np.float32) + np.float32(0.01),
        "n_latents": np.int64(n_latents),
        "doc": np.sort(rng.integers(0, 37, tokens)).astype(np.int32),
        "token": rng.integers(0, 6, tokens).astype(np.int32),
        "token_text": np.array(["a", "b", "c", "d", "e", "f"]),
    }


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> CaptureDir:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cofire.ingest.import_activations.ROWS_PER_SHARD", ROWS)
        made = make_capture(tmp_path_factory.mktemp("ray"), arrays(SHARDS * ROWS, N, 8))
    assert len(made.manifest.shards) == SHARDS
    return made


UNWATCHED = {"RAY_memory_monitor_refresh_ms": "0"}
"""Ray kills workers when the machine's memory is nearly used up, which other tests may do."""


@pytest.fixture(scope="module")
def nodes() -> Iterator[Any]:
    """A cluster of three nodes of one CPU each. Ray is imported with cofire's settings, as in use."""
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory(dir="/tmp") as folder:
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        # What Ray and killed workers leave on the disk goes there.
        patch.setenv("RAY_TMPDIR", folder)
        patch.setenv("TMPDIR", folder)
        for name, value in UNWATCHED.items():
            patch.setenv(name, value)
        from ray.cluster_utils import Cluster

        store = {"num_cpus": 1, "object_store_memory": 80 * 1024**2}
        three = Cluster(initialize_head=True, head_node_args={**store, "include_dashboard": False})
        try:
            for _ in range(2):
                three.add_node(**store)
            yield three
        finally:
            started = {pid: line for pid, line in below(os.getpid()).items() if "ray" in line}
            three.shutdown()
    assert len(started) > 3
    assert not left_of(started, 120)


@pytest.fixture(autouse=True)
def short_ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ranges that are worth a task are too long for a test."""
    monkeypatch.setattr(ray_engine, "MIN_RANGE_TOKENS", 1)


@pytest.fixture(scope="module")
def connected(nodes: Any) -> Iterator[Any]:
    with cluster(nodes.address):
        yield nodes


def figures(counted: Tally) -> dict[str, list[Any]]:
    """Everything that was counted, however it is cut into blocks."""
    blocks = list(counted.pairs.blocks())
    chunks = list(counted.strata.chunks())
    return {
        "tokens": [counted.pairs.tokens, counted.strata.tokens],
        "firings": counted.firing_count.tolist(),
        "pairs": [
            (a, b, c)
            for block in blocks
            for a, start, stop in zip(range(block.start, block.stop), block.indptr[:-1], block.indptr[1:], strict=True)
            for b, c in zip(block.latent[start:stop].tolist(), block.count[start:stop].tolist(), strict=True)
        ],
        "strata": [
            (key, length, chunk.latents[start:stop].tolist(), chunk.counts[start:stop].tolist())
            for chunk in chunks
            for key, length, start, stop in zip(
                chunk.keys.tolist(), chunk.tokens.tolist(), chunk.indptr[:-1], chunk.indptr[1:], strict=True
            )
        ],
    }


def local(capture: CaptureDir, work: Path, clear: ClearFirings | None = None) -> dict[str, list[Any]]:
    return figures(tally(capture, work, "all", memory=MEMORY, frequent=FREQUENT, clear=clear, tell=lambda done: None))


def remote(capture: CaptureDir, work: Path, *, tell: Any = lambda done: None, **more: Any) -> dict[str, list[Any]]:
    settings = {"memory": MEMORY, "frequent": FREQUENT, "clear": None, "address": None, **more}
    return figures(ray_tally(capture, work, "all", tell=tell, **settings))


@pytest.mark.parametrize(
    ("ranges_per_slot", "clear", "memory"), [(4, False, MEMORY), (1, True, MEMORY), (100, True, 3 * 1024**2)]
)
def test_the_counts_are_those_of_the_local_walk(
    capture: CaptureDir,
    connected: Any,
    tmp_path: Path,
    monkeypatch: Any,
    ranges_per_slot: int,
    clear: bool,
    memory: int,
) -> None:
    monkeypatch.setattr(ray_engine, "RANGES_PER_SLOT", ranges_per_slot)
    loud = None
    if clear:
        loud = ClearFirings(tmp_path / "clear")
        loud.folder.mkdir()
        limits = np.linspace(0, 4, N)
        for number, shard in enumerate(capture.shards()):
            loud.put(number, shard.values > limits[shard.indices])
    told: list[int] = []
    counted = remote(capture, tmp_path / "ray", tell=told.append, clear=loud, memory=memory)
    assert counted == local(capture, tmp_path / "local", loud)
    assert counted["tokens"] == [SHARDS * ROWS] * 2
    assert len(counted["pairs"]) > 300
    assert told == sorted(told)
    assert told[-1] == SHARDS


def test_the_triples_are_those_of_the_local_engine(
    capture: CaptureDir, connected: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    three = np.array([rng.permutation(N)[:6] for _ in range(200)], np.int32)
    wanted = Triples(N, three[:, 0], three[:, 1], three[:, 2:].copy(), np.full(200, 100))
    clear = ClearFirings(tmp_path / "clear")
    clear.folder.mkdir()
    for number, shard in enumerate(capture.shards()):
        clear.put(number, shard.values > 2)
    for ranges_per_slot, which in ((4, None), (100, clear)):
        monkeypatch.setattr(ray_engine, "RANGES_PER_SLOT", ranges_per_slot)
        told: list[int] = []
        found = ray_triples(capture, wanted, memory=1 << 20, clear=which, tell=told.append, address=None)
        assert np.array_equal(found, count_triples(wanted, 1 << 20, capture.shards(), which))
        assert (found > 0).mean() > 0.9
        assert told == sorted(told)
        assert told[-1] == SHARDS


def test_the_tables_are_those_of_the_local_engine(
    connected: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cofire.ingest.import_activations.ROWS_PER_SHARD", ROWS)
    indptr, indices = rows_of(contexts(0, members=8, groups=3, tokens=SHARDS * ROWS))
    planted = {"indptr": indptr, "indices": indices, "values": np.ones(len(indices), np.float32), "n_latents": 24}
    capture = make_capture(tmp_path / "planted", {**arrays(SHARDS * ROWS, N, 8), **planted})
    tables = {}
    walked: list[str] = []

    def walk(capture: CaptureDir, work: Path, name: str, **settings: Any) -> Tally:
        walked.append(name)
        return ray_tally(capture, work, name, **settings)

    def walk_triples(*given: Any, **settings: Any) -> Any:
        walked.append("triples")
        return ray_triples(*given, **settings)

    monkeypatch.setattr(ray_engine, "ray_tally", walk)
    monkeypatch.setattr("cofire.ingest.direct.ray_triples.ray_triples", walk_triples)
    for engine in (Engine("local"), Engine("ray")):
        place = tmp_path / engine.engine
        shutil.copytree(capture.path, place)
        with engine.ready():
            assert count(CaptureDir.open(place), CountSettings(edges="all", token_strata=2), engine=engine)
        assert walked == (["pairs", "triples"] if engine.engine == "ray" else [])
        tables[engine.engine] = files_of(place / "tables")
    assert {"edges.parquet", "latents.parquet", "tokens.parquet"} < tables["ray"].keys()
    assert differing(tables["ray"], tables["local"]) == []
    assert table_infos(CaptureDir.open(tmp_path / "ray"))["edges"].figures["edges_direct"] > 50


def test_ranges_hold_every_shard_once() -> None:
    rows = [5, 1, 9, 0, 3, 3, 3, 1]
    for first in range(len(rows)):
        for tokens in (1, 4, 6, 100):
            ranges = cut(rows, first, tokens)
            assert [shard for start, stop in ranges for shard in range(start, stop)] == list(range(first, len(rows)))
            assert all(sum(rows[start:stop]) >= tokens for start, stop in ranges[:-1])
            assert all(sum(rows[start : stop - 1]) < tokens for start, stop in ranges)


def said(capfd: pytest.CaptureFixture[str]) -> str:
    """What went to the terminal, but for lines of Ray's own code about what was lost (docs/ray.md)."""
    out, err = capfd.readouterr()
    return out + re.sub(r"^\[[^\]]*\] \w+\.cc:\d+: .*\n", "", err, flags=re.MULTILINE)


def kill_in_task(nodes: Any, title: str) -> int | None:
    """Kill a worker that is in a task of this name."""
    raylets = {node.all_processes["raylet"][0].process.pid for node in nodes.list_all_nodes()}
    return kill_child(raylets, title)


@pytest.fixture(scope="module")
def long_capture(tmp_path_factory: pytest.TempPathFactory) -> CaptureDir:
    """One of which a range takes long enough to be met."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cofire.ingest.import_activations.ROWS_PER_SHARD", 3_000)
        return make_capture(tmp_path_factory.mktemp("long"), arrays(36_000, 1_000, 40))


def test_what_killed_workers_were_counting_is_counted_again(
    long_capture: CaptureDir, connected: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    killed: set[int] = set()
    ended = threading.Event()

    def kill() -> None:
        while not ended.is_set() and len(killed) < 2:
            for title in ("ray::count_range", "ray::merge_states"):
                pid = kill_in_task(connected, title)
                if pid is not None:
                    killed.add(pid)
            time.sleep(0.001)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        counted = remote(long_capture, tmp_path / "ray")
    finally:
        ended.set()
        killer.join()
    assert len(killed) >= 2
    assert said(capfd) == ""
    assert counted == local(long_capture, tmp_path / "local")


def test_workers_that_keep_dying_end_the_walk(
    long_capture: CaptureDir, connected: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_engine, "RETRIES", 0)
    ended = threading.Event()

    def kill() -> None:
        while not ended.is_set() and kill_in_task(connected, "ray::count_range") is None:
            time.sleep(0.001)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        with pytest.raises(StoreError, match="the Ray cluster gave up: The worker died unexpectedly"):
            remote(long_capture, tmp_path)
    finally:
        ended.set()
        killer.join()


def test_what_a_lost_node_had_counted_is_counted_again(
    long_capture: CaptureDir, connected: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    lost: list[int] = []

    def tell(done: int) -> None:
        """After the first range, take a node away: in a task, and with what it has counted before."""
        if not lost:
            lost.append(done)
            for node in list(connected.worker_nodes)[:1]:
                connected.remove_node(node, allow_graceful=False)

    counted = remote(long_capture, tmp_path / "ray", tell=tell)
    assert said(capfd) == ""
    connected.add_node(num_cpus=1, object_store_memory=80 * 1024**2)
    assert lost[0] < len(long_capture.manifest.shards)
    assert counted == local(long_capture, tmp_path / "local")


@pytest.mark.parametrize("engine", ["ray", "local"])
def test_a_walk_goes_on_from_what_is_on_the_disk(
    capture: CaptureDir, connected: Any, tmp_path: Path, monkeypatch: Any, engine: str
) -> None:
    for module in (ray_engine, tally_module):
        monkeypatch.setattr(module, "CHECKPOINT_SECONDS", -1.0)
    monkeypatch.setattr(tally_module, "CHECKPOINT_SHARE", np.inf)

    def stop(done: int) -> None:
        # Ranges of the next wave may be done before the first wave is.
        if any((tmp_path / "work").glob("all-*")):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        remote(capture, tmp_path / "work", tell=stop)
    (saved,) = (tmp_path / "work").glob("all-*")
    done = int(saved.name.removeprefix("all-"))
    assert 0 < done < SHARDS
    told: list[int] = []
    if engine == "ray":
        counted = remote(capture, tmp_path / "work", tell=told.append)
        assert told[0] > done
    else:
        counted = local(capture, tmp_path / "work")
    assert counted == local(capture, tmp_path / "local")
    # What is complete needs no cluster.
    assert remote(capture, tmp_path / "work", address="127.0.0.1:1", tell=told.append) == counted


def test_what_a_node_cannot_read_is_one_line(capture: CaptureDir, connected: Any, tmp_path: Path) -> None:
    shutil.copytree(capture.path, tmp_path / "copy")
    copy = CaptureDir.open(tmp_path / "copy")
    (tmp_path / "copy" / copy.manifest.shards[20].file).write_bytes(b"PAR1")
    with pytest.raises(CaptureError, match=r"shard-00020\.parquet cannot be read .*; make it again: give") as damaged:
        remote(copy, tmp_path / "work")
    (tmp_path / "copy" / copy.manifest.shards[20].file).unlink()
    with pytest.raises(CaptureError, match=r"shards/shard-00020\.parquet is missing"):
        remote(copy, tmp_path / "work")

    def hide(done: int) -> None:
        if copy.path.exists():
            copy.path.rename(tmp_path / "hidden")

    (tmp_path / "copy" / copy.manifest.shards[20].file).write_bytes(b"PAR1")
    with pytest.raises(CaptureError, match=r"node .* does not see .*/copy; put the capture") as hidden:
        remote(copy, tmp_path / "other", tell=hide)
    assert "\n" not in f"{damaged.value}{hidden.value}"
    assert damaged.type is hidden.type is CaptureError


def test_nodes_must_agree(capture: CaptureDir) -> None:
    walk = ray_engine.Walk(capture.path, "0" * 64, "0.0.1", N, MEMORY, FREQUENT, None)
    with pytest.raises(InputError, match=r"cofire .*, the driver 0\.0\.1"):
        count_range(walk, 0, 1)
    walk = ray_engine.Walk(capture.path, "0" * 64, __version__, N, MEMORY, FREQUENT, None)
    with pytest.raises(CaptureError, match="sees another capture"):
        count_range(walk, 0, 1)


def test_what_a_killed_task_left_on_the_disk_is_taken_away(
    capture: CaptureDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    dead, alive, new, other = (tmp_path / name for name in ("cofire-task-a", "cofire-task-b", "cofire-task-c", "x"))
    for folder in (dead, alive, new, other):
        folder.mkdir()
        (folder / "spilled").write_bytes(b"0")
        if folder != new:
            os.utime(folder, (0, 0))
    manifest = sha256_of(capture.path / "manifest.json")
    walk = ray_engine.Walk(capture.path, manifest, __version__, N, MEMORY, FREQUENT, None)
    handle = os.open(alive, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        assert count_range(walk, 0, 2)[0] == 2
    finally:
        os.close(handle)
    assert sorted(tmp_path.iterdir()) == [alive, new, other]


def test_a_task_that_fits_on_no_node_is_refused(capture: CaptureDir, connected: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no node of the cluster has a CPU and .* give less --memory"):
        remote(capture, tmp_path, memory=10**15)


AGENTS = ("ray::DashboardAgent", "ray::RuntimeEnvAgent")
DRIVER = """
import signal, sys, time
from pathlib import Path
import numpy as np
from cofire.ingest.pairs import ray_engine
from cofire.ingest.capture_dir import CaptureDir

def tell(done):
    print(done, flush=True)
    time.sleep(60)

# A suite that a shell started in the background hands down that SIGINT is ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
ray_engine.MIN_RANGE_TOKENS = 1
try:
    ray_engine.ray_tally(CaptureDir.open(sys.argv[1]), Path(sys.argv[2]), "all", memory=2**26,
                         frequent=np.array([], np.int32), clear=None, tell=tell, address=None)
except KeyboardInterrupt:
    sys.exit(130)
"""


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL])
def test_the_cluster_of_a_run_ends_with_it(capture: CaptureDir, tmp_path: Path, end: signal.Signals) -> None:
    """Ctrl-C reaches the whole process group, kill -9 the driver alone."""
    driver = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", DRIVER, str(capture.path), str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=os.environ | UNWATCHED,
    )
    assert driver.stdout is not None
    assert int(driver.stdout.readline()) > 0
    started = below(driver.pid)
    (folder,) = {match[0] for line in started.values() if (match := re.search(r"/\w+/cofire-ray-\w+", line))}
    if end == signal.SIGINT:
        os.killpg(driver.pid, end)
    else:
        driver.send_signal(end)
    _, errors = driver.communicate(timeout=240)
    assert (driver.returncode, errors) == (130 if end == signal.SIGINT else -signal.SIGKILL, "")
    if end == signal.SIGINT:
        assert not left_of(started, 120)
        assert not Path(folder).exists()
        return
    # Ray's agents try to tell their dead cluster for a minute that their node has died, and end then.
    agents = {pid: line for pid, line in started.items() if line.strip() in AGENTS}
    assert not left_of({pid: line for pid, line in started.items() if pid not in agents}, 120)
    for pid in left_of(agents, 0):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    assert not left_of(agents, 120)
    # What a dying raylet started after that list was made.
    assert not left_of({pid: line for pid, (_, line) in processes().items() if folder in line}, 120)
    shutil.rmtree(folder)
