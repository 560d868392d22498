"""Everything from a capture to the graph (`cofire ingest`): count and analyse what is missing or stale, then load."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from cofire.analysis.analyses import ANALYSES
from cofire.analysis.analyze import analyze, is_stale
from cofire.common.progress import StageProgress
from cofire.errors import ConflictError, InputError
from cofire.ingest.capture_dir.directory import CaptureDir
from cofire.ingest.capture_dir.table_files import table_infos
from cofire.ingest.count import count, counted_from
from cofire.ingest.count_tokens import tokens_from
from cofire.ingest.edges.settings import CountSettings
from cofire.ingest.pairs.engine import Engine
from cofire.schema.analyses import AnalysisSettings
from cofire.schema.tables import EDGES, TOKENS, Table
from cofire.settings import LoadSettings, Settings
from cofire.store.connect import Store
from cofire.store.load.bulk import bulk_load
from cofire.store.load.journal import Outcome, check_conflicts, check_shared, holds
from cofire.store.load.write import load_sae
from cofire.store.plan.plan import load_plan
from cofire.store.versions import ensure_schema


def count_settings(capture: CaptureDir, settings: Settings) -> CountSettings:
    """Return the settings of a count, each as asked, else as the capture was last counted, else the default."""
    return settings.of(CountSettings, _last(capture, EDGES))


def count_engine(settings: Settings) -> Engine:
    """Return where pairs are to be counted."""
    return settings.of(Engine)


def settings_of_analyses(capture: CaptureDir, settings: Settings) -> dict[str, AnalysisSettings]:
    """Return the settings of each analysis, as asked, else as the capture was last analysed, else the default."""
    last: dict[str, Any] = {}
    for analysis in reversed(ANALYSES):
        last |= analysis.settings.asked(_last(capture, analysis.tables[0]))
    return {analysis.name: settings.of(analysis.settings, last) for analysis in ANALYSES}


def _last(capture: CaptureDir, table: Table) -> dict[str, Any]:
    info = table_infos(capture).get(table.name)
    return {} if info is None else info.settings


def ingest(
    capture: CaptureDir,
    store: Store,
    settings: Settings,
    *,
    replace: bool = False,
    progress: StageProgress | None = None,
) -> Outcome:
    """Count, analyse and load one capture: `ingest_all` of one."""
    return ingest_all([capture], store, settings, replace=replace, progress=progress)[0]


def ingest_all(
    captures: Sequence[CaptureDir],
    store: Store,
    settings: Settings,
    *,
    replace: bool = False,
    progress: StageProgress | None = None,
) -> list[Outcome]:
    """Count and analyse captures, then load them; what is there already and still holds is left alone.

    Args:
        captures: complete captures of different SAEs.
        store: an open store.
        settings: edge rule, memory bound, analyses, and whether decoder directions are loaded.
        replace: put these versions in the place of others in the store.
        progress: called with (stage, steps done, steps in all).

    Returns:
        For each capture 'loaded', 'resumed', 'replaced', or 'unchanged'.

    Raises:
        CaptureError: a capture is damaged.
        InputError: two captures are of one SAE, two models have one name, or something is too large for a store.
        ConflictError: the store holds another version and `replace` is not given, or another process loads it.
        StoreError: the store failed.
    """
    uids = [capture.uid for capture in captures]
    for uid in uids:
        if uids.count(uid) > 1:
            raise InputError(f"two of the captures are of {uid}; give each SAE once")
    wanted = [_prepared(capture, store, settings, replace) for capture in captures]
    engine = count_engine(settings)
    with engine.ready():
        for capture, (counting, analysing) in zip(captures, wanted, strict=True):
            tell = _staged(progress, capture, captures)
            count(capture, counting, tell, engine)
            analyze(capture, analysing, progress=tell)
    plans = [load_plan(capture, decoders=settings.of(LoadSettings).decoders) for capture in captures]
    # Before the first one is loaded.
    check_shared(store, plans)
    if not replace:
        check_conflicts(store, plans)
    ensure_schema(store)
    if bulk_load(store, plans, partial(_staged(progress, None, captures), "load")):
        return ["loaded"] * len(plans)
    return [
        load_sae(store, plan, replace=replace, progress=partial(_staged(progress, capture, captures), "load"))
        for capture, plan in zip(captures, plans, strict=True)
    ]


def _staged(
    progress: StageProgress | None, capture: CaptureDir | None, captures: Sequence[CaptureDir]
) -> StageProgress:
    """A progress call that names the capture too, where there are several."""

    def tell(stage: str, done: int, total: int) -> None:
        if progress is not None:
            of_which = f" {capture.manifest.sae_id}" if capture is not None and len(captures) > 1 else ""
            progress(stage + of_which, done, total)

    return tell


def _prepared(
    capture: CaptureDir, store: Store, settings: Settings, replace: bool
) -> tuple[CountSettings, dict[str, AnalysisSettings]]:
    counting, analysing = count_settings(capture, settings), settings_of_analyses(capture, settings)
    if not replace:
        _refuse_to_change(capture, store, counting, analysing)
    return counting, analysing


def _refuse_to_change(
    capture: CaptureDir, store: Store, counting: CountSettings, analysing: dict[str, AnalysisSettings]
) -> None:
    """Refuse, before a table is overwritten, what would end as another version of an SAE that the store holds."""
    infos = table_infos(capture)
    made_from = counted_from(capture, counting)
    stale = EDGES.name in infos and infos[EDGES.name].made_from != made_from
    stale |= TOKENS.name in infos and infos[TOKENS.name].made_from != tokens_from(made_from)
    if (stale or is_stale(capture, analysing)) and holds(store, capture.uid):
        raise ConflictError(
            f"{store.location} holds {capture.uid}, and the tables in {capture.tables} were made with other settings "
            "than these, or by another cofire; give the settings that they were made with, or add --replace to count "
            "again and put the result in its place"
        )
