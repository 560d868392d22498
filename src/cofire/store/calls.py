"""Calls of a server whose every wait ends: by the time limit, by Ctrl-C, and in a process that was forked.

The driver waits in the thread that calls it: for ever, where the server says nothing. Interrupted, it first asks the
server to roll back, and waits for that. So what talks to a server runs in a thread of its own. Whoever made the call
waits for that thread, and when the time is over or Ctrl-C comes, shuts the connection down, at which the thread ends.

A fork copies connections that two processes cannot share: whatever one of them sends or reads, the other one misses.
The child closes its copies, says nothing on them, and connects anew.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from typing import Any, TypeVar

from neo4j import Driver, Session
from neo4j.exceptions import DriverError, Neo4jError

from cofire.errors import StoreError

__all__ = ["Call", "Interrupted", "OutOfTime", "disown", "hang_up", "sweep", "within"]

Answer = TypeVar("Answer")

_CLOSE_SECONDS = 5.0
_LAST_SECONDS = 0.3
"""What a thread has to end in whose connection was shut down."""


class OutOfTime(Exception):
    """The time limit passed."""


class Interrupted(Exception):
    """The call was cut. Raised where somebody waits for it, and in its thread, that the driver does not try again."""


def within(
    deadline: float | None,
    work: Callable[[], Answer],
    cut: Callable[[], None],
    future: Future[Answer] | None = None,
) -> Answer:
    """Return what `work` returns, which runs in a thread of its own.

    Args:
        deadline: a time of time.monotonic(); None for no limit.
        work: talks to a server.
        cut: makes `work` fail soon; called at the deadline, and when this thread is interrupted.
        future: by which others may end the wait.

    Raises:
        OutOfTime: the deadline passed.
        StoreError: no thread could be started.
        BaseException: what `work` raises.
    """
    answer: Future[Answer] = Future() if future is None else future

    def run() -> None:
        try:
            made = work()
        except BaseException as error:  # noqa: BLE001 - raised again by answer.result
            with suppress(InvalidStateError):  # nobody waits any more
                answer.set_exception(error)
        else:
            with suppress(InvalidStateError):
                answer.set_result(made)

    thread = threading.Thread(target=run, daemon=True, name="cofire-call")
    try:
        try:
            thread.start()
        except RuntimeError as error:
            raise StoreError(f"the system lets this process start no further thread ({error}); end some") from error
        try:
            return answer.result(None if deadline is None else max(deadline - time.monotonic(), 0.0))
        except TimeoutError:
            if answer.done():  # it is the work that raised it
                return answer.result()
            raise OutOfTime from None
    finally:
        if not answer.done():
            cut()
            if thread.ident is not None:  # else it did not start
                thread.join(_LAST_SECONDS)


class Call:
    """A session, used in steps. Close it.

    Args:
        driver: of the server.
        database: the database's name.
        access: the driver's READ_ACCESS or WRITE_ACCESS.
        deadline: a time of time.monotonic() at which all steps are over; None for no limit.
    """

    def __init__(self, driver: Driver, database: str, access: str, deadline: float | None) -> None:
        self._driver = driver
        self._session = driver.session(database=database, default_access_mode=access)
        self._deadline = deadline
        self._process = os.getpid()
        self._busy = False
        self._waiting: Future[Any] | None = None
        self.cut_off = False
        """Whether the connection was shut down: by the time limit, by Ctrl-C, or by another thread."""

    def step(self, work: Callable[[Session], Answer]) -> Answer:
        """Return what `work` returns.

        Raises:
            OutOfTime: the time limit passed.
            Interrupted: another thread cut the call.
            StoreError: this process was forked from the one that made the call.
        """
        if self.foreign:
            raise StoreError(
                f"these rows are sent to process {self._process}, from which this one was forked: "
                f"ask again in process {os.getpid()}"
            )
        future: Future[Answer] = Future()
        self._waiting = future
        return within(self._deadline, lambda: self._run(work), self.cut, future)

    def still_wanted(self) -> None:
        """Raise Interrupted where the call was cut: for work that the driver would else begin again."""
        if self.cut_off:
            raise Interrupted

    def cut(self) -> None:
        """Shut the connection down; who waits for a step gets Interrupted at once. May be called from any thread."""
        self.cut_off = True
        self._session._config.max_transaction_retry_time = 0.0
        _shut([self._session._connection])
        # The driver may wait for something else, such as a new connection.
        if self._waiting is not None and not self._waiting.done():
            with suppress(InvalidStateError):
                self._waiting.set_exception(Interrupted())

    @property
    def foreign(self) -> bool:
        """Whether this process was forked from the one that made the call."""
        return self._process != os.getpid()

    def close(self) -> None:
        """Give the connection back; a transaction that is open is rolled back. Says nothing in a forked process."""
        if self.foreign or self._session.closed():
            return
        if self.cut_off or sys.is_finalizing():  # no thread starts any more when Python ends
            self.cut()
            if not self._busy:
                self._drop()
            return
        with suppress(
            OutOfTime, StoreError, DriverError, Neo4jError, OSError
        ):  # the answer has been read, or has failed
            within(time.monotonic() + _CLOSE_SECONDS, lambda: self._run(Session.close), self.cut)

    def _run(self, work: Callable[[Session], Answer]) -> Answer:
        self._busy = True
        try:
            return work(self._session)
        finally:
            self._busy = False
            if self.cut_off:
                self._drop()

    def _drop(self) -> None:
        with suppress(Exception):  # the connection is dead
            self._session.close()
        sweep(self._driver)

    def disown(self) -> None:
        """After a fork, in the child: the session is the parent's."""
        self._session._closed = True


def hang_up(driver: Driver) -> None:
    """Close a driver without waiting for its server."""
    _shut(_connections(driver))
    driver.close()


def sweep(driver: Driver) -> None:
    """Close what connections came to a driver after it was closed: they are nobody's."""
    if driver._closed:
        with suppress(Exception):
            driver._pool.close()


def disown(driver: Driver) -> None:
    """After a fork, in the child: close its copies of the parent's connections; nothing is sent on them."""
    for connection in _connections(driver):
        with suppress(OSError):
            _socket(connection).close()
    driver._closed = True


def _connections(driver: Driver) -> list[Any]:
    # The driver has no public way to its sockets.
    return [connection for some in list(driver._pool.connections.values()) for connection in list(some)]


def _socket(connection: Any) -> socket.socket:
    found: socket.socket = connection.socket._socket
    return found


def _shut(connections: Iterable[Any]) -> None:
    for connection in connections:
        if connection is not None:
            with suppress(OSError):  # it is closed already
                # That of the plain socket: ssl's own takes the encryption away from under whoever reads.
                socket.socket.shutdown(_socket(connection), socket.SHUT_RDWR)
