"""Everything from a capture to the graph (`cofire ingest`): count and analyse what is missing or stale, then load."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from cofire.analysis.analyze import analyze, is_stale
from cofire.analysis.settings import AnalysisSettings
from cofire.errors import ConflictError, InputError
from cofire.ingest.capture_dir.directory import CaptureDir
from cofire.ingest.capture_dir.table_files import table_infos
from cofire.ingest.count import CountSettings, count, counted_from
from cofire.ingest.pairs.engine import Engine
from cofire.settings import Settings
from cofire.store.connect import Store
from cofire.store.load.bulk import bulk_load
from cofire.store.load.journal import Outcome, check_conflicts, holds
from cofire.store.load.write import load_sae
from cofire.store.plan.plan import load_plan
from cofire.store.versions import ensure_schema

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
        min_log_odds=_choose(settings, "min_log_odds", last),
        fdr=_choose(settings, "fdr", last),
        weak=_choose(settings, "weak", last),
        token_strata=_choose(settings, "token_strata", last),
        denoise=_choose(settings, "denoise", last),
        memory=settings.memory,
    )


def count_engine(settings: Settings) -> Engine:
    """Return where pairs are to be counted."""
    return Engine(settings.engine, settings.address, settings.device)


def analysis_settings(capture: CaptureDir, settings: Settings) -> AnalysisSettings:
    """Return the settings of the analyses, each as asked, else as the capture was last analysed, else the default."""
    clusters, nulls = _last(capture, "clusters"), _last(capture, "cluster_nulls")
    if clusters.get("method") != "leiden":
        clusters = {}  # an earlier cofire wrote its default resolution down as if it had been asked for
    resolution = _choose(settings, "resolution", clusters)
    return AnalysisSettings(
        resolution=None if resolution == "auto" else resolution,
        objective=_choose(settings, "objective", clusters),
        runs=_choose(settings, "runs", clusters),
        rewires=_choose(settings, "rewires", nulls),
        seed=_choose(settings, "seed", clusters),
        processes=settings.processes,
    )


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
    """Count, analyse and load one capture: `ingest_all` of one."""
    return ingest_all([capture], store, settings, edges=edges, replace=replace, progress=progress)[0]


def ingest_all(
    captures: Sequence[CaptureDir],
    store: Store,
    settings: Settings,
    *,
    edges: str | None = None,
    replace: bool = False,
    progress: Progress | None = None,
) -> list[Outcome]:
    """Count and analyse captures, then load them; what is there already and still holds is left alone.

    Args:
        captures: complete captures of different SAEs.
        store: an open store.
        settings: edge rule, memory bound, analyses, and whether decoder directions are loaded.
        edges: 'significant', 'all', or None to keep the rule of an earlier count.
        replace: put these versions in the place of others in the store.
        progress: called with (stage, steps done, steps in all).

    Returns:
        For each capture 'loaded', 'resumed', 'replaced', or 'unchanged'.

    Raises:
        CaptureError: a capture is damaged.
        InputError: two captures are of one SAE.
        ConflictError: the store holds another version and `replace` is not given, or another process loads it.
        StoreError: the store failed.
    """
    uids = [capture.uid for capture in captures]
    for uid in uids:
        if uids.count(uid) > 1:
            raise InputError(f"two of the captures are of {uid}; give each SAE once")
    wanted = [_prepared(capture, store, settings, edges, replace) for capture in captures]
    engine = count_engine(settings)
    with engine.ready():
        for capture, (counting, analysing) in zip(captures, wanted, strict=True):
            tell = _staged(progress, capture, captures)
            count(capture, counting, tell, engine)
            analyze(capture, analysing, progress=tell)
    plans = [load_plan(capture, decoders=settings.decoders) for capture in captures]
    if not replace:
        check_conflicts(store, plans)  # before the first one is loaded
    ensure_schema(store)
    if bulk_load(store, plans, partial(_staged(progress, None, captures), "load")):
        return ["loaded"] * len(plans)
    return [
        load_sae(store, plan, replace=replace, progress=partial(_staged(progress, capture, captures), "load"))
        for capture, plan in zip(captures, plans, strict=True)
    ]


def _staged(progress: Progress | None, capture: CaptureDir | None, captures: Sequence[CaptureDir]) -> Progress:
    """A progress call that names the capture too, where there are several."""

    def tell(stage: str, done: int, total: int) -> None:
        if progress is not None:
            of_which = f" {capture.manifest.sae_id}" if capture is not None and len(captures) > 1 else ""
            progress(stage + of_which, done, total)

    return tell


def _prepared(
    capture: CaptureDir, store: Store, settings: Settings, edges: str | None, replace: bool
) -> tuple[CountSettings, AnalysisSettings]:
    counting, analysing = count_settings(capture, settings, edges), analysis_settings(capture, settings)
    if not replace:
        _refuse_to_change(capture, store, counting, analysing)
    return counting, analysing


def _refuse_to_change(capture: CaptureDir, store: Store, counting: CountSettings, analysing: AnalysisSettings) -> None:
    """Refuse, before a table is overwritten, what would end as another version of an SAE that the store holds."""
    infos = table_infos(capture)
    stale = "edges" in infos and infos["edges"].made_from != counted_from(capture, counting)
    if (stale or is_stale(capture, analysing)) and holds(store, capture.uid):
        raise ConflictError(
            f"{store.location} holds {capture.uid}, and the tables in {capture.tables} were made with other settings "
            "than these; add --replace to count again and put the result in its place"
        )
