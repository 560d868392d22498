"""Parts that several processes make: all of them once, whatever becomes of a helper, and no helper stays behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import cofire.common.processes as module
from cofire.common.processes import make_parts
from part_jobs import Numbers, Watched
from processes import below, left_of
from repository import ROOT


@pytest.fixture(autouse=True)
def helpers_find_the_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "tests" / "support"))


def makers(job: Numbers) -> dict[int, int]:
    """Return the process that made each part."""
    found = dict(map(int, job.path(part).read_text().split()) for part in range(job.parts))
    assert sorted(found) == list(range(job.parts))
    return found


def helpers() -> list[int]:
    return [pid for pid, line in below(os.getpid()).items() if "cofire.common.process_helper" in line]


def test_the_parts_are_dealt_out(tmp_path, caplog):
    job = Numbers(tmp_path, 7, os.getpid())
    told: list[float] = []
    make_parts(job, processes=3, tell=told.append)
    assert caplog.messages == []
    by = makers(job)
    assert len(set(by.values())) == 3
    assert [part for part, pid in by.items() if pid == os.getpid()] == [0, 3, 6]
    assert {by[1], by[4]} != {by[2], by[5]}
    assert len({by[1], by[4]}) == len({by[2], by[5]}) == 1
    assert told[0] == 0
    assert told[-1] == 7
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{part:03d}" for part in range(7)]


def test_what_is_there_is_not_made_again(tmp_path):
    job = Numbers(tmp_path, 6, os.getpid())
    for part in (0, 1, 4):
        job.path(part).write_text(f"{part} -1")
    told: list[float] = []
    make_parts(job, processes=2, tell=told.append)
    by = makers(job)
    assert [by[part] for part in (0, 1, 4)] == [-1] * 3
    assert by[2] == by[5] == os.getpid() != by[3]
    assert told[0] == 3
    make_parts(job, processes=2)
    assert makers(job) == by


@pytest.mark.parametrize("processes", [1, None])
def test_one_process_needs_no_helper(tmp_path, monkeypatch, processes):
    def never(*_, **__):
        raise AssertionError

    monkeypatch.setattr(module.subprocess, "Popen", never)
    monkeypatch.setattr(module, "processors", lambda: 1)
    make_parts(Numbers(tmp_path, 3, os.getpid()), processes=processes)
    make_parts(Numbers(tmp_path, 3, os.getpid()), processes=4)  # all is there


def test_no_more_than_most_take_part(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "processors", lambda: 64)
    monkeypatch.setattr(module, "MOST", 2)
    job = Numbers(tmp_path, 4, os.getpid())
    make_parts(job)
    assert len(set(makers(job).values())) == 2


def test_what_a_dead_helper_left_is_made_here(tmp_path, caplog):
    job = Numbers(tmp_path, 5, os.getpid(), helper="dies")
    make_parts(job, processes=2)
    assert set(makers(job).values()) == {os.getpid()}
    assert caplog.messages == ["cofire: helper processes ended early (exit codes [-9]; below 0: signals)"]


def test_an_error_is_raised_here(tmp_path):
    # Part 1 is the helper's, which ends without a word.
    job = Numbers(tmp_path, 4, os.getpid(), helper="fails")
    with pytest.raises(ValueError, match="part 1 cannot be made"):
        make_parts(job, processes=2)
    assert helpers() == []
    assert [job.path(part).is_file() for part in range(4)] == [True, False, True, False]


def test_what_no_helper_can_be_started_for_is_made_here(tmp_path, monkeypatch, caplog):
    def never(*_, **__):
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(module.subprocess, "Popen", never)
    job = Numbers(tmp_path, 5, os.getpid())
    make_parts(job, processes=3)
    assert set(makers(job).values()) == {os.getpid()}
    assert caplog.messages == ["cofire: 0 of 2 helper processes started ([Errno 11] Resource temporarily unavailable)"]


def test_a_helper_does_not_take_modules_from_where_the_user_is(tmp_path, monkeypatch):
    (tmp_path / "random.py").write_text(f"open({str(tmp_path / 'taken')!r}, 'w')")
    monkeypatch.chdir(tmp_path)
    job = Numbers(tmp_path, 2, os.getpid())
    make_parts(job, processes=2)
    assert len(set(makers(job).values())) == 2
    assert not (tmp_path / "taken").exists()


def test_an_interrupt_ends_the_helpers(tmp_path):
    def stop(done: float) -> None:
        if (tmp_path / "asleep").is_file():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_parts(Numbers(tmp_path, 4, os.getpid(), helper="sleeps"), processes=2, tell=stop)
    assert helpers() == []


PARENT = """
import os, sys
from pathlib import Path
from part_jobs import Numbers
from cofire.common.processes import make_parts
make_parts(Numbers(Path(sys.argv[1]), 4, os.getpid(), helper="sleeps"), processes=2)
"""


def test_a_helper_ends_with_a_killed_parent(tmp_path):
    # The script has no `if __name__ == "__main__"`, and needs none.
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(tmp_path)])
    asleep = tmp_path / "asleep"
    end = time.monotonic() + 60
    while not (asleep.is_file() and asleep.read_text()):
        assert parent.poll() is None
        assert time.monotonic() < end
        time.sleep(0.02)
    started = below(parent.pid)
    assert int(asleep.read_text()) in started
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    assert left_of(started, 30) == {}


def test_numbers_do_not_depend_on_how_many_work(tmp_path, monkeypatch):
    import pyarrow as pa

    from cofire.analysis.clusters.clusters import find_clusters
    from cofire.analysis.clusters.sweep import RESOLUTIONS, WeightedGraph, sweep
    from cofire.analysis.nulls.nulls import cluster_nulls

    def watched(job, **options):
        make_parts(Watched(job, tmp_path), **options)

    def made() -> tuple[int, int]:
        """How many parts were made, and by how many processes."""
        files = list(tmp_path.glob("maker-*"))
        by = {path.read_text() for path in files}
        for path in files:
            path.unlink()
        return len(files), len(by)

    monkeypatch.setattr("cofire.analysis.clusters.sweep.make_parts", watched)
    monkeypatch.setattr("cofire.analysis.nulls.nulls.make_parts", watched)
    rng = np.random.default_rng(5)
    pairs = np.unique(np.sort(rng.integers(120, size=(700, 2)), axis=1), axis=0)
    pairs = pairs[pairs[:, 0] < pairs[:, 1]]
    used, ends = np.unique(pairs, return_inverse=True)
    weight = rng.uniform(0.5, 3, len(pairs))
    graph = WeightedGraph(len(used), ends.reshape(-1, 2), weight, np.full(len(pairs), 0.2))
    one = sweep(graph, runs=3)
    assert made() == (RESOLUTIONS, 1)
    three = sweep(graph, runs=3, processes=3)
    assert made() == (RESOLUTIONS, 3)
    assert one is not None
    assert three is not None
    assert np.array_equal(one.partitions, three.partitions)
    assert np.array_equal(one.agreement, three.agreement)

    edges = pa.table({"a": pairs[:, 0], "b": pairs[:, 1], "log_odds": weight, "log_odds_se": np.full(len(pairs), 0.2)})
    found = find_clusters("r/s", edges, resolution=0.5)
    counts = rng.integers(50, 5000, 120)
    few = cluster_nulls(edges, counts, found.clusters, found.members, rewires=7)
    assert made() == (7, 1)
    many = cluster_nulls(edges, counts, found.clusters, found.members, rewires=7, processes=2)
    assert made() == (7, 2)
    assert few.clusters.equals(many.clusters)
    assert few.motifs.equals(many.motifs)
    assert few.figures == many.figures
