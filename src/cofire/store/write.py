"""The one write path: putting an SAE into the graph, and taking it out.

    1. The `Sae` node is made with status 'loading', which hides everything of it from the library's queries.
    2. Each batch of the plan is one transaction, which also moves the node's `loadedBatches` on by one and does
       nothing unless it stood at this batch's number. A batch is therefore applied exactly once, whatever is killed,
       retried or run twice, and a load that died goes on where it stopped.
    3. The last transaction sets status 'ready'.

Deleting goes the other way: status 'deleting' first, then everything in batches, the node itself last.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from cofire.errors import ConflictError, StoreError
from cofire.ingest.load import LoadPlan
from cofire.schema.cypher import ddl
from cofire.schema.nodes import NODES
from cofire.store.connect import Store

Progress = Callable[[int, int], None]
Outcome = Literal["loaded", "resumed", "replaced", "unchanged"]

DELETE_ROWS = 10_000

# A write lock on the node, so that two loaders of one SAE take turns.
_LOCK = "MATCH (s:Sae {uid: $uid}) SET s.loadedBatches = s.loadedBatches"
_GUARD = "MATCH (journal:Sae {uid: $uid, status: 'loading', contentHash: $hash, loadedBatches: $batch}) "
_ADVANCE = (
    "MATCH (s:Sae {uid: $uid, status: 'loading', contentHash: $hash, loadedBatches: $batch}) "
    "SET s.loadedBatches = $batch + 1"
)


def load_sae(store: Store, plan: LoadPlan, *, replace: bool = False, progress: Progress | None = None) -> Outcome:
    """Load one SAE; an equal one that is there already is left alone.

    Args:
        store: an open store.
        plan: from `cofire.ingest.load.load_plan`.
        replace: delete another version of the SAE first.
        progress: called with (batches done, batches in all).

    Returns:
        What happened.

    Raises:
        ConflictError: the store holds another version, ready or half loaded, and `replace` is not given.
        StoreError: the store failed.
    """
    store.ddl(ddl())
    outcome: Outcome = "loaded"
    found = _state(store, plan.uid)
    if found is not None:
        status, content_hash, _ = found
        if status == "ready" and content_hash == plan.content_hash:
            return "unchanged"
        if status == "loading" and content_hash == plan.content_hash:
            outcome = "resumed"
        elif status == "deleting" or replace:
            delete_sae(store, plan.uid)
            outcome, found = "replaced", None
        else:
            half = "a half-loaded" if status == "loading" else "another"
            raise ConflictError(
                f"{store.location} holds {half} version of {plan.uid}; add --replace to put this one in its place"
            )
    if found is None:
        properties = {**plan.sae, "status": "loading", "contentHash": plan.content_hash, "loadedBatches": 0}
        store.write([("MERGE (s:Sae {uid: $uid}) ON CREATE SET s += $sae", {"uid": plan.uid, "sae": properties})])
    state = _state(store, plan.uid)
    _write_batches(store, plan, state[2] if state else 0, progress)
    return outcome


def _write_batches(store: Store, plan: LoadPlan, start: int, progress: Progress | None) -> None:
    keys: dict[str, Any] = {"uid": plan.uid, "hash": plan.content_hash}
    for number, batch in enumerate(plan.batches(start), start):
        where = {**keys, "batch": number}
        store.write([(_LOCK, keys), (_GUARD + batch.statement, {**where, "rows": batch.rows}), (_ADVANCE, where)])
        if progress is not None:
            progress(number + 1, plan.total)
    store.write([(_LOCK, keys), (_GUARD + "SET journal.status = 'ready'", {**keys, "batch": plan.total})])
    state = _state(store, plan.uid)
    if state is None or state[:2] != ("ready", plan.content_hash):
        raise StoreError(f"{plan.uid} was changed by another process while it was loaded; run the same command again")


def delete_sae(store: Store, uid: str, progress: Progress | None = None) -> None:
    """Delete an SAE and everything that is its own; releases, models and tokens stay. Can be killed and run again."""
    store.write([("MATCH (s:Sae {uid: $uid}) SET s.status = 'deleting'", {"uid": uid})])
    # Relationships first: a node with many would make one large transaction.
    statements = [
        f"MATCH (:Latent {{sae: $uid}})-[r:{type_}]->() WITH r LIMIT $limit DELETE r RETURN count(*) AS n"
        for type_ in ("CO_FIRES", "FIRES_ON", "SHOWN_BY", "IN", "OF")
    ] + [
        f"MATCH (n:{node.label} {{sae: $uid}}) WITH n LIMIT $limit DETACH DELETE n RETURN count(*) AS n"
        for node in NODES
        if any(p.name == "sae" for p in node.properties)
    ]
    # Tokens that an import without texts made for itself; those of a model are shared and stay.
    statements.append(
        "MATCH (t:Token) WHERE t.uid STARTS WITH $uid + '/token/' WITH t LIMIT $limit "
        "DETACH DELETE t RETURN count(*) AS n"
    )
    for number, statement in enumerate(statements):
        while store.write([(statement, {"uid": uid, "limit": DELETE_ROWS})])[0].rows[0][0]:
            pass
        if progress is not None:
            progress(number + 1, len(statements))
    store.write([("MATCH (s:Sae {uid: $uid}) DETACH DELETE s", {"uid": uid})])


def holds(store: Store, uid: str) -> bool:
    """Tell whether the store has an SAE, ready or half loaded; one that is being deleted does not count."""
    state = _state(store, uid)
    return state is not None and state[0] != "deleting"


def _state(store: Store, uid: str) -> tuple[str, str, int] | None:
    """Return (status, contentHash, loadedBatches) of an SAE, or None when there is none."""
    text = "MATCH (s:Sae {uid: $uid}) RETURN s.status, s.contentHash, s.loadedBatches"
    rows = store.read(text, {"uid": uid}).rows
    return (str(rows[0][0]), str(rows[0][1]), int(rows[0][2])) if rows else None
