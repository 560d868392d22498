"""What a plan says of a capture: which tokens are the same, what is too large for a store, and rows in pieces."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from builders import make_capture, random_arrays
from cofire.errors import InputError
from cofire.ingest.capture_dir.layout import VOCABULARY
from cofire.ingest.capture_dir.manifest import LONGEST_NAME
from cofire.ingest.latents.bins import BINS
from cofire.ingest.latents.contexts import WINDOW
from cofire.ingest.latents.top_tokens import TOP_TOKENS
from cofire.schema.base import LONGEST_TEXT
from cofire.schema.cypher import MAX_DECODER_DIMS
from cofire.schema.nodes import CAPTURE, CONTEXT, LATENT, MODEL, SAE, TOKEN
from cofire.schema.relationships import READS
from cofire.store.latent_texts import words_of
from cofire.store.load.write import BATCH_BYTES
from cofire.store.packed import fitting, packed_size
from cofire.store.plan.latent_rows import token_space
from cofire.store.plan.limits import LONGEST_ROW, check_rows
from cofire.store.plan.section import Section, slices

SERVER_BYTES = 16 << 20
"""What ArcadeDB takes in one message."""
INDEX_BYTES = 8164
"""What Neo4j's range index takes."""


def space_of(folder: Path, *texts: str, **names: Any) -> str:
    arrays = {**random_arrays(1, tokens=20), "token": np.arange(20) % 2, "token_text": np.array(texts)}
    return token_space(make_capture(folder, arrays, **names))


def test_tokens_are_those_of_a_vocabulary_and_not_of_a_name(tmp_path: Path) -> None:
    first = space_of(tmp_path / "1", "a", "b", model="m")
    assert first.startswith("vocabulary/")
    assert len(first) == len("vocabulary/") + 16
    for k, model in enumerate(("m", "other", None)):
        assert space_of(tmp_path / f"same {k}", "a", "b", sae_id=f"s{k}", model=model) == first
    others = [("b", "a"), ("a", "B"), ("a", "b", "c"), ("ab", ""), ("a", 'b", "c'), ("a", " b"), ("a\0x", "b")]
    found = {space_of(tmp_path / f"other {k}", *texts, model="m") for k, texts in enumerate(others)}
    assert len(found) == len(others)
    assert first not in found


def test_a_vocabulary_is_its_ids_and_texts_whatever_else_stands_beside_them(tmp_path: Path) -> None:
    capture = make_capture(tmp_path, random_arrays(1, tokens=20))
    before, path = token_space(capture), capture.path / VOCABULARY
    table = pq.read_table(path)
    pq.write_table(table.append_column("bytes", [[b"x"] * len(table)]).take(list(range(len(table)))[::-1]), path)
    assert token_space(capture) == before


def test_without_texts_tokens_are_the_saes_own(tmp_path: Path) -> None:
    arrays = random_arrays(1, tokens=20)
    del arrays["token_text"]
    assert token_space(make_capture(tmp_path, arrays, release="r", sae_id="s/t")) == "r/s/t"


def row(kind: Any, **values: Any) -> list[Any]:
    return [values.get(p.name) for p in kind.properties]


@pytest.mark.parametrize("character", ["a", "é", "日", "\U0001f600"])
def test_an_indexed_text_is_bounded_in_bytes(character: str) -> None:
    most = character * (LONGEST_TEXT // len(character.encode()))
    for kind, name in ((TOKEN, "text"), (MODEL, "name"), (SAE, "uid"), (TOKEN, "uid")):
        check_rows("c", kind, [row(kind, **{"uid": "u", name: most})])
        with pytest.raises(
            InputError, match=rf"^c: the {name} of {kind.label} .* has 8,1.. bytes .* 8,100 are the most"
        ):
            check_rows("c", kind, [row(kind, **{"uid": "u", name: most + character})])
    check_rows("c", CONTEXT, [row(CONTEXT, uid="u", text=most * 20)])  # has no index


def test_a_row_is_bounded_in_bytes_and_a_number_in_bits() -> None:
    sources = [f"/data/part-{i:06d}.jsonl" for i in range(300_000)]
    check_rows("c", CAPTURE, [row(CAPTURE, uid="u", textSources=sources[:1000])])
    with pytest.raises(InputError, match=r"^c: Capture u has 8,4.* bytes; 8,388,608 are the most"):
        check_rows("c", CAPTURE, [row(CAPTURE, uid="u", textSources=sources)])
    check_rows("c", READS, [["s", "m", "h", 2**63 - 1]])
    for number in (2**63, -(2**63) - 1, 10**400):
        with pytest.raises(InputError, match=r"^c: the layer of READS s does not fit 64 bits"):
            check_rows("c", READS, [["s", "m", "h", number]])


def test_what_is_not_looked_at_cannot_be_too_large() -> None:
    """Latents: their texts are bounded. Uids: their names are, and what follows them is short."""
    # U+0130 grows most when it is put into lower case.
    texts = ["İ " * (LONGEST_TEXT // 3)] * TOP_TOKENS
    several = [f"{'İ' * 4000}{k}" for k in range(2 * TOP_TOKENS)]
    numbers = {"histogram": [2**62] * BINS, "decoder": [0.1] * MAX_DECODER_DIMS}
    latent = row(LATENT, uid="u" * LONGEST_TEXT, sae="u" * LONGEST_TEXT, topTokens=texts, distinctiveTokens=texts,
                 words=words_of(several), **numbers)  # fmt: skip
    assert packed_size(latent) < LONGEST_ROW / 8
    assert packed_size(row(CONTEXT, uid="u", text="x" * LONGEST_TEXT * (2 * WINDOW + 1))) < LONGEST_ROW
    longest = "\U0001f600" * LONGEST_NAME
    uid = f"{longest}/{longest}/context/{2**31 - 1}/{2**31 - 1}"
    assert len(uid.encode()) < LONGEST_TEXT <= INDEX_BYTES - 64
    # One row, or one batch and the longest row, with the statement around it.
    assert LONGEST_ROW + BATCH_BYTES < SERVER_BYTES


def test_rows_come_in_pieces_of_bounded_size() -> None:
    lengths = [1, 5000, 3, 3, 900, 950, 1, 1, 1, 9000, 9000, 2]
    rows = [[f"c{i}", "s", 0, i, "x" * length] for i, length in enumerate(lengths)]
    section = Section(CONTEXT, len(rows), lambda start, stop: rows[start:stop])
    parts = list(slices(section, rows=4, values=100, size=2000))
    assert [one for part in parts for one in part] == rows
    assert all(len(part) == 1 or packed_size(part) <= 2005 for part in parts)
    assert all(0 < len(part) <= 4 for part in parts)
    assert fitting([], 10) == []
    assert fitting(rows, 10**6) == rows
    assert fitting(rows, 1) == rows[:1]
