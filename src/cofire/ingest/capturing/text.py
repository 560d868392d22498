"""Documents from files, directories or a Hugging Face dataset.

FILE.txt, FILE.txt.gz       one document
FILE.jsonl, FILE.jsonl.gz   one document a line, in the field `text` (settable); `title`, where present, names it
DIRECTORY                   all files of these four kinds in it, recursively, in the order of their paths
hf:NAME[:SPLIT]             a dataset of the Hugging Face hub (or a local dataset directory), streamed; SPLIT: train
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cofire.common.extras import needed_by
from cofire.common.files import as_text, sha256_of
from cofire.errors import InputError
from cofire.ingest.capturing.quiet import quiet

__all__ = ["TextSource", "open_text"]

SUFFIXES = (".txt", ".txt.gz", ".jsonl", ".jsonl.gz")
KINDS = ".txt, .jsonl (either may end in .gz), a directory of these, or hf:NAME[:SPLIT]"


@dataclass(frozen=True)
class TextSource:
    """A text that exists; nothing of it is read yet.

    Attributes:
        name: what the user gave.
        files: (name shown to the user, path) in reading order; empty for a dataset.
        dataset: (name, split) of a Hugging Face dataset, or None.
        field: the field that holds a document's text in JSON lines and datasets.
    """

    name: str
    files: tuple[tuple[str, Path], ...]
    dataset: tuple[str, str] | None
    field: str

    def fingerprint(self) -> str:
        """Return the SHA-256 of the files' names and bytes; of the name alone for a dataset, which is streamed."""
        parts = [f"hf:{':'.join(self.dataset)}"] if self.dataset else []
        parts += [f"{name}\0{sha256_of(path)}" for name, path in self.files]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()

    def documents(self) -> Iterator[tuple[str, str]]:
        """Yield (name, text) of each document that is not empty, in order.

        Raises:
            InputError: a file is not UTF-8, is a damaged gzip file, or has a line that is no JSON object with
                the field; the dataset cannot be read.
        """
        if self.dataset:
            yield from _dataset_documents(*self.dataset, self.field)
            return
        for name, path in self.files:
            try:
                with _reader(path) as handle:
                    if name.removesuffix(".gz").endswith(".txt"):
                        if text := handle.read():
                            yield name, text
                    else:
                        yield from _json_lines(name, handle, self.field)
            except (OSError, EOFError, zlib.error) as error:
                raise InputError(f"cannot read text {path}: {error}") from error
            except UnicodeDecodeError as error:
                raise InputError(f"text {path} is not UTF-8 (byte {error.start}): convert it first") from error


def open_text(text: str | Path, field: str = "text") -> TextSource:
    """Find the files of `text` (see the module), without reading them.

    Raises:
        InputError: there is no such file or directory, it is of another kind, or it holds no text files; a dataset
            is named and the package for them is missing.
    """
    name = as_text(text)
    if not name.strip():
        raise InputError(f"no text named: give {KINDS}")
    if name.startswith("hf:"):
        dataset, _, split = name.removeprefix("hf:").partition(":")
        if not dataset:
            raise InputError(f"--text {name} names no dataset: give hf:NAME or hf:NAME:SPLIT")
        with needed_by(f"--text {name}"), quiet():  # known before a model is loaded
            import datasets  # noqa: F401
        return TextSource(name, (), (dataset, split or "train"), field)
    path = Path(text)
    if path.is_file():
        if not path.name.endswith(SUFFIXES):
            raise InputError(f"text {path} is of an unknown kind: give {KINDS}")
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


def _reader(path: Path) -> io.TextIOWrapper:
    if path.name.endswith(".gz"):
        return io.TextIOWrapper(gzip.open(path, "rb"), encoding="utf-8")
    return path.open(encoding="utf-8")


def _json_lines(name: str, lines: io.TextIOWrapper, field: str) -> Iterator[tuple[str, str]]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        where = f"{name}:{number}"
        try:
            record = json.loads(line)
        except json.JSONDecodeError as error:
            raise InputError(f"text {where} is not JSON ({error.msg}): one JSON object a line") from error
        text = _field(record, field, where)
        if text:
            title = record.get("title")
            yield (f"{title} ({where})" if isinstance(title, str) and title else where), text


def _field(record: Any, field: str, where: str) -> str:
    if not isinstance(record, dict):
        raise InputError(f"text {where} is not a JSON object: one object with the field {field!r} a line")
    text = record.get(field)
    if not isinstance(text, str):
        strings = [str(key) for key, value in record.items() if isinstance(value, str)]
        raise InputError(
            f"text {where} has no string in the field {field!r}: name the field that has it"
            f" ({', '.join(strings) or 'it has no string field at all'})"
        )
    return text


def _dataset_documents(name: str, split: str, field: str) -> Iterator[tuple[str, str]]:
    with needed_by(f"--text hf:{name}"), quiet():
        import datasets
    try:
        with quiet():
            rows = iter(datasets.load_dataset(name, split=split, streaming=True))
        number = 0
        while True:
            with quiet():
                row = next(rows, None)
            if row is None:
                return
            if text := _field(row, field, f"hf:{name}:{split}:{number}"):
                yield f"{name}:{split}:{number}", text
            number += 1
    # datasets wraps what goes wrong on the network or in a file in one of these.
    except (OSError, ValueError, RuntimeError, LookupError) as error:
        raise InputError(
            f"cannot read the dataset hf:{name}:{split} ({_first_line(error)}): check name, split and network"
        ) from error


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
