"""Running one statement in a transaction of the driver."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from neo4j import ManagedTransaction, Result, ResultSummary

from cofire.errors import QueryError, WriteRefused
from cofire.store.faults import short
from cofire.store.packed import packed_size
from cofire.store.values import Rows, plain

MOST_BYTES = 16 * 2**20
"""The longest message that ArcadeDB 26.10 takes: a longer one it drops, and answers nothing. Neo4j takes 100 MiB."""
_BESIDES = 1024
"""What a message holds beside the text and its parameters, at most."""


def sent(text: str, parameters: Mapping[str, Any] | None, kind: str) -> dict[str, Any]:
    """Return the parameters as the driver takes them.

    Args:
        text: the statement that they go with.
        parameters: by name.
        kind: of the store, "neo4j" or "embedded".

    Raises:
        QueryError: text and parameters together are larger than the embedded server takes, or one of them is nested
            too deep or cannot be made into what is sent.
    """
    given = dict(parameters or {})
    try:
        size, most = packed_size(text) + packed_size(given), MOST_BYTES - _BESIDES
    except QueryError:
        raise
    except Exception as error:  # the parameters' own methods were called
        raise QueryError(f"a parameter cannot be sent to the server: {short(repr(error))}") from error
    if kind == "embedded" and size > most:
        raise QueryError(
            f"the query and its parameters are {size:,} bytes, and the embedded store takes at most {most:,} "
            "at a time: ask in several parts"
        )
    return given


def collect(result: Result) -> tuple[Rows, ResultSummary]:
    """Return all rows of a result, and its summary."""
    columns = tuple(result.keys())
    rows = [tuple(plain(value) for value in record.values()) for record in result]
    return Rows(columns, rows), result.consume()


def run(transaction: ManagedTransaction, text: str, parameters: Mapping[str, Any] | None) -> Rows:
    """Run one statement in a transaction and return all its rows; parameters are as `sent` gives them."""
    return collect(transaction.run(text, dict(parameters or {})))[0]


def refuse_written(summary: ResultSummary) -> None:
    """Raise WriteRefused if a query of the embedded store wrote, which ArcadeDB says only after it was rolled back."""
    # It calls every EXPLAIN and PROFILE a write.
    reads = summary.plan is not None or (summary.profile is not None and not summary.counters.contains_updates)
    if summary.query_type != "r" and not reads:
        raise WriteRefused("the query would write; a query only reads (it was rolled back)")
