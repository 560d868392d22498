"""Writing files so that a reader sees all of one or nothing, reading and hashing them.

A file is written beside its place, flushed to the disk and renamed. A process that is killed leaves at most a
`.part` file, or of tensors a `.parts` folder, which the next run overwrites (removes, of a file that several processes
may write).

pyarrow gets open files and no paths: it takes `run:1/x` for a URL, expands `~`, and has no bytes that are not UTF-8. So
a path is a path, whatever its name; and what goes wrong in writing is an OSError that names the file (`naming`).
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import IO, TYPE_CHECKING, Any

from cofire.common.characters import sound
from cofire.errors import CaptureError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa


ELSEWHERE = "give another --out; --force deletes this capture and starts over"
AGAIN = f"make it again: {ELSEWHERE}"
"""What to do about a capture that is damaged or wrong."""

TENSORS_PART = ".parts"
"""What the folder in which `write_tensors` works has behind the file's name."""


_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
# What Python makes of a byte of a path that is not UTF-8.
_NO_UTF_8 = re.compile("[\udc80-\udcff]")
_RUST = re.compile(r"\(os error (\d+)\)")


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Name `path`, which is written inside, in an OSError that names no file.

    Where there is no room it is named in any case: a copy would name what it read, perhaps on another disk.
    """
    try:
        yield
    except OSError as error:
        if error.filename is not None and error.errno not in _FULL:
            raise
        if error.errno is None:  # numpy's tofile says how much it wrote, and not why no more
            raise OSError(errno.EIO, f"could not be written whole ({error})", str(path)) from error
        raise OSError(error.errno, os.strerror(error.errno), str(path)) from error


@contextmanager
def writing(path: Path) -> Iterator[IO[bytes]]:
    """Open a file for writing bytes anew; an OSError inside names it."""
    with naming(path), path.open("wb") as file:
        yield file


def for_numpy(file: IO[bytes]) -> Any:
    """Return a file that numpy writes to by `write`, which says why it could not, unlike `tofile`."""
    return SimpleNamespace(write=file.write)


def write_atomically(path: Path, write: Callable[[Path], None], *, shared: bool = False) -> None:
    """Call `write` with a path beside `path`, then flush that file to the disk and rename it to `path`.

    `shared`: another process may write the same file at the same time; one of the two stays, whole.

    Raises:
        OSError: it cannot be written; it names `path`, and leaves nothing there.
    """
    part = path.with_name(f"{path.name}.{os.getpid()}.part" if shared else f"{path.name}.part")
    try:
        with naming(path):
            write(part)
            to_disk(part)
            part.replace(path)
            to_disk(path.parent)
    except OSError:
        with suppress(OSError):  # where the name of the file is too long, that of the part is, too
            part.unlink()
        raise


def from_home(path: str | Path) -> Path:
    """Return the path with ~ and ~USER as the home directory; as it is where there is no such user."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def unreadable(path: Path, error: Exception, advice: str = AGAIN) -> CaptureError:
    """Return what to raise where a file of a capture cannot be read; `advice` is for a damaged one.

    Only a damaged file is worth making again: what the system refused (permissions, a disk that is away, too many open
    files) may be whole, and --force would delete the capture for nothing.
    """
    if isinstance(error, OSError) and error.errno is not None:
        return CaptureError(f"{path} cannot be read ({error.strerror}): see to that; the file itself may be whole")
    return CaptureError(f"{path} cannot be read ({error}); {advice}")


def spoilt(path: Path) -> CaptureError:
    """Return what to raise where a file of a capture is gone, or is not what the capture's manifest says."""
    return CaptureError(f"{path} {'is damaged' if path.is_file() else 'is missing'}; {AGAIN}")


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file atomically."""

    def write(part: Path) -> None:
        part.write_text(text, encoding="utf-8")

    write_atomically(path, write)


def write_parquet(path: Path, table: pa.Table) -> None:
    """Write a Parquet file atomically; equal tables give equal bytes."""
    import pyarrow.parquet as pq

    def write(part: Path) -> None:
        with part.open("wb") as file:
            pq.write_table(table, file, compression="zstd", use_dictionary=False)

    write_atomically(path, write)


def read_parquet(path: Path, **how: Any) -> pa.Table:
    """Read a Parquet file; `how` as pyarrow's `read_table` (columns, schema).

    Raises:
        ValueError: it is damaged.
        OSError: the system does not let it be read.
    """
    import pyarrow.parquet as pq

    with path.open("rb") as file:
        try:
            return pq.read_table(file, **how)
        except OSError as error:
            if error.errno is not None:
                raise
            raise ValueError(str(error)) from error


def write_tensors(path: Path, tensors: Mapping[str, npt.NDArray[np.generic]]) -> None:
    """Write a safetensors file atomically; equal tensors give equal bytes."""
    import numpy as np
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    # save_file writes to a file of a random name, which a kill would leave for good, and which its owner alone may
    # read. So it is given a folder of its own, which the next run removes. (save makes two more copies in memory.)
    folder = path.with_name(path.name + TENSORS_PART)
    shutil.rmtree(folder, ignore_errors=True)

    def write(part: Path) -> None:
        folder.mkdir()
        try:
            save_file({name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}, folder / path.name)
            (folder / path.name).chmod(folder.stat().st_mode & 0o666)
            (folder / path.name).replace(part)
        except SafetensorError as error:
            # It hides what the system said in its text.
            said = _RUST.search(str(error))
            if said is None:
                raise
            raise OSError(int(said[1]), os.strerror(int(said[1])), str(path)) from error
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    write_atomically(path, write)


def write_array(path: Path, array: npt.NDArray[np.generic], *, shared: bool = False) -> None:
    """Write one array as .npy, atomically; `shared` as for `write_atomically`."""
    import numpy as np

    def write(part: Path) -> None:
        with part.open("wb") as handle:
            np.save(for_numpy(handle), array)

    write_atomically(path, write, shared=shared)


def write_arrays(path: Path, arrays: Mapping[str, npt.NDArray[np.generic]], *, shared: bool = False) -> None:
    """Write arrays as .npz, atomically; `shared` as for `write_atomically`."""
    import numpy as np

    def write(part: Path) -> None:
        with part.open("wb") as handle:
            np.savez(handle, **arrays)  # type: ignore[arg-type]  # numpy's stub takes **arrays for its own flags

    write_atomically(path, write, shared=shared)


def read_arrays(path: Path) -> dict[str, npt.NDArray[Any]]:
    """Return what `write_arrays` wrote, by name."""
    import numpy as np

    with np.load(path, allow_pickle=False) as saved:
        return {name: saved[name] for name in saved.files}


def as_text(path: str | Path) -> str:
    r"""Return a path as text that can be written down; its bytes that are not UTF-8 become escapes, as in `\xff`."""
    escaped = _NO_UTF_8.sub(lambda byte: f"\\x{ord(byte[0]) - 0xDC00:02x}", str(path))
    return sound(escaped)


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
