"""The two stores that integration tests run on.

Neo4j is the server that NEO4J_URI names, or one that scripts/neo4j starts for the session in a home of its own. As
tests wipe it, a given server that holds data is refused (unless COFIRE_TESTS_WIPE=1). The embedded store is one
server for the session. A fixture that cannot have its server fails; it never skips.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from cofire.store import Store, open_store
from graphs import wipe
from servers import Neo4jServer, exported, free_port, neo4j_script


@pytest.fixture(scope="session")
def neo4j_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Neo4jServer]:
    uri = os.environ.get("NEO4J_URI")
    if uri:
        server = Neo4jServer(uri, os.environ.get("NEO4J_USERNAME", "neo4j"), os.environ.get("NEO4J_PASSWORD", ""))
        with server.open() as store:
            empty = store.read("MATCH (n) RETURN count(n)").rows == [(0,)]
        may_wipe = empty or os.environ.get("COFIRE_TESTS_WIPE") == "1"
        assert may_wipe, f"{uri} holds data and tests wipe it: give an empty server, or set COFIRE_TESTS_WIPE=1"
        yield server
        with server.open() as store:
            wipe(store)
        return
    home = tmp_path_factory.mktemp("neo4j")
    started = neo4j_script("start", home, free_port())
    assert started.returncode == 0, started.stderr
    variables = exported(started.stdout)
    try:
        yield Neo4jServer(variables["NEO4J_URI"], variables["NEO4J_USERNAME"], variables["NEO4J_PASSWORD"])
    finally:
        neo4j_script("stop", home)


@pytest.fixture(scope="session")
def neo4j_session_store(neo4j_server: Neo4jServer) -> Iterator[Store]:
    with neo4j_server.open() as store:
        yield store


@pytest.fixture(scope="session")
def embedded_session_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with open_store(tmp_path_factory.mktemp("embedded") / "store", create=True) as store:
        yield store


@pytest.fixture
def neo4j_store(neo4j_session_store: Store) -> Store:
    """An empty Neo4j."""
    wipe(neo4j_session_store)
    return neo4j_session_store


@pytest.fixture
def embedded_store(embedded_session_store: Store) -> Store:
    """An empty embedded store, whose server the tests of a session share."""
    wipe(embedded_session_store)
    return embedded_session_store


@pytest.fixture(params=["neo4j", "embedded"])
def store(request: pytest.FixtureRequest) -> Store:
    """An empty store, once of each kind."""
    opened: Store = request.getfixturevalue(f"{request.param}_store")
    return opened


@pytest.fixture(scope="session")
def _empty_embedded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("template") / "store"
    open_store(directory, create=True).close()
    return directory


@pytest.fixture
def embedded_dir(tmp_path: Path, _empty_embedded: Path) -> Path:
    """A directory with an empty embedded store that no process holds."""
    return Path(shutil.copytree(_empty_embedded, tmp_path / "store"))
