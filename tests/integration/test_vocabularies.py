"""Whose a token is, and whose a model: two of one name in one store, and stores made before they were told apart."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from builders import make_capture, random_arrays
from cofire.analysis.analyses import analysis_settings
from cofire.analysis.analyze import analyze
from cofire.errors import InputError
from cofire.ingest.capture_dir.directory import CaptureDir
from cofire.ingest.count import count
from cofire.pipeline import ingest_all
from cofire.queries.library import library
from cofire.schema.base import LONGEST_TEXT
from cofire.settings import load_settings
from cofire.store import Store, migrations
from cofire.store.export.directory import capture_rows
from cofire.store.load import bulk
from cofire.store.load.write import delete_sae, load_sae
from cofire.store.plan.plan import load_plan
from cofire.store.versions import migrate
from graphs import cut_at, dump_graph

GRIN = "\U0001f600"
"""Four bytes."""
LETTERS = "abcdefghijklmnop"
OTHERS = "abcefdGHIJKLMNOP"
"""The same ids: three with the same texts, three with texts of other ids, ten with texts of their own."""
LINKS = """MATCH (a:Latent)-[f:FIRES_ON]->(t:Token)
RETURN a.uid, t.token, t.text, f.count, f.share, f.lift, f.score ORDER BY a.uid, t.token"""


def captured(folder: Path, seed: int, sae: str, texts: str, model: str) -> CaptureDir:
    rng = np.random.default_rng(seed)
    arrays = random_arrays(seed, tokens=900, n_latents=14)
    arrays |= {"token": rng.integers(0, len(texts), 900), "token_text": np.array(list(texts))}
    return make_capture(folder / sae, arrays, sae_id=sae, model=model)


def counted(capture: CaptureDir) -> None:
    count(capture)
    analyze(capture, analysis_settings(resolution=1.0, seed=0, rewires=3))


@pytest.fixture(scope="module")
def captures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, CaptureDir]:
    """Two vocabularies under one model name, and the first one under another name too; counted and analysed."""
    folder = tmp_path_factory.mktemp("captures")
    given = {"first": (1, LETTERS, "m"), "second": (2, OTHERS, "m"), "third": (3, LETTERS, "n")}
    made = {sae: captured(folder, seed, sae, texts, model) for sae, (seed, texts, model) in given.items()}
    for capture in made.values():
        counted(capture)
    return made


@pytest.fixture
def loaded(store: Store, captures: dict[str, CaptureDir]) -> Store:
    for capture in captures.values():
        load_sae(store, load_plan(capture))
    return store


def test_each_sae_has_the_texts_of_its_own_vocabulary(loaded: Store, captures: dict[str, CaptureDir]) -> None:
    for sae, vocabulary in (("first", LETTERS), ("second", OTHERS), ("third", LETTERS)):
        rows = [row for row in loaded.read(LINKS).rows if row[0].startswith(f"test/{sae}/")]
        assert len(rows) > 100
        assert all(vocabulary[token] == text for _, token, text, *_ in rows)
    for text, saes in (("G", {"second"}), ("g", {"first", "third"}), ("d", {"first", "second", "third"})):
        rows = library()["latents_by_token"](loaded, text=text).rows
        assert {(row[0], row[3]) for row in rows} == {
            (f"test/{sae}", (OTHERS if sae == "second" else LETTERS).index(text)) for sae in saes
        }
    # They share tokens where they have one vocabulary.
    both = library()["tokens_in_both_saes"]
    assert len(both(loaded, sae_a="test/first", sae_b="test/third").rows) == len(LETTERS)  # two names of one model
    assert both(loaded, sae_a="test/first", sae_b="test/second").rows == []
    assert loaded.read("MATCH (t:Token) RETURN count(t)").rows == [(len(LETTERS) + len(OTHERS),)]
    assert sorted(loaded.read("MATCH (s:Sae)-[:READS]->(m:Model) RETURN s.saeId, m.name").rows) == [
        ("first", "m"), ("second", "m"), ("third", "n"),
    ]  # fmt: skip


def as_before(store: Store, *, version: int) -> None:
    """Make the graph what a cofire of an earlier schema made of the same captures, loaded in the order of their names.

    Tokens were keyed by the model's name, and the first loaded one gave them their texts. The step to version 4 took
    the texts of a latent's distinctive tokens from there.
    """
    for text in [
        "MATCH (v:SchemaVersion) SET v.version = $version",
        """MATCH (s:Sae)<-[:OF]-(:Latent)-[:FIRES_ON]->(t:Token)
           WITH DISTINCT s, t ORDER BY s.uid
           WITH s.model + '/token/' + toString(t.token) AS uid, t.token AS token, collect(t.text)[0] AS text
           CREATE (:Token {uid: uid, token: token, text: text})""",
        """MATCH (s:Sae)<-[:OF]-(a:Latent)-[f:FIRES_ON]->(t:Token) WHERE t.uid STARTS WITH 'vocabulary/'
           WITH s.model + '/token/' + toString(t.token) AS uid, a, f
           MATCH (old:Token {uid: uid})
           CREATE (a)-[:FIRES_ON {count: f.count, share: f.share, lift: f.lift, score: f.score}]->(old)""",
        "MATCH (t:Token) WHERE t.uid STARTS WITH 'vocabulary/' DETACH DELETE t",
    ]:
        store.write([(text, {"version": version})])
    if version == 3:  # it knew the ten most frequent tokens alone
        for text in [
            """MATCH (a:Latent)-[f:FIRES_ON]->(t:Token)
               WITH a, f, t ORDER BY f.count DESC, t.token
               WITH a, collect(f) AS links
               UNWIND links[10..] AS f DELETE f""",
            "MATCH (a:Latent) REMOVE a.distinctiveTokens",
            "MATCH (:Latent)-[f:FIRES_ON]->(:Token) REMOVE f.score",
        ]:
            store.write([(text, {})])


@pytest.fixture
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migrations, "TEXT_ROWS", 5)
    monkeypatch.setattr(migrations, "ROWS", 6)
    monkeypatch.setattr(migrations, "MESSAGE_BYTES", 200)


def latents(store: Store) -> list[tuple[Any, ...]]:
    return sorted(store.read("MATCH (a:Latent) RETURN a.uid, a.topTokens, a.distinctiveTokens, a.words").rows)


def test_a_store_of_mixed_vocabularies_is_mended(loaded: Store, small_steps: None) -> None:
    links, shown = loaded.read(LINKS).rows, latents(loaded)
    as_before(loaded, version=4)
    assert loaded.read(LINKS).rows != links
    assert library()["latents_by_token"](loaded, text="G").rows == []
    told: list[tuple[str, int, int]] = []
    with pytest.raises(KeyboardInterrupt), cut_at(loaded, 5):
        migrate(loaded)
    assert [step.to for step in migrate(loaded, tell=lambda *what: told.append(what))] == [5]
    assert told[0] == ("version 5", 5, 42)
    assert told[-1] == ("version 5", 42, 42)
    assert loaded.read(LINKS).rows == links
    assert latents(loaded) == shown
    # What was right stays where it was; of the others' tokens each SAE has its own.
    uids = {row[0] for row in loaded.read("MATCH (t:Token)<-[:FIRES_ON]-() RETURN DISTINCT t.uid").rows}
    assert uids == {f"{model}/token/{i}" for model in "mn" for i in range(16)} | {
        f"test/second/token/{i}" for i in range(3, 16)
    }
    assert len(library()["tokens_in_both_saes"](loaded, sae_a="test/first", sae_b="test/second").rows) == 3
    assert delete_sae(loaded, "test/second")
    assert loaded.read("MATCH (t:Token) WHERE t.uid STARTS WITH 'test/second' RETURN count(t)").rows == [(0,)]


def test_a_text_above_what_an_index_takes_is_cut(loaded: Store, small_steps: None) -> None:
    """Neo4j would fail the migration for ever. Texts were not bounded then, and lists have no index."""
    as_before(loaded, version=4)
    long = GRIN * LONGEST_TEXT
    text = """MATCH (a:Latent {sae: 'test/second'})
