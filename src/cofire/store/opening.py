"""Open a store: connect, and see that it is one that this cofire can use."""

from __future__ import annotations

from pathlib import Path

from cofire.common.files import from_home
from cofire.store.connect import Store
from cofire.store.embedded.database_files import DATABASE
from cofire.store.embedded.server import EmbeddedServer
from cofire.store.place import named_store
from cofire.store.versions import check_counts, check_version

__all__ = ["open_store"]

_LEAST_SECONDS = 5.0
"""What a server has to let us in, however short the time limit of a query is."""


def open_store(
    location: str | Path,
    username: str | None = None,
    password: str | None = None,
    database: str | None = None,
    create: bool = False,
    any_version: bool = False,
    timeout: float | None = None,
) -> Store:
    """Open a store. Use it as a context manager.

    Args:
        location: a directory (embedded), or a URL bolt://, neo4j://, bolt+s://, neo4j+s:// of a Neo4j server. A Path
            is a directory whatever it looks like.
        username: of the server; unused for a directory.
        password: of the server; unused for a directory.
        database: of the server, "neo4j" if not given; unused for a directory.
        create: make the embedded store where the directory is missing or empty.
        any_version: also open a store whose schema is of another version of cofire; it is not looked through.
        timeout: seconds after which a server that is there and does not answer is given up; 5 at least. The start of
            an embedded server is not limited by it. None for half a minute, and for as long as another process takes
            for the first load of an embedded store.

    Raises:
        InputError: `location` names no store: see `cofire.store.place`.
        StoreError: no store there, the server cannot be reached, or it refuses the user.
        StoreBusy: another process holds the directory and its server does not answer.
        SchemaError: the store has the schema of another version.
    """
    patience = None if timeout is None else max(timeout, _LEAST_SECONDS)
    place = named_store(location) if isinstance(location, str) else from_home(location)
    embedded = EmbeddedServer(place, create=create) if isinstance(place, Path) else None
    if embedded is not None:
        store = Store(str(place), DATABASE, embedded=embedded, patience=patience)
    else:
        auth = None if username is None and password is None else (username or "neo4j", password or "")
        store = Store(str(place), database or "neo4j", auth=auth, patience=patience)
    try:
        store.connect()
        if not any_version:
            check_version(store, patience)
            if embedded is not None and embedded.unsure:
                check_counts(store)
                embedded.counted()
    except BaseException as error:
        store.close(hurried=isinstance(error, KeyboardInterrupt))
        raise
    return store
