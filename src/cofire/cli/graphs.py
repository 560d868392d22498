"""Commands that read a graph from captures or from a store: their argument, and the choice between the two."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cofire.cli.common import open_named, settings_of
from cofire.errors import InputError

if TYPE_CHECKING:
    from cofire.store import Store

GraphCapturesArgument = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="CAPTURE",
        help="Capture directories, or directories of several; without any, the store is read.",
        show_default=False,
    ),
]


def refuse_both(captures: list[Path], given: dict[str, object]) -> None:
    """Refuse options that choose in a store (by name; None, False or empty where not given) beside captures.

    Raises:
        InputError: both are given.
    """
    options = [name for name, value in given.items() if value]
    if captures and options:
        raise InputError(f"{options[0]} is for a store, and captures are named; give one or the other")


def open_to_read(store: str | None) -> Store:
    """Open the store that the flag and the settings name.

    Raises:
        StoreError: there is none, or it cannot be reached.
    """
    return open_named(settings_of(store))