SET a.topTokens = [t IN a.topTokens | CASE t WHEN 'G' THEN $long ELSE t END],
    a.distinctiveTokens = [t IN a.distinctiveTokens | CASE t WHEN 'G' THEN $long ELSE t END]"""
    loaded.write([(text, {"long": long})])
    assert [step.to for step in migrate(loaded)] == [5]
    [(shown,)] = loaded.read("MATCH (t:Token {uid: 'test/second/token/6'}) RETURN t.text").rows
    assert shown == GRIN * (LONGEST_TEXT // 4)
    # Once more, as after a kill: it stays.
    links = loaded.read(LINKS).rows
    loaded.write([("MATCH (v:SchemaVersion) SET v.version = 4", {})])
    assert [step.to for step in migrate(loaded)] == [5]
    assert loaded.read(LINKS).rows == links


def test_so_are_lists_that_an_earlier_migration_made_of_wrong_texts(loaded: Store, small_steps: None) -> None:
    as_before(loaded, version=3)
    assert [step.to for step in migrate(loaded)] == [4, 5]
    of = {"test/first": LETTERS, "test/second": OTHERS, "test/third": LETTERS}
    text = """MATCH (a:Latent)-[f:FIRES_ON]->(t:Token)
WITH a, f, t ORDER BY f.score DESC, t.token
RETURN a.sae, a.topTokens, a.distinctiveTokens, a.words, collect([t.token, t.text, f.score])"""
    rows = loaded.read(text).rows
    assert len(rows) > 30
    for sae, top, distinctive, words, tokens in rows:
        assert [shown for _, shown, _ in tokens] == [of[sae][token] for token, _, _ in tokens]
        assert sorted(shown for _, shown, _ in tokens) == sorted(top)
        assert distinctive == [shown for _, shown, score in tokens if score > 0]
        assert words == " ".join(sorted({shown.lower() for shown in top}))


def with_model(capture: CaptureDir, layers: int | None, width: int | None) -> CaptureDir:
    model = capture.manifest.model
    assert model is not None
    model.n_layers, model.d_model = layers, width
    capture.manifest.write(capture.path)
    return CaptureDir.open(capture.path)


@pytest.fixture(scope="module")
def _two(tmp_path_factory: pytest.TempPathFactory) -> list[CaptureDir]:
    folder = tmp_path_factory.mktemp("two")
    made = [
        with_model(captured(folder, seed, sae, LETTERS, "m"), layers, 64)
        for seed, (sae, layers) in enumerate((("small", 12), ("large", 24)))
    ]
    for capture in made:
        counted(capture)
    return made


@pytest.fixture
def two(_two: list[CaptureDir], tmp_path: Path) -> list[CaptureDir]:
    """Two small captures of models of one name that are not one; counted and analysed."""
    return [CaptureDir.open(shutil.copytree(capture.path, tmp_path / str(i))) for i, capture in enumerate(_two)]


SAID = r"test/small and test/large both have the Model m, whose layers is 12 for the one and 24 for the other: two of"


def test_two_models_of_one_name_are_refused(store: Store, two: list[CaptureDir], tmp_path: Path) -> None:
    with pytest.raises(InputError, match=SAID):
        ingest_all(two, store, load_settings())
    assert dump_graph(store) == ([], [])
    with pytest.raises(InputError, match=SAID):
        list(capture_rows(two))
    with pytest.raises(InputError, match=SAID):
        list(bulk._messages([load_plan(capture) for capture in two]))
    ingest_all(two[:1], store, load_settings())
    before = dump_graph(store)
    for replace in (False, True):
        with pytest.raises(InputError, match=SAID) as error:
            ingest_all(two[1:], store, load_settings(), replace=replace)
        assert "\n" not in str(error.value)
    with pytest.raises(InputError, match=SAID):
        load_sae(store, load_plan(two[1]))
    assert dump_graph(store) == before
    # One that does not know fills nothing in and is not in the way; when the other has gone the name is free.
    assert ingest_all([with_model(two[1], None, 64)], store, load_settings()) == ["loaded"]
    assert store.read("MATCH (m:Model) RETURN m.name, m.layers, m.width").rows == [("m", 12, 64)]
    assert delete_sae(store, "test/small")
    assert ingest_all([with_model(two[1], 24, 64)], store, load_settings(), replace=True) == ["replaced"]
    assert store.read("MATCH (m:Model) RETURN m.name, m.layers, m.width").rows == [("m", 24, 64)]
