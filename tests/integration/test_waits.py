"""Every wait for a server ends: by the time limit, by Ctrl-C, or because what cannot be answered is not sent."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest
from neo4j import Driver

from builders import make_capture, random_arrays
from cofire import KnowledgeBase
from cofire.analysis.analyses import analysis_settings
from cofire.analysis.analyze import analyze
from cofire.errors import QueryError, StoreBusy, StoreError, TimeLimit
from cofire.ingest.count import CountSettings, count
from cofire.store import Store, open_store, opening
from cofire.store.calls import hang_up
from cofire.store.embedded import server
from cofire.store.load import write
from cofire.store.packed import packed_size
from cofire.store.plan.plan import load_plan
from cofire.store.results import MOST_BYTES
from processes import ended
from servers import Neo4jServer, Relay, one_line

LIMIT = 0.4
SOON = 15.0
"""Below what a wait for a silent server takes by itself (half a minute or more); a busy machine needs some of it."""


class Falling(NamedTuple):
    """A store of which the test says when its server falls silent."""

    kb: Callable[..., KnowledgeBase]
    silence: Callable[[], None]
    speak: Callable[[], None]


@pytest.fixture
def falling(store: Store, request: pytest.FixtureRequest) -> Iterator[Falling]:
    if store.kind == "embedded":
        pid = int(json.loads((Path(store.location) / "owner.json").read_text())["pid"])
        yield Falling(
            lambda **given: KnowledgeBase(store.location, **given),
            lambda: os.kill(pid, signal.SIGSTOP),
            lambda: os.kill(pid, signal.SIGCONT),
        )
        os.kill(pid, signal.SIGCONT)
        return
    server: Neo4jServer = request.getfixturevalue("neo4j_server")
    url = urlsplit(server.uri)
    relay = Relay((url.hostname or "", url.port or 7687))

    def open_it(**given: Any) -> KnowledgeBase:
        place = f"bolt://127.0.0.1:{relay.port}"
        return KnowledgeBase(place, username=server.username, password=server.password, **given)

    yield Falling(open_it, relay.mute, relay.speak)
    relay.close()


@contextlib.contextmanager
def soon(seconds: float = SOON) -> Iterator[None]:
    begun = time.monotonic()
    yield
    assert time.monotonic() - begun < seconds


@contextlib.contextmanager
def interrupted(seconds: float = 0.2) -> Iterator[None]:
    """Ctrl-C after so many seconds, which must end what is inside soon."""

    def handler(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        with soon(seconds + SOON), pytest.raises(KeyboardInterrupt):
            yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def asked(kb: KnowledgeBase) -> dict[str, Callable[[], object]]:
    """Each way to ask."""
    rows = kb.iter("UNWIND range(1, 200000) AS i RETURN i, 'some text that fills the pipes' AS t")
    next(rows)
    return {
        "cypher": lambda: kb.cypher("RETURN 1"),
        "query": kb.saes,
        "iter": lambda: list(kb.iter("RETURN 1 AS one")),
        "further rows": lambda: list(rows),
        "explain": lambda: kb.explain("saes"),
    }


def test_a_server_that_falls_silent_costs_no_more_than_the_time_limit(falling: Falling) -> None:
    with falling.kb(timeout=30) as kb:
        ways = asked(kb)
        kb._timeout = LIMIT
        # Of the stream the time limit is that from before: it is left, at which nothing may wait either.
        rest = ways.pop("further rows")
        falling.silence()
        for way in ways.values():
            with soon(), pytest.raises(TimeLimit) as caught:
                way()
            assert "within the time limit" in one_line(caught)
        falling.speak()
        kb._timeout = 30
        assert kb.cypher("RETURN 2 AS n")["n"].tolist() == [2]
        del rest
    with soon(), pytest.raises(StoreError, match="closed here"):
        kb.saes()


def test_ctrl_c_ends_each_wait_without_a_time_limit(falling: Falling) -> None:
    with falling.kb() as kb:
        ways = asked(kb)
        falling.silence()
        for way in ways.values():
            with interrupted():
                way()
        with interrupted():
            kb._store.write([("CREATE (:NeverWritten)", {})])
        with interrupted():
            kb._store.ddl(["CREATE INDEX never_made IF NOT EXISTS FOR (n:NeverWritten) ON (n.i)"])
        falling.speak()
        assert kb.cypher("RETURN 2 AS n")["n"].tolist() == [2]


def test_what_other_threads_wait_for_is_cut(falling: Falling) -> None:
    """As a load does that is interrupted: its writers are threads."""
    said: list[Exception] = []

    def write() -> None:
        try:
            kb._store.write([("CREATE (:NeverWritten)", {})])
        except Exception as error:  # noqa: BLE001 - looked at below
            said.append(error)

    with falling.kb() as kb:
        falling.silence()
        threads = [threading.Thread(target=write) for _ in range(2)]
        for thread in threads:
            thread.start()
        calls = kb._store._connection.calls
        while len([call for call in list(calls) if call._busy]) < 2:
            assert all(thread.is_alive() for thread in threads)
            time.sleep(0.01)
        with soon():
            kb._store.interrupt()
            for thread in threads:
                thread.join(20)
        falling.speak()
        # Nobody waits for what they began, and it ends, too.
        for thread in threading.enumerate():
            if thread.name == "cofire-call":
                thread.join(20)
                assert not thread.is_alive()
        assert [(type(error), "was interrupted" in str(error)) for error in said] == [(StoreError, True)] * 2
        # It had been sent nothing: the transaction had not begun when the server fell silent.
        assert kb.cypher("MATCH (n:NeverWritten) RETURN count(n) AS n")["n"].tolist() == [0]


def test_ctrl_c_ends_a_load_whose_server_falls_silent(
    falling: Falling, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On Neo4j two threads write; each waits for an answer. The same load goes on afterwards."""
    monkeypatch.setattr(write, "BATCH_ROWS", 50)
    capture = make_capture(tmp_path / "one", random_arrays(3, n_latents=40), sae_id="one")
    count(capture, CountSettings(edges="all"))
    analyze(capture, analysis_settings(resolution=1.0, seed=0, rewires=3))
    plan = load_plan(capture)

    silent_since: list[float] = []

    def progress(done: int, _total: int) -> None:
        if done > 20 and not silent_since:
            falling.silence()
            silent_since.append(time.monotonic())
            signal.setitimer(signal.ITIMER_REAL, 0.3)

    with falling.kb() as kb:
        with interrupted(60.0):
            write.load_sae(kb._store, plan, progress=progress)
        assert time.monotonic() - silent_since[0] < SOON
        falling.speak()
        assert write.load_sae(kb._store, plan) == "resumed"
        assert kb.cypher("MATCH (l:Latent) RETURN count(l) AS n")["n"].tolist() == [40]


