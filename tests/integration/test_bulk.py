"""The embedded store's other ways in: the bulk load, the rebuild, and what is done about damaged files."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from builders import make_capture, random_arrays
from cofire.cli import run
from cofire.errors import ConflictError, InputError, StoreBusy, StoreError
from cofire.ingest.capture_dir.directory import CaptureDir
from cofire.pipeline import ingest, ingest_all
from cofire.schema.nodes import CONTEXT
from cofire.settings import load_settings
from cofire.store import open_store
from cofire.store.load import bulk
from cofire.store.load.bulk import bulk_load
from cofire.store.load.rebuild import rebuild
from cofire.store.plan.plan import load_plan
from cofire.store.plan.section import LoadPlan, Section
from graphs import dump_graph


@pytest.fixture(scope="module")
def captures(tmp_path_factory: pytest.TempPathFactory) -> list[CaptureDir]:
    """Two captures of one model, counted and analysed, with tokens of every kind; they share tokens and release."""
    folder = tmp_path_factory.mktemp("captures")
    made = [make_capture(folder / str(k), random_arrays(k, n_latents=30), sae_id=f"it's/{k}") for k in (1, 2)]
    with open_store(folder / "store", create=True) as store:
        ingest_all(made, store, load_settings(edges="all"))
    return made


@pytest.fixture(scope="module")
def online(captures: list[CaptureDir], tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], list[str]]:
    with open_store(tmp_path_factory.mktemp("online") / "store", create=True) as store:
        assert ingest_all(captures, store, load_settings()) == ["loaded", "loaded"]
        return dump_graph(store)


@pytest.fixture
def plans(captures: list[CaptureDir], monkeypatch: pytest.MonkeyPatch) -> list[LoadPlan]:
    monkeypatch.setattr(bulk, "LEAST_ROWS", 1)
    return [load_plan(capture) for capture in captures]


def test_the_bulk_load_gives_the_same_graph(plans: list[LoadPlan], embedded_dir: Path, online: object) -> None:
    steps: list[tuple[int, int]] = []
    with open_store(embedded_dir) as store:
        assert bulk_load(store, plans, lambda done, total: steps.append((done, total)))
        assert dump_graph(store) == online
        types = store.read("MATCH (a:Latent)-[r:CO_FIRES]->() RETURN a.index, a.histogram, r.count LIMIT 1").rows[0]
        assert [type(t) for t in types] == [int, list, int]
        constraints = store.read("SHOW CONSTRAINTS").rows
    total = sum(plan.rows for plan in plans)
    assert steps[-1] == (total, total)
    assert [done for done, _ in steps] == sorted(done for done, _ in steps)
    assert constraints
    assert sorted(p.name for p in (embedded_dir / "databases").iterdir() if p.is_dir()) == ["cofire"]


def test_the_schema_of_a_bulk_load_is_that_of_the_others(plans: list[LoadPlan], tmp_path: Path) -> None:
    found = []
    for name, way in (("a", bulk_load), ("b", lambda store, plans: False)):
        with open_store(tmp_path / name, create=True) as store:
            from cofire.store import ensure_schema

            ensure_schema(store)
            way(store, plans)
            indexes = store.read("SHOW INDEXES")
            kept = [indexes.columns.index(name) for name in ("labelsOrTypes", "properties", "type", "owningConstraint")]
            found.append(sorted(str([row[i] for i in kept]) for row in indexes.rows))
    assert len(found[0]) > 10
    assert found[0] == found[1]


def test_integers_keep_their_64_bits(plans: list[LoadPlan], embedded_dir: Path) -> None:
    """ArcadeDB computes with 32 bits where a small number was stored as INTEGER."""
    with open_store(embedded_dir) as store:
        bulk_load(store, plans)
        rows = store.read(
            "MATCH (a:Latent)-[r:CO_FIRES]->() WITH r.count AS c, a.firingCount AS n, a.histogram AS h "
            "WHERE c > 1 AND h IS NOT NULL "
            "RETURN c, n, c * 4000000000, n * 4000000000, reduce(t = 0, x IN h | t + x * 4000000000), h LIMIT 20"
        ).rows
    assert rows
    for c, n, big_c, big_n, total, histogram in rows:
        assert (big_c, big_n, total) == (c * 4_000_000_000, n * 4_000_000_000, sum(histogram) * 4_000_000_000)


def test_only_an_empty_store_is_filled_in_bulk(
    plans: list[LoadPlan], captures: list[CaptureDir], embedded_dir: Path, online: object
) -> None:
    with open_store(embedded_dir) as store:
        assert ingest(captures[0], store, load_settings()) == "loaded"
        assert not bulk_load(store, plans[1:])
        assert ingest(captures[1], store, load_settings()) == "loaded"
        assert dump_graph(store) == online


def test_a_server_that_is_shared_is_not_taken_away(
    plans: list[LoadPlan], embedded_dir: Path, captures: list[CaptureDir], online: object
) -> None:
    with open_store(embedded_dir) as owner, open_store(embedded_dir) as guest:
        assert not bulk_load(guest, plans)
        ingest_all(captures, guest, load_settings())
        assert dump_graph(owner) == online


def test_a_bulk_load_that_fails_leaves_the_store(plans: list[LoadPlan], embedded_dir: Path) -> None:
    def interrupt(_done: int, _total: int) -> None:
        raise KeyboardInterrupt

    with open_store(embedded_dir) as store:
        with pytest.raises(KeyboardInterrupt):
            bulk_load(store, plans, interrupt)
        assert store.read("MATCH (n:Latent) RETURN count(n)").rows == [(0,)]
        twice = LoadPlan("x", {"uid": "x"}, "h", (*plans[0].sections[1:2], *plans[0].sections))
        with pytest.raises(StoreError, match=r"failed: .*server\.log") as error:
            bulk_load(store, [twice])
        assert "\n" not in str(error.value)
        assert bulk_load(store, plans)


def test_a_bulk_load_whose_process_dies_says_so(embedded_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where it dies with half a message in the pipe."""
    monkeypatch.setattr(bulk, "LEAST_ROWS", 1)
    started: list[Any] = []
    start = bulk._start

    def noted(*arguments: Any) -> Any:
        started.append(start(*arguments))
        return started[-1]

    monkeypatch.setattr(bulk, "_start", noted)
    text = "x" * 500
    section = Section(CONTEXT, 100_000, lambda a, b: [[f"c{i}", "s", 0, i, text] for i in range(a, b)])
    plan = LoadPlan("s", {"uid": "s"}, "h", (section,))
    with open_store(embedded_dir) as store:
        with pytest.raises(StoreError, match="its process ended"):
            bulk_load(store, [plan], lambda _done, _total: started[0].kill())
        assert started[0].returncode == -signal.SIGKILL
        assert store.read("MATCH (n:Context) RETURN count(n)").rows == [(0,)]


