"""Clusters of latents that co-fire: Leiden communities of the co-firing graph that hold over resolutions and errors.

    1. keep the edges with log_odds > 0 (a pair that co-fires less than by chance holds nothing together);
    2. partition the latents with Leiden (Traag, Waltman and van Eck 2019, Sci. Rep. 9:5233), maximising the constant
       Potts model (CPM; Traag, Van Dooren and Nesterov 2011, Phys. Rev. E 84:016114)

           H = sum over clusters of (sum of log_odds inside) - resolution * (pairs inside),

       at many resolutions, each many times with the log_odds drawn anew within their error (`sweep`);
    3. take the longest plateau, the stretch of resolutions over which these partitions agree, if it spans a factor of
       LONG or nearly all of the sweep, else all resolutions; its consensus (`consensus`) is the finest
       level;
    4. the plateaus at lower resolutions make coarser levels: consensus partitions whose atoms are the clusters of the
       level below, so that levels nest;
    5. drop the latents that are alone, describe the rest (see `structure`), and name each cluster after
       its members, so that the name does not depend on the run.

What a resolution means under CPM: it is a log_odds. Two clusters are joined when the mean log_odds over *all* pairs
between them, absent edges counted as 0, exceeds it; so the pairs inside a cluster average more than it and the pairs
between two clusters less. At a given resolution what a cluster is does not depend on the rest of the graph (CPM has no
resolution limit); which resolutions the sweep looks at and which it takes does.

Without a long plateau no resolution is singled out, and the consensus over all of them joins latents that are together
over more than half of the range, in the logarithm; `pooled` in the figures says so. The one resolution of the highest
mean AMI was tried in its place: in six planted graphs without a plateau (DEV_SEEDS 11 to 13, 5 and 10 chance edges a
latent) it gave an ARI of .51-.88, the consensus over all .78-.86; between two seeds the consensus at one given
resolution agreed by an AMI of .88-.96, that over all by .96 (two SAEs of SmolLM2). Shorter plateaus were tried too: an
ARI as low as .26 where the consensus over all gave .94. A random graph has clusters as well: what tells them from found
ones is `plateau_ami`, a mean agreement (about .5 to .66 there), and the comparison with rewired graphs
(cofire.analysis.nulls.nulls).
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cofire.analysis.clusters.consensus import consensus
from cofire.analysis.clusters.leiden import Objective
from cofire.analysis.clusters.structure import NUMBERS, Structure, structure
from cofire.analysis.clusters.sweep import RESOLUTIONS, Plateau, Sweep, WeightedGraph, plateaus, sweep
from cofire.errors import InputError
from cofire.schema.tables import CLUSTERS, MEMBERS

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from cofire.common.arrays import Floats, Ints, Ints32
    from cofire.common.progress import Progress

LONG = 8.0
"""Highest / lowest resolution of the plateau that makes the finest level, at the least. In 135 planted graphs
(DEV_SEEDS 11 to 13; stars, cliques and mixtures, 0 to 5 chance edges a node) plateaus of 8 and more gave an ARI of .98
to 1 (with a range that began lower than it does now); shorter ones, where one was there at all, .26 to 1."""
COARSER = 2.0
"""The same of a plateau that makes a coarser level."""


@dataclass(frozen=True)
class Clusters:
    """The clusters of one SAE.

    Attributes:
        clusters: table (cofire.schema.tables.CLUSTERS), sorted by cluster; all levels.
        members: table (MEMBERS), sorted by cluster and latent; those of level 0.
        figures: `levels`, and of a sweep: `n_plateaus` (those that made a level); `pooled` (1 where no plateau was
            long enough, so that level 0 is the consensus over all resolutions, else 0); `plateau_low`,
            `plateau_high`, `plateau_ami` of the resolutions that level 0 was made from (the AMI is the mean
            agreement, not the best: within and between each two of a plateau, within and between neighbours where
            pooled; all 0 where every partition was trivial and the clusters are the connected components);
            `bootstrap` (the partitions of which level 0 is the consensus).
        sweep: one row a resolution, ascending, to be drawn: resolution, within, between (with the next resolution;
            None of the last), clusters, largest, alone (see `sweep.Sweep`), level (None: in none).
            Empty where one resolution was asked for.
    """

    clusters: pa.Table
    members: pa.Table
    figures: dict[str, int | float]
    sweep: list[dict[str, Any]]


@dataclass(frozen=True)
class _Level:
    """Clusters of one level: labels [n], -1 for latents that are in none; stability by label."""

    resolution: float
    labels: Ints
    stability: Floats | None


def find_clusters(
    sae_uid: str,
    edges: pa.Table | pd.DataFrame,
    *,
    resolution: float | None = None,
    objective: Objective = "cpm",
    seed: int = 0,
    runs: int = 20,
    work: Path | None = None,
    processes: int | None = None,
    progress: Progress | None = None,
) -> Clusters:
    """Cluster the latents of one SAE by their co-firing edges.

    The result depends on the set of edges and on resolution, objective, seed and runs alone, not on the order of the
    rows. Edges with log_odds <= 0 take no part, neither in the partition nor in density, strength and the other
    numbers.

    Args:
        sae_uid: The SAE's uid, the start of each cluster's uid.
        edges: Columns a, b (int, latent indices, each pair once), log_odds (float, nats) and, without a resolution,
            log_odds_se (its standard error); others are ignored.
        resolution: One resolution, >= 0, in nats under CPM, at which Leiden is run once until nothing changes; 0
            gives the connected components. None: the sweep.
        objective: "cpm", or "modularity" (Newman and Girvan 2004, with Reichardt and Bornholdt's resolution, 1 being
            the usual one), whose clusters depend on the size of the whole graph.
        seed: Seed of everything, 0 <= seed < 2^31.
        runs: Partitions at each resolution of the sweep, >= 2.
        work: Folder in which an interrupted sweep finds what it had done; the caller removes it in the end.
        processes: How many share the sweep; see `sweep`.
        progress: Called with (steps done, steps in all) during the sweep.

    Returns:
        The clusters and members tables and what the sweep found; no rows without any edge of positive log_odds.

    Raises:
        InputError: A log_odds or its error is null or not finite, a pair stands twice or is a loop, or resolution,
            objective, seed or runs is out of range.
    """
    if resolution is not None and not (math.isfinite(resolution) and resolution >= 0):
        raise InputError(f"resolution {resolution}: not a finite number >= 0; 0.05 to 2 is usual")
    if objective not in ("cpm", "modularity"):
        raise InputError(f"objective '{objective}': unknown; give cpm or modularity")
    if not 0 <= seed < 2**31:
        raise InputError(f"seed {seed}: out of range; give 0 to {2**31 - 1}")
    if runs < 2:
        raise InputError(f"runs {runs}: too few to compare; give 2 and more, 20 is usual")
    a, b, log_odds, error = _positive_edges(edges, with_error=resolution is None)
    latents = np.unique(np.concatenate([a, b]))
    ends = np.searchsorted(latents, np.stack([a, b], axis=1))
    figures: dict[str, int | float] = {}
    rows: list[dict[str, Any]] = []
    levels: list[_Level] = []
    if resolution is not None:
        levels = [_Level(resolution, _leiden(len(latents), ends, log_odds, resolution, objective, seed), None)]
    elif len(latents):
        graph = WeightedGraph(len(latents), ends, log_odds, error)
        # One step more than the sweep's, for what comes after it.
        total = RESOLUTIONS * (runs + 1) + 1
        step = None if progress is None else _of(progress, total)
        swept = sweep(graph, objective=objective, seed=seed, runs=runs, work=work, processes=processes, progress=step)
        levels, figures, rows = _levels(graph, swept, seed)
        if progress is not None:
            progress(total, total)
    described = _described(sae_uid, latents, a, b, log_odds, ends, levels, seed)
    return Clusters(*described, {**figures, "levels": len(levels)}, rows)


def _of(progress: Progress, total: int) -> Progress:
    """Tell another total."""
    return lambda done, _: progress(done, total)


def _levels(
    graph: WeightedGraph, found: Sweep | None, seed: int
) -> tuple[list[_Level], dict[str, int | float], list[dict[str, Any]]]:
    """Make the levels of a sweep, the finest first, the figures and the rows."""
    if found is None:
        import igraph

        components = igraph.Graph(n=graph.n, edges=graph.ends).connected_components().membership
        none = {
            "n_plateaus": 0,
            "pooled": 0,
            "plateau_low": 0.0,
            "plateau_high": 0.0,
            "plateau_ami": 0.0,
            "bootstrap": 0,
        }
        return [_Level(0.0, np.asarray(components, dtype=np.int64), None)], none, []
    chosen = plateaus(found, shortest=LONG)[:1]
    base = chosen[0] if chosen else _whole(found)
    middle = math.sqrt(base.low * base.high)
    coarser = plateaus(found, shortest=COARSER, below=base.low if chosen else middle)
    levels: list[_Level] = []
    level_of: dict[int, int] = {}
    for plateau in (base, *coarser):
        taken = found.partitions[plateau.first : plateau.last + 1].reshape(-1, graph.n)
        labels = np.full(graph.n, -1)
        if not levels:
            labels = consensus(taken, seed=seed)
            labels[np.bincount(labels)[labels] == 1] = -1
            _, labels[labels >= 0] = np.unique(labels[labels >= 0], return_inverse=True)
        else:
            held = levels[-1].labels >= 0
            labels[held] = consensus(taken[:, held], atoms=levels[-1].labels[held], seed=seed)
            if labels.max() == levels[-1].labels.max():
                continue
        # Without a plateau the coarser ones lie within the resolutions of level 0, and are drawn on top of it.
        level_of |= dict.fromkeys(range(plateau.first, plateau.last + 1), len(levels))
        levels.append(_Level(math.sqrt(plateau.low * plateau.high), labels, _stability(labels, taken)))
    figures = {
        "n_plateaus": len(levels) - (0 if chosen else 1),
        "pooled": 0 if chosen else 1,
        "plateau_low": base.low,
        "plateau_high": base.high,
        "plateau_ami": base.ami,
        "bootstrap": (base.last - base.first + 1) * found.partitions.shape[1],
    }
    rows = [
        {
            "resolution": float(found.resolutions[i]),
            "within": float(found.agreement[i, i]),
            "between": float(found.agreement[i, i + 1]) if i + 1 < len(found.resolutions) else None,
            "clusters": float(found.clusters[i]),
            "largest": float(found.largest[i]),
            "alone": float(found.alone[i]),
            "level": level_of.get(i),
        }
        for i in range(len(found.resolutions))
    ]
    return levels, figures, rows


def _whole(found: Sweep) -> Plateau:
    """Return all resolutions of a sweep, with the mean agreement within one and between neighbours."""
    within, between = np.diag(found.agreement), np.diag(found.agreement, 1)
    low, high = float(found.resolutions[0]), float(found.resolutions[-1])
    return Plateau(0, len(within) - 1, low, high, float(np.concatenate([within, between]).mean()))


def _stability(labels: Ints, runs: Ints32) -> Floats:
    """Return of each cluster the mean over the runs [R, n] of its best Jaccard overlap with a cluster of the run."""
    held = labels >= 0
    sizes = np.bincount(labels[held])
    total = np.zeros(len(sizes))
    for run in runs:
        other = np.bincount(run)
        pair, shared = np.unique(labels[held] * len(other) + run[held], return_counts=True)
        mine, theirs = np.divmod(pair, len(other))
        best = np.zeros(len(sizes))
        np.maximum.at(best, mine, shared / (sizes[mine] + other[theirs] - shared))
        total += best
    return total / len(runs)


def _described(
    sae_uid: str,
    latents: Ints,
    a: Ints,
    b: Ints,
    log_odds: Floats,
    ends: Ints,
    levels: list[_Level],
    seed: int,
) -> tuple[pa.Table, pa.Table]:
    """Describe the clusters of all levels; one that a coarser level leaves as it is stands once, at its finest."""
    import pyarrow as pa

    clusters: dict[str, dict[str, Any]] = {}
    members: list[dict[str, Any]] = []
    uid_of = np.full(len(latents), "", dtype=object)
    for number, level in enumerate(levels):
        inside = np.flatnonzero(level.labels[ends[:, 0]] == level.labels[ends[:, 1]])
        edges_of = _groups(level.labels[ends[inside, 0]], inside)
        for label, nodes in _groups(level.labels, np.arange(len(latents))).items():
            if label < 0 or len(nodes) < 2:
                continue
            indices = latents[nodes]
            uid = _uid(sae_uid, indices)
            if uid in clusters:
                continue
            for child in set(uid_of[nodes]) - {""}:
                clusters[child]["parent"] = uid
            uid_of[nodes] = uid
            chosen = edges_of.get(label, np.array([], dtype=np.int64))
            shape = structure(indices, a[chosen], b[chosen], log_odds[chosen])
            clusters[uid] = {
                "cluster": uid,
                "size": len(indices),
                "level": number,
                "parent": None,
                "resolution": float(level.resolution),
                "stability": None if level.stability is None else float(level.stability[label]),
                "seed": seed,
                **_numbers(shape),
            }
            if number == 0:
                members.extend(
                    {"cluster": uid, "latent": latent, "role": role, "strength": strength}
                    for latent, role, strength in zip(
                        indices.tolist(), shape.roles, shape.strength.tolist(), strict=True
                    )
                )
    members.sort(key=lambda row: (row["cluster"], row["latent"]))
    return (
        pa.Table.from_pylist([clusters[uid] for uid in sorted(clusters)], schema=CLUSTERS.arrow_schema()),
        pa.Table.from_pylist(members, schema=MEMBERS.arrow_schema()),
    )


def _numbers(shape: Structure) -> dict[str, Any]:
    """Return the columns that describe a cluster's structure."""
    return {
        "structure": shape.label,
        "structure_p": shape.structure_p,
        **{name: getattr(shape, name) for name in NUMBERS},
    }