def test_ctrl_c_leaves_an_own_server_that_does_not_stop(embedded_dir: Path) -> None:
    """It ends by itself when it can, as when this process had died."""
    opened = open_store(embedded_dir)
    pid = int(json.loads((embedded_dir / "owner.json").read_text())["pid"])
    os.kill(pid, signal.SIGSTOP)
    with interrupted(), opened as store:
        store.write([("CREATE (:NeverWritten)", {})])
    os.kill(pid, signal.SIGCONT)
    assert ended(pid)


def test_closing_does_not_wait_for_a_silent_server(falling: Falling) -> None:
    kb = falling.kb()
    rows = kb.iter("UNWIND range(1, 200000) AS i RETURN i")
    next(rows)
    falling.silence()
    with soon():
        kb.close()
        rows.close()
    falling.speak()


def test_a_port_that_takes_connections_and_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "_LEAST_SECONDS", LIMIT)
    relay = Relay()
    try:
        for scheme in ("bolt", "neo4j", "bolt+ssc"):
            with soon(), pytest.raises(StoreError, match=r"did not answer within|cannot reach") as caught:
                KnowledgeBase(f"{scheme}://127.0.0.1:{relay.port}", timeout=LIMIT)
            one_line(caught)
        with interrupted():
            KnowledgeBase(f"bolt://127.0.0.1:{relay.port}")
    finally:
        relay.close()


def test_a_store_whose_server_is_stopped_is_told_in_time(
    embedded_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "_LEAST_SECONDS", LIMIT)
    pid = int(json.loads((Path(embedded_store.location) / "owner.json").read_text())["pid"])
    os.kill(pid, signal.SIGSTOP)
    try:
        with soon(), pytest.raises(StoreBusy, match=rf"held by process {os.getpid()} \(server {pid}\)") as caught:
            KnowledgeBase(embedded_store.location, timeout=LIMIT)
        one_line(caught)
        with interrupted():
            KnowledgeBase(embedded_store.location)
    finally:
        os.kill(pid, signal.SIGCONT)


