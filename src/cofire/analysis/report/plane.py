"""A cluster's plane and its mixtures, drawn.

In the plane a dot is a token, coloured by its strongest member; a ring is a token on which one member fires alone; a
triangle is a member at activation mu and alone; a lettered disc is the centroid of a mixture, a numbered square a token
whose text the page shows; the cross is no contribution.
"""

from __future__ import annotations

import string
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from cofire.analysis.report.charts import BLUE, GREEN, INK, ORANGE, PALE_BLUE, PURPLE, WIDTH

if TYPE_CHECKING:
    from cofire.common.arrays import Bools, Floats, Ints

COLOURS = (BLUE, ORANGE, GREEN, PURPLE, "#D55E00", "#56B4E9", "#B8A600")
"""Of the members that are strongest most often; all others share one grey. Okabe and Ito's, the yellow darker."""
OTHER = "#B5B5B5"
LETTERED = 10
"""Mixtures with a letter."""


@dataclass(frozen=True)
class Plane:
    """What is drawn of a cluster's subspace; k components, 1 to 3.

    Attributes:
        places: float64 [R, k], coordinates of the tokens.
        strongest: int64 [R], the strongest member of each token; -1 where it is not known.
        alone: bool [R], whether a single member fires.
        explained: float64 [k], share of the variance along each component.
        names: what a legend says of a member.
        corners: member -> float64 [k], its coordinates at activation mu.
        origin: float64 [k], no contribution.
        centroids: float64 [m, k] of the mixtures, the most frequent first.
        marks: rows of `places` whose texts are shown, numbered from 1.
    """

    places: Floats
    strongest: Ints
    alone: Bools
    explained: Floats
    names: dict[int, str]
    corners: dict[int, Floats]
    origin: Floats
    centroids: Floats
    marks: Sequence[int]


def plane_figure(plane: Plane, second: int = 1) -> Figure:
    """Draw the first component against another one; to be called, and its figure saved, inside `figures.style()`.

    Args:
        plane: at least two components, or one: then the tokens are spread out vertically by their order.
        second: the component on the vertical axis, 1 or 2.
    """
    figure = Figure(figsize=(WIDTH, 4.5), layout="constrained")
    axes: Any = figure.subplots()
    flat = plane.places.shape[1] < 2

    def seen(at: Floats) -> Floats:
        """Return what is drawn of coordinates [..., k]: [..., 2]."""
        rest = np.zeros(at.shape[:-1]) if flat else at[..., second]
        return np.stack([at[..., 0], rest], axis=-1)

    dots = seen(plane.places)
    if flat:
        dots[:, 1] = np.linspace(-1, 1, len(dots) + 2)[1:-1]
    colours = colours_of(plane.strongest)
    ink = np.array([colours.get(int(k), OTHER) for k in plane.strongest], dtype=object)
    for alone, marker in ((True, {"s": 15, "linewidths": 0.7}), (False, {"s": 13, "linewidths": 0})):
        chosen = np.flatnonzero(plane.alone == alone)
        faces: dict[str, Any] = (
            {"facecolors": "none", "edgecolors": ink[chosen].tolist()} if alone else {"color": ink[chosen].tolist()}
        )
        axes.scatter(*dots[chosen].T, alpha=0.6, zorder=2, **faces, **marker)
    axes.scatter(*seen(plane.origin), marker="+", s=60, color=INK, linewidths=1.2, zorder=3)
    for latent, corner in plane.corners.items():
        if latent in colours:
            axes.scatter(
                *seen(corner), marker="^", s=70, color=colours[latent], edgecolors="white", linewidths=0.9, zorder=4
            )
    for k, centroid in reversed(list(enumerate(plane.centroids[:LETTERED]))):
        _tag(axes, seen(centroid), string.ascii_lowercase[k], "circle,pad=0.22")
    for k, row in enumerate(plane.marks):
        # Beside the dot, whose colour matters. Marks 1 and 2, 3 and 4 are near each other: the higher one's goes up.
        other = plane.marks[min(k ^ 1, len(plane.marks) - 1)]
        up = (dots[row, 1], k % 2 == 0) >= (dots[other, 1], k % 2 == 1)
        _tag(axes, dots[row], str(k + 1), "square,pad=0.2", (-11.0, 9.0) if up else (11.0, -9.0))
    for latent, colour in colours.items():
        axes.scatter([], [], s=18, color=colour, label=plane.names[latent])
    if len(set(plane.strongest.tolist())) > len(colours):
        axes.scatter([], [], s=18, color=OTHER, label="others")
    axes.set_xlabel(_axis(plane, 0))
    axes.set_ylabel("(no second component)" if flat else _axis(plane, second))
    if flat:
        axes.set_yticks([])
    axes.margins(0.06)
    legend = figure.legend(loc="outside upper left", ncols=2, columnspacing=1.2, handletextpad=0.2)
    for text in legend.get_texts():
        text.set_parse_math(False)
    return figure


def mixture_figure(names: Sequence[str], tokens: Sequence[int], *, others: bool) -> Figure:
    """Draw how many tokens each of m >= 1 mixtures has, in the order given.

    Args:
        names: of the mixtures.
        tokens: of each.
        others: whether the last is all others together.
    """
    figure = Figure(figsize=(WIDTH, 0.75 + 0.2 * len(names)), layout="constrained")
    axes: Any = figure.subplots()
    place = np.arange(len(names))
    bars = axes.barh(place, tokens, color=PALE_BLUE, height=0.75, linewidth=0)
    if others:
        bars[-1].set_color("#E4E4E4")
    for k, number in enumerate(tokens):
        axes.annotate(f"{number:,}", (number, k), (2, 0), textcoords="offset points", va="center", fontsize=7)
    axes.set_yticks(place, names)
    axes.invert_yaxis()
    axes.tick_params(axis="y", length=0)
    axes.set_xlim(0, 1.1 * max(tokens))
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.set_xlabel("tokens")
    return figure


def colours_of(strongest: Ints) -> dict[int, str]:
    """Return the colours of the members that are strongest on most tokens; of equals, the lower index first."""
    latents, counts = np.unique(strongest[strongest >= 0], return_counts=True)
    ranked = latents[np.lexsort((latents, -counts))].tolist()
    return dict(zip(ranked, COLOURS, strict=False))


def _tag(axes: Any, at: Floats, text: str, shape: str, away: tuple[float, float] = (0.0, 0.0)) -> None:
    """Write a tag at a place, or `away` from it in points with a line to it."""
    box = {"boxstyle": shape, "facecolor": "white", "edgecolor": INK, "linewidth": 0.7, "alpha": 0.9}
    line = {"arrowstyle": "-", "linewidth": 0.7, "color": INK, "shrinkA": 0, "shrinkB": 1.5}
    axes.annotate(
        text,
        (at[0], at[1]),
        away,
        textcoords="offset points",
        ha="center",
        va="center",
        fontsize=6.5,
        zorder=5,
        bbox=box,
        arrowprops=line if any(away) else None,
    )


def _axis(plane: Plane, component: int) -> str:
    return f"component {component + 1} ({plane.explained[component]:.0%} of variance)"
