"""Counts, read back by Cypher from both stores, equal brute force to the integer."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from builders import dense, make_capture, random_arrays
from cofire.errors import ConflictError
from cofire.pipeline import ingest
from cofire.settings import load_settings
from cofire.store import Store
from cofire.store.load.write import delete_sae
from differing import differing, files_of
from graphs import dump_graph

READ_BACK = "MATCH (a:Latent {index: $i})-[r:CO_FIRES]-(b:Latent) WHERE a.sae = $s RETURN b.index, r.count"


@given(
    seed=st.integers(0, 2**32 - 1),
    tokens=st.integers(1, 120),
    n_latents=st.integers(2, 14),
    documents=st.integers(1, 6),
)
@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_counts_equal_brute_force(store: Store, seed: int, tokens: int, n_latents: int, documents: int) -> None:
    arrays = random_arrays(seed, tokens=tokens, n_latents=n_latents, documents=documents)
    fires = (dense(arrays) > 0).astype(np.int64)
    together = fires.T @ fires
    with tempfile.TemporaryDirectory() as folder:
        capture = make_capture(Path(folder), arrays)
        outcome = ingest(capture, store, load_settings(memory=16 * 1024**2, edges="all"), replace=True)
    assert outcome in ("loaded", "replaced", "unchanged")
    for i in range(n_latents):
        rows = store.read(READ_BACK, {"i": i, "s": "test/a/b"}).rows
        assert len(rows) == len(dict(rows))
        expected = {j: int(together[i, j]) for j in range(n_latents) if j != i and together[i, j]}
        assert dict(rows) == expected
    rows = store.read("MATCH (a:Latent {sae: $s}) RETURN a.index, a.firingCount", {"s": "test/a/b"}).rows
    assert dict(rows) == {i: int(together[i, i]) for i in range(n_latents)}


def test_the_same_again_changes_nothing(store: Store, tmp_path: Path) -> None:
    capture = make_capture(tmp_path, random_arrays(1))
    assert ingest(capture, store, load_settings()) == "loaded"
    before = dump_graph(store)
    assert ingest(capture, store, load_settings()) == "unchanged"
    assert dump_graph(store) == before


def test_another_version_needs_replace(store: Store, tmp_path: Path) -> None:
    first = make_capture(tmp_path / "1", random_arrays(1))
    second = make_capture(tmp_path / "2", random_arrays(2))
    ingest(first, store, load_settings())
    before = dump_graph(store)
    with pytest.raises(ConflictError, match="--replace"):
        ingest(second, store, load_settings())
    assert dump_graph(store) == before
    assert ingest(second, store, load_settings(), replace=True) == "replaced"
    assert ingest(second, store, load_settings()) == "unchanged"
    sae = store.read("MATCH (s:Sae) RETURN s.status, s.firings", {}).rows
    assert sae == [("ready", int(random_arrays(2)["indptr"][-1]))]


def test_deleting_one_sae_leaves_the_other(store: Store, tmp_path: Path) -> None:
    first = make_capture(tmp_path / "1", random_arrays(1), sae_id="one")
    second = make_capture(tmp_path / "2", random_arrays(2), sae_id="two")
    ingest(first, store, load_settings())
    alone = dump_graph(store)
    ingest(second, store, load_settings())
    delete_sae(store, "test/two")
    assert dump_graph(store) == alone


def test_unicode_and_quotes_arrive_as_they_are(store: Store, tmp_path: Path) -> None:
    capture = make_capture(tmp_path, random_arrays(3))
    ingest(capture, store, load_settings())
    texts = {row[0] for row in store.read("MATCH (t:Token) RETURN t.text", {}).rows}
    assert texts == {" of", " the", "'", '"quoted"', "\n", "日本", " naïve", "\\", "{x}", "`"}


def test_a_half_loaded_sae_is_seen_by_nobody(store: Store, tmp_path: Path, neo4j_server: Any) -> None:
    from cofire.queries.knowledge_base import KnowledgeBase
    from cofire.store.load.write import load_sae
    from cofire.store.plan.plan import load_plan

    capture = make_capture(tmp_path / "1", random_arrays(1), sae_id="one")
    ingest(capture, store, load_settings())
    half = make_capture(tmp_path / "2", random_arrays(2), sae_id="two")
    seen: list[list[str]] = []

    def look(_done: int, _total: int) -> None:
        seen.append(kb.saes()["uid"].tolist())

    from cofire.analysis.analyses import analysis_settings
    from cofire.analysis.analyze import analyze
    from cofire.ingest.count import count

    count(half)
    analyze(half, analysis_settings(resolution=1.0, seed=0, rewires=3))
    with KnowledgeBase(store.location, username=neo4j_server.username, password=neo4j_server.password) as kb:
        load_sae(store, load_plan(half), progress=look)
        assert len(seen) > 5
        assert all(uids == ["test/one"] for uids in seen)
        assert kb.saes()["uid"].tolist() == ["test/one", "test/two"]


def test_loading_one_sae_leaves_what_another_shares_with_it(store: Store, tmp_path: Path) -> None:
    with_texts = make_capture(tmp_path / "1", random_arrays(1), sae_id="one")
    arrays = random_arrays(2)
    del arrays["token_text"]
    ingest(with_texts, store, load_settings())
    before = store.read("MATCH (t:Token) RETURN t.uid, t.text ORDER BY t.uid", {}).rows
    ingest(make_capture(tmp_path / "2", arrays, sae_id="two"), store, load_settings())
    text = "MATCH (:Latent {sae: 'test/one'})-[:FIRES_ON]->(t:Token) RETURN DISTINCT t.uid, t.text ORDER BY t.uid"
    assert store.read(text, {}).rows == before
    text = "MATCH (:Latent {sae: 'test/two'})-[:FIRES_ON]->(t:Token) RETURN DISTINCT t.text"
    assert all(row[0].startswith("[") for row in store.read(text, {}).rows)


def test_a_refused_load_leaves_the_tables(store: Store, tmp_path: Path) -> None:
    capture = make_capture(tmp_path, random_arrays(1))
    ingest(capture, store, load_settings(edges="all"))
    before = files_of(capture.tables)
    with pytest.raises(ConflictError, match="other settings"):
        ingest(capture, store, load_settings(edges="significant"))
    assert differing(files_of(capture.tables), before) == []
    # The rule of the last count is kept.
    assert ingest(capture, store, load_settings()) == "unchanged"
    # With all pairs kept, a bound still decides q, weak_only and which pairs have conditionals.
    with pytest.raises(ConflictError, match="other settings"):
        ingest(capture, store, load_settings(min_count=30))


def test_each_setting_is_kept_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from cofire.analysis.analyses import analysis_settings
    from cofire.analysis.analyze import analyze
    from cofire.ingest.count import CountSettings, count
    from cofire.pipeline import count_settings, settings_of_analyses

    for name in ("COFIRE_RUNS", "COFIRE_REWIRES"):
        monkeypatch.delenv(name)
    capture = make_capture(tmp_path, random_arrays(1))
    count(capture, CountSettings(min_count=7, min_log_odds=1.5))
    analyze(capture, analysis_settings(resolution=0.3, objective="modularity", seed=5, rewires=3))
    kept = count_settings(capture, load_settings(min_count=9))
    assert (kept.edges, kept.min_count, kept.min_log_odds) == ("significant", 9, 1.5)
    before = {"resolution": 0.3, "objective": "modularity", "seed": 5, "rewires": 3}
    for changed in ({}, {"seed": 6}, {"resolution": "auto", "rewires": 9}):
        found = settings_of_analyses(capture, load_settings(**changed))
        assert found == analysis_settings(**{**before, **changed})


def test_replacing_an_import_brings_its_texts(store: Store, tmp_path: Path) -> None:
    with_texts, without = random_arrays(1), random_arrays(1)
    del without["token_text"]
    ingest(make_capture(tmp_path / "1", without), store, load_settings())
    ingest(make_capture(tmp_path / "2", with_texts), store, load_settings(), replace=True)
    texts = {row[0] for row in store.read("MATCH (t:Token) RETURN t.text", {}).rows}
    assert " of" in texts
    assert not [text for text in texts if text.startswith("[")]