def test_two_captures_of_one_sae_are_refused(captures: list[CaptureDir], embedded_dir: Path) -> None:
    with open_store(embedded_dir) as store, pytest.raises(InputError, match="two of the captures are of"):
        ingest_all([captures[0], captures[0]], store, load_settings())


def truncated(directory: Path) -> None:
    largest = max((directory / "databases/cofire").glob("CO_FIRES*bucket"), key=lambda p: p.stat().st_size)
    os.truncate(largest, 0)


def test_damage_is_told_and_the_store_made_anew(
    plans: list[LoadPlan],
    captures: list[CaptureDir],
    embedded_dir: Path,
    online: object,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with open_store(embedded_dir) as store:
        bulk_load(store, plans)
    truncated(embedded_dir)
    for _ in range(2):
        with pytest.raises(StoreError, match=r"is damaged: CO_FIRES.* is 0 bytes, and was .*cofire rebuild CAPTURE"):
            open_store(embedded_dir)
    assert run(["rebuild", *(str(c.path) for c in captures), "--store", str(embedded_dir)]) == 0
    with open_store(embedded_dir) as store:
        assert dump_graph(store) == online


def test_damage_after_a_kill_is_told(plans: list[LoadPlan], embedded_dir: Path, tmp_path: Path) -> None:
    with open_store(embedded_dir) as store:
        bulk_load(store, plans)
    (embedded_dir / "files.json").unlink()  # as after kill -9
    with open_store(embedded_dir) as store:  # and it is whole
        assert store.read("MATCH (s:Sae) RETURN count(s)").rows == [(2,)]
    assert (embedded_dir / "files.json").is_file()
    (embedded_dir / "files.json").unlink()
    truncated(embedded_dir)
    for _ in range(2):
        with pytest.raises(StoreError, match="was not closed in good order and may be damaged"):
            open_store(embedded_dir)


def test_damage_stays_in_doubt_until_the_rows_are_counted(plans: list[LoadPlan], embedded_dir: Path) -> None:
    with open_store(embedded_dir) as store:
        bulk_load(store, plans)
    (embedded_dir / "files.json").unlink()
    truncated(embedded_dir)
    open_store(embedded_dir, any_version=True).close()  # as `cofire migrate` does, which counts nothing
    with pytest.raises(StoreError, match="was not closed in good order and may be damaged"):
        open_store(embedded_dir)
    rebuild(embedded_dir, plans)
    open_store(embedded_dir).close()


def test_nothing_is_loaded_where_one_of_several_is_refused(captures: list[CaptureDir], embedded_dir: Path) -> None:
    with open_store(embedded_dir) as store:
        ingest(captures[1], store, load_settings())
        store.write([("MATCH (s:Sae) SET s.contentHash = 'another'", {})])
        before = dump_graph(store)
        with pytest.raises(ConflictError, match="holds another version of test/it's/2"):
            ingest_all(captures, store, load_settings())
        assert dump_graph(store) == before


def test_a_rebuild_needs_the_store_for_itself(plans: list[LoadPlan], embedded_dir: Path, tmp_path: Path) -> None:
    with open_store(embedded_dir) as store:
        with pytest.raises(StoreBusy, match="is in use"):
            rebuild(embedded_dir, plans)
        assert store.read("RETURN 1").rows == [(1,)]
    with pytest.raises(InputError, match="two of the captures"):
        rebuild(embedded_dir, [plans[0], plans[0]])
    rebuild(tmp_path / "new", plans[:1])
    with open_store(tmp_path / "new") as store:
        assert store.read("MATCH (s:Sae) RETURN s.uid").rows == [(plans[0].uid,)]
    shutil.rmtree(tmp_path / "new")
