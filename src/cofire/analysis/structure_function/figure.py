"""The figure of `structure_function`: what each score tells, and where the clusters lie."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from cofire.analysis.report.charts import BLUE, GREY, INK, ORANGE, WIDTH
from cofire.analysis.structure_function.structure_function import SCORES, WITH, WITHOUT

if TYPE_CHECKING:
    from cofire.analysis.structure_function.structure_function import StructureFunction

_FUNCTIONS = {"composition": ORANGE, "ambiguity": BLUE}
_LINES = [*SCORES, "all scores", "confounds", "confounds and structure"]


def structure_function_figure(found: StructureFunction, *, counted: str = "weighted") -> Figure:
    """Draw the AUROC of each score with its interval, and the clusters by density and centralisation.

    Args:
        found: of `structure_function`.
        counted: told or weighted.
    """
    figure = Figure(figsize=(WIDTH, 5.6), layout="constrained")
    forest, plane = figure.subplots(2, 1, height_ratios=[1.15, 1])
    table = found.table
    table = table[
        (table["counted"] == counted) & (table["measure"] == "auroc") & (table["strata"] == "size, frequency")
    ]
    for by, colour, shift in ((WITH, INK, -0.15), (WITHOUT, GREY, 0.15)):
        part = table[(table["by"] == by)]
        numbers = part[["value", "low", "high", "expected"]].to_numpy(np.float64)
        for row, name in enumerate(_LINES):
            at = np.flatnonzero((part["of"] == name).to_numpy())
            if len(at) != 1 or not np.isfinite(numbers[at[0], 0]):
                continue
            value, low, high, expected = numbers[at[0]].tolist()
            forest.plot([low, high], [row + shift] * 2, color=colour, linewidth=1.2)
            forest.plot(value, row + shift, "o", color=colour, markersize=4, label=by if row == 0 else None)
            if np.isfinite(expected):
                forest.plot(expected, row + shift, "|", color="#D55E00", markersize=7, markeredgewidth=1.4)
    forest.plot([], [], "|", color="#D55E00", markersize=7, label="what size and frequency give")
    forest.axvline(0.5, color=INK, linewidth=0.8, linestyle="--")
    forest.set_yticks(range(len(_LINES)), [name.replace("_", " ") for name in _LINES])
    forest.set_ylim(len(_LINES) - 0.5, -0.5)
    forest.set_xlim(0, 1)
    forest.set_xlabel("AUROC: chance that a composition has the higher score")
    figure.legend(loc="outside upper left", ncols=3, columnspacing=1.2, handlelength=1.2)
    rows = found.rows
    other = ~rows["told"].isin(list(_FUNCTIONS)).to_numpy()
    # Ties would hide each other; the shift is fixed, not drawn.
    nudge = 0.012 * np.stack([np.cos(np.arange(len(rows)) * 2.4), np.sin(np.arange(len(rows)) * 2.4)])
    x, y = rows["density"].to_numpy(np.float64) + nudge[0], rows["centralization"].to_numpy(np.float64) + nudge[1]
    plane.scatter(x[other], y[other], s=7, color="#CFCFCF", linewidths=0, label="unclear or hierarchy")
    for name, colour in _FUNCTIONS.items():
        chosen = (rows["told"] == name).to_numpy()
        plane.scatter(x[chosen], y[chosen], s=11, color=colour, alpha=0.75, linewidths=0, label=name)
    plane.set_xlabel("density")
    plane.set_ylabel("centralisation")
    plane.set_xlim(-0.03, 1.03)
    plane.set_ylim(-0.03, 1.03)
    plane.legend(loc="upper right")
    return figure
