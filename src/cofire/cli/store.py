"""`cofire delete`, `cofire migrate`, `cofire rebuild`: looking after a store."""

from __future__ import annotations

from typing import Annotated

import typer

from cofire.cli.common import CapturesArgument, StoreOption, notice, open_captures, open_named, settings_of, stages
from cofire.errors import InputError
from cofire.settings import LoadSettings, StoreSettings


def delete(
    sae: Annotated[str, typer.Argument(metavar="UID", help="uid of the SAE (RELEASE/SAE_ID).")],
    store: StoreOption = None,
) -> None:
    """Take one SAE and everything of its own out of the store. Releases, models and their tokens stay."""
    from cofire.store.load.write import delete_sae

    with open_named(settings_of(store)) as target:
        with stages(sae) as progress:
            found = delete_sae(target, sae, lambda done, total: progress("delete", done, total))
        if not found:
            raise InputError(f"{target.location} has no SAE {sae}; `cofire saes` lists those that it has")
        notice(f"{sae}: deleted from {target.location}")


def migrate(
    store: StoreOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
) -> None:
    """Bring a store that an older cofire made to this one's schema. Can be interrupted and run again."""
    from cofire.store.versions import VERSION, check_version, found_version, pending
    from cofire.store.versions import migrate as migrate_store

    with open_named(settings_of(store), any_version=True) as target:
        found = found_version(target)
        if found is not None and found > VERSION:
            check_version(target)
        steps = [] if found is None else pending(found)
        if dry_run:
            for step in steps:
                notice(f"to version {step.to}: {step.description}")
        else:
            with stages(target.location) as progress:
                migrate_store(target, lambda step: notice(f"to version {step.to}: {step.description}"), progress)
        state = "is empty" if found is None else f"has schema version {found if dry_run else VERSION}"
        notice(f"{target.location} {state}{'' if steps else '; there is nothing to do'}")


def rebuild(captures: CapturesArgument, store: StoreOption = None) -> None:
    """Make an embedded store anew from captures that were counted and analysed, say after its files were damaged.

    The store then holds the SAEs of these captures and no others. Until the new one is whole the old one stays.
    """
    from cofire.store.load.rebuild import rebuild as rebuild_store
    from cofire.store.place import named_store
    from cofire.store.plan.plan import load_plan

    settings = settings_of(store)
    place = named_store(settings.of(StoreSettings).store)
    if isinstance(place, str):
        raise InputError(f"{place} is a server; rebuild is for an embedded store: use ingest --replace")
    opened = open_captures(captures)
    plans = [load_plan(capture, decoders=settings.of(LoadSettings).decoders) for capture in opened]
    with stages(str(place)) as progress:
        rebuild_store(place, plans, lambda done, total: progress("load", done, total))
    for capture in opened:
        notice(f"{capture.uid}: loaded in {place}")
