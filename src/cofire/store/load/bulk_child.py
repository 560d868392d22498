"""Fills a new ArcadeDB database, a process of its own: `python -m cofire.store.load.bulk_child`.

Its input is a sequence of pickled messages from `bulk`, a process of the same user and program:

    {"old": DATABASE or None, "new": DATABASE, "statements": [(language, text), ...]}
    ("nodes", label, property names, key's place, rows)  or  ("links", type, source label, target label, names, rows)
    None

It answers each with one JSON line, {"rows": N}, or {"refused": true} to the first where the old database holds an SAE,
or {"error": ...}. The rows go through ArcadeDB's `graph_batch`, which keeps no log: the new database counts only when
all of it is there, and then its maker puts it in the old one's place.

As in `cofire.store.embedded.server_child`, every end goes through os._exit.
"""

from __future__ import annotations

import json
import os
import pickle
import sys
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any

__all__ = ["main"]

Rids = dict[str, dict[Any, str]]


def main() -> None:
    """Serve one load. Does not return: ends with os._exit."""
    status = 1
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")  # not closed: that would raise where the parent is gone
    os.dup2(2, 1)  # what the JVM says goes to the log
    try:
        _fill(sys.stdin.buffer, answers)
        status = 0
    except BaseException as error:  # noqa: BLE001 - every end must go through os._exit
        traceback.print_exc()
        with suppress(OSError):
            _say(answers, {"error": " ".join(str(error).split()) or type(error).__name__})
    os._exit(status)


def _fill(messages: Any, answers: Any) -> None:
    import arcadedb_embedded

    # Pickle is safe here: the pipe is this process's parent's, and nobody else can write to it.
    order = pickle.load(messages)  # noqa: S301
    if order["old"] is not None and _used(arcadedb_embedded, Path(order["old"])):
        _say(answers, {"refused": True})
        return
    database = arcadedb_embedded.create_database(order["new"])
    for language, text in order["statements"]:
        database.command(language, text)
    _say(answers, {"rows": 0})
    rids: Rids = {}
    with database.graph_batch() as batch:
        while (message := pickle.load(messages)) is not None:  # noqa: S301
            rows = _nodes(batch, rids, *message[1:]) if message[0] == "nodes" else _links(batch, rids, *message[1:])
            _say(answers, {"rows": rows})
    database.close()
    _say(answers, {"rows": 0})


def _used(engine: Any, old: Path) -> bool:
    """Whether the old database holds an SAE, whole or not."""
    if not old.is_dir():
        return False
    database = engine.open_database(str(old))
    try:
        types = {row.get("name") for row in database.query("sql", "SELECT name FROM schema:types")}
        if "Sae" not in types:
            return False
        return any(row.get("n") for row in database.query("sql", "SELECT count(*) AS n FROM Sae"))
    finally:
        database.close()


def _nodes(batch: Any, rids: Rids, label: str, names: list[str], key: int, rows: list[list[Any]]) -> int:
    made = _vertices(batch, label, [_present(names, row) for row in rows])
    rids.setdefault(label, {}).update(zip((row[key] for row in rows), made, strict=True))
    return len(rows)


def _vertices(batch: Any, label: str, rows: list[dict[str, Any]]) -> list[str]:
    """The bindings send rows with lists value by value; the engine's own JSON reader takes them in one piece."""
    import jpype

    if not rows:
        return []
    batcher = jpype.JClass("com.arcadedb.python.VertexBatcher")
    return str(batcher.createVerticesJson(batch._java_graph_batch, label, json.dumps(rows))).split(";")


def _links(batch: Any, rids: Rids, kind: str, source: str, target: str, names: list[str], rows: list[list[Any]]) -> int:
    sources, targets = rids[source], rids[target]
    batch.new_edges(
        [sources[row[0]] for row in rows],
        kind,
        [targets[row[1]] for row in rows],
        [_present(names, row[2:]) for row in rows] if names else None,
    )
    return len(rows)


def _present(names: list[str], values: list[Any]) -> dict[str, Any]:
    """A property that is null is absent, as Cypher has it."""
    return {name: value for name, value in zip(names, values, strict=True) if value is not None}


def _say(answers: Any, message: dict[str, object]) -> None:
    print(json.dumps(message), file=answers, flush=True)


if __name__ == "__main__":
    main()
