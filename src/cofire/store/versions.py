"""Which schema a store has, and how an older one becomes the present one.

A store says so in one node, `(:SchemaVersion {uid: 'cofire', version})`. One that has SAEs and no such node was made
before there was one: it is of version 1. Migrations are run in order; each may be killed and run again.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib import metadata
from typing import TYPE_CHECKING

from cofire.common.progress import StageProgress
from cofire.errors import QueryError, SchemaError, StoreError, TimeLimit
from cofire.store.migrations import MIGRATIONS, Migration, make_indexes

if TYPE_CHECKING:
    from cofire.store.connect import Store

VERSION = 5
"""The schema of this version of cofire."""

CHECK_SECONDS = 60.0
"""How long counting may take, and as long again for each CHECK_ROWS rows."""
CHECK_ROWS = 5_000_000

_FOUND = """OPTIONAL MATCH (v:SchemaVersion {uid: 'cofire'})
WITH v.version AS version
OPTIONAL MATCH (s:Sae)
RETURN version, count(s) > 0 AS used"""
_LOADED = "MATCH (s:Sae {status: 'ready'}) RETURN s.uid, s.nLatents, s.nEdges ORDER BY s.uid"
# A property is asked for, so that each record is read: counting alone does not touch those that are gone.
_LATENTS = "MATCH (s:Sae {uid: $uid})<-[:OF]-(a:Latent) RETURN count(a.firingCount)"
_EDGES = "MATCH (s:Sae {uid: $uid})<-[:OF]-(a:Latent)-[r:CO_FIRES]->(:Latent) RETURN count(r.count)"
_RECORD = """MERGE (v:SchemaVersion {uid: 'cofire'})
SET v.version = $version, v.cofireVersion = $cofire"""


def found_version(store: Store, timeout: float | None = None) -> int | None:
    """Return the store's schema version; None for one that nothing was loaded into yet.

    Raises:
        TimeLimit: the store took longer than `timeout` seconds to say so.
    """
    version, used = store.read(_FOUND, {}, timeout).rows[0]
    return int(version) if version is not None else (1 if used else None)


def check_version(store: Store, timeout: float | None = None) -> None:
    """Refuse a store of another schema version than this cofire's.

    Raises:
        TimeLimit: the store took longer than `timeout` seconds to say so.
        SchemaError: it is older, and the message says what `cofire migrate` will do; or it is newer.
    """
    found = found_version(store, timeout)
    if found is None or found == VERSION:
        return
    if found > VERSION:
        raise SchemaError(
            f"{store.location} has schema version {found}, and this cofire knows {VERSION}: use a newer cofire"
        )
    steps = " ".join(f"({m.to}) {m.description}" for m in pending(found))
    raise SchemaError(
        f"{store.location} has schema version {found}, and this cofire needs {VERSION}; "
        f"`cofire migrate --store {store.location}` will bring it there: {steps}"
    )


def check_counts(store: Store) -> None:
    """Refuse an embedded store that has lost latents or edges of an SAE whose load is complete.

    ArcadeDB opens damaged files and answers with what is left. Takes one to two seconds for a million edges.

    Raises:
        StoreError: rows are missing, or they cannot be counted in time.
    """
    for uid, latents, edges in store.read(_LOADED, {}).rows:
        for what, wanted, text in (("latents", latents, _LATENTS), ("edges", edges, _EDGES)):
            try:
                limit = CHECK_SECONDS * (1 + (wanted or 0) // CHECK_ROWS)
                found = store.read(text, {"uid": uid}, limit).rows[0][0]
            except (TimeLimit, QueryError, StoreError) as error:
                raise StoreError(f"{_damaged(store)}: the {what} of {uid} cannot be counted ({error})") from error
            if wanted is not None and found != wanted:
                raise StoreError(f"{_damaged(store)}: {uid} has {found:,} of its {wanted:,} {what}")


def _damaged(store: Store) -> str:
    return (
        f"{store.location} was not closed in good order and may be damaged (make it anew with "
        f"`cofire rebuild CAPTURE... --store {store.location}`)"
    )


def pending(version: int) -> list[Migration]:
    """Return the migrations that a store of that version lacks, in order."""
    return [m for m in MIGRATIONS if m.to > version]


def ensure_schema(store: Store) -> None:
    """Make constraints, indexes and the version's record where they are missing.

    Raises:
        SchemaError: the store has another version.
        StoreError: the store failed.
    """
    check_version(store)
    make_indexes(store)
    if found_version(store) is None:
        _record(store, VERSION)


def migrate(
    store: Store, progress: Callable[[Migration], None] | None = None, tell: StageProgress | None = None
) -> list[Migration]:
    """Bring a store to the present schema version; one that is there already is left alone.

    Args:
        store: a store opened with `any_version`.
        progress: called before each step.
        tell: called with (what is changed, rows done, rows in all).

    Returns:
        The steps that were taken.

    Raises:
        SchemaError: the store is newer than this cofire.
        StoreError: the store failed; run it again.
    """
    found = found_version(store)
    if found is None or found > VERSION:
        check_version(store)
        return []
    steps = pending(found)
    for step in steps:
        if progress is not None:
            progress(step)
        step.run(store, partial(tell or (lambda _stage, _done, _total: None), f"version {step.to}"))
        _record(store, step.to)
    return steps


def _record(store: Store, version: int) -> None:
    store.write([(_RECORD, {"version": version, "cofire": metadata.version("cofire")})])
