"""Clusters and their functions against planted worlds, by the whole pipeline: counts, clusters, functions.

    python bench/validate.py [--seeds test|dev] [--only GROUP ...] [--cache DIR] [--write]

Groups: true (a perfect SAE, at several noises and shares of exceptions), crowd, batchtopk, tied, jumprelu, matryoshka
(trained SAEs), short (the first two on a third of the text), nulls. Of each group the rows of its planted clusters are
kept as JSON under --cache, beside the trained SAEs, so that groups can be run one by one; what is printed is of all
groups that are there. --write puts it into docs/validation.md, between its markers. Resolution and all settings are the
defaults of `cofire analyze`.
"""

from __future__ import annotations

import argparse
import hashlib
import inspect
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pyarrow.parquet as pq
from machine import markdown

from cofire.analysis.clusters.clusters import find_clusters
from cofire.analysis.clusters.members import cluster_members
from cofire.analysis.functions.functions import cluster_functions
from cofire.ingest.count import count
from cofire.worlds import (
    CROWD,
    DEV_SEEDS,
    FAMILIES,
    SHORT,
    TEST_SEEDS,
    TRAINED_TEST_SEEDS,
    ClusterWorld,
    cluster_world,
    seen_world,
    write_capture,
)
from cofire.worlds.nulls import reordered, shuffled
from cofire.worlds.scoring import auroc, auroc_interval, calibration_error, cluster_ari, found_for
from cofire.worlds.training import SaeKind

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "validation.md"
BEGIN, END = "<!-- planted clusters: begin -->", "<!-- planted clusters: end -->"
TRAINED_KINDS = get_args(SaeKind)
GROUPS = ("true", "crowd", *TRAINED_KINDS, "short", "nulls")
FUNCTIONS = ("composition", "ambiguity", "hierarchy")
TOLD = (*FUNCTIONS, "unclear", "missed")
# (noise, share of exceptions, bridges) in true space.
CONDITIONS = (
    (0.03, 0.25, 10),
    (0.06, 0.0, 10),
    (0.06, 0.25, 10),
    (0.06, 0.5, 10),
    (0.1, 0.25, 10),
    (0.15, 0.25, 10),
    (0.2, 0.25, 10),
    (0.06, 0.25, 0),
)


@dataclass(frozen=True)
class Run:
    """A world and the name of the condition that it stands for."""

    name: str
    seed: int
    world: ClusterWorld


def worlds(group: str, seeds: tuple[int, ...], cache: Path) -> Iterator[Run]:
    """Yield the worlds of a group, one in memory at a time."""
    for seed in seeds:
        if group == "true":
            for noise, exceptions, bridges in CONDITIONS:
                name = f"true space, noise {noise:g}, exceptions {exceptions:g}" + ("" if bridges else ", no bridges")
                yield Run(name, seed, cluster_world(seed, noise=noise, exceptions=exceptions, bridges=bridges))
        elif group == "nulls":
            world = cluster_world(seed)
            yield Run("null: shuffled within documents", seed, shuffled(world, seed))
            yield Run("null: documents in another order", seed, reordered(world, seed))
            topics = cluster_world(seed, families={"topic": 40})
            yield Run("null: 40 groups that share a topic alone", seed, replace(topics, clusters=()))
            crowd = seen_world(seed, "crowd", settings=replace(CROWD, each=0, background=400))
            yield Run("null: 800 unrelated features in a crowd", seed, crowd)
        elif group == "short":
            for kind in TRAINED_KINDS[:2]:
                world = seen_world(seed, kind, settings=SHORT, cache=cache)  # type: ignore[arg-type]
                yield Run(f"{kind}, a third of the text", seed, world)
        else:
            yield Run(group, seed, seen_world(seed, group, cache=cache))  # type: ignore[arg-type]


def seeds_of(group: str, seeds: str) -> tuple[int, ...]:
    """Return the seeds of a group."""
    if seeds == "dev":
        return DEV_SEEDS[: len(TEST_SEEDS)]
    return TRAINED_TEST_SEEDS if group in TRAINED_KINDS else TEST_SEEDS


def code() -> str:
    """Return a digest of the code that scores depend on."""
    digest = hashlib.sha256(Path(__file__).read_bytes())
    for folder in ("common", "ingest", "analysis", "worlds", "schema"):
        for file in sorted((ROOT / "src" / "cofire" / folder).rglob("*.py")):
            digest.update(file.read_bytes())
    return digest.hexdigest()[:12]


