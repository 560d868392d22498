"""Scores of what an analysis says of planted clusters, and of what a count says of planted pairs.

1. `adjusted_rand` (Hubert and Arabie 1985), over the latents of planted clusters that have a function: a latent that
   the analysis puts in no cluster counts as one by itself; latents in no planted cluster are left out.
2. `found_for`: each planted cluster is paired with the found cluster of the largest Jaccard of their members. Below
   LEAST_OVERLAP it is missed.
3. `auroc` of composition against ambiguity by p_composition / (p_composition + p_ambiguity); a planted cluster that was
   missed, or of which nothing is said, counts with .5. Its interval is by bootstrap over the planted clusters.
4. `calibration_error`: of the told label's probability, in ten bins (Guo et al. 2017, arXiv:1706.04599), over those of
   which something is said.
5. `kept_by_case`: of the direct and of the indirect pairs of each case of an `indirect_world` how many edges are kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from cofire.common.arrays import Bools, Floats, Ints, Ints32
from cofire.worlds.clusters import PlantedCluster
from cofire.worlds.indirect import PlantedCase

LEAST_OVERLAP = 1 / 3
"""Least Jaccard of a planted cluster with the found one that stands for it."""

BINS = 10

What = Literal["direct", "indirect", "latents"]


def adjusted_rand(first: npt.ArrayLike, second: npt.ArrayLike) -> float:
    """Return the adjusted Rand index of two partitions of the same n things, each given as n labels; 1 when equal.

    NaN of nothing.

    Raises:
        ValueError: the two are of different lengths.
    """
    import scipy.sparse as sp

    one, two = (np.unique(np.asarray(labels), return_inverse=True)[1] for labels in (first, second))
    if len(one) != len(two):
        raise ValueError(f"partitions of {len(one)} and {len(two)} things cannot be compared")
    if not len(one):
        return float("nan")
    table = sp.coo_array((np.ones(len(one)), (one, two))).tocsr()

    def pairs(counts: Floats) -> float:
        return float((counts * (counts - 1) / 2).sum())

    together = pairs(table.data)
    in_one, in_two = pairs(np.bincount(one).astype(np.float64)), pairs(np.bincount(two).astype(np.float64))
    every = len(one) * (len(one) - 1) / 2
    by_chance = in_one * in_two / every if every else 0.0
    most = (in_one + in_two) / 2
    return 1.0 if most == by_chance else (together - by_chance) / (most - by_chance)


def cluster_ari(planted: Sequence[PlantedCluster], found: Mapping[str, Ints], n_latents: int) -> float:
    """Return the adjusted Rand index of the planted clusters that have a function and the found ones; NaN of none.

    Args:
        planted: the plan, in latents.
        found: uid -> latents, each latent in one at most.
        n_latents: N.
    """
    label = np.arange(n_latents) + len(found)
    for number, members in enumerate(found.values()):
        label[members] = number
    wanted = [(k, member) for k, c in enumerate(planted) if c.function != "none" for member in c.members]
    own, latent = np.array(wanted, np.int64).reshape(-1, 2).T
    return adjusted_rand(own, label[latent])


def found_for(planted: Sequence[PlantedCluster], found: Mapping[str, Ints]) -> list[str | None]:
    """Return the uid of the found cluster that stands for each planted one; None where it was missed."""
    sets = {uid: set(members.tolist()) for uid, members in found.items()}
    chosen: list[str | None] = []
    for cluster in planted:
        own = set(cluster.members)
        overlap = {uid: len(own & other) / len(own | other) for uid, other in sets.items() if own & other}
        best = max(overlap, key=lambda uid: (overlap[uid], uid), default=None)
        chosen.append(best if best is not None and overlap[best] >= LEAST_OVERLAP else None)
    return chosen


def auroc(score: Floats, positive: Bools) -> float:
    """Return the chance that a positive scores above a negative, ties as a half; NaN without one of either."""
    from scipy.stats import rankdata

    n, m = int(positive.sum()), int((~positive).sum())
    if not n or not m:
        return float("nan")
    return float((rankdata(score)[positive].sum() - n * (n + 1) / 2) / (n * m))


def auroc_interval(score: Floats, positive: Bools, *, seed: int = 0, draws: int = 1000) -> tuple[float, float]:
    """Return the 95% interval of `auroc`, by bootstrap within the positives and within the negatives.

    An AUROC of 1 has the interval 1 to 1 by bootstrap, which says nothing; so the lower end is never above that of the
    rule of three for the smaller of the two groups, 1 - 3 / n.
    """
    on, off = np.flatnonzero(positive), np.flatnonzero(~positive)
    if not len(on) or not len(off):
        return float("nan"), float("nan")
    rng = np.random.default_rng(seed)
    drawn = []
    for _ in range(draws):
        rows = np.concatenate([rng.choice(on, len(on)), rng.choice(off, len(off))])
        drawn.append(auroc(score[rows], positive[rows]))
    low, high = np.quantile(drawn, [0.025, 0.975])
    return max(0.0, min(float(low), 1 - 3 / min(len(on), len(off)))), float(high)


def calibration_error(p: Floats, right: Bools) -> float:
    """Return the mean over ten bins of p, by their size, of |share that is right - mean p|; NaN of nothing.

    Args:
        p: float64 [n], the probability of what was told.
        right: bool [n], whether that is the truth.
    """
    if not len(p):
        return float("nan")
    of = np.minimum((p * BINS).astype(np.int64), BINS - 1)
    gap = np.bincount(of, right, minlength=BINS) - np.bincount(of, p, minlength=BINS)
    return float(np.abs(gap).sum() / len(p))


@dataclass(frozen=True)
class Kept:
    """How much of what is planted in one case is said to be direct.

    Attributes:
        case: the case's name.
        what: "direct" or "indirect", pairs that are so in truth; or "latents", those of the direct pairs, which are
            kept where one at least of these is.
        planted: how many there are.
        edges: how many are edges on which something is said, or have one; of the others there is nothing to keep.
        kept: how many of these are said to be direct, or have an edge that is.
    """

    case: str
    what: What
    planted: int
    edges: int
    kept: int

    @property
    def share(self) -> float:
        """Of the edges the share that is kept; NaN of none."""
        return self.kept / self.edges if self.edges else float("nan")

    @property
    def interval(self) -> tuple[float, float]:
        """The 95% interval of `share`, as though pairs were independent; those of one group are not."""
        return wilson_interval(self.kept, self.edges)


def kept_by_case(cases: Iterable[PlantedCase], a: Ints | Ints32, b: Ints | Ints32, direct: Bools) -> list[Kept]:
    """Return what is kept in each case: of the direct pairs, of the indirect ones, of the latents of the direct ones.

    Args:
        cases: the groups of an `indirect_world`.
        a: int64 or int32 [M], lower latents of the edges of which it is said whether they are direct.
        b: of the same kind [M], higher latents.
        direct: bool [M].
    """
    said = {(i, j): kept for i, j, kept in zip(a.tolist(), b.tolist(), direct.tolist(), strict=True)}
    totals: dict[tuple[str, What], Ints] = {}

    def add(case: str, what: What, planted: int, kept: Sequence[bool]) -> None:
        if planted:
            counts = np.array([planted, len(kept), sum(kept)])
            totals[case, what] = totals.get((case, what), np.zeros(3, np.int64)) + counts

    for case in cases:
        direct_edges = [(i, j) for i, j in case.direct.tolist() if (i, j) in said]
        add(case.name, "direct", len(case.direct), [said[pair] for pair in direct_edges])
        indirect_edges = [(i, j) for i, j in case.indirect.tolist() if (i, j) in said]
        add(case.name, "indirect", len(case.indirect), [said[pair] for pair in indirect_edges])
        joined = {i for pair in direct_edges for i in pair}
        still = {i for pair in direct_edges if said[pair] for i in pair}
        add(case.name, "latents", len(np.unique(case.direct)), [i in still for i in joined])
    return [Kept(case, what, *(int(n) for n in counts)) for (case, what), counts in totals.items()]


def wilson_interval(successes: int, n: int) -> tuple[float, float]:
    """Return the 95% score interval of a share (Wilson 1927); NaN of nothing."""
    if not n:
        return float("nan"), float("nan")
    z = 1.959963984540054
    share = successes / n
    middle = share + z * z / (2 * n)
    half = z * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, float(middle - half) / (1 + z * z / n)), min(1.0, float(middle + half) / (1 + z * z / n))
