"""Partitions of a weighted graph at many resolutions, each many times, to see at which resolutions clusters are stable.

    1. range of the resolutions (`_range`): from where the largest cluster ceases to hold more than half of the nodes
       (and more than SMALL) up to where half of the nodes are alone. Where the largest holds more than half at the top
       too, or nothing is left between the two, the range begins where something beside the largest is clustered. It
       begins no lower than where one chance edge, as weak as the weakest WEAK of them, would join two clusters of s
       nodes, at weight / s^2; s - 1 is the mean number of neighbours of the nodes that edges lead to (of a clique of s
       nodes s - 1, of a star s / 2).
    2. RESOLUTIONS of them, evenly in the logarithm; at each, `runs` partitions by Leiden (Traag, Waltman and van Eck
       2019, Sci. Rep. 9:5233), each with a seed of its own and on a graph of its own: every weight is drawn anew from
       N(weight, standard error), and an edge whose weight falls to 0 and below is out.
    3. mean AMI (`agreement`) between the runs of one resolution, and between those of two resolutions.
    4. a plateau (`plateaus`) is a stretch of resolutions, none trivial, where each resolution and each two of them
       agree by PLATEAU_AMI and more. Each two and not only neighbours: neighbours may all agree while the clusters
       drift from one end to the other (in planted graphs with stars, which lose spokes one by one).

Why weights are drawn and edges not resampled: a Poisson(1) weight drops 37% of the edges. On 12 planted graphs (40
stars and cliques of 4 to 20, DEV_SEEDS 11 to 13, chance edges of .5 to 10 a node) no resolution then reached a mean AMI
of .9, nor on two SAEs of SmolLM2 (2,048 latents; .12 to .69, against .71 to .90 with weights drawn), and the best
consensus had an ARI of .75-.88 against .84-1.00.

What is missed: a loose community of more than half of the nodes, which falls apart below the top. The range begins
above that: of 300 nodes joined by 30% of their pairs and 40 cliques of five with chance edges the cliques are found and
not the community, though both hold over a long stretch below; one given resolution finds it. The range does not begin
lower because in SAEs the largest cluster sheds latents all the way down (two of SmolLM2: partitions a factor of 2.7
apart agree by an AMI of .4 to .6), and where nothing is shed any more what is stable are the connected components.

One iteration of Leiden a run: with two the consensus agreed no better with the planted clusters (8 graphs, never by
more than .001 better) nor between seeds, at half as much time again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import statistics
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cofire.analysis.clusters.agreement import adjusted_mutual_information
from cofire.analysis.clusters.leiden import Objective, leiden
from cofire.common.files import write_array, write_text
from cofire.common.processes import Tick, make_parts

if TYPE_CHECKING:
    from cofire.common.arrays import Bools, Floats, Ints, Ints32
    from cofire.common.progress import Progress

RESOLUTIONS = 30
PLATEAU_AMI = 0.9
LARGEST = 0.5
SMALL = 60
"""A partition is trivial when its largest cluster holds more than a share of LARGEST of the nodes and more than SMALL
nodes (a small graph may well be one star) and nothing else is clustered, or when a share of more than LARGEST is
alone."""
WEAK = 0.05
"""Share of the weights below the one that sets the floor of the range: the weakest alone, were it one stray edge of
1e-3, would move the resolutions of a whole graph."""
WHOLE = 0.8
"""A plateau of this share of the resolutions is long whatever it spans: the range of a few pairs spans but a factor of
4. It need not be all of them, as near the top the error of an edge decides whether it holds. The consensus over all
resolutions, by majority, would hardly differ."""
PAIRS = 10
"""Pairs of runs whose AMI is averaged for two resolutions; within one resolution each run is compared with the next."""
BISECTIONS = 10
MIN_RANGE = 1.5
"""Highest / lowest resolution below which there is nothing to sweep."""
ALONE_EDGES = 20_000
"""Edges below which one process takes a few seconds, and a second one would hardly have started."""
RANGE_RUNS = 3
"""Partitions of which the middle one tells whether a resolution is trivial."""
VERSION = 2
"""Part of the fingerprint of kept partitions: raise it when the same graph gives others."""


@dataclass(frozen=True)
class WeightedGraph:
    """A graph whose weights are known with an error.

    Attributes:
        n: nodes, each with an edge.
        ends: int64 [m, 2], each edge once, in a fixed order.
        weight: float64 [m], > 0.
        error: float64 [m], standard error of the weight, >= 0.
    """

    n: int
    ends: Ints
    weight: Floats
    error: Floats


@dataclass(frozen=True)
class Sweep:
    """What was found at each of k resolutions, ascending.

    Attributes:
        resolutions: float64 [k].
        partitions: int32 [k, runs, n], the cluster number of each node in each run.
        agreement: float64 [k, k], mean AMI between the runs of two resolutions (the diagonal: of one); 0 between
            two that are no neighbours and of which one is trivial or does not reach PLATEAU_AMI by itself.
        clusters: float64 [k], mean number of clusters of two nodes and more.
        largest: float64 [k], mean share of the nodes in the largest cluster.
        alone: float64 [k], mean share of the nodes that are alone.
    """

    resolutions: Floats
    partitions: Ints32
    agreement: Floats
    clusters: Floats
    largest: Floats
    alone: Floats


@dataclass(frozen=True)
class Plateau:
    """A stretch of a sweep: resolutions number `first` to `last`, `low` to `high`; `ami` is their mean agreement."""

    first: int
    last: int
    low: float
    high: float
    ami: float


@dataclass(frozen=True)
class _Partitions:
    """The partitions of a graph at each resolution, each a file in `folder` (a job of cofire.common.processes)."""

    graph: WeightedGraph
    resolutions: list[float]
    objective: Objective
    seed: int
    runs: int
    folder: Path
    mark: str

    @cached_property
    def whole(self) -> Any:
        return _igraph(self.graph)

    @property
    def parts(self) -> int:
        return len(self.resolutions)

    def path(self, part: int) -> Path:
        # A helper of a killed run of another graph might yet write: its file has another name.
        return self.folder / f"sweep-{self.mark}-{part:02d}.npy"

    def make(self, part: int, tick: Tick) -> None:
        graph = self.graph
        found = np.empty((self.runs, graph.n), dtype=np.int32)
        for run in range(self.runs):
            rng = np.random.default_rng([self.seed, part, run])
            weight = np.maximum(graph.weight + graph.error * rng.standard_normal(len(graph.weight)), 0)
            found[run] = leiden(
                self.whole,
                weight,
                resolution=self.resolutions[part],
                seed=int(rng.integers(2**31)),
                objective=self.objective,
                iterations=1,
            )
            tick((run + 1) / self.runs)
        write_array(self.path(part), found, shared=True)


def sweep(
    graph: WeightedGraph,
    *,
    objective: Objective = "cpm",
    seed: int = 0,
    runs: int = 20,
    work: Path | None = None,
    processes: int | None = None,
    progress: Progress | None = None,
) -> Sweep | None:
    """Partition a graph at RESOLUTIONS resolutions, `runs` times each, and compare the runs.

    Args:
        graph: the graph.
        objective: what Leiden maximises.
        seed: of everything; run k at resolution i draws from [seed, i, k].
        runs: partitions at each resolution, 2 and more.
        work: a folder in which the partitions of each finished resolution are kept. What another graph or other
            settings left there is thrown away. A run that is killed at any time goes on there. None: a temporary one.
        processes: how many take part; None: one for a graph of few edges, else see `make_parts`. It changes nothing
            in the result.
        progress: called with (steps done, steps in all): a step is a partition or the comparison of a resolution.

    Returns:
        The sweep, or None where every partition is trivial (a graph of one cluster).
    """
    with contextlib.ExitStack() as stack:
        folder = work or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cofire-sweep-")))
        mark = _fingerprint(graph, objective, seed, runs)
        resolutions = _kept_resolutions(graph, objective, folder, mark)
        if resolutions is None:
            return None
        job = _Partitions(graph, resolutions.tolist(), objective, seed, runs, folder, mark)
        total = RESOLUTIONS * (runs + 1)

        def tell(done: float) -> None:
            if progress is not None:
                progress(round(done * runs), total)

        make_parts(job, processes=processes or (1 if len(graph.ends) < ALONE_EDGES else None), tell=tell)
        partitions = np.stack([np.load(job.path(part)) for part in range(job.parts)])
    return compared(resolutions, partitions, progress)


def compared(
    resolutions: Floats,
    partitions: Ints32,
    progress: Progress | None = None,
) -> Sweep:
    """Compare the runs of each resolution [k] and of each two; partitions [k, runs, n]."""
    k, runs, n = partitions.shape
    clusters, largest, alone = np.zeros(k), np.zeros(k), np.zeros(k)
    for i in range(k):
        sizes = [np.bincount(labels) for labels in partitions[i]]
        clusters[i] = np.mean([(size > 1).sum() for size in sizes])
        largest[i] = np.mean([size.max() for size in sizes]) / n
        alone[i] = np.mean([(size == 1).sum() for size in sizes]) / n
    agreement = np.zeros((k, k))
    for i in range(k):
        agreement[i, i] = _mean_ami(partitions[i], np.roll(partitions[i], 1, axis=0))
    promising = _telling(clusters, largest, alone, n) & (np.diag(agreement) >= PLATEAU_AMI)
    for i in range(k):
        for j in range(i + 1, k):
            if j == i + 1 or (promising[i] and promising[j]):
                pairs = min(PAIRS, runs)
                agreement[i, j] = agreement[j, i] = _mean_ami(partitions[i, :pairs], partitions[j, :pairs])
        if progress is not None:
            progress(k * runs + i + 1, k * (runs + 1))
    return Sweep(resolutions, partitions, agreement, clusters, largest, alone)


def plateaus(found: Sweep, *, shortest: float, below: float = math.inf) -> list[Plateau]:
    """Return the plateaus of a sweep, the longest first, then the longest below it, and so on downwards.

    Args:
        found: the sweep.
        shortest: high / low of a plateau, at the least; one of WHOLE of the resolutions may be shorter.
        below: highest resolution that may be in one.

    Returns:
        Plateaus, each wholly below the one before.
    """
    good = _telling(found.clusters, found.largest, found.alone, found.partitions.shape[2])
    good &= found.resolutions < below
    best: tuple[int, int] | None = None
    for first in range(len(good)):
        last = first
        while last < len(good) and good[last] and (found.agreement[first : last + 1, last] >= PLATEAU_AMI).all():
            last += 1
        # Of equally long ones the first, hence the coarsest.
        if last - first >= 2 and (best is None or last - first > best[1] - best[0]):
            best = (first, last)
    if best is None:
        return []
    low, high = found.resolutions[best[0]], found.resolutions[best[1] - 1]
    if high / low < shortest * (1 - 1e-9) and best[1] - best[0] < WHOLE * len(good):
        return []
    ami = float(found.agreement[best[0] : best[1], best[0] : best[1]].mean())
    longest = Plateau(best[0], best[1] - 1, float(low), float(high), ami)
    return [longest, *plateaus(found, shortest=shortest, below=float(low))]


def _bound(n: int) -> float:
    """Return the largest share of n nodes that one cluster may hold."""
    return max(LARGEST, SMALL / n)


def _telling(clusters: Floats, largest: Floats, alone: Floats, n: int) -> Bools:
    """Return at which resolutions [k] the partitions of n nodes are not trivial."""
    return ((largest <= _bound(n)) | (clusters >= 2)) & (alone <= LARGEST)


def _mean_ami(one: Ints32, two: Ints32) -> float:
    return float(np.mean([adjusted_mutual_information(a, b) for a, b in zip(one, two, strict=True)]))


def _range(graph: Any, known: WeightedGraph, objective: Objective) -> tuple[float, float] | None:
    """Return the lowest and highest resolution that are not trivial, to within a few percent; None without any.

    They belong to the graph: always the same seeds, or two sweeps would not look at the same resolutions.
    """

    def shares(resolution: float) -> tuple[float, float, float]:
        largest, alone, clusters = [], [], []
        for seed in range(RANGE_RUNS):
            found = leiden(graph, known.weight, resolution=resolution, seed=seed, objective=objective, iterations=1)
            sizes = np.bincount(found)
            largest.append(sizes.max() / known.n)
            alone.append((sizes == 1).sum() / known.n)
            clusters.append(int((sizes > 1).sum()))
        return statistics.median(largest), statistics.median(alone), statistics.median(clusters)

    # In units of this, an edge between two single nodes is worth its weight at any resolution below it.
    unit = known.weight
    if objective == "modularity":
        strength = np.bincount(known.ends.ravel(), weights=np.repeat(known.weight, 2), minlength=known.n)
        unit = known.weight * strength.sum() / strength[known.ends].prod(axis=1)
    degree = np.bincount(known.ends.ravel(), minlength=known.n).astype(np.float64)
    group = 1 + (degree**2).sum() / degree.sum()
    # Below the first no cut through an edge pays; above the other no edge joins anything.
    lowest, highest = 4 * float(unit.min()) / known.n**2, float(unit.max())
    high = _edge(lowest, highest, lambda r: shares(r)[1] <= LARGEST)
    floor, weakest = float(np.quantile(unit, WEAK) / group**2), float(unit.min() / group**2)
    bound = _bound(known.n)

    def no_giant(resolution: float) -> bool:
        return shares(resolution)[0] <= bound

    def others(resolution: float) -> bool:
        return shares(resolution)[2] >= 2

    # The second for a graph of which a stable community holds more than half.
    for holds in (no_giant, others):
        if not holds(high):
            continue
        low = floor if holds(floor) else max(floor, _edge(high, weakest, holds))
        if low * MIN_RANGE < high:
            return low, high
    return None


def _edge(good: float, bad: float, holds: Callable[[float], bool]) -> float:
    """Return the value nearest to `bad` at which what holds at `good` holds, by bisection in the logarithm."""
    for _ in range(BISECTIONS):
        middle = math.sqrt(good * bad)
        good, bad = (middle, bad) if holds(middle) else (good, middle)
    return good


def _igraph(graph: WeightedGraph) -> Any:
    import igraph

    return igraph.Graph(n=graph.n, edges=graph.ends)


def _fingerprint(graph: WeightedGraph, objective: Objective, seed: int, runs: int) -> str:
    """Return a digest of all that the partitions depend on, 16 hex digits."""
    hashed = hashlib.sha256(f"{VERSION} {RESOLUTIONS} {graph.n} {objective} {seed} {runs}".encode())
    for array in (graph.ends, graph.weight, graph.error):
        hashed.update(np.ascontiguousarray(array).tobytes())
    return hashed.hexdigest()[:16]


def _kept_resolutions(graph: WeightedGraph, objective: Objective, work: Path, mark: str) -> Floats | None:
    """Return the resolutions, those of an interrupted run if it was the same; throw away what another left."""
    head = work / "sweep.json"
    if head.is_file():
        kept = json.loads(head.read_text(encoding="utf-8"))
        same = kept["made_from"] == mark
        for file in work.glob("sweep-*.part" if same else "sweep-*"):
            file.unlink(missing_ok=True)
        if same:
            return None if kept["resolutions"] is None else np.array(kept["resolutions"])
    ends = _range(_igraph(graph), graph, objective)
    resolutions = None if ends is None else np.geomspace(*ends, RESOLUTIONS)
    work.mkdir(parents=True, exist_ok=True)
    told = None if resolutions is None else resolutions.tolist()
    write_text(head, json.dumps({"made_from": mark, "resolutions": told}))
    return resolutions
