"""The tables directory of a capture: which tables are there, from what each was made, and whether that still holds.

`tables/manifest.json` names, for each table, the hash of its bytes and of everything that it was made from. A table
counts as current only when both agree, so a run that was killed half way, or settings that changed, are seen.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cofire.common.files import read_parquet, sha256_of, unreadable, write_parquet, write_text
from cofire.errors import CaptureError
from cofire.ingest.capture_dir.directory import CaptureDir
from cofire.ingest.capture_dir.layout import MANIFEST, OURS, WORK, table_file
from cofire.schema.tables import Table

if TYPE_CHECKING:
    import pyarrow as pa


class TableInfo(BaseModel):
    """One table: its hash and size, what it was made from, and the settings and figures of that run.

    Attributes:
        unfilled: its hash before columns were filled from its parts; None where they were not.
    """

    model_config = ConfigDict(extra="forbid")

    sha256: str
    rows: int
    made_from: str
    settings: dict[str, Any] = Field(default_factory=dict)
    figures: dict[str, int | float] = Field(default_factory=dict)
    unfilled: str | None = None

    @property
    def as_made(self) -> str:
        """The hash of what was made, whatever its parts have filled in since: what is made from it stays current."""
        return self.unfilled or self.sha256


def digest(*parts: object) -> str:
    """Return the SHA-256 of the parts as JSON: one fingerprint for `made_from`."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def capture_digest(capture: CaptureDir) -> str:
    """Return a fingerprint of everything in a capture that a table can depend on."""
    manifest = capture.manifest
    present = {name: sha256_of(capture.path / name) for name in OURS if (capture.path / name).is_file()}
    sae = manifest.sae
    encoding = [sae.architecture, sae.normalize_activations, sae.apply_b_dec_to_input, sae.rescale_acts_by_decoder_norm]
    return digest(manifest.uid, manifest.n_latents, [shard.hashes for shard in manifest.shards], present, encoding)


def table_infos(capture: CaptureDir) -> dict[str, TableInfo]:
    """Return what is recorded of each table; empty before the first count.

    Raises:
        CaptureError: the record is damaged.
    """
    path = capture.tables / MANIFEST
    if not path.is_file():
        return {}
    try:
        return {name: TableInfo(**info) for name, info in json.loads(path.read_text(encoding="utf-8")).items()}
    except (ValidationError, ValueError, AttributeError, TypeError) as error:
        raise CaptureError(f"{path} is damaged; remove {capture.tables} and count again") from error


def is_whole(capture: CaptureDir, name: str) -> bool:
    """Return True when the table is there and is the file that was recorded."""
    info = table_infos(capture).get(name)
    path = capture.tables / table_file(name)
    return info is not None and path.is_file() and sha256_of(path) == info.sha256


def is_current(capture: CaptureDir, name: str, made_from: str) -> bool:
    """Return True when the table is there, whole, and made from just this."""
    info = table_infos(capture).get(name)
    return info is not None and info.made_from == made_from and is_whole(capture, name)


def save_tables(
    capture: CaptureDir,
    tables: Mapping[str, pa.Table],
    made_from: str | Mapping[str, str],
    settings: Mapping[str, Any],
    figures: Mapping[str, int | float],
) -> None:
    """Write tables that belong together, and record them in one step after the last is on the disk.

    `made_from` is the fingerprint of all of them, or of each by its name.
    """
    infos = table_infos(capture)
    capture.tables.mkdir(exist_ok=True)
    for name, table in tables.items():
        path = capture.tables / table_file(name)
        write_parquet(path, table)
        infos[name] = TableInfo(
            sha256=sha256_of(path),
            rows=table.num_rows,
            made_from=made_from if isinstance(made_from, str) else made_from[name],
            settings=dict(settings),
            figures=dict(figures),
        )
    _record(capture, infos)


