"""The files of an embedded store's database: whether they are whole, and putting new ones in their place.

ArcadeDB opens a truncated file without a word and answers with what is left. So the sizes of all files are written
down when the server has stopped in good order, and looked at before it starts again. After a disorderly end there is
nothing to compare with, and the store counts its edges instead (see `cofire.store.versions.check_counts`).

A new database takes an old one's place in steps that can be killed anywhere:

    databases/cofire         the database
    databases/cofire.new     one that is being filled; worthless until it is whole
    databases/cofire.ready   the same when it is whole: from now on it is the database
    databases/cofire.old     the one whose place it takes

Whoever holds the store's lock may call these functions, nobody else.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cofire.common.files import naming

__all__ = [
    "being_filled",
    "damage",
    "distrust",
    "filling",
    "forget_files",
    "new_database",
    "put_in_place",
    "record_files",
    "settle",
    "trust",
]

_RECORD = "files.json"
_UNCOUNTED = "uncounted"
_FILLING = "filling"


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
    forget_files(directory)
    (databases / f"{DATABASE}.new").rename(databases / f"{DATABASE}.ready")
    settle(directory)
    trust(directory)
    record_files(directory)


@contextmanager
def filling(directory: Path) -> Iterator[None]:
    """Tell others while inside that this process fills a new database: they wait for it, however long it takes."""
    with naming(directory):
        (directory / _FILLING).write_text(str(os.getpid()), encoding="ascii")
    try:
        yield
    finally:
        (directory / _FILLING).unlink(missing_ok=True)


def being_filled(directory: Path) -> bool:
    """Whether a living process fills a new database."""
    try:
        os.kill(int((directory / _FILLING).read_text(encoding="ascii")), 0)
    except (OSError, ValueError):
        return False
    return True


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


def distrust(directory: Path) -> None:
    """Note that the rows have to be counted: until `trust`, sizes are not written down, whoever stops the server."""
    (directory / _UNCOUNTED).touch()


def trust(directory: Path) -> None:
    """The rows have been counted and are all there."""
    (directory / _UNCOUNTED).unlink(missing_ok=True)


def record_files(directory: Path) -> None:
    """Write down how large each file of the database is. It has been closed, and is not in doubt (see `distrust`)."""
    if (directory / _UNCOUNTED).exists():
        return
    new = directory / (_RECORD + ".new")
    with naming(directory):
        new.write_text(json.dumps(_sizes(directory), indent=1) + "\n", encoding="utf-8")
    new.replace(directory / _RECORD)


def forget_files(directory: Path) -> None:
    """Take away what was written down: the files are not known to be whole."""
    (directory / _RECORD).unlink(missing_ok=True)


def damage(directory: Path) -> str | None:
    """Say which file of a closed database is not as it was left, and take the record away: it will be used now.

    Returns:
        One clause for the user; None where all is well; "" where the last end was disorderly and nothing is known.
    """
    try:
        recorded = json.loads((directory / _RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""
    found = _sizes(directory)
    for name, size in recorded.items():
        if found.get(name) != size:
            now = f"{found[name]:,} bytes" if name in found else "gone"
            return f"{name} is {now}, and was {size:,} bytes when the store was closed"
    forget_files(directory)
    return None


def _sizes(directory: Path) -> dict[str, int]:
    folder = directory / "databases" / DATABASE
    return {p.name: p.stat().st_size for p in sorted(folder.iterdir()) if p.is_file()} if folder.is_dir() else {}


def _remove(path: Path) -> None:
    if path.exists():
        shutil.rmtree(path)


DATABASE = "cofire"
