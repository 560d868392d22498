"""Running one statement in a transaction of the driver."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from neo4j import ManagedTransaction, Result, ResultSummary

from cofire.errors import WriteRefused
from cofire.store.values import Rows, plain


def sent(parameters: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the parameters as the driver takes them."""
    return dict(parameters or {})


def collect(result: Result) -> tuple[Rows, ResultSummary]:
    """Return all rows of a result, and its summary."""
    columns = tuple(result.keys())
    rows = [tuple(plain(value) for value in record.values()) for record in result]
    return Rows(columns, rows), result.consume()


def run(transaction: ManagedTransaction, text: str, parameters: Mapping[str, Any] | None) -> Rows:
    """Run one statement in a transaction and return all its rows."""
    return collect(transaction.run(text, sent(parameters)))[0]


def refuse_written(summary: ResultSummary) -> None:
    """Raise WriteRefused if a query of the embedded store wrote, which ArcadeDB says only after it was rolled back."""
    # It calls every EXPLAIN and PROFILE a write.
    reads = summary.plan is not None or (summary.profile is not None and not summary.counters.contains_updates)
    if summary.query_type != "r" and not reads:
        raise WriteRefused("the query would write; a query only reads (it was rolled back)")
