"""Make an embedded store anew from the tables, which are the source of truth."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cofire.common.progress import Progress
from cofire.errors import InputError, StoreBusy
from cofire.store.embedded.server import EmbeddedServer
from cofire.store.load.bulk import fill
from cofire.store.plan.section import LoadPlan


def rebuild(directory: str | Path, plans: Sequence[LoadPlan], progress: Progress | None = None) -> None:
    """Put a database with just these SAEs in the place of an embedded store's; the store may be damaged.

    Killed at any moment, the store is the old or the new one.

    Args:
        directory: the store; it is made where it is missing.
        plans: from `cofire.store.plan.plan.load_plan`.
        progress: called with (rows done, rows in all).

    Raises:
        InputError: two plans are of one SAE.
        StoreBusy: a process uses the store.
        StoreError: `directory` is something else than a store, or the load failed.
    """
    uids = [plan.uid for plan in plans]
    for uid in uids:
        if uids.count(uid) > 1:
            raise InputError(f"two of the captures are of {uid}; give each SAE once")
    server = EmbeddedServer(Path(directory), create=True)
    with server.locked() as lock:
        if lock is None:
            raise StoreBusy(f"{directory} is in use; end the process that uses it and try again")
        fill(server.directory, lock, plans, progress, anew=True)