def fill_table(capture: CaptureDir, whole: Table, parts: Sequence[Table]) -> None:
    """Put into a table what its parts (`Table.part_of`) say of its rows; null where one is not there or says nothing.

    A part has the table's key, and fills the columns that the table has too. What was made from the table stays
    current: see `TableInfo.as_made`.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    there = read_table(capture, whole)
    filled, own = there, {column.name for column in whole.columns}
    for part in parts:
        found = read_table(capture, part) if is_whole(capture, part.name) else None
        if found is not None:
            place = pc.index_in(there.column(whole.key[0]), value_set=found.column(part.key[0]).combine_chunks())
        for name in [column.name for column in part.columns if column.name in own - set(part.key)]:
            field = there.schema.field(name)
            values = pa.nulls(there.num_rows, field.type) if found is None else found.column(name).take(place)
            filled = filled.set_column(filled.schema.get_field_index(name), field, values)
    if filled.equals(there):
        return
    infos = table_infos(capture)
    path, info = capture.tables / table_file(whole.name), infos[whole.name]
    write_parquet(path, filled)
    infos[whole.name] = info.model_copy(update={"sha256": sha256_of(path), "unfilled": info.as_made})
    _record(capture, infos)


def drop_tables(capture: CaptureDir, names: Iterable[str]) -> None:
    """Forget tables, in one step, then remove their files."""
    infos = table_infos(capture)
    gone = [name for name in names if infos.pop(name, None) is not None]
    _record(capture, infos)
    for name in gone:
        (capture.tables / table_file(name)).unlink(missing_ok=True)


def _record(capture: CaptureDir, infos: dict[str, TableInfo]) -> None:
    record = {name: info.model_dump(exclude_unset=True) for name, info in sorted(infos.items())}
    write_text(capture.tables / MANIFEST, json.dumps(record, indent=1) + "\n")


def check_table(capture: CaptureDir, table: Table) -> Path:
    """Return the file of a table that can be read: there, as it was recorded, and with the columns of today.

    Raises:
        CaptureError: it is not.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = capture.tables / table_file(table.name)
    info = table_infos(capture).get(table.name)
    if info is None or not path.is_file():
        if not capture.keeps_activations and table.name in ("contexts", "conditionals"):
            raise CaptureError(f"{capture.path} was captured with --no-keep, which gives no {table.name}; capture anew")
        raise CaptureError(f"{path} is missing; run `cofire {table.maker} {capture.path}`")
    if sha256_of(path) != info.sha256:
        raise CaptureError(f"{path} is not the file that was recorded; {_anew(capture, table)}")
    try:
        with path.open("rb") as file:
            there = set(pq.read_schema(file).names)
    except (pa.ArrowInvalid, OSError) as error:
        raise unreadable(path, error, _anew(capture, table)) from error
    lacking = [column.name for column in table.columns if not column.nullable and column.name not in there]
    if lacking:
        raise CaptureError(f"{path} was made by an earlier cofire and has no {lacking[0]}; {_anew(capture, table)}")
    return path


def read_table(capture: CaptureDir, table: Table) -> pa.Table:
    """Read one table, with the columns of its schema.

    Raises:
        CaptureError: see `check_table`.
    """
    path = check_table(capture, table)
    try:
        return read_parquet(path, schema=table.arrow_schema())
    except (ValueError, OSError) as error:
        raise unreadable(path, error, _anew(capture, table)) from error


def _anew(capture: CaptureDir, table: Table) -> str:
    return f"run `cofire {table.maker} {capture.path}` again"


def work_directory(capture: CaptureDir, made_from: str) -> Path:
    """Make and return the directory for the passes of an unfinished count; those of other settings are removed."""
    work = capture.tables / f"{WORK}{made_from[:16]}"
    remove_work(capture, but=work)
    work.mkdir(parents=True, exist_ok=True)
    return work


def remove_work(capture: CaptureDir, but: Path | None = None) -> None:
    """Remove the passes of unfinished counts, all `but` one."""
    for work in capture.tables.glob(f"{WORK}*"):
        if work != but:
            shutil.rmtree(work)
