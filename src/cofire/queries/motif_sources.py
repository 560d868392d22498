"""Motif search over the SAEs of a store, or over captures: the searches of `cofire.analysis.motifs.search` on either.

    with open_store("cofire-store") as store:
        for sae, motif in stream_motifs(store_sources(store, release="my-release"), "clique", min_size=4):
            print(sae, motif.members, motif.score)
        best, more = best_motifs(store_sources(store), "star", limit=20)

The edges are streamed from the store once, the search runs here; no whole-graph pattern is asked of the server.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, get_args

from cofire.analysis.motifs import Kind, Measure
from cofire.analysis.motifs.search import Motif, checked_sizes
from cofire.analysis.motifs.sources import (
    COLUMNS,
    N_TOKENS,
    Edge,
    MotifCount,
    MotifSearch,
    MotifSource,
    Names,
    NamesOf,
    best_found,
    capture_sources,
    rows_of_best,
    stream_found,
)
from cofire.errors import QueryError, StoreError
from cofire.queries.known import unknown_sae
from cofire.queries.library import nearest
from cofire.queries.value_types import ValueType, check_value
from cofire.schema.relationships import CO_FIRES
from cofire.store import Store

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "best_motifs",
    "capture_sources",
    "check_content",
    "checked_search",
    "content_of",
    "measure_property",
    "motif_columns",
    "motif_table",
    "store_motif_counts",
    "store_names",
    "store_sources",
    "stream_motifs",
]

Progress = Callable[[str, str, int, int], None]

_READY = """MATCH (s:Sae {status: 'ready'})
RETURN s.uid AS uid, s.release AS release, s.contentHash AS hash, s.nEdges AS edges
ORDER BY uid"""
_EDGES = """MATCH (s:Sae {uid: $sae, status: 'ready'})<-[:OF]-(x:Latent)
MATCH (x)-[r:CO_FIRES]->(y:Latent)
WHERE $least IS NULL OR r.logOdds >= $least
RETURN x.index AS a, y.index AS b, """
_MOTIF_COUNTS = """MATCH (s:Sae {uid: $sae, status: 'ready'})<-[:COUNTED_IN]-(m:MotifCount)
RETURN m.kind AS kind, m.size AS size, m.count AS count, m.nullMean AS nullMean, m.z AS z
ORDER BY kind, size"""
_ALL_NAMES = """MATCH (s:Sae {uid: $sae, status: 'ready'})<-[:OF]-(l:Latent)
RETURN l.index AS latent, l.distinctiveTokens[..$n] AS tokens"""
# Each by its uid, as a list is not looked up in an index on both stores.
_NAMES = """UNWIND $latents AS latent
WITH $sae + '/' + toString(latent) AS uid
MATCH (l:Latent {uid: uid})
RETURN l.index AS latent, l.distinctiveTokens[..$n] AS tokens"""
_HASH = "MATCH (s:Sae {uid: $sae, status: 'ready'}) RETURN s.contentHash AS hash"


def store_sources(
    store: Store,
    *,
    sae: str | None = None,
    release: str | None = None,
    by: Measure = "log_odds",
    min_log_odds: float | None = None,
    timeout: float | None = None,
) -> list[MotifSource]:
    """Return the sources of a store's ready SAEs, in the order of their uids.

    Args:
        store: an open store; it stays open while the sources are read.
        sae: only the SAE of this uid.
        release: only the SAEs of this release.
        by: the measure that scores the motifs.
        min_log_odds: edges below it do not count as co-firing; None for no bound.
        timeout: seconds for each look into the store, a whole stream of edges too.

    Raises:
        QueryError: no such SAE or release, or its load is not complete.
        StoreError: the store failed; raised by reading a source when its SAE was replaced or deleted since.
    """
    ready = store.read(_READY, {}, timeout).rows
    chosen = [row for row in ready if sae in (None, row[0]) and release in (None, row[1])]
    if not chosen:
        if sae is not None and sae not in [row[0] for row in ready]:
            raise unknown_sae(store, sae, timeout)
        if release is None or not ready:
            raise QueryError(f"{store.location} holds no SAE whose load is complete; load one with `cofire ingest`")
        near = nearest(release, [row[1] for row in ready])
        raise QueryError(f"unknown release {release}{near}; `cofire saes` lists what is there")
    return [
        MotifSource(
            uid,
            int(edges or 0),
            partial(_edges, store, uid, by, min_log_odds, content, edges, timeout),
            partial(store_names, store, uid, timeout),
        )
        for uid, _, content, edges in chosen
    ]


def store_motif_counts(store: Store, sources: Sequence[MotifSource]) -> dict[str, list[MotifCount]]:
    """Return what the store's MotifCount nodes tell of each source's SAE, by its uid.

    Raises:
        QueryError: the SAE was loaded without them.
        StoreError: the store failed.
    """
    found = {}
    for source in sources:
        rows = store.read(_MOTIF_COUNTS, {"sae": source.sae}).rows
        if not rows:
            raise QueryError(
                f"{source.sae} has no motif counts in {store.location}, which --min-z needs; run `cofire analyze "
                "CAPTURE --only nulls` on its capture, then `cofire ingest CAPTURE --replace`"
            )
        found[source.sae] = [MotifCount(*row) for row in rows]
    return found


def _edges(
    store: Store,
    sae: str,
    by: Measure,
    min_log_odds: float | None,
    content: str | None,
    edges: int | None,
    timeout: float | None,
) -> Iterator[Edge]:
    found = 0
    wanted = f"{_EDGES}r.{measure_property(by)} AS value"
    for _, (a, b, value) in store.stream(wanted, {"sae": sae, "least": min_log_odds}, timeout):
        yield int(a), int(b), value
        found += 1
    # A stream is no snapshot: an SAE that goes, or is put in place again, gives no edges or a part of them.
    # With a bound on the edges nothing says how many there should be.
    counted = min_log_odds is None and edges is not None
    check_content(store, sae, content, timeout)
    if counted and found != edges:
        raise _replaced(store, sae)


def content_of(store: Store, sae: str, timeout: float | None) -> str | None:
    """Return the hash of what an SAE holds; None where no complete one is there."""
    rows = store.read(_HASH, {"sae": sae}, timeout).rows
    return rows[0][0] if rows else None


def check_content(store: Store, sae: str, content: str | None, timeout: float | None) -> None:
    """Refuse what was read of an SAE that no longer holds what it did.

    Raises:
        StoreError: it was replaced or deleted.
    """
    if store.read(_HASH, {"sae": sae}, timeout).rows != [(content,)]:
        raise _replaced(store, sae)


def _replaced(store: Store, sae: str) -> StoreError:
    return StoreError(f"{sae} was replaced or deleted in {store.location} meanwhile; search again")


def store_names(store: Store, sae: str, timeout: float | None, latents: Sequence[int] | None) -> Names:
    """Return the tokens that some latents of an SAE are shown by, or all where `latents` is None."""
    given: dict[str, Any] = {"sae": sae, "n": N_TOKENS}
    if latents is None:
        return {latent: tokens or [] for _, (latent, tokens) in store.stream(_ALL_NAMES, given, timeout)}
    rows = store.read(_NAMES, {**given, "latents": list(latents)}, timeout).rows
    return {latent: tokens or [] for latent, tokens in rows}


def checked_search(kind: str, *, by: str, min_log_odds: float | None, limit: int) -> dict[str, Any]:
    """Return what a user of Python gave for a search, checked.

    Raises:
        QueryError: a value is of the wrong type, out of bounds, NaN or none of the choices.
    """
    return {
        "kind": check_value(kind, ValueType("string", choices=get_args(Kind)), "kind"),
        "by": check_value(by, ValueType("string", choices=get_args(Measure)), "by"),
        "min_log_odds": check_value(min_log_odds, ValueType("float", nullable=True), "min_log_odds"),
        "limit": check_value(limit, ValueType("integer", low=0), "limit"),
    }


def motif_columns(by: Measure) -> dict[str, str]:
    """Return the columns of a table of motifs scored by a measure, and their types."""
    return {**COLUMNS, "score": "integer" if by == "count" else "float"}


def motif_table(found: Sequence[tuple[str, Motif]], names: Mapping[str, NamesOf], by: Measure) -> pd.DataFrame:
    """Return motifs (SAE uid, motif), scored by a measure, as a table with the columns `motif_columns`."""
    from cofire.queries.frames import typed_frame

    types = motif_columns(by)
    return typed_frame(list(types), list(types.values()), rows_of_best(found, names))


def measure_property(by: Measure) -> str:
    """Return the property of CO_FIRES that holds a measure: the name comes from the schema, never from the user."""
    return next(p.name for p in CO_FIRES.properties if p.name.lower() == by.replace("_", ""))


def stream_motifs(
    sources: Sequence[MotifSource],
    kind: Kind,
    *,
    min_size: int | None = None,
    max_size: int | None = None,
    progress: Progress | None = None,
) -> Iterator[tuple[str, Motif]]:
    """Yield (SAE uid, motif) for every motif as it is found: by SAE, then in ascending order of the members.

    Memory holds the graph of one SAE and does not grow with the number of motifs.

    Args:
        sources: from `store_sources` or `capture_sources`.
        kind: star, clique, path or bifan; see `cofire.analysis.motifs.search` for what they are.
        min_size: least number of latents; see `cofire.analysis.motifs.search.checked_sizes`.
        max_size: largest number of latents.
        progress: called with (SAE uid, "read" or "search", steps done, steps in all).

    Raises:
        InputError: the sizes do not fit the kind; raised here, before the first motif.
        CaptureError, StoreError: a source cannot be read.
    """
    sizes = checked_sizes(kind, min_size, max_size)
    return stream_found([MotifSearch(source, (sizes,)) for source in sources], kind, progress)


def best_motifs(
    sources: Sequence[MotifSource],
    kind: Kind,
    *,
    limit: int,
    min_size: int | None = None,
    max_size: int | None = None,
    progress: Progress | None = None,
) -> tuple[list[tuple[str, Motif]], bool]:
    """Return the `limit` motifs of the highest scores over all sources, and whether there are more.

    Undefined scores come last, equal ones in the order of `stream_motifs`. Memory holds the graph of one SAE and as
    many motifs as are asked for; partial motifs that can no longer be among the best are not followed.

    Args:
        sources: as `stream_motifs`.
        kind: as `stream_motifs`.
        limit: how many, at least 1.
        min_size: as `stream_motifs`.
        max_size: as `stream_motifs`.
        progress: as `stream_motifs`.

    Raises:
        InputError, CaptureError, StoreError: as `stream_motifs`.
    """
    sizes = checked_sizes(kind, min_size, max_size)
    return best_found([MotifSearch(source, (sizes,)) for source in sources], kind, limit=limit, progress=progress)