def test_one_that_only_starts_has_time_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It holds the lock and has not said yet where it listens. None is told to end it."""
    own = server.EmbeddedServer(tmp_path / "store", create=True)
    with (own.directory / "lock").open("wb") as lock, socket.create_server(("127.0.0.1", 0)) as listener:
        fcntl.flock(lock, fcntl.LOCK_EX)
        port = listener.getsockname()[1]
        says = {"pid": os.getpid(), "parent": os.getpid(), "port": port, "password": "x"}
        threading.Timer(3 * LIMIT, (own.directory / "owner.json").write_text, (json.dumps(says),)).start()
        assert own.start(LIMIT).port == port
        (own.directory / "owner.json").unlink()
        monkeypatch.setattr(server, "OPEN_SECONDS", LIMIT)
        with soon(), pytest.raises(StoreBusy, match="held by another process"):
            own.start(LIMIT)


def test_a_thread_does_not_wait_for_what_another_one_fills(embedded_store: Store) -> None:
    with open_store(embedded_store.location) as store, ThreadPoolExecutor(1) as pool:
        store._connection._patience, store._connection._lent = LIMIT, True
        with store._connection._opening, soon(), pytest.raises(StoreBusy, match="filled by its first load") as caught:
            pool.submit(store.read, "RETURN 1").result(60)
        one_line(caught)
        store._connection._lent = False
        with store._connection._opening:
            answer = pool.submit(store.read, "RETURN 1")
            time.sleep(2 * LIMIT)  # one that opens has longer
        assert answer.result(60).rows == [(1,)]


def test_closed_in_another_thread_while_its_server_starts(embedded_dir: Path) -> None:
    store = Store(str(embedded_dir), "cofire", embedded=(own := server.EmbeddedServer(embedded_dir, create=False)))
    with ThreadPoolExecutor(1) as pool:
        opened = pool.submit(store.connect)
        while own._child is None:
            assert not opened.done()
            time.sleep(0.01)
        child = own._child
        store.close(hurried=True)
        child.kill()  # it would end by itself, later
        with pytest.raises(StoreError, match="was closed here"):
            opened.result(60)
    assert not own.owned


def test_closed_just_when_it_was_opened(embedded_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = open_store(embedded_store.location)._connection
    driver = connection.driver()
    connection._driver = None

    def connected() -> Driver:
        connection.close()
        return driver

    monkeypatch.setattr(connection, "_connected", connected)
    with pytest.raises(StoreError, match="was closed here"):
        connection.driver()
    assert driver._closed


def test_a_driver_that_another_thread_gives_up(embedded_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the moment that a call gets it and its first use."""
    with open_store(embedded_store.location) as store:
        connection, once = store._connection, store._connection.driver
        given: list[Driver] = []

        def driver() -> Driver:
            given.append(once())
            if len(given) == 2:  # the first is that of `connect`
                connection._forget(given[1], seconds=1.0)
            return given[-1]

        monkeypatch.setattr(connection, "driver", driver)
        assert store.read("RETURN 1").rows == [(1,)]
        assert len(given) == 3
        assert given[2] is not given[1]
        hang_up(given[2])  # and nobody knows why
        with pytest.raises(StoreError, match="closed") as caught:
            store.read("RETURN 1")
        one_line(caught)


def test_a_port_where_something_else_speaks_is_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            with contextlib.suppress(OSError):
                while True:
                    client, _ = listener.accept()
                    with client:
                        client.recv(100)
                        client.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

        threading.Thread(target=answer, daemon=True).start()
        with soon(), pytest.raises(StoreError, match="Bolt") as caught:
            open_store(f"bolt://127.0.0.1:{listener.getsockname()[1]}")
        one_line(caught)
        listener.shutdown(socket.SHUT_RDWR)


def test_what_is_larger_than_a_message_may_be_is_not_sent(embedded_store: Store) -> None:
    text = "RETURN size($u) AS n"
    with KnowledgeBase(embedded_store.location) as kb:
        ids = [f"r/hard/{i:030d}" for i in range(400_000)]
        for ask, given in ((kb.cypher, ids), (lambda t, **g: list(kb.iter(t, **g)), "é" * (MOST_BYTES // 2))):
            with pytest.raises(QueryError, match=r"are [\d,]+ bytes, .* at most 16,776,192") as caught:
                ask(text, u=given)
            assert len(one_line(caught)) < 200
        with pytest.raises(QueryError, match="at most"):
            embedded_store.write([("CREATE (:X {v: size($v)})", {"v": "x" * MOST_BYTES})])
        with pytest.raises(QueryError, match="at most"):
            kb.cypher(f"RETURN size('{'x' * MOST_BYTES}') AS n")
        # The largest that is let through arrives.
        room = MOST_BYTES - 1024 - packed_size("EXPLAIN " + text) - packed_size({"u": ""})
        assert kb.cypher(text, u="x" * room)["n"].tolist() == [room]


def test_what_holds_itself_is_not_sent(store: Store, request: pytest.FixtureRequest) -> None:
    itself: list[Any] = []
    itself.append(itself)
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    given: dict[str, str] = {}
    if store.kind == "neo4j":
        server: Neo4jServer = request.getfixturevalue("neo4j_server")
        given = {"username": server.username, "password": server.password}
    with KnowledgeBase(store.location, **given) as kb:
        for value in (itself, {"a": itself}, deep):
            for ask in (
                lambda v: kb.cypher("RETURN $v AS v", v=v),
                lambda v: list(kb.iter("RETURN $v AS v", v=v)),
                lambda v: store.explain("RETURN $v AS v", {"v": v}),
                lambda v: store.write([("CREATE (:X {v: $v})", {"v": v})]),
            ):
                with pytest.raises(QueryError, match="nested more than 500 levels"):
                    ask(value)
            with pytest.raises(QueryError) as caught:
                kb.query("latent_card", sae=value, index=value)
            one_line(caught)


def test_neo4j_takes_larger_messages(neo4j_store: Store) -> None:
    assert neo4j_store.read("RETURN size($u) AS n", {"u": "x" * (MOST_BYTES + 1)}).rows == [(MOST_BYTES + 1,)]
