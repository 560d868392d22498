"""How long the anchored queries of the library take on the benches' graph, on both stores, warm.

    .venv/bin/python bench/queries.py [--latents N] [--edges E] [--seed S] [--rounds 5] [--only NAME,...]
        [--stores neo4j,embedded] [--write]

A query is anchored when it asks about one latent, a few, a cluster, a token or a word, by a parameter of that name.
Beside the queries stand the motifs around a latent, `KnowledgeBase.motifs(at=...)`, at their defaults and at each size.
Each is asked about the five latents of highest degree and about five random ones (their clusters, tokens, neighbours),
every other parameter at its default: one first run each, kept apart, as the servers compile then, and `--rounds`
more. Times are those of the whole call, from Python to Python values. The graph is loaded once and kept in
.cache/bench; a second, smaller SAE is beside it for what compares two.

The table's targets are for the busiest latents. `--write` puts it into docs/query-times.md. The last line is JSON with
the ratio median / target of each query and store.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from graph import degrees, graph
from machine import CACHE, ROOT, Neo4j, load_of_others, machine, markdown, percentile

from cofire.analysis.motifs import Kind
from cofire.errors import TimeLimit
from cofire.ingest.capture_dir.directory import CaptureDir
from cofire.ingest.capture_dir.table_files import read_table
from cofire.queries.anchored_motifs import store_motifs_at
from cofire.queries.library import Query, library
from cofire.schema.tables import CLUSTERS, EDGES, MEMBERS, TOKENS
from cofire.store import Store, open_store
from cofire.store.load.write import load_sae
from cofire.store.plan.plan import load_plan

PAGE = ROOT / "docs" / "query-times.md"
ANCHORS = {"index", "a", "b", "indices", "cluster", "text", "token", "word"}
CASES = 5  # busiest latents, and as many random ones
PATIENCE = 60.0  # seconds for one answer, and for all rounds of one query

# Milliseconds on (Neo4j, embedded) for the busiest latents; nothing anchored is to take longer than USUAL.
USUAL = (200, 200)
TARGETS = {
    "strongest_neighbours limit=20": (5, 15),
    "triangles_through_latent": (45, 180),
    "two_hop_neighbours": (70, 130),
}
# Asked for besides the defaults.
ALSO: dict[str, dict[str, Any]] = {"strongest_neighbours": {"limit": 20}}

# Kinds of motif and their sizes that are looked for around a latent.
MOTIFS: dict[Kind, tuple[int, ...]] = {"star": (4,), "clique": (3, 4, 5, 6), "path": (3, 4, 5, 6), "bifan": (4,)}

Given = dict[str, Any]


@dataclass
class Times:
    """Milliseconds of one query on one store: the first run, then the warm ones by kind of latent."""

    first: float = 0.0
    busiest: list[float] = field(default_factory=list)
    random: list[float] = field(default_factory=list)
    rows: int = 0


class Anchors:
    """What stands for one case in a query's parameters: the latent, its neighbours, cluster, token.

    Args:
        capture: the graph.
        other: the second SAE.
    """

    def __init__(self, capture: CaptureDir, other: CaptureDir) -> None:
        self.uid, self.other = capture.uid, other.uid
        degree, rng = degrees(capture), np.random.default_rng(0)
        chosen = np.concatenate([np.argsort(-degree, kind="stable")[:CASES], rng.integers(0, len(degree), CASES)])
        self.latents = [int(latent) for latent in chosen]
        edges = read_table(capture, EDGES)
        a, b = edges.column("a").to_numpy(), edges.column("b").to_numpy()
        self.near = [np.concatenate([b[a == i], a[b == i]])[:9].tolist() for i in self.latents]
        members = read_table(capture, MEMBERS).to_pydict()
        cluster_of = dict(zip(members["latent"], members["cluster"], strict=True))
        clusters = read_table(capture, CLUSTERS).sort_by([("size", "descending"), ("cluster", "ascending")])
        largest = clusters.column("cluster").to_pylist()
        # A latent without a cluster gets a large one.
        self.clusters = [cluster_of.get(latent, largest[i]) for i, latent in enumerate(self.latents)]
        tokens = read_table(capture, TOKENS).to_pydict()
        text_of = dict(zip(tokens["latent"], tokens["text"], strict=True))
        self.texts = [text_of[latent] for latent in self.latents]

    def given(self, query: Query, case: int) -> Given:
        """Return the parameters of a query for one case, all others at their defaults.

        Raises:
            SystemExit: a parameter without a default has a name that is not known here.
        """
        latent, near = self.latents[case], self.near[case]
        known: Mapping[str, Any] = {
            "sae": self.uid,
            "other": self.other,
            "other_sae": self.other,
            "index": latent,
            "a": latent,
            "b": near[0] if case % 2 == 0 else self.latents[case - 1],  # joined by an edge, or by chance
            "indices": [latent, *near],
            "cluster": self.clusters[case],
            "text": self.texts[case],
            "token": self.texts[case],
            "word": self.texts[case].strip().lower(),
        }
        unknown = [p.name for p in query.parameters if p.required and p.name not in known]
        if unknown:
            raise SystemExit(f"{query.file}: no value for parameter {unknown[0]}; add one to Anchors.given")
        return {p.name: known[p.name] for p in query.parameters if p.required or p.name in ANCHORS}


Asked = Callable[[Store, int], int]
"""Asks a store about the case of that number; returns the number of rows."""


def anchored(anchors: Anchors) -> Iterator[tuple[str, Asked]]:
    """Yield (title, how to ask) of everything that is asked."""
    for query in library().values():
        if ANCHORS & {p.name for p in query.parameters}:
            anchors.given(query, 0)  # what cannot be asked is told before anything is loaded
            yield query.name, _query(query, anchors, {})
            if extra := ALSO.get(query.name):
                said = " ".join(f"{name}={value}" for name, value in extra.items())
                yield f"{query.name} {said}", _query(query, anchors, extra)
    for kind, sizes in MOTIFS.items():
        for size in sizes:
            yield f"motifs {kind} {size}", _motifs(kind, size, anchors)


def _query(query: Query, anchors: Anchors, extra: Given) -> Asked:
    return lambda store, case: len(query(store, PATIENCE, **anchors.given(query, case), **extra).rows)


def _motifs(kind: Kind, size: int, anchors: Anchors) -> Asked:
    def asked(store: Store, case: int) -> int:
        found, _ = store_motifs_at(
            store, anchors.uid, anchors.latents[case], kind, min_size=size, limit=100, timeout=PATIENCE
        )
        return len(found)

    return asked


def ask(store: Store, asked: Asked, anchors: Anchors, rounds: int) -> Times | None:
    """Time one question on one store; None when an answer took longer than PATIENCE."""
    times = Times()

    def once(case: int) -> float:
        begun = time.perf_counter()
        times.rows = max(times.rows, asked(store, case))
        return 1000 * (time.perf_counter() - begun)

    try:
        begun = time.monotonic()
        cases = range(len(anchors.latents))
        firsts = [once(case) for case in cases]
        times.first = firsts[0]
        for _ in range(rounds):
            for case in cases:
                (times.busiest if case < CASES else times.random).append(once(case))
            if time.monotonic() - begun > PATIENCE:
                break
    except TimeLimit:
        return None
    return times


@contextmanager
def neo4j_store(captures: list[CaptureDir]) -> Iterator[Store]:
    """The graph on a Neo4j server of its own."""
    with Neo4j("queries") as server:
        server.start()
        with server.open() as store:
            _load(store, captures)
            yield store


@contextmanager
def embedded_store(captures: list[CaptureDir]) -> Iterator[Store]:
    """The graph in the embedded store."""
    place = CACHE / "store-queries"
    with open_store(place, create=True) as store:
        _load(store, captures)
    with open_store(place) as store:
        yield store


STORES: dict[str, Callable[[list[CaptureDir]], Any]] = {"neo4j": neo4j_store, "embedded": embedded_store}


def _load(store: Store, captures: list[CaptureDir]) -> None:
    for capture in captures:
        print(f"{store.kind}: {capture.uid} {load_sae(store, load_plan(capture), replace=True)}", flush=True)


def table(times: dict[str, dict[str, Times | None]], stores: list[str]) -> tuple[str, dict[str, float]]:
    """Return the Markdown table and the ratios median / target."""
    head, rows, ratios = ["query", "rows"], [], {}
    for store in stores:
        head += [f"{store} median", "p95", "random median", "first", "target"]
    for title, by_store in times.items():
        row = [title, str(max((t.rows for t in by_store.values() if t), default="-"))]
        for store in stores:
            target, found = TARGETS.get(title, USUAL)[list(STORES).index(store)], by_store[store]
            if found is None:
                row += [f"> {1000 * PATIENCE:.0f}", "", "", "", f"{target} missed"]
                ratios[f"{title} {store}"] = 1000 * PATIENCE / target
                continue
            median = statistics.median(found.busiest)
            ratios[f"{title} {store}"] = median / target
            p95, usual = percentile(found.busiest, 0.95), statistics.median(found.random)
            row += [f"{median:.1f}", f"{p95:.1f}", f"{usual:.1f}", f"{found.first:.0f}"]
            row.append(f"{target}" if median <= target else f"{target} missed")
        rows.append(row)
    return markdown(head, rows), ratios


def page(text: str, given: argparse.Namespace, before: float) -> str:
    """Return docs/query-times.md."""
    return f"""# How long the anchored queries take

