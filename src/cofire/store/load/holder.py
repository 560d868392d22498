"""Which process loads an SAE, and whether it still lives.

A holder is one line of JSON: host, boot and pid namespace (within which process ids mean something), process id, the
process's start (ids are used again), and a number of this very load. A process of this machine is looked up; of one
elsewhere only its last sign of life tells.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
from pathlib import Path
from typing import Any

LEASE_SECONDS = 60.0
"""How long a loader on another machine may be silent before it counts as dead. Each batch is a sign of life."""

_ACTIVE: set[str] = set()


def acquire() -> str:
    """Return a new holder for a load by this process; it is alive until `release`."""
    holder = json.dumps({**_place(), "pid": os.getpid(), "start": _start(os.getpid()), "load": secrets.token_hex(8)})
    _ACTIVE.add(holder)
    return holder


def release(holder: str) -> None:
    """Let go of a holder of this process."""
    _ACTIVE.discard(holder)


def is_alive(holder: str, silent: float) -> bool:
    """Tell whether a holder's load still runs.

    Args:
        holder: from a journal; what is no holder is dead.
        silent: seconds since its last sign of life.
    """
    found = _parsed(holder)
    if found is None:
        return False
    if any(found.get(name) != value for name, value in _place().items()):
        return silent < LEASE_SECONDS
    pid = int(found.get("pid", 0))
    if pid == os.getpid():
        return holder in _ACTIVE
    start = _start(pid)
    return start is not None and start == found.get("start")


def shown(holder: str) -> str:
    """Return the holder as the user may look it up: process and host."""
    found = _parsed(holder) or {}
    return f"process {found.get('pid', '?')} on {found.get('host', '?')}"


def _parsed(holder: str) -> dict[str, Any] | None:
    try:
        found = json.loads(holder)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _place() -> dict[str, str]:
    return {"host": socket.gethostname(), "boot": _line("/proc/sys/kernel/random/boot_id"), "ids": _namespace()}


def _line(path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii").strip()
    except OSError:  # not Linux
        return ""


def _namespace() -> str:
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""


def _start(pid: int) -> str | None:
    """When a process started, in the system's own terms ('' where it does not tell); None when there is none."""
    try:
        # Field 22; the second is the name in brackets, which may hold anything. Z: ended, not yet waited for.
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        return None if fields[0] == "Z" else fields[19]
    except OSError:
        if Path("/proc/self/stat").exists():
            return None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        return ""
    return ""
