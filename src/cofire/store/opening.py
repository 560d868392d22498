"""Open a store: connect, and see that it is one that this cofire can use."""

from __future__ import annotations

from pathlib import Path

from cofire.store.connect import Store
from cofire.store.embedded import EmbeddedServer
from cofire.store.embedded_child import DATABASE
from cofire.store.location import check_url
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
