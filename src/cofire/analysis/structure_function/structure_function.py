"""How far the shape of a cluster tells what it is for: composition or ambiguity.

1. Clusters of four members and more, each with its weight as a composition and as an ambiguity: 1 or 0 where its
   function is told (`told`), or its two probabilities (`weighted`: every cluster counts, as far as it can be told). The
   function is taken with containment and without (`cofire.analysis.functions.functions`).
2. AUROC of each structure score: the chance that a composition has the higher one (Hanley and McNeil 1982); .5 is
   nothing. And of a logistic regression on all of them, by cross-validation.
3. The uncertainty coefficient U(function | structure label), the share of the function's entropy that the label takes
   away (Theil 1970).
4. Confounds: size, firing frequency and density. Density is both: dense is what a clique *is*, and yet what a cluster
   of frequent latents is whatever its shape. So everything is told twice: with density as a part of the structure
   (`density` among the scores; confounds: size and frequency), and with density as a confound (confounds: all three).
   The first asks what shape in the wide sense tells, the second what is left for the *arrangement* of equally many
   edges.
5. Permutation: functions change places within strata of the confounds (and of the SAE). What a score reaches then on
   average is `expected`: that is what the confounds give; p is the two-sided share of the permutations that lie as far
   from it. Regressions are fitted again each time. The strata are cut from one number, the log odds of composition by a
   logistic regression on the confounds: among clusters of equal odds the function tells nothing of the confounds
   (Rosenbaum and Rubin 1983, the propensity score), however many there are, and one number can be cut finely. What
   goes with a confound in no straight line is not taken away.
6. Bootstrap over clusters: percentile intervals, of the gain over a regression on the confounds alone too. Regressions
   keep the cross-validated scores that they have, so that these intervals tell of the clusters, not of the fit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cofire.analysis.clusters.structure import MIN_SIZE
from cofire.analysis.functions.model import THRESHOLD
from cofire.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

    from cofire.common.arrays import Array, Bools, Floats, Ints
    from cofire.common.progress import Progress

SCORES = ("centralization", "strength_centralization", "core_periphery", "density")
NEEDED = ("size", "frequency", "structure", *SCORES)
WITH, WITHOUT = "with containment", "without containment"
ENDINGS = {WITH: "", WITHOUT: "_alone"}
MIN_EACH = 10
"""Compositions, and ambiguities, (or weights of them) that are needed; with fewer nothing is told."""

PER_STRATUM = 4
"""A stratum holds so many clusters on average. Wider ones leave more of the confounds inside a stratum, where it still
counts; narrower ones leave nothing to change places with. One function in four stays where it is: where the confounds
give nothing, `expected` still has about a quarter of what a score tells."""

FOLDS = 5
RIDGE = 1.0
"""On standardised columns, of the summed log loss: as much as one cluster says."""


@dataclass(frozen=True)
class StructureFunction:
    """What was found.

    Attributes:
        table: one row per number. by: with or without containment. counted: told or weighted. measure: auroc, gain (of
            AUROC over the confounds alone) or uncertainty. of: the score. strata: the confounds. value; low, high: the
            95% interval; expected: the mean over the permutations; p (of the permutation). compositions, ambiguities:
            how many. Null where there are too few, or where a number has no such test: the confounds, and with density
            among these, density and the regression on all scores, of which it is one.
        rows: the clusters that were used, with `told` and `told_alone`: composition, ambiguity or neither.
    """

    table: pd.DataFrame
    rows: pd.DataFrame


def structure_function(
    rows: pd.DataFrame,
    *,
    permutations: int = 2000,
    bootstrap: int = 1000,
    seed: int = 0,
    progress: Progress | None = None,
) -> StructureFunction:
    """Measure how far structure tells composition from ambiguity.

    Cost: about 10 s for 500 clusters.

    Args:
        rows: one row per cluster: size, frequency (mean firing frequency of its members, > 0), structure (a label),
            centralization, strength_centralization, core_periphery, density, function, p_composition, p_ambiguity,
            p_composition_alone, p_ambiguity_alone; and sae, where there are several. Clusters of fewer than four
            members, or with a null score, are left out; but core_periphery, undefined in a complete graph, is 0 there.
        permutations: of the functions within strata.
        bootstrap: resamples of the clusters.
        seed: of both, and of the folds.
        progress: called with (steps done, steps in all).

    Raises:
        InputError: a column is missing.
    """
    import pandas as pd

    wanted = [*NEEDED, "function", *(f"p_{f}{e}" for f in ("composition", "ambiguity") for e in ENDINGS.values())]
    lacking = [name for name in wanted if name not in rows.columns]
    if lacking:
        raise InputError(f"clusters: no column {', '.join(lacking)}; run `cofire analyze` first")
    # A complete graph has no core: the correlation is undefined there, and dropping it would drop every clique.
    rows = rows.assign(core_periphery=rows["core_periphery"].mask(rows["density"] >= 1, 0.0))
    used = rows[(rows["size"] >= MIN_SIZE) & rows[list(SCORES)].notna().all(axis=1)].reset_index(drop=True)
    told: dict[str, Array] = {}
    for by, ending in ENDINGS.items():
        told[by] = _told(used, by)
        used[f"told{ending}"] = told[by]
    cases = [(by, counted) for by in ENDINGS for counted in ("told", "weighted")]
    found: list[dict[str, Any]] = []
    for number, (by, counted) in enumerate(cases):
        if counted == "told":
            positive, negative = ((told[by] == name).astype(np.float64) for name in ("composition", "ambiguity"))
        else:
            positive, negative = (
                used[f"p_{name}{ENDINGS[by]}"].fillna(0.0).to_numpy(np.float64) for name in ("composition", "ambiguity")
            )
        keep = positive + negative > 0
        case = _Case(used[keep], positive[keep], negative[keep], permutations, bootstrap, seed)
        for row in case.measure(lambda done, of, number=number: _tell(progress, number * of + done, len(cases) * of)):  # type: ignore[misc]
            found.append({"by": by, "counted": counted, **row})
    return StructureFunction(pd.DataFrame(found), used)


def _tell(progress: Progress | None, done: int, total: int) -> None:
    if progress is not None:
        progress(done, total)


def _told(rows: pd.DataFrame, by: str) -> Array:
    """Return composition, ambiguity or neither for each row.

    Without containment a hierarchy cannot be told from a composition: there composition means that each member is in
    full, and only the weight between the two counts.
    """
    if by == WITH:
        function = rows["function"].to_numpy(object)
        return np.where(np.isin(function, ("composition", "ambiguity")), function, "neither")
    p, q = (rows[f"p_{name}_alone"].to_numpy(np.float64) for name in ("composition", "ambiguity"))
    share = p / np.where(p + q > 0, p + q, np.nan)
    return np.where(share >= THRESHOLD, "composition", np.where(share <= 1 - THRESHOLD, "ambiguity", "neither"))


class _Case:
    """One way of taking the function: K clusters with a weight as composition and one as ambiguity, float64 [K]."""

    def __init__(
        self, rows: pd.DataFrame, positive: Floats, negative: Floats, permutations: int, bootstrap: int, seed: int
    ) -> None:
        self.rows, self.positive, self.negative = rows, positive, negative
        self.permutations, self.bootstrap = permutations, bootstrap
        self.rng = np.random.default_rng([seed, 31])

    def measure(self, progress: Progress) -> list[dict[str, Any]]:
        """Return the rows of the table."""
        counts = {"compositions": float(self.positive.sum()), "ambiguities": float(self.negative.sum())}
        names = [*SCORES, "all scores"]
        if min(counts.values()) < MIN_EACH:
            progress(1, 1)
            blank = {"value": None, "low": None, "high": None, "expected": None, "p": None}
            return [{"measure": "auroc", "of": name, "strata": None, **blank, **counts} for name in names]
        columns = {name: self.rows[name].to_numpy(np.float64) for name in SCORES}
        structure = np.column_stack(list(columns.values()))
        confounds = {
            "size, frequency": self._confounds(),
            "size, frequency, density": np.column_stack([self._confounds(), columns["density"]]),
        }
        fold = self._folds()
        scores = {**columns, "all scores": self._fitted(structure, fold, self.positive, self.negative)}
        for strata, matrix in confounds.items():
            scores[f"confounds: {strata}"] = self._fitted(matrix, fold, self.positive, self.negative)
            both = np.column_stack([matrix, structure[:, : 3 if "density" in strata else 4]])
            scores[f"confounds and structure: {strata}"] = self._fitted(both, fold, self.positive, self.negative)
        draws = self.rng.multinomial(len(fold), np.full(len(fold), 1 / len(fold)), size=self.bootstrap)
        value = {name: float(auroc(s, self.positive, self.negative)) for name, s in scores.items()}
        drawn = {name: auroc(s, self.positive * draws, self.negative * draws) for name, s in scores.items()}
        found: list[dict[str, Any]] = []
        for place, strata in enumerate(confounds):
            # A confound is no score to be tested against itself.
            free = [name for name in names if "density" not in strata or name not in ("density", "all scores")]
            expected = self._permuted(
                {name: scores[name] for name in free},
                structure,
                fold,
                self._strata(confounds[strata]),
                lambda done, of, place=place: progress(place * of + done, 2 * of),  # type: ignore[misc]
            )
            for name in names:
                tested = _tested(value[name], expected[name]) if name in free else {"expected": None, "p": None}
                found.append(
                    {"measure": "auroc", "of": name, "strata": strata, **_interval(value[name], drawn[name]), **tested}
                )
            alone, together = f"confounds: {strata}", f"confounds and structure: {strata}"
            untested = {"expected": None, "p": None}
            for name in (alone, together):
                of = name.split(":")[0]
                found.append(
                    {"measure": "auroc", "of": of, "strata": strata, **_interval(value[name], drawn[name]), **untested}
                )
            gain = _interval(value[together] - value[alone], drawn[together] - drawn[alone])
            found.append({"measure": "gain", "of": "structure", "strata": strata, **gain, **untested})
            label = np.unique(self.rows["structure"].to_numpy(str), return_inverse=True)[1]
            u = float(uncertainty(label, self.positive, self.negative))
            drawn_u = uncertainty(label, self.positive * draws, self.negative * draws)
            tested = _tested(u, expected["structure label"])
            found.append(
                {"measure": "uncertainty", "of": "structure label", "strata": strata, **_interval(u, drawn_u), **tested}
            )
        return [{**row, **counts} for row in found]

    def _confounds(self) -> Floats:
        found: Floats = np.log(self.rows[["size", "frequency"]].to_numpy(np.float64))
        return found

    def _folds(self) -> Ints:
        """Return the fold of each cluster: compositions and ambiguities spread evenly over them."""
        share = self.positive / (self.positive + self.negative)
        order = np.lexsort((self.rng.random(len(share)), share))
        fold = np.empty(len(share), np.int64)
        fold[order] = np.arange(len(share)) % FOLDS
        return fold

    def _fitted(self, matrix: Floats, fold: Ints, positive: Floats, negative: Floats) -> Floats:
        """Return the log odds of composition of each cluster by a regression that has not seen its fold."""
        result = np.empty(len(fold))
        for k in range(FOLDS):
            seen = fold != k
            result[~seen] = _odds(matrix, seen, positive, negative)[~seen]
        return result

    def _strata(self, confounds: Floats) -> Ints:
        """Return the stratum of each cluster: the SAE, and in it a part of the odds that the confounds [K, m] give.

        The regression has seen every cluster: with cross-validation clusters of equal confounds had unequal odds.
        """
        odds = _odds(confounds, np.ones(len(confounds), np.bool_), self.positive, self.negative)
        sae = self.rows["sae"].to_numpy(str) if "sae" in self.rows else np.full(len(odds), "")
        stratum = np.empty(len(odds), np.int64)
        start = 0
        for one in np.unique(sae):
            at = np.flatnonzero(sae == one)
            parts = max(len(at) // PER_STRATUM, 1)
            # Rounded, so that the order of equal odds is that of the rows on every machine.
            order = np.argsort(np.round(odds[at], 9), kind="stable")
            stratum[at[order]] = start + np.arange(len(at)) * parts // len(at)
            start += parts
        return stratum

    def _permuted(
        self,
        scores: dict[str, Floats],
        structure: Floats,
        fold: Ints,
        stratum: Ints,
        progress: Progress,
    ) -> dict[str, Floats]:
        """Return each number over the permutations of the functions within strata, [permutations]."""
        home = np.argsort(stratum, kind="stable")
        label = np.unique(self.rows["structure"].to_numpy(str), return_inverse=True)[1]
        found: dict[str, list[float]] = {name: [] for name in (*scores, "structure label")}
        for number in range(self.permutations):
            moved = np.empty(len(home), np.int64)
            moved[home] = np.lexsort((self.rng.random(len(home)), stratum))
            positive, negative = self.positive[moved], self.negative[moved]
            for name, score in scores.items():
                if name == "all scores":
                    score = self._fitted(structure, fold, positive, negative)
                found[name].append(float(auroc(score, positive, negative)))
            found["structure label"].append(float(uncertainty(label, positive, negative)))
            progress(number + 1, self.permutations)
        return {name: np.array(values) for name, values in found.items()}


def auroc(score: Floats, positive: Floats, negative: Floats) -> Floats:
    """Return the chance that a positive has the higher score, ties a half, [...]; NaN without either.

    Args:
        score: [K].
        positive: [..., K], weight of each item as a positive, >= 0.
        negative: [..., K], as a negative.
    """
    place = np.unique(score, return_inverse=True)[1]
    order = np.argsort(place, kind="stable")
    starts = np.flatnonzero(np.diff(place[order], prepend=-1))
    high, low = (np.add.reduceat(w[..., order], starts, axis=-1) for w in (positive, negative))
    below = np.cumsum(low, axis=-1) - low / 2
    both = positive.sum(axis=-1) * negative.sum(axis=-1)
    result: Floats = np.where(both > 0, (high * below).sum(axis=-1) / np.where(both > 0, both, 1), np.nan)
    return result


def uncertainty(label: Ints, positive: Floats, negative: Floats) -> Floats:
    """Return U(function | label), [...]: 1 - H(function | label) / H(function); NaN where there is one function only.

    Args:
        label: [K] int, 0 and up.
        positive: [..., K], weight of each item as a composition, >= 0.
        negative: [..., K], as an ambiguity.
    """
    member = label[:, None] == np.arange(label.max() + 1)
    joint = np.stack([positive @ member, negative @ member], axis=-1)
    total = joint.sum(axis=(-2, -1), keepdims=True)
    joint = joint / np.where(total > 0, total, 1)

    def entropy(p: Floats) -> Floats:
        found: Floats = -(p * np.log(np.where(p > 0, p, 1))).sum(axis=-1)
        return found

    whole = entropy(joint.sum(axis=-2))
    given = entropy(joint.reshape(*joint.shape[:-2], -1)) - entropy(joint.sum(axis=-1))
    result: Floats = np.where(whole > 0, 1 - given / np.where(whole > 0, whole, 1), np.nan)
    return result


def _logistic(z: Floats, positive: Floats, negative: Floats) -> Floats:
    """Return the coefficients of a logistic regression with a ridge on all but the first column, by Newton's method."""
    # Both functions weigh the same, so that the rarer one is not lost.
    left, right = positive / max(positive.sum(), 1e-12), negative / max(negative.sum(), 1e-12)
    weight, target = (left + right) * len(z) / 2, left / (left + right)
    ridge = np.diag(np.r_[1e-6, np.full(z.shape[1] - 1, RIDGE)])
    b = np.zeros(z.shape[1])
    for _ in range(25):
        p = 1 / (1 + np.exp(-np.clip(z @ b, -30, 30)))
        gradient = z.T @ (weight * (p - target)) + ridge @ b
        step = np.linalg.solve((z * (weight * p * (1 - p))[:, None]).T @ z + ridge, gradient)
        b -= np.clip(step, -3, 3)
        if np.abs(step).max() < 1e-6:
            break
    return b


def _odds(matrix: Floats, seen: Bools, positive: Floats, negative: Floats) -> Floats:
    """Return the log odds of composition of each row of [K, m], by a regression on those that are `seen`."""
    mean, sd = matrix[seen].mean(axis=0), matrix[seen].std(axis=0)
    z = np.column_stack([np.ones(len(matrix)), (matrix - mean) / np.where(sd > 0, sd, 1)])
    found: Floats = z @ _logistic(z[seen], positive[seen], negative[seen])
    return found


def _interval(value: float, draws: Floats) -> dict[str, float | None]:
    known = draws[np.isfinite(draws)]
    low, high = np.quantile(known, [0.025, 0.975]) if len(known) else (np.nan, np.nan)
    return {"value": value, "low": float(low), "high": float(high)}


def _tested(value: float, null: Floats) -> dict[str, float | None]:
    known = null[np.isfinite(null)]
    if not len(known) or not np.isfinite(value):
        return {"expected": None, "p": None}
    centre = float(known.mean())
    # Rounding must not make equal values differ.
    beyond = np.abs(known - centre) >= abs(value - centre) - 1e-12
    return {"expected": centre, "p": float((1 + beyond.sum()) / (1 + len(known)))}
