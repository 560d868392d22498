"""The way to a store's server: opened with the first call, and anew where it was lost, given up, or forked."""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from neo4j import Driver, GraphDatabase
from neo4j.exceptions import ServiceUnavailable, SessionExpired

from cofire.errors import StoreBusy, StoreError
from cofire.store.calls import Call, OutOfTime, disown, hang_up, sweep, within
from cofire.store.embedded.server import OPEN_SECONDS, EmbeddedServer
from cofire.store.embedded.server_child import USER
from cofire.store.faults import LostConnection, ServerGone, translated

__all__ = ["Connection"]

_ANSWER_SECONDS = 30.0
"""How long a server may take to let us in."""
_HURRIED_SECONDS = 1.5
"""What an embedded server has to stop in good order after Ctrl-C; then it is left to it."""


class Connection:
    """One driver for one store. Its methods may be called from several threads.

    Args:
        location: the directory or URL, without secrets.
        database: of the server.
        auth: user and password of a server that is not ours.
        embedded: the server of a directory.
        patience: seconds after which a server that is there and does not answer is given up; None: see `open_store`.
    """

    def __init__(
        self,
        location: str,
        database: str,
        auth: tuple[str, str] | None,
        embedded: EmbeddedServer | None,
        patience: float | None,
    ) -> None:
        self.location = location
        self.database = database
        self.calls: set[Call] = set()
        """Those that are under way."""
        self._auth = auth
        self._embedded = embedded
        self._patience = patience
        self._driver: Driver | None = None
        self._closed = False
        self._ended: tuple[Driver, str] | None = None  # whose server this process ended, and why
        self._opening = threading.Lock()
        self._lent = False  # to who keeps everybody else out
        _CONNECTIONS.add(self)

    def driver(self) -> Driver:
        """The driver, connected and verified. The embedded server is started here.

        Raises:
            StoreError: the server cannot be reached, does not answer or refuses the user; or `close` was called.
        """
        self._take_turn()
        try:
            driver = self._driver
            if driver is None and not self._closed:
                try:
                    self._driver = driver = self._connected()
                except Exception:
                    if not self._closed:
                        raise
            if self._closed or driver is None:  # or another thread closed it meanwhile
                self.close()
                raise StoreError(self._was_closed())
            return driver
        finally:
            self._opening.release()

    def begin(self, access: str, deadline: float | None) -> tuple[Driver, Call]:
        """A call, and the driver that it is made on; the arguments are those of `Call`.

        Raises:
            StoreError: as `driver`.
        """
        while True:
            driver = self.driver()
            try:
                with translated(self.location):
                    call = Call(driver, self.database, access, deadline)
            except StoreError:
                if self._driver is driver:
                    raise
                continue  # another thread has given this driver up since
            self.calls.add(call)
            return driver, call

    def _take_turn(self) -> None:
        """Hold `_opening`. Another thread that opens has bounds of its own; a first load has none."""
        if self._patience is None:
            self._opening.acquire()
        elif not self._opening.acquire(timeout=self._patience if self._lent else max(self._patience, OPEN_SECONDS)):
            raise StoreBusy(
                f"{self.location} is being {'filled by its first load' if self._lent else 'opened'} in another thread "
                "of this process; try again when that is done"
            )

    def _connected(self) -> Driver:
        return (
            self._verified(self.location, self._auth) if self._embedded is None else self._to_embedded(self._embedded)
        )

    def _to_embedded(self, embedded: EmbeddedServer) -> Driver:
        """Start or share the server; one whose owner has gone takes nobody in for long: wait until it has ended."""
        deadline = time.monotonic() + (self._patience or OPEN_SECONDS)
        while True:
            address = embedded.start(self._patience)
            try:
                driver = self._verified(f"bolt://127.0.0.1:{address.port}", (USER, address.password))
            except StoreError:
                if embedded.serving() or time.monotonic() > deadline:
                    raise
            else:
                if embedded.serving() or time.monotonic() > deadline:
                    return driver
                hang_up(driver)
            time.sleep(0.1)

    def _verified(self, url: str, auth: tuple[str, str] | None) -> Driver:
        own = self._embedded is not None and self._embedded.owned  # its start is not limited
        seconds = _ANSWER_SECONDS if own else min(_ANSWER_SECONDS, self._patience or _ANSWER_SECONDS)
        with translated(self.location):
            driver = GraphDatabase.driver(
                url,
                auth=auth,
                connection_timeout=seconds,
                notifications_min_severity="OFF",
                warn_notification_severity="OFF",
                # A server of our own that is gone does not come back by waiting.
                max_transaction_retry_time=30.0 if self._embedded is None else 8.0,
            )

            def verify() -> None:
                try:
                    driver.verify_connectivity()
                    with driver.session(database=self.database) as session:
                        session.run("RETURN 1").consume()
                finally:
                    sweep(driver)

            try:
                within(time.monotonic() + seconds, verify, lambda: hang_up(driver))
            except BaseException as error:
                hang_up(driver)
                if isinstance(error, OutOfTime):
                    raise self._silent(seconds) from None
                if isinstance(error, ServiceUnavailable | SessionExpired | OSError):
                    raise StoreError(
                        f"cannot reach {self.location}; is the server running there, and is it Neo4j's Bolt port?"
                    ) from error
                raise
        return driver

    def _silent(self, seconds: float) -> StoreError:
        if self._embedded is not None:
            return StoreBusy(
                f"{self.location} is held by {self._embedded.holder()}, whose server does not answer; "
                "end it and try again"
            )
        return StoreError(
            f"{self.location} takes connections and did not answer within {seconds:.0f} s; "
            "is it Neo4j's Bolt port, and is the server well?"
        )

    def _was_closed(self) -> str:
        return f"{self.location} was closed here and cannot be asked any more; open it again"

    def close(self, *, hurried: bool = False) -> None:
        """Let go of the server; an embedded one that this process started is stopped. May be called twice.

        Args:
            hurried: do not wait until it has stopped.
        """
        self._closed = True
        driver, self._driver = self._driver, None
        if driver is not None:
            hang_up(driver)
        if self._embedded is not None and hurried:
            self._embedded.leave(_HURRIED_SECONDS)
        elif self._embedded is not None:
            self._embedded.stop()

    @contextmanager
    def alone(self) -> Iterator[tuple[Path, int] | None]:
        """Keep everybody else out of an embedded store, its server stopped: see `EmbeddedServer.alone`."""
        if self._embedded is None or not self._embedded.owned:
            yield None
            return
        with self._opening:
            driver, self._driver = self._driver, None
            if driver is not None:
                hang_up(driver)
            self._lent = True
            try:
                with self._embedded.alone() as held:
                    yield held
            finally:
                self._lent = False

    def said_of(self, driver: Driver, error: Exception, call: Call) -> StoreError | None:
        """The error that says it better than `error`, where a call to the server failed; None where none does."""
        if call.foreign:
            return None
        if call.cut_off:
            return StoreError(f"{self.location}: the call was interrupted; make it again")
        if self._closed:
            return StoreError(self._was_closed())
        if self._ended is not None and self._ended[0] is driver:
            return ServerGone(self._ended[1])
        # A server that is stopping may answer with an error of any kind before it hangs up.
        if self._embedded is None or (not isinstance(error, LostConnection) and self._embedded.serving()):
            return None
        gone = ServerGone(self._embedded.lost())
        self._forget(driver, seconds=2.0)
        return gone

    def end_query(self, driver: Driver, *, seconds: float, why: str) -> None:
        """End an embedded server of ours: nothing else stops its query. A shared one is left to finish it."""
        if self._embedded is not None and self._embedded.owned:
            said = f"the server of {self.location} was ended, as another query of this process {why}; ask again"
            self._forget(driver, seconds=seconds, said=said)

    def _forget(self, driver: Driver, *, seconds: float, said: str | None = None) -> None:
        """Give up a connection; the next call opens a new one. An embedded server of ours is ended with it."""
        if self._driver is not driver:  # nor will it be again: do not wait for who opens another
            return
        with self._opening:
            if self._driver is not driver:
                return
            self._driver = None
            if said is not None:
                self._ended = (driver, said)
            if self._embedded is not None:
                self._embedded.stop(seconds)
        hang_up(driver)

    def forked(self) -> None:
        """This process was just forked from the one that opened the store: leave to that one what is its own."""
        self._opening, self._lent = threading.Lock(), False  # a thread that is not here may have held it
        for call in self.calls:
            call.disown()
        self.calls = set()
        if self._driver is not None:
            disown(self._driver)
        self._driver = self._ended = None
        if self._embedded is not None:
            self._embedded.disown()


_CONNECTIONS: weakref.WeakSet[Connection] = weakref.WeakSet()


def _forked() -> None:
    for connection in list(_CONNECTIONS):
        connection.forked()


os.register_at_fork(after_in_child=_forked)
