"""Data sets that the package `datasets` streams: of the Hugging Face hub, or a directory of data files.

A directory is known by its files. A data set of the hub is known by its name and its revision, the commit that the hub
names when it is asked; that commit is then read, whatever is committed meanwhile.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cofire.common.characters import first_line
from cofire.common.extras import needed_by
from cofire.common.files import as_text, from_home, sha256_of
from cofire.common.quiet import quiet
from cofire.errors import InputError

__all__ = ["DataSet", "find_dataset"]

SECONDS_TO_ASK = 10


@dataclass(frozen=True)
class DataSet:
    """One split of a data set; nothing of it is read yet.

    Attributes:
        name: of the hub, or the path of a directory, as it was given.
        split: the split.
        local: it is a directory.
        revision: of a data set of the hub: the commit that is read; None where it is not known.
        unknown: why it is not known, once the hub was asked.
    """

    name: str
    split: str
    local: bool
    revision: str | None = None
    unknown: str | None = None

    @property
    def directory(self) -> Path:
        """The directory."""
        # The shell leaves a ~ behind "hf:" as it is.
        return from_home(self.name)

    def files(self) -> tuple[tuple[str, Path], ...]:
        """Return (path within it, path) of each file of a directory that is not hidden, by path; none for the hub.

        All of them: the directory's README.md decides too which files a split has.
        """
        if not self.local:
            return ()
        root = self.directory
        within = ((path.relative_to(root), path) for path in root.rglob("*") if path.is_file())
        return tuple(
            sorted((inside.as_posix(), path) for inside, path in within if not any(p[0] == "." for p in inside.parts))
        )

    def contents(self) -> list[str]:
        """Return what its fingerprint is made of: the split and every file's path and hash; the name for the hub."""
        if not self.local:
            return [self.named]
        return [f"hf directory:{self.split}", *(f"{name}\0{sha256_of(path)}" for name, path in self.files())]

    @property
    def named(self) -> str:
        """hf:NAME:SPLIT, as text that can be shown."""
        return f"hf:{as_text(self.name)}:{self.split}"

    def pinned(self) -> DataSet:
        """Return it with the revision that the hub has now, or with the reason why that is not known."""
        if self.local:
            return self
        try:
            with quiet():
                from huggingface_hub import HfApi

                return replace(self, revision=HfApi().dataset_info(self.name, timeout=SECONDS_TO_ASK).sha)
        # No network, no such name, no permission, no package: the hub's client has other errors in each version. The
        # reason is told, and what hinders reading too is raised then.
        except Exception as error:  # noqa: BLE001 - nothing is lost: see above
            return replace(self, unknown=first_line(error))

    def rows(self) -> Iterator[tuple[str, Any]]:
        """Yield (name, row) of each row, in order.

        Raises:
            InputError: it cannot be read.
        """
        with needed_by(f"--text {self.named}"), quiet():
            import datasets
        number = 0
        try:
            with quiet():
                # It knows no directory called ".".
                place = str(self.directory.resolve()) if self.local else self.name
                rows = iter(datasets.load_dataset(place, split=self.split, streaming=True, revision=self.revision))
            while True:
                with quiet():
                    row = next(rows, None)
                if row is None:
                    return
                yield f"{as_text(self.name)}:{self.split}:{number}", row
                number += 1
        except ImportError as error:
            # Sounds and pictures take packages of their own; the message names the one.
            raise InputError(
                f"cannot read the dataset {self.named} after {number:,} rows ({first_line(error)}): "
                "see to that, or give a dataset of texts alone"
            ) from error
        # What datasets, pyarrow, gzip and the hub raise for a wrong name, a damaged file or no network.
        except (
            *(OSError, ValueError, RuntimeError, LookupError, TypeError, AttributeError, EOFError, zlib.error),
            datasets.exceptions.DatasetsError,
        ) as error:
            where = "name, split and network" if not self.local else "split and files"
            raise InputError(
                f"cannot read the dataset {self.named} after {number:,} rows ({first_line(error)}): check {where}"
            ) from error


def find_dataset(given: str) -> DataSet:
    """Find what NAME[:SPLIT] names; a directory may have colons in its name. The split is train where none is given.

    Raises:
        InputError: no data set is named, the package for them is missing, or it does not take the directory's path
            as it is.
    """
    shown = as_text(given)
    with needed_by(f"--text hf:{shown}"), quiet():  # known before a model is loaded
        import datasets  # noqa: F401
    parts = given.split(":")
    for count in range(len(parts), 0, -1):
        found = DataSet(":".join(parts[:count]), ":".join(parts[count:]) or "train", local=True)
        if parts[0] and found.directory.is_dir():
            _check_path(found)
            return found
    name, _, split = given.partition(":")
    if name.startswith(("/", ".", "~")) or name.count("/") > 1:
        raise InputError(f"no dataset at {as_text(name)}: no such directory")
    if not name:
        raise InputError(f"--text hf:{shown} names no dataset: give hf:NAME or hf:NAME:SPLIT")
    return DataSet(name, split or "train", local=False)


def _check_path(found: DataSet) -> None:
    """Refuse a directory whose path `datasets` cannot read, or takes for a pattern, of others or of none."""
    path = str(found.directory.resolve())
    marks = [mark for mark in ("*", "?", "[", "]", "::") if mark in path]
    why = f"has {marks[0]}, which the package datasets takes for a pattern" if marks else None
    if as_text(path) != path:
        why = "is not UTF-8, which the package datasets wants"
    if why:
        raise InputError(
            f"--text hf:{as_text(found.name)}: the path {as_text(path)} {why}: rename it or move the dataset"
        )
