"""Loading into an embedded store that holds no SAE yet: into a new database beside it, which then takes its place.

ArcadeDB's `graph_batch` writes several times as many rows a second as Cypher does, but keeps no log, so that a load
that is killed cannot be mended. Nothing is mended here: the new database counts when it is whole, and until then the
store stays as it was. Whoever else opens the store meanwhile waits for it.
"""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import IO, Any

from cofire.common.progress import Progress
from cofire.common.room import LOG, new_log, refused
from cofire.errors import StoreError
from cofire.schema.base import Node, PropertyType, Relationship
from cofire.schema.cypher import ddl
from cofire.schema.nodes import NODES, SAE, SCHEMA_VERSION
from cofire.schema.relationships import RELATIONSHIPS
from cofire.store.connect import Store
from cofire.store.embedded.database_files import DATABASE, filling, new_database, put_in_place
from cofire.store.embedded.server import java_environment
from cofire.store.plan.section import LoadPlan, Section, slices
from cofire.store.plan.shared_nodes import SharedNodes
from cofire.store.versions import VERSION

LEAST_ROWS = 50_000
"""Fewer rows are loaded sooner by Cypher: a new database costs two starts of the engine."""
MESSAGE_ROWS = 20_000
MESSAGE_VALUES = 400_000
MESSAGE_BYTES = 32 << 20
_AHEAD = 3
"""Messages that may wait in the pipe: the rows of the next one are made while the last one is written."""

_TYPES: dict[PropertyType, str] = {
    "string": "STRING",
    "integer": "LONG",
    "float": "DOUBLE",
    "boolean": "BOOLEAN",
    "list<integer>": "LIST OF LONG",
    "list<float>": "LIST OF DOUBLE",
    "list<string>": "LIST OF STRING",
}


def bulk_load(store: Store, plans: Sequence[LoadPlan], progress: Progress | None = None) -> bool:
    """Load SAEs into an embedded store that holds none, all of them at once.

    Args:
        store: an open store.
        plans: from `cofire.store.plan.plan.load_plan`, one or more, of different SAEs.
        progress: called with (rows done, rows in all).

    Returns:
        False, and nothing is done, where this way is not open: on Neo4j, for fewer than LEAST_ROWS rows, where the
        store holds an SAE (one that is being loaded included), or where its server is another process's.

    Raises:
        StoreError: it failed; the store is as it was.
    """
    if store.kind != "embedded" or sum(plan.rows for plan in plans) < LEAST_ROWS:
        return False
    if store.read("MATCH (s:Sae) RETURN count(s)", {}).rows != [(0,)]:
        return False
    with store.alone() as held:
        if held is None:
            return False
        directory, lock = held
        return fill(directory, lock, plans, progress)


def fill(
    directory: Path, lock: int, plans: Sequence[LoadPlan], progress: Progress | None = None, *, anew: bool = False
) -> bool:
    """Fill a new database and put it in the old one's place.

    Args:
        directory: the store; its server does not run.
        lock: an open file that holds the store's lock.
        plans: what is loaded.
        progress: called with (rows done, rows in all).
        anew: do not look into the old database, and lose what is in it.

    Returns:
        False, and nothing is done, where the old database holds an SAE.

    Raises:
        StoreError: it failed; the old database is as it was.
    """
    with filling(directory):
        new = new_database(directory)
        child = _start(directory, lock)
        try:
            if not _send(child, directory, new, plans, progress, anew):
                return False
        except BaseException:
            child.kill()
            raise
        finally:
            for pipe in (child.stdin, child.stdout):
                if pipe is not None:
                    # What a dead child has not read cannot be flushed; that it died has been said.
                    with suppress(BrokenPipeError):
                        pipe.close()
            child.wait()
        put_in_place(directory)
    return True


def _start(directory: Path, lock: int) -> subprocess.Popen[bytes]:
    with new_log(directory) as log:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "cofire.store.load.bulk_child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env=java_environment(),
            cwd=directory,
            pass_fds=[lock],  # held as long as it writes, also when this process is killed
            start_new_session=True,
        )


