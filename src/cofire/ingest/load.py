"""From the tables of a capture to rows for the graph, in the order in which they are loaded.

A `LoadPlan` is a numbered sequence of batches, the same for the same tables; `cofire.store.write` puts each into the
graph together with its number, so that a load that was killed goes on at the right batch.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from cofire.ingest.capture_dir import CaptureDir
from cofire.ingest.table_files import digest, read_table, table_infos
from cofire.schema.base import Node, Relationship
from cofire.schema.cypher import create_nodes, create_relationships, merge_nodes
from cofire.schema.nodes import CAPTURE, CLUSTER, CONTEXT, LATENT, MODEL, RELEASE, TOKEN
from cofire.schema.relationships import CAPTURED_IN, CO_FIRES, FIRES_ON, IN, IN_RELEASE, OF, READS, SHOWN_BY
from cofire.schema.tables import CLUSTERS, CONTEXTS, EDGES, LATENTS, MEMBERS, TOKENS, Table

if TYPE_CHECKING:
    import pyarrow as pa

Row = list[Any]

# Rows in a batch. A latent carries a histogram of 256 numbers, so fewer of them make a message of the same size.
BATCH_ROWS = 10_000
LATENT_BATCH_ROWS = 1_000
# Part of every content hash: raise it when the same tables give another graph.
PLAN_VERSION = 1


@dataclass(frozen=True)
class Batch:
    """One statement over `$rows` (lists in the statement's order)."""

    statement: str
    rows: list[Row]


@dataclass(frozen=True)
class _Section:
    """All rows of one statement: how many, how many in a batch, and how to make them."""

    statement: str
    count: int
    size: int
    rows: Callable[[], list[Row]]


@dataclass(frozen=True)
class LoadPlan:
    """What one SAE's load writes.

    Attributes:
        uid: the SAE's uid.
        sae: the properties of its `Sae` node, without status, contentHash and loadedBatches.
        content_hash: fingerprint of everything in the plan.
        total: the number of batches.
        rows: the number of rows in all of them.
    """

    uid: str
    sae: dict[str, Any]
    content_hash: str
    total: int
    rows: int
    _sections: tuple[_Section, ...]

    def batches(self, start: int = 0) -> Iterator[Batch]:
        """Yield the batches in order from number `start`; one section's rows are in memory at a time."""
        number = 0
        for section in self._sections:
            batches = -(-section.count // section.size)
            if number + batches > start:
                rows = section.rows()
                for k in range(max(0, start - number), batches):
                    yield Batch(section.statement, rows[k * section.size : (k + 1) * section.size])
            number += batches


def load_plan(capture: CaptureDir) -> LoadPlan:
    """Plan the load of a counted and analysed capture.

    Raises:
        CaptureError: a table is missing or is not what was recorded.
    """
    from cofire import __version__

    infos = table_infos(capture)
    for table in (LATENTS, EDGES, CLUSTERS, MEMBERS):
        if table.name not in infos:
            read_table(capture, table)  # raises, saying which is missing and what to run
    sae = _sae_properties(capture)
    hashes = {name: info.sha256 for name, info in sorted(infos.items())}
    sections = tuple(_sections(capture))
    known = capture.manifest.model
    model = [known.name, known.n_layers, known.d_model] if known else None
    return LoadPlan(
        uid=capture.uid,
        sae={**sae, "cofireVersion": __version__},
        content_hash=digest(PLAN_VERSION, BATCH_ROWS, LATENT_BATCH_ROWS, sae, _capture_row(capture), model, hashes),
        total=sum(-(-s.count // s.size) for s in sections),
        rows=sum(s.count for s in sections),
        _sections=sections,
    )


def _sae_properties(capture: CaptureDir) -> dict[str, Any]:
    manifest, counted = capture.manifest, table_infos(capture)["latents"]
    return {
        "uid": manifest.uid,
        "release": manifest.release,
        "saeId": manifest.sae_id,
        "layer": manifest.sae.layer,
        "hook": manifest.sae.hook,
        "model": manifest.model.name if manifest.model else None,
        "className": manifest.sae.class_name,
        "architecture": manifest.sae.architecture,
        "neuronpediaId": manifest.sae.neuronpedia_id,
        "nLatents": manifest.n_latents,
        "tokens": manifest.rows,
        "documents": manifest.text.documents,
        "firings": counted.figures["firings"],
        "meanL0": counted.figures["mean_l0"],
        "edgeRule": counted.settings["rule"],
    }


def _sections(capture: CaptureDir) -> Iterator[_Section]:
    """Yield the sections: what is shared first, then nodes before the relationships that need them."""
    infos, n, uid = table_infos(capture), capture.manifest.n_latents, capture.uid

    def nodes(node: Node, count: int, rows: Callable[[], list[Row]], size: int = BATCH_ROWS) -> _Section:
        return _Section(merge_nodes(node) if node.shared else create_nodes(node), count, size, rows)

    def links(relationship: Relationship, count: int, rows: Callable[[], list[Row]]) -> _Section:
        return _Section(create_relationships(relationship), count, BATCH_ROWS, rows)

    yield from _identity(capture, nodes, links)
    yield nodes(LATENT, n, partial(_latent_rows, capture), LATENT_BATCH_ROWS)
    yield links(OF, n, lambda: [[f"{uid}/{i}", uid] for i in range(n)])
    yield links(CO_FIRES, infos["edges"].rows, partial(_link_rows, capture, EDGES, CO_FIRES, _edge_ends))
    if "tokens" in infos:
        tokens, contexts = _token_rows(capture), _context_rows(capture)
        yield nodes(TOKEN, len(tokens), lambda: tokens)
        yield links(FIRES_ON, infos["tokens"].rows, partial(_link_rows, capture, TOKENS, FIRES_ON, _token_ends))
        yield nodes(CONTEXT, len(contexts), lambda: contexts)
        yield links(SHOWN_BY, infos["contexts"].rows, partial(_link_rows, capture, CONTEXTS, SHOWN_BY, _context_ends))
    yield nodes(CLUSTER, infos["clusters"].rows, partial(_cluster_rows, capture))
    yield links(IN, infos["members"].rows, partial(_link_rows, capture, MEMBERS, IN, _member_ends))


def _identity(
    capture: CaptureDir, nodes: Callable[..., _Section], links: Callable[..., _Section]
) -> Iterator[_Section]:
    """Yield the one-row sections that say whose SAE this is and what it was run on."""
    manifest, uid = capture.manifest, capture.uid
    hook, layer, model = manifest.sae.hook, manifest.sae.layer, manifest.model
    yield nodes(RELEASE, 1, lambda: [[manifest.release]])
    yield links(IN_RELEASE, 1, lambda: [[uid, manifest.release]])
    if model is not None:
        yield nodes(MODEL, 1, lambda: [[model.name, model.n_layers, model.d_model]])
        yield links(READS, 1, lambda: [[uid, model.name, hook, layer]])
    yield nodes(CAPTURE, 1, lambda: [_capture_row(capture)])
    yield links(CAPTURED_IN, 1, lambda: [[uid, f"{uid}/capture"]])


def _capture_row(capture: CaptureDir) -> Row:
    manifest, uid = capture.manifest, capture.uid
    text, masking = manifest.text, manifest.masking
    masked = masking.special_tokens + masking.norm_outliers
    return [f"{uid}/capture", uid, manifest.kind, text.sources, text.tokens, masking.rule, masked]


def _snake(name: str) -> str:
    """Return the table column of a property: logOdds -> log_odds, pBGivenA -> p_b_given_a."""
    return re.sub(r"(?=[A-Z])", "_", name).lower()


def _columns(table: pa.Table, names: list[str]) -> list[Row]:
    """Return the named columns as rows."""
    return [list(row) for row in zip(*(table.column(name).to_pylist() for name in names), strict=True)]


def _latent_rows(capture: CaptureDir) -> list[Row]:
    table = read_table(capture, LATENTS)
    own = [p.name for p in LATENT.properties if p.name not in ("uid", "sae", "topTokens")]
    top: dict[int, list[str]] = {}
    if "tokens" in table_infos(capture):
        for latent, text in _columns(_by_count(read_table(capture, TOKENS)), ["latent", "text"]):
            top.setdefault(latent, []).append(text)
    place = own.index("index")
    rows = _columns(table, [_snake(name) for name in own])
    return [[f"{capture.uid}/{row[place]}", capture.uid, *row, top.get(row[place], [])] for row in rows]


def _by_count(tokens: pa.Table) -> pa.Table:
    return tokens.sort_by([("latent", "ascending"), ("count", "descending"), ("token", "ascending")])


def _cluster_rows(capture: CaptureDir) -> list[Row]:
    own = [p.name for p in CLUSTER.properties if p.name not in ("uid", "sae")]
    rows = _columns(read_table(capture, CLUSTERS), ["cluster", *(_snake(name) for name in own)])
    return [[row[0], capture.uid, *row[1:]] for row in rows]


def _token_uid(capture: CaptureDir, token: int) -> str:
    """A token belongs to the model; where an import names no model or brings no texts, to the SAE."""
    model = capture.manifest.model
    known = model is not None and (capture.path / "vocabulary.parquet").is_file()
    return f"{model.name if model is not None and known else capture.uid}/token/{token}"


def _token_rows(capture: CaptureDir) -> list[Row]:
    seen = sorted({(token, text) for token, text in _columns(read_table(capture, TOKENS), ["token", "text"])})
    return [[_token_uid(capture, token), token, text] for token, text in seen]


def _context_uid(capture: CaptureDir, document: int, position: int) -> str:
    return f"{capture.uid}/context/{document}/{position}"


def _context_rows(capture: CaptureDir) -> list[Row]:
    texts = {
        (document, position): text
        for document, position, text in _columns(read_table(capture, CONTEXTS), ["document", "position", "text"])
    }
    return [[_context_uid(capture, d, p), capture.uid, d, p, texts[d, p]] for d, p in sorted(texts)]


def _link_rows(
    capture: CaptureDir,
    table: Table,
    relationship: Relationship,
    ends: Callable[[CaptureDir, pa.Table], tuple[list[str], list[str]]],
) -> list[Row]:
    """Return rows [source key, target key, properties...] of a relationship that a table holds."""
    data = read_table(capture, table)
    source, target = ends(capture, data)
    values = _columns(data, [_snake(p.name) for p in relationship.properties])
    return [[a, b, *row] for a, b, row in zip(source, target, values, strict=True)]


def _uids(capture: CaptureDir, data: pa.Table, column: str) -> list[str]:
    return [f"{capture.uid}/{i}" for i in data.column(column).to_pylist()]


def _edge_ends(capture: CaptureDir, data: pa.Table) -> tuple[list[str], list[str]]:
    return _uids(capture, data, "a"), _uids(capture, data, "b")


def _token_ends(capture: CaptureDir, data: pa.Table) -> tuple[list[str], list[str]]:
    return _uids(capture, data, "latent"), [_token_uid(capture, t) for t in data.column("token").to_pylist()]


def _context_ends(capture: CaptureDir, data: pa.Table) -> tuple[list[str], list[str]]:
    places = _columns(data, ["document", "position"])
    return _uids(capture, data, "latent"), [_context_uid(capture, d, p) for d, p in places]


def _member_ends(capture: CaptureDir, data: pa.Table) -> tuple[list[str], list[str]]:
    return _uids(capture, data, "latent"), data.column("cluster").to_pylist()
