"""Where a motif search gets its graphs from: one source for each SAE, read only when its turn comes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING

from cofire.analysis.motifs import Kind, Measure
from cofire.analysis.motifs.search import BestMotifs, CoFiring, Motif, Score, motifs
from cofire.errors import InputError
from cofire.ingest.capture_dir.table_files import check_table, read_table, table_infos
from cofire.schema.tables import EDGES, MOTIF_COUNTS, TOKENS

if TYPE_CHECKING:
    from cofire.common.progress import Progress
    from cofire.ingest.capture_dir.directory import CaptureDir

_BATCH = 10_000

Edge = tuple[int, int, Score | None]
Names = Mapping[int, Sequence[str]]
"""The most distinctive tokens of latents."""
NamesOf = Callable[[Sequence[int] | None], Names]
"""Returns those, N_TOKENS of each, of some latents, or of all where it is given None."""

COLUMNS = {
    "sae": "string",
    "kind": "string",
    "size": "integer",
    "score": "float",
    "members": "list<integer>",
    "member_tokens": "list<list<string>>",
}
"""The columns of a table of motifs, and their types; `score` is an integer where the measure is `count`."""
N_TOKENS = 3
"""Tokens of each member in a table of motifs."""


@dataclass(frozen=True)
class MotifSource:
    """The graph of one SAE.

    Attributes:
        sae: the SAE's uid.
        edges: how many edges `read` goes through, at most.
        read: yields the edges (a, b, value of the measure or None).
        names: returns the tokens that its latents are shown by.
    """

    sae: str
    edges: int
    read: Callable[[], Iterable[Edge]]
    names: NamesOf

    def graph(self, progress: Progress | None = None) -> CoFiring:
        """Read the edges and build the graph; `progress` is called with (edges read, edges in all)."""
        return CoFiring.of(self._told(progress))

    def _told(self, progress: Progress | None) -> Iterator[Edge]:
        for number, edge in enumerate(self.read()):
            if progress is not None and number % _BATCH == 0:
                progress(number, self.edges)
            yield edge
        if progress is not None:
            progress(self.edges, self.edges)


def capture_sources(
    captures: Sequence[CaptureDir], by: Measure = "log_odds", min_log_odds: float | None = None
) -> list[MotifSource]:
    """Return the sources of counted captures, in the order of their uids.

    Args:
        captures: counted captures.
        by: the measure that scores the motifs.
        min_log_odds: edges below it do not count as co-firing; None for no bound.

    Raises:
        CaptureError: a capture is not counted, or its tables are damaged.
    """
    found = []
    for capture in sorted(captures, key=lambda one: one.uid):
        infos = table_infos(capture)
        if TOKENS.name in infos:
            check_table(capture, TOKENS)  # before the search, not after it
        rows = infos["edges"].rows if "edges" in infos else read_table(capture, EDGES).num_rows
        found.append(
            MotifSource(capture.uid, rows, partial(_edges, capture, by, min_log_odds), partial(_names, capture))
        )
    return found


Row = tuple[str, str, int, Score | None, list[int], list[list[str]]]


def rows_of_best(found: Sequence[tuple[str, Motif]], names: Mapping[str, NamesOf]) -> list[Row]:
    """Return the rows of a table of motifs, in their order; only their own members' tokens are read, by SAE."""
    wanted: dict[str, set[int]] = {}
    for sae, motif in found:
        wanted.setdefault(sae, set()).update(motif.members)
    read = {sae: names[sae](sorted(members)) for sae, members in wanted.items()}
    return [_row(sae, motif, read[sae]) for sae, motif in found]


def rows_of_all(found: Iterable[tuple[str, Motif]], names: Mapping[str, NamesOf]) -> Iterator[Row]:
    """Yield a row as each motif is found; the tokens of all latents of an SAE are read when it begins."""
    for sae, group in groupby(found, key=itemgetter(0)):
        read = names[sae](None)
        for _, motif in group:
            yield _row(sae, motif, read)


def _row(sae: str, motif: Motif, names: Names) -> Row:
    tokens = [list(names.get(index, ())) for index in motif.members]
    return sae, motif.kind, len(motif.members), motif.score, list(motif.members), tokens


@dataclass(frozen=True)
class MotifSearch:
    """What is looked for in the graph of one SAE.

    Attributes:
        source: the graph.
        sizes: ranges of sizes, least and largest (infinite for stars without a bound), ascending; none for no search.
        at: the latent around which motifs are looked for; None for all (see `cofire.analysis.motifs.search.motifs`).
    """

    source: MotifSource
    sizes: tuple[tuple[int, float], ...]
    at: int | None = None


@dataclass(frozen=True)
class MotifCount:
    """A row of the table motif_counts (cofire.schema.tables)."""

    kind: str
    size: int
    count: int
    null_mean: float | None
    z: float | None


