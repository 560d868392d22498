"""`cofire count`."""

from __future__ import annotations

from cofire.cli.common import CapturesArgument, notice, open_captures, settings_of, stages
from cofire.cli.flags import Flags, takes, with_rule
from cofire.ingest.edges.settings import CountSettings
from cofire.ingest.pairs.engine import Engine


@takes(CountSettings, Engine)
def count(captures: CapturesArgument, flags: Flags) -> None:
    """Count which latents fire together, exactly, and keep the pairs that do so beyond their documents' topics."""
    from cofire.ingest.capture_dir.table_files import table_infos
    from cofire.ingest.count import check_count
    from cofire.ingest.count import count as count_capture
    from cofire.pipeline import count_engine, count_settings

    settings = settings_of(**with_rule(flags))
    opened, where = open_captures(captures), count_engine(settings)
    rules = [count_settings(capture, settings) for capture in opened]
    for capture, one in zip(opened, rules, strict=True):
        check_count(capture, one)
    with where.ready():
        done = []
        for capture, one in zip(opened, rules, strict=True):
            with stages(capture.uid) as progress:
                done.append(count_capture(capture, one, progress, where))
    for capture, anew in zip(opened, done, strict=True):
        figures = table_infos(capture)["edges"].figures
        direct = f", {figures['edges_direct']:,} of them direct" if "edges_direct" in figures else ""
        notice(
            f"{capture.uid}: {'counted' if anew else 'already counted'} {figures['tokens']:,} tokens, "
            f"mean L0 {figures['mean_l0']:.1f}, {figures['pairs_that_co_fired']:,} pairs co-fired, "
            f"{figures['pairs_kept']:,} kept{direct} -> {capture.tables}"
        )
        notice(f"{capture.uid}: noise floors: {table_infos(capture)['latents'].settings['noise_floor']}")
