"""Documents from files, directories or a Hugging Face dataset.

FILE.txt, FILE.txt.gz       one document
FILE.jsonl, FILE.jsonl.gz   one document a line, in the field `text` (settable); `title`, where present, names it
DIRECTORY                   all files of these four kinds in it, recursively, in the order of their paths
hf:NAME[:SPLIT]             a dataset of the Hugging Face hub, or a directory of one (`cofire.ingest.capturing.dataset`)

A long text is several documents, see `cofire.ingest.capturing.pieces`. Files are UTF-8, with or without a byte order
mark. Half a surrogate pair, which JSON can hold, is read as U+FFFD.
"""

from __future__ import annotations

import codecs
import gzip
import hashlib
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, cast

from cofire.common.characters import brief, sound
from cofire.common.files import as_text, sha256_of
from cofire.errors import InputError
from cofire.ingest.capturing.dataset import DataSet, find_dataset
from cofire.ingest.capturing.pieces import numbered, pieces, pieces_of

__all__ = ["TextSource", "open_text"]

SUFFIXES = (".txt", ".txt.gz", ".jsonl", ".jsonl.gz")
KINDS = ".txt, .jsonl (either may end in .gz), a directory of these, or hf:NAME[:SPLIT]"
LINE = 64 * 2**20
"""Bytes of a JSON line at most: it is in memory as a whole."""
TITLE = 200
"""Characters of a title that name a document, at most."""
FIELD, FIELDS = 40, 8
"""Characters of a field's name, and fields, that a message names, at most."""


@dataclass(frozen=True)
class TextSource:
    """A text that exists; nothing of it is read yet.

    Attributes:
        name: what the user gave.
        files: (name shown to the user, path) in reading order; empty for a dataset.
        dataset: the Hugging Face dataset, or None.
        field: the field that holds a document's text in JSON lines and datasets.
    """

    name: str
    files: tuple[tuple[str, Path], ...]
    dataset: DataSet | None
    field: str

    def pinned(self) -> TextSource:
        """Return it with the revision that a dataset of the hub has now, where the hub tells it; see `DataSet`."""
        return self if self.dataset is None else replace(self, dataset=self.dataset.pinned())

    def fingerprint(self) -> str:
        """Return the SHA-256 of the files' names and bytes; of the name alone for a dataset of the hub."""
        parts = self.dataset.contents() if self.dataset else []
        return _hash([*parts, *(f"{name}\0{sha256_of(path)}" for name, path in self.files)])

    def earlier_fingerprint(self) -> str | None:
        """Return what cofire took for the fingerprint before it read the files of a dataset's directory, or None."""
        if self.dataset is None or not self.dataset.local:
            return None
        return _hash([f"hf:{self.dataset.name}:{self.dataset.split}"])

    def documents(self) -> Iterator[tuple[str, str]]:
        """Yield (name, text) of each document that is not empty, in order.

        Raises:
            InputError: a file is not UTF-8, is a damaged gzip file, or has a line that is no JSON object with
                the field or is longer than LINE; the dataset cannot be read.
        """
        if self.dataset:
            for name, row in self.dataset.rows():
                if text := _field(row, self.field, f"hf:{name}"):
                    yield from pieces_of(name, text)
            return
        for name, path in self.files:
            try:
                with _reader(path) as handle:
                    if name.removesuffix(".gz").endswith(".txt"):
                        yield from numbered(name, _texts(path, handle))
                    else:
                        yield from _json_lines(name, handle, self.field)
            except (OSError, EOFError, zlib.error) as error:
                raise InputError(f"cannot read text {path}: {error}") from error


