"""Open a store: connect, and see that it is one that this cofire can use."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from cofire.errors import InputError
from cofire.store.connect import Store
from cofire.store.embedded.database_files import DATABASE
from cofire.store.embedded.server import EmbeddedServer
from cofire.store.versions import check_counts, check_version

__all__ = ["open_store"]


def open_store(
    location: str | Path,
    username: str | None = None,
    password: str | None = None,
    database: str | None = None,
    create: bool = False,
    any_version: bool = False,
) -> Store:
    """Open a store. Use it as a context manager.

    Args:
        location: a directory (embedded), or a URL bolt://, neo4j://, bolt+s://, neo4j+s:// of a Neo4j server.
        username: of the server; unused for a directory.
        password: of the server; unused for a directory.
        database: of the server, "neo4j" if not given; unused for a directory.
        create: make the embedded store where the directory is missing or empty.
        any_version: also open a store whose schema is of another version of cofire; it is not looked through.

    Raises:
        InputError: the URL is malformed, of another kind, or holds a password.
        StoreError: no store there, the server cannot be reached, or it refuses the user.
        StoreBusy: another process holds the directory and its server does not answer.
        SchemaError: the store has the schema of another version.
    """
    text = str(location)
    embedded = EmbeddedServer(Path(text), create=create) if "://" not in text else None
    if embedded is not None:
        store = Store(text, DATABASE, embedded=embedded)
    else:
        check_url(text)
        auth = None if username is None and password is None else (username or "neo4j", password or "")
        store = Store(text, database or "neo4j", auth=auth)
    try:
        store.connect()
        if not any_version:
            check_version(store)
            if embedded is not None and embedded.unsure:
                check_counts(store)
                embedded.counted()
    except BaseException:
        store.close()
        raise
    return store


__all__ = ["check_url"]


_SCHEMES = ("bolt", "bolt+s", "bolt+ssc", "neo4j", "neo4j+s", "neo4j+ssc")


def check_url(text: str) -> None:
    """Pass the URL of a server that the driver can be given.

    Raises:
        InputError: it is malformed, of another kind, or holds a password.
    """
    shown, usual = text.split("@")[-1], "a URL such as bolt://localhost:7687"
    try:
        url = urlsplit(text)
        _ = url.port
    except ValueError:  # its message may quote a password
        raise InputError(f"{shown} has a malformed host or port: give {usual}") from None
    if url.scheme not in _SCHEMES or not url.hostname:
        raise InputError(f"{shown} is no store: give a directory, or {usual}")
    if url.username or url.password:
        raise InputError(f"give the user of {url.hostname} in NEO4J_USERNAME and NEO4J_PASSWORD, not in the URL")
