"""The server ends while an SAE is loaded, again and again: what is resumed equals what was never disturbed."""

from __future__ import annotations

import json
import os
import random
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from builders import make_capture, random_arrays
from cofire.errors import StoreError
from cofire.ingest.capture_dir.directory import CaptureDir
from cofire.store import Store, open_store
from effort import RESTARTS, seed_of
from graphs import dump_graph, wipe
from jobs import count_job, fork_server, load_job, run_undisturbed
from processes import ended
from servers import Neo4jServer, exported, free_port, neo4j_script

pytestmark = pytest.mark.timeout(1800)


@pytest.fixture(scope="module")
def counted(tmp_path_factory: pytest.TempPathFactory) -> CaptureDir:
    capture = make_capture(
        tmp_path_factory.mktemp("counted"), random_arrays(8, tokens=3000, n_latents=120, documents=40)
    )
    run_undisturbed(count_job, (str(capture.path),))
    return capture


def under_way(store: Store) -> bool:
    """Whether rows of a load that has not ended are in the graph."""
    return bool(store.read("MATCH (j:LoadJournal) WHERE j.done > 0 RETURN count(j)", {}).rows[0][0])


def load_through(
    arguments: tuple[Any, ...], disturb: Callable[[], bool], seconds: float, wanted: int, chance: random.Random
) -> int:
    """Load, and disturb the server at a random moment; begin again until a load has come to its end.

    Returns how many of the disturbances met a load under way.
    """
    met = 0
    for _ in range(20):
        process = fork_server().Process(target=load_job, args=arguments)
        process.start()
        process.join(chance.uniform(0.05, seconds))
        while process.is_alive() and met < wanted:
            met += disturb()
            process.join(chance.uniform(0.05, seconds / 2))
        process.join(120)
        assert not process.is_alive(), "the load hangs"
        if process.exitcode == 0:
            return met
        # It ended with the error that the store is gone; the next one goes on from there.
        assert process.exitcode == 1
    raise AssertionError("the load never ends")


def test_restarts_of_neo4j(counted: CaptureDir, tmp_path: Path) -> None:
    home, port = tmp_path / "neo4j", free_port()

    def start() -> Neo4jServer:
        done = neo4j_script("start", home, port)
        assert done.returncode == 0, done.stderr
        found = exported(done.stdout)
        return Neo4jServer(found["NEO4J_URI"], found["NEO4J_USERNAME"], found["NEO4J_PASSWORD"])

    server = start()
    chance = random.Random(seed_of(1))  # noqa: S311 - no secret

    def disturb() -> bool:
        with server.open() as store:
            if not under_way(store):
                return False
        pid = int((home / "server.pid").read_text())
        os.kill(pid, signal.SIGKILL)
        assert ended(pid, 60)
        assert start() == server
        return True

    try:
        arguments = (str(counted.path), *server)
        run_undisturbed(load_job, arguments)
        with server.open() as store:
            expected = dump_graph(store)
            wipe(store)
        seconds = run_undisturbed(load_job, arguments)
        met = 0
        for _ in range(4 * RESTARTS):
            with server.open() as store:
                wipe(store)
            met += load_through(arguments, disturb, seconds, RESTARTS - met, chance)
            with server.open() as store:
                assert dump_graph(store) == expected
            if met == RESTARTS:
                return
        raise AssertionError("the load ends before it can be disturbed")
    finally:
        neo4j_script("stop", home)


def test_restarts_of_the_embedded_server(counted: CaptureDir, tmp_path: Path) -> None:
    chance = random.Random(seed_of(2))  # noqa: S311 - no secret
    run_undisturbed(load_job, (str(counted.path), str(tmp_path / "undisturbed"), None, None))
    seconds = run_undisturbed(load_job, (str(counted.path), str(tmp_path / "again"), None, None))
    with open_store(tmp_path / "undisturbed") as store:
        expected = dump_graph(store)
    met = 0
    for trial in range(4 * RESTARTS):
        place = tmp_path / f"trial-{trial}"

        def disturb(place: Path = place) -> bool:
            try:
                with open_store(place) as store:  # a guest of the loader's server
                    if not under_way(store):
                        return False
                    pid = json.loads((place / "owner.json").read_text())["pid"]
                    assert pid != os.getpid()
                    os.kill(pid, signal.SIGKILL)
            except (OSError, ValueError, StoreError):
                return False
            return True

        met += load_through((str(counted.path), str(place), None, None), disturb, seconds, RESTARTS - met, chance)
        with open_store(place) as store:
            assert dump_graph(store) == expected
        if met == RESTARTS:
            return
    raise AssertionError("the load ends before it can be disturbed")
