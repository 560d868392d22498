"""`cofire analyze`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cofire.analysis.analyses import ACROSS, ANALYSES
from cofire.analysis.clusters import ClusterSettings
from cofire.cli.common import (
    CapturesArgument,
    make_directory,
    notice,
    open_captures,
    settings_of,
    stages,
)
from cofire.cli.flags import Flags, takes
from cofire.cli.output import emit
from cofire.errors import InputError

if TYPE_CHECKING:
    from cofire.ingest.capture_dir.directory import CaptureDir


@takes(*(analysis.settings for analysis in ANALYSES))
def analyze(
    captures: CapturesArgument,
    flags: Flags,
    only: Annotated[
        str | None,
        typer.Option(
            help="Analyses, separated by commas: "
            + "; ".join(f"{analysis.name}, {analysis.summary}" for analysis in ANALYSES)
            + f". And, only when it is named, {ACROSS}.",
            show_default="all whose inputs are there",
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help=f"Directory for the tables and the figure of {ACROSS}.")] = None,
) -> None:
    """Find clusters among the counted latents, and exclusive stars; tell the shape, function and subspace of clusters.

    A run that was stopped goes on when the same command is given again. structure-function tells how far structure
    tells composition from ambiguity over the clusters of all captures given; its table goes to stdout.
    """
    from cofire.analysis.analyze import analyze as analyze_capture
    from cofire.analysis.analyze import check_analyses
    from cofire.ingest.capture_dir.table_files import table_infos
    from cofire.pipeline import settings_of_analyses

    settings = settings_of(**flags)
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
            done = analyze_capture(capture, settings_of_analyses(capture, settings), only=names, progress=progress)
        infos = table_infos(capture)
        # What was made from other edges, and was not asked for now, is not told of.
        of_these = {name for name in infos if infos[name].settings.get("edges") == infos["edges"].sha256}
        clusters, stars = (infos[name].figures if name in of_these else {} for name in ("clusters", "stars"))
        found = (
            [f"{clusters['clusters']:,} clusters of {clusters['latents_in_clusters']:,} latents"] if clusters else []
        )
        found += [f"{stars['stars']:,} exclusive stars"] if stars else []
        notice(f"{capture.uid}: {', '.join(done) if done else 'nothing to do'}: {', '.join(found)} -> {capture.tables}")
        if clusters.get("pooled"):
            notice(
                f"{capture.uid}: no plateau, so the clusters are the consensus of all resolutions (mean agreement "
                f"between runs {clusters['plateau_ami']:.2f}); see docs/clusters.md"
            )
        if stars.get("direct_edges") == 0:
            notice(
                f"{capture.uid}: no edge is said to be direct, so there are no exclusive stars; "
                "an earlier cofire's tables have to be counted again with `cofire count` (docs/stars.md)"
            )
    if across:
        _structure_function(opened, settings.of(ClusterSettings).seed, out)


def _structure_function(captures: list[CaptureDir], seed: int, out: Path | None) -> None:
    from cofire.analysis.structure_function.files import write_structure_function
    from cofire.analysis.structure_function.rows import structure_function_rows
    from cofire.analysis.structure_function.structure_function import MIN_EACH, structure_function

    with stages("all captures") as progress:
        found = structure_function(
            structure_function_rows(captures), seed=seed, progress=lambda done, total: progress(ACROSS, done, total)
        )
    emit(found.table, "table" if sys.stdout.isatty() else "csv")
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