def _positive_edges(edges: pa.Table | pd.DataFrame, *, with_error: bool) -> tuple[Ints, Ints, Floats, Floats]:
    """Return a, b, log_odds, log_odds_se [m] of the edges with log_odds > 0, a < b, sorted by (a, b).

    The errors are 0 when they are not asked for.
    """
    columns = edges.column_names if hasattr(edges, "column_names") else list(edges.columns)
    measured = ("log_odds", "log_odds_se") if with_error else ("log_odds",)
    missing = [name for name in ("a", "b", *measured) if name not in columns]
    if missing:
        raise InputError(f"edges table: no column {', '.join(missing)}; run `cofire count` again")
    first, second = (np.asarray(edges[name], dtype=np.int64) for name in ("a", "b"))
    # A null arrives as NaN, from Arrow and from pandas alike.
    values = {name: np.asarray(edges[name], dtype=np.float64) for name in measured}
    for name, column in values.items():
        wrong = np.flatnonzero(~np.isfinite(column) | ((column < 0) & (name == "log_odds_se")))
        if len(wrong):
            row = wrong[0]
            raise InputError(
                f"edges table: {name} is null or not finite{' or negative' if name == 'log_odds_se' else ''} in "
                f"{len(wrong)} rows, first for latents {first[row]} and {second[row]}; run `cofire count` again"
            )
    log_odds = values["log_odds"]
    error = values.get("log_odds_se", np.zeros(len(log_odds)))
    a, b = np.minimum(first, second), np.maximum(first, second)
    order = np.lexsort((b, a))
    a, b, log_odds, error = a[order], b[order], log_odds[order], error[order]
    bad = a == b
    bad[1:] |= (np.diff(a) == 0) & (np.diff(b) == 0)
    if bad.any():
        row = int(bad.argmax())
        raise InputError(
            f"edges table: the pair {a[row]}, {b[row]} is a loop or stands twice; run `cofire count` again"
        )
    keep = log_odds > 0
    return a[keep], b[keep], log_odds[keep], error[keep]


