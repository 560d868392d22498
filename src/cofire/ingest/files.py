"""Writing files so that a reader sees all of one or nothing, and hashing them.

A file is written beside its place, flushed to the disk and renamed. A process that is killed leaves at most a
`.part` file, which the next run overwrites (removes, of a file that several processes may write).
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from cofire.errors import CaptureError

if TYPE_CHECKING:
    import pyarrow as pa


def write_atomically(path: Path, write: Callable[[Path], None], *, shared: bool = False) -> None:
    """Call `write` with a path beside `path`, then flush that file to the disk and rename it to `path`.

    `shared`: another process may write the same file at the same time; one of the two stays, whole.
    """
    part = path.with_name(f"{path.name}.{os.getpid()}.part" if shared else f"{path.name}.part")
    write(part)
    with part.open("rb") as handle:
        os.fsync(handle.fileno())
    part.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file atomically."""

    def write(part: Path) -> None:
        part.write_text(text, encoding="utf-8")

    write_atomically(path, write)


def write_parquet(path: Path, table: pa.Table) -> None:
    """Write a Parquet file atomically; equal tables give equal bytes."""
    import pyarrow.parquet as pq

    write_atomically(path, lambda part: pq.write_table(table, part, compression="zstd", use_dictionary=False))


@contextmanager
def exclusive(capture: Path) -> Iterator[None]:
    """Hold a capture directory for writing; the hold ends with the process, however that ends.

    Raises:
        CaptureError: another process holds it.
    """
    folder = os.open(capture, os.O_RDONLY)
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise CaptureError(f"{capture} is being written by another cofire; wait for it to end") from error
        yield
    finally:
        os.close(folder)


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's bytes as hex digits."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def to_disk(path: Path) -> None:
    """Have a file, or which names a directory holds, written to the disk itself before going on."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
