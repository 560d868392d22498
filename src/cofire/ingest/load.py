"""From the tables of a capture to rows for the graph, in the order in which they are loaded.

A `LoadPlan` is a sequence of sections, the same for the same tables, each with numbered rows that can be had in any
slices: `cofire.store.write` puts them into the graph together with how far it has come, and `cofire.store.export`
writes them to files.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from threading import Lock
from typing import TYPE_CHECKING, Any

from cofire.errors import CaptureError
from cofire.ingest.capture_dir.directory import CaptureDir
from cofire.ingest.capture_dir.layout import VOCABULARY
from cofire.ingest.capture_dir.table_files import TableInfo, digest, read_table, table_infos
from cofire.ingest.decoders import decoder_rows, decoders_digest
from cofire.schema.base import Node, Relationship, camel_case
from cofire.schema.nodes import CAPTURE, CLUSTER, CONTEXT, LATENT, MODEL, MOTIF_COUNT, RELEASE, TOKEN
from cofire.schema.relationships import (
    CAPTURED_IN,
    CO_FIRES,
    COUNTED_IN,
    FIRES_ON,
    IN,
    IN_RELEASE,
    OF,
    PART_OF,
    READS,
    SHOWN_BY,
)
from cofire.schema.tables import CLUSTERS, CONTEXTS, EDGES, LATENTS, MEMBERS, MOTIF_COUNTS, TOKENS, Table

if TYPE_CHECKING:
    import pyarrow as pa

Row = list[Any]
Slice = Callable[[int, int], list[Row]]

# Part of every content hash: raise it when the same tables give another graph.
PLAN_VERSION = 4

FUNNEL = ("pairs_that_co_fired", "pairs_frequent", "pairs_significant", "pairs_passing", "pairs_weak_only")
"""Figures of a count that say how many pairs each step of the edge rule left."""

_WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class Section:
    """All rows of one sort of node or relationship.

    Attributes:
        kind: what each row makes.
        count: how many rows there are.
        rows: rows `start` to `stop`, not included. A node's row holds its values in the order of `kind.properties`; a
            relationship's the keys of its source and target, then its values.
    """

    kind: Node | Relationship
    count: int
    rows: Slice


@dataclass(frozen=True)
class LoadPlan:
    """What one SAE's load writes.

    Attributes:
        uid: the SAE's uid.
        sae: the properties of its `Sae` node, without status and contentHash. It comes before all sections.
        content_hash: fingerprint of everything in the plan.
        sections: shared nodes first, nodes before the relationships that need them.
    """

    uid: str
    sae: dict[str, Any]
    content_hash: str
    sections: tuple[Section, ...]

    @property
    def rows(self) -> int:
        """The number of rows in all sections."""
        return sum(section.count for section in self.sections)


def load_plan(capture: CaptureDir, *, decoders: bool = True) -> LoadPlan:
    """Plan the load of a counted and analysed capture.

    Args:
        capture: the capture.
        decoders: load the decoder directions too, where the capture has weights and they are short enough.

    Raises:
        CaptureError: a table is missing or is not what was recorded.
    """
    infos = table_infos(capture)
    for table in (LATENTS, EDGES, CLUSTERS, MEMBERS):
        if table.name not in infos:
            read_table(capture, table)  # raises, saying which is missing and what to run
    for name in ("clusters", "members", "motif_counts"):
        if name in infos and infos[name].settings.get("edges", infos["edges"].sha256) != infos["edges"].sha256:
            raise CaptureError(f"{capture.tables}: {name} was made from an earlier count; run `cofire analyze` again")
    sae = _sae_properties(capture)
    hashes = {name: info.sha256 for name, info in sorted(infos.items())}
    known = capture.manifest.model
    model = [known.name, known.n_layers, known.d_model] if known else None
    directions = decoders_digest(capture) if decoders else None
    return LoadPlan(
        uid=capture.uid,
        sae={**sae, "cofireVersion": metadata.version("cofire")},
        content_hash=digest(PLAN_VERSION, sae, _capture_row(capture), model, hashes, directions),
        sections=tuple(_sections(capture, decoders=directions is not None)),
    )


def _sae_properties(capture: CaptureDir) -> dict[str, Any]:
    manifest, infos = capture.manifest, table_infos(capture)
    counted, figures = infos["latents"], infos["edges"].figures
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
        "clusterRule": _cluster_rule(infos["clusters"]),
        "noiseFloor": counted.settings.get("noise_floor"),
        **{camel_case(name): figures.get(name) for name in FUNNEL},
        "cosineKept": _quartiles(figures, "kept"),
        "cosineWeakOnly": _quartiles(figures, "weak_only"),
        "nEdges": infos["edges"].rows,
        "nClusters": infos["clusters"].figures.get("clusters", infos["clusters"].rows),
    }


def _cluster_rule(info: TableInfo) -> str:
    if not info.rows:
        return "no edges, so no clusters"
    if info.figures.get("pooled"):
        ami = info.figures["plateau_ami"]
        return f"consensus of all resolutions, as no plateau was found (mean agreement between runs: AMI {ami:.2f})"
    if info.figures.get("n_plateaus"):
        low, high = info.figures["plateau_low"], info.figures["plateau_high"]
        return f"consensus of the plateau from resolution {low:.3g} to {high:.3g}"
    resolution = info.settings.get("resolution")
    return f"resolution {resolution}" if resolution != "auto" else "connected components, as all partitions are trivial"


def _quartiles(figures: dict[str, int | float], name: str) -> list[float] | None:
    values = [figures.get(f"cosine_{name}_{part}") for part in ("q1", "median", "q3")]
    return None if None in values else [float(value) for value in values if value is not None]


def _sections(capture: CaptureDir, *, decoders: bool) -> Iterator[Section]:
    """Yield the sections: what is shared first, then nodes before the relationships that need them."""
    infos, n, uid, tables = table_infos(capture), capture.manifest.n_latents, capture.uid, _Tables(capture)
    yield from _identity(capture)
    yield Section(LATENT, n, _latent_rows(capture, tables, decoders))
    yield Section(OF, n, lambda start, stop: [[f"{uid}/{i}", uid] for i in range(start, stop)])
    yield Section(CO_FIRES, infos["edges"].rows, _link_rows(capture, tables, EDGES, CO_FIRES, _edge_ends))
    if "tokens" in infos:
        tokens = _token_rows(capture)
        yield Section(TOKEN, len(tokens), lambda start, stop: tokens[start:stop])
        yield Section(FIRES_ON, infos["tokens"].rows, _link_rows(capture, tables, TOKENS, FIRES_ON, _token_ends))
    if "contexts" in infos:
        contexts = _context_rows(capture)
        yield Section(CONTEXT, len(contexts), lambda start, stop: contexts[start:stop])
        yield Section(SHOWN_BY, infos["contexts"].rows, _link_rows(capture, tables, CONTEXTS, SHOWN_BY, _context_ends))
    yield Section(CLUSTER, infos["clusters"].rows, _cluster_rows(capture, tables))
    yield Section(IN, infos["members"].rows, _link_rows(capture, tables, MEMBERS, IN, _member_ends))
    parents = [row for row in _columns(read_table(capture, CLUSTERS), ["cluster", "parent"]) if row[1] is not None]
    yield Section(PART_OF, len(parents), lambda start, stop: parents[start:stop])
    if "motif_counts" in infos:
        motifs = _motif_rows(capture)
        yield Section(MOTIF_COUNT, len(motifs), lambda start, stop: motifs[start:stop])
        yield Section(COUNTED_IN, len(motifs), lambda start, stop: [[row[0], uid] for row in motifs[start:stop]])


def _identity(capture: CaptureDir) -> Iterator[Section]:
    """Yield the one-row sections that say whose SAE this is and what it was run on."""
    manifest, uid = capture.manifest, capture.uid
    hook, layer, model = manifest.sae.hook, manifest.sae.layer, manifest.model

    def one(kind: Node | Relationship, *row: Any) -> Section:
        return Section(kind, 1, lambda start, stop: [list(row)][start:stop])

    yield one(RELEASE, manifest.release)
    yield one(IN_RELEASE, uid, manifest.release)
    if model is not None:
        yield one(MODEL, model.name, model.n_layers, model.d_model)
        yield one(READS, uid, model.name, hook, layer)
    yield one(CAPTURE, *_capture_row(capture))
    yield one(CAPTURED_IN, uid, f"{uid}/capture")


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


class _Tables:
    """The tables of a capture, read at their first use; only the last one is kept, as sections come one by one."""

    def __init__(self, capture: CaptureDir) -> None:
        self._capture = capture
        self._last: tuple[str, pa.Table] | None = None
        self._reading = Lock()

    def slice(self, table: Table, start: int, stop: int) -> pa.Table:
        """Rows `start` to `stop` (not included) of a table."""
        with self._reading:
            if self._last is None or self._last[0] != table.name:
                self._last = (table.name, read_table(self._capture, table))
            return self._last[1].slice(start, stop - start)


def _latent_rows(capture: CaptureDir, tables: _Tables, decoders: bool) -> Slice:
    own = [p.name for p in LATENT.properties if p.name not in ("uid", "sae", "topTokens", "label", "words", "decoder")]
    place = own.index("index")

    @cache
    def top_tokens() -> dict[int, list[str]]:
        top: dict[int, list[str]] = {}
        if "tokens" in table_infos(capture):
            for latent, text in _columns(_by_count(read_table(capture, TOKENS)), ["latent", "text"]):
                top.setdefault(latent, []).append(text)
        return top

    def rows(start: int, stop: int) -> list[Row]:
        plain = _columns(tables.slice(LATENTS, start, stop), [_snake(name) for name in own])
        directions = decoder_rows(capture, start, stop) if decoders else [None] * len(plain)
        made = []
        for row, direction in zip(plain, directions, strict=True):
            top = top_tokens().get(row[place], [])
            made.append([f"{capture.uid}/{row[place]}", capture.uid, *row, top, None, words_of(top), direction])
        return made

    return rows


def values_in(row: Row) -> int:
    """Return how many values a row carries, those in its lists included: what a message with it weighs."""
    return sum(len(value) if isinstance(value, list) else 1 for value in row)


def words_of(texts: list[str]) -> str:
    """Return the words of some texts: lower case, each once, in order, a blank between them."""
    return " ".join(sorted({word for text in texts for word in _WORD.findall(text.lower())}))


def _by_count(tokens: pa.Table) -> pa.Table:
    return tokens.sort_by([("latent", "ascending"), ("count", "descending"), ("token", "ascending")])


def _cluster_rows(capture: CaptureDir, tables: _Tables) -> Slice:
    own = [p.name for p in CLUSTER.properties if p.name not in ("uid", "sae")]

    def rows(start: int, stop: int) -> list[Row]:
        found = _columns(tables.slice(CLUSTERS, start, stop), ["cluster", *(_snake(name) for name in own)])
        return [[row[0], capture.uid, *row[1:]] for row in found]

    return rows


def _motif_rows(capture: CaptureDir) -> list[Row]:
    own = [p.name for p in MOTIF_COUNT.properties if p.name not in ("uid", "sae")]
    found = _columns(read_table(capture, MOTIF_COUNTS), [_snake(name) for name in own])
    return [[f"{capture.uid}/motif/{row[0]}/{row[1]}", capture.uid, *row] for row in found]


def _token_uid(capture: CaptureDir, token: int) -> str:
    """A token belongs to the model; where an import names no model or brings no texts, to the SAE."""
    model = capture.manifest.model
    known = model is not None and (capture.path / VOCABULARY).is_file()
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
    tables: _Tables,
    table: Table,
    relationship: Relationship,
    ends: Callable[[CaptureDir, pa.Table], tuple[list[str], list[str]]],
) -> Slice:
    """Return rows [source key, target key, properties...] of a relationship that a table holds."""

    def rows(start: int, stop: int) -> list[Row]:
        data = tables.slice(table, start, stop)
        columns = [data.column(_snake(p.name)).to_pylist() for p in relationship.properties]
        return list(map(list, zip(*ends(capture, data), *columns, strict=True)))

    return rows


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
