"""Latents, edges, tokens and contexts of a capture as rows for the graph."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Sequence
from functools import cache
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from cofire.ingest.capture_dir.directory import CaptureDir
from cofire.ingest.capture_dir.table_files import read_table, table_infos
from cofire.schema.base import snake_case
from cofire.schema.nodes import LATENT
from cofire.schema.tables import CONTEXTS, LATENTS, TOKENS
from cofire.store.latent_texts import distinctive_tokens, top_tokens, words_of
from cofire.store.plan.decoders import decoder_rows
from cofire.store.plan.section import Row, Slice
from cofire.store.plan.table_rows import TableReader, columns_as_rows, latent_uids

if TYPE_CHECKING:
    import pyarrow as pa


def latent_rows(capture: CaptureDir, tables: TableReader, decoders: bool) -> Slice:
    """Return the rows of the latents, with their decoder directions where `decoders`."""

    @cache
    def tokens_of() -> dict[int, tuple[list[str], list[str]]]:
        """The most frequent and the most distinctive tokens of each latent; a text that many have is kept once."""
        found: dict[int, tuple[list[str], list[str]]] = {}
        if "tokens" in table_infos(capture):
            ordered = read_table(capture, TOKENS).sort_by([("latent", "ascending"), ("token", "ascending")])
            rows = columns_as_rows(ordered, ["latent", "text", "count", "score"])
            for latent, group in groupby(rows, key=itemgetter(0)):
                tokens = [(sys.intern(text), count, score) for _, text, count, score in group]
                found[latent] = top_tokens(tokens), distinctive_tokens(tokens)
        return found

    def rows(start: int, stop: int) -> list[Row]:
        data = tables.slice(LATENTS, start, stop)
        tokens = [tokens_of().get(latent, ([], [])) for latent in data.column("index").to_pylist()]
        top, distinctive = [first for first, _ in tokens], [second for _, second in tokens]
        nothing = [None] * data.num_rows
        made: dict[str, Sequence[Any]] = {
            "uid": latent_uids(capture, data, "index"),
            "sae": [capture.uid] * data.num_rows,
            "distinctiveTokens": distinctive,
            "topTokens": top,
            "label": nothing,
            "words": [words_of(texts + more) for texts, more in zip(top, distinctive, strict=True)],
            "decoder": decoder_rows(capture, start, stop) if decoders else nothing,
        }
        columns = [
            made[p.name] if p.name in made else data.column(snake_case(p.name)).to_pylist() for p in LATENT.properties
        ]
        return list(map(list, zip(*columns, strict=True)))

    return rows


def token_space(capture: CaptureDir) -> str:
    """Return what the uids of a capture's tokens begin with: a name of its vocabulary, or the SAE's uid if it has none.

    The name is made of all ids and texts, so SAEs share tokens where they have one vocabulary, whatever the model is
    called, and only there.

    Raises:
        CaptureError: the vocabulary cannot be read.
    """
    texts = capture.vocabulary()
    if texts is None:
        return capture.uid
    return f"vocabulary/{hashlib.sha256(json.dumps(sorted(texts.items())).encode()).hexdigest()[:16]}"


def _token_uid(space: str, token: int) -> str:
    return f"{space}/token/{token}"


def token_rows(capture: CaptureDir, space: str) -> list[Row]:
    """Return the rows of the tokens that some latent fires on; `space` is from `token_space`."""
    seen = sorted({(token, text) for token, text in columns_as_rows(read_table(capture, TOKENS), ["token", "text"])})
    return [[_token_uid(space, token), token, text] for token, text in seen]


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


def token_ends(space: str, capture: CaptureDir, data: pa.Table) -> tuple[list[str], list[str]]:
    """Return the keys of the latent and of the token of each row of `tokens`; `space` is from `token_space`."""
    return latent_uids(capture, data, "latent"), [_token_uid(space, t) for t in data.column("token").to_pylist()]


def context_ends(capture: CaptureDir, data: pa.Table) -> tuple[list[str], list[str]]:
    """Return the keys of the latent and of the context of each row of `contexts`."""
    places = columns_as_rows(data, ["document", "position"])
    return latent_uids(capture, data, "latent"), [_context_uid(capture, d, p) for d, p in places]
