"""How long the clusters of an SAE take, and how much memory, against the number of edges.

    .venv/bin/python bench/clusters.py [--latents 16384] [--edges 125000,250000,500000,1000000] [--runs 20] [--seed S]

Each graph is made as in bench/graph.py: groups of 5 to 40 latents that are cliques, stars or halves of cliques, and
pairs by chance among latents of unlike degrees, the busiest of some thousand. It is clustered by `find_clusters`
without a resolution, in a process of its own whose peak memory is measured (not that of its helpers). --draw makes a
figure of seconds and MiB against edges. The last line is JSON: seconds and MiB by the number of edges.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
from graph import _groups, _pairs
from machine import load_of_others, machine, markdown

from cofire.analysis.clusters.clusters import find_clusters
from cofire.common.processes import MOST, processors


def clustered(n: int, m: int, seed: int) -> pa.Table:
    """Make the edges of a random clustered graph."""
    rng = np.random.default_rng(seed)
    weight = (np.arange(n) + 20.0) ** -0.5
    group, planted = _groups(rng, n)
    a, b = _pairs(rng, weight, m, planted)
    inside = (group[a] == group[b]) & (group[a] >= 0)
    log_odds = 1 + rng.exponential(0.6, len(a)) + np.where(inside, 2, 0)
    return pa.table({"a": a, "b": b, "log_odds": log_odds, "log_odds_se": rng.uniform(0.1, 0.25, len(a))})


def cpu_seconds() -> float:
    """Return the CPU seconds of this process and of those that it started and that have ended."""
    return sum(
        usage.ru_utime + usage.ru_stime
        for usage in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


def draw(result: dict[int, dict[str, float]], latents: int, path: Path) -> None:
    """Draw seconds and MiB against edges."""
    import matplotlib.pyplot as plt

    edges = sorted(result)
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    for panel, key, label in zip(axes, ("seconds", "peak_mib"), ("seconds", "MiB, peak of one process"), strict=True):
        values = [result[m][key] for m in edges]
        panel.plot([m / 1000 for m in edges], values, "o-", color="#1f77b4")
        panel.set(xlabel=f"thousand edges ({latents:,} latents)", ylabel=label)
        panel.set(xlim=(0, 1.05 * max(edges) / 1000), ylim=(0, 1.1 * max(values)))
        panel.grid(alpha=0.3)
    figure.savefig(path, dpi=120)


def one(n: int, m: int, runs: int, seed: int) -> dict[str, float]:
    """Cluster one graph; return what it took and found."""
    edges = clustered(n, m, seed)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    marks: list[float] = []
    begun, cpu = time.perf_counter(), cpu_seconds()

    def progress(done: int, total: int) -> None:
        # The partitions come first, then a comparison for each of the 30 resolutions, then the consensus.
        if done in (total - 31, total - 1):
            marks.append(time.perf_counter() - begun)

    found = find_clusters("bench/sae", edges, runs=runs, seed=seed, progress=progress)
    return {
        "edges": len(edges),
        "seconds": time.perf_counter() - begun,
        "cpu_seconds": cpu_seconds() - cpu,
        "partitions_seconds": marks[0],
        "comparison_seconds": marks[-1] - marks[0],
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "before_mib": before,
        "clusters": found.clusters.num_rows,
        "plateau_ami": found.figures["plateau_ami"],
        "pooled": found.figures["pooled"],
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="How long the clusters take.")
    parser.add_argument("--latents", type=int, default=16_384)
    parser.add_argument("--edges", default="125000,250000,500000,1000000")
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--draw", type=Path)
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one is not None:
        print(json.dumps(one(given.latents, given.one, given.runs, given.seed)))
        return
    print(machine())
    print(
        f"{given.latents:,} latents, 30 resolutions x {given.runs} runs, {min(processors(), MOST)} processes",
        flush=True,
    )
    rows, result = [], {}
    for edges in (int(word) for word in given.edges.split(",")):
        others = load_of_others()
        options = ["--latents", str(given.latents), "--runs", str(given.runs), "--seed", str(given.seed)]
        done = subprocess.run(
            [sys.executable, __file__, *options, "--one", str(edges)], capture_output=True, text=True, check=True
        )
        found = json.loads(done.stdout.splitlines()[-1])
        result[edges] = {"seconds": round(found["seconds"], 1), "peak_mib": round(found["peak_mib"])}
        parts = [
            f"{found[part]:.1f}" for part in ("seconds", "cpu_seconds", "partitions_seconds", "comparison_seconds")
        ]
        memory = [f"{found[part]:.0f}" for part in ("peak_mib", "before_mib")]
        agreed = f"{found['plateau_ami']:.2f}{' (all)' if found['pooled'] else ''}"
        rows.append([f"{edges:,}", *parts, *memory, f"{found['clusters']:,}", agreed, f"{others:.0%}"])
        print(f"  {edges:,} edges: {found['seconds']:.1f} s", flush=True)
    head = ["edges", "seconds", "CPU s", "partitions s", "comparison s", "peak MiB", "before MiB"]
    print(markdown([*head, "clusters", "AMI", "CPU of others"], rows))
    if given.draw is not None:
        draw(result, given.latents, given.draw)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