def searches_over(
    counts: Mapping[str, Sequence[MotifCount]],
    sources: Sequence[MotifSource],
    kind: Kind,
    low: int,
    high: float,
    min_z: float,
) -> list[MotifSearch]:
    """Return searches for those sizes of a kind of motif that an SAE has more of than its rewired graphs have.

    A size counts with z >= `min_z`, and, where all rewired graphs have equally many and there is no z, if the SAE has
    more. The counts are of the whole graph of edges with log_odds > 0.

    Args:
        counts: what is known of the motifs of each SAE, by its uid.
        sources: their graphs.
        kind: star, clique, path or bifan.
        low: least size.
        high: largest size.
        min_z: standard deviations above the mean of the rewired graphs.

    Returns:
        One search a source.

    Raises:
        InputError: nothing is known of any of these sizes.
    """
    return [
        MotifSearch(source, tuple((size, size) for size in _sizes_over(source.sae, counts, kind, low, high, min_z)))
        for source in sources
    ]


def capture_motif_counts(captures: Sequence[CaptureDir]) -> dict[str, list[MotifCount]]:
    """Return what the table motif_counts of each capture tells, by the SAE's uid.

    Raises:
        InputError: a capture has no such table.
        CaptureError: the tables are damaged.
    """
    found = {}
    for capture in captures:
        if MOTIF_COUNTS.name not in table_infos(capture):
            raise InputError(
                f"{capture.path} has no table motif_counts, which --min-z needs; run "
                f"`cofire analyze {capture.path} --only nulls`"
            )
        infos = table_infos(capture)
        if infos[MOTIF_COUNTS.name].settings.get("edges") != infos[EDGES.name].sha256:
            raise InputError(
                f"{capture.path}: its motif_counts were made from an earlier count; run "
                f"`cofire analyze {capture.path} --only nulls`"
            )
        rows = read_table(capture, MOTIF_COUNTS).select(["kind", "size", "count", "null_mean", "z"]).to_pylist()
        found[capture.uid] = [MotifCount(**row) for row in rows]
    return found


def _sizes_over(
    sae: str, counts: Mapping[str, Sequence[MotifCount]], kind: Kind, low: int, high: float, min_z: float
) -> list[int]:
    known = [row for row in counts[sae] if row.kind == kind and row.null_mean is not None]
    asked = [row for row in known if low <= row.size <= high]
    # Of stars every size that occurs has a row; of other kinds some sizes are too dear to be counted.
    if not asked and kind != "star":
        sizes = ", ".join(str(row.size) for row in known) or "none"
        wanted = str(low) if low == high else f"{low} to {high}"
        raise InputError(f"{sae}: no z of a {kind} of {wanted}; there are those of sizes {sizes}")
    return [
        row.size
        for row in asked
        if row.count and (row.count > (row.null_mean or 0) if row.z is None else row.z >= min_z)
    ]


def stream_found(
    searches: Sequence[MotifSearch], kind: Kind, progress: Callable[[str, str, int, int], None] | None = None
) -> Iterator[tuple[str, Motif]]:
    """Yield (SAE uid, motif) as each is found: by SAE, by range of sizes, then in ascending order of the members.

    Args:
        searches: what to look for; memory holds the graph of one.
        kind: star, clique, path or bifan.
        progress: called with (SAE uid, "read" or "search", steps done, steps in all).
    """
    for search, graph, low, high, step in _graphs(searches, progress):
        for motif in motifs(graph, kind, min_size=low, max_size=high, at=search.at, progress=step):
            yield search.source.sae, motif


def best_found(
    searches: Sequence[MotifSearch],
    kind: Kind,
    *,
    limit: int,
    progress: Callable[[str, str, int, int], None] | None = None,
) -> tuple[list[tuple[str, Motif]], bool]:
    """Return the `limit` motifs of the highest scores over all searches, and whether there are more.

    Arguments as `stream_found`; equal scores in its order, undefined ones last.
    """
    best = BestMotifs(limit)
    for search, graph, low, high, step in _graphs(searches, progress):
        best.search(search.source.sae, graph, kind, min_size=low, max_size=high, at=search.at, progress=step)
    return best.best(), best.more


def _graphs(
    searches: Sequence[MotifSearch], progress: Callable[[str, str, int, int], None] | None
) -> Iterator[tuple[MotifSearch, CoFiring, int, int | None, Progress | None]]:
    """Yield each search with its graph, read once, and each of its ranges of sizes."""
    for search in searches:
        if not search.sizes:
            continue
        sae = search.source.sae
        reading, searching = ((partial(progress, sae, stage) if progress else None) for stage in ("read", "search"))
        graph = search.source.graph(reading)
        for low, high in search.sizes:
            yield search, graph, low, None if high == math.inf else int(high), searching


def _edges(capture: CaptureDir, by: Measure, min_log_odds: float | None) -> Iterator[Edge]:
    import pyarrow.compute as pc

    table = read_table(capture, EDGES)
    if min_log_odds is not None:
        table = table.filter(pc.field("log_odds") >= min_log_odds)
    for batch in table.select(["a", "b", by]).to_batches(_BATCH):
        yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)


def _names(capture: CaptureDir, latents: Sequence[int] | None) -> Names:
    from cofire.ingest.latents.top_tokens import distinctive_texts

    if TOKENS.name not in table_infos(capture):
        return {}  # an import without token ids
    return distinctive_texts(read_table(capture, TOKENS), latents, N_TOKENS)
