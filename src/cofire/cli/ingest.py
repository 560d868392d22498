"""`cofire ingest`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cofire.cli.common import (
    CapturesArgument,
    StoreOption,
    notice,
    open_captures,
    open_named,
    settings_of,
    stages,
)
from cofire.cli.options import (
    AddressOption,
    DenoiseOption,
    DeviceOption,
    EdgesOption,
    EngineOption,
    FdrOption,
    MemoryOption,
    MinCountOption,
    MinLogOddsOption,
    ObjectiveOption,
    ResolutionOption,
    RewiresOption,
    RunsOption,
    SeedOption,
    TokenStrataOption,
    WeakOption,
    _edges,
    _rule,
)

if TYPE_CHECKING:
    pass


def ingest(
    captures: CapturesArgument,
    store: StoreOption = None,
    edges: EdgesOption = None,
    replace: Annotated[bool, typer.Option("--replace", help="Put this version in the place of another one.")] = False,
    memory: MemoryOption = None,
    min_count: MinCountOption = None,
    min_log_odds: MinLogOddsOption = None,
    fdr: FdrOption = None,
    weak: WeakOption = None,
    token_strata: TokenStrataOption = None,
    denoise: DenoiseOption = None,
    engine: EngineOption = None,
    address: AddressOption = None,
    device: DeviceOption = None,
    resolution: ResolutionOption = None,
    objective: ObjectiveOption = None,
    runs: RunsOption = None,
    rewires: RewiresOption = None,
    seed: SeedOption = None,
    no_decoders: Annotated[bool, typer.Option("--no-decoders", help="Leave the decoder directions out.")] = False,
) -> None:
    """Count and analyse what is missing or stale, then load it into the store."""
    from cofire.ingest.count import check_count
    from cofire.pipeline import count_engine, count_settings, ingest_all
    from cofire.schema.cypher import MAX_DECODER_DIMS
    from cofire.store.plan.decoders import decoder_width

    rule = _rule(min_count, min_log_odds, fdr, weak, token_strata, denoise)
    settings = settings_of(
        store,
        memory=memory,
        engine=engine,
        address=address,
        device=device,
        **rule,
        resolution=resolution,
        objective=objective,
        runs=runs,
        rewires=rewires,
        seed=seed,
        decoders=False if no_decoders else None,
    )
    opened = open_captures(captures)
    edges = _edges(edges, rule)
    for capture in opened:
        if settings.decoders and (decoder_width(capture) or 0) > MAX_DECODER_DIMS:
            notice(f"{capture.uid}: its decoder directions have more than {MAX_DECODER_DIMS:,} numbers and stay out")
    count_engine(settings).check()
    for capture in opened:  # before a store is made
        check_count(capture, count_settings(capture, settings, edges))
    with open_named(settings, create=True) as target:
        title = opened[0].uid if len(opened) == 1 else f"{len(opened)} SAEs"
        with stages(title) as progress:
            outcomes = ingest_all(opened, target, settings, edges=edges, replace=replace, progress=progress)
        for capture, outcome in zip(opened, outcomes, strict=True):
            notice(f"{capture.uid}: {outcome} in {target.location}")
