"""The typer application: its groups, and the options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

from cofire.cli.analyze import analyze
from cofire.cli.capture import capture, importers
from cofire.cli.count import count
from cofire.cli.export import export
from cofire.cli.ingest import ingest
from cofire.cli.motifs import motifs
from cofire.cli.query import cypher, queries, saes
from cofire.cli.report import report
from cofire.cli.store import delete, migrate, rebuild

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


app.command("capture")(capture)
app.add_typer(importers, name="import")
app.command("count")(count)
app.command("analyze")(analyze)
app.command("ingest")(ingest)
app.add_typer(queries, name="query")
app.command("cypher")(cypher)
app.command("saes")(saes)
app.command("motifs")(motifs)
app.command("export")(export)
app.command("report")(report)
app.command("delete")(delete)
app.command("migrate")(migrate)
app.command("rebuild")(rebuild)
