"""Stores of another schema version: what is said, and what a migration does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from builders import make_capture, random_arrays
from cofire.cli import run
from cofire.errors import SchemaError
from cofire.pipeline import ingest
from cofire.settings import load_settings
from cofire.store import Store, migrations, open_store
from cofire.store.versions import VERSION, check_version, found_version, migrate, pending
from graphs import cut_at, dump_graph

OLD = [
    "MATCH (v:SchemaVersion) DELETE v",
    "MATCH (a:Latent) REMOVE a.words, a.label, a.distinctiveTokens",
    "MATCH (:Latent)-[f:FIRES_ON]->(:Token) REMOVE f.score",
    "MATCH (s:Sae) REMOVE s.nEdges, s.nClusters SET s.loadedBatches = 12",
    "MATCH (c:Cluster) WHERE c.level = 0 REMOVE c.level",
]


@pytest.fixture
def version_1(store: Store, tmp_path: Path) -> tuple[list[str], list[str]]:
    """A store as version 1 left it; returns the graph that it is to become."""
    capture = make_capture(tmp_path, random_arrays(1, n_latents=25))
    ingest(capture, store, load_settings(edges="all"))
    wanted = dump_graph(store)
    for text in OLD:
        store.write([(text, {})])
    return wanted


def test_a_new_store_has_the_present_version(store: Store, tmp_path: Path) -> None:
    assert found_version(store) is None
    check_version(store)
    assert migrate(store) == []
    ingest(make_capture(tmp_path, random_arrays(1)), store, load_settings())
    assert found_version(store) == VERSION
    assert migrate(store) == []


def test_an_older_store_says_what_migrate_will_do(store: Store, version_1: Any, tmp_path: Path) -> None:
    assert found_version(store) == 1
    with pytest.raises(
        SchemaError, match=r"has schema version 1, .* `cofire migrate --store .*` will bring it there: \(2\) adds"
    ):
        check_version(store)
    with pytest.raises(SchemaError):
        ingest(make_capture(tmp_path / "2", random_arrays(2), sae_id="two"), store, load_settings())


def test_migration_makes_what_a_load_of_today_makes(
    store: Store, version_1: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrations, "ROWS", 7)
    steps: list[int] = []
    told: list[tuple[str, int, int]] = []
    assert [m.to for m in migrate(store, lambda m: steps.append(m.to), lambda *what: told.append(what))] == [2, 3, 4, 5]
    assert [one for one in told if one[1] == one[2]] == [("version 4", 25, 25), ("version 5", 25, 25)]
    assert steps == [2, 3, 4, 5]
    assert dump_graph(store) == version_1
    assert migrate(store) == []


def test_a_migration_that_was_cut_short_is_finished(
    store: Store, version_1: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrations, "ROWS", 7)
    with pytest.raises(KeyboardInterrupt), cut_at(store, 4):
        migrate(store)
    monkeypatch.undo()
    assert found_version(store) == 1
    migrate(store)
    assert dump_graph(store) == version_1


def test_a_half_loaded_sae_of_version_1_is_loaded_anew(store: Store, tmp_path: Path) -> None:
    capture = make_capture(tmp_path, random_arrays(1))
    ingest(capture, store, load_settings())
    wanted = dump_graph(store)
    for text in [*OLD, "MATCH (s:Sae) SET s.status = 'loading', s.contentHash = 'old'"]:
        store.write([(text, {})])
    migrate(store)
    assert store.read("MATCH (s:Sae) RETURN s.status").rows == [("deleting",)]
    assert ingest(capture, store, load_settings()) == "replaced"
    assert dump_graph(store) == wanted


def test_a_newer_store_is_refused(store: Store) -> None:
    store.write([("CREATE (:SchemaVersion {uid: 'cofire', version: 99})", {})])
    for call in (check_version, migrate):
        with pytest.raises(SchemaError, match="has schema version 99, and this cofire knows 5: use a newer cofire"):
            call(store)


def test_every_version_has_its_migration() -> None:
    assert [m.to for m in pending(1)] == list(range(2, VERSION + 1))


def test_opening_and_the_command(embedded_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with open_store(embedded_dir) as store:
        ingest(make_capture(tmp_path / "1", random_arrays(1)), store, load_settings())
        for text in OLD:
            store.write([(text, {})])
    where = ["--store", str(embedded_dir)]
    assert run(["saes", *where]) == 2
    said = capsys.readouterr().err
    assert "cofire migrate --store" in said
    assert said.count("\n") == 1
    assert run(["migrate", "--dry-run", *where]) == 0
    assert run(["saes", *where]) == 2
    capsys.readouterr()
    assert run(["migrate", *where]) == 0
    assert "to version 2: adds the words" in capsys.readouterr().err
    assert run(["saes", *where]) == 0
    assert run(["migrate", *where]) == 0
    assert "nothing to do" in capsys.readouterr().err
