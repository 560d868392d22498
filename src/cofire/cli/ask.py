"""`cofire query`, `cofire cypher`, `cofire saes`: reading the graph."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cofire.cli.common import StoreOption, notice, open_knowledge_base
from cofire.cli.output import Format, emit, most_rows
from cofire.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

    from cofire.queries.knowledge_base import KnowledgeBase

queries = typer.Typer(help="The query library.", no_args_is_help=True)

ParameterOption = Annotated[
    list[str] | None, typer.Option("-p", "--param", metavar="NAME=VALUE", help="A parameter; may be given again.")
]
FormatOption = Annotated[Format, typer.Option("--format", help="How to print the rows.")]
TimeoutOption = Annotated[float | None, typer.Option(help="Seconds that the answer may take.", show_default="no limit")]
LimitOption = Annotated[
    int | None,
    typer.Option(min=0, help="Most rows to print; 0 for all.", show_default="50 as a table, all otherwise"),
]


@queries.command("list")
def list_queries(format: FormatOption = Format.table) -> None:  # noqa: A002 - the contract's name of the option
    """List the queries of the library."""
    import pandas as pd

    from cofire.queries.library import library

    rows = [
        {"name": q.name, "parameters": ", ".join(p.name for p in q.parameters), "description": q.description}
        for q in library().values()
    ]
    emit(pd.DataFrame(rows), format)


@queries.command("show")
def show_query(name: Annotated[str, typer.Argument(help="The query's name.")]) -> None:
    """Print a query file: what it answers, its parameters and columns, its Cypher."""
    from cofire.queries.library import find_query

    typer.echo(find_query(name).source, nl=False)


@queries.command("run")
def run_query(
    name: Annotated[str, typer.Argument(help="The query's name.")],
    param: ParameterOption = None,
    store: StoreOption = None,
    format: FormatOption = Format.table,  # noqa: A002 - the contract's name of the option
    limit: LimitOption = None,
    timeout: TimeoutOption = None,
) -> None:
    """Run a query of the library."""
    from cofire.queries.library import find_query, parse_parameters

    query = find_query(name)
    parameters = parse_parameters(query, _pairs(param))
    with open_knowledge_base(store, timeout) as kb:
        frame, cut = _first_rows(kb.query, kb, name, parameters, most_rows(format, limit))
    emit(frame, format, cut=cut)


@queries.command("explain")
def explain_query(
    name: Annotated[str, typer.Argument(help="The query's name.")],
    param: ParameterOption = None,
    store: StoreOption = None,
) -> None:
    """Show the plan that the store makes for a query; nothing is run."""
    from cofire.queries.library import find_query, parse_parameters

    parameters = parse_parameters(find_query(name), _pairs(param))
    with open_knowledge_base(store) as kb:
        typer.echo(kb.explain(name, **parameters).rstrip())


def cypher(
    text: Annotated[str, typer.Argument(help="A Cypher query that only reads.")],
    param: ParameterOption = None,
    store: StoreOption = None,
    format: FormatOption = Format.table,  # noqa: A002 - the contract's name of the option
    limit: LimitOption = None,
    timeout: TimeoutOption = None,
) -> None:
    """Run your own Cypher query; what would write is refused. Parameter values are JSON, or else text."""
    parameters = {name: _json_or_text(value) for name, value in _pairs(param).items()}
    with open_knowledge_base(store, timeout) as kb:
        frame, cut = _first_rows(kb.cypher, kb, text, parameters, most_rows(format, limit))
    emit(frame, format, cut=cut)


def saes(store: StoreOption = None, format: FormatOption = Format.table) -> None:  # noqa: A002 - the contract's name
    """List the SAEs in the store."""
    with open_knowledge_base(store) as kb:
        frame = kb.saes()
    if frame.empty:
        notice("the store holds no SAE yet; load one with `cofire ingest CAPTURE --store ...`")
    emit(frame, format)


def _first_rows(
    ask: Callable[..., pd.DataFrame], kb: KnowledgeBase, text: str, parameters: dict[str, Any], most: int
) -> tuple[pd.DataFrame, bool]:
    """Return the first `most` rows (0: all) without reading many more, and whether there are more."""
    from cofire.queries.frames import untyped_frame

    if most:
        with closing(kb.iter(text, **parameters)) as rows:
            first = list(islice(rows, most + 1))
        if first:
            frame = untyped_frame(list(first[0]), [tuple(row.values()) for row in first[:most]])
            return frame, len(first) > most
    return ask(text, **parameters), False


def _pairs(given: list[str] | None) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for item in given or []:
        name, sign, value = item.partition("=")
        if not sign or not name.isidentifier():
            raise InputError(f"-p {item}: give a parameter as NAME=VALUE")
        if name in pairs:
            raise InputError(f"-p {item}: parameter {name} is given twice")
        pairs[name] = value
    return pairs


def _json_or_text(value: str) -> Any:
    try:
        return json.loads(value)
    except ValueError:
        return value
