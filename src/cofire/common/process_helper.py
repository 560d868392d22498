"""A helper of `cofire.common.processes`: reads its share from stdin, makes the parts, and ends with its parent."""

from __future__ import annotations

import os
import pickle
import sys
import threading
import time

from cofire.common.processes import Share

SECONDS = 0.2


def main() -> None:
    """Make the parts of a share."""
    share: Share = pickle.load(sys.stdin.buffer)  # noqa: S301 - written by the process that started this one
    threading.Thread(target=_end_with, args=(share.parent,), daemon=True).start()
    for part in share.parts:
        share.job.make(part, lambda _: None)


def _end_with(parent: int) -> None:
    """End this process when its parent has: one that was killed cannot say so."""
    while os.getppid() == parent:
        time.sleep(SECONDS)
    os._exit(1)


if __name__ == "__main__":
    main()
