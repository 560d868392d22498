"""What clusters and motifs of a co-firing graph look like when nothing but degrees and frequencies holds it together.

    1. Rewire the SAE's graph of edges with log_odds > 0 (`rewire`): degrees are kept, and weights stay
       among pairs of latents of the same frequencies. Rewiring inside one cluster would leave its density as it is.
    2. Cluster each rewired graph by one Leiden run at the resolution of each level, and at a half and a quarter of the
       lowest; describe its clusters by the seven numbers of cofire.analysis.clusters.structure; count its motifs
       (cofire.analysis.motifs.counts).
    3. Compare a cluster with the null clusters of equal size, a motif count with the null counts:
       z = (value - mean) / standard deviation.

Equal size: the size itself, then one more and one less, and so on until LEAST_POOL null clusters are found, but never
further off than a quarter of the size. A rewired graph falls into smaller clusters than the SAE's own: where the
cluster's own resolution gives too few of its size, the next lower one is looked at, and so on (`null_resolution` says
which was taken; the lower it is, the looser the null clusters, and the larger z of density). Where none gives LEAST_Z
there is no z: clusters of that size do not come about by chance, which is a finding too (`null_clusters` is near 0).
Nor has a number a z that fewer than LEAST_Z null clusters have, or in which they do not differ.

A z tells that a cluster's shape is not what degrees and frequencies alone give. Null clusters are chosen by Leiden as
the real ones are, so that the dense look that any clustering gives is no evidence; but they come from single runs,
where real ones may be a consensus. They are not normally distributed: tests/unit/analysis/test_nulls.py has the share
beyond 3.
"""

from __future__ import annotations

import contextlib
import hashlib
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cofire.analysis.clusters.leiden import Objective, leiden
from cofire.analysis.clusters.members import cluster_members
from cofire.analysis.clusters.numbers import cluster_numbers
from cofire.analysis.clusters.structure import MIN_SIZE, NUMBERS
from cofire.analysis.motifs.counts import Counts, count_motifs
from cofire.analysis.nulls.rewire import rewire, strata_of
from cofire.common.files import read_arrays, write_arrays
from cofire.common.processes import Tick, make_parts
from cofire.errors import InputError
from cofire.schema.tables import CLUSTER_NULLS, MOTIF_COUNTS

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from cofire.common.arrays import Array, Floats, Ints
    from cofire.common.progress import Progress

LEAST_POOL = 50
"""Null clusters up to which neighbouring sizes are taken in."""

LADDER = (2, 4)
"""The lowest level's resolution is divided by these, too."""

LEAST_Z = 20
"""Null clusters below which a mean and a standard deviation tell nothing."""

ALONE_EDGES = 5_000
"""Edges below which one process takes a few seconds."""

_SAME = 1e-6
"""A standard deviation below it is rounding: numbers of equal clusters."""

_VERSION = 1


@dataclass(frozen=True)
class Nulls:
    """The comparison with rewired graphs.

    Attributes:
        clusters: the table cluster_nulls, one row per cluster, sorted by uid.
        motifs: the table motif_counts.
        figures: rewires; null_clusters, of four latents and more, in all; clusters_of_four, those that could have a z;
            clusters_with_z, those whose density has one.
    """

    clusters: pa.Table
    motifs: pa.Table
    figures: dict[str, int | float]


@dataclass(frozen=True)
class _Graph:
    """The graph of an SAE: its latents, ends [m, 2] as positions among them, weights and strata."""

    latents: Ints
    ends: Ints
    weights: Floats
    stratum: Ints


@dataclass(frozen=True)
class _Drawn:
    """What one rewired graph gave: per null cluster its level's place and size, and its numbers [k, 7]; the motifs."""

    level: Ints
    size: Ints
    numbers: Floats
    motifs: Counts


