"""What a cluster does, composition, ambiguity or hierarchy, from what its members do on the tokens they share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cofire.common.progress import Progress
from cofire.schema.analyses import ACTIVATIONS, Analysis, AnalysisSettings, Made
from cofire.schema.tables import CLUSTER_FUNCTIONS, CLUSTERS, LATENTS, MEMBERS

if TYPE_CHECKING:
    from cofire.ingest.capture_dir.directory import CaptureDir


def _make(capture: CaptureDir, _settings: AnalysisSettings, _work: Path, progress: Progress | None) -> Made:
    from cofire.analysis.functions.functions import cluster_functions
    from cofire.ingest.capture_dir.table_files import read_table

    clusters, members, latents = (read_table(capture, table) for table in (CLUSTERS, MEMBERS, LATENTS))
    table = cluster_functions(capture, clusters, members, latents, progress=progress)
    return {CLUSTER_FUNCTIONS.name: table}, {"clusters": table.num_rows}


ANALYSIS = Analysis(
    "functions",
    "what the members of a cluster do on the tokens that they share",
    version=5,
    tables=(CLUSTER_FUNCTIONS,),
    needs=(CLUSTERS.name, LATENTS.name, ACTIVATIONS),
    settings=AnalysisSettings,
    make=_make,
)
