"""What the files of a capture directory are called. `directory` says what each holds."""

from __future__ import annotations

import re
from pathlib import Path

MANIFEST = "manifest.json"
"""Of a capture, and of its tables."""
TEXT, VOCABULARY, WEIGHTS = "text.parquet", "vocabulary.parquet", "weights.safetensors"
OURS = (TEXT, VOCABULARY, WEIGHTS)
SHARDS, RESIDUALS, TABLES, COUNTS = "shards", "residuals", "tables", "counts"
# Of the folders in COUNTS: a checkpoint (its number of shards), one in the making, what counters spill.
CHECKPOINT, PART, SPILL = "upto-", "part", "spill"
# Where imports had their residuals that an earlier cofire made; --force may put another capture in their place.
OLD_RESIDUALS = "residuals.safetensors"
# In TABLES: the passes of an unfinished count. Those of an unfinished analysis begin with a dot and its name.
WORK = ".work-"

_COUNT_FOLDER = re.compile(rf"{CHECKPOINT}\d+|{PART}|{SPILL}")


def shard_file(number: int | str) -> str:
    """Return the path, within a capture, of a shard; of all for '*'."""
    return f"{SHARDS}/shard-{_digits(number)}.parquet"


def residuals_file(number: int | str) -> str:
    """Return the path, within a capture, of the residuals of a shard; of all for '*'."""
    return f"{RESIDUALS}/residuals-{_digits(number)}.safetensors"


def _digits(number: int | str) -> str:
    return f"{number:05d}" if isinstance(number, int) else number


def table_file(name: str) -> str:
    """Return the file name, within TABLES, of a table; of all for '*'."""
    return f"{name}.parquet"


def count_folders(place: Path) -> list[Path]:
    """Return the folders of running counts in a capture: checkpoints, one in the making, spilled counters."""
    return [folder for folder in (place / COUNTS).glob("*") if folder.is_dir() and _COUNT_FOLDER.fullmatch(folder.name)]
