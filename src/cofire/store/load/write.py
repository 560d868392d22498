"""The one write path: putting an SAE into the graph, and taking it out.

    1. The `Sae` node is made with status 'loading', which hides everything of it from the library's queries.
    2. Each batch is one transaction, which also moves the journal on (see `journal`). On Neo4j two
       writers share each section, the first half of its rows and the second; a section begins when the one before it
       is done, as relationships need their nodes.
    3. The last transaction sets status 'ready'.

A batch has at most BATCH_ROWS rows, about BATCH_VALUES values and BATCH_BYTES bytes; it is halved where transactions
take long, and grows back. Into an embedded store that is empty, everything goes at once by another way: see `bulk`.

Deleting goes the other way: status 'deleting' first, then everything in batches, the node itself last.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import partial
from typing import Any

from cofire.common.progress import Progress
from cofire.errors import StoreError
from cofire.schema.base import Node, Relationship
from cofire.schema.cypher import create_nodes, create_relationships, create_relationships_by_id, merge_nodes
from cofire.schema.nodes import LOAD_JOURNAL, NODES
from cofire.schema.relationships import CO_FIRES, RELATIONSHIPS
from cofire.store.connect import Run, Store
from cofire.store.faults import ServerGone
from cofire.store.load.bulk import bulk_load
from cofire.store.load.journal import (
    Claim,
    Outcome,
    begin,
    begun,
    check_shared,
    claim_deletion,
    claim_load,
    finish,
    give_back,
    guarded,
)
from cofire.store.packed import fitting
from cofire.store.plan.section import LoadPlan, Row, Section, likely
from cofire.store.values import Rows
from cofire.store.versions import ensure_schema

BATCH_ROWS = 10_000
BATCH_VALUES = 150_000
BATCH_BYTES = 4 << 20
"""Well below what the embedded store takes: see `cofire.store.results.MOST_BYTES`."""
LEAST_ROWS = 20
WRITERS = {"neo4j": 2, "embedded": 1}
"""ArcadeDB takes one writer at a time; two of them only repeat each other's conflicts."""
DELETE_ROWS = 10_000
ATTEMPTS = 5
"""How often a load goes on by itself after an embedded server has ended under it."""

_LAST_BATCH_SECONDS = 1.0
"""What the writers have for the batches under way when Ctrl-C comes."""
_SLOW_SECONDS, _QUICK_SECONDS = 4.0, 1.0


def load_sae(store: Store, plan: LoadPlan, *, replace: bool = False, progress: Progress | None = None) -> Outcome:
    """Load one SAE; an equal one that is there already is left alone.

    Cost: time and transactions grow with `plan.rows`; memory holds the table of one section and a batch a writer.

    Args:
        store: an open store.
        plan: from `cofire.store.plan.plan.load_plan`.
        replace: delete another version of the SAE first.
        progress: called with (rows done, rows in all), from any thread, one call at a time.

    Returns:
        What happened.

    Raises:
        ConflictError: another process loads or deletes this SAE just now; or the store holds another version, ready
            or half loaded, and `replace` is not given.
        InputError: the store has an older or newer schema, or another model of the same name.
        StoreError: the store failed.
    """
    ensure_schema(store)
    check_shared(store, [plan])
    if bulk_load(store, [plan], progress):
        return "loaded"
    for attempt in range(ATTEMPTS):
        try:
            return _load(store, plan, replace, progress)
        except ServerGone:
            # The process whose embedded server this one shared has ended: go on with a server of our own.
            if attempt == ATTEMPTS - 1:
                raise
    raise AssertionError


def _load(store: Store, plan: LoadPlan, replace: bool, progress: Progress | None) -> Outcome:
    writers = WRITERS[store.kind]
    claim = claim_load(store, plan, writers=writers, replace=replace)
    try:
        if claim.outcome == "unchanged":
            return claim.outcome
        if claim.deleting:
            _clear(store, claim)
            guarded(store, claim, lambda run: begin(run, plan, claim.holder, writers))
            claim = begun(claim, writers)
        last = _write_sections(store, plan, claim, progress)
        store.transact(lambda run: finish(run, claim, last))
    finally:
        give_back(claim)
    return claim.outcome