def open_text(text: str | Path, field: str = "text") -> TextSource:
    """Find the files of `text` (see the module), without reading them.

    Raises:
        InputError: there is no such file or directory, it is of another kind, or it holds no text files; a dataset
            is named and the package for them is missing.
    """
    name = as_text(text)
    if not name.strip():
        raise InputError(f"no text named: give {KINDS}")
    if as_text(field) != field:
        raise InputError(f"--text-field {as_text(field)} is not UTF-8: no JSON line and no dataset has such a field")
    if name.startswith("hf:"):
        return TextSource(name, (), find_dataset(str(text).removeprefix("hf:")), field)
    path = Path(text)
    if path.is_file():
        if not path.name.endswith(SUFFIXES):
            raise InputError(f"text {name} is of an unknown kind: give {KINDS}")
        return TextSource(name, ((as_text(path.name), path),), None, field)
    if not path.is_dir():
        raise InputError(f"no text at {name}: give {KINDS}")
    found = sorted(
        (as_text(inside.relative_to(path)), inside)
        for inside in path.rglob("*")
        if inside.name.endswith(SUFFIXES) and not inside.name.startswith(".") and inside.is_file()
    )
    if not found:
        raise InputError(f"no text in the directory {path}: it holds no {', '.join(SUFFIXES)} files")
    return TextSource(name, tuple(found), None, field)


def _hash(parts: list[str]) -> str:
    # A file's name need not be UTF-8.
    return hashlib.sha256("\0".join(parts).encode(errors="surrogateescape")).hexdigest()


def _reader(path: Path) -> BinaryIO:
    return cast(BinaryIO, gzip.open(path, "rb")) if path.name.endswith(".gz") else path.open("rb")


def _texts(path: Path, handle: BinaryIO) -> Iterator[tuple[str, bool]]:
    """Yield the text of each piece of a text file, every line end as a line feed, and whether there are more."""
    for offset, piece, more in pieces(handle.read):
        try:
            text = piece.decode("utf-8-sig" if offset == 0 else "utf-8")
        except UnicodeDecodeError as error:
            raise InputError(f"text {path} is not UTF-8 (byte {offset + error.start}): convert it first") from error
        if text:
            yield text.replace("\r\n", "\n").replace("\r", "\n"), more


def _json_lines(name: str, handle: BinaryIO, field: str) -> Iterator[tuple[str, str]]:
    number = 0
    while read := handle.readline(LINE + 1):
        if len(read) > LINE:
            raise InputError(
                f"text {name}:{number + 1} is longer than {LINE >> 20} MiB, the most that a line may have: "
                "cut its text into several lines, or give it as a .txt file"
            )
        # A carriage return alone ends a line too, as everywhere in Python.
        for line in read.splitlines():
            number += 1
            if number == 1:
                line = line.removeprefix(codecs.BOM_UTF8)
            if line.strip():
                yield from _documents_of(line, field, f"{name}:{number}")


def _documents_of(line: bytes, field: str, where: str) -> Iterator[tuple[str, str]]:
    """Yield (name, text) of the documents of one JSON line: none where its text is empty, several where it is long."""
    try:
        record = json.loads(line.decode())
    except UnicodeDecodeError as error:
        raise InputError(f"text {where} is not UTF-8 (byte {error.start} of the line): convert it first") from error
    except json.JSONDecodeError as error:
        raise InputError(f"text {where} is not JSON ({error.msg}): one JSON object a line") from error
    except RecursionError as error:
        raise InputError(f"text {where} is nested too deep to be read: leave out what is not the text") from error
    except ValueError as error:
        # Python reads no whole number of more digits than sys.get_int_max_str_digits().
        raise InputError(f"text {where} has a number of too many digits to be read: leave it out") from error
    text = _field(record, field, where)
    if text:
        title = record.get("title")
        named = f"{brief(title, TITLE)} ({where})" if isinstance(title, str) and title else where
        yield from pieces_of(sound(named), text)


def _field(record: Any, field: str, where: str) -> str:
    if not isinstance(record, dict):
        raise InputError(f"text {where} is not a JSON object: one object with the field {field!r} a line")
    text = record.get(field)
    if not isinstance(text, str):
        strings = [brief(str(key), FIELD) for key, value in record.items() if isinstance(value, str)]
        shown = ", ".join(strings[:FIELDS]) + (", ..." if len(strings) > FIELDS else "")
        raise InputError(
            f"text {where} has no string in the field {field!r}: name the field that has it"
            f" ({sound(shown) or 'it has no string field at all'})"
        )
    return sound(text)
