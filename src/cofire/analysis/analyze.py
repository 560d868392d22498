"""Every analysis whose inputs are there (`cofire analyze`), each into the tables of the capture.

    clusters    the communities of the co-firing graph and their shape          -> clusters, members
    nulls       the same of rewired graphs, and motif counts                    -> cluster_nulls, motif_counts
    functions   what the members do on the tokens that they share               -> cluster_functions
    subspaces   where those tokens lie in the span of the members               -> subspaces, their points and mixtures

All but the first start from the clusters, so these are made first where they are missing or stale. What `nulls` and
`functions` find of a cluster is copied into the table `clusters`: the columns that end in _z, function and p_*.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from cofire.analysis.settings import ACROSS, ANALYSES, AnalysisSettings
from cofire.common.files import exclusive
from cofire.errors import InputError
from cofire.ingest.capture_dir.directory import CaptureDir
from cofire.ingest.capture_dir.table_files import (
    capture_digest,
    digest,
    drop_tables,
    is_current,
    is_whole,
    read_table,
    save_tables,
    table_infos,
)
from cofire.schema.tables import CLUSTER_FUNCTIONS, CLUSTER_NULLS, CLUSTERS, EDGES, LATENTS, MEMBERS, Table

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa


Progress = Callable[[str, int, int], None]

# Part of every fingerprint: raise it when the same input gives other tables.
_VERSIONS = {"clusters": 3, "nulls": 1, "functions": 5, "subspaces": 2}
_TABLES = {
    "clusters": ("clusters", "members"),
    "nulls": ("cluster_nulls", "motif_counts"),
    "functions": ("cluster_functions",),
    "subspaces": ("subspaces", "subspace_points", "subspace_mixtures"),
}
_PARTS: tuple[Table, ...] = (CLUSTER_NULLS, CLUSTER_FUNCTIONS)
"""Tables with columns of `clusters`, by cluster."""


def analyze(
    capture: CaptureDir,
    settings: AnalysisSettings,
    *,
    only: tuple[str, ...] | None = None,
    progress: Progress | None = None,
) -> tuple[str, ...]:
    """Make the tables of the named analyses where they are missing or stale.

    A sweep and a comparison with rewired graphs that were stopped go on where they were when the same is asked for
    again; the others begin anew.

    Args:
        capture: a counted capture.
        settings: of the analyses.
        only: names of analyses; None for all whose inputs are there.
        progress: called with (analysis, steps done, steps in all).

    Returns:
        The names of the analyses that were run.

    Raises:
        InputError: as `check_analyses`.
        CaptureError: as `check_analyses`, or another process writes into the capture.
    """
    wanted = check_analyses(capture, only)
    done = []
    with exclusive(capture.path):
        state = _State(capture, settings)
        for name in ("clusters", *(name for name in wanted if name != "clusters")):
            if not state.current(name):
                _run(state, name, partial(progress, name) if progress else None)
                done.append(name)
            if name == "clusters":
                _drop_old(state)
        _fill(state)
        # Not before: a run that is stopped while `clusters` is filled would have to sweep again.
        for name in ("clusters", *wanted):
            for work in capture.tables.glob(f".{name}-*"):
                shutil.rmtree(work, ignore_errors=True)
    return tuple(done)


def check_analyses(capture: CaptureDir, only: tuple[str, ...] | None) -> tuple[str, ...]:
    """Return the analyses that `only` (None: all whose inputs are there) means for a capture, in order.

    Raises:
        InputError: `only` names an unknown analysis, or one that needs what the capture does not have.
        CaptureError: the capture has not been counted.
    """
    unknown = [name for name in only or () if name not in ANALYSES]
    if unknown:
        raise InputError(f"there is no analysis '{unknown[0]}'; there are {', '.join((*ANALYSES, ACROSS))}")
    able = ANALYSES if capture.keeps_activations else ("clusters", "nulls")
    lacking = [name for name in only or () if name not in able]
    if lacking:
        raise InputError(
            f"{capture.path}: {lacking[0]} needs the activations, which --no-keep did not store; capture anew"
        )
    if EDGES.name not in table_infos(capture):
        read_table(capture, EDGES)  # raises, saying what to run
    return tuple(name for name in able if only is None or name in only)


def is_stale(capture: CaptureDir, settings: AnalysisSettings) -> bool:
    """Tell whether tables of an analysis are there that these settings would give otherwise."""
    state, infos = _State(capture, settings), table_infos(capture)
    return any(
        infos[table].made_from != state.made_from(name)
        for name, tables in _TABLES.items()
        for table in tables
        if table in infos
    )


class _State:
    """A capture's tables and what each would be made from now."""

    def __init__(self, capture: CaptureDir, settings: AnalysisSettings) -> None:
        self.capture, self.settings = capture, settings

    @cached_property
    def _capture_digest(self) -> str:
        return capture_digest(self.capture)

    def clusters_there(self) -> str | None:
        """Return a fingerprint of the clusters that are there, whatever is known of them; None for none."""
        if CLUSTERS.name not in table_infos(self.capture):
            return None
        clusters = read_table(self.capture, CLUSTERS).select(["cluster", "level", "parent", "resolution"])
        return digest(clusters.to_pylist(), table_infos(self.capture)[MEMBERS.name].sha256)

    def made_from(self, name: str) -> str:
        """Return the fingerprint of what an analysis starts from."""
        infos = table_infos(self.capture)
        if name == "clusters":
            edges = infos[EDGES.name].sha256
            return digest(_VERSIONS[name], self.capture.uid, edges, self.settings.recorded(name))
        parts: list[Any] = [_VERSIONS[name], self.clusters_there(), infos[LATENTS.name].sha256]
        if name == "nulls":
            parts.append(infos[EDGES.name].sha256)
        else:
            parts.append(self._capture_digest)
        return digest(*parts, self.settings.recorded(name))

    def current(self, name: str) -> bool:
        """Tell whether the tables of an analysis are there and made from what is there now."""
        if not all(is_whole(self.capture, table) for table in _TABLES["clusters"]):
            return False
        made_from = self.made_from(name)
        return all(is_current(self.capture, table, made_from) for table in _TABLES[name])

    def recorded(self, name: str) -> dict[str, Any]:
        """Return the settings to record beside the tables of an analysis, and what they belong to."""
        recorded = {**self.settings.recorded(name), "edges": table_infos(self.capture)[EDGES.name].sha256}
        return recorded if name == "clusters" else {**recorded, "clusters": self.clusters_there()}


