"""kill -9 at random moments of capture, count and load: what is resumed equals what was never disturbed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from builders import make_capture, random_arrays
from cofire.ingest.capture_dir import CaptureDir
from cofire.store import open_store
from graphs import dump_graph, wipe
from jobs import capture_job, count_job, kill_at_random, load_job, run_undisturbed

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples/smollm2"
KILLS = 20


def tables_of(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted((folder / "tables").iterdir())}


def capture_of(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_killed_captures(tmp_path: Path, smollm2_dir: Path) -> None:
    saes = [str(EXAMPLES / "layer_12"), str(EXAMPLES / "layer_18")]

    def arguments(place: Path) -> tuple[Any, ...]:
        return str(smollm2_dir), saes, str(EXAMPLES / "austen.jsonl.gz"), str(place)

    undisturbed = tmp_path / "undisturbed"
    undisturbed.mkdir()
    seconds = run_undisturbed(capture_job, arguments(undisturbed))

    def check(place: Path) -> None:
        assert capture_of(place) == capture_of(undisturbed)

    kill_at_random(capture_job, arguments, check, tmp_path, kills=KILLS, seconds=seconds, seed=1)


def test_killed_counts(tmp_path: Path) -> None:
    arrays = random_arrays(7, tokens=40_000, n_latents=80, documents=40)

    def arguments(place: Path) -> tuple[Any, ...]:
        return (str(make_capture(place, arrays).path),)

    undisturbed = tmp_path / "undisturbed"
    seconds = run_undisturbed(count_job, arguments(undisturbed))

    def check(place: Path) -> None:
        assert tables_of(place / "capture") == tables_of(undisturbed / "capture")

    kill_at_random(count_job, arguments, check, tmp_path, kills=KILLS, seconds=seconds, seed=2)


@pytest.fixture(scope="module")
def counted(tmp_path_factory: pytest.TempPathFactory) -> CaptureDir:
    folder = tmp_path_factory.mktemp("counted")
    capture = make_capture(folder, random_arrays(8, tokens=3000, n_latents=120, documents=40))
    run_undisturbed(count_job, (str(capture.path),))
    return capture


def test_killed_loads_of_the_embedded_store(tmp_path: Path, counted: CaptureDir) -> None:
    def arguments(place: Path) -> tuple[Any, ...]:
        return str(counted.path), str(place / "store"), None, None

    def graph(place: Path) -> Any:
        with open_store(str(place / "store")) as store:
            return dump_graph(store)

    undisturbed = tmp_path / "undisturbed"
    undisturbed.mkdir()
    seconds = run_undisturbed(load_job, arguments(undisturbed))
    expected = graph(undisturbed)
    assert len(expected[0]) > 1000

    def check(place: Path) -> None:
        assert graph(place) == expected

    kill_at_random(load_job, arguments, check, tmp_path, kills=KILLS, seconds=seconds, seed=3)


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

    def look() -> None:
        with open_store(uri, username, password) as store:
            states.extend(store.read("MATCH (s:Sae), (j:LoadJournal) RETURN s.status, j.done", {}).rows)

    kill_at_random(load_job, arguments, check, tmp_path, kills=KILLS, seconds=seconds, seed=4, after_kill=look)
    assert [s for s in states if s[0] == "loading" and s[1] > 0], "no kill fell into the load"
