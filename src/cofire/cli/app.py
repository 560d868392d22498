"""The typer application: its groups, and the options that several commands share."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from cofire.cli import ask, captures, export, motifs, report, stores, tables

app = typer.Typer(
    name="cofire",
    help="A graph knowledge base of sparse-autoencoder latents: which fire together, in which shape, and where.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


def _version(value: bool) -> None:
    if value:
        from cofire import __version__

        typer.echo(f"cofire {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the full trace of an error. May stand anywhere.")
    ] = False,
) -> None:
    """Hold the options of `cofire` itself."""


def _add(function: Any, name: str) -> None:
    app.command(name)(function)


_add(captures.capture, "capture")
app.add_typer(captures.importers, name="import")
_add(tables.count, "count")
_add(tables.analyze, "analyze")
_add(tables.ingest, "ingest")
app.add_typer(ask.queries, name="query")
_add(ask.cypher, "cypher")
_add(ask.saes, "saes")
_add(motifs.motifs, "motifs")
_add(export.export, "export")
_add(report.report, "report")
_add(stores.delete, "delete")
_add(stores.migrate, "migrate")
_add(stores.rebuild, "rebuild")