def cluster_nulls(
    edges: pa.Table | pd.DataFrame,
    firing_count: Ints,
    clusters: pa.Table,
    members: pa.Table,
    *,
    objective: Objective = "cpm",
    rewires: int = 200,
    seed: int = 0,
    work: Path | None = None,
    processes: int | None = None,
    progress: Progress | None = None,
) -> Nulls:
    """Compare the clusters and the motifs of an SAE with those of rewired graphs.

    Args:
        edges: columns a, b (int, latent indices, each pair once), log_odds (float, nats).
        firing_count: int64 [N], of every latent of the SAE.
        clusters: columns cluster, level, parent, resolution (cofire.schema.tables.CLUSTERS).
        members: columns cluster, latent, of level 0.
        objective: of the Leiden runs, as the clusters were made.
        rewires: rewired graphs, at least 2.
        seed: 0 <= seed < 2^31; the same gives the same tables.
        work: a directory where each rewired graph's figures are kept, so that a run that was stopped goes on; the
            caller removes it. What other input left there is thrown away. None: a temporary one.
        processes: how many take part; None: one for a graph of few edges, else see `make_parts`. It changes nothing
            in the result.
        progress: called with (rewired graphs done, all).

    Returns:
        The tables.

    Raises:
        InputError: fewer than 2 rewires, a latent of an edge has no firing count, or a member of a cluster no edge.
    """
    if rewires < 2:
        raise InputError(f"rewires {rewires}: a standard deviation needs 2 and more; 200 is usual")
    graph = _graph(edges, firing_count)
    resolutions = _ladder(clusters.column("resolution").to_pylist())
    observed = _observed(graph, clusters, members)
    counted = count_motifs(len(graph.latents), graph.ends)
    largest = max([4, *(size for (kind, size), many in counted.items() if kind == "clique" and many is not None)])

    pool = _Pool(len(resolutions), len(graph.latents))
    null_motifs: list[Counts] = []
    with contextlib.ExitStack() as stack:
        folder = work or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cofire-nulls-")))
        mark = _fingerprint(graph, resolutions, objective, seed, largest)
        folder.mkdir(parents=True, exist_ok=True)
        for file in folder.glob("rewire-*"):
            if not file.name.startswith(f"rewire-{mark}-") or file.suffix == ".part":
                file.unlink(missing_ok=True)
        job = _Rewired(graph, resolutions, objective, seed, largest, rewires, folder, mark)

        def tell(done: float) -> None:
            if progress is not None:
                progress(round(done), rewires)

        make_parts(job, processes=processes or (1 if len(graph.ends) < ALONE_EDGES else None), tell=tell)
        for number in range(rewires):
            drawn = _read(job.path(number))
            pool.add(drawn)
            null_motifs.append(drawn.motifs)
    rows = [
        _row(uid, pool, resolutions, resolutions.index(resolution), size, values)
        for uid, resolution, size, values in sorted(observed, key=lambda one: one[0])
    ]
    figures: dict[str, int | float] = {
        "rewires": rewires,
        "null_clusters": pool.clusters,
        "clusters_of_four": sum(size >= MIN_SIZE for _, _, size, _ in observed),
        "clusters_with_z": sum(row["density_z"] is not None for row in rows),
    }
    return Nulls(_table(rows, CLUSTER_NULLS), _table(_motif_rows(counted, null_motifs), MOTIF_COUNTS), figures)


def _ladder(levels: list[float]) -> list[float]:
    """Return the resolutions at which rewired graphs are clustered, highest first."""
    lowest = min(levels, default=0.0)
    return sorted({*levels, *(lowest / step for step in LADDER)}, reverse=True) if levels else []


def _graph(edges: pa.Table | pd.DataFrame, firing_count: Ints) -> _Graph:
    log_odds = np.asarray(edges["log_odds"], dtype=np.float64)
    keep = log_odds > 0
    pairs = np.stack([np.asarray(edges[name], dtype=np.int64)[keep] for name in ("a", "b")], axis=1)
    pairs.sort(axis=1)
    order = np.lexsort((pairs[:, 1], pairs[:, 0]))
    latents = np.unique(pairs)
    if len(latents) and latents[-1] >= len(firing_count):
        raise InputError(
            f"edges table: latent {latents[-1]}, but there are firing counts of {len(firing_count)} latents only; run "
            "`cofire count` again"
        )
    stratum = strata_of(np.asarray(firing_count, dtype=np.int64)[latents])
    return _Graph(latents, np.searchsorted(latents, pairs[order]), log_odds[keep][order], stratum)


