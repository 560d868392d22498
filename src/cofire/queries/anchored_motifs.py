"""The motifs around one latent of a store: `cofire.analysis.motifs.anchored` with what it reads from Cypher.

Each reading is one query that finds the latents by their uids and looks at their own edges alone.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from cofire.analysis.motifs import Kind, Measure
from cofire.analysis.motifs.anchored import Near, motifs_at
from cofire.analysis.motifs.search import Motif, Score
from cofire.errors import QueryError
from cofire.queries.known import check_latents
from cofire.queries.library import find_query
from cofire.queries.motif_sources import check_content, content_of, measure_property, motif_table, store_names
from cofire.store import Store

if TYPE_CHECKING:
    import pandas as pd

_UNDEFINED = -1.0e300
# One row a latent, with lists: a row for each edge would take several times as long to be sent.
_EDGES = """MATCH (s:Sae {{uid: $sae, status: 'ready'}})
WITH s.uid + '/' AS prefix
UNWIND $latents AS latent
WITH prefix + toString(latent) AS uid
MATCH (x:Latent {{uid: uid}})
MATCH (x)-[r:CO_FIRES]{arrow}(y)
WHERE {inside}r.logOdds >= $least AND coalesce(r.{measure}, $undefined) >= $floor
RETURN x.index AS latent, collect(y.index) AS others, collect(coalesce(r.{measure}, $undefined)) AS scores"""
# A map finds a latent at once, where ArcadeDB searches a list from end to end; its id is known before it is read.
_INSIDE = "$inside[elementId(y)] IS NOT NULL AND "
_IDS = """MATCH (s:Sae {uid: $sae, status: 'ready'})
WITH s.uid + '/' AS prefix
UNWIND $latents AS latent
WITH latent, prefix + toString(latent) AS uid
MATCH (x:Latent {uid: uid})
RETURN latent, elementId(x) AS id"""
_AT_ONCE = 2_000


def store_motifs_at(
    store: Store,
    sae: str,
    latent: int,
    kind: Kind,
    *,
    by: Measure = "log_odds",
    min_log_odds: float | None = None,
    min_size: int | None = None,
    max_size: int | None = None,
    limit: int = 100,
    timeout: float | None = None,
) -> tuple[list[Motif], bool]:
    """Return the motifs around one latent, the best first, and whether there are more.

    Args:
        store: an open store.
        sae: uid of the SAE.
        latent: index of the latent.
        kind: star, clique, path or bifan; `cofire.analysis.motifs.search.motifs` says which are around a latent.
        by: the measure that scores a motif, by its least value over the edges.
        min_log_odds: edges below it do not count as co-firing; None for no bound.
        min_size: least number of latents; see `cofire.analysis.motifs.search.checked_sizes`.
        max_size: largest number of latents.
        limit: at most so many, 0 for all.
        timeout: seconds for each look into the store.

    Raises:
        InputError: the sizes do not fit the kind.
        QueryError: the SAE or the latent is unknown.
        StoreError: the store failed, or the SAE was replaced meanwhile.
    """
    read = _Reading(store, sae, by, min_log_odds, timeout)
    before = content_of(store, sae, timeout)
    if before is None:
        check_latents(store, sae, [latent], timeout)  # raises, saying why
    found, more = motifs_at(read, latent, kind, min_size=min_size, max_size=max_size, limit=limit)
    if not found:
        check_latents(store, sae, [latent], timeout)
    check_content(store, sae, before, timeout)
    return found, more


def motif_frame_at(
    store: Store, sae: str, latent: int, kind: Kind, *, by: Measure = "log_odds", **how: Any
) -> tuple[pd.DataFrame, bool]:
    """Return what `store_motifs_at` finds as a table, and whether there is more.

    Its columns are `cofire.analysis.motifs.sources.COLUMNS`. Arguments and errors: as `store_motifs_at`.
    """
    found, more = store_motifs_at(store, sae, latent, kind, by=by, **how)
    names = {sae: partial(store_names, store, sae, how.get("timeout"))}
    return motif_table([(sae, motif) for motif in found], names, by), more


def parse_latent(text: str) -> tuple[str, int]:
    """Return the SAE's uid and the index in a latent's uid, RELEASE/SAE_ID/INDEX.

    Raises:
        QueryError: it is none.
    """
    sae, _, index = text.rpartition("/")
    if not sae or not index.isascii() or not index.isdigit():
        raise QueryError(f"{text} is no latent; give the SAE's uid and the index, RELEASE/SAE_ID/INDEX")
    return sae, int(index)


class _Reading:
    """The surroundings of latents in a store."""

    def __init__(self, store: Store, sae: str, by: Measure, min_log_odds: float | None, timeout: float | None) -> None:
        self._store, self._sae, self._timeout = store, sae, timeout
        self._measure = measure_property(by)
        self._least = _UNDEFINED if min_log_odds is None else min_log_odds
        self._ids: dict[int, str] = {}

    def edges_of(self, latents: Collection[int]) -> dict[int, Near]:
        """Return all edges of each latent."""
        return self._read(latents, "-", _UNDEFINED)

    def leaves_of(self, latent: int) -> Collection[int]:
        """Return the latents that co-fire with this one and with none of the others that do."""
        least = None if self._least == _UNDEFINED else self._least
        found = find_query("star_at_latent")(
            self._store, self._timeout, sae=self._sae, index=latent, min_log_odds=least, limit=0
        )
        return [row[found.columns.index("index")] for row in found.rows]

    def edges_among(self, latents: Collection[int], floor: Score) -> dict[int, Near]:
        """Return, of each latent, the edges to others of them that are `floor` and more."""
        found: dict[int, Near] = {latent: {} for latent in latents}
        # Edges are stored once, from the lower index to the higher.
        if new := sorted(found.keys() - self._ids.keys()):
            self._ids |= dict(self._store.read(_IDS, {"sae": self._sae, "latents": new}, self._timeout).rows)
        inside = {self._ids[latent]: True for latent in found if latent in self._ids}
        for latent, near in self._read(found, "->", max(floor, _UNDEFINED), inside).items():
            for other in near.keys() & found.keys():
                found[latent][other] = found[other][latent] = near[other]
        return found

    def _read(
        self, latents: Collection[int], arrow: str, floor: float, inside: Mapping[str, bool] | None = None
    ) -> dict[int, Near]:
        text = _EDGES.format(arrow=arrow, measure=self._measure, inside="" if inside is None else _INSIDE)
        given = {"sae": self._sae, "least": self._least, "floor": floor, "undefined": _UNDEFINED, "inside": inside}
        found: dict[int, Near] = {latent: {} for latent in latents}
        ordered = sorted(latents)
        for start in range(0, len(ordered), _AT_ONCE):
            asked = {**given, "latents": ordered[start : start + _AT_ONCE]}
            for latent, others, scores in self._store.read(text, asked, self._timeout).rows:
                known = (-math.inf if score == _UNDEFINED else score for score in scores)
                found[latent] = dict(zip(others, known, strict=True))
        return found
