"""The report's charts. Each function returns one matplotlib figure; `png` turns it into bytes.

Figures are made without pyplot, so nothing global is kept; `style` sets the fonts and lines for the time of drawing.
Colours are those of Okabe and Ito (2008), which people with any colour vision can tell apart.
"""

from __future__ import annotations

import io
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, StrMethodFormatter

from cofire.common.arrays import Floats, Ints

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


BLUE, ORANGE, GREEN, PURPLE, GREY = "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#9A9A9A"
PALE_BLUE, INK, DPI = "#A9CCE3", "#222222", 200
WIDTH = 5.6
"""Inches. Narrow enough that 8-point text can be read on a phone."""

STRUCTURE_COLOURS = {
    "hub_and_spoke": ORANGE,
    "clique": BLUE,
    "path": GREEN,
    "core_periphery": "#56B4E9",
    "mixed": PURPLE,
    "too_small": "#CFCFCF",
}
MANY_EDGES = 2000

_STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#555555",
    "axes.labelcolor": INK,
    "axes.linewidth": 0.7,
    "xtick.color": "#555555",
    "ytick.color": "#555555",
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "legend.fontsize": 7.5,
    "legend.frameon": False,
    "text.color": INK,
    "figure.dpi": DPI,
}


@contextmanager
def style() -> Iterator[None]:
    """Use cofire's settings, whatever the user's matplotlibrc says; a figure is both made and saved inside."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)
        yield


def png(figure: Figure) -> bytes:
    """Return a figure as PNG, the same bytes for the same picture."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, facecolor="white", metadata={"Software": None})
    return buffer.getvalue()


def firing_frequency(frequency: Floats) -> Figure:
    """Draw the density of log10 of the firing frequency of the live latents: [k] float > 0, k >= 1."""
    figure, axes = _chart(2.9)
    exponents = np.log10(frequency)
    edges = np.histogram_bin_edges(exponents, bins=int(np.clip(2 * len(exponents) ** 0.5, 8, 60)))
    axes.hist(exponents, bins=edges, density=True, color=BLUE, alpha=0.85, edgecolor="white", linewidth=0.3)
    median = float(np.median(frequency))
    axes.axvline(np.log10(median), color=INK, linewidth=1, linestyle="--", label=f"median {median:.2g}")
    axes.set_xlabel("log10 of firing frequency (share of tokens)")
    axes.set_ylabel("density (per decade)")
    axes.legend(loc="upper left")
    return figure


def activation_histograms(panels: Sequence[tuple[str, str, Floats]]) -> Figure:
    """Draw one panel per latent: (heading, line of tokens, [256] counts over u in [0, 4)), 1 to 6 of them."""
    rows = (len(panels) + 1) // 2
    figure = Figure(figsize=(WIDTH, 0.4 + 1.75 * rows), layout="constrained")
    grid = figure.subplots(rows, 2, squeeze=False, sharex=True)
    u = np.arange(256) / 64
    kernel = np.exp(-0.5 * (np.arange(-12, 13) / 4) ** 2)
    for axes, (heading, tokens, counts) in zip(grid.flat, panels, strict=False):
        density = counts * 64 / counts.sum()
        axes.stairs(density, np.append(u, 4.0), fill=True, color=PALE_BLUE, linewidth=0)
        # The last bin also holds all of u >= 4, which must not leak into the curve.
        smooth = np.convolve(density[:-1], kernel, "same") / np.convolve(np.ones(255), kernel, "same")
        axes.plot(u[:-1] + 1 / 128, smooth, color=BLUE, linewidth=1.2)
        axes.axvline(1, color=INK, linewidth=0.9, linestyle="--")
        axes.set_ylim(0, 1.1 * max(float(np.quantile(density[:-1], 0.995)), float(smooth.max())))
        axes.set_xlim(0, 4)
        axes.set_title(f"{heading}\n{tokens}", loc="left", parse_math=False, linespacing=1.35)
        axes.yaxis.set_major_locator(MaxNLocator(3))
        axes.xaxis.set_tick_params(labelbottom=True)
    for axes in grid.flat[len(panels) :]:
        axes.set_axis_off()
    figure.supxlabel("u = (activation − threshold) / (μ − threshold)", fontsize=8.5)
    figure.supylabel("density of firings", fontsize=8.5)
    return figure


