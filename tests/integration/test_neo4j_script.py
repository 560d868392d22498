"""scripts/neo4j: it starts once, keeps data, stops, and leaves a server that is there alone."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator

from servers import ROOT, Neo4jServer, exported, free_port, neo4j_script


def test_the_neo4j_script_uses_a_server_that_is_there(tmp_path):
    environment = os.environ | {"NEO4J_URI": "bolt://h:1", "NEO4J_USERNAME": "u", "NEO4J_PASSWORD": "p w'"}
    environment["COFIRE_NEO4J_HOME"] = str(tmp_path)
    done = subprocess.run(
        [ROOT / "scripts/neo4j", "start"], env=environment, capture_output=True, text=True, check=True
    )
    assert exported(done.stdout) == {"NEO4J_URI": "bolt://h:1", "NEO4J_USERNAME": "u", "NEO4J_PASSWORD": "p w'"}
    assert list(tmp_path.iterdir()) == []


@contextlib.contextmanager
def held(port: int, seconds: float) -> Iterator[None]:
    """Listen at a port for so long."""
    until = time.monotonic() + 60
    while True:  # until the killed server has let go of it
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with contextlib.suppress(OSError):
            listener.bind(("127.0.0.1", port))
            break
        listener.close()
        assert time.monotonic() < until
        time.sleep(0.1)
    listener.listen()
    timer = threading.Timer(seconds, listener.close)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        listener.close()


def test_the_neo4j_script_starts_once_keeps_data_and_stops(tmp_path):
    home, port = tmp_path / "home", free_port()
    assert neo4j_script("status", home).returncode == 1
    first = neo4j_script("start", home, port)
    try:
        assert first.returncode == 0, first.stderr
        assert neo4j_script("start", home, port).stdout == first.stdout
        assert neo4j_script("status", home).returncode == 0
        assert (home / "password").stat().st_mode & 0o777 == 0o600
        server = exported(first.stdout)
        with Neo4jServer(server["NEO4J_URI"], server["NEO4J_USERNAME"], server["NEO4J_PASSWORD"]).open() as store:
            store.write([("CREATE (:X)", {})])
        # Killed, it is found where it was, though its last thread keeps the port for a while (here: a socket does).
        os.kill(int((home / "server.pid").read_text()), signal.SIGKILL)
        with held(port, 5):
            assert neo4j_script("start", home, port).stdout == first.stdout
        with Neo4jServer(server["NEO4J_URI"], server["NEO4J_USERNAME"], server["NEO4J_PASSWORD"]).open() as store:
            assert store.read("MATCH (x:X) RETURN count(x)").rows == [(1,)]
    finally:
        stopped = neo4j_script("stop", home)
    assert stopped.returncode == 0
    assert neo4j_script("stop", home).returncode == 0
    assert neo4j_script("status", home).returncode == 1


def test_the_neo4j_script_explains_itself(tmp_path):
    assert "usage" in neo4j_script("--help", tmp_path).stdout
    wrong = neo4j_script("begin", tmp_path)
    assert wrong.returncode == 2
    assert "usage" in wrong.stderr