def _observed(graph: _Graph, clusters: pa.Table, members: pa.Table) -> list[tuple[str, float, int, Floats]]:
    """Return (uid, resolution, size, numbers [7]) of every cluster; NaN where a number is undefined."""
    of = cluster_members(clusters, members)
    found = {}
    rows = clusters.select(["cluster", "level", "resolution"]).to_pylist()
    for level in sorted({row["level"] for row in rows}):
        community = np.full(len(graph.latents), -1, dtype=np.int64)
        uids = [row["cluster"] for row in rows if row["level"] == level]
        for number, uid in enumerate(uids):
            places = np.searchsorted(graph.latents, of[uid])
            if not np.isin(of[uid], graph.latents).all():
                raise InputError(f"members table: a latent of {uid} has no edge; run `cofire analyze` again")
            community[places] = number
        chosen, _, numbers = cluster_numbers(community, graph.ends, graph.weights)
        found.update({uids[number]: values for number, values in zip(chosen.tolist(), numbers, strict=True)})
    nothing = np.full(len(NUMBERS), np.nan)
    return [
        (row["cluster"], row["resolution"], len(of[row["cluster"]]), found.get(row["cluster"], nothing)) for row in rows
    ]


def _draw(
    graph: _Graph, resolutions: list[float], objective: Objective, seed: tuple[int, int], largest_clique: int
) -> _Drawn:
    """Rewire the graph once, cluster it at each resolution, and count its motifs."""
    import igraph

    n = len(graph.latents)
    ends, weights = rewire(graph.ends, graph.weights, graph.stratum, seed=seed)
    rewired = igraph.Graph(n=n, edges=ends)
    parts = []
    for level, resolution in enumerate(resolutions):
        own = int(np.random.default_rng((*seed, level)).integers(2**31))
        community = leiden(rewired, weights, resolution=resolution, seed=own, objective=objective)
        _, sizes, numbers = cluster_numbers(community, ends, weights)
        parts.append((np.full(len(sizes), level), sizes, numbers))
    level_of, size, numbers = (np.concatenate(part) for part in zip(*parts, strict=True)) if parts else _NOTHING
    return _Drawn(level_of, size, numbers, count_motifs(n, ends, largest_clique=largest_clique))


_NOTHING = (np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros((0, len(NUMBERS))))


@dataclass(frozen=True)
class _Rewired:
    """The figures of each rewired graph, each a file in `folder` (a job of cofire.common.processes)."""

    graph: _Graph
    resolutions: list[float]
    objective: Objective
    seed: int
    largest_clique: int
    parts: int
    folder: Path
    mark: str

    def path(self, part: int) -> Path:
        # A helper of a killed run of another graph might yet write: its file has another name.
        return self.folder / f"rewire-{self.mark}-{part:05d}.npz"

    def make(self, part: int, tick: Tick) -> None:  # noqa: ARG002 - too short to tell of
        drawn = _draw(self.graph, self.resolutions, self.objective, (self.seed, part), self.largest_clique)
        write_arrays(self.path(part), _arrays(drawn), shared=True)


def _fingerprint(graph: _Graph, resolutions: list[float], objective: str, seed: int, largest_clique: int) -> str:
    """Return a digest of all that a rewired graph's figures depend on, 16 hex digits."""
    text = hashlib.sha256(repr((_VERSION, resolutions, objective, seed, largest_clique)).encode())
    for part in (graph.ends, graph.weights, graph.stratum):
        text.update(np.ascontiguousarray(part).tobytes())
    return text.hexdigest()[:16]


def _arrays(drawn: _Drawn) -> dict[str, Array]:
    names = sorted(drawn.motifs)
    return {
        "level": drawn.level,
        "size": drawn.size,
        "numbers": drawn.numbers,
        "kinds": np.array([kind for kind, _ in names]),
        "sizes": np.array([size for _, size in names]),
        "counts": np.array([-1 if drawn.motifs[name] is None else drawn.motifs[name] for name in names], np.int64),
    }


