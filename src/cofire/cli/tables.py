"""`cofire count`, `cofire analyze`, `cofire ingest`."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cofire.cli.common import (
    CapturesArgument,
    StoreOption,
    make_directory,
    notice,
    open_captures,
    open_named,
    settings_of,
    stages,
)
from cofire.cli.output import Format, emit
from cofire.errors import InputError

if TYPE_CHECKING:
    from cofire.ingest.capture_dir.directory import CaptureDir


class Edges(StrEnum):
    """Which pairs are kept."""

    significant = "significant"
    all = "all"


class Engine(StrEnum):
    """Where pairs are counted."""

    local = "local"
    ray = "ray"


class CountDevice(StrEnum):
    """What counts."""

    cpu = "cpu"
    cuda = "cuda"


EdgesOption = Annotated[
    Edges | None,
    typer.Option(help="Pairs to keep: the significant ones, or all that ever co-fired.", show_default="significant"),
]
MemoryOption = Annotated[
    str | None, typer.Option(help="Bound on the counters, such as 512MB or 4GB.", show_default="2GiB")
]
MinCountOption = Annotated[int | None, typer.Option(help="Fewest joint firings.", show_default="20")]
MinLogOddsOption = Annotated[float | None, typer.Option(help="Least log odds of a kept pair.", show_default="1")]
FdrOption = Annotated[
    float | None, typer.Option(help="False discovery rate (Benjamini-Hochberg).", show_default="0.01")
]
WeakOption = Annotated[
    bool | None,
    typer.Option(
        "--weak/--no-weak",
        help="Keep the pairs that pass only with firings below the noise floor, flagged.",
        show_default="no-weak",
    ),
]
TokenStrataOption = Annotated[
    int | None,
    typer.Option(help="Most frequent tokens that are strata of their own within a document.", show_default="0"),
]
DenoiseOption = Annotated[
    bool | None,
    typer.Option(
        "--denoise/--no-denoise",
        help="Judge clear firings less the interference of other latents.",
        show_default="denoise",
    ),
]
EngineOption = Annotated[Engine | None, typer.Option(help="Where pairs are counted.", show_default="local")]
AddressOption = Annotated[
    str | None, typer.Option(help="Ray cluster, auto or HOST:PORT; without it, one of this machine.")
]
DeviceOption = Annotated[
    CountDevice | None, typer.Option(help="What counts pairs, with the local engine.", show_default="cpu")
]


class Objective(StrEnum):
    """What Leiden maximises."""

    cpm = "cpm"
    modularity = "modularity"


ResolutionOption = Annotated[
    str | None,
    typer.Option(help="Resolution of the clusters; auto sweeps over 30 of them.", show_default="auto"),
]
ObjectiveOption = Annotated[
    Objective | None, typer.Option(help="What Leiden maximises: CPM on log odds, or modularity.", show_default="cpm")
]
RunsOption = Annotated[
    int | None, typer.Option(help="Leiden runs at each resolution, each on edge weights drawn anew.", show_default="20")
]
RewiresOption = Annotated[
    int | None, typer.Option(help="Rewired graphs that clusters and motifs are compared with.", show_default="200")
]
SeedOption = Annotated[int | None, typer.Option(help="Seed of the analyses.", show_default="0")]


def _rule(
    min_count: int | None,
    min_log_odds: float | None,
    fdr: float | None,
    weak: bool | None,
    token_strata: int | None,
    denoise: bool | None,
) -> dict[str, object]:
    """Return the settings of the edge rule, None where one is not given."""
    return {
        "min_count": min_count,
        "min_log_odds": min_log_odds,
        "fdr": fdr,
        "weak": weak,
        "token_strata": token_strata,
        "denoise": denoise,
    }


def _edges(edges: Edges | None, rule: dict[str, object]) -> Edges | None:
    """Whoever gives a part of the rule on the command line wants the rule that it belongs to."""
    return Edges.significant if edges is None and any(part is not None for part in rule.values()) else edges


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


def analyze(
    captures: CapturesArgument,
    only: Annotated[
        str | None, typer.Option(help="Analyses, separated by commas.", show_default="all whose inputs are there")
    ] = None,
    resolution: ResolutionOption = None,
    objective: ObjectiveOption = None,
    runs: RunsOption = None,
    rewires: RewiresOption = None,
    seed: SeedOption = None,
    out: Annotated[
        Path | None, typer.Option(help="Directory for the tables and the figure of structure-function.")
    ] = None,
) -> None:
    """Find clusters among the counted latents; tell the shape, the function and the subspace of each.

    Analyses: clusters, nulls (z-scores and motif counts against rewired graphs), functions, subspaces. A run that was
    stopped goes on when the same command is given again. And, only when it is named, structure-function: how far
    structure tells composition from ambiguity over the clusters of all captures given; its table goes to stdout.
    """
    from cofire.analysis.analyze import ACROSS, check_analyses
    from cofire.analysis.analyze import analyze as analyze_capture
    from cofire.ingest.capture_dir.table_files import table_infos
    from cofire.pipeline import analysis_settings

    settings = settings_of(resolution=resolution, objective=objective, runs=runs, rewires=rewires, seed=seed)
    names = None if only is None else tuple(name.strip() for name in only.split(","))
    across = names is not None and ACROSS in names
    if out is not None:
        if not across:
            raise InputError(f"--out is for --only {ACROSS}; the other tables go into the capture")
        make_directory(out)
    if names is not None and across:
        names = tuple(dict.fromkeys(["functions", *(name for name in names if name != ACROSS)]))
    opened = open_captures(captures)
    for capture in opened:  # before anything is written
        check_analyses(capture, names)
    for capture in opened:
        with stages(capture.uid) as progress:
            done = analyze_capture(capture, analysis_settings(capture, settings), only=names, progress=progress)
        figures = table_infos(capture)["clusters"].figures
        notice(
            f"{capture.uid}: {', '.join(done) if done else 'nothing to do'}: {figures['clusters']:,} clusters "
            f"of {figures['latents_in_clusters']:,} latents -> {capture.tables}"
        )
        if figures.get("pooled"):
            notice(
                f"{capture.uid}: no plateau, so the clusters are the consensus of all resolutions (mean agreement "
                f"between runs {figures['plateau_ami']:.2f}); see docs/clusters.md"
            )
    if across:
        _structure_function(opened, settings.seed, out)


def _structure_function(captures: list[CaptureDir], seed: int, out: Path | None) -> None:
    from cofire.analysis.analyze import ACROSS
    from cofire.analysis.structure_function import MIN_EACH, structure_function
    from cofire.analysis.structure_function_files import write_structure_function
    from cofire.analysis.structure_function_rows import structure_function_rows

    with stages("all captures") as progress:
        found = structure_function(
            structure_function_rows(captures), seed=seed, progress=lambda done, total: progress(ACROSS, done, total)
        )
    emit(found.table, Format.table if sys.stdout.isatty() else Format.csv)
    told = found.rows["told"].tolist()
    compositions, ambiguities = told.count("composition"), told.count("ambiguity")
    if min(compositions, ambiguities) < MIN_EACH:
        notice(
            f"{compositions} clusters of four latents and more are told to be compositions and {ambiguities} "
            f"ambiguities; `told` needs {MIN_EACH} of each, so its numbers are blank: look at `weighted`"
        )
    if out is not None:
        for path in write_structure_function(found, out):
            notice(f"wrote {path}")


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
