"""`cofire count`, `cofire analyze`, `cofire ingest`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from cofire.cli.common import CapturesArgument, StoreOption, notice, open_captures, open_named, settings_of, stages


class Edges(StrEnum):
    """Which pairs are kept."""

    significant = "significant"
    all = "all"


EdgesOption = Annotated[
    Edges | None,
    typer.Option(help="Pairs to keep: the significant ones, or all that ever co-fired.", show_default="significant"),
]
MemoryOption = Annotated[
    str | None, typer.Option(help="Bound on the counters, such as 512MB or 4GB.", show_default="2GiB")
]
MinCountOption = Annotated[int | None, typer.Option(help="Fewest joint firings.", show_default="20")]
MinLiftOption = Annotated[float | None, typer.Option(help="Least count / expected.", show_default="2")]
ResolutionOption = Annotated[float | None, typer.Option(help="CPM resolution of the clusters.", show_default="0.7")]
SeedOption = Annotated[int | None, typer.Option(help="Seed of the clusters.", show_default="0")]


def _edges(edges: Edges | None, min_count: int | None, min_lift: float | None) -> Edges | None:
    """Whoever gives a bound on the command line wants the rule that it belongs to."""
    return Edges.significant if edges is None and (min_count, min_lift) != (None, None) else edges


def count(
    captures: CapturesArgument,
    edges: EdgesOption = None,
    memory: MemoryOption = None,
    min_count: MinCountOption = None,
    min_lift: MinLiftOption = None,
) -> None:
    """Count which latents fire together, exactly, and make the tables latents, edges, tokens and contexts."""
    from cofire.ingest.count import count as count_capture
    from cofire.ingest.table_files import table_infos
    from cofire.store.ingest import count_settings

    settings = settings_of(memory=memory, min_count=min_count, min_lift=min_lift)
    edges = _edges(edges, min_count, min_lift)
    for capture in open_captures(captures):
        with stages(capture.uid) as progress:
            done = count_capture(capture, count_settings(capture, settings, edges), progress)
        figures = table_infos(capture)["edges"].figures
        notice(
            f"{capture.uid}: {'counted' if done else 'already counted'} {figures['tokens']:,} tokens, "
            f"mean L0 {figures['mean_l0']:.1f}, {figures['pairs_that_co_fired']:,} pairs co-fired, "
            f"{figures['pairs_kept']:,} kept -> {capture.tables}"
        )


def analyze(
    captures: CapturesArgument,
    only: Annotated[str | None, typer.Option(help="Analyses, separated by commas.", show_default="all")] = None,
    resolution: ResolutionOption = None,
    seed: SeedOption = None,
) -> None:
    """Find clusters among the counted latents, and the structure of each."""
    from cofire.analysis.analyze import ANALYSES
    from cofire.analysis.analyze import analyze as analyze_capture
    from cofire.ingest.table_files import table_infos
    from cofire.store.ingest import cluster_settings

    settings = settings_of(resolution=resolution, seed=seed)
    names = tuple(name.strip() for name in only.split(",")) if only is not None else ANALYSES
    for capture in open_captures(captures):
        resolution, seed = cluster_settings(capture, settings)
        with stages(capture.uid) as progress:
            progress("clusters", 0, 1)
            done = analyze_capture(capture, resolution=resolution, seed=seed, only=names)
            progress("clusters", 1, 1)
        figures = table_infos(capture)["clusters"].figures
        notice(
            f"{capture.uid}: {'found' if done else 'already found'} {figures['clusters']:,} clusters "
            f"of {figures['latents_in_clusters']:,} latents -> {capture.tables}"
        )


def ingest(
    captures: CapturesArgument,
    store: StoreOption = None,
    edges: EdgesOption = None,
    replace: Annotated[bool, typer.Option("--replace", help="Put this version in the place of another one.")] = False,
    memory: MemoryOption = None,
    min_count: MinCountOption = None,
    min_lift: MinLiftOption = None,
    resolution: ResolutionOption = None,
    seed: SeedOption = None,
    no_decoders: Annotated[bool, typer.Option("--no-decoders", help="Leave the decoder directions out.")] = False,
) -> None:
    """Count and analyse what is missing or stale, then load it into the store."""
    from cofire.ingest.decoders import decoder_width
    from cofire.schema.cypher import MAX_DECODER_DIMS
    from cofire.store.ingest import ingest_all

    settings = settings_of(
        store,
        memory=memory,
        min_count=min_count,
        min_lift=min_lift,
        resolution=resolution,
        seed=seed,
        decoders=False if no_decoders else None,
    )
    opened = open_captures(captures)
    edges = _edges(edges, min_count, min_lift)
    for capture in opened:
        if settings.decoders and (decoder_width(capture) or 0) > MAX_DECODER_DIMS:
            notice(f"{capture.uid}: its decoder directions have more than {MAX_DECODER_DIMS:,} numbers and stay out")
    with open_named(settings, create=True) as target:
        title = opened[0].uid if len(opened) == 1 else f"{len(opened)} SAEs"
        with stages(title) as progress:
            outcomes = ingest_all(opened, target, settings, edges=edges, replace=replace, progress=progress)
        for capture, outcome in zip(opened, outcomes, strict=True):
            notice(f"{capture.uid}: {outcome} in {target.location}")