def _read(path: Path) -> _Drawn:
    kept = read_arrays(path)
    motifs: Counts = {
        (str(kind), int(size)): None if many < 0 else int(many)
        for kind, size, many in zip(kept["kinds"], kept["sizes"], kept["counts"], strict=True)
    }
    return _Drawn(kept["level"], kept["size"], kept["numbers"], motifs)


class _Pool:
    """The null clusters so far: per level and size, of each number, how many, their sum and sum of squares."""

    def __init__(self, levels: int, n: int) -> None:
        self.clusters = 0
        self.found = np.zeros((levels, n + 1), dtype=np.int64)
        self.sums = np.zeros((levels, n + 1, 3, len(NUMBERS)))

    def add(self, drawn: _Drawn) -> None:
        """Add the clusters of one rewired graph."""
        self.clusters += len(drawn.size)
        known = ~np.isnan(drawn.numbers)
        values = np.where(known, drawn.numbers, 0)
        np.add.at(self.found, (drawn.level, drawn.size), 1)
        np.add.at(self.sums, (drawn.level, drawn.size), np.stack([known, values, values**2], axis=1))

    def of_size(self, level: int, size: int) -> tuple[int, int, Floats]:
        """Return the level whose null clusters count as of equal size, how many those are, and their sums [3, 7]."""
        best = (level, 0, np.zeros((3, len(NUMBERS))))
        for lower in range(level, len(self.found)):
            for off in range(size // 4 + 1):
                sizes = slice(size - off, size + off + 1)
                many = int(self.found[lower, sizes].sum())
                if many > best[1] and (many >= LEAST_POOL or off == size // 4):
                    best = (lower, many, self.sums[lower, sizes].sum(axis=0))
                if many >= LEAST_POOL:
                    return best
        return best


def _row(uid: str, pool: _Pool, resolutions: list[float], level: int, size: int, values: Floats) -> dict[str, Any]:
    """Return a cluster's row of cluster_nulls."""
    taken, many, sums = pool.of_size(level, size) if size >= MIN_SIZE else (level, 0, np.zeros((3, len(NUMBERS))))
    row: dict[str, Any] = {"cluster": uid, "null_clusters": many}
    row["null_resolution"] = resolutions[taken] if many else None
    for place, name in enumerate(NUMBERS):
        count, total, squares = sums[:, place]
        mean = sd = z = None
        if count >= LEAST_Z:
            mean = total / count
            sd = float(np.sqrt(max(0.0, squares - count * mean**2) / (count - 1)))
            if sd > _SAME and not np.isnan(values[place]):
                z = (values[place] - mean) / sd
        row |= {f"{name}_mean": mean, f"{name}_sd": sd, f"{name}_z": z}
    return row


def _motif_rows(counted: Counts, nulls: list[Counts]) -> list[dict[str, Any]]:
    """Return the rows of motif_counts, by kind and size: all that are in the graph or in a rewired one."""
    rows = []
    for kind, size in sorted({*counted, *(key for one in nulls for key in one)}):
        count = counted.get((kind, size), 0)
        if count is None:
            continue
        # A star of a size that is not listed is not there; a clique that was not counted is None.
        found = [one.get((kind, size), 0) for one in nulls]
        known = [many for many in found if many is not None]
        row: dict[str, Any] = {"kind": kind, "size": size, "count": count, "rewires": len(nulls)}
        row |= {"null_mean": None, "null_sd": None, "z": None}
        if len(known) == len(found):
            mean, sd = float(np.mean(known)), float(np.std(known, ddof=1))
            row |= {"null_mean": mean, "null_sd": sd, "z": (count - mean) / sd if sd > 0 else None}
        rows.append(row)
    return rows


def _table(rows: list[dict[str, Any]], table: Any) -> pa.Table:
    import pyarrow as pa

    return pa.Table.from_pylist(rows, schema=table.arrow_schema())
