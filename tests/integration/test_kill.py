"""kill -9 at random moments of capture, count and load: what is resumed equals what was never disturbed."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from builders import make_capture, random_arrays
from cofire.ingest.capture_dir.directory import CaptureDir
from cofire.queries.library import library
from cofire.store import Store, open_store
from differing import differing, files_of
from effort import KILLS, seed_of
from graphs import dump_graph, wipe
from jobs import analyse_job, bulk_job, capture_job, count_job, kill_at_random, load_job, run_undisturbed
from repository import EXAMPLES

pytestmark = pytest.mark.timeout(1800)


def test_killed_captures(tmp_path: Path, smollm2_dir: Path) -> None:
    saes = [str(EXAMPLES / "layer_12"), str(EXAMPLES / "layer_18")]

    def arguments(place: Path) -> tuple[Any, ...]:
        return str(smollm2_dir), saes, str(EXAMPLES / "austen.jsonl.gz"), str(place)

    undisturbed = tmp_path / "undisturbed"
    undisturbed.mkdir()
    seconds = run_undisturbed(capture_job, arguments(undisturbed))

    def check(place: Path) -> None:
        assert differing(files_of(place), files_of(undisturbed)) == []

    kill_at_random(capture_job, arguments, check, tmp_path, kills=KILLS, seconds=seconds, seed=seed_of(1))


def test_killed_counts(tmp_path: Path) -> None:
    arrays = random_arrays(7, tokens=20_000, n_latents=80, documents=40)

    def arguments(place: Path) -> tuple[Any, ...]:
        return (str(make_capture(place, arrays).path),)

    undisturbed = tmp_path / "undisturbed"
    seconds = run_undisturbed(count_job, arguments(undisturbed))

    def check(place: Path) -> None:
        assert differing(files_of(place / "capture/tables"), files_of(undisturbed / "capture/tables")) == []

    kill_at_random(count_job, arguments, check, tmp_path, kills=KILLS, seconds=seconds, seed=seed_of(2))


def test_killed_analyses(tmp_path: Path) -> None:
    counted = make_capture(tmp_path / "counted", random_arrays(8, tokens=3000, n_latents=60, documents=40))
    run_undisturbed(count_job, (str(counted.path),))

    def arguments(place: Path) -> tuple[Any, ...]:
        shutil.copytree(counted.path, place / "capture")
        return (str(place / "capture"),)

    undisturbed = tmp_path / "undisturbed"
    undisturbed.mkdir()
    seconds = run_undisturbed(analyse_job, arguments(undisturbed))
    wanted = files_of(undisturbed / "capture/tables")
    assert {"clusters.parquet", "cluster_nulls.parquet", "cluster_functions.parquet"} <= wanted.keys()

    def check(place: Path) -> None:
        assert differing(files_of(place / "capture/tables"), wanted) == []

    kill_at_random(analyse_job, arguments, check, tmp_path, kills=KILLS, seconds=seconds, seed=seed_of(7))


@pytest.fixture(scope="module")
def counted(tmp_path_factory: pytest.TempPathFactory) -> CaptureDir:
    folder = tmp_path_factory.mktemp("counted")
    capture = make_capture(folder, random_arrays(8, tokens=3000, n_latents=120, documents=40))
    run_undisturbed(count_job, (str(capture.path),))
    return capture


def seen_by_readers(store: Store, uid: str) -> bool:
    """Whether the library's queries show an SAE; nothing of one that is not ready, and all of one that is."""
    status = [row[0] for row in store.read("MATCH (s:Sae) RETURN s.status", {}).rows]
    shown = uid in [row[0] for row in library()["saes"](store).rows]
    for name, given in READERS.items():
        rows = library()[name](store, **given(uid)).rows
        assert bool(rows) == shown, f"{name} on an SAE that is {status}"
    assert shown == (status == ["ready"])
    return shown


READERS: dict[str, Callable[[str], dict[str, Any]]] = {
    "sae_summary": lambda uid: {"sae": uid},
    "latent_card": lambda uid: {"sae": uid, "index": 0},
    "strongest_edges": lambda uid: {"sae": uid},
    "strongest_neighbours": lambda uid: {"sae": uid, "index": 0},
    "latents_by_token": lambda uid: {"text": " of"},
    "densest_clusters": lambda uid: {"sae": uid, "min_size": 2},
}


