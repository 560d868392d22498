"""Communities of the co-firing graph: a sweep of partitions, its consensus, and the shape of each cluster."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from cofire.common.progress import Progress
from cofire.common.settings import setting
from cofire.schema.analyses import SAE, Analysis, AnalysisSettings, Made
from cofire.schema.tables import CLUSTERS, EDGES, MEMBERS

if TYPE_CHECKING:
    from cofire.ingest.capture_dir.directory import CaptureDir


@dataclass(frozen=True)
class ClusterSettings(AnalysisSettings):
    """What the clusters depend on; and `processes`, which changes no result."""

    resolution: float | Literal["auto"] = setting(
        "auto", "resolution of the clusters; auto sweeps over 30 of them", gt=0
    )
    objective: Literal["cpm", "modularity"] = setting("cpm", "what Leiden maximises: CPM on log odds, or modularity")
    runs: int = setting(20, "Leiden runs at each resolution, each on edge weights drawn anew", ge=2, le=1000)
    seed: int = setting(0, "seed of the analyses", ge=0, le=2**31 - 1)
    processes: int | None = setting(
        None,
        "processes that share a sweep or rewires; by default one a processor, 8 at the most",
        ge=1,
        le=64,
        recorded=False,
    )

    def recorded(self) -> dict[str, Any]:
        """Return what is recorded beside the tables."""
        how = {"method": "leiden", "objective": self.objective, "weight": "log_odds"}
        if self.resolution == "auto":
            return {**how, "resolution": "auto", "runs": self.runs, "seed": self.seed}
        return {**how, "resolution": self.resolution, "seed": self.seed}

    @classmethod
    def asked(cls, recorded: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the settings that were asked for; an earlier cofire wrote its default resolution down like one."""
        return recorded if recorded.get("method") == "leiden" else {}


def _make(capture: CaptureDir, settings: ClusterSettings, work: Path, progress: Progress | None) -> Made:
    from cofire.analysis.clusters.clusters import find_clusters
    from cofire.ingest.capture_dir.table_files import read_table

    found = find_clusters(
        capture.uid,
        read_table(capture, EDGES),
        resolution=None if settings.resolution == "auto" else settings.resolution,
        objective=settings.objective,
        seed=settings.seed,
        runs=settings.runs,
        work=work,
        processes=settings.processes,
        progress=progress,
    )
    finest = found.clusters.column("level").to_pylist().count(0)
    figures = {"clusters": finest, "latents_in_clusters": found.members.num_rows, **found.figures}
    return {CLUSTERS.name: found.clusters, MEMBERS.name: found.members}, figures


ANALYSIS = Analysis(
    "clusters",
    "the communities of the co-firing graph and their shape",
    version=3,
    tables=(CLUSTERS, MEMBERS),
    needs=(SAE, EDGES.name),
    settings=ClusterSettings,
    make=_make,
)
