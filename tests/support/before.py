"""What cofire at commit 0fcbf4a made of a tiny GPT-2 and a tiny SAE: captures, their store, answers to every query.

tests/data/before has three captures of 1,600 tokens (kept: activations stored, counted: --no-keep, imported), each
counted and analysed, the embedded store that all three were loaded into, and the rows of every query of that library.
They are not to be made again: that commit made them. A later format gets a folder of its own.
"""

from __future__ import annotations

import json
import lzma
import tarfile
from pathlib import Path
from typing import Any

from repository import ROOT

_DATA = ROOT / "tests" / "data" / "before"
CAPTURES = ("kept", "counted", "imported")


def unpack(name: str, place: Path) -> Path:
    """Unpack `captures` or `store` into a directory; returns it."""
    place.mkdir(parents=True, exist_ok=True)
    with tarfile.open(_DATA / f"{name}.tar.xz") as archive:
        archive.extractall(place, filter="data")
    return place


def answers() -> list[dict[str, Any]]:
    """Each with query, parameters and rows."""
    with lzma.open(_DATA / "answers.json.xz", "rt", encoding="utf-8") as file:
        found: list[dict[str, Any]] = json.load(file)
    return found
