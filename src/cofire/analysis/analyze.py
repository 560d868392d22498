"""Every analysis whose inputs are there (`cofire analyze`), each into the tables of the capture.

Which there are, what each starts from and makes, and when it is stale, stands in its declaration (`analyses`). An
analysis that starts from the tables of another one has these made first where they are missing or stale. A table that
is part of another one (`cluster_nulls` of `clusters`) has its columns copied into that one, where it has them too.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from cofire.analysis.analyses import ACROSS, ANALYSES, analysis_settings
from cofire.common.files import exclusive
from cofire.errors import InputError
from cofire.ingest.capture_dir.table_files import (
    TableInfo,
    capture_digest,
    digest,
    drop_tables,
    fill_table,
    is_current,
    is_whole,
    read_table,
    save_tables,
    table_infos,
)
from cofire.schema.analyses import ACTIVATIONS, SAE
from cofire.schema.tables import CLUSTERS, EDGES, MEMBERS, TABLES

if TYPE_CHECKING:
    from pathlib import Path

    from cofire.common.progress import StageProgress
    from cofire.ingest.capture_dir.directory import CaptureDir
    from cofire.schema.analyses import Analysis, AnalysisSettings

    AnyAnalysis = Analysis[CaptureDir, Any]


def analyze(
    capture: CaptureDir,
    settings: Mapping[str, AnalysisSettings] | None = None,
    *,
    only: Sequence[str] | None = None,
    progress: StageProgress | None = None,
) -> tuple[str, ...]:
    """Make the tables of the named analyses where they are missing or stale.

    A sweep and a comparison with rewired graphs that were stopped go on where they were when the same is asked for
    again; the others begin anew.

    Args:
        capture: a counted capture.
        settings: of `analysis_settings`; the defaults where none are given.
        only: names of analyses; None for all whose inputs are there.
        progress: called with (analysis, steps done, steps in all).

    Returns:
        The names of the analyses that were run.

    Raises:
        InputError: as `check_analyses`.
        CaptureError: as `check_analyses`, or another process writes into the capture.
    """
    wanted = _with_what_they_need(check_analyses(capture, only))
    done = []
    with exclusive(capture.path):
        state = _State(capture, settings or analysis_settings())
        for analysis in wanted:
            if not state.current(analysis):
                _run(state, analysis, progress)
                done.append(analysis.name)
            if CLUSTERS in analysis.tables:
                _drop_old(state)
        _fill(capture)
        # Not before: a run that is stopped while `clusters` is filled would have to sweep again.
        for analysis in wanted:
            for work in capture.tables.glob(f".{analysis.name}-*"):
                shutil.rmtree(work, ignore_errors=True)
    return tuple(done)


def check_analyses(capture: CaptureDir, only: Sequence[str] | None) -> tuple[str, ...]:
    """Return the analyses that `only` (None: all whose inputs are there) means for a capture, in order.

    Raises:
        InputError: `only` names an unknown analysis, or one that needs what the capture does not have.
        CaptureError: the capture has not been counted.
    """
    names = [analysis.name for analysis in ANALYSES]
    unknown = [name for name in only or () if name not in names]
    if unknown:
        raise InputError(f"there is no analysis '{unknown[0]}'; there are {', '.join((*names, ACROSS))}")
    able = [one.name for one in ANALYSES if capture.keeps_activations or not _looks_at_activations(one)]
    lacking = [name for name in only or () if name not in able]
    if lacking:
        raise InputError(
            f"{capture.path}: {lacking[0]} needs the activations, which --no-keep did not store; capture anew"
        )
    if EDGES.name not in table_infos(capture):
        read_table(capture, EDGES)  # raises, saying what to run
    return tuple(name for name in able if only is None or name in only)


def is_stale(capture: CaptureDir, settings: Mapping[str, AnalysisSettings]) -> bool:
    """Tell whether tables of an analysis are there that these settings would give otherwise."""
    state, infos = _State(capture, settings), table_infos(capture)
    return any(
        infos[table.name].made_from != state.made_from(analysis)
        for analysis in ANALYSES
        for table in analysis.tables
        if table.name in infos
    )


def _looks_at_activations(analysis: AnyAnalysis) -> bool:
    return any(ACTIVATIONS in one.needs for one in _with_what_they_need([analysis.name]))


def _with_what_they_need(names: Iterable[str]) -> list[AnyAnalysis]:
    """Return the named analyses, and those whose tables they start from, in order."""
    wanted = set(names)
    for analysis in reversed(ANALYSES):
        if analysis.name in wanted:
            wanted |= {one.name for one in ANALYSES if {table.name for table in one.tables} & set(analysis.needs)}
    return [analysis for analysis in ANALYSES if analysis.name in wanted]


class _State:
    """A capture's tables and what each would be made from now."""

    def __init__(self, capture: CaptureDir, settings: Mapping[str, AnalysisSettings]) -> None:
        self.capture, self.settings = capture, settings

    @cached_property
    def _activations(self) -> str:
        return capture_digest(self.capture)

    def clusters_there(self) -> str | None:
        """Return a fingerprint of the clusters that are there, whatever is known of them; None for none."""
        if CLUSTERS.name not in table_infos(self.capture):
            return None
        clusters = read_table(self.capture, CLUSTERS).select(["cluster", "level", "parent", "resolution"])
        return digest(clusters.to_pylist(), table_infos(self.capture)[MEMBERS.name].sha256)

    def _fingerprint(self, need: str, infos: Mapping[str, TableInfo]) -> str | None:
        if need == SAE:
            return self.capture.uid
        if need == ACTIVATIONS:
            return self._activations
        if need == CLUSTERS.name:
            return self.clusters_there()
        return infos[need].as_made if need in infos else None

    def made_from(self, analysis: AnyAnalysis) -> str:
        """Return the fingerprint of what an analysis starts from."""
        infos = table_infos(self.capture)
        needs = [self._fingerprint(need, infos) for need in analysis.needs]
        return digest(analysis.version, *needs, self.settings[analysis.name].recorded())

    def current(self, analysis: AnyAnalysis) -> bool:
        """Tell whether the tables of an analysis are there and made from what is there now."""
        starts_from = [one for one in _with_what_they_need([analysis.name]) if one is not analysis]
        if not all(is_whole(self.capture, table.name) for one in starts_from for table in one.tables):
            return False
        made_from = self.made_from(analysis)
        return all(is_current(self.capture, table.name, made_from) for table in analysis.tables)

    def recorded(self, analysis: AnyAnalysis) -> dict[str, Any]:
        """Return the settings to record beside the tables of an analysis, and what they belong to."""
        given = {**self.settings[analysis.name].recorded(), "edges": table_infos(self.capture)[EDGES.name].sha256}
        return {**given, "clusters": self.clusters_there()} if CLUSTERS.name in analysis.needs else given


