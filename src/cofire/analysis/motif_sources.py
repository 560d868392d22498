"""Where a motif search gets its graphs from: one source for each SAE, read only when its turn comes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from cofire.analysis.motifs import CoFiring, Measure, Score
from cofire.ingest.table_files import read_table, table_infos
from cofire.schema.tables import EDGES

if TYPE_CHECKING:
    from cofire.ingest.capture_dir import CaptureDir

_BATCH = 10_000

Edge = tuple[int, int, Score | None]


@dataclass(frozen=True)
class MotifSource:
    """The graph of one SAE.

    Attributes:
        sae: the SAE's uid.
        edges: how many edges `read` goes through, at most.
        read: yields the edges (a, b, value of the measure or None).
    """

    sae: str
    edges: int
    read: Callable[[], Iterable[Edge]]

    def graph(self, progress: Callable[[int, int], None] | None = None) -> CoFiring:
        """Read the edges and build the graph; `progress` is called with (edges read, edges in all)."""
        return CoFiring.of(self._told(progress))

    def _told(self, progress: Callable[[int, int], None] | None) -> Iterator[Edge]:
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
        rows = infos["edges"].rows if "edges" in infos else read_table(capture, EDGES).num_rows
        found.append(MotifSource(capture.uid, rows, partial(_edges, capture, by, min_log_odds)))
    return found


def _edges(capture: CaptureDir, by: Measure, min_log_odds: float | None) -> Iterator[Edge]:
    import pyarrow.compute as pc

    table = read_table(capture, EDGES)
    if min_log_odds is not None:
        table = table.filter(pc.field("log_odds") >= min_log_odds)
    for batch in table.select(["a", "b", by]).to_batches(_BATCH):
        yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)
