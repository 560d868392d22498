"""How long loading takes: cofire against the usual ways, on the same graph in the same run, each into a fresh store.

    .venv/bin/python bench/load.py [--latents N] [--edges E] [--seed S] [--repeats 3] [--only a,b,...] [--warm]
        [--resume]

Every variant writes the same nodes and relationships: the Sae, Release, Model and Capture nodes, all latents with
their histograms, OF, all CO_FIRES with ten numbers, tokens, contexts, clusters and what links them. Each result is
counted afterwards (nodes, relationships, sum of CO_FIRES.count) and must be what the tables hold.

    a  cofire online to Neo4j: `load_sae` on an open, empty server; the tables are read from their files, constraints
       and indexes are made, the journal is kept. The server has just started and compiles as it goes; with --warm it
       has loaded and deleted a small graph before, here and in (b).
    b  what a newcomer writes for the same server: one uniqueness constraint a label, then UNWIND of 1,000 dicts in an
       auto-commit transaction each, CREATE, one session. The rows are in memory before the clock starts.
    c  `neo4j-admin database import full`, the whole command on a stopped server. The CSV files are written before, by
       `cofire export`; that time stands in a row of its own, and so does making the indexes afterwards.
    d  cofire to the embedded store: from nothing to a closed store in a new directory, the engine's start included.
    e  the engine's own graph_batch from rows in memory: the same span, see bench/engine_batch.py.

The repeats take turns (a b c d e, b c d e a, ...). Beside each: the share of all CPUs that was in use in the two
seconds before (others' work: on a quiet machine below 5%) and during it. The last line is JSON with the ratios of the
medians. Results are kept in .cache/bench/load-*.json after every measurement; --resume goes on with them.
"""

from __future__ import annotations

import argparse
import gc
import json
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from engine_batch import in_memory
from graph import graph
from machine import CACHE, Cpu, Neo4j, load_of_others, machine, markdown, spread
from neo4j import GraphDatabase

from cofire.ingest.capture_dir.directory import CaptureDir
from cofire.schema.base import Node
from cofire.schema.nodes import NODES
from cofire.store import open_store
from cofire.store.load.write import delete_sae, load_sae
from cofire.store.plan.plan import load_plan

NAIVE_ROWS = 1_000
RATIOS = {"a/c": 2.0, "a/b": 0.4, "d/e": 1.2}

Counts = list[int]


