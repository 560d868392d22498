"""Every analysis whose inputs are there (`cofire analyze`), each into the tables of the capture."""

from __future__ import annotations

from cofire.analysis.clusters import find_clusters
from cofire.errors import InputError
from cofire.ingest.capture_dir import CaptureDir
from cofire.ingest.files import exclusive
from cofire.ingest.table_files import digest, is_current, read_table, save_tables, table_infos
from cofire.schema.tables import EDGES

ANALYSES = ("clusters",)
# Part of every fingerprint: raise it when the same edges give other clusters.
CLUSTERS_VERSION = 1


def analyze(capture: CaptureDir, *, resolution: float, seed: int, only: tuple[str, ...] = ANALYSES) -> tuple[str, ...]:
    """Make the tables of the named analyses where they are missing or stale.

    Args:
        capture: a counted capture.
        resolution: CPM resolution of the clusters.
        seed: seed of the clusters.
        only: names of analyses; all by default.

    Returns:
        The names of the analyses that were run.

    Raises:
        InputError: `only` names an unknown analysis.
        CaptureError: the capture has not been counted.
    """
    unknown = [name for name in only if name not in ANALYSES]
    if unknown:
        raise InputError(f"there is no analysis '{unknown[0]}'; there are {', '.join(ANALYSES)}")
    edges = read_table(capture, EDGES)
    settings = recorded(resolution, seed)
    made_from = clustered_from(capture, settings)
    if all(is_current(capture, name, made_from) for name in ("clusters", "members")):
        return ()
    clusters, members = find_clusters(capture.uid, edges, resolution=resolution, seed=seed)
    figures = {"clusters": clusters.num_rows, "latents_in_clusters": members.num_rows}
    with exclusive(capture.path):
        save_tables(capture, {"clusters": clusters, "members": members}, made_from, settings, figures)
    return ("clusters",)


def recorded(resolution: float, seed: int) -> dict[str, str | float | int]:
    """Return the settings of the clusters as they are recorded."""
    return {"method": "leiden-cpm", "weight": "log_odds", "resolution": resolution, "seed": seed}


def clustered_from(capture: CaptureDir, settings: dict[str, str | float | int]) -> str:
    """Return the fingerprint of what clusters with these settings are made from."""
    return digest(CLUSTERS_VERSION, capture.uid, table_infos(capture)["edges"].sha256, settings)
