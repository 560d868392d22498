"""How often the structure label is right: perfect shapes, one edge in ten moved, random graphs; beside it the peer's.

    .venv/bin/python bench/structure.py [--draws 400]

Test seeds. The peer's formula (tests/support/peer_formula.py) knows three labels and connected graphs only: it is asked
about those alone. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import igraph
import numpy as np

from cofire.analysis.clusters.shapes import shape_of
from cofire.worlds import TEST_SEEDS
from cofire.worlds.scoring import calibration_error

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "support"))
from peer_formula import peer_label
from structure_graphs import clique, moved, path, planted_or_not, random_graph, star

SHAPES = ((star, "hub_and_spoke"), (clique, "clique"), (path, "path"))


def label(n: int, pairs: Any) -> str:
    """Return our label."""
    return shape_of(n, np.array(pairs, dtype=np.int64).reshape(-1, 2)).label


def main() -> None:
    """Print the shares."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=400)
    draws = parser.parse_args().draws
    found: dict[str, Any] = {}
    print("| graphs | ours | ours, worst size | peer |\n|---|---|---|---|")
    for shape, name in SHAPES:
        ours = [label(n, shape(n)) == name for n in range(4, 61)]
        peer = [peer_label(n, shape(n)) == name for n in range(4, 61)]
        print(f"| perfect {name}, n 4-60 | {np.mean(ours):.1%} | {min(ours):.0%} | {np.mean(peer):.1%} |")
        by_size, peers = {}, []
        for n in range(8, 61):
            rng = np.random.default_rng([TEST_SEEDS[0], len(name), n])
            graphs = [moved(n, shape(n), rng) for _ in range(draws if n <= 16 else max(20, draws // 10))]
            by_size[n] = float(np.mean([label(n, pairs) == name for pairs in graphs]))
            whole = [pairs for pairs in graphs if igraph.Graph(n=n, edges=pairs).is_connected()]
            peers += [peer_label(n, pairs) == name for pairs in whole]
        worst = min(by_size, key=lambda n: by_size[n])
        share = np.mean(list(by_size.values()))
        print(f"| noisy {name}, n 8-60 | {share:.1%} | {by_size[worst]:.1%} (n {worst}) | {np.mean(peers):.1%} |")
        found[name] = {"perfect": float(np.mean(ours)), "noisy": float(share), "worst": by_size[worst]}
    for n in (4, 5, 6, 7, 8, 9, 10, 12, 15, 30, 60):
        rng = np.random.default_rng([TEST_SEEDS[1], n])
        shares = []
        for density in (0.05, 0.15, 0.25, 0.4, 0.6, 0.75, 0.85, 0.9):
            graphs = [random_graph(n, density, rng) for _ in range(max(20, draws // 4))]
            shares.append(np.mean([label(n, pairs) == "mixed" for pairs in graphs]))
        told_shares = " ".join(f"{share:.0%}" for share in shares)
        print(f"| random, n {n}: mixed at density .05 .15 .25 .4 .6 .75 .85 .9 | {told_shares} | | |")
        found[f"random {n}"] = float(np.mean(shares))
    told, right = [], []
    for seed in TEST_SEEDS:
        rng = np.random.default_rng([seed, 5])
        for _ in range(5 * draws):
            n, pairs, truth = planted_or_not(rng)
            shape_found = shape_of(n, np.array(pairs, dtype=np.int64).reshape(-1, 2))
            told.append(shape_found.p)
            right.append(shape_found.label == truth)
    error = calibration_error(np.array(told), np.array(right))
    print(f"| structure_p, {len(told)} graphs: ECE {error:.4f} | {np.mean(right):.1%} | | |")
    print(json.dumps({**found, "ece": error}))


if __name__ == "__main__":
    main()
