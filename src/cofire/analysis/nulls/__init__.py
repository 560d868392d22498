"""What clusters and motifs look like in rewired graphs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cofire.analysis.clusters import ClusterSettings
from cofire.common.progress import Progress
from cofire.common.settings import setting
from cofire.schema.analyses import Analysis, Made
from cofire.schema.tables import CLUSTER_NULLS, CLUSTERS, EDGES, LATENTS, MEMBERS, MOTIF_COUNTS

if TYPE_CHECKING:
    from cofire.ingest.capture_dir.directory import CaptureDir


@dataclass(frozen=True)
class NullSettings(ClusterSettings):
    """The rewired graphs, which are clustered as the graph itself is."""

    rewires: int = setting(200, "rewired graphs that clusters and motifs are compared with", ge=2, le=100_000)

    def recorded(self) -> dict[str, Any]:
        """Return what is recorded beside the tables; what else clusters depend on is in the clusters."""
        return {"objective": self.objective, "rewires": self.rewires, "seed": self.seed}

    @classmethod
    def asked(cls, recorded: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the number of graphs; the rest is as the clusters have it."""
        return {name: recorded[name] for name in ("rewires",) if name in recorded}


def _make(capture: CaptureDir, settings: NullSettings, work: Path, progress: Progress | None) -> Made:
    from cofire.analysis.nulls.nulls import cluster_nulls
    from cofire.ingest.capture_dir.table_files import read_table

    found = cluster_nulls(
        read_table(capture, EDGES),
        read_table(capture, LATENTS).column("firing_count").to_numpy(),
        read_table(capture, CLUSTERS),
        read_table(capture, MEMBERS),
        objective=settings.objective,
        rewires=settings.rewires,
        seed=settings.seed,
        work=work,
        processes=settings.processes,
        progress=progress,
    )
    return {CLUSTER_NULLS.name: found.clusters, MOTIF_COUNTS.name: found.motifs}, found.figures


ANALYSIS = Analysis(
    "nulls",
    "z-scores of clusters and counts of motifs, against rewired graphs",
    version=1,
    tables=(CLUSTER_NULLS, MOTIF_COUNTS),
    needs=(CLUSTERS.name, LATENTS.name, EDGES.name),
    settings=NullSettings,
    make=_make,
)