def _leiden(
    n: int,
    ends: Ints,
    log_odds: Floats,
    resolution: float,
    objective: Objective,
    seed: int,
) -> Ints:
    """Return the community number of each of n nodes, by leidenalg."""
    import igraph
    import leidenalg

    if n == 0:
        return np.array([], dtype=np.int64)
    partition = leidenalg.find_partition(
        igraph.Graph(n=n, edges=ends),
        leidenalg.CPMVertexPartition if objective == "cpm" else leidenalg.RBConfigurationVertexPartition,
        weights=log_odds.tolist(),
        resolution_parameter=resolution,
        n_iterations=-1,
        seed=seed,
    )
    return np.asarray(partition.membership, dtype=np.int64)


def _groups(number: Ints, items: Ints) -> dict[int, Ints]:
    """Group `items` [k] by `number` [k], the order inside a group kept."""
    order = np.argsort(number, kind="stable")
    numbers, starts = np.unique(number[order], return_index=True)
    # Without items, np.split still returns one (empty) part: hence no strict zip.
    parts = np.split(items[order], starts[1:])
    return dict(zip(numbers.tolist(), parts, strict=False))


def _uid(sae_uid: str, indices: Ints) -> str:
    """Name a cluster after its members (ascending), so that a re-run and a re-load find the same node."""
    text = ",".join(str(i) for i in indices.tolist())
    return f"{sae_uid}/c-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