def killed_loads_of_the_embedded_store(
    tmp_path: Path, counted: CaptureDir, job: Callable[..., None], seed: int
) -> None:
    def arguments(place: Path) -> tuple[Any, ...]:
        return str(counted.path), str(place / "store"), None, None

    def graph(place: Path) -> Any:
        with open_store(str(place / "store")) as store:
            assert seen_by_readers(store, counted.uid)
            return dump_graph(store)

    undisturbed = tmp_path / "undisturbed"
    undisturbed.mkdir()
    seconds = run_undisturbed(job, arguments(undisturbed))
    expected = graph(undisturbed)
    assert len(expected[0]) > 1000
    met: list[Any] = []

    def look(place: Path) -> None:
        # Opening takes seconds: after the first kills, until one of them is known to have hit the load itself.
        databases = place / "store" / "databases"
        if job is bulk_job:
            met.extend(p for p in databases.glob("cofire.*"))
        elif not met and (place / "store" / "store.json").exists():
            with open_store(str(place / "store"), create=True) as store:
                seen_by_readers(store, counted.uid)
                met.extend(row for row in store.read("MATCH (j:LoadJournal) RETURN j.done", {}).rows if row[0] > 0)

    def check(place: Path) -> None:
        assert graph(place) == expected

    kill_at_random(
        job,
        arguments,
        check,
        tmp_path,
        kills=KILLS,
        seconds=seconds,
        seed=seed_of(seed),
        after_kill=look,
        enough=lambda: bool(met),
    )
    assert met, "no kill fell into the load"


def test_killed_loads_of_the_embedded_store(tmp_path: Path, counted: CaptureDir) -> None:
    killed_loads_of_the_embedded_store(tmp_path, counted, load_job, 3)


def test_killed_bulk_loads(tmp_path: Path, counted: CaptureDir) -> None:
    killed_loads_of_the_embedded_store(tmp_path, counted, bulk_job, 5)


def test_killed_loads_of_neo4j(tmp_path: Path, counted: CaptureDir, neo4j_server: Any) -> None:
    uri, username, password = neo4j_server

    def arguments(_place: Path) -> tuple[Any, ...]:
        with open_store(uri, username, password) as store:
            wipe(store)
        return str(counted.path), uri, username, password

    def graph() -> Any:
        with open_store(uri, username, password) as store:
            return dump_graph(store)

    run_undisturbed(load_job, arguments(tmp_path))
    seconds = run_undisturbed(load_job, arguments(tmp_path))  # the first has warmed the server
    expected = graph()
    assert len(expected[0]) > 1000
    states: list[Any] = []

    def check(_place: Path) -> None:
        assert graph() == expected

    def look(_place: Path) -> None:
        with open_store(uri, username, password) as store:
            seen_by_readers(store, counted.uid)
            states.extend(store.read("MATCH (s:Sae), (j:LoadJournal) RETURN s.status, j.done", {}).rows)

    def met() -> bool:
        return any(status == "loading" and done > 0 for status, done in states)

    kill_at_random(
        load_job, arguments, check, tmp_path, kills=KILLS, seconds=seconds, seed=seed_of(4), after_kill=look, enough=met
    )
    assert met(), "no kill fell into the load"


def test_killed_replacements(tmp_path: Path, counted: CaptureDir, neo4j_server: Any) -> None:
    """What is there goes and another version comes: readers see the one, nothing, or the other, whole."""
    uri, username, password = neo4j_server
    other = make_capture(tmp_path / "other", random_arrays(9, tokens=2000, n_latents=120, documents=40))
    run_undisturbed(count_job, (str(other.path),))

    def arguments(_place: Path) -> tuple[Any, ...]:
        with open_store(uri, username, password) as store:
            wipe(store)
        run_undisturbed(load_job, (str(other.path), uri, username, password))
        return str(counted.path), uri, username, password, True

    seconds = run_undisturbed(load_job, arguments(tmp_path))
    with open_store(uri, username, password) as store:
        expected = dump_graph(store)
    states: list[str] = []

    def check(_place: Path) -> None:
        with open_store(uri, username, password) as store:
            assert dump_graph(store) == expected

    def look(_place: Path) -> None:
        with open_store(uri, username, password) as store:
            seen_by_readers(store, counted.uid)
            states.extend(row[0] for row in store.read("MATCH (s:Sae) RETURN s.status", {}).rows)

    def met() -> bool:
        return bool({"deleting", "loading"} & set(states))

    kill_at_random(
        load_job, arguments, check, tmp_path, kills=KILLS, seconds=seconds, seed=seed_of(6), after_kill=look, enough=met
    )
    assert met(), "no kill fell into the replacement"
