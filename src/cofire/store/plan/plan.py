"""From the tables of a capture to rows for the graph, in the order in which they are loaded.

A `LoadPlan` is a sequence of sections, the same for the same tables, each with numbered rows that can be had in any
slices: `cofire.store.load` puts them into the graph together with how far it has come, and `cofire.store.export` writes
them to files.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from importlib import metadata

from cofire.errors import CaptureError
from cofire.ingest.capture_dir.directory import CaptureDir
from cofire.ingest.capture_dir.table_files import digest, read_table, table_infos
from cofire.schema.base import Node, Relationship
from cofire.schema.nodes import CLUSTER, CONTEXT, LATENT, MOTIF_COUNT, SAE, TOKEN
from cofire.schema.relationships import (
    CO_FIRES,
    COUNTED_IN,
    FIRES_ON,
    IN,
    OF,
    PART_OF,
    SHOWN_BY,
)
from cofire.schema.tables import CLUSTERS, CONTEXTS, EDGES, LATENTS, MEMBERS, TOKENS
from cofire.store.plan.cluster_rows import cluster_rows, member_ends, motif_rows
from cofire.store.plan.decoders import decoders_digest
from cofire.store.plan.latent_rows import (
    context_ends,
    context_rows,
    edge_ends,
    latent_rows,
    token_ends,
    token_rows,
    token_space,
)
from cofire.store.plan.limits import check_rows
from cofire.store.plan.sae_rows import capture_row, identity_rows, sae_properties
from cofire.store.plan.section import LoadPlan, Row, Section
from cofire.store.plan.table_rows import TableReader, columns_as_rows, link_rows

# Part of every content hash: raise it when the same tables give another graph.
PLAN_VERSION = 6


def load_plan(capture: CaptureDir, *, decoders: bool = True) -> LoadPlan:
    """Plan the load of a counted and analysed capture.

    Args:
        capture: the capture.
        decoders: load the decoder directions too, where the capture has weights and they are short enough.

    Raises:
        CaptureError: a table is missing or is not what was recorded.
        InputError: something in it is larger than a store takes (`cofire.store.plan.limits`).
    """
    infos = table_infos(capture)
    for table in (LATENTS, EDGES, CLUSTERS, MEMBERS):
        if table.name not in infos:
            read_table(capture, table)  # raises, saying which is missing and what to run
    for name in ("clusters", "members", "motif_counts"):
        if name in infos and infos[name].settings.get("edges", infos["edges"].sha256) != infos["edges"].sha256:
            raise CaptureError(f"{capture.tables}: {name} was made from an earlier count; run `cofire analyze` again")
    sae = sae_properties(capture)
    hashes = {name: info.sha256 for name, info in sorted(infos.items())}
    known = capture.manifest.model
    model = [known.name, known.n_layers, known.d_model] if known else None
    directions = decoders_digest(capture) if decoders else None
    space = token_space(capture) if "tokens" in infos else None
    check_rows(str(capture.path), SAE, [[sae.get(p.name) for p in SAE.properties]])
    return LoadPlan(
        uid=capture.uid,
        sae={**sae, "cofireVersion": metadata.version("cofire")},
        content_hash=digest(PLAN_VERSION, sae, capture_row(capture), model, hashes, directions, space),
        sections=tuple(_sections(capture, space, decoders=directions is not None)),
    )


def _sections(capture: CaptureDir, space: str | None, *, decoders: bool) -> Iterator[Section]:
    """Yield the sections: what is shared first, then nodes before the relationships that need them."""
    infos, n, uid, tables = table_infos(capture), capture.manifest.n_latents, capture.uid, TableReader(capture)

    def checked(kind: Node | Relationship, rows: list[Row]) -> Section:
        check_rows(str(capture.path), kind, rows)
        return Section(kind, len(rows), lambda start, stop: rows[start:stop])

    for kind, row in identity_rows(capture):
        yield checked(kind, [row])
    yield Section(LATENT, n, latent_rows(capture, tables, decoders))
    yield Section(OF, n, lambda start, stop: [[f"{uid}/{i}", uid] for i in range(start, stop)])
    yield Section(CO_FIRES, infos["edges"].rows, link_rows(capture, tables, EDGES, CO_FIRES, edge_ends))
    if space is not None:
        yield checked(TOKEN, token_rows(capture, space))
        ends = partial(token_ends, space)
        yield Section(FIRES_ON, infos["tokens"].rows, link_rows(capture, tables, TOKENS, FIRES_ON, ends))
    if "contexts" in infos:
        yield checked(CONTEXT, context_rows(capture))
        yield Section(SHOWN_BY, infos["contexts"].rows, link_rows(capture, tables, CONTEXTS, SHOWN_BY, context_ends))
    yield Section(CLUSTER, infos["clusters"].rows, cluster_rows(capture, tables))
    yield Section(IN, infos["members"].rows, link_rows(capture, tables, MEMBERS, IN, member_ends))
    parents = [
        row for row in columns_as_rows(read_table(capture, CLUSTERS), ["cluster", "parent"]) if row[1] is not None
    ]
    yield Section(PART_OF, len(parents), lambda start, stop: parents[start:stop])
    if "motif_counts" in infos:
        motifs = motif_rows(capture)
        yield Section(MOTIF_COUNT, len(motifs), lambda start, stop: motifs[start:stop])
        yield Section(COUNTED_IN, len(motifs), lambda start, stop: [[row[0], uid] for row in motifs[start:stop]])
