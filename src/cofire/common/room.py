"""What the system refused the embedded server: its answers do not say so, its log does, if there is room for that."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path
from typing import IO

LOG = "server.log"
"""What the server says, in the store's directory."""
_TAIL = 4096
_LOG_BYTES = 1_000_000
_STARTS = b"---- cofire starts a server ----\n"
_NO_ROOM = os.strerror(errno.ENOSPC)
_OTHERS = [os.strerror(code) for code in (errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EMFILE, errno.ENFILE)]
# ArcadeDB writes pages of 64 KiB, some at once: where it says that there is no room, so much may be left.
_LITTLE, _SOME = 64 * 1024, 16 * 1024**2


def new_log(directory: Path) -> IO[bytes]:
    """Open the log for a process that is about to start; a long one is begun anew.

    Args:
        directory: the store.

    Raises:
        OSError: it cannot be opened.
    """
    log = directory / LOG
    file = log.open("ab" if log.exists() and log.stat().st_size < _LOG_BYTES else "wb", buffering=0)
    with suppress(OSError):  # no room: `refused` sees that by itself
        file.write(_STARTS)
    return file


def refused(directory: Path) -> str | None:
    """Return one line for the user where the server failed because the system refused it room or a file, else None.

    Args:
        directory: the store.
    """
    try:
        disk = os.statvfs(directory)
        with (directory / LOG).open("rb") as file:
            file.seek(max(file.seek(0, os.SEEK_END) - _TAIL, 0))
            said = file.read().rpartition(_STARTS)[2].decode("utf-8", "replace")  # not what one before it has said
    except OSError:
        return None
    free = disk.f_bavail * disk.f_frsize
    reason = next((other for other in _OTHERS if other in said), None)
    if free < _LITTLE or (_NO_ROOM in said and free < _SOME):
        reason = _NO_ROOM
    return None if reason is None else f"{directory}: {reason}; give it what it lacks and run the command again"