class Clock:
    """Seconds of each part of a variant, and the load of all CPUs while the clock ran."""

    def __init__(self) -> None:
        self.parts: dict[str, float] = {}
        self._busy = self._total = 0

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Time what is done inside."""
        cpu, begun = Cpu.now(), time.perf_counter()
        yield
        self.parts[name] = time.perf_counter() - begun
        now = Cpu.now()
        self._busy, self._total = self._busy + now.busy - cpu.busy, self._total + now.total - cpu.total

    @property
    def cpu(self) -> float:
        """The share of all CPUs that was in use, 0 to 1."""
        return self._busy / max(self._total, 1)


class Bench:
    """The variants, each a method that loads into a fresh store, times it, and returns what it finds there."""

    def __init__(self, capture: CaptureDir, small: CaptureDir | None, server: Neo4j) -> None:
        self.capture = capture
        self.small = small
        self.server = server
        self.work = CACHE / "work"
        plan = load_plan(capture)
        links = sum(s.count for s in plan.sections if not isinstance(s.kind, Node))
        joint = next(s for s in plan.sections if not isinstance(s.kind, Node) and s.kind.type == "CO_FIRES")
        self.expected = [1 + plan.rows - links, links, sum(row[2] for row in joint.rows(0, joint.count))]

    def a(self, clock: Clock) -> Counts:
        """Cofire online."""
        self.server.start(fresh=True)
        with self.server.open() as store:
            if self.small is not None:
                load_sae(store, load_plan(self.small))
                delete_sae(store, self.small.uid)
            with clock.part("load"):
                load_sae(store, load_plan(self.capture))
        return _counts(self.server.ask)

    def b(self, clock: Clock) -> Counts:
        """A newcomer's loop."""
        self.server.start(fresh=True)
        if self.small is not None:
            _naive(self.server, in_memory(load_plan(self.small)))
            self.server.ask("MATCH (n) DETACH DELETE n RETURN count(*) AS v")
        sections = in_memory(load_plan(self.capture))
        gc.freeze()  # or every full collection looks at all of them again
        with clock.part("load"):
            _naive(self.server, sections)
        gc.unfreeze()
        return _counts(self.server.ask)

    def c(self, clock: Clock) -> Counts:
        """The import command."""
        folder = self._fresh("export")
        cofire = str(Path(sys.executable).with_name("cofire"))
        with clock.part("export"):
            _run([cofire, "export", str(self.capture.path), "--format", "neo4j-admin", "--out", str(folder)])
        self.server.start(fresh=True)
        self.server.stop()
        arguments = ["database", "import", "full", "@import-arguments.txt", "--overwrite-destination", "neo4j"]
        with clock.part("import"):
            self.server.admin(arguments, folder, CACHE / "import.log")
        self.server.start()
        statements = [line for line in (folder / "schema.cypher").read_text().split(";\n") if line.strip()]
        with clock.part("indexes"):
            self.server.run([*statements, "CALL db.awaitIndexes(600)"])
        return _counts(self.server.ask)

    def d(self, clock: Clock) -> Counts:
        """Cofire to the embedded store."""
        self.server.stop()
        folder = self._fresh("embedded")
        with clock.part("open"):
            store = open_store(folder, create=True)
        with clock.part("load"):
            load_sae(store, load_plan(self.capture))
        with clock.part("close"):
            store.close()
        with open_store(folder) as store:
            return _counts(lambda text: int(store.read(text).rows[0][0]))

    def e(self, clock: Clock) -> Counts:
        """The engine's own batch."""
        self.server.stop()
        child = str(Path(__file__).with_name("engine_batch.py"))
        with clock.part("process"):
            said = _run([sys.executable, child, str(self.capture.path), str(self._fresh("engine"))], self.work)
        answer = json.loads(said.splitlines()[-1])
        clock.parts = answer["parts"]
        return list(answer["found"])

    def _fresh(self, name: str) -> Path:
        folder = self.work / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.parent.mkdir(parents=True, exist_ok=True)
        return folder


# What of its parts counts as a variant's time; the others are printed beside it.
TIMED = {
    "a": ("load",),
    "b": ("load",),
    "c": ("import",),
    "d": ("open", "load", "close"),
    "e": ("start", "batch", "indexes", "close"),
}
TITLES = {
    "a": "cofire online to Neo4j",
    "b": "naive: UNWIND of 1,000 dicts, auto-commit",
    "c": "neo4j-admin import, whole command",
    "d": "cofire to the embedded store",
    "e": "the engine's bare graph_batch",
}


def _run(command: list[str], folder: Path | None = None) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed: {done.stderr.strip()[-2000:]}")
    return done.stdout


def _counts(ask: Callable[[str], int]) -> Counts:
    """Count nodes (but cofire's own SchemaVersion), relationships, and the joint firings."""
    return [
        ask("MATCH (n) WHERE NOT n:SchemaVersion RETURN count(n) AS v"),
        ask("MATCH ()-[r]->() RETURN count(r) AS v"),
        ask("MATCH (:Latent)-[r:CO_FIRES]->(:Latent) RETURN sum(r.count) AS v"),
    ]


def _naive(server: Neo4j, sections: list[tuple[Any, list[Any]]]) -> None:
    """Load as a tutorial does."""
    with (
        GraphDatabase.driver(server.uri, auth=(server.username, server.password)) as driver,
        driver.session(database="neo4j") as session,
    ):
        for node in NODES:
            label, key = node.label, node.key
            session.run(f"CREATE CONSTRAINT IF NOT EXISTS FOR (n:{label}) REQUIRE n.{key} IS UNIQUE").consume()
        for kind, rows in sections:
            if isinstance(kind, Node):
                text = f"UNWIND $rows AS row CREATE (n:{kind.label}) SET n = row"
            else:
                text = (
                    "UNWIND $rows AS row "
                    f"MATCH (a:{kind.source.label} {{{kind.source.key}: row.source}}) "
                    f"MATCH (b:{kind.target.label} {{{kind.target.key}: row.target}}) "
                    f"CREATE (a)-[r:{kind.type}]->(b) SET r = row.properties"
                )
            for start in range(0, len(rows), NAIVE_ROWS):
                batch = rows[start : start + NAIVE_ROWS]
                if not isinstance(kind, Node):
                    batch = [{"source": a, "target": b, "properties": values} for a, b, values in batch]
                session.run(text, rows=batch).consume()