def _send(
    child: subprocess.Popen[bytes],
    directory: Path,
    new: Path,
    plans: Sequence[LoadPlan],
    progress: Progress | None,
    anew: bool,
) -> bool:
    stdin, stdout = child.stdin, child.stdout
    assert stdin is not None  # noqa: S101 - both are pipes
    assert stdout is not None  # noqa: S101
    order = {"old": None if anew else str(new.with_name(DATABASE)), "new": str(new), "statements": _statements()}
    if "refused" in _exchange(stdin, stdout, order, directory):
        return False
    total, done, waiting = sum(plan.rows for plan in plans), 0, deque[int]()

    def answer() -> None:
        nonlocal done
        done += waiting.popleft()
        _answer(stdout, directory)
        if progress is not None:
            progress(done, total)

    for message, rows in _messages(plans):
        _put(stdin, stdout, message, directory)
        waiting.append(rows)
        if len(waiting) > _AHEAD:
            answer()
    while waiting:
        answer()
    _exchange(stdin, stdout, None, directory)
    if progress is not None:
        progress(total, total)  # a shared node that several plans have was one row
    return True


def _messages(plans: Sequence[LoadPlan]) -> Iterator[tuple[Any, int]]:
    """Yield each message with the number of the plans' rows in it."""
    yield _nodes(SCHEMA_VERSION, [["cofire", VERSION, metadata.version("cofire")]]), 0
    shared = SharedNodes()
    for plan in plans:
        for node, rows in _shared_rows(plan):
            shared.add(node, rows, plan.uid)
    for node, rows in shared.slices(MESSAGE_ROWS, MESSAGE_BYTES):
        yield _nodes(node, rows), len(rows)
    for plan in plans:
        sae = {**plan.sae, "status": "ready", "contentHash": plan.content_hash}
        yield _nodes(SAE, [[sae.get(p.name) for p in SAE.properties]]), 0
        for section in plan.sections:
            kind = section.kind
            if isinstance(kind, Node) and kind.shared:
                continue
            for rows in _slices(section):
                yield (_nodes(kind, rows) if isinstance(kind, Node) else _links(kind, rows)), len(rows)


def _shared_rows(plan: LoadPlan) -> Iterator[tuple[Node, list[list[Any]]]]:
    for section in plan.sections:
        if isinstance(section.kind, Node) and section.kind.shared:
            for rows in _slices(section):
                yield section.kind, rows


def _slices(section: Section) -> Iterator[list[list[Any]]]:
    return slices(section, rows=MESSAGE_ROWS, values=MESSAGE_VALUES, size=MESSAGE_BYTES)


def _nodes(kind: Node, rows: list[list[Any]]) -> Any:
    names = [p.name for p in kind.properties]
    return "nodes", kind.label, names, names.index(kind.key), rows


def _links(kind: Relationship, rows: list[list[Any]]) -> Any:
    return "links", kind.type, kind.source.label, kind.target.label, [p.name for p in kind.properties], rows


def _statements() -> list[tuple[str, str]]:
    """Types, constraints and indexes. Declared types keep a small integer a LONG, which JSON would make an INTEGER."""
    statements = [("opencypher", text) for text in ddl()]
    for node in NODES:
        statements.append(("sql", f"CREATE VERTEX TYPE {node.label} IF NOT EXISTS"))
        statements += _declared(node.label, node)
    for kind in {r.type: r for r in reversed(RELATIONSHIPS)}.values():
        statements.append(("sql", f"CREATE EDGE TYPE `{kind.type}` IF NOT EXISTS"))
        statements += _declared(kind.type, kind)
    return statements


def _declared(name: str, kind: Node | Relationship) -> list[tuple[str, str]]:
    return [("sql", f"CREATE PROPERTY `{name}`.`{p.name}` IF NOT EXISTS {_TYPES[p.type]}") for p in kind.properties]


def _exchange(stdin: IO[bytes], stdout: IO[bytes], message: Any, directory: Path) -> dict[str, Any]:
    _put(stdin, stdout, message, directory)
    return _answer(stdout, directory)


def _put(stdin: IO[bytes], stdout: IO[bytes], message: Any, directory: Path) -> None:
    try:
        pickle.dump(message, stdin, protocol=pickle.HIGHEST_PROTOCOL)
        stdin.flush()
    except BrokenPipeError:
        while True:  # it has said why
            _answer(stdout, directory)


def _answer(stdout: IO[bytes], directory: Path) -> dict[str, Any]:
    line = stdout.readline()
    answer = dict(json.loads(line)) if line else {"error": "its process ended"}
    if "error" in answer:
        if reason := refused(directory):
            raise StoreError(reason)
        log = directory / LOG
        raise StoreError(f"loading into {os.fspath(directory)} failed: {answer['error']} (see {log}); run it again")
    return answer
