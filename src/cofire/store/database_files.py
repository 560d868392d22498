"""Putting a new ArcadeDB database in the place of an old one, in steps that can be killed anywhere.

    databases/cofire         the database
    databases/cofire.new     one that is being filled; worthless until it is whole
    databases/cofire.ready   the same when it is whole: from now on it is the database
    databases/cofire.old     the one whose place it takes

Whoever holds the store's lock may call these functions, nobody else.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from cofire.store.embedded_child import DATABASE

__all__ = ["new_database", "put_in_place", "settle"]


def new_database(directory: Path) -> Path:
    """Return the place for a database that is to be filled; what an earlier attempt has left there goes.

    Args:
        directory: the store.
    """
    settle(directory)
    databases = directory / "databases"
    databases.mkdir(exist_ok=True)
    return databases / f"{DATABASE}.new"


def put_in_place(directory: Path) -> None:
    """Make the filled database the store's. It has been closed.

    Args:
        directory: the store.
    """
    databases = directory / "databases"
    (databases / f"{DATABASE}.new").rename(databases / f"{DATABASE}.ready")
    settle(directory)


def settle(directory: Path) -> None:
    """Finish what was killed half way: a whole new database takes its place, an unfinished one goes.

    Args:
        directory: the store.
    """
    databases = directory / "databases"
    now, new, ready, old = (databases / f"{DATABASE}{end}" for end in ("", ".new", ".ready", ".old"))
    if ready.is_dir():
        if now.is_dir():
            _remove(old)
            now.rename(old)
        ready.rename(now)
    _remove(old)
    _remove(new)


def _remove(path: Path) -> None:
    if path.exists():
        shutil.rmtree(path)
