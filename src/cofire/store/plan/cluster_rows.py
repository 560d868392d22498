"""Clusters, their members and the motif counts of a capture as rows for the graph."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cofire.ingest.capture_dir.directory import CaptureDir
from cofire.ingest.capture_dir.table_files import read_table
from cofire.schema.base import snake_case
from cofire.schema.nodes import CLUSTER, MOTIF_COUNT
from cofire.schema.tables import CLUSTERS, MOTIF_COUNTS
from cofire.store.plan.section import Row, Slice
from cofire.store.plan.table_rows import TableReader, columns_as_rows, latent_uids

if TYPE_CHECKING:
    import pyarrow as pa


def cluster_rows(capture: CaptureDir, tables: TableReader) -> Slice:
    """Return the rows of the clusters."""
    own = [p.name for p in CLUSTER.properties if p.name not in ("uid", "sae")]

    def rows(start: int, stop: int) -> list[Row]:
        found = columns_as_rows(tables.slice(CLUSTERS, start, stop), ["cluster", *(snake_case(name) for name in own)])
        return [[row[0], capture.uid, *row[1:]] for row in found]

    return rows


def motif_rows(capture: CaptureDir) -> list[Row]:
    """Return the rows of the motif counts."""
    own = [p.name for p in MOTIF_COUNT.properties if p.name not in ("uid", "sae")]
    found = columns_as_rows(read_table(capture, MOTIF_COUNTS), [snake_case(name) for name in own])
    return [[f"{capture.uid}/motif/{row[0]}/{row[1]}", capture.uid, *row] for row in found]


def member_ends(capture: CaptureDir, data: pa.Table) -> tuple[list[str], list[str]]:
    """Return the keys of the latent and of the cluster of each row of `members`."""
    return latent_uids(capture, data, "latent"), data.column("cluster").to_pylist()
