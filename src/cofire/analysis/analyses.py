"""The analyses of a capture, in the order in which they are made.

To add one: a room in this folder that declares it (docs/developing.md), and its line here. The command's help, --only,
flags, environment, staleness, progress and docs/tables.md follow from the declaration.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cofire.analysis import clusters, functions, nulls, stars, subspaces
from cofire.analysis.structure_function import NAME
from cofire.common.settings import settings_in
from cofire.errors import InputError
from cofire.schema.analyses import Analysis, AnalysisSettings

if TYPE_CHECKING:
    from cofire.ingest.capture_dir.directory import CaptureDir

ANALYSES: tuple[Analysis[CaptureDir, Any], ...] = (
    clusters.ANALYSIS,
    nulls.ANALYSIS,
    functions.ANALYSIS,
    subspaces.ANALYSIS,
    stars.ANALYSIS,
)

ACROSS = NAME
"""An analysis over the clusters of several captures, of which no capture has a table."""


def analysis_settings(**values: Any) -> dict[str, AnalysisSettings]:
    """Return the settings of every analysis, by its name; a setting that is not given has its default.

    Args:
        values: settings by name. One that several analyses have is the same in each.

    Raises:
        InputError: no analysis has such a setting.
    """
    names = {analysis.name: settings_in(analysis.settings) for analysis in ANALYSES}
    unknown = sorted(set(values) - {name for known in names.values() for name in known})
    if unknown:
        raise InputError(f"no analysis has a setting '{unknown[0]}'")
    return {
        analysis.name: analysis.settings(**{name: values[name] for name in names[analysis.name] if name in values})
        for analysis in ANALYSES
    }
