"""Terminals of a chosen width."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import termios
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def terminal(columns: int) -> Iterator[tuple[int, list[bytes]]]:
    """Yield an open file of a terminal of so many columns, and what it got: all of it after the end."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    got: list[bytes] = []

    def read() -> None:
        while True:
            try:
                part = os.read(ours, 65536)
            except OSError:  # the other end is closed
                return
            if not part:
                return
            got.append(part)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        yield theirs, got
    finally:
        os.close(theirs)
        reader.join()
        os.close(ours)


def text_of(got: list[bytes]) -> str:
    """Return what a terminal got, with the line ends of a program."""
    return b"".join(got).decode().replace("\r\n", "\n")
