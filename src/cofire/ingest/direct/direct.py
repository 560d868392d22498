"""Direct edges: those that no third latent explains (the 0-1 graph of Wille and Buhlmann 2006).

    1. The kept edges, and which of them join twins (`twins`).
    2. Of each edge, up to K common neighbours, twins of its ends left out (`neighbours`).
    3. n_ijh: on how many tokens all three fire (`triples`), a block of edges at a time, each a pass over the shards.
    4. The Mantel-Haenszel log odds of the edge given each h (`mantel_haenszel`); all but n_ijh stands in the edges.
    5. Weakest edge first, one is dropped when some h that still stands explains it (`sequential`).

It takes the text's tokens for one population: a document's topic that no latent stands for explains nothing here (the
edges themselves are judged given their documents). A cause that is no latent, or one that fires on a part of its tokens
only, leaves its latents' edges direct.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import pyarrow as pa

from cofire.common.arrays import Array, Bools, Floats, Ints, Ints32
from cofire.common.files import read_arrays, write_arrays
from cofire.ingest.direct.mantel_haenszel import TripleCounts, mantel_haenszel, mantel_haenszel_error
from cofire.ingest.direct.neighbours import Graph, K, witnesses
from cofire.ingest.direct.sequential import explained_edges
from cofire.ingest.direct.triples import Triples
from cofire.ingest.edges.rule import Figures, KeptEdges
from cofire.ingest.pairs.tally import CHECKPOINT_SECONDS
from cofire.schema.tables import EDGES

CountTriples = Callable[[Triples, int, str], Ints]
"""Returns n_ijh, int64 [M, K], over all shards: of the triples, with so many bytes for bits; and the words to show."""

BYTES_OF_EDGE = 12 * K + 40
"""Of a block: its witnesses and counts; its latents, their order and what becomes of it."""
# Edges of which the Mantel-Haenszel log odds are made at once: some 20 arrays of K float64 each.
AT_ONCE = 16_384

COLUMNS = ("direct", "direct_log_odds", "direct_log_odds_se", "explained_by")


@dataclass(frozen=True)
class _Judged:
    """What is known of a block of edges when its triples are counted.

    Attributes:
        least: float64 [M], the smallest Mantel-Haenszel log odds; infinite without a witness.
        error: float64 [M], its standard error; NaN without a witness.
        many: int64 [M], how many witnesses have log odds below the bound.
        below: int32, these, edge by edge, the smallest log odds first, ties by the lower latent.
    """

    least: Floats
    error: Floats
    many: Ints
    below: Ints32


def direct_edges(
    kept: KeptEdges,
    firings: Ints,
    tokens: int,
    *,
    bound: float,
    memory: int,
    work: Path,
    count: CountTriples,
) -> tuple[pa.Table, Figures]:
    """Tell which of the kept edges are direct.

    Memory: `memory` for the counts of a block and the bits they are made of; besides, some 150 bytes an edge, 4 for
    each witness that explains one, and the slab and the threads of `TripleCounter`.

    Args:
        kept: the edges by the rule; weak-only pairs and those that do not pass are neither told of nor witnesses.
        firings: int64 [N], firings of each latent, the clear ones where `kept.joint` is of these.
        tokens: T.
        bound: an edge is explained by a witness given which its log odds are below it.
        memory: bound in bytes; it changes no result.
        work: directory where each block is kept until all are done.
        count: counts n_ijh.

    Returns:
        The table `edges` with its columns of direct edges; the figures, with how many are direct, how many explained.
    """
    own = kept.proper
    a, b = (kept.table.column(name).to_numpy()[own] for name in ("a", "b"))
    graph = Graph.of(a, b, kept.joint[own], firings, tokens)
    log_odds, log_odds_se = (kept.table.column(name).to_numpy()[own] for name in ("log_odds", "log_odds_se"))
    blocks = _blocks(len(a), memory * 3 // 4)
    judged = []
    for number, (start, stop) in enumerate(blocks):
        path = work / f"direct-{start}-{stop}.npz"
        if path.is_file():
            part = _Judged(**read_arrays(path))
        else:
            begun = time.monotonic()
            part = _judge(graph, start, stop, bound, memory // 4, count, f"direct edges {number + 1}/{len(blocks)}")
            if len(blocks) > 1 or time.monotonic() - begun > CHECKPOINT_SECONDS:
                write_arrays(path, vars(part))
        judged.append(part)
    whole = _joined(judged)
    first = np.concatenate([[0], np.cumsum(whole.many)]).astype(np.int64)
    explained = explained_edges(graph, log_odds, first, whole.below)
    values: dict[str, Array] = {
        "direct": explained < 0,
        "direct_log_odds": np.minimum(log_odds, whole.least),
        "direct_log_odds_se": np.where(whole.least < log_odds, whole.error, log_odds_se),
        "explained_by": explained,
    }
    direct = int((explained < 0).sum())
    told: Figures = {"edges_direct": direct, "edges_explained": len(own) - direct}
    return _filled(kept.table, own, values), {**kept.figures, **told}


def _blocks(edges: int, memory: int) -> list[tuple[int, int]]:
    """Cut 0..edges-1 into blocks that take `memory` bytes at most (one edge at least); one empty block of no edges."""
    size = max(1, memory // BYTES_OF_EDGE)
    return [(start, min(start + size, edges)) for start in range(0, max(edges, 1), size)]


def _judge(graph: Graph, start: int, stop: int, bound: float, memory: int, count: CountTriples, words: str) -> _Judged:
    """Count and judge the edges start..stop-1."""
    i, j, chosen = graph.a[start:stop], graph.b[start:stop], witnesses(graph, start, stop)
    higher = graph.firings[j] > graph.firings[i]
    busier, rarer = np.where(higher, j, i), np.where(higher, i, j)
    triples = Triples(len(graph.firings), busier, rarer, chosen, graph.firings[rarer])
    n_ijh = count(triples, memory, words) if (chosen[:, 0] >= 0).any() else np.zeros(chosen.shape, np.int64)
    parts = []
    for low in range(0, max(stop - start, 1), AT_ONCE):
        rows = slice(low, low + AT_ONCE)
        # Where there is no witness, one that never fires stands in; it tells nothing.
        known = chosen[rows] >= 0
        ih, jh = graph.edges_to(i[rows], chosen[rows]), graph.edges_to(j[rows], chosen[rows])
        counts = TripleCounts(
            i=graph.firings[i[rows], None],
            j=graph.firings[j[rows], None],
            h=np.where(known, graph.firings[chosen[rows]], 0),
            ij=graph.joint[start:stop][rows, None],
            ih=np.where(known, graph.joint[ih], 0),
            jh=np.where(known, graph.joint[jh], 0),
            ijh=n_ijh[rows],
            tokens=graph.tokens,
        )
        parts.append(_judged(counts, chosen[rows], known, bound))
    return _joined(parts)


def _joined(parts: list[_Judged]) -> _Judged:
    return _Judged(*(np.concatenate([getattr(part, one.name) for part in parts]) for one in fields(_Judged)))


def _judged(counts: TripleCounts, chosen: Ints32, known: Bools, bound: float) -> _Judged:
    given = np.where(known, mantel_haenszel(counts), np.inf)
    # The smallest first; of equal ones, the lower latent.
    order = np.lexsort((chosen, given))
    given, chosen = np.take_along_axis(given, order, 1), np.take_along_axis(chosen, order, 1)
    best = order[:, :1]

    def at_best(values: Ints) -> Ints:
        return np.take_along_axis(values, best, 1)[:, 0] if values.shape[1] > 1 else values[:, 0]

    named = {name: at_best(values) for name, values in vars(counts).items() if name != "tokens"}
    error = mantel_haenszel_error(TripleCounts(**named, tokens=counts.tokens))
    explains = given < bound
    return _Judged(
        given[:, 0], np.where(np.isfinite(given[:, 0]), error, np.nan), explains.sum(axis=1), chosen[explains]
    )


def _filled(edges: pa.Table, rows: Ints, values: dict[str, Array]) -> pa.Table:
    """Return the table with these columns on `rows`, null elsewhere; what explains a direct edge (-1) is null, too."""
    schema = EDGES.arrow_schema()
    for name in COLUMNS:
        field, told = schema.field(name), np.zeros(edges.num_rows, np.bool_)
        told[rows] = True if name != "explained_by" else values[name] >= 0
        whole = np.zeros(edges.num_rows, values[name].dtype)
        whole[rows] = values[name]
        place = edges.schema.get_field_index(name)
        edges = edges.set_column(place, field, pa.array(whole, field.type, mask=~told))
    return edges
