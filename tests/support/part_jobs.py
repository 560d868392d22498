"""Jobs of parts that the tests of cofire.common.processes share out: a helper finds them by their module's name."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cofire.common.files import write_atomically


@dataclass(frozen=True)
class Numbers:
    """Each part a file with its number and the process that made it.

    Attributes:
        folder: where the files go.
        parts: how many.
        parent: the process that sends helpers out.
        helper: works, dies (with its first part), sleeps (over it); fails: part 1 can be made by nobody.
        seconds: that each part takes.
    """

    folder: Path
    parts: int
    parent: int
    helper: str = "works"
    seconds: float = 0.0

    def path(self, part: int) -> Path:
        return self.folder / f"{part:03d}"

    def make(self, part: int, tick: Callable[[float], None]) -> None:
        here = os.getpid()
        if here != self.parent and self.helper == "dies":
            os.kill(here, signal.SIGKILL)
        if here != self.parent and self.helper == "sleeps":
            (self.folder / "asleep").write_text(str(here))
            for _ in range(2400):
                time.sleep(0.05)
                tick(0.5)
        if part == 1 and self.helper == "fails":
            raise ValueError(f"part {part} cannot be made")
        time.sleep(self.seconds)
        tick(0.5)
        write_atomically(self.path(part), lambda file: file.write_text(f"{part} {here}") and None, shared=True)


@dataclass(frozen=True)
class Watched:
    """A job of the code's own, of which it is written down who made each part."""

    job: Any
    folder: Path

    @property
    def parts(self) -> int:
        return int(self.job.parts)

    def path(self, part: int) -> Path:
        found: Path = self.job.path(part)
        return found

    def make(self, part: int, tick: Callable[[float], None]) -> None:
        self.job.make(part, tick)
        (self.folder / f"maker-{part}").write_text(str(os.getpid()))
