"""The settings of the analyses (`cofire analyze`)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    pass


@dataclass(frozen=True)
class AnalysisSettings:
    """What the analyses are asked for.

    Attributes:
        resolution: of the clusters, in nats under CPM; None to look for the longest plateau of resolutions.
        objective: what Leiden maximises, the constant Potts model or modularity.
        runs: Leiden runs at each resolution of the sweep, each on edge weights drawn anew.
        rewires: rewired graphs that clusters and motifs are compared with.
        seed: of all that is drawn at random.
        processes: that share a sweep or rewires; None for as many as there are processors, 8 at the most. It changes
            nothing in a result, and is not recorded.
    """

    resolution: float | None = None
    objective: Literal["cpm", "modularity"] = "cpm"
    runs: int = 20
    rewires: int = 200
    seed: int = 0
    processes: int | None = field(default=None, compare=False)

    def recorded(self, name: str) -> dict[str, str | float | int]:
        """Return the settings of one analysis as they are recorded beside its tables."""
        if name == "clusters":
            how: dict[str, str | float | int] = {"method": "leiden", "objective": self.objective, "weight": "log_odds"}
            if self.resolution is not None:
                return {**how, "resolution": self.resolution, "seed": self.seed}
            return {**how, "resolution": "auto", "runs": self.runs, "seed": self.seed}
        if name == "nulls":
            return {"objective": self.objective, "rewires": self.rewires, "seed": self.seed}
        return {}


ANALYSES = ("clusters", "nulls", "functions", "subspaces")


ACROSS = "structure-function"
"""An analysis over the clusters of several captures, of which no capture has a table."""
