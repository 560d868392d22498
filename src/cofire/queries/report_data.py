"""Collect from a store what the report about one SAE is made from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

from cofire.analysis.report import ReportData
from cofire.errors import CofireError
from cofire.schema.tables import CLUSTERS, CONTEXTS, EDGES, LATENTS, MEMBERS, TABLES, TOKENS, Table

if TYPE_CHECKING:
    import pandas as pd

    from cofire.store import Store

__all__ = ["report_data"]

_READY = "MATCH (s:Sae {uid: $sae, status: 'ready'})"

# Each returns the columns of its table (cofire.schema.tables), in their order.
_STATEMENTS: dict[str, str] = {
    LATENTS.name: """<-[:OF]-(a:Latent)
RETURN a.index AS index, a.firingCount AS firing_count, a.frequency AS frequency, a.mean AS mean, a.std AS std,
       a.max AS max, a.threshold AS threshold, a.mu AS mu, a.muRule AS mu_rule, a.histogram AS histogram, a.dead AS dead
ORDER BY index""",
    EDGES.name: """<-[:OF]-(a:Latent)
MATCH (a)-[r:CO_FIRES]->(b:Latent)
RETURN a.index AS a, b.index AS b, r.count AS count, r.expected AS expected, r.logOdds AS log_odds,
       r.jaccard AS jaccard, r.phi AS phi, r.npmi AS npmi, r.lift AS lift, r.pBGivenA AS p_b_given_a,
       r.pAGivenB AS p_a_given_b, r.decoderCosine AS decoder_cosine
ORDER BY a, b""",
    TOKENS.name: """<-[:OF]-(a:Latent)
MATCH (a)-[f:FIRES_ON]->(t:Token)
RETURN a.index AS latent, t.token AS token, t.text AS text, f.count AS count, f.share AS share, f.lift AS lift
ORDER BY latent, count DESC, token""",
    CONTEXTS.name: """<-[:OF]-(a:Latent)
MATCH (a)-[x:SHOWN_BY]->(t:Context)
RETURN a.index AS latent, x.rank AS rank, t.document AS document, t.position AS position, t.text AS text,
       x.activation AS activation, x.u AS u
ORDER BY latent, rank""",
    CLUSTERS.name: """
MATCH (c:Cluster) WHERE c.sae = s.uid
RETURN c.uid AS cluster, c.size AS size, c.resolution AS resolution, c.seed AS seed, c.structure AS structure,
       c.density AS density, c.centralization AS centralization, c.transitivity AS transitivity,
       c.maxCliqueShare AS max_clique_share, c.gini AS gini
ORDER BY cluster""",
    MEMBERS.name: """<-[:OF]-(a:Latent)
MATCH (a)-[i:IN]->(c:Cluster)
RETURN c.uid AS cluster, a.index AS latent, i.role AS role, i.strength AS strength
ORDER BY cluster, latent""",
}


def report_data(store: Store, sae: str, timeout: float | None = None) -> ReportData:
    """Read one ready SAE.

    Args:
        store: an open store.
        sae: uid of a ready SAE.
        timeout: seconds for each of its tables; None for no limit.

    Returns:
        The tables as pandas reads their Parquet files: int32, int64, float64 with NaN for null, bool, str, and arrays.

    Raises:
        CofireError: the SAE is not ready (any more).
        TimeLimit, StoreError: as `Store.read`.
    """
    found = store.read(f"{_READY} RETURN s AS sae", {"sae": sae}, timeout).rows
    if not found:
        raise CofireError(f"SAE {sae} is not ready; look at `cofire saes`")
    properties: dict[str, Any] = found[0][0]
    return ReportData(properties, **{table.name: _read(store, table, sae, timeout) for table in TABLES})


def _read(store: Store, table: Table, sae: str, timeout: float | None) -> pd.DataFrame:
    answer = store.read(_READY + _STATEMENTS[table.name], {"sae": sae}, timeout)
    schema = table.arrow_schema()
    columns = list(zip(*answer.rows, strict=True)) or [()] * len(schema)
    arrays = [pa.array(values, type=field.type) for values, field in zip(columns, schema, strict=True)]
    frame: pd.DataFrame = pa.Table.from_arrays(arrays, schema=schema).to_pandas()
    return frame
