"""Make the graph that the benches load and ask: a counted and analysed capture of N latents and E edges.

    .venv/bin/python bench/graph.py [--latents 16384] [--edges 1000000] [--seed 0]

1. Degrees are hub-heavy: Chung-Lu, weights (rank + 20)^(-1/2), a power law of exponent 3 with its head cut off, so
   that the busiest of 16,384 latents have a degree of 1,000 to 2,000. Latent indices are shuffled.
2. A latent's firings grow with its weight; T is 1,000,000 tokens. A pair fires together 2 to 6 times as often as
   independence gives, and its measures are cofire's own (`cofire.ingest.edges.measures`), so all of them agree.
3. One group for every 80 latents, of 5 to 40 of them, is planted among the edges with twice the lift: cliques, stars
   and half-full groups in turn. Clusters are cofire's own analysis of the edges inside the groups (Leiden over all
   edges takes minutes and finds the same groups among thousands of pairs).
4. Histograms are gamma-like counts over 256 bins. Every latent has two tokens (of 2,000) and one context.

There are no activations behind it: the capture's rows are empty and the tables are written as `cofire count` writes
them. It is made once and kept in .cache/bench; equal arguments give equal bytes.
"""

from __future__ import annotations

import argparse
import shutil
from itertools import combinations, islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from cofire.analysis.clusters.clusters import find_clusters
from cofire.common.arrays import Floats, Ints
from cofire.ingest.capture_dir.directory import CaptureDir
from cofire.ingest.capture_dir.table_files import digest, read_table, save_tables
from cofire.ingest.direct.direct import COLUMNS
from cofire.ingest.edges.measures import pair_measures
from cofire.ingest.edges.significance import (
    benjamini_hochberg,
    log_odds_error,
    poisson_tail,
    stratified_log_odds,
    z_score,
)
from cofire.ingest.import_activations import import_activations
from cofire.schema.tables import CONTEXTS, EDGES, LATENTS, TOKENS, Table

__all__ = ["ROOT", "degrees", "graph"]

ROOT = Path(__file__).resolve().parents[1]
CACHE = ROOT / ".cache" / "bench"
# Part of the directory's name: raise it when the same arguments give another graph.
VERSION = 4
TOKENS_READ = 1_000_000
WORDS = 2_000


def graph(latents: int = 16_384, edges: int = 1_000_000, seed: int = 0) -> CaptureDir:
    """Return the capture, made if it is not there yet.

    Args:
        latents: N.
        edges: E, at least 3 N and at most a quarter of all pairs.
        seed: of everything random.
    """
    if not 3 * latents <= edges <= latents * (latents - 1) // 8:
        raise SystemExit(f"{edges} edges for {latents} latents: give 3 to {(latents - 1) // 8} for each latent")
    name = f"graph-v{VERSION}-{latents}-{edges}-{seed}"
    place = CACHE / name
    if not place.is_dir():
        work = CACHE / f"{name}.part"
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        capture = _empty_capture(work, name, latents)
        _make_tables(capture, latents, edges, seed)
        work.rename(place)
    return CaptureDir.open(place / "capture")


def degrees(capture: CaptureDir) -> Ints:
    """Return the number of edges at each latent, int64 [N]."""
    table = read_table(capture, EDGES)
    ends = np.concatenate([table.column("a").to_numpy(), table.column("b").to_numpy()])
    return np.bincount(ends, minlength=capture.manifest.n_latents).astype(np.int64)


def _empty_capture(folder: Path, name: str, latents: int) -> CaptureDir:
    """Import T rows in which nothing fires."""
    npz = folder / "nothing.npz"
    np.savez(
        npz,
        indptr=np.zeros(TOKENS_READ + 1, np.int64),
        indices=np.zeros(0, np.int32),
        values=np.zeros(0, np.float32),
        n_latents=np.int64(latents),
    )
    # The manifest names the file: a path of this machine would make the bytes differ elsewhere.
    capture = import_activations(npz, folder / "capture", release="bench", sae_id=name, model="bench-model", layer=6)
    manifest = capture.manifest
    manifest.text.sources = [npz.name]
    manifest.sae.source = npz.name
    manifest.write(capture.path)
    npz.unlink()
    return CaptureDir.open(capture.path)


