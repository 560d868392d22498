"""Talk to a store: one class over the official Neo4j driver, for both backends.

Neo4j         managed transactions; READ access mode refuses writes; the driver's time limit is kept by the server.
embedded      ArcadeDB keeps neither READ access nor the time limit. So a read is always rolled back and is refused
              when the server says that it would have written; a query that takes too long is given up here and the
              server, if it is ours, is ended (it starts again with the next call). It names no columns when there
              are no rows, and takes a semicolon followed by a blank for a write.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

from neo4j import (
    READ_ACCESS,
    WRITE_ACCESS,
    Driver,
    GraphDatabase,
    ManagedTransaction,
    Query,
    Session,
    unit_of_work,
)
from neo4j.exceptions import ServiceUnavailable, SessionExpired

from cofire.errors import StoreError, TimeLimit, WriteRefused
from cofire.store.embedded.server import OPEN_SECONDS, EmbeddedServer
from cofire.store.embedded.server_child import USER
from cofire.store.faults import LostConnection, ServerGone, retried, translated
from cofire.store.guard import check
from cofire.store.lexer import returned_columns
from cofire.store.results import collect, refuse_written, run, sent
from cofire.store.values import Rows, plain

__all__ = ["Run", "Store"]

_BATCH = 1000
_LONGEST = 1e9  # seconds; not every clock takes more

Answer = TypeVar("Answer")
Run = Callable[[str, Mapping[str, Any]], Rows]

# The driver logs each retry as a warning. Whoever wants to see it configures logging; else it stays silent.
logging.getLogger("neo4j").addHandler(logging.NullHandler())


class Store:
    """An open store. Made by `cofire.store.open_store`; its methods may be called from several threads.

    Attributes:
        kind: "neo4j" or "embedded".
        location: the directory or URL, without secrets.
    """

    def __init__(
        self,
        location: str,
        database: str,
        *,
        auth: tuple[str, str] | None = None,
        embedded: EmbeddedServer | None = None,
    ) -> None:
        self.kind: Literal["neo4j", "embedded"] = "neo4j" if embedded is None else "embedded"
        self.location = location
        self._database = database
        self._auth = auth
        self._embedded = embedded
        self._driver: Driver | None = None
        self._given_up: Driver | None = None
        self._opening = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def connect(self) -> Driver:
        """The driver, connected and verified. Called by every method; the embedded server is started here.

        Raises:
            StoreError: the server cannot be reached or refuses the user.
        """
        with self._opening:
            if self._driver is None:
                if self._embedded is None:
                    self._driver = self._verified(self.location, self._auth)
                else:
                    self._driver = self._to_embedded(self._embedded)
            return self._driver

    def _to_embedded(self, embedded: EmbeddedServer) -> Driver:
        """Start or share the server; one whose owner has gone takes nobody in for long: wait until it has ended."""
        deadline = time.monotonic() + OPEN_SECONDS
        while True:
            address = embedded.start()
            try:
                driver = self._verified(f"bolt://127.0.0.1:{address.port}", (USER, address.password))
            except StoreError:
                if embedded.serving() or time.monotonic() > deadline:
                    raise
            else:
                if embedded.serving() or time.monotonic() > deadline:
                    return driver
                driver.close()
            time.sleep(0.1)

    def _verified(self, url: str, auth: tuple[str, str] | None) -> Driver:
        with translated(self.location):
            driver = GraphDatabase.driver(
                url,
                auth=auth,
                notifications_min_severity="OFF",
                warn_notification_severity="OFF",
                # A server of our own that is gone does not come back by waiting.
                max_transaction_retry_time=30.0 if self._embedded is None else 8.0,
            )
            try:
                driver.verify_connectivity()
                with driver.session(database=self._database) as session:
                    session.run("RETURN 1").consume()
            except BaseException as error:
                driver.close()
                if isinstance(error, ServiceUnavailable | SessionExpired | OSError):
                    raise StoreError(
                        f"cannot reach {self.location}; is the server running there, and is it Neo4j's Bolt port?"
                    ) from error
                raise
        return driver

    def close(self) -> None:
        """Let go of the server; an embedded one that this process started is stopped. May be called twice."""
        driver, self._driver = self._driver, None
        if driver is not None:
            driver.close()
        if self._embedded is not None:
            self._embedded.stop()

    @contextmanager
    def alone(self) -> Iterator[tuple[Path, int] | None]:
        """Keep everybody else out of an embedded store, its server stopped: see `EmbeddedServer.alone`."""
        if self._embedded is None or not self._embedded.owned:
            yield None
            return
        with self._opening:
            if self._driver is not None:
                self._driver.close()
                self._driver = None
            with self._embedded.alone() as held:
                yield held

    def read(self, text: str, parameters: Mapping[str, Any] | None = None, timeout: float | None = None) -> Rows:
        """Run one reading statement of cofire's own and return all rows. A user's text goes through `guard` first.

        Args:
            text: one Cypher statement.
            parameters: the values of its $parameters.
            timeout: seconds; None for no limit.

        Raises:
            QueryError: the server does not accept the statement.
            WriteRefused: it would write.
            TimeLimit: the time limit passed.
            StoreError: the server failed.
        """
        timeout, deadline = self._start_clock(timeout)

        def work() -> Rows:
            with self._session(READ_ACCESS) as session:
                if self._embedded is None:
                    return session.execute_read(unit_of_work(timeout=timeout)(run), text, parameters)
                with session.begin_transaction() as transaction:
                    rows, summary = collect(transaction.run(text.rstrip(), sent(parameters)))
                    transaction.rollback()
                refuse_written(summary)
                return rows if rows.columns else Rows(returned_columns(text), [])

        return self._limited(work, deadline)

    def stream(
        self, text: str, parameters: Mapping[str, Any] | None = None, timeout: float | None = None
    ) -> Iterator[tuple[tuple[str, ...], tuple[Any, ...]]]:
        """Run one reading statement and yield (columns, row) as rows arrive; memory does not grow with their number.

        The time limit covers the whole stream, the consumer's own time included. Close the iterator (or exhaust it)
        to end the query.

        Raises:
            QueryError, WriteRefused, TimeLimit, StoreError: as `read`, from the first or any later row.
        """
        timeout, deadline = self._start_clock(timeout)

        def limited(work: Callable[[], Answer]) -> Answer:
            return self._limited(work, deadline)

        with self._session(READ_ACCESS) as session:
            server_limit = timeout if self._embedded is None else None
            with session.begin_transaction(timeout=server_limit) as transaction:
                result = limited(lambda: transaction.run(text.rstrip(), sent(parameters)))
                columns = tuple(result.keys())
                while batch := limited(lambda: list(islice(result, _BATCH))):
                    for record in batch:
                        yield columns, tuple(plain(value) for value in record.values())
                summary = result.consume()
                transaction.rollback()
            if self._embedded is not None:
                refuse_written(summary)

    def guard(self, text: str, parameters: Mapping[str, Any] | None = None) -> None:
        """Pass a text typed by a user if it only reads. Nothing is run.

        Raises:
            WriteRefused: it would write, change the schema, read files, or call a procedure that is not allowed.
            QueryError: the server does not accept it.
            StoreError: the server failed.
        """
        statement = check(text, unicode_escapes=self.kind == "neo4j")
        # ArcadeDB cannot EXPLAIN a SHOW.
        if statement.shows and self.kind == "embedded":
            return
        with self._session(READ_ACCESS, explained=True) as session, session.begin_transaction() as transaction:
            _, summary = collect(transaction.run("EXPLAIN " + statement.body, sent(parameters)))
            transaction.rollback()
        # ArcadeDB calls every EXPLAIN a write; there `read` looks at the type of the query itself.
        # "s" (schema, system) is also the type of the one allowed procedure dbms.components.
        if (
            self.kind == "neo4j"
            and summary.query_type != "r"
            and not (summary.query_type == "s" and statement.procedures)
        ):
            raise WriteRefused("the query would write; a query only reads")

    def explain(self, text: str, parameters: Mapping[str, Any] | None = None) -> str:
        """Return the server's plan for a statement, as the server prints it. Nothing is run.

        Raises:
            QueryError: the server does not accept the statement.
            StoreError: the server failed.
        """
        with self._session(READ_ACCESS, explained=True) as session, session.begin_transaction() as transaction:
            _, summary = collect(transaction.run("EXPLAIN " + text, sent(parameters)))
            transaction.rollback()
        return str((summary.plan or {})["args"]["string-representation"])

    def write(self, statements: Sequence[tuple[str, Mapping[str, Any]]]) -> list[Rows]:
        """Run statements in one managed transaction, all or nothing, retried on deadlocks and the like.

        Args:
            statements: (text, parameters) in order. No schema statements.

        Returns:
            The rows of each statement.

        Raises:
            QueryError: a statement is not accepted; nothing is written.
            StoreError: the server failed; nothing is written, unless the connection was lost during the commit.
        """
        return self.transact(lambda run: [run(text, parameters) for text, parameters in statements])

    def transact(self, work: Callable[[Run], Answer]) -> Answer:
        """Run `work` in one managed transaction: it is rolled back if `work` raises, and run again on deadlocks.

        Args:
            work: gets a function (text, parameters) -> Rows, and may decide what to write by what it reads.

        Raises:
            QueryError, StoreError: as `write`.
        """

        def managed(transaction: ManagedTransaction) -> Answer:
            return work(lambda text, parameters: run(transaction, text, parameters))

        def once() -> Answer:
            with self._session(WRITE_ACCESS) as session:
                return session.execute_write(managed)

        return retried(once)

    def ddl(self, statements: Sequence[str]) -> None:
        """Run schema statements, each on its own. Each must be idempotent (IF NOT EXISTS).

        Raises:
            QueryError: a statement is not accepted; those before it stay.
            StoreError: the server failed.
        """
        with self._session(WRITE_ACCESS) as session:
            for statement in statements:
                session.run(Query(statement)).consume()

    @contextmanager
    def _session(self, access: str, *, explained: bool = False) -> Iterator[Session]:
        """A session; what the driver raises inside becomes a cofire error."""
        driver = self.connect()
        try:
            with (
                translated(self.location, explained=explained),
                driver.session(database=self._database, default_access_mode=access) as session,
            ):
                yield session
        except StoreError as error:
            if driver is self._given_up:
                raise TimeLimit(f"{self.location} gave no whole answer within the time limit") from error
            # A server that is stopping may answer with an error of any kind before it hangs up.
            if self._embedded is None or (not isinstance(error, LostConnection) and self._embedded.serving()):
                raise
            lost = ServerGone(self._embedded.lost())
            self._forget(driver, seconds=2.0)
            raise lost from error

    def _start_clock(self, timeout: float | None) -> tuple[float | None, float | None]:
        """The time limit and the moment at which it is over. Starting a server is not part of a query's time."""
        self.connect()
        if timeout is None or timeout > _LONGEST:
            return None, None
        return timeout, time.monotonic() + timeout

    def _forget(self, driver: Driver, *, seconds: float) -> None:
        """Give up a connection; the next call opens a new one. An embedded server of ours is ended with it."""
        with self._opening:
            if self._driver is not driver:
                return
            self._driver = None
            if self._embedded is not None:
                self._embedded.stop(seconds)
        driver.close()

    def _limited(self, work: Callable[[], Answer], deadline: float | None) -> Answer:
        """Run `work`; on the embedded store give it up at `deadline`, a time of time.monotonic().

        A server of our own is ended, as nothing else stops its query. A shared one is left to finish the query.
        """
        if self._embedded is None or deadline is None:
            return work()
        driver = self.connect()
        future: Future[Answer] = Future()

        def run() -> None:
            try:
                future.set_result(work())
            except BaseException as error:  # noqa: BLE001 - raised again by future.result
                future.set_exception(error)

        threading.Thread(target=run, daemon=True, name="cofire-query").start()
        try:
            return future.result(max(deadline - time.monotonic(), 0.0))
        except TimeoutError as error:
            self._given_up = driver
            self._forget(driver, seconds=0.0)
            raise TimeLimit(f"{self.location} gave no whole answer within the time limit") from error
