"""Everything from a capture to the graph (`cofire ingest`): count and analyse what is missing or stale, then load."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cofire.analysis.analyze import analyze, clustered_from, recorded
from cofire.errors import ConflictError
from cofire.ingest.capture_dir import CaptureDir
from cofire.ingest.count import CountSettings, count, counted_from
from cofire.ingest.load import load_plan
from cofire.ingest.table_files import table_infos
from cofire.settings import Settings
from cofire.store.connect import Store
from cofire.store.journal import Outcome, holds
from cofire.store.write import load_sae

Progress = Callable[[str, int, int], None]


def count_settings(capture: CaptureDir, settings: Settings, edges: str | None) -> CountSettings:
    """Return the settings of a count, each as asked, else as the capture was last counted, else the default.

    Args:
        capture: the capture, counted or not.
        settings: the user's settings.
        edges: 'significant', 'all', or None for no wish.
    """
    last = _last(capture, "edges")
    wanted = str(edges or last.get("edges", "significant"))
    return CountSettings(
        edges="all" if wanted == "all" else "significant",
        min_count=_choose(settings, "min_count", last),
        min_lift=_choose(settings, "min_lift", last),
        memory=settings.memory,
    )


def cluster_settings(capture: CaptureDir, settings: Settings) -> tuple[float, int]:
    """Return (resolution, seed), each as asked, else as the capture was last analysed, else the default."""
    last = _last(capture, "clusters")
    return _choose(settings, "resolution", last), _choose(settings, "seed", last)


def _last(capture: CaptureDir, table: str) -> dict[str, Any]:
    info = table_infos(capture).get(table)
    return {} if info is None else info.settings


def _choose(settings: Settings, name: str, last: dict[str, Any]) -> Any:
    return getattr(settings, name) if name in settings.model_fields_set else last.get(name, getattr(settings, name))


def ingest(
    capture: CaptureDir,
    store: Store,
    settings: Settings,
    *,
    edges: str | None = None,
    replace: bool = False,
    progress: Progress | None = None,
) -> Outcome:
    """Count, analyse and load one capture; what is there already and still holds is left alone.

    Args:
        capture: a complete capture.
        store: an open store.
        settings: edge rule, memory bound, resolution and seed.
        edges: 'significant', 'all', or None to keep the rule of an earlier count.
        replace: put this version in the place of another one in the store.
        progress: called with (stage, steps done, steps in all).

    Returns:
        'loaded', 'resumed', 'replaced', or 'unchanged'.

    Raises:
        CaptureError: the capture is damaged.
        ConflictError: the store holds another version and `replace` is not given.
        StoreError: the store failed.
    """
    counting = count_settings(capture, settings, edges)
    resolution, seed = cluster_settings(capture, settings)
    if not replace:
        _refuse_to_change(capture, store, counting, resolution, seed)
    count(capture, counting, progress)
    if progress is not None:
        progress("clusters", 0, 1)
    analyze(capture, resolution=resolution, seed=seed)
    if progress is not None:
        progress("clusters", 1, 1)

    def loaded(done: int, total: int) -> None:
        if progress is not None:
            progress("load", done, total)

    return load_sae(store, load_plan(capture), replace=replace, progress=loaded)


def _refuse_to_change(capture: CaptureDir, store: Store, counting: CountSettings, resolution: float, seed: int) -> None:
    """Refuse, before a table is overwritten, what would end as another version of an SAE that the store holds."""
    infos = table_infos(capture)
    stale = "edges" in infos and infos["edges"].made_from != counted_from(capture, counting)
    if not stale and "clusters" in infos:
        stale = infos["clusters"].made_from != clustered_from(capture, recorded(resolution, seed))
    if stale and holds(store, capture.uid):
        raise ConflictError(
            f"{store.location} holds {capture.uid}, and the tables in {capture.tables} were made with other settings "
            "than these; add --replace to count again and put the result in its place"
        )
