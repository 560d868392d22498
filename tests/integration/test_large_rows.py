"""What is large is written in pieces, or refused before anything is written: names, texts, rows and messages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from builders import make_capture, random_arrays
from cofire.analysis.analyses import analysis_settings
from cofire.analysis.analyze import analyze
from cofire.cli import run
from cofire.errors import InputError
from cofire.ingest import import_activations
from cofire.ingest.capture_dir.directory import CaptureDir
from cofire.ingest.capture_dir.manifest import LONGEST_NAME
from cofire.ingest.count import count
from cofire.queries.library import library
from cofire.schema.base import LONGEST_TEXT
from cofire.schema.nodes import CONTEXT, LATENT
from cofire.store import Store
from cofire.store.export.directory import capture_rows, export
from cofire.store.load import bulk, write
from cofire.store.load.write import load_sae
from cofire.store.packed import packed_size
from cofire.store.plan.plan import load_plan
from cofire.store.plan.section import LoadPlan, Section
from graphs import dump_graph

GRIN = "\U0001f600"
"""Four bytes."""


def with_texts(folder: Path, texts: list[str], **names: Any) -> CaptureDir:
    arrays = random_arrays(1, tokens=300, n_latents=8)
    arrays |= {"token": np.arange(300) % len(texts), "token_text": np.array(texts)}
    capture = make_capture(folder, arrays, **names)
    count(capture)
    analyze(capture, analysis_settings(resolution=1.0, seed=0, rewires=3))
    return capture


@pytest.fixture(scope="module")
def longest(tmp_path_factory: pytest.TempPathFactory) -> CaptureDir:
    """Everything with an index is as long as it may be."""
    name, texts = GRIN * LONGEST_NAME, [f"{k} {GRIN * ((LONGEST_TEXT - 2) // 4)}" for k in range(10)]
    return with_texts(tmp_path_factory.mktemp("longest"), texts, release=name, sae_id=name, model=name)


def test_the_longest_names_and_texts_are_loaded_and_found(store: Store, longest: CaptureDir) -> None:
    assert load_sae(store, load_plan(longest)) == "loaded"
    text = (longest.vocabulary() or {})[3]
    rows = library()["latents_by_token"](store, text=text).rows
    assert {row[4] for row in rows} == {text}
    assert {row[0] for row in rows} == {longest.uid}


@pytest.fixture(scope="module")
def too_long(tmp_path_factory: pytest.TempPathFactory) -> CaptureDir:
    """A capture made by a cofire that did not look."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(import_activations, "LONGEST_TEXT", 10**6)
        return with_texts(tmp_path_factory.mktemp("made"), ["short", "word " * 2000, "é" * LONGEST_TEXT])


def test_a_text_too_long_for_an_index_is_refused_before_anything_is_written(
    store: Store, too_long: CaptureDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str], request: pytest.FixtureRequest,
) -> None:  # fmt: skip
    if store.kind == "neo4j":
        server = request.getfixturevalue("neo4j_server")
        monkeypatch.setenv("NEO4J_USERNAME", server.username)
        monkeypatch.setenv("NEO4J_PASSWORD", server.password)
    before = dump_graph(store)
    for again in ([], ["--replace"]):
        assert run(["ingest", str(too_long.path), "--store", store.location, *again]) == 2
        said = capsys.readouterr().err.splitlines()[-1]
        assert said.startswith(f"cofire: {too_long.path}: the text of Token vocabulary/")
        assert "/token/1 has 10,000 bytes ('word word word word '...); 8,100 are the most" in said
    assert dump_graph(store) == before
    with pytest.raises(InputError, match="/token/1 has 10,000 bytes"):
        export(lambda: capture_rows([too_long]), tmp_path / "export", "neo4j-admin")
    assert not (tmp_path / "export").exists()


def test_so_is_a_name_and_a_list_that_a_manifest_brings(too_long: CaptureDir) -> None:
    capture = CaptureDir.open(too_long.path)
    manifest = capture.manifest
    manifest.text.sources = [f"/data/part-{i:06d}.jsonl" for i in range(300_000)]
    with pytest.raises(InputError, match=r"Capture test/a/b/capture has 8,4.* bytes; 8,388,608 are the most"):
        load_plan(capture)
    assert manifest.model is not None
    manifest.model.name = "x" * 10_240
    with pytest.raises(InputError, match=r"the name of Model x+\.\.\. has 10,240 bytes"):
        load_plan(capture)


def synthetic(texts: list[list[str]]) -> LoadPlan:
    """Latents with these tokens, and a context of each."""

    def latent(i: int) -> list[Any]:
        made = {"uid": f"r/s/{i}", "sae": "r/s", "index": i, "topTokens": texts[i]}
        return [made.get(p.name) for p in LATENT.properties]

    latents = Section(LATENT, len(texts), lambda a, b: [latent(i) for i in range(a, b)])
    contexts = Section(
        CONTEXT, len(texts), lambda a, b: [[f"r/s/context/{i}", "r/s", 0, i, "".join(texts[i])] for i in range(a, b)]
    )
    return LoadPlan("r/s", {"uid": "r/s"}, "h", (latents, contexts))


LATE = [["a"]] * 100 + [["sentence " * 800] * 10] * 300
"""Forty MiB in a section whose first rows are small: the server's limit is 16 MiB a message."""


def test_a_section_above_the_servers_limit_is_written_in_pieces(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    write_rows = write._write_rows

    def noted(uid: str, statement: str, rows: list[list[Any]], *rest: Any) -> None:
        sizes.append(packed_size(rows))
        write_rows(uid, statement, rows, *rest)

    monkeypatch.setattr(write, "_write_rows", noted)
    assert load_sae(store, synthetic(LATE)) == "loaded"
    assert max(sizes) < 1.01 * write.BATCH_BYTES
    assert sum(sizes) > 2 * (16 << 20)
    found = store.read("MATCH (a:Latent) RETURN size(a.topTokens), count(*)").rows
    assert sorted(found) == [(1, 100), (10, 300)]
    assert store.read("MATCH (c:Context) RETURN sum(size(c.text))").rows == [(100 + 300 * 10 * 9 * 800,)]


def test_the_messages_of_a_bulk_load_are_bounded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "MESSAGE_BYTES", 1 << 20)
    messages = [message for message, _ in bulk._messages([synthetic(LATE)])]
    assert max(map(packed_size, messages)) < 1.01 * bulk.MESSAGE_BYTES
    assert sum(len(message[-1]) for message in messages if message[1] == "Latent") == len(LATE)
