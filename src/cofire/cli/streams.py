"""The standard streams as a command finds them: closed, full, gone, or of another encoding than UTF-8.

What is written to a stream that the shell closed (`>&-`) goes nowhere, as to /dev/null, and that is no error. Data that
cannot be written is an error that names standard output; what cannot be said on standard error is lost, which
is no fault of the data.
"""

from __future__ import annotations

import io
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

STDOUT = "standard output"


class _Output(io.FileIO):
    def write(self, data: ReadableBuffer, /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            error.filename = STDOUT
            raise


class _Notices(io.FileIO):
    def write(self, data: ReadableBuffer, /) -> int:
        try:
            return super().write(data)
        except OSError:
            return memoryview(data).nbytes


def settle_streams() -> None:
    """Put streams in the place of standard output and error that behave as the module says, the closed ones too.

    A character that the encoding lacks is written as an escape.
    """
    # Else the next file that is opened would be taken for the stream that the shell closed.
    while (opened := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(opened, True)
    os.close(opened)
    if sys.stdin is None:
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - a number has no path
    sys.stdout = _text(_Output(1, "w", closefd=False), sys.stdout)
    sys.stderr = _text(_Notices(2, "w", closefd=False), sys.stderr)


def _text(raw: io.FileIO, before: object) -> io.TextIOWrapper:
    encoding = getattr(before, "encoding", None) or "utf-8"
    line_by_line = raw.fileno() == 2 or raw.isatty()
    return io.TextIOWrapper(
        io.BufferedWriter(raw), encoding=encoding, errors="backslashreplace", line_buffering=line_by_line
    )


def drop_output() -> None:
    """Let what is still to be written to standard output go nowhere: its reader or its disk is gone."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