def _seconds(name: str, run: dict[str, Any]) -> float:
    return sum(run["parts"][part] for part in TIMED[name])


def measure(bench: Bench, names: list[str], repeats: int, runs: dict[str, list[dict[str, Any]]], file: Path) -> None:
    """Run each variant `repeats` times, in turn, but those that `runs` has already; keep `runs` in `file`."""
    for repeat in range(repeats):
        for name in names[repeat % len(names) :] + names[: repeat % len(names)]:
            if len(runs[name]) > repeat:
                continue
            before, clock = load_of_others(), Clock()
            found = getattr(bench, name)(clock)
            if found != bench.expected:
                raise SystemExit(
                    f"({name}) loaded {found} nodes, relationships and joint firings, not {bench.expected}"
                )
            runs[name].append({"parts": clock.parts, "before": before, "during": clock.cpu})
            file.write_text(json.dumps(runs))
            shown = ", ".join(f"{part} {seconds:.1f}" for part, seconds in clock.parts.items())
            seconds = _seconds(name, runs[name][-1])
            print(f"  {repeat + 1}/{repeats} ({name}) {seconds:.1f} s [{shown}], CPU before {before:.0%}", flush=True)


def report(names: list[str], runs: dict[str, list[dict[str, Any]]], edges: int) -> dict[str, float]:
    """Print the tables; return the ratios of the medians."""
    seconds = {name: [_seconds(name, run) for run in runs[name]] for name in names}
    rows = []
    for name in names:
        median = statistics.median(seconds[name])
        load = [f"{100 * statistics.median(run[when] for run in runs[name]):.0f}%" for when in ("before", "during")]
        rows.append([f"({name}) {TITLES[name]}", spread(seconds[name]), f"{edges / median:,.0f}", *load])
    print(markdown(["variant", "seconds: median (min-max)", "edges/s", "CPU before", "CPU during"], rows))
    parts = [
        [f"({name}) {part}", spread([run["parts"][part] for run in runs[name]], 2), "" if part in TIMED[name] else "no"]
        for name in names
        for part in runs[name][0]["parts"]
    ]
    print("\n" + markdown(["part", "seconds: median (min-max)", "counted"], parts))
    ratios, rows = {}, []
    for ratio, goal in RATIOS.items():
        first, second = ratio.split("/")
        if first in seconds and second in seconds:
            ratios[ratio] = statistics.median(seconds[first]) / statistics.median(seconds[second])
            pairs = [x / y for x, y in zip(seconds[first], seconds[second], strict=True)]
            met = "met" if ratios[ratio] <= goal else "missed"
            rows.append([ratio, f"{ratios[ratio]:.2f}", f"{min(pairs):.2f}-{max(pairs):.2f}", f"<= {goal}", met])
    print("\n" + markdown(["ratio", "of the medians", "of the pairs", "goal", ""], rows))
    return ratios


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="How long loading takes.")
    parser.add_argument("--latents", type=int, default=16_384)
    parser.add_argument("--edges", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", default="a,b,c,d,e", help="variants, separated by commas")
    parser.add_argument("--warm", action="store_true", help="a and b load a small graph first, and delete it")
    parser.add_argument("--resume", action="store_true", help="keep the measurements of an interrupted run")
    given = parser.parse_args()
    names = given.only.split(",")
    capture = graph(given.latents, given.edges, given.seed)
    small = graph(800, 10_000) if given.warm else None
    file = CACHE / f"load-{given.latents}-{given.edges}-{given.seed}{'-warm' if given.warm else ''}.json"
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in TITLES}
    if given.resume and file.is_file():
        runs |= json.loads(file.read_text())
    print(machine())
    state = "warmed up by a small load" if given.warm else "just started"
    print(
        f"{given.latents:,} latents, {given.edges:,} edges, {given.repeats} repeats in turn; server {state}", flush=True
    )
    with Neo4j("load") as server:
        measure(Bench(capture, small, server), names, given.repeats, runs, file)
    ratios = report(names, {name: runs[name][: given.repeats] for name in names}, given.edges)
    print(json.dumps({name: round(ratio, 3) for name, ratio in ratios.items()}))


if __name__ == "__main__":
    main()
