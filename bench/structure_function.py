"""How far structure tells function on planted worlds (TEST_SEEDS), where the answer is known.

    python bench/structure_function.py [--out FILE.json] [--draw FILE.png] [--permutations 200]

For each rate of exceptions (compositions in near-cliques, ambiguities in stars): worlds of 80 compositions and
ambiguities (paths besides), counted, clustered and analysed as a user does; then `structure_function` twice: `plan`, on
the planted clusters with their true functions, and `found`, on the clusters and functions that cofire finds. The two
must agree. Printed: AUROC, gain over the confounds and uncertainty coefficient, with intervals.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cofire.analysis.clusters.clusters import find_clusters
from cofire.analysis.clusters.structure import structure
from cofire.analysis.functions.functions import cluster_functions
from cofire.analysis.structure_function.structure_function import WITH, WITHOUT, StructureFunction, structure_function
from cofire.ingest.capture_dir.directory import CaptureDir
from cofire.ingest.capture_dir.table_files import read_table
from cofire.ingest.count import count
from cofire.schema.tables import EDGES, LATENTS
from cofire.worlds import TEST_SEEDS, ClusterWorld, cluster_world, family_counts, write_capture

EXCEPTIONS = (0.0, 0.1, 0.25, 0.5)
NOISE = 0.06
EACH = 36


def described(capture: CaptureDir, groups: dict[str, np.ndarray]) -> pd.DataFrame:
    """Return size, frequency and structure of groups of latents."""
    edges = read_table(capture, EDGES).to_pandas()
    edges = edges[edges["log_odds"] > 0]
    frequency = read_table(capture, LATENTS).column("frequency").to_numpy()
    a, b, weight = (edges[name].to_numpy() for name in ("a", "b", "log_odds"))
    rows = []
    for uid, members in groups.items():
        inside = np.isin(a, members) & np.isin(b, members)
        shape = structure(members, a[inside], b[inside], weight[inside])
        rows.append(
            {
                "cluster": uid,
                "sae": capture.uid,
                "size": len(members),
                "frequency": float(frequency[members].mean()),
                "structure": shape.label,
                "density": shape.density,
                "centralization": shape.centralization,
                "strength_centralization": shape.strength_centralization,
                "core_periphery": shape.core_periphery,
            }
        )
    return pd.DataFrame(rows).astype(dict.fromkeys(("density", "centralization", "core_periphery"), float))


def rows_of(world: ClusterWorld, folder: Path, name: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the rows of the plan and those of what is found, of one world."""
    capture = write_capture(world, folder / "capture", sae_id=name)
    count(capture)
    planned = [c for c in world.clusters if c.function in ("composition", "ambiguity")]
    plan = described(capture, {f"c-{k:03d}": np.array(c.members) for k, c in enumerate(planned)})
    plan["function"] = [c.function for c in planned]
    for ending in ("", "_alone"):
        for function in ("composition", "ambiguity"):
            plan[f"p_{function}{ending}"] = (plan["function"] == function).astype(float)
    result = find_clusters(capture.uid, read_table(capture, EDGES))
    clusters, members = result.clusters, result.members
    of = members.to_pandas().groupby("cluster")["latent"].apply(lambda latents: latents.to_numpy(np.int64))
    functions = cluster_functions(capture, clusters, members, read_table(capture, LATENTS)).to_pandas()
    # `members` has the finest clusters alone; so then has the merged table.
    return plan, described(capture, of.to_dict()).merge(functions, on="cluster")


def line(found: StructureFunction, by: str, measure: str, of: str, strata: str, counted: str) -> dict[str, float | str]:
    """Return one number of the table."""
    table = found.table
    chosen = table["by"].eq(by) & table["counted"].eq(counted) & table["measure"].eq(measure) & table["of"].eq(of)
    row = table[chosen & table["strata"].eq(strata)].iloc[0]
    return {k: row[k] for k in ("value", "low", "high", "expected", "p", "compositions", "ambiguities")}


def draw(everything: list[dict[str, Any]], path: Path) -> None:
    """Draw the AUROC of centralisation and the uncertainty coefficient against the share of exceptions."""
    import matplotlib.pyplot as plt

    plt.rcParams.update({"axes.spines.top": False, "axes.spines.right": False})
    figure, axes = plt.subplots(1, 2, figsize=(8, 3.6), layout="constrained")
    panels = (
        ("auroc", "centralization", "AUROC of centralisation"),
        ("uncertainty", "structure label", "U(function | structure label)"),
    )
    for panel, (measure, of, label) in zip(axes, panels, strict=True):
        sorts = (
            ("plan", WITH, "plan", "#999999"),
            ("found", WITH, "found", "#e69f00"),
            ("found", WITHOUT, "found, without containment", "#0072b2"),
        )
        for shift, (source, by, name, colour) in zip((-0.008, 0, 0.008), sorts, strict=True):
            rows = [
                row
                for row in everything
                if [row[k] for k in ("source", "by", "measure", "of")] == [source, by, measure, of]
            ]
            at = [row["exceptions"] + shift for row in rows]
            panel.plot(at, [row["value"] for row in rows], "o-", color=colour, label=name)
            panel.vlines(at, [row["low"] for row in rows], [row["high"] for row in rows], color=colour)
        panel.set(xlabel="share of exceptions", ylabel=label, ylim=(0, 1.02))
    axes[0].axhline(0.5, color="black", linestyle="--", linewidth=1)
    axes[0].legend(frameon=False, loc="lower left")
    figure.savefig(path, dpi=140)


def main() -> None:
    """Run, print, and write where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--draw", type=Path)
    parser.add_argument("--permutations", type=int, default=200)
    arguments = parser.parse_args()
    everything = []
    for exceptions in EXCEPTIONS:
        parts: dict[str, list[pd.DataFrame]] = {"plan": [], "found": []}
        for seed in TEST_SEEDS:
            families = family_counts(exceptions, each=EACH)
            world = cluster_world(seed, noise=NOISE, exceptions=exceptions, families=families)
            with tempfile.TemporaryDirectory() as folder:
                plan, got = rows_of(world, Path(folder), f"w{seed}")
            parts["plan"].append(plan)
            parts["found"].append(got)
        for source, tables in parts.items():
            rows = pd.concat(tables, ignore_index=True)
            found = structure_function(rows, permutations=arguments.permutations, bootstrap=500)
            for by, counted in ((WITH, "told"), (WITHOUT, "told")) if source == "found" else ((WITH, "told"),):
                for measure, of in (
                    ("auroc", "centralization"),
                    ("auroc", "density"),
                    ("auroc", "all scores"),
                    ("auroc", "confounds"),
                    ("gain", "structure"),
                    ("uncertainty", "structure label"),
                ):
                    strata = "size, frequency"
                    row = line(found, by, measure, of, strata, counted)
                    everything.append(
                        {"exceptions": exceptions, "source": source, "by": by, "measure": measure, "of": of, **row}
                    )
                    print(
                        f"{exceptions:5} {source:6} {by:20} {measure:12} {of:16} {row['value']:6.3f} "
                        f"[{row['low']:.3f}, {row['high']:.3f}]  p {row['p']}  {row['compositions']:.0f} "
                        f"compositions, {row['ambiguities']:.0f} ambiguities",
                        flush=True,
                    )
    if arguments.out:
        arguments.out.write_text(json.dumps(everything, indent=1))
    if arguments.draw:
        draw(everything, arguments.draw)


if __name__ == "__main__":
    main()