def cluster_sizes(sizes: Ints, structures: Sequence[str]) -> Figure:
    """Draw how many clusters have each size, stacked by structure: [k] int >= 2 and [k] labels, k >= 1."""
    figure, axes = _chart(2.9)
    low, labels = _size_classes(int(sizes.max()))
    place = np.searchsorted(low, sizes, side="right") - 1
    names = np.asarray(structures, dtype=object)
    bottom = np.zeros(len(low))
    for name, colour in STRUCTURE_COLOURS.items():
        chosen = names == name
        if not chosen.any():
            continue
        height = np.bincount(place[chosen], minlength=len(low)).astype(float)
        label = "too small (< 4)" if name == "too_small" else name.replace("_", " ")
        axes.bar(range(len(low)), height, bottom=bottom, width=0.8, color=colour, label=label, linewidth=0)
        bottom += height
    axes.set_ylim(0, 1.12 * bottom.max())
    for x, total in enumerate(bottom):
        if total:
            axes.annotate(f"{int(total)}", (x, total), (0, 2), textcoords="offset points", ha="center", fontsize=7)
    axes.set_xticks(range(len(low)), labels)
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.set_xlabel("latents in the cluster")
    axes.set_ylabel("clusters")
    figure.legend(loc="outside upper left", ncols=len(STRUCTURE_COLOURS), columnspacing=1.2, handlelength=1.2)
    return figure


def edge_strength(count: Ints, log_odds: Floats) -> Figure:
    """Draw log_odds against the joint count of each edge: [m] int >= 1 and [m] float, m >= 1."""
    figure, axes = _chart(3.2)
    if len(count) > MANY_EDGES:
        cells = axes.hexbin(
            count, log_odds, xscale="log", gridsize=45, bins="log", mincnt=1, cmap="Blues", linewidths=0.1
        )
        bar = figure.colorbar(cells, ax=axes, pad=0.02, aspect=28)
        bar.set_label("edges per cell")
        bar.outline.set_visible(False)
    else:
        axes.scatter(count, log_odds, s=14, color=BLUE, alpha=0.5, linewidths=0)
        axes.set_xscale("log")
    # Numbers as people write them; 2 and 5 between the powers of ten only where there is room.
    subs = (1, 2, 5) if count.max() < 200 * count.min() else (1,)
    axes.xaxis.set_major_locator(LogLocator(subs=subs))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    if float(log_odds.min()) < 0:
        axes.axhline(0, color=INK, linewidth=0.8, linestyle="--")
    axes.set_xlabel("count (tokens on which both latents fire)")
    axes.set_ylabel("log odds (nats)")
    return figure


def _chart(height: float) -> tuple[Figure, Any]:
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    return figure, figure.subplots()


def _size_classes(largest: int) -> tuple[Ints, list[str]]:
    """Return the lowest size and the label of each class: single sizes to 16, or to 8 and then doubling."""
    if largest <= 16:
        low = list(range(2, largest + 1))
        return np.array(low), [str(x) for x in low]
    low = [*range(2, 9), *(2**k + 1 for k in range(3, 31) if 2**k < largest)]
    high = [x - 1 for x in low[1:]] + [largest]
    # Three-digit ranges take two lines, or neighbours run together.
    names = [f"{x}–{y}" if y < 100 else f"{x}–\n{y}" for x, y in zip(low, high, strict=True)]
    return np.array(low), [str(x) if x == y else name for x, y, name in zip(low, high, names, strict=True)]
