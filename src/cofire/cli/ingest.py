"""`cofire ingest`."""

from __future__ import annotations

from typing import Annotated

import typer

from cofire.analysis.analyses import ANALYSES
from cofire.cli.common import CapturesArgument, StoreOption, notice, open_captures, open_named, settings_of, stages
from cofire.cli.flags import Flags, takes, with_rule
from cofire.ingest.edges.settings import CountSettings
from cofire.ingest.pairs.engine import Engine
from cofire.settings import LoadSettings


@takes(CountSettings, Engine, *(analysis.settings for analysis in ANALYSES), LoadSettings)
def ingest(
    captures: CapturesArgument,
    flags: Flags,
    store: StoreOption = None,
    replace: Annotated[bool, typer.Option("--replace", help="Put this version in the place of another one.")] = False,
) -> None:
    """Count and analyse what is missing or stale, then load it into the store."""
    from cofire.ingest.count import check_count
    from cofire.pipeline import count_engine, count_settings, ingest_all
    from cofire.schema.cypher import MAX_DECODER_DIMS
    from cofire.store.plan.decoders import decoder_width

    settings = settings_of(store, **with_rule(flags))
    opened = open_captures(captures)
    for capture in opened:
        if settings.of(LoadSettings).decoders and (decoder_width(capture) or 0) > MAX_DECODER_DIMS:
            notice(f"{capture.uid}: its decoder directions have more than {MAX_DECODER_DIMS:,} numbers and stay out")
    count_engine(settings).check()
    for capture in opened:  # before a store is made
        check_count(capture, count_settings(capture, settings))
    with open_named(settings, create=True) as target:
        title = opened[0].uid if len(opened) == 1 else f"{len(opened)} SAEs"
        with stages(title) as progress:
            outcomes = ingest_all(opened, target, settings, replace=replace, progress=progress)
        for capture, outcome in zip(opened, outcomes, strict=True):
            notice(f"{capture.uid}: {outcome} in {target.location}")
