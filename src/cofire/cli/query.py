"""`cofire query`, `cofire cypher`, `cofire saes`: reading the graph."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cofire.cli.common import QueriesOption, StoreOption, TimeoutOption, known_queries, notice, open_knowledge_base
from cofire.cli.output import Format, emit, most_rows, tell
from cofire.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

    from cofire.queries.library import Query

queries = typer.Typer(help="The query library.", no_args_is_help=True)

ParameterOption = Annotated[
    list[str] | None, typer.Option("-p", "--param", metavar="NAME=VALUE", help="A parameter; may be given again.")
]
FormatOption = Annotated[Format, typer.Option("--format", help="How to print the rows.")]
LimitOption = Annotated[
    int | None,
    typer.Option(min=0, help="Most rows to print; 0 for all.", show_default="50 as a table, all otherwise"),
]

_UNREADY = "MATCH (s:Sae) WHERE s.status <> 'ready' RETURN s.uid AS uid ORDER BY uid LIMIT 1"


@queries.command("list")
def list_queries(
    format: FormatOption = "table",  # noqa: A002 - the contract's name of the option
    queries: QueriesOption = None,
) -> None:
    """List the queries of the library, and of your own folder."""
    import pandas as pd

    rows = [
        {"name": q.name, "parameters": ", ".join(p.name for p in q.parameters), "description": q.description}
        for q in known_queries(queries).values()
    ]
    emit(pd.DataFrame(rows), format)


@queries.command("show")
def show_query(
    name: Annotated[str, typer.Argument(help="The query's name.")],
    queries: QueriesOption = None,
) -> None:
    """Print a query file: what it answers, its parameters and columns, its Cypher."""
    from cofire.queries.library import find_query

    tell(find_query(name, known_queries(queries)).source)


@queries.command("run")
def run_query(
    name: Annotated[str, typer.Argument(help="The query's name.")],
    param: ParameterOption = None,
    store: StoreOption = None,
    format: FormatOption = "table",  # noqa: A002 - the contract's name of the option
    limit: LimitOption = None,
    timeout: TimeoutOption = None,
    queries: QueriesOption = None,
) -> None:
    """Run a query of the library or of your own folder."""
    from cofire.queries.library import find_query, parse_parameters

    query = find_query(name, known_queries(queries))
    parameters = parse_parameters(query, _pairs(param))
    most = most_rows(format, limit)
    with open_knowledge_base(store, timeout, queries) as kb:
        frame, cut = kb.first_rows(name, most, **parameters) if most else (kb.query(name, **parameters), False)
    shown = _short(frame, parameters.get("sae")) if format == "table" and query.trusted else frame
    emit(shown, format, cut=cut)
    _notice_own_limit(query, parameters, len(frame), cut=cut)


@queries.command("explain")
def explain_query(
    name: Annotated[str, typer.Argument(help="The query's name.")],
    param: ParameterOption = None,
    store: StoreOption = None,
    queries: QueriesOption = None,
) -> None:
    """Show the plan that the store makes for a query; nothing is run."""
    from cofire.queries.library import find_query, parse_parameters

    parameters = parse_parameters(find_query(name, known_queries(queries)), _pairs(param))
    with open_knowledge_base(store, queries=queries) as kb:
        tell(kb.explain(name, **parameters).rstrip() + "\n")


def cypher(
    text: Annotated[str, typer.Argument(help="A Cypher query that only reads.")],
    param: ParameterOption = None,
    store: StoreOption = None,
    format: FormatOption = "table",  # noqa: A002 - the contract's name of the option
    limit: LimitOption = None,
    timeout: TimeoutOption = None,
) -> None:
    """Run your own Cypher query; what would write is refused. Parameter values are JSON, or else text."""
    parameters = {name: _json_or_text(name, value) for name, value in _pairs(param).items()}
    most = most_rows(format, limit)
    with open_knowledge_base(store, timeout) as kb:
        frame, cut = kb.first_cypher_rows(text, most, **parameters) if most else (kb.cypher(text, **parameters), False)
    emit(frame, format, cut=cut)


def saes(store: StoreOption = None, format: FormatOption = "table") -> None:  # noqa: A002 - the contract's name
    """List the SAEs in the store."""
    with open_knowledge_base(store) as kb:
        frame = kb.saes()
        unready = kb.cypher(_UNREADY)["uid"].tolist() if frame.empty else []
    if unready:
        notice(f"{unready[0]} is still loading, or being deleted; run `cofire ingest` again to finish its load")
    elif frame.empty:
        notice("the store holds no SAE yet; load one with `cofire ingest CAPTURE --store ...`")
    emit(frame, format)


def _short(frame: pd.DataFrame, sae: object) -> pd.DataFrame:
    """Leave the SAE's uid out of its clusters' names, as it was given; a query takes the short name, too."""
    if not isinstance(sae, str):
        return frame
    prefix = f"{sae}/c-"
    return frame.map(lambda cell: cell[len(sae) + 1 :] if isinstance(cell, str) and cell.startswith(prefix) else cell)


def _notice_own_limit(query: Query, given: Mapping[str, Any], rows: int, *, cut: bool) -> None:
    """Say that the default of the query's `limit`, which the user did not give, may have left rows out."""
    own = next((p for p in query.parameters if p.name == "limit" and p.name not in given), None)
    if own is None or type(own.default) is not int or own.default <= 0:
        return
    # That 0 means all is a rule of the library; a user's own query may have another.
    more = "-p limit=0 gives all" if query.trusted and own.type.low == 0 else "-p limit=N gives more"
    if cut:
        notice(f"the query itself gives at most {own.default} rows; {more}")
    elif rows == own.default:
        notice(f"the query's own limit of {own.default} rows was reached; {more}")


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


def _json_or_text(name: str, value: str) -> Any:
    from cofire.queries.value_types import read_json

    try:
        return read_json(value, f"-p {name}")
    except ValueError:
        return value