def _run(state: _State, name: str, progress: Callable[[int, int], None] | None) -> None:
    made_from = state.made_from(name)
    work = _work(state.capture, name, made_from)
    tables, figures = _MAKERS[name](state.capture, state.settings, work, progress)
    save_tables(state.capture, tables, made_from, state.recorded(name), figures)


def _work(capture: CaptureDir, name: str, made_from: str) -> Path:
    """Make and return the directory of an unfinished analysis; those of other settings are removed."""
    work = capture.tables / f".{name}-{made_from[:16]}"
    for old in capture.tables.glob(f".{name}-*"):
        if old != work:
            # A helper of a run that was killed may be about to write there.
            shutil.rmtree(old, ignore_errors=True)
    work.mkdir(exist_ok=True)
    return work


Made = tuple[dict[str, "pa.Table"], dict[str, int | float]]
Step = Callable[[int, int], None] | None


def _clusters(capture: CaptureDir, settings: AnalysisSettings, work: Path, progress: Step) -> Made:
    from cofire.analysis.clusters.clusters import find_clusters

    found = find_clusters(
        capture.uid,
        read_table(capture, EDGES),
        resolution=settings.resolution,
        objective=settings.objective,
        seed=settings.seed,
        runs=settings.runs,
        work=work,
        processes=settings.processes,
        progress=progress,
    )
    finest = found.clusters.column("level").to_pylist().count(0)
    figures = {"clusters": finest, "latents_in_clusters": found.members.num_rows, **found.figures}
    return {"clusters": found.clusters, "members": found.members}, figures


def _nulls(capture: CaptureDir, settings: AnalysisSettings, work: Path, progress: Step) -> Made:
    from cofire.analysis.nulls.nulls import cluster_nulls

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
    return {"cluster_nulls": found.clusters, "motif_counts": found.motifs}, found.figures


def _functions(capture: CaptureDir, settings: AnalysisSettings, work: Path, progress: Step) -> Made:  # noqa: ARG001
    from cofire.analysis.functions.functions import cluster_functions

    table = cluster_functions(
        capture,
        read_table(capture, CLUSTERS),
        read_table(capture, MEMBERS),
        read_table(capture, LATENTS),
        progress=progress,
    )
    return {"cluster_functions": table}, {"clusters": table.num_rows}


def _subspaces(capture: CaptureDir, settings: AnalysisSettings, work: Path, progress: Step) -> Made:  # noqa: ARG001
    from cofire.analysis.subspaces.subspaces import cluster_subspaces

    found = cluster_subspaces(
        capture,
        read_table(capture, CLUSTERS),
        read_table(capture, MEMBERS),
        read_table(capture, LATENTS),
        progress=progress,
    )
    return found, {"clusters": found["subspaces"].num_rows}


_MAKERS: dict[str, Callable[[CaptureDir, AnalysisSettings, Path, Step], Made]] = {
    "clusters": _clusters,
    "nulls": _nulls,
    "functions": _functions,
    "subspaces": _subspaces,
}


def _drop_old(state: _State) -> None:
    """Remove tables that are about other clusters than those that are there now."""
    infos, clusters = table_infos(state.capture), state.clusters_there()
    parts = [table for name, tables in _TABLES.items() if name != "clusters" for table in tables]
    old = [table for table in parts if table in infos and infos[table].settings.get("clusters") != clusters]
    if old:
        drop_tables(state.capture, old)


def _fill(state: _State) -> None:
    """Put into `clusters` what the other tables say of each cluster; null where one is not there."""
    import pyarrow as pa

    clusters, infos = read_table(state.capture, CLUSTERS), table_infos(state.capture)
    filled = clusters
    for part in _PARTS:
        found: dict[str, dict[str, Any]] = {}
        if is_whole(state.capture, part.name):  # and about these clusters: `_drop_old` took the others away
            found = {row["cluster"]: row for row in read_table(state.capture, part).to_pylist()}
        for column in {c.name for c in part.columns} & {c.name for c in CLUSTERS.columns} - {"cluster"}:
            place = filled.schema.get_field_index(column)
            field = filled.schema.field(place)
            values = [found.get(uid, {}).get(column) for uid in clusters.column("cluster").to_pylist()]
            filled = filled.set_column(place, field, pa.array(values, field.type))
    if not filled.equals(clusters):
        info = infos[CLUSTERS.name]
        save_tables(state.capture, {"clusters": filled}, info.made_from, info.settings, info.figures)
