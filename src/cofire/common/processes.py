"""Make the parts of a long analysis in several processes, each part a file; what is there already is not made again.

The parts are dealt out like cards: of P processes, number w makes parts w, w + P, w + 2P and so on of those that are
missing. A helper is a plain `python -m cofire.common.process_helper`, so that a script needs no
`if __name__ == "__main__"`. It ends when this process ends, however that ends; what it leaves undone, this process
makes itself, so that an error is raised here and a helper that the system has killed costs nothing but time. That it
did is logged as a warning.
"""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

LOG = logging.getLogger(__name__)
MOST = 8
"""Processes at the most: each holds the graph."""

Tick = Callable[[float], None]
"""Called with how much of a part is done, 0 to 1."""


class Job(Protocol):
    """Parts that do not depend on each other; the class is found by its name in the helper, and sent pickled."""

    @property
    def parts(self) -> int:
        """How many there are, numbered from 0."""

    def path(self, part: int) -> Path:
        """Return the file of a part."""

    def make(self, part: int, tick: Tick) -> None:
        """Make the file of a part, atomically (`write_atomically(..., shared=True)`); `tick` is called now and then."""


@dataclass(frozen=True)
class Share:
    """What a helper is sent: the job, its parts, and the process that sends it."""

    job: Job
    parts: list[int]
    parent: int


def make_parts(job: Job, *, processes: int | None = None, tell: Callable[[float], None] | None = None) -> None:
    """Make all parts of a job that are not there.

    Args:
        job: the job.
        processes: how many, this one included; None: as many as there are processors, MOST at the most.
        tell: called now and then with how many parts are done, fractions of this process's own included.
    """
    missing = [part for part in range(job.parts) if not job.path(part).is_file()]
    many = min(processes or min(processors(), MOST), max(len(missing), 1))
    shares = [missing[w::many] for w in range(many)]
    # Each process makes its share in order: how far it is can be told without a look at every file.
    made = [0] * many

    def tick(fraction: float) -> None:
        if tell is None:
            return
        for w, parts in enumerate(shares):
            while made[w] < len(parts) and job.path(parts[made[w]]).is_file():
                made[w] += 1
        tell(job.parts - len(missing) + sum(made) + fraction)

    with contextlib.ExitStack() as helpers:
        others = []
        for w in range(1, many):
            # Without memory or room for a helper, its parts are made here.
            try:
                others.append(helpers.enter_context(_helper(job, shares[w])))
            except OSError as error:
                LOG.warning("cofire: %d of %d helper processes started (%s)", w - 1, many - 1, error)
                break
        for part in shares[0]:
            tick(0)
            job.make(part, tick)
        while any(other.poll() is None for other in others):
            tick(0)
            time.sleep(0.05)
        if codes := sorted({other.returncode for other in others if other.returncode}):
            LOG.warning("cofire: helper processes ended early (exit codes %s; below 0: signals)", codes)
    for part in missing:
        if not job.path(part).is_file():
            job.make(part, tick)
    tick(0)


@contextlib.contextmanager
def _helper(job: Job, parts: list[int]) -> Iterator[subprocess.Popen[bytes]]:
    # Not a pipe, which would hold this process up until the helper has started and reads.
    with tempfile.TemporaryFile() as share:
        pickle.dump(Share(job, parts, os.getpid()), share)
        share.seek(0)
        # A group of its own: Ctrl-C reaches this process alone, which then ends the helper.
        helper = subprocess.Popen(
            # -P: not the modules that happen to lie where the user works.
            [sys.executable, "-P", "-m", "cofire.common.process_helper"],
            stdin=share,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    try:
        yield helper
    finally:
        helper.kill()
        helper.wait()


def processors() -> int:
    """Return the number of processors, those that this process is bound to where the system tells."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
