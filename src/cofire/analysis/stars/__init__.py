"""Exclusive stars: a hub whose direct neighbours take its tokens in turns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cofire.analysis.clusters import ClusterSettings
from cofire.common.progress import Progress
from cofire.common.settings import setting
from cofire.schema.analyses import ACTIVATIONS, SAE, Analysis, Made
from cofire.schema.tables import EDGES, LATENTS, STARS, TWINS

if TYPE_CHECKING:
    from cofire.ingest.capture_dir.directory import CaptureDir


@dataclass(frozen=True)
class StarSettings(ClusterSettings):
    """The shuffles that stars are compared with; seed and processes are those of the clusters."""

    shuffles: int = setting(50, "shuffles of each hub's neighbours that stars are compared with", ge=20, le=10_000)

    def recorded(self) -> dict[str, Any]:
        """Return what is recorded beside the table."""
        return {"shuffles": self.shuffles, "seed": self.seed}

    @classmethod
    def asked(cls, recorded: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the number of shuffles; the seed is as the clusters have it."""
        return {name: recorded[name] for name in ("shuffles",) if name in recorded}


def _make(capture: CaptureDir, settings: StarSettings, work: Path, progress: Progress | None) -> Made:
    from cofire.analysis.stars.stars import exclusive_stars
    from cofire.ingest.capture_dir.table_files import read_table, table_infos

    # Tables that an earlier cofire has counted know neither direct edges nor twins.
    counted = TWINS.name in table_infos(capture)
    found = exclusive_stars(
        capture,
        read_table(capture, EDGES),
        read_table(capture, TWINS) if counted else TWINS.arrow_schema().empty_table(),
        read_table(capture, LATENTS),
        shuffles=settings.shuffles,
        seed=settings.seed,
        work=work,
        processes=settings.processes,
        progress=progress,
    )
    return {STARS.name: found.table}, found.figures


ANALYSIS = Analysis(
    "stars",
    "hubs whose direct neighbours take their tokens in turns",
    version=1,
    tables=(STARS,),
    needs=(SAE, EDGES.name, TWINS.name, LATENTS.name, ACTIVATIONS),
    settings=StarSettings,
    make=_make,
)
