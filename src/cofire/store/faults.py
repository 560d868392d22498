"""Turn what the driver raises into the errors of cofire, one line each."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from neo4j.exceptions import AuthError, DriverError, Neo4jError, ServiceUnavailable, SessionExpired

from cofire.common.room import refused
from cofire.errors import CofireError, QueryError, StoreError, TimeLimit, WriteRefused

__all__ = ["Duplicate", "LostConnection", "ServerGone", "retried", "short", "translate", "translated"]

Answer = TypeVar("Answer")

_STATEMENT = ("Neo.ClientError.Statement.", "Neo.ClientError.Procedure.")
_TIMED_OUT = "Neo.ClientError.Transaction.TransactionTimedOut"
_POSITION = re.compile(r"\s*\(line (\d+), column (\d+) \(offset: \d+\)\)")


class LostConnection(StoreError):
    """The server went away while it was used."""


class ServerGone(StoreError):
    """The embedded server has ended while it was used; the next call starts or finds another one."""


class Duplicate(StoreError):
    """Two transactions made a node with the same key at the same time; this one lost."""


def retried(call: Callable[[], Answer], attempts: int = 10) -> Answer:
    """Return what `call` returns; it is made again where it was the loser of two transactions (see `Duplicate`).

    Where two of them make the same shared node at once, ArcadeDB fails one instead of letting it wait.
    """
    for attempt in range(1, attempts):
        try:
            return call()
        except Duplicate:
            time.sleep(0.05 * attempt)
    return call()


def translate(error: Exception, location: str, *, explained: bool = False) -> CofireError:
    """The cofire error for what the driver raised.

    Args:
        error: an exception of the driver.
        location: the store, as shown to the user.
        explained: whether "EXPLAIN " was put before the user's text, so that columns of line 1 are shifted by it.
    """
    if isinstance(error, AuthError):
        return StoreError(
            f"{location} refuses the user name or password; set NEO4J_USERNAME and NEO4J_PASSWORD to the server's"
        )
    if isinstance(error, ServiceUnavailable | SessionExpired | OSError):
        return LostConnection(f"the connection to {location} was lost; is the server still running?")
    if isinstance(error, Neo4jError):
        return _of_server(error, location, explained)
    if isinstance(error, DriverError):
        return StoreError(f"{location}: {short(str(error))}")
    return QueryError(f"a parameter cannot be sent to the server: {short(str(error))}")


def _of_server(error: Neo4jError, location: str, explained: bool) -> CofireError:
    code = error.code or ""
    message = error.message or str(error)
    if code == "Neo.ClientError.Statement.AccessMode":
        return WriteRefused("the query would write; a query only reads")
    if code.startswith(_TIMED_OUT):
        return TimeLimit(f"{location} gave no whole answer within the time limit")
    if code == "Neo.ClientError.Schema.ConstraintValidationFailed" or "Duplicated key" in message:
        return Duplicate(f"{location}: {short(message)}")
    # ArcadeDB has no code of its own for an unknown procedure or function or a property of a number.
    of_statement = code.startswith(_STATEMENT) or message.startswith(
        ("Unknown procedure", "Unknown function", "TypeError")
    )
    if of_statement:
        return QueryError(f"Cypher: {_placed(message, explained)}")
    if code.startswith("Neo.ClientError.Security."):
        return StoreError(f"{location} refuses access: {short(message)}")
    if code == "Neo.ClientError.Database.DatabaseNotFound":
        return StoreError(f"{location}: {short(message)}; set NEO4J_DATABASE to one that it has")
    reason = None if "://" in location else refused(Path(location))
    return StoreError(reason or f"{location}: {short(message)} ({code})")


def _placed(message: str, explained: bool) -> str:
    """The first line of a message of the server, with the place in the text that the user typed."""
    place = _POSITION.search(message)
    if place is None:
        return short(message)
    line, column = int(place[1]), int(place[2])
    if explained and line == 1:
        column -= len("EXPLAIN ")
    return f"{short(message[: place.start()])} (line {line}, column {column})"


def short(message: str, limit: int = 240) -> str:
    """The first line of a message, of so many characters at most."""
    line = message.strip().split("\n", 1)[0]
    return line if len(line) <= limit else line[:limit] + "…"


@contextmanager
def translated(location: str, *, explained: bool = False) -> Iterator[None]:
    """Raise the cofire error for anything that the driver raises inside.

    Raises:
        CofireError: one of QueryError, WriteRefused, TimeLimit, StoreError.
    """
    try:
        yield
    except (Neo4jError, DriverError, OSError, OverflowError, TypeError, ValueError) as error:
        raise translate(error, location, explained=explained) from error
