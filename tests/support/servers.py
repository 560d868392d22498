"""Helpers of the tests of the stores: Neo4j servers, and small questions."""

from __future__ import annotations

import contextlib
import os
import secrets
import shlex
import socket
import subprocess
import threading
from pathlib import Path
from typing import NamedTuple

import pytest

from cofire.store import Store, open_store
from repository import ROOT

# Takes hours on either server.
SLOW = "UNWIND range(1, 100000) AS a UNWIND range(1, 100000) AS b WITH a, b WHERE (a * b) % 7 = 1 RETURN count(*) AS c"


class Neo4jServer(NamedTuple):
    uri: str
    username: str
    password: str

    def open(self) -> Store:
        return open_store(self.uri, self.username, self.password)


class Relay:
    """A port of 127.0.0.1 whose connections go on to a server, until it is told to be mute: then they stay open, and
    nothing comes any more. Without a server it takes connections and never answers."""

    def __init__(self, server: tuple[str, int] | None = None) -> None:
        self._server = server
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._speaks = threading.Event()
        self._speaks.set()
        self._sockets = [self._listener]
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def mute(self) -> None:
        self._speaks.clear()

    def speak(self) -> None:
        self._speaks.set()

    def close(self) -> None:
        self._speaks.set()
        for one in self._sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._sockets.append(client)
                if self._server is not None:
                    server = socket.create_connection(self._server)
                    self._sockets.append(server)
                    for a, b in ((client, server), (server, client)):
                        threading.Thread(target=self._carry, args=(a, b), daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                self._speaks.wait()
                target.sendall(data)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


def free_port() -> int:
    """A port that is free, and none that Linux gives to connections by default: a server takes it seconds later."""
    for _ in range(100):
        port = 20_000 + secrets.randbelow(12_000)
        with socket.socket() as listener, contextlib.suppress(OSError):
            listener.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no port from 20000 to 31999 is free")


def neo4j_script(command: str, home: Path, port: int | None = None) -> subprocess.CompletedProcess[str]:
    """Run scripts/neo4j as if no server were given by the environment."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("NEO4J_")}
    environment["COFIRE_NEO4J_HOME"] = str(home)
    if port is not None:
        environment["COFIRE_NEO4J_PORT"] = str(port)
    return subprocess.run(
        [str(ROOT / "scripts" / "neo4j"), command], env=environment, capture_output=True, text=True, check=False
    )


def exported(text: str) -> dict[str, str]:
    """The variables of `export A=1 B=2` lines."""
    return dict(word.split("=", 1) for word in shlex.split(text) if "=" in word)


def count(store: Store) -> int:
    return int(store.read("MATCH (n) RETURN count(n)").rows[0][0])


def one_line(error: pytest.ExceptionInfo[BaseException]) -> str:
    text = str(error.value)
    assert text
    assert "\n" not in text
    assert "Traceback" not in text
    return text
