"""Everything from a capture to the graph (`cofire ingest`): count and analyse what is missing or stale, then load."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace as replace_fields

from cofire.analysis.analyze import analyze
from cofire.ingest.capture_dir import CaptureDir
from cofire.ingest.count import CountSettings, count
from cofire.ingest.load import load_plan
from cofire.ingest.table_files import table_infos
from cofire.settings import Settings
from cofire.store.connect import Store
from cofire.store.write import Outcome, load_sae

Progress = Callable[[str, int, int], None]


def count_settings(capture: CaptureDir, settings: Settings, edges: str | None) -> CountSettings:
    """Return the settings of a count: as asked, else as the capture was last counted, else the defaults.

    Args:
        capture: the capture, counted or not.
        settings: the user's settings.
        edges: 'significant', 'all', or None for no wish.
    """
    wanted = CountSettings(min_count=settings.min_count, min_lift=settings.min_lift, memory=settings.memory)
    if edges is not None:
        return replace_fields(wanted, edges="all" if edges == "all" else "significant")
    last = table_infos(capture).get("edges")
    if last is not None and not {"min_count", "min_lift"} & settings.model_fields_set:
        known = {name: last.settings[name] for name in ("edges", "min_count", "min_lift") if name in last.settings}
        return replace_fields(wanted, **known)
    return wanted


def cluster_settings(capture: CaptureDir, settings: Settings) -> tuple[float, int]:
    """Return (resolution, seed): as asked, else as the capture was last analysed, else the defaults."""
    last = table_infos(capture).get("clusters")
    if last is not None and not {"resolution", "seed"} & settings.model_fields_set:
        return float(last.settings["resolution"]), int(last.settings["seed"])
    return settings.resolution, settings.seed


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
    count(capture, count_settings(capture, settings, edges), progress)
    resolution, seed = cluster_settings(capture, settings)
    analyze(capture, resolution=resolution, seed=seed)

    def loaded(done: int, total: int) -> None:
        if progress is not None:
            progress("load", done, total)

    return load_sae(store, load_plan(capture), replace=replace, progress=loaded)
