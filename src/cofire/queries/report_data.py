"""Collect from a store what the report about one SAE is made from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

from cofire.analysis.report.page import COLUMNS, ReportData
from cofire.errors import CofireError, StoreError
from cofire.schema.base import camel_case
from cofire.schema.tables import TABLES, Table

if TYPE_CHECKING:
    import pandas as pd

    from cofire.store import Store

__all__ = ["report_data"]

_READY = "MATCH (s:Sae {uid: $sae, status: 'ready'})"

# Where a table's rows are in the graph: the pattern, and the variable that has each of the table's columns as a
# property of the camelCase name, except for those given in full.
_PATTERNS: dict[str, tuple[str, str, dict[str, str]]] = {
    "latents": (f"{_READY}<-[:OF]-(a:Latent)", "a", {}),
    "edges": (
        f"{_READY}<-[:OF]-(a:Latent) MATCH (a)-[r:CO_FIRES]->(b:Latent)",
        "r",
        {"a": "a.index", "b": "b.index"},
    ),
    "tokens": (
        f"{_READY}<-[:OF]-(a:Latent) MATCH (a)-[f:FIRES_ON]->(t:Token)",
        "f",
        {"latent": "a.index", "token": "t.token", "text": "t.text"},
    ),
    "contexts": (
        f"{_READY}<-[:OF]-(a:Latent) MATCH (a)-[x:SHOWN_BY]->(t:Context)",
        "x",
        {"latent": "a.index", "document": "t.document", "position": "t.position", "text": "t.text"},
    ),
    "clusters": (f"{_READY} MATCH (c:Cluster) WHERE c.sae = s.uid AND c.level = 0", "c", {"cluster": "c.uid"}),
    "members": (
        f"{_READY}<-[:OF]-(a:Latent) MATCH (a)-[i:IN]->(c:Cluster)",
        "i",
        {"cluster": "c.uid", "latent": "a.index"},
    ),
}

_ORDER = {table.name: [(name, "ascending") for name in table.key] for table in TABLES}
_ORDER["tokens"] = [("latent", "ascending"), ("count", "descending"), ("token", "ascending")]


def report_data(store: Store, sae: str, timeout: float | None = None) -> ReportData:
    """Read one ready SAE.

    Args:
        store: an open store.
        sae: uid of a ready SAE.
        timeout: seconds for each of its tables; None for no limit.

    Returns:
        The tables with the columns that the report reads, as pandas reads them from Parquet: int32, int64, float64
        with NaN for null, bool, str, and arrays. Sorted by their keys; a latent's tokens most frequent first.

    Raises:
        CofireError: the SAE is not ready (any more).
        TimeLimit, StoreError: as `Store.read`.
    """
    found = store.read(f"{_READY} RETURN s AS sae", {"sae": sae}, timeout).rows
    if not found:
        raise CofireError(f"SAE {sae} is not ready; look at `cofire saes`")
    properties: dict[str, Any] = found[0][0]
    tables = {table.name: _read(store, table, sae, timeout) for table in TABLES if table.name in COLUMNS}
    # The tables come one by one; a load in between would mix two versions.
    if store.read(f"{_READY} RETURN s AS sae", {"sae": sae}, timeout).rows != found:
        raise StoreError(f"SAE {sae} was loaded anew while it was read; run the same command again")
    return ReportData(properties, **tables)


def _read(store: Store, table: Table, sae: str, timeout: float | None) -> pd.DataFrame:
    names = COLUMNS[table.name]
    pattern, variable, given = _PATTERNS[table.name]
    returned = ", ".join(f"{given.get(name, f'{variable}.{camel_case(name)}')} AS {name}" for name in names)
    rows = store.read(f"{pattern} RETURN {returned}", {"sae": sae}, timeout).rows
    schema = pa.schema([table.arrow_schema().field(name) for name in names])
    columns = list(zip(*rows, strict=True)) or [()] * len(names)
    arrays = [pa.array(values, type=field.type) for values, field in zip(columns, schema, strict=True)]
    # Sorted here: to sort a million edges takes more memory than the embedded store has for it.
    frame: pd.DataFrame = pa.Table.from_arrays(arrays, schema=schema).sort_by(_ORDER[table.name]).to_pandas()
    return frame
