"""A helper of `cofire.analysis.processes`: reads its share from stdin, makes the parts, and ends with its parent."""

from __future__ import annotations

import os
import pickle
import sys

from cofire.analysis.processes import Share


def main() -> None:
    """Make the parts of a share."""
    share: Share = pickle.load(sys.stdin.buffer)  # noqa: S301 - written by the process that started this one

    def alive(_: float = 0) -> None:
        # A parent that was killed cannot say so.
        if os.getppid() != share.parent:
            sys.exit(1)

    for part in share.parts:
        alive()
        share.job.make(part, alive)


if __name__ == "__main__":
    main()