def delete_sae(store: Store, uid: str, progress: Progress | None = None) -> bool:
    """Delete an SAE and everything that is its own; releases, models and tokens stay. Can be killed and run again.

    Args:
        store: an open store.
        uid: the SAE, whatever its status.
        progress: called with (steps done, steps in all).

    Returns:
        False where the store has no such SAE.

    Raises:
        ConflictError: another process loads or deletes it just now.
        StoreError: the store failed.
    """
    if not store.read("MATCH (s:Sae {uid: $uid}) RETURN s.uid", {"uid": uid}).rows:
        return False
    ensure_schema(store)
    claim = claim_deletion(store, uid)
    if claim is None:
        return False

    def gone(run: Run) -> None:
        run("MATCH (j:LoadJournal) WHERE j.sae = $uid DELETE j", {"uid": uid})
        run("MATCH (s:Sae {uid: $uid}) DETACH DELETE s", {"uid": uid})

    try:
        _clear(store, claim, progress)
        guarded(store, claim, gone)
    finally:
        give_back(claim)
    return True


def _write_sections(store: Store, plan: LoadPlan, claim: Claim, progress: Progress | None) -> tuple[int, ...]:
    """Write what is missing of each section; returns how many rows each writer has in all."""
    writers = len(claim.done)
    before = [0] * writers  # each writer's rows in the sections so far
    told, total, lock, stop = sum(claim.done), plan.rows, threading.Lock(), threading.Event()

    def tell(rows: int) -> None:
        nonlocal told
        with lock:
            told += rows
            if progress is not None:
                progress(told, total)

    def part(writer: int, writing: _Writing, low: int, high: int, base: int) -> None:
        done = min(max(claim.done[writer] - base, 0), high - low)
        size = None
        while done < high - low and not stop.is_set():
            size = size or _BatchSize(writing.section, low)
            rows = writing.rows(low + done, min(low + done + size.rows, high))
            begun_at = time.monotonic()
            work = partial(_write_rows, plan.uid, writing.statement, rows)
            try:
                guarded(store, claim, work, writer=writer, start=base + done, stop=base + done + len(rows))
            except StoreError as error:
                if "OutOfMemory" in str(error) and size.halve():
                    continue
                raise
            size.took(time.monotonic() - begun_at)
            done += len(rows)
            tell(len(rows))

    def part_or_stop(*arguments: Any) -> None:
        try:
            part(*arguments)
        except BaseException:
            stop.set()  # the other writer ends after its batch
            raise

    futures: list[Future[None]] = []
    with ThreadPoolExecutor(writers, thread_name_prefix="cofire-writer") as pool:
        try:
            for section in plan.sections:
                ends = [section.count * w // writers for w in range(writers + 1)]
                writing = _Writing(store, plan.uid, section)
                futures = [
                    pool.submit(part_or_stop, w, writing, ends[w], ends[w + 1], before[w]) for w in range(writers)
                ]
                for future in futures:
                    future.result()
                before = [b + ends[w + 1] - ends[w] for w, b in enumerate(before)]
        except KeyboardInterrupt:
            stop.set()
            wait(futures, _LAST_BATCH_SECONDS)  # a batch that is cut is written or not: the journal knows
            store.interrupt()
            raise
        finally:
            stop.set()
    return tuple(before)


def _run_one(statement: str, parameters: dict[str, Any], run: Run) -> Rows:
    return run(statement, parameters)


def _write_rows(uid: str, statement: str, rows: list[Row], run: Run) -> None:
    """Write rows; a relationship whose end is missing would else be left out without a word."""
    written = run(f"{statement} RETURN count(*)", {"rows": rows}).rows[0][0]
    if written != len(rows):
        raise StoreError(
            f"{len(rows) - written} of {len(rows)} rows found no node to stand at; "
            f"take the SAE out with `cofire delete {uid}` and load it again"
        )


class _Writing:
    """How the rows of one section are written."""

    def __init__(self, store: Store, uid: str, section: Section) -> None:
        self.section = section
        self.statement = statement_of(section.kind)
        self._ids: dict[str, str] | None = None
        if section.kind is CO_FIRES and store.kind == "neo4j":
            self.statement = create_relationships_by_id(CO_FIRES)
            found = store.read("MATCH (a:Latent) WHERE a.sae = $uid RETURN a.uid, elementId(a)", {"uid": uid})
            self._ids = {row[0]: row[1] for row in found.rows}

    def rows(self, start: int, stop: int) -> list[Row]:
        """Return rows from `start`, to `stop` (not included) or as many as one message takes."""
        rows = self.section.rows(start, stop)
        if self._ids is not None:
            rows = [[self._ids[row[0]], self._ids[row[1]], *row[2:]] for row in rows]
        return fitting(rows, BATCH_BYTES)


def statement_of(kind: Node | Relationship) -> str:
    """Return the statement that writes `$rows` of one sort."""
    if isinstance(kind, Relationship):
        return create_relationships(kind)
    return merge_nodes(kind) if kind.shared else create_nodes(kind)


class _BatchSize:
    """How many rows of a section go into one transaction."""

    def __init__(self, section: Section, at: int) -> None:
        self._most = max(likely(section, at, BATCH_ROWS, BATCH_VALUES, BATCH_BYTES), LEAST_ROWS)
        self.rows = self._most

    def took(self, seconds: float) -> None:
        if seconds > _SLOW_SECONDS:
            self.halve()
        elif seconds < _QUICK_SECONDS:
            self.rows = min(self.rows * 2, self._most)

    def halve(self) -> bool:
        """Make it smaller; False where it is as small as it gets."""
        before, self.rows = self.rows, max(self.rows // 2, LEAST_ROWS)
        return self.rows < before


def _clear(store: Store, claim: Claim, progress: Progress | None = None) -> None:
    """Delete everything of an SAE but its `Sae` node and journal."""
    own = [node for node in NODES if node is not LOAD_JOURNAL and any(p.name == "sae" for p in node.properties)]
    # Relationships first: a node with many would make one large transaction.
    types = dict.fromkeys(
        (r.source.label, r.type) for r in RELATIONSHIPS if any(p.name == "sae" for p in r.source.properties)
    )
    statements = [
        f"MATCH (n:{label}) WHERE n.sae = $uid MATCH (n)-[r:{type_}]->() "
        "WITH r LIMIT $limit DELETE r RETURN count(*) AS n"
        for label, type_ in types
    ] + [
        f"MATCH (n:{node.label}) WHERE n.sae = $uid WITH n LIMIT $limit DETACH DELETE n RETURN count(*) AS n"
        for node in own
    ]
    # The node itself stays until the end, or becomes that of the next version: its own relationships go now.
    statements.append("MATCH (s:Sae {uid: $uid})-[r]->() WITH r LIMIT $limit DELETE r RETURN count(*) AS n")
    # Tokens that an import without texts made for itself; those of a model are shared and stay.
    statements.append(
        "MATCH (t:Token) WHERE t.uid STARTS WITH $uid + '/token/' AND NOT EXISTS { (t)<-[:FIRES_ON]-() } "
        "WITH t LIMIT $limit "
        "DETACH DELETE t RETURN count(*) AS n"
    )
    parameters: dict[str, Any] = {"uid": claim.uid, "limit": DELETE_ROWS}
    for number, statement in enumerate(statements):
        while (answer := guarded(store, claim, partial(_run_one, statement, parameters))) and answer.rows[0][0]:
            pass
        if progress is not None:
            progress(number + 1, len(statements))
