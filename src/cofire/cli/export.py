"""`cofire export`: the graph as files."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Literal

import typer

from cofire.cli.common import (
    GraphCapturesArgument,
    StoreOption,
    notice,
    open_captures,
    open_to_read,
    refuse_both,
    settings_of,
    stages,
)
from cofire.errors import InputError
from cofire.settings import LoadSettings


def export(
    out: Annotated[Path, typer.Option(help="Directory to write; it must be new or empty.")],
    format: Annotated[  # noqa: A002 - the contract's name
        Literal["neo4j-admin", "parquet", "graphml", "csv"],
        typer.Option(
            "--format",
            help="neo4j-admin: for `neo4j-admin database import`. parquet, csv: a file for each sort of node and "
            "relationship. graphml: one file.",
        ),
    ],
    captures: GraphCapturesArgument = None,
    store: StoreOption = None,
    sae: Annotated[
        list[str] | None, typer.Option(help="Only the SAE of this uid in the store; may be given again.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an earlier export in --out.")] = False,
    no_decoders: Annotated[
        bool, typer.Option("--no-decoders", help="Leave the decoder directions of the captures out.")
    ] = False,
) -> None:
    """Write the graph as files, from counted and analysed captures (without a store) or from a store.

    The directory appears when it is whole; an export that is stopped leaves none.
    """
    from cofire.store.export.directory import capture_rows, store_rows
    from cofire.store.export.directory import export as export_graph

    named = captures or []
    refuse_both(named, {"--store": store, "--sae": sae})
    if no_decoders and not named:
        raise InputError("--no-decoders is for captures; a store is exported as it was loaded: leave it out")
    decoders = settings_of(decoders=False if no_decoders else None).of(LoadSettings).decoders
    opened = open_captures(named) if named else []
    with nullcontext() if named else open_to_read(store) as source, stages("export") as advance:
        place = export_graph(
            lambda: (
                capture_rows(opened, advance, decoders=decoders)
                if source is None
                else store_rows(source, sae or [], advance)
            ),
            out,
            format,
            force=force,
        )
    notice(f"wrote {place}")
