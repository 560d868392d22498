"""`cofire count`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cofire.cli.common import (
    CapturesArgument,
    notice,
    open_captures,
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
    TokenStrataOption,
    WeakOption,
    _edges,
    _rule,
)

if TYPE_CHECKING:
    pass


def count(
    captures: CapturesArgument,
    edges: EdgesOption = None,
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
) -> None:
    """Count which latents fire together, exactly, and keep the pairs that do so beyond their documents' topics."""
    from cofire.ingest.capture_dir.table_files import table_infos
    from cofire.ingest.count import check_count
    from cofire.ingest.count import count as count_capture
    from cofire.pipeline import count_engine, count_settings

    rule = _rule(min_count, min_log_odds, fdr, weak, token_strata, denoise)
    settings = settings_of(None, memory=memory, engine=engine, address=address, device=device, **rule)
    edges = _edges(edges, rule)
    opened, where = open_captures(captures), count_engine(settings)
    rules = [count_settings(capture, settings, edges) for capture in opened]
    for capture, one in zip(opened, rules, strict=True):
        check_count(capture, one)
    with where.ready():
        done = []
        for capture, one in zip(opened, rules, strict=True):
            with stages(capture.uid) as progress:
                done.append(count_capture(capture, one, progress, where))
    for capture, anew in zip(opened, done, strict=True):
        figures = table_infos(capture)["edges"].figures
        notice(
            f"{capture.uid}: {'counted' if anew else 'already counted'} {figures['tokens']:,} tokens, "
            f"mean L0 {figures['mean_l0']:.1f}, {figures['pairs_that_co_fired']:,} pairs co-fired, "
            f"{figures['pairs_kept']:,} kept -> {capture.tables}"
        )
        notice(f"{capture.uid}: noise floors: {table_infos(capture)['latents'].settings['noise_floor']}")