Made by `bench/queries.py --write`. The graph has {given.latents:,} latents and {given.edges:,} CO_FIRES
relationships with hub-heavy degrees (`bench/graph.py`). Milliseconds of the whole call from Python, warm;
{given.rounds} rounds over the {CASES} latents of highest degree (median, p95) and over {CASES} random ones (random
median). "first" is the first run after the server's start. The target is for the median on the busiest latents. A
query with 0 rows asks for what this graph has none of (decoder directions, peaks, hierarchy, matches).

{machine()}. Other load of the CPUs before the run: {before:.0%}.

{text}
"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="How long the anchored queries take.")
    parser.add_argument("--latents", type=int, default=16_384)
    parser.add_argument("--edges", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", help="queries, or motifs, separated by commas")
    parser.add_argument("--stores", default=",".join(STORES))
    parser.add_argument("--write", action="store_true", help="write docs/query-times.md")
    given = parser.parse_args()
    only, stores = given.only.split(",") if given.only else None, given.stores.split(",")
    captures = [graph(given.latents, given.edges, given.seed), graph(800, 10_000)]
    anchors = Anchors(captures[0], captures[1])
    asked = [(title, how) for title, how in anchored(anchors) if only is None or title.split()[0] in only]
    print(machine(), flush=True)
    times: dict[str, dict[str, Times | None]] = {title: {} for title, _ in asked}
    before = 0.0
    for name in stores:
        with STORES[name](captures) as store:
            before = max(before, load_of_others())
            print(f"{name}: other load of the CPUs {before:.0%}", flush=True)
            for title, how in asked:
                found = times[title][name] = ask(store, how, anchors, given.rounds)
                shown = f"{statistics.median(found.busiest):.1f} ms" if found else f"more than {PATIENCE:.0f} s"
                print(f"  {name}: {title}: {shown}", flush=True)
    text, ratios = table(times, stores)
    print(text)
    if given.write:
        PAGE.write_text(page(text, given, before), encoding="utf-8")
    print(json.dumps({name: round(ratio, 3) for name, ratio in ratios.items()}))


if __name__ == "__main__":
    main()
