"""The whole graph as slices of rows, from captures (no store is needed) or from a store, for `directory`.

Both give the same graph: the `Sae` nodes with status 'ready', everything of theirs, each shared node once, and the node
that says which version of the schema it is. Load journals are left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib import metadata
from itertools import islice

from cofire.common.progress import StageProgress
from cofire.errors import QueryError, StoreError
from cofire.ingest.capture_dir.directory import CaptureDir
from cofire.schema.base import Node, Relationship
from cofire.schema.nodes import LATENT, LOAD_JOURNAL, SAE, SCHEMA_VERSION
from cofire.schema.relationships import RELATIONSHIPS
from cofire.store.connect import Store
from cofire.store.export.formats import KINDS
from cofire.store.plan.plan import load_plan
from cofire.store.plan.section import LoadPlan, Row, slices
from cofire.store.plan.shared_nodes import SharedNodes
from cofire.store.versions import VERSION

Slice = tuple[Node | Relationship, list[Row]]

SLICE_ROWS = 10_000
SLICE_BYTES = 64 << 20
LATENT_SLICE_ROWS = 200
"""A latent may carry some 4,400 numbers (histogram and decoder direction)."""

_READY = """MATCH (s:Sae {status: 'ready'})
RETURN s.uid AS uid, s.contentHash AS hash, s.nLatents AS latents, s.nEdges AS edges
ORDER BY uid"""


def capture_rows(
    captures: Sequence[CaptureDir], progress: StageProgress | None = None, *, decoders: bool = True
) -> Iterator[Slice]:
    """Yield the graph that loading the captures, in this order, into an empty store would make.

    Memory holds the tables of one capture and the shared nodes.

    Args:
        captures: counted and analysed captures of different SAEs.
        progress: called with (SAE uid, rows done, rows in all).
        decoders: the decoder directions too, as `cofire.store.plan.plan.load_plan`.

    Raises:
        CaptureError: a capture is not counted or not analysed, or damaged.
        InputError: two models have one name, or something is too large for a store.
    """
    shared = SharedNodes()
    yield SCHEMA_VERSION, [_schema_row()]
    for capture in captures:
        plan = load_plan(capture, decoders=decoders)
        yield SAE, [_sae_row(plan)]
        done = 0
        for section in plan.sections:
            for rows in slices(section, rows=_slice_rows(section.kind), values=SLICE_BYTES, size=SLICE_BYTES):
                if isinstance(section.kind, Node) and section.kind.shared:
                    shared.add(section.kind, rows, plan.uid)
                else:
                    yield section.kind, rows
                done += len(rows)
                if progress is not None:
                    progress(capture.uid, done, plan.rows)
    yield from shared.slices(SLICE_ROWS, SLICE_BYTES)


def store_rows(store: Store, saes: Sequence[str] = (), progress: StageProgress | None = None) -> Iterator[Slice]:
    """Yield the graph of a store's ready SAEs, streamed sort by sort; of these SAEs alone where any are named.

    Relationships between two SAEs are there when both are. Memory holds a slice and the shared nodes.

    Args:
        store: an open store.
        saes: uids; empty for all that are ready.
        progress: called with (SAE uid, rows done, rows in all or, as that is not known beforehand, a lower bound).

    Raises:
        QueryError: an SAE is unknown or not ready, or there is none; raised with the first slice.
        StoreError: the store failed, or an SAE was replaced or deleted meanwhile.
    """
    ready = {row[0]: row[1:] for row in store.read(_READY).rows}
    for uid in saes:
        if uid not in ready:
            raise QueryError(f"unknown SAE {uid}, or half loaded: `cofire saes` lists what is in {store.location}")
    if not ready:
        raise QueryError(f"{store.location} holds no SAE; load one with `cofire ingest`")
    chosen = sorted(set(saes)) or list(ready)
    shared = SharedNodes()
    yield SCHEMA_VERSION, [_schema_row()]
    for uid in chosen:
        _, latents, edges = ready[uid]
        done, least = 0, 2 * int(latents or 0) + int(edges or 0)
        for kind in KINDS:
            if kind in (LOAD_JOURNAL, SCHEMA_VERSION):
                continue
            rows = (list(row) for _, row in store.stream(_text(kind), {"sae": uid, "saes": chosen}))
            while part := list(islice(rows, _slice_rows(kind))):
                if isinstance(kind, Node) and kind.shared:
                    shared.add(kind, part, uid)
                else:
                    yield kind, part
                done += len(part)
                if progress is not None:
                    progress(uid, done, max(done, least))
    yield from shared.slices(SLICE_ROWS, SLICE_BYTES)
    now = {row[0]: row[1] for row in store.read(_READY).rows}
    for uid in chosen:
        if now.get(uid) != ready[uid][0]:
            raise StoreError(f"{uid} was replaced or deleted in {store.location} meanwhile; export again")


def _slice_rows(kind: Node | Relationship) -> int:
    return LATENT_SLICE_ROWS if kind == LATENT else SLICE_ROWS


def _sae_row(plan: LoadPlan) -> Row:
    properties = {**plan.sae, "status": "ready", "contentHash": plan.content_hash}
    return [properties.get(p.name) for p in SAE.properties]


def _schema_row() -> Row:
    properties = {"uid": "cofire", "version": VERSION, "cofireVersion": metadata.version("cofire")}
    return [properties[p.name] for p in SCHEMA_VERSION.properties]


def _text(kind: Node | Relationship) -> str:
    """Return the Cypher that reads all rows of one sort that belong to $sae. All names come from the schema."""
    if isinstance(kind, Relationship):
        a, b = kind.source, kind.target
        values = [f"a.{a.key}", f"b.{b.key}", *(f"r.{p.name}" for p in kind.properties)]
        inside = " WHERE b.sae IN $saes" if _of_sae(a) and _of_sae(b) else ""
        return (
            f"MATCH (a:{a.label}) WHERE a.{_owner(a)} = $sae MATCH (a)-[r:{kind.type}]->(b:{b.label}){inside} "
            f"RETURN {_numbered(values)}"
        )
    values = [f"n.{p.name}" for p in kind.properties]
    if not kind.shared:
        return f"MATCH (n:{kind.label}) WHERE n.{_owner(kind)} = $sae RETURN {_numbered(values)}"
    link = next(r for r in RELATIONSHIPS if r.target == kind)
    return (
        f"MATCH (a:{link.source.label}) WHERE a.{_owner(link.source)} = $sae "
        f"MATCH (a)-[:{link.type}]->(n:{kind.label}) RETURN DISTINCT {_numbered(values)}"
    )


def _of_sae(node: Node) -> bool:
    return any(p.name == "sae" for p in node.properties)


def _owner(node: Node) -> str:
    """The property that holds the SAE's uid."""
    return "sae" if _of_sae(node) else "uid"


def _numbered(values: list[str]) -> str:
    return ", ".join(f"{value} AS c{i}" for i, value in enumerate(values))
