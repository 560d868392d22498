"""Talk to a store: one class over the official Neo4j driver, for both backends.

Neo4j         managed transactions; READ access mode refuses writes; the driver's time limit is kept by the server.
embedded      ArcadeDB keeps neither READ access nor the time limit. So a read is always rolled back and is refused
              when the server says that it would have written; a query that takes too long is given up here and the
              server, if it is ours, is ended (it starts again with the next call). It names no columns when there
              are no rows, takes a semicolon followed by a blank for a write, and drops a message above
              MOST_BYTES without an answer.

No wait is longer than the time limit and none outlives Ctrl-C, whatever the server does: see `cofire.store.calls`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, TypeVar

from neo4j import (
    READ_ACCESS,
    WRITE_ACCESS,
    ManagedTransaction,
    Query,
    Result,
    ResultSummary,
    Session,
    unit_of_work,
)

from cofire.errors import StoreError, TimeLimit, WriteRefused
from cofire.store.calls import Call, Interrupted, OutOfTime
from cofire.store.connection import Connection
from cofire.store.embedded.server import EmbeddedServer
from cofire.store.faults import retried, translated
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

    In a process that is forked from its own it connects anew with the next call.

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
        patience: float | None = None,
    ) -> None:
        self.kind: Literal["neo4j", "embedded"] = "neo4j" if embedded is None else "embedded"
        self.location = location
        self._embedded = embedded
        self._connection = Connection(location, database, auth, embedded, patience)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(hurried=kind is KeyboardInterrupt)

    def connect(self) -> None:
        """Connect, if that has not been done; every method does so. The embedded server is started here.

        Raises:
            StoreError: the server cannot be reached, does not answer or refuses the user; or this store was closed.
        """
        self._connection.driver()

    def close(self, *, hurried: bool = False) -> None:
        """Let go of the server; an embedded one that this process started is stopped. May be called twice.

        Args:
            hurried: do not wait until it has stopped.
        """
        self._connection.close(hurried=hurried)

    def interrupt(self) -> None:
        """Cut every call that is under way, in whichever thread: each raises StoreError at once."""
        for call in list(self._connection.calls):
            call.cut()

    def alone(self) -> AbstractContextManager[tuple[Path, int] | None]:
        """Keep everybody else out of an embedded store, its server stopped: see `EmbeddedServer.alone`."""
        return self._connection.alone()

    def read(self, text: str, parameters: Mapping[str, Any] | None = None, timeout: float | None = None) -> Rows:
        """Run one reading statement of cofire's own and return all rows. A user's text goes through `guard` first.

        Args:
            text: one Cypher statement.
            parameters: the values of its $parameters.
            timeout: seconds; None for no limit.

        Raises:
            QueryError: the server does not accept the statement, or it is larger than a message may be.
            WriteRefused: it would write.
            TimeLimit: the time limit passed.
            StoreError: the server failed.
        """
        timeout, deadline = self._start_clock(timeout)
        given = sent(text, parameters, self.kind)

        def work(session: Session) -> Rows:
            with session:
                if self._embedded is None:
                    return session.execute_read(unit_of_work(timeout=timeout)(run), text, given)
                with session.begin_transaction() as transaction:
                    rows, summary = collect(transaction.run(text.rstrip(), given))
                    transaction.rollback()
                refuse_written(summary)
                return rows if rows.columns else Rows(returned_columns(text), [])

        with self._call(READ_ACCESS, deadline) as call:
            return call.step(work)

    def stream(
        self, text: str, parameters: Mapping[str, Any] | None = None, timeout: float | None = None
    ) -> Iterator[tuple[tuple[str, ...], tuple[Any, ...]]]:
        """Run one reading statement and yield (columns, row) as rows arrive; memory does not grow with their number.

        The time limit covers the whole stream, the consumer's own time included. Close the iterator (or exhaust it)
        to end the query. A process that is forked meanwhile cannot go on with it.

        Raises:
            QueryError, WriteRefused, TimeLimit, StoreError: as `read`, from the first or any later row.
        """
        timeout, deadline = self._start_clock(timeout)
        given = sent(text, parameters, self.kind)
        server_limit = timeout if self._embedded is None else None

        with self._call(READ_ACCESS, deadline) as call:

            def begin(session: Session) -> tuple[Result, tuple[str, ...]]:
                result = session.begin_transaction(timeout=server_limit).run(text.rstrip(), given)
                return result, tuple(result.keys())

            def end(session: Session) -> ResultSummary:
                with session:  # its transaction is rolled back
                    return result.consume()

            result, columns = call.step(begin)
            while batch := call.step(lambda _: list(islice(result, _BATCH))):
                for record in batch:
                    yield columns, tuple(plain(value) for value in record.values())
            summary = call.step(end)
            if self._embedded is not None:
                refuse_written(summary)

    def guard(self, text: str, parameters: Mapping[str, Any] | None = None, timeout: float | None = None) -> None:
        """Pass a text typed by a user if it only reads. Nothing is run.

        Args:
            text: the Cypher.
            parameters: the values of its $parameters.
            timeout: seconds; None for no limit.

        Raises:
            WriteRefused: it would write, change the schema, read files, or call a procedure that is not allowed.
            QueryError: the server does not accept it, or it is larger than a message may be.
            TimeLimit: the time limit passed.
            StoreError: the server failed.
        """
        statement = check(text, unicode_escapes=self.kind == "neo4j")
        # ArcadeDB cannot EXPLAIN a SHOW.
        if statement.shows and self.kind == "embedded":
            return
        summary = self._explained(statement.body, parameters, timeout)
        # ArcadeDB calls every EXPLAIN a write; there `read` looks at the type of the query itself.
        # "s" (schema, system) is also the type of the one allowed procedure dbms.components.
        if (
            self.kind == "neo4j"
            and summary.query_type != "r"
            and not (summary.query_type == "s" and statement.procedures)
        ):
            raise WriteRefused("the query would write; a query only reads")

    def explain(self, text: str, parameters: Mapping[str, Any] | None = None, timeout: float | None = None) -> str:
        """Return the server's plan for a statement, as the server prints it. Nothing is run.

        Raises:
            QueryError: the server does not accept the statement, or it is larger than a message may be.
            TimeLimit: the time limit, `timeout` seconds, passed.
            StoreError: the server failed.
        """
        summary = self._explained(text, parameters, timeout)
        return str((summary.plan or {})["args"]["string-representation"])

    def _explained(self, text: str, parameters: Mapping[str, Any] | None, timeout: float | None) -> ResultSummary:
        _, deadline = self._start_clock(timeout)
        given = sent(text, parameters, self.kind)

        def work(session: Session) -> ResultSummary:
            with session, session.begin_transaction() as transaction:
                _, summary = collect(transaction.run("EXPLAIN " + text, given))
                transaction.rollback()
                return summary

        with self._call(READ_ACCESS, deadline, explained=True) as call:
            return call.step(work)

    def write(self, statements: Sequence[tuple[str, Mapping[str, Any]]]) -> list[Rows]:
        """Run statements in one managed transaction, all or nothing, retried on deadlocks and the like.

        Args:
            statements: (text, parameters) in order. No schema statements.

        Returns:
            The rows of each statement.

        Raises:
            QueryError: a statement is not accepted, or is larger than a message may be; nothing is written.
            StoreError: the server failed; nothing is written, unless the connection was lost during the commit.
        """
        return self.transact(lambda run: [run(text, parameters) for text, parameters in statements])

    def transact(self, work: Callable[[Run], Answer]) -> Answer:
        """Run `work` in one managed transaction: it is rolled back if `work` raises, and run again on deadlocks.

        Args:
            work: gets a function (text, parameters) -> Rows, and may decide what to write by what it reads. It may be
                called in another thread.

        Raises:
            QueryError, StoreError: as `write`.
        """

        def once() -> Answer:
            with self._call(WRITE_ACCESS) as call:

                def managed(transaction: ManagedTransaction) -> Answer:
                    def one(text: str, parameters: Mapping[str, Any]) -> Rows:
                        call.still_wanted()
                        return run(transaction, text, sent(text, parameters, self.kind))

                    call.still_wanted()
                    return work(one)

                def begin(session: Session) -> Answer:
                    with session:
                        return session.execute_write(managed)

                return call.step(begin)

        return retried(once)

    def ddl(self, statements: Sequence[str]) -> None:
        """Run schema statements, each on its own. Each must be idempotent (IF NOT EXISTS).

        Raises:
            QueryError: a statement is not accepted; those before it stay.
            StoreError: the server failed.
        """

        def work(session: Session) -> None:
            with session:
                for statement in statements:
                    session.run(Query(statement)).consume()

        with self._call(WRITE_ACCESS) as call:
            call.step(work)

    @contextmanager
    def _call(self, access: str, deadline: float | None = None, *, explained: bool = False) -> Iterator[Call]:
        """A call; what the driver raises inside becomes a cofire error."""
        driver, call = self._connection.begin(access, deadline)
        try:
            with translated(self.location, explained=explained):
                yield call
        except OutOfTime:
            self._connection.end_query(driver, seconds=0.0, why="took longer than its time limit")
            raise TimeLimit(f"{self.location} gave no whole answer within the time limit") from None
        except KeyboardInterrupt:
            asked = call.cut_off  # else it came between two steps, while the rows were read
            call.cut()
            if asked and access == READ_ACCESS:
                self._connection.end_query(driver, seconds=1.0, why="was interrupted")
            raise
        except (StoreError, Interrupted) as error:
            better = self._connection.said_of(driver, error, call)
            if better is None:
                raise
            raise better from error
        finally:
            self._connection.calls.discard(call)
            call.close()

    def _start_clock(self, timeout: float | None) -> tuple[float | None, float | None]:
        """The time limit and the moment at which it is over. Starting a server is not part of a query's time."""
        self.connect()
        if timeout is None or timeout > _LONGEST:
            return None, None
        return timeout, time.monotonic() + timeout
