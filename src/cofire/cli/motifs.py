"""`cofire motifs`: stars, cliques, paths and bi-fans of the co-firing graph."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cofire.analysis.motifs import Kind, Measure
from cofire.cli.common import (
    GraphCapturesArgument,
    StoreOption,
    notice,
    open_captures,
    open_to_read,
    refuse_both,
    stages,
)
from cofire.cli.output import Format, emit, most_rows, write_stream
from cofire.errors import InputError

if TYPE_CHECKING:
    from cofire.analysis.motifs.sources import MotifSearch, MotifSource
    from cofire.ingest.capture_dir.directory import CaptureDir


AROUND = 100
"""Motifs around a latent that are printed where nobody says how many: a busy one has millions."""


def motifs(
    kind: Annotated[
        Kind,
        typer.Option(
            help="star: a hub and the neighbours that co-fire with no other neighbour of it (one a hub). clique: all "
            "co-fire. path: an induced path. bifan: two pairs, neither of which co-fires, all across do."
        ),
    ],
    captures: GraphCapturesArgument = None,
    store: StoreOption = None,
    sae: Annotated[str | None, typer.Option(help="Search the SAE of this uid in the store.")] = None,
    release: Annotated[str | None, typer.Option(help="Search every SAE of this release in the store.")] = None,
    at: Annotated[
        str | None,
        typer.Option(
            metavar="SAE/INDEX",
            help="Only the motifs around this latent, best first: the star whose hub it is; the cliques and bi-fans "
            "that hold it; the paths that begin at it. Reads the latent's own surroundings, not the whole graph.",
        ),
    ] = None,
    all_saes: Annotated[bool, typer.Option("--all", help="Search every SAE in the store.")] = False,
    min_size: Annotated[
        int | None, typer.Option(help="Fewest latents.", show_default="4, or --max-size if lower")
    ] = None,
    max_size: Annotated[
        int | None, typer.Option(help="Most latents.", show_default="as --min-size; no bound for stars")
    ] = None,
    by: Annotated[
        Measure, typer.Option(help="Measure that scores a motif: its least value over the motif's edges.")
    ] = "log_odds",
    min_log_odds: Annotated[
        float | None, typer.Option(help="Edges below it do not count as co-firing.", show_default="all edges count")
    ] = None,
    min_z: Annotated[
        float | None,
        typer.Option(
            help="Only sizes of which an SAE has more than its rewired graphs, by so many standard deviations "
            "(`cofire analyze --only nulls`).",
            show_default="all sizes",
        ),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Print the so many best, best first; 0 prints all, of whole graphs as they are found.",
            show_default="50 as a table, 100 with --at, 0 otherwise",
        ),
    ] = None,
    format: Annotated[Format, typer.Option("--format", help="How to print them.")] = "table",  # noqa: A002 - the contract's name
) -> None:
    """Find the motifs of whole co-firing graphs, or around one latent, from counted captures or a store.

    With --limit 0 each motif of a whole graph is printed as it is found, in ascending order of its latents, and Ctrl-C
    keeps what was printed; otherwise, and with --at, the best are printed at the end, those whose score is undefined on
    an edge last. Memory grows with the edges of one SAE and with --limit, not with the number of motifs; with --at and
    --limit 0 with that, too.
    """
    from cofire.analysis.motifs.search import checked_sizes
    from cofire.analysis.motifs.sources import MotifSearch, capture_motif_counts, capture_sources, searches_over
    from cofire.queries.anchored_motifs import motif_frame_at, parse_latent
    from cofire.queries.motif_sources import store_motif_counts, store_sources
    from cofire.queries.value_types import ValueType, check_value

    named = captures or []
    min_log_odds = check_value(min_log_odds, ValueType("float", nullable=True), "--min-log-odds")
    min_z = check_value(min_z, ValueType("float", nullable=True), "--min-z")
    low, high = checked_sizes(kind, min_size, max_size)
    refuse_both(named, {"--store": store, "--sae": sae, "--release": release, "--all": all_saes})
    if not named and [sae is not None, release is not None, all_saes, at is not None].count(True) != 1:
        raise InputError(
            "which SAEs? name captures, or give one of --at SAE/INDEX, --sae UID, --release NAME and --all"
        )
    if at is not None and min_z is not None:
        raise InputError("--min-z is about the motifs of a whole graph; leave it out, or --at")
    most = AROUND if limit is None and at is not None and format != "table" else most_rows(format, limit)
    if at is not None and not named:
        with open_to_read(store) as opened:
            how: dict[str, Any] = {"by": by, "min_log_odds": min_log_odds, "min_size": min_size, "max_size": max_size}
            frame, more = motif_frame_at(opened, *parse_latent(at), kind, limit=most, **how)
        emit(frame, format, cut=more)
        return
    with nullcontext() if named else open_to_read(store) as opened:
        if opened is None:
            opened_captures = open_captures(named)
            sources = capture_sources(opened_captures, by, min_log_odds)
        else:
            sources = store_sources(opened, sae=sae, release=release, by=by, min_log_odds=min_log_odds)
        if at is not None:
            uid, index = parse_latent(at)
            searches = [MotifSearch(_source_of(uid, index, opened_captures, sources), ((low, high),), index)]
        elif min_z is None:
            searches = [MotifSearch(source, ((low, high),)) for source in sources]
        else:
            counts = capture_motif_counts(opened_captures) if opened is None else store_motif_counts(opened, sources)
            searches = searches_over(counts, sources, kind, low, high, min_z)
            for search in searches:
                if not search.sizes:
                    notice(f"{search.source.sae}: no size of {kind} has z >= {min_z:g} against rewired graphs")
        _print(searches, kind, by, most, format)


def _source_of(uid: str, index: int, captures: Sequence[CaptureDir], sources: Sequence[MotifSource]) -> MotifSource:
    found = next((capture for capture in captures if capture.uid == uid), None)
    if found is None:
        raise InputError(f"none of the captures is of {uid}; they are of {', '.join(source.sae for source in sources)}")
    if index >= found.manifest.n_latents:
        raise InputError(f"latent {index} of {uid}: its latents are 0 to {found.manifest.n_latents - 1}")
    return next(source for source in sources if source.sae == uid)


def _print(
    searches: Sequence[MotifSearch],
    kind: Kind,
    by: Measure,
    most: int,
    format: Format,  # noqa: A002 - the contract's name
) -> None:
    from cofire.analysis.motifs.sources import best_found, rows_of_all, stream_found
    from cofire.queries.motif_sources import motif_columns, motif_table

    names = {search.source.sae: search.source.names for search in searches}
    around = any(search.at is not None for search in searches)
    if most or around:
        with _progress(shown=True) as progress:
            found, more = best_found(searches, kind, limit=most or sys.maxsize, progress=progress)
        emit(motif_table(found, names, by), format, cut=more)
        return
    # A bar would run through the rows where both go to one terminal.
    with _progress(shown=not sys.stdout.isatty()) as progress:
        stream = stream_found(searches, kind, progress=progress)
        write_stream(rows_of_all(stream, names), motif_columns(by), format)


@contextmanager
def _progress(*, shown: bool) -> Iterator[Callable[[str, str, int, int], None] | None]:
    if not shown:
        yield None
        return
    with stages("motifs") as advance:
        yield lambda uid, stage, done, total: advance(f"{uid}: {stage}", done, total)
