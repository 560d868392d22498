"""`cofire export`: the graph as files, for Neo4j's bulk import, data frames, graph tools and spreadsheets.

    with open_store("cofire-store") as store:
        export(lambda: store_rows(store), "graph", "parquet")
    export(lambda: capture_rows(captures), "graph", "neo4j-admin")

An export is written into a directory beside its place and renamed when it is whole, so nobody ever sees a half; what a
killed run leaves there is cleared by the next one. `export.json` says what the export is and lists its files: only a
directory that holds such a list, and nothing but what it lists, is ever replaced.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import get_args

from cofire.common.files import from_home, naming, write_text
from cofire.errors import InputError
from cofire.schema.nodes import SAE
from cofire.store.export.formats import CsvWriter, Format, GraphmlWriter, ParquetWriter, Writer
from cofire.store.export.neo4j_admin import MARKS, MarkTaken, Neo4jAdminWriter
from cofire.store.export.rows import Slice, capture_rows, store_rows
from cofire.store.versions import VERSION

__all__ = ["Format", "capture_rows", "export", "store_rows"]

MANIFEST = "export.json"
MANIFEST_VERSION = 1
_LONG = 200
LEFT_BY_IMPORT = "import.report"
"""What neo4j-admin writes into the directory in which it runs."""


def export(rows: Callable[[], Iterable[Slice]], out: str | Path, format: Format, *, force: bool = False) -> Path:  # noqa: A002 - the contract's name
    """Write a graph to a directory, all of it or nothing. Memory holds what `rows` holds.

    Args:
        rows: makes the slices of the graph: see `capture_rows` and `store_rows`. It is called again in the rare case
            that a token contains one of the characters that were to delimit lists for neo4j-admin.
        out: the directory, `~` being the home directory; it is made. Unless `force`, it must not exist or be empty.
        format: neo4j-admin, parquet, graphml or csv; docs/export.md tells what is in each.
        force: replace an earlier export; a directory that holds anything else is refused all the same.

    Returns:
        The directory.

    Raises:
        InputError: `out` holds something, another process writes an export there, or the format is unknown.
        CaptureError, StoreError, QueryError: as `rows`.
        OSError: the directory cannot be written.
    """
    if format not in get_args(Format):
        raise InputError(f"unknown format {format}; give one of {', '.join(get_args(Format))}")
    place = from_home(out).resolve()
    if not place.name:
        raise InputError(f"{place} cannot be replaced by an export; give a directory in it")
    place.parent.mkdir(parents=True, exist_ok=True)
    with _alone(place):
        old = _beside(place, "replaced")
        if old.is_dir() and not place.exists():
            old.rename(place)  # a run was killed between its last two steps
        _refuse_to_overwrite(place, force=force)
        with _work_directory(place) as work:
            with naming(place):
                counts, saes = _write_whole(rows, work, format)
                files = sorted(path.name for path in work.iterdir())
                _flush(work)
            record = {
                "cofire_export": MANIFEST_VERSION, "format": format, "schema_version": VERSION, "saes": saes,
                "rows": counts, "files": files,
            }  # fmt: skip
            write_text(work / MANIFEST, json.dumps(record, indent=1, ensure_ascii=False) + "\n")
            # Somebody may have put something here meanwhile.
            _refuse_to_overwrite(place, force=force)
            shutil.rmtree(old, ignore_errors=True)
            if place.exists():
                place.rename(old)
            work.rename(place)
        shutil.rmtree(old, ignore_errors=True)
    return place


def _write_whole(
    rows: Callable[[], Iterable[Slice]],
    work: Path,
    format: Format,  # noqa: A002 - the contract's name
) -> tuple[dict[str, int], dict[str, str]]:
    """Write all files; returns the rows by sort of node and relationship, and the content hashes by SAE."""
    uid, content_hash = ([p.name for p in SAE.properties].index(name) for name in ("uid", "contentHash"))
    for marks in MARKS:
        _clear(work)
        writer = _writer(work, format, marks)
        saes: dict[str, str] = {}
        try:
            for kind, part in rows():
                writer.write(kind, part)
                if kind == SAE:
                    saes |= {row[uid]: row[content_hash] for row in part}
            writer.close()
        except MarkTaken:
            writer.abandon()
            continue
        except BaseException:
            writer.abandon()
            raise
        return writer.rows, saes
    raise InputError("the tokens contain every character that could delimit a list for neo4j-admin; use another format")


def _writer(work: Path, format: Format, marks: tuple[str, str, str]) -> Writer:  # noqa: A002 - the contract's name
    if format == "neo4j-admin":
        return Neo4jAdminWriter(work, marks)
    writers: dict[str, type[CsvWriter | ParquetWriter | GraphmlWriter]] = {
        "csv": CsvWriter,
        "parquet": ParquetWriter,
        "graphml": GraphmlWriter,
    }
    return writers[format](work)


def _refuse_to_overwrite(place: Path, *, force: bool) -> None:
    if not place.exists():
        return
    if not place.is_dir():
        raise InputError(f"{place} is a file; give a directory")
    held = {path.name for path in place.iterdir()}
    if not held:
        return
    known = _listed(place)
    foreign = sorted(held - known)
    if foreign:
        raise InputError(f"{place} holds {foreign[0]}, which is of no export; give another directory")
    if not force:
        raise InputError(f"{place} holds an export; add --force to replace it, or give another directory")


def _listed(place: Path) -> set[str]:
    """The names of everything that an export may have put into a directory; empty where it is none."""
    try:
        record = json.loads((place / MANIFEST).read_text(encoding="utf-8"))
        return {*record["files"], MANIFEST, LEFT_BY_IMPORT} if record["cofire_export"] else set()
    except (OSError, ValueError, KeyError, TypeError):
        return set()


def _beside(place: Path, what: str) -> Path:
    name = place.name
    if len(os.fsencode(name)) > _LONG:  # a name of 255 bytes has no room for what is put to it
        name = hashlib.sha256(os.fsencode(name)).hexdigest()[:32]
    return place.with_name(f".{name}.cofire-export-{what}")


@contextmanager
def _alone(place: Path) -> Iterator[None]:
    """Hold the place against other exports by a file beside it; the hold ends with the process, however that ends.

    Not by the directory that is written, as `cofire.common.files.exclusive` would: that one is renamed, and then the
    next export could hold a new one while this one is not done.
    """
    lock = _beside(place, "lock")
    while True:
        try:
            opened = lock.open("a")
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(place)) from error  # the name that the user knows
        with opened as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise InputError(f"{place} is being written by another cofire; wait for it to end") from error
            if os.fstat(file.fileno()).st_nlink == 0:
                continue  # whoever held it has ended since it was opened, and took it away
            try:
                yield
            finally:
                lock.unlink()
            return


@contextmanager
def _work_directory(place: Path) -> Iterator[Path]:
    """The directory to write in, empty; it goes unless it was renamed."""
    work = _beside(place, "part")
    if work.exists():
        shutil.rmtree(work)  # a run was killed
    work.mkdir()
    try:
        yield work
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise


def _clear(work: Path) -> None:
    for path in work.iterdir():
        path.unlink()


def _flush(work: Path) -> None:
    for path in work.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
