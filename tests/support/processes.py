"""Which processes run on this machine, and which of them another one started."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path


def processes() -> dict[int, tuple[int, str]]:
    """Parent and command line of every process."""
    found = {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            parent = re.search(r"^PPid:\s+(\d+)", (path / "status").read_text(), re.MULTILINE)
            line = (path / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        assert parent is not None
        found[int(path.name)] = (int(parent[1]), line)
    return found


def below(pid: int) -> dict[int, str]:
    """The processes that a process started, that these started, and so on; with their command lines."""
    everything = processes()
    found = {child: line for child, (parent, line) in everything.items() if parent == pid}
    for child in list(found):
        found |= below(child)
    return found


def left_of(started: dict[int, str], seconds: float) -> dict[int, str]:
    """Which of these processes still run after so many seconds; asked until there is none."""
    patience = time.monotonic() + seconds
    while True:
        now = processes()
        left = {pid: line for pid, line in started.items() if pid in now and now[pid][1] == line}
        if not left or time.monotonic() > patience:
            return left
        time.sleep(0.1)


def ended(pid: int, seconds: float = 60.0) -> bool:
    """Whether the process is gone, or a zombie that nobody has waited for yet, within the time."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state == "Z":
            return True
        time.sleep(0.05)
    return False


def kill_child(parents: set[int], title: str) -> int | None:
    """Kill one child of these whose command line begins so; it is stopped first, so that it is so when it dies."""

    def children() -> list[int]:
        return [pid for pid, (parent, line) in processes().items() if parent in parents and line.startswith(title)]

    for pid in children():
        # It may end by itself at any moment.
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
            if pid in children():
                os.kill(pid, signal.SIGKILL)
                return pid
            os.kill(pid, signal.SIGCONT)
    return None


def forked(work: Callable[[], str]) -> Callable[[], str]:
    """Run `work` in a forked process; returns what waits for the text that it gives, or for its error's."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        said = "nothing"
        try:
            signal.alarm(60)
            said = work()
        except BaseException as error:  # noqa: BLE001 - told by the parent
            said = f"{type(error).__name__}: {error}"
        finally:
            os.write(writer, said.encode())
            os._exit(0)  # whatever pytest would do at the end is the parent's
    os.close(writer)

    def answer() -> str:
        with os.fdopen(reader) as file:
            said = file.read()
        os.waitpid(pid, 0)
        return said or "hung: killed after 60 s"

    return answer