def judged(run: Run) -> dict[str, Any]:
    """Run the pipeline on a world; return what it says of each planted cluster, and of the whole."""
    world = run.world
    with tempfile.TemporaryDirectory() as scratch:
        capture = write_capture(world, Path(scratch) / "capture", sae_id=f"w{run.seed}")
        count(capture)
        edges = pq.read_table(capture.tables / "edges.parquet")
        latents = pq.read_table(capture.tables / "latents.parquet")
        clusters, members, figures = found(capture.uid, edges)
        functions = cluster_functions(capture, clusters, members, latents).to_pylist()
    levels = dict(zip(clusters.column("cluster").to_pylist(), clusters.column("level").to_pylist(), strict=True))
    every = cluster_members(clusters, members)
    finest = {uid: m for uid, m in every.items() if levels[uid] == 0}
    said = {row["cluster"]: row for row in functions}
    owner = np.full(world.n_latents, -1)
    for number, cluster in enumerate(world.clusters):
        if cluster.function != "none":
            owner[list(cluster.members)] = number
    pairs = {(min(a, b), max(a, b)) for a, b in world.planted.tolist()}
    kept = list(zip(edges.column("a").to_pylist(), edges.column("b").to_pylist(), strict=True))
    units = []
    for cluster, uid in zip(world.clusters, found_for(world.clusters, finest), strict=True):
        row = said.get(uid) if uid is not None else None
        p = None if row is None else [row[f"p_{name}"] for name in FUNCTIONS]
        alone = None if row is None else [row[f"p_{name}_alone"] for name in FUNCTIONS]
        units.append(
            {
                "family": cluster.family,
                "function": cluster.function,
                "size": cluster.size,
                "recovered": len(cluster.members),
                "told": "missed" if row is None else row["function"],
                "p": None if p is None or None in p else p,
                "p_alone": None if alone is None or None in alone else alone,
            }
        )
    return {
        "name": run.name,
        "seed": run.seed,
        "ari": cluster_ari(world.clusters, finest, world.n_latents) if world.clusters else None,
        "clusters": len(finest),
        "clusters_unplanned": sum(1 for m in finest.values() if len(m) >= 3 and (owner[m] < 0).all()),
        "edges": len(kept),
        "edges_planted": sum(1 for pair in kept if pair in pairs),
        "planted": len(pairs),
        "resolution": float(clusters.column("resolution")[0].as_py()) if clusters.num_rows else None,
        "figures": figures,
        "units": units,
    }


def found(uid: str, edges: Any) -> tuple[Any, Any, dict[str, Any]]:
    """Return the tables clusters and members, and what is told of them."""
    result = find_clusters(uid, edges)
    return result.clusters, result.members, dict(result.figures)


def report(scores: list[dict[str, Any]]) -> str:
    """Return the tables of all scores, Markdown."""
    names = list(dict.fromkeys(score["name"] for score in scores if score["units"]))
    of = {name: [score for score in scores if score["name"] == name] for name in names}
    parts = ["### Clusters and functions\n", markdown(HEAD, [line(name, of[name]) for name in names])]
    parts += ["\n### By family: AUROC against all clusters of the other function\n", families(of)]
    parts += ["\n### What was told of each planted cluster\n", confusion(of)]
    nulls = [score for score in scores if not score["units"]]
    if nulls:
        rows = [(s["name"], s["seed"], s["edges"], s["clusters"], s["clusters_unplanned"]) for s in nulls]
        parts += ["\n### Nulls\n", markdown(("null", "seed", "edges kept", "clusters", "of 3 latents and more"), rows)]
    return "\n".join(parts)


HEAD = (
    "world",
    "ARI by seed",
    "edges: planted and kept / kept / planted",
    "members recovered",
    "AUROC (95%)",
    "without containment",
    "missed or nothing told",
    "ECE",
    "clusters of >= 3 with no planted latent",
)


def score_of(units: list[dict[str, Any]], key: str) -> np.ndarray:
    """p_composition / (p_composition + p_ambiguity); .5 where nothing is told."""
    p = np.array([[0.5, 0.5] if unit[key] is None else unit[key][:2] for unit in units], np.float64).reshape(-1, 2)
    return p[:, 0] / np.maximum(p.sum(axis=1), 1e-300)