def _run(state: _State, analysis: AnyAnalysis, progress: StageProgress | None) -> None:
    made_from = state.made_from(analysis)
    work = _work(state.capture, analysis.name, made_from)
    tell = partial(progress, analysis.name) if progress else None
    tables, figures = analysis.make(state.capture, state.settings[analysis.name], work, tell)
    save_tables(state.capture, tables, made_from, state.recorded(analysis), figures)


def _work(capture: CaptureDir, name: str, made_from: str) -> Path:
    """Make and return the directory of an unfinished analysis; those of other settings are removed."""
    work = capture.tables / f".{name}-{made_from[:16]}"
    for old in capture.tables.glob(f".{name}-*"):
        if old != work:
            # A helper of a run that was killed may be about to write there.
            shutil.rmtree(old, ignore_errors=True)
    work.mkdir(exist_ok=True)
    return work


def _drop_old(state: _State) -> None:
    """Remove tables that are about other clusters than those that are there now."""
    infos, clusters = table_infos(state.capture), state.clusters_there()
    about = [table.name for one in ANALYSES if CLUSTERS.name in one.needs for table in one.tables]
    old = [name for name in about if name in infos and infos[name].settings.get("clusters") != clusters]
    if old:
        drop_tables(state.capture, old)


def _fill(capture: CaptureDir) -> None:
    """Put into each table that has parts what these say of its rows; null where one is not there."""
    wholes = [table for table in TABLES if any(part.part_of == table.name for part in TABLES)]
    for whole in wholes:
        if whole.name in table_infos(capture):
            fill_table(capture, whole, [part for part in TABLES if part.part_of == whole.name])
