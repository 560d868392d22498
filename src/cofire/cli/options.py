"""`cofire count`, `cofire analyze`, `cofire ingest`."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    pass


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
