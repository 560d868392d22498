"""Latents, edges, tokens and contexts of a capture as rows for the graph."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from cofire.ingest.capture_dir.directory import CaptureDir
from cofire.ingest.capture_dir.layout import VOCABULARY
from cofire.ingest.capture_dir.table_files import read_table, table_infos
from cofire.schema.base import snake_case
from cofire.schema.nodes import LATENT
from cofire.schema.tables import CONTEXTS, LATENTS, TOKENS
from cofire.store.plan.decoders import decoder_rows
from cofire.store.plan.section import Row, Slice
from cofire.store.plan.table_rows import TableReader, columns_as_rows, latent_uids

if TYPE_CHECKING:
    import pyarrow as pa


_WORD = re.compile(r"\w+")


def latent_rows(capture: CaptureDir, tables: TableReader, decoders: bool) -> Slice:
    """Return the rows of the latents, with their decoder directions where `decoders`."""

    @cache
    def top_tokens() -> dict[int, list[str]]:
        top: dict[int, list[str]] = {}
        if "tokens" in table_infos(capture):
            for latent, text in columns_as_rows(_by_count(read_table(capture, TOKENS)), ["latent", "text"]):
                top.setdefault(latent, []).append(text)
        return top

    def rows(start: int, stop: int) -> list[Row]:
        data = tables.slice(LATENTS, start, stop)
        top = [top_tokens().get(latent, []) for latent in data.column("index").to_pylist()]
        nothing = [None] * data.num_rows
        made: dict[str, Sequence[Any]] = {
            "uid": latent_uids(capture, data, "index"),
            "sae": [capture.uid] * data.num_rows,
            "topTokens": top,
            "label": nothing,
            "words": [words_of(texts) for texts in top],
            "decoder": decoder_rows(capture, start, stop) if decoders else nothing,
        }
        columns = [
            made[p.name] if p.name in made else data.column(snake_case(p.name)).to_pylist() for p in LATENT.properties
        ]
        return list(map(list, zip(*columns, strict=True)))

    return rows


def words_of(texts: list[str]) -> str:
    """Return the words of some texts: lower case, each once, in order, a blank between them."""
    return " ".join(sorted({word for text in texts for word in _WORD.findall(text.lower())}))


def _by_count(tokens: pa.Table) -> pa.Table:
    return tokens.sort_by([("latent", "ascending"), ("count", "descending"), ("token", "ascending")])


def _token_uid(capture: CaptureDir, token: int) -> str:
    """A token belongs to the model; where an import names no model or brings no texts, to the SAE."""
    model = capture.manifest.model
    known = model is not None and (capture.path / VOCABULARY).is_file()
    return f"{model.name if model is not None and known else capture.uid}/token/{token}"


def token_rows(capture: CaptureDir) -> list[Row]:
    """Return the rows of the tokens that some latent fires on."""
    seen = sorted({(token, text) for token, text in columns_as_rows(read_table(capture, TOKENS), ["token", "text"])})
    return [[_token_uid(capture, token), token, text] for token, text in seen]


def _context_uid(capture: CaptureDir, document: int, position: int) -> str:
    return f"{capture.uid}/context/{document}/{position}"


def context_rows(capture: CaptureDir) -> list[Row]:
    """Return the rows of the contexts, each once."""
    texts = {
        (document, position): text
        for document, position, text in columns_as_rows(read_table(capture, CONTEXTS), ["document", "position", "text"])
    }
    return [[_context_uid(capture, d, p), capture.uid, d, p, texts[d, p]] for d, p in sorted(texts)]


def edge_ends(capture: CaptureDir, data: pa.Table) -> tuple[list[str], list[str]]:
    """Return the keys of the two latents of each row of `edges`."""
    return latent_uids(capture, data, "a"), latent_uids(capture, data, "b")


def token_ends(capture: CaptureDir, data: pa.Table) -> tuple[list[str], list[str]]:
    """Return the keys of the latent and of the token of each row of `tokens`."""
    return latent_uids(capture, data, "latent"), [_token_uid(capture, t) for t in data.column("token").to_pylist()]


def context_ends(capture: CaptureDir, data: pa.Table) -> tuple[list[str], list[str]]:
    """Return the keys of the latent and of the context of each row of `contexts`."""
    places = columns_as_rows(data, ["document", "position"])
    return latent_uids(capture, data, "latent"), [_context_uid(capture, d, p) for d, p in places]
