"""Where the tokens of a cluster lie in the span of its members, and how well a simplex fits them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cofire.common.progress import Progress
from cofire.schema.analyses import ACTIVATIONS, Analysis, AnalysisSettings, Made
from cofire.schema.tables import CLUSTERS, LATENTS, MEMBERS, SUBSPACE_MIXTURES, SUBSPACE_POINTS, SUBSPACES

if TYPE_CHECKING:
    from cofire.ingest.capture_dir.directory import CaptureDir


def _make(capture: CaptureDir, _settings: AnalysisSettings, _work: Path, progress: Progress | None) -> Made:
    from cofire.analysis.subspaces.subspaces import cluster_subspaces
    from cofire.ingest.capture_dir.table_files import read_table

    clusters, members, latents = (read_table(capture, table) for table in (CLUSTERS, MEMBERS, LATENTS))
    found = cluster_subspaces(capture, clusters, members, latents, progress=progress)
    return found, {"clusters": found[SUBSPACES.name].num_rows}


ANALYSIS = Analysis(
    "subspaces",
    "where those tokens lie in the span of the members",
    version=2,
    tables=(SUBSPACES, SUBSPACE_POINTS, SUBSPACE_MIXTURES),
    needs=(CLUSTERS.name, LATENTS.name, ACTIVATIONS),
    settings=AnalysisSettings,
    make=_make,
)