def _make_tables(capture: CaptureDir, n: int, m: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    weight = (np.arange(n) + 20.0) ** -0.5
    group, planted = _groups(rng, n)
    a, b = _pairs(rng, weight, m, planted)
    inside = (group[a] == group[b]) & (group[a] >= 0)
    firings = (1_500 * (weight / weight[-1]) ** 0.7 * rng.uniform(0.7, 1.4, n)).astype(np.int64)
    lift = (2.0 + rng.exponential(0.8, m).clip(0, 4)) * np.where(inside, 2.0, 1.0)
    label = rng.permutation(n)
    a, b = np.minimum(label[a], label[b]), np.maximum(label[a], label[b])
    order = np.lexsort((b, a))
    a, b, lift, inside = a[order], b[order], lift[order], inside[order]
    firings = firings[np.argsort(label)]
    joint = np.maximum(np.rint(firings[a] * firings[b] / TOKENS_READ * lift), 20).astype(np.int64)
    count = np.minimum(joint, np.minimum(firings[a], firings[b]))
    measures = pair_measures(count, firings[a], firings[b], TOKENS_READ)
    expected = firings[a] * (firings[b] / TOKENS_READ)
    measures |= {
        "expected": expected,
        "p": poisson_tail(count, expected),
        "log_odds": stratified_log_odds(count, expected, firings[a], firings[b], TOKENS_READ),
        "log_odds_se": log_odds_error(count, firings[a], firings[b], TOKENS_READ),
        "z": z_score(count, expected, expected),
        "magnitude_r": rng.uniform(-0.3, 0.9, m),
    }
    measures["q"] = benjamini_hochberg(measures["p"], n * (n - 1) // 2)
    nothing = {"clear_count": count, "weak_only": np.zeros(m, np.bool_), "decoder_cosine": [None] * m}
    # Which edges are direct is told from tokens, and there are none.
    nothing |= dict.fromkeys(COLUMNS, [None] * m)
    edges = _table(EDGES, {"a": a, "b": b, "count": count, **measures, **nothing})
    if not all(np.isfinite(column).all() for column in measures.values()):
        raise SystemExit("a measure is not finite; the degrees are too extreme")
    settings = {"edges": "significant", "min_count": 20, "rule": "synthetic: bench/graph.py"}
    total = int(firings.sum())
    figures = {
        "tokens": TOKENS_READ,
        "firings": total,
        "mean_l0": total / TOKENS_READ,
        "pairs_that_co_fired": m,
        "pairs_kept": m,
    }
    tables = {
        "latents": _table(LATENTS, _latents(rng, firings)),
        "edges": edges,
        "tokens": _table(TOKENS, _tokens(rng, firings)),
        "contexts": _table(CONTEXTS, _contexts(n)),
    }
    made_from = digest("bench", VERSION, n, m, seed)
    save_tables(capture, tables, made_from, settings, figures)
    found = find_clusters(capture.uid, edges.filter(pa.array(inside)), resolution=0.7, seed=seed)
    clusters = {"clusters": found.clusters, "members": found.members}
    save_tables(capture, clusters, made_from, {"rule": settings["rule"]}, found.figures)


def _groups(rng: np.random.Generator, n: int) -> tuple[Ints, Ints]:
    """Return the group of each latent, -1 for none, and the planted pairs as keys a * n + b, ascending."""
    group = np.full(n, -1)
    keys: list[int] = []
    shuffled = iter(rng.permutation(n).tolist())
    for number in range(n // 80):
        members = sorted(islice(shuffled, int(rng.integers(5, 41))))
        group[members] = number
        hub = members[0]
        for a, b in combinations(members, 2):
            # A clique, a star, half of the pairs.
            if (True, a == hub, bool(rng.random() < 0.5))[number % 3]:
                keys.append(a * n + b)
    return group, np.sort(np.array(keys, np.int64))


def _pairs(rng: np.random.Generator, weight: Floats, m: int, planted: Ints) -> tuple[Ints, Ints]:
    """Draw different pairs a < b, each end in proportion to its weight, until there are m with the planted ones."""
    n, upto = len(weight), np.cumsum(weight / weight.sum())
    keys = np.zeros(0, np.int64)
    while len(keys) < m - len(planted):
        ends = np.minimum(np.searchsorted(upto, rng.random((2, (m - len(keys)) * 5 // 4 + 1000))), n - 1)
        low, high = ends.min(axis=0), ends.max(axis=0)
        keys = np.setdiff1d(np.concatenate([keys, (low * n + high)[low < high]]), planted)
    keys = np.sort(np.concatenate([planted, rng.choice(keys, m - len(planted), replace=False)]))
    return keys // n, keys % n


def _latents(rng: np.random.Generator, firings: Ints) -> dict[str, Any]:
    n = len(firings)
    u = (np.arange(256) + 0.5) / 64
    peak = rng.uniform(0.6, 1.4, (n, 1))
    density = (u / peak) ** 2 * np.exp(2 - 2 * u / peak)
    histogram = np.floor(density / density.sum(axis=1, keepdims=True) * firings[:, None]).astype(np.int64)
    histogram[:, 64] += firings - histogram.sum(axis=1)
    mean = rng.uniform(1.0, 4.0, n)
    return {
        "index": np.arange(n),
        "firing_count": firings,
        "frequency": firings / TOKENS_READ,
        "mean": mean,
        "std": mean * 0.5,
        "max": mean * 4.0,
        "threshold": np.full(n, 0.25),
        "mu": mean,
        "mu_rule": ["mean"] * n,
        "main_low": np.full(n, 0.25),
        "off_median": np.full(n, -0.5),
        "sigma0": np.full(n, 0.2),
        "clear_floor": np.full(n, 0.25),
        "clear_firing_count": firings,
        "histogram": histogram.tolist(),
        "dead": np.zeros(n, bool),
    }


def _tokens(rng: np.random.Generator, firings: Ints) -> dict[str, Any]:
    n = len(firings)
    latent = np.repeat(np.arange(n), 2)
    first = rng.integers(0, WORDS, n)
    token = np.sort(np.stack([first, (first + rng.integers(1, WORDS, n)) % WORDS], axis=1), axis=1).ravel()
    share = rng.uniform(0.05, 0.45, 2 * n)
    count = np.maximum(1, (share * firings[latent]).astype(np.int64))
    share = count / firings[latent]
    return {
        "latent": latent,
        "token": token,
        "text": [f" word{t}" for t in token],
        "count": count,
        "share": share,
        "lift": share * WORDS,
        "score": 2 * count * np.log(share * WORDS),
    }


def _contexts(n: int) -> dict[str, Any]:
    index = np.arange(n)
    return {
        "latent": index,
        "rank": np.zeros(n, np.int32),
        "document": index // 128,
        "position": index % 128,
        "text": [f"some text before « word{i % WORDS}» and some after it" for i in range(n)],
        "activation": np.full(n, 2.0),
        "u": np.full(n, 1.0),
    }


def _table(table: Table, columns: dict[str, Any]) -> pa.Table:
    schema = table.arrow_schema()
    return pa.table([pa.array(columns[field.name], field.type) for field in schema], schema=schema)


def main() -> None:
    """Make the graph and print what it is like."""
    parser = argparse.ArgumentParser(description="Make the graph of the benches.")
    parser.add_argument("--latents", type=int, default=16_384)
    parser.add_argument("--edges", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    capture = graph(given.latents, given.edges, given.seed)
    found = np.sort(degrees(capture))
    print(f"{capture.uid}: {given.latents:,} latents, {given.edges:,} edges -> {capture.path}")
    shown = ", ".join(f"{p}%: {int(np.percentile(found, p)):,}" for p in (0, 10, 50, 90, 99, 100))
    print(f"degrees: mean {found.mean():.1f}; {shown}; busiest {found[-5:][::-1].tolist()}")
    for name in ("clusters", "members", "tokens", "contexts"):
        print(f"{name}: {pq.read_metadata(capture.tables / f'{name}.parquet').num_rows:,} rows")


if __name__ == "__main__":
    main()
