"""Every error that cofire raises on purpose.

    CofireError              1   a fault of ours, or the base of what follows
    ├── InputError           2   what the user gave is wrong: what, where, what to do
    │   ├── CaptureError     2   a capture directory that is unfinished, damaged or made with other settings
    │   ├── QueryError       2   an unknown query or parameter, or Cypher that does not parse
    │   ├── ConflictError    2   the store already holds another version of the SAE, or another process loads it
    │   └── SchemaError      2   the store's schema is of another version of cofire
    ├── StoreError           3   the store or a server could not be reached, or gave up
    │   └── StoreBusy        3   another process holds the store
    ├── WriteRefused         4   a read was refused because it would write
    └── TimeLimit            5   a time limit passed

The number is the exit code of the command line (see docs/cli.md). Being interrupted (Ctrl-C) exits with 130.
"""

from __future__ import annotations

__all__ = [
    "CaptureError",
    "CofireError",
    "ConflictError",
    "InputError",
    "QueryError",
    "SchemaError",
    "StoreBusy",
    "StoreError",
    "TimeLimit",
    "WriteRefused",
]


class CofireError(Exception):
    """The base of every error that cofire raises on purpose. `str(error)` is one line."""

    exit_code: int = 1

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))


class InputError(CofireError):
    """What the user gave is wrong. The message says what, where and what to do."""

    exit_code = 2


class CaptureError(InputError):
    """A capture directory that is unfinished, damaged, or made with other settings."""


class QueryError(InputError):
    """An unknown query, an unknown or ill-typed parameter, or Cypher that the server does not accept."""


class ConflictError(InputError):
    """The store already holds another version of what was to be loaded, or another process is at work on it."""


class SchemaError(InputError):
    """The store has the schema of another version of cofire: migrate it, or use a newer cofire."""


class StoreError(CofireError):
    """The store or its server could not be reached, or failed while answering."""

    exit_code = 3


class StoreBusy(StoreError):
    """Another process holds the store, and it cannot be shared."""


class WriteRefused(CofireError):
    """A read was refused because it would write."""

    exit_code = 4


class TimeLimit(CofireError):
    """A time limit passed before the answer came."""

    exit_code = 5
