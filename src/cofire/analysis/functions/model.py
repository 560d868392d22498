"""From the evidence on a cluster to the probabilities of its function.

1. The features: what `function_evidence` found, clipped to the range that the planted clusters have (0.5 to 99.5%; an
   excess to 1.3 at most), so that nothing is extrapolated, and standardised; then their squares and products.
2. Multinomial logistic regression, whose coefficients stand in `coefficients`; bench/calibrate_functions.py
   fits them on planted worlds of DEV_SEEDS. The three functions weigh the same there.
3. Without containment nothing parts a hierarchy from a composition: in both each member fires in full. The two then
   have the same probability.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from cofire.analysis.functions.evidence import Evidence
    from cofire.common.arrays import Floats

CLASSES = ("composition", "ambiguity", "hierarchy")

THRESHOLD = 0.7
"""A function is told where its probability is at least this; else `unclear`. Chosen on DEV_SEEDS: see
docs/structure-and-function.md."""

MIN_TOKENS = 20
"""Fewer shared tokens give no probabilities. It is the smallest number of joint firings that `cofire count` keeps an
edge with, and the fewest that the calibration had."""

FEATURES: dict[str, tuple[str, ...]] = {
    "alone": ("excess", "excess_alone", "magnitude_r", "mode_share", "floor_share", "log_spread"),
    "with": ("excess", "excess_alone", "magnitude_r", "mode_share", "floor_share", "log_spread", "containment"),
}
"""The features of each variant: without containment and with it."""


def features(evidence: Evidence) -> dict[str, float] | None:
    """Return the features of one cluster; None where the sum of its members' strengths is unknown.

    What else is unknown takes the value that tells nothing: excess_alone that of excess, and the correlation 0.
    """
    found = asdict(evidence)
    if found["excess"] is None or found["floor_share"] is None or found["spread"] is None:
        return None
    if found["excess_alone"] is None:
        found["excess_alone"] = found["excess"]
    if found["magnitude_r"] is None:
        found["magnitude_r"] = 0.0
    if found["containment"] is None:
        found["containment"] = 0.0
    found["log_spread"] = float(np.log(max(found["spread"], 0.01)))
    return {name: float(found[name]) for name in FEATURES["with"]}


def design(values: Floats, ranges: Floats) -> Floats:
    """Return the columns of the regression, [C, 1 + f + f (f + 1) / 2], from f features [C, f].

    Args:
        values: [C, f] float64.
        ranges: [4, f] float64: lower bound, upper bound, mean and standard deviation of each feature.
    """
    low, high, mean, sd = ranges
    z = (np.clip(values, low, high) - mean) / sd
    first, second = np.triu_indices(z.shape[1])
    return np.concatenate([np.ones((len(z), 1)), z, z[:, first] * z[:, second]], axis=1)


def probabilities(values: Floats, ranges: Floats, coefficients: Floats) -> Floats:
    """Return the probability of each of CLASSES, [C, 3]; `coefficients` is [3, columns of the design]."""
    logit = design(values, ranges) @ coefficients.T
    logit -= logit.max(axis=1, keepdims=True)
    odds: Floats = np.exp(logit)
    found: Floats = odds / odds.sum(axis=1, keepdims=True)
    return found


def function_probabilities(evidence: Mapping[str, Evidence]) -> dict[str, dict[str, Floats]]:
    """Return, for each variant of FEATURES, uid -> the probabilities [3] of CLASSES, of the clusters that have any."""
    from cofire.analysis.functions.coefficients import COEFFICIENTS, RANGES

    known = {uid: found for uid, one in evidence.items() if (found := features(one)) is not None}
    result: dict[str, dict[str, Floats]] = {}
    for variant, names in FEATURES.items():
        values = np.array([[one[name] for name in names] for one in known.values()]).reshape(-1, len(names))
        p = probabilities(values, np.array(RANGES[variant]), np.array(COEFFICIENTS[variant]))
        result[variant] = dict(zip(known, p, strict=True))
    return result
