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
from functools import partial
from typing import TYPE_CHECKING, Any

from cofire.analysis.settings import AnalysisSettings
from cofire.errors import InputError
from cofire.ingest.capture_dir import CaptureDir
from cofire.ingest.files import exclusive
from cofire.ingest.table_files import (
    capture_digest,
    digest,
    drop_tables,
    is_current,
    read_table,
    save_tables,
    table_infos,
)
from cofire.schema.tables import CLUSTER_FUNCTIONS, CLUSTER_NULLS, CLUSTERS, EDGES, LATENTS, MEMBERS, Table

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa

ANALYSES = ("clusters", "nulls", "functions", "subspaces")

Progress = Callable[[str, int, int], None]

# Part of every fingerprint: raise it when the same input gives other tables.
_VERSIONS = {"clusters": 2, "nulls": 1, "functions": 1, "subspaces": 1}
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

    A run that was stopped goes on where it was when the same is asked for again.

    Args:
        capture: a counted capture.
        settings: of the analyses.
        only: names of analyses; None for all whose inputs are there.
        progress: called with (analysis, steps done, steps in all).

    Returns:
        The names of the analyses that were run.

    Raises:
        InputError: `only` names an unknown analysis, or one that needs what the capture does not have.
        CaptureError: the capture has not been counted.
    """
    wanted = _checked(capture, only)
    done = []
    for name in ("clusters", *(name for name in wanted if name != "clusters")):
        if not _current(capture, name, settings):
            _run(capture, name, settings, partial(progress, name) if progress else None)
            done.append(name)
        if name == "clusters":
            _drop_stale(capture, settings)
    _fill(capture, settings)
    return tuple(done)


def is_stale(capture: CaptureDir, settings: AnalysisSettings) -> bool:
    """Tell whether tables of an analysis are there that these settings would give otherwise."""
    infos = table_infos(capture)
    return any(
        infos[table].made_from != _made_from(capture, name, settings)
        for name, tables in _TABLES.items()
        for table in tables
        if table in infos
    )


def _checked(capture: CaptureDir, only: tuple[str, ...] | None) -> tuple[str, ...]:
    """Return the analyses to run, in order."""
    unknown = [name for name in only or () if name not in ANALYSES]
    if unknown:
        raise InputError(f"there is no analysis '{unknown[0]}'; there are {', '.join(ANALYSES)}")
    able = ANALYSES if capture.keeps_activations else ("clusters", "nulls")
    lacking = [name for name in only or () if name not in able]
    if lacking:
        raise InputError(
            f"{capture.path}: {lacking[0]} needs the activations, which --no-keep did not store; capture anew"
        )
    return tuple(name for name in able if only is None or name in only)


def _made_from(capture: CaptureDir, name: str, settings: AnalysisSettings) -> str:
    """Return the fingerprint of what an analysis starts from."""
    infos = table_infos(capture)
    clusters = digest(_VERSIONS["clusters"], capture.uid, infos["edges"].sha256, settings.recorded("clusters"))
    if name == "clusters":
        return clusters
    parts: list[Any] = [_VERSIONS[name], clusters, infos["latents"].sha256, settings.recorded(name)]
    if name in ("functions", "subspaces"):
        parts.append(capture_digest(capture))
    return digest(*parts)


def _current(capture: CaptureDir, name: str, settings: AnalysisSettings) -> bool:
    read_table(capture, EDGES)  # raises, saying what to run, when the capture has not been counted
    made_from = _made_from(capture, name, settings)
    return all(is_current(capture, table, made_from) for table in _TABLES[name])


def _run(
    capture: CaptureDir, name: str, settings: AnalysisSettings, progress: Callable[[int, int], None] | None
) -> None:
    made_from = _made_from(capture, name, settings)
    work = _work(capture, name, made_from)
    tables, figures = _MAKERS[name](capture, settings, work, progress)
    with exclusive(capture.path):
        save_tables(capture, tables, made_from, settings.recorded(name), figures)
    shutil.rmtree(work, ignore_errors=True)


def _work(capture: CaptureDir, name: str, made_from: str) -> Path:
    """Make and return the directory of an unfinished analysis; those of other settings are removed."""
    work = capture.tables / f".{name}-{made_from[:16]}"
    for old in capture.tables.glob(f".{name}-*"):
        if old != work:
            shutil.rmtree(old)
    work.mkdir(exist_ok=True)
    return work


Made = tuple[dict[str, "pa.Table"], dict[str, int | float]]
Step = Callable[[int, int], None] | None


def _clusters(capture: CaptureDir, settings: AnalysisSettings, work: Path, progress: Step) -> Made:
    from cofire.analysis.clusters import find_clusters

    found = find_clusters(
        capture.uid,
        read_table(capture, EDGES),
        resolution=settings.resolution,
        objective=settings.objective,
        seed=settings.seed,
        runs=settings.runs,
        work=work,
        progress=progress,
    )
    finest = found.clusters.column("level").to_pylist().count(0)
    figures = {"clusters": finest, "latents_in_clusters": found.members.num_rows, **found.figures}
    return {"clusters": found.clusters, "members": found.members}, figures


def _nulls(capture: CaptureDir, settings: AnalysisSettings, work: Path, progress: Step) -> Made:
    from cofire.analysis.nulls import cluster_nulls

    found = cluster_nulls(
        read_table(capture, EDGES),
        read_table(capture, LATENTS).column("firing_count").to_numpy(),
        read_table(capture, CLUSTERS),
        read_table(capture, MEMBERS),
        objective=settings.objective,
        rewires=settings.rewires,
        seed=settings.seed,
        work=work,
        progress=progress,
    )
    return {"cluster_nulls": found.clusters, "motif_counts": found.motifs}, found.figures


def _functions(capture: CaptureDir, settings: AnalysisSettings, work: Path, progress: Step) -> Made:  # noqa: ARG001
    from cofire.analysis.functions import cluster_functions

    table = cluster_functions(
        capture,
        read_table(capture, CLUSTERS),
        read_table(capture, MEMBERS),
        read_table(capture, LATENTS),
        progress=progress,
    )
    return {"cluster_functions": table}, {"clusters": table.num_rows}


def _subspaces(capture: CaptureDir, settings: AnalysisSettings, work: Path, progress: Step) -> Made:  # noqa: ARG001
    from cofire.analysis.subspace import cluster_subspaces

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


def _drop_stale(capture: CaptureDir, settings: AnalysisSettings) -> None:
    """Remove tables that are about other clusters than those that are there now."""
    infos = table_infos(capture)
    stale = [
        table
        for name, tables in _TABLES.items()
        for table in tables
        if table in infos and infos[table].made_from != _made_from(capture, name, settings)
    ]
    if stale:
        with exclusive(capture.path):
            drop_tables(capture, stale)


def _fill(capture: CaptureDir, settings: AnalysisSettings) -> None:
    """Put into `clusters` what the other tables say of each cluster; null where one is not there or is stale."""
    import pyarrow as pa

    clusters = read_table(capture, CLUSTERS)
    filled = clusters
    for part in _PARTS:
        name = next(analysis for analysis, tables in _TABLES.items() if part.name in tables)
        found: dict[str, dict[str, Any]] = {}
        if is_current(capture, part.name, _made_from(capture, name, settings)):
            found = {row["cluster"]: row for row in read_table(capture, part).to_pylist()}
        for column in {c.name for c in part.columns} & {c.name for c in CLUSTERS.columns} - {"cluster"}:
            place = filled.schema.get_field_index(column)
            field = filled.schema.field(place)
            values = [found.get(uid, {}).get(column) for uid in clusters.column("cluster").to_pylist()]
            filled = filled.set_column(place, field, pa.array(values, field.type))
    if filled.equals(clusters):
        return
    info = table_infos(capture)["clusters"]
    with exclusive(capture.path):
        save_tables(capture, {"clusters": filled}, info.made_from, info.settings, info.figures)