def line(name: str, scores: list[dict[str, Any]]) -> tuple[str, ...]:
    """Return the row of one condition."""
    units = [unit for score in scores for unit in score["units"]]
    two = [unit for unit in units if unit["function"] in FUNCTIONS[:2]]
    positive = np.array([unit["function"] == "composition" for unit in two])
    shown = []
    for key in ("p", "p_alone"):
        score = score_of(two, key)
        low, high = auroc_interval(score, positive)
        shown.append(f"{auroc(score, positive):.3f} ({low:.3f}-{high:.3f})")
    told = [unit for unit in units if unit["p"] is not None and unit["function"] != "none"]
    best = np.array([max(unit["p"]) for unit in told])
    right = np.array([FUNCTIONS[int(np.argmax(unit["p"]))] == unit["function"] for unit in told], np.bool_)
    return (
        name,
        ", ".join(f"{score['ari']:.3f}" for score in scores),
        " / ".join(str(sum(s[key] for s in scores)) for key in ("edges_planted", "edges", "planted")),
        f"{sum(u['recovered'] for u in units)} of {sum(u['size'] for u in units)}",
        *shown,
        f"{sum(unit['p'] is None for unit in two)} of {len(two)}",
        f"{calibration_error(best, right):.3f} (n {len(told)})",
        str(sum(score["clusters_unplanned"] for score in scores)),
    )


def families(of: dict[str, list[dict[str, Any]]]) -> str:
    """Return the AUROC of each family, by condition."""
    shown = [family for family, (function, _) in FAMILIES.items() if function in FUNCTIONS[:2]]
    rows = []
    for name, scores in of.items():
        units = [unit for score in scores for unit in score["units"] if unit["function"] in FUNCTIONS[:2]]
        row = [name]
        for family in shown:
            function = FAMILIES[family][0]
            two = [unit for unit in units if unit["family"] == family or unit["function"] != function]
            positive = np.array([unit["function"] == "composition" for unit in two])
            number = sum(unit["family"] == family for unit in two)
            if not number:
                row.append("none planted")
                continue
            score = score_of(two, "p")
            low, high = auroc_interval(score, positive)
            row.append(f"{auroc(score, positive):.3f} ({low:.2f}-{high:.2f}), n {number}")
        rows.append(row)
    return markdown(("world", *shown), rows)


def confusion(of: dict[str, list[dict[str, Any]]]) -> str:
    """Return how often each label was told of each planted function, by condition."""
    rows = []
    for name, scores in of.items():
        for function in (*FUNCTIONS, "none"):
            units = [unit for score in scores for unit in score["units"] if unit["function"] == function]
            told = Counter(unit["told"] for unit in units)
            rows.append((name, function, *(told[label] for label in TOLD)))
    return markdown(("world", "planted", *TOLD), rows)


def main() -> None:
    """Run the groups asked for, and tell of all that have been run."""
    parser = argparse.ArgumentParser(description=inspect.cleandoc(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", choices=("test", "dev"), default="test", help="dev to look, test to report")
    parser.add_argument("--only", nargs="*", choices=GROUPS, default=list(GROUPS), metavar="GROUP")
    parser.add_argument("--cache", type=Path, default=ROOT / ".cache" / "worlds", help="trained SAEs and scores")
    parser.add_argument("--write", action="store_true", help=f"put the tables into {PAGE.relative_to(ROOT)}")
    given = parser.parse_args()
    if given.write and given.seeds != "test":
        parser.error("--write is for the test seeds: the page says that its figures are of those")
    given.cache.mkdir(parents=True, exist_ok=True)
    now = code()
    for group in given.only:
        scores = []
        for run in worlds(group, seeds_of(group, given.seeds), given.cache):
            begun = time.monotonic()
            scores.append(judged(run))
            said = {key: scores[-1][key] for key in ("ari", "clusters", "edges", "resolution")}
            print(f"{run.name}, seed {run.seed}: {said}, {time.monotonic() - begun:.0f} s", file=sys.stderr, flush=True)
        (given.cache / f"scores-{given.seeds}-{group}.json").write_text(json.dumps({"code": now, "scores": scores}))
    files = {group: given.cache / f"scores-{given.seeds}-{group}.json" for group in GROUPS}
    kept = {group: json.loads(file.read_text()) for group, file in files.items() if file.is_file()}
    text = report([score for one in kept.values() for score in one["scores"]])
    if old := [group for group, one in kept.items() if one["code"] != now]:
        text += f"\n\nOf an earlier state of the code: {', '.join(old)}."
    print(text)
    if given.write:
        page = PAGE.read_text()
        before, after = page.split(BEGIN)[0], page.split(END)[1]
        PAGE.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}")


if __name__ == "__main__":
    main()
