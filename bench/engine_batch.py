"""Load a plan with the embedded engine's own `graph_batch` and nothing of cofire's store: variant (e) of bench/load.py.

    python bench/engine_batch.py CAPTURE DIRECTORY      prints one JSON line: seconds and their parts, and the counts

A process of its own, as the engine is a JVM inside it. The rows are in memory, as dicts, before the clock starts.
Timed: starting the JVM and making the database, declaring the types, `create_vertices` and `new_edges` with the
engine's default settings (no write-ahead log), the constraints and indexes that cofire makes, and closing the
database. Then, untimed, it is opened again and counted.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from cofire.ingest.capture_dir.directory import CaptureDir
from cofire.schema.base import Node
from cofire.schema.cypher import ddl
from cofire.schema.nodes import SAE
from cofire.store.plan.plan import load_plan
from cofire.store.plan.section import LoadPlan


def main() -> None:
    """Load, count, print, and leave without Python's own end: it crashes while the JVM is alive."""
    capture, directory = CaptureDir.open(sys.argv[1]), Path(sys.argv[2])
    sections = in_memory(load_plan(capture))
    gc.freeze()  # or every full collection looks at all of them again
    times = [time.perf_counter()]

    def mark() -> None:
        times.append(time.perf_counter())

    import arcadedb_embedded

    database = arcadedb_embedded.create_database(str(directory))
    mark()
    _load(database, sections)
    mark()
    for statement in ddl():
        database.command("opencypher", statement)
    mark()
    database.close()
    mark()
    names = ("start", "batch", "indexes", "close")
    parts = {name: b - a for name, a, b in zip(names, times, times[1:], strict=False)}
    database = arcadedb_embedded.open_database(str(directory))
    found = [
        _one(database, text) for text in ("MATCH (n) RETURN count(n) AS v", "MATCH ()-[r]->() RETURN count(r) AS v")
    ]
    found.append(_one(database, "MATCH (:Latent)-[r:CO_FIRES]->(:Latent) RETURN sum(r.count) AS v"))
    database.close()
    print(json.dumps({"seconds": times[-1] - times[0], "parts": parts, "found": found}), flush=True)
    os._exit(0)


def in_memory(plan: LoadPlan) -> list[tuple[Any, list[Any]]]:
    """Return (kind, rows) of the Sae node and each section: a node's rows as dicts, a link's (source, target, dict)."""
    sections: list[tuple[Any, list[Any]]] = [(SAE, [{**plan.sae, "status": "ready", "contentHash": plan.content_hash}])]
    for section in plan.sections:
        names = [p.name for p in section.kind.properties]
        rows = section.rows(0, section.count)
        if isinstance(section.kind, Node):
            sections.append((section.kind, [_known(zip(names, row, strict=True)) for row in rows]))
        else:
            links = [(row[0], row[1], _known(zip(names, row[2:], strict=True))) for row in rows]
            sections.append((section.kind, links))
    return sections


def _known(pairs: Any) -> dict[str, Any]:
    return {name: value for name, value in pairs if value is not None}


def _load(database: Any, sections: list[tuple[Any, list[Any]]]) -> None:
    for kind, _ in sections:
        if isinstance(kind, Node):
            database.schema.get_or_create_vertex_type(kind.label)
        else:
            database.schema.get_or_create_edge_type(kind.type)
    places: dict[str, dict[str, str]] = {}
    edges = sum(len(rows) for kind, rows in sections if not isinstance(kind, Node))
    with database.graph_batch(expected_edge_count=edges) as batch:
        for kind, rows in sections:
            if isinstance(kind, Node):
                made = batch.create_vertices(kind.label, rows)
                places.setdefault(kind.label, {}).update(
                    (row[kind.key], place) for row, place in zip(rows, made, strict=True)
                )
            else:
                source, target = places[kind.source.label], places[kind.target.label]
                batch.new_edges(
                    [source[row[0]] for row in rows],
                    kind.type,
                    [target[row[1]] for row in rows],
                    [row[2] for row in rows] if kind.properties else None,
                )


def _one(database: Any, text: str) -> int:
    return int(next(iter(database.query("opencypher", text))).get("v"))


if __name__ == "__main__":
    main()
