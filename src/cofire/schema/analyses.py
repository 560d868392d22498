"""What an analysis declares of itself. Each has a room in `cofire.analysis`; `cofire.analysis.analyses` lists them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from cofire.common.progress import Progress
from cofire.common.settings import recorded
from cofire.schema.base import Table

if TYPE_CHECKING:
    import pyarrow as pa

SAE, ACTIVATIONS = "sae", "activations"
"""What an analysis may need beside tables: the SAE's uid; the activations, which --no-keep does not store."""

Made = tuple[Mapping[str, "pa.Table"], Mapping[str, int | float]]
"""The tables that an analysis has made, by name, and figures of the run."""


@dataclass(frozen=True)
class AnalysisSettings:
    """The settings of one analysis; here, of one that has none."""

    def recorded(self) -> dict[str, Any]:
        """Return what is recorded beside the tables: they are stale when it changes."""
        return recorded(self)

    @classmethod
    def asked(cls, recorded: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the settings by name, of what `recorded` has given: a later run without a wish keeps them."""
        return recorded


Capture = TypeVar("Capture")
Settings = TypeVar("Settings", bound=AnalysisSettings)


@dataclass(frozen=True)
class Analysis(Generic[Capture, Settings]):
    """One analysis of a capture.

    Attributes:
        name: as `cofire analyze --only` knows it, and as its room is called.
        summary: what it finds, in a few words.
        version: part of every fingerprint: raise it when the same input gives other tables.
        tables: what it makes.
        needs: what it starts from, in the order of its fingerprint: names of tables, SAE, ACTIVATIONS. Its tables are
            stale when any of these changes, or a recorded setting. `clusters` stands for `members` too.
        settings: the dataclass of its settings.
        make: makes the tables and figures, from the capture, the settings, a directory that stays until it is done, for
            what a run that is stopped can go on from, and progress.
    """

    name: str
    summary: str
    version: int
    tables: tuple[Table, ...]
    needs: tuple[str, ...]
    settings: type[Settings]
    make: Callable[[Capture, Settings, Path, Progress | None], Made]
