"""What the system refused the embedded server, which says so in its log, if there is room for that, in no answer."""

from __future__ import annotations

import errno
import os
from pathlib import Path

LOG = "server.log"
"""What the server says, in the store's directory."""
_TAIL = 4096
_NO_ROOM = os.strerror(errno.ENOSPC)
_OTHERS = [os.strerror(code) for code in (errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EMFILE, errno.ENFILE)]
# ArcadeDB writes pages of 64 KiB, some at once: where it says that there is no room, so much may be left.
_LITTLE, _SOME = 64 * 1024, 16 * 1024**2


def refused(directory: Path) -> str | None:
    """Return one line for the user where the server failed because the system refused it room or a file, else None.

    Args:
        directory: the store.
    """
    try:
        disk = os.statvfs(directory)
        with (directory / LOG).open("rb") as file:
            file.seek(max(file.seek(0, os.SEEK_END) - _TAIL, 0))
            said = file.read().decode("utf-8", "replace")
    except OSError:
        return None
    free = disk.f_bavail * disk.f_frsize
    reason = next((other for other in _OTHERS if other in said), None)
    if free < _LITTLE or (_NO_ROOM in said and free < _SOME):
        reason = _NO_ROOM
    return None if reason is None else f"{directory}: {reason}; give it what it lacks and run the command again"
