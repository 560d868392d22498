"""Jobs that tests start in a process of their own, to kill it.

The processes come from a fork server that has imported what is slow, so that a kill costs a second and not fifteen.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

PRELOAD = [
    "torch",
    "sae_lens",
    "transformer_lens.model_bridge",
    "cofire.ingest.capture",
    "cofire.ingest.count",
    "cofire.analysis.analyze",
    "cofire.pipeline",
    "leidenalg",
    "pandas",
    "cofire.cli.app",
    "cofire.queries.knowledge_base",
]


def fork_server() -> Any:
    """The context that starts the jobs."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    return context


def capture_job(model: str, saes: list[str], text: str, out: str) -> None:
    import torch

    from cofire.ingest.capture import capture

    torch.set_num_threads(1)
    cut = {"tokens": 1500, "context": 64, "batch": 4, "shard_tokens": 256}
    capture(model, saes, text, out, **cut, device="cpu", residual_share=0.3)


def count_job(folder: str) -> None:
    from cofire.ingest.capture_dir.directory import CaptureDir
    from cofire.ingest.count import CountSettings, count

    # Ten row blocks or so, each a file of its own.
    count(CaptureDir.open(folder), CountSettings(edges="all", memory=64 * 80 * 8))


def analyse_job(folder: str) -> None:
    from cofire.analysis.analyses import analysis_settings
    from cofire.analysis.analyze import analyze
    from cofire.ingest.capture_dir.directory import CaptureDir

    analyze(CaptureDir.open(folder), analysis_settings(runs=2, rewires=10, processes=1))


def load_job(folder: str, location: str, username: str | None, password: str | None, replace: bool = False) -> None:
    from cofire.ingest.capture_dir.directory import CaptureDir
    from cofire.pipeline import ingest
    from cofire.settings import load_settings
    from cofire.store import open_store
    from cofire.store.load import write

    # Some forty batches, so that a kill falls between two of them.
    write.BATCH_ROWS, write.BATCH_VALUES = 200, 4000
    with open_store(location, username, password, create=True) as store:
        ingest(CaptureDir.open(folder), store, load_settings(edges="all"), replace=replace)


def bulk_job(folder: str, location: str, username: str | None, password: str | None) -> None:
    from cofire.store.load import bulk

    bulk.LEAST_ROWS, bulk.MESSAGE_ROWS = 1, 500
    load_job(folder, location, username, password)


def run_undisturbed(job: Callable[..., None], arguments: tuple[Any, ...]) -> float:
    """Run a job to its end; return how long it took. The fork server's own start does not count."""
    warm = fork_server().Process(target=time.monotonic)
    warm.start()
    warm.join()
    begun = time.monotonic()
    process = fork_server().Process(target=job, args=arguments)
    process.start()
    process.join()
    assert process.exitcode == 0
    return time.monotonic() - begun


def run_and_kill(job: Callable[..., None], arguments: tuple[Any, ...], seconds: float) -> bool:
    """Run a job and end it with kill -9 after so many seconds; False when it had ended by itself."""
    process = fork_server().Process(target=job, args=arguments)
    process.start()
    process.join(seconds)
    if process.exitcode is None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert process.exitcode in (0, -signal.SIGKILL)
    return process.exitcode != 0


def kill_at_random(
    job: Callable[..., None],
    arguments_in: Callable[[Path], tuple[Any, ...]],
    check: Callable[[Path], None],
    folder: Path,
    *,
    kills: int,
    seconds: float,
    seed: int,
    after_kill: Callable[[Path], None] = lambda place: None,
    enough: Callable[[], bool] = lambda: True,
) -> None:
    """Start a job, kill it at a random moment, resume it, and so on; check each result; until `kills` kills are done.

    Where these have not met what they are to meet (`enough`), there are more.

    Args:
        job: the job.
        arguments_in: makes its arguments from a fresh directory.
        check: asserts that what the resumed job left is right.
        folder: where the directories go.
        kills: how many kills in all.
        seconds: how long the undisturbed job takes.
        seed: of the random moments.
        after_kill: called after each kill, with the directory.
        enough: whether the kills have met the part of the job that they are about.
    """
    chance = random.Random(seed)  # noqa: S311 - no secret
    done = trial = 0
    latest = seconds
    while done < kills or not enough():
        trial += 1
        # Of moments spread over the whole job, a half and more are before its end.
        assert trial < 20 + 4 * kills, f"{trial - 1} runs, {done} kills: it ends too soon"
        place = folder / f"trial-{trial}"
        place.mkdir()
        arguments = arguments_in(place)
        # A few kills of one run, then it may end.
        for _ in range(min(4, max(kills - done, 1))):
            if not run_and_kill(job, arguments, chance.uniform(0, latest)):
                # Servers get warm and machines idle: look for the moment in a shorter time from now on.
                latest *= 0.8
                break
            done += 1
            after_kill(place)
            if not enough():
                # All were too early: in a longer time, then.
                latest = min(latest / 0.9, 2 * seconds)
        run_undisturbed(job, arguments)
        check(place)
