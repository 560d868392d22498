"""What the kinds of odd_inputs draw from."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from odd_values import NAMES
from odd_world import World
from watched import ANY, Case


@dataclass
class Draw:
    """What a kind draws from: chance, the world, the folder of the case."""

    number: int
    chance: random.Random
    world: World
    place: Path

    @property
    def work(self) -> Path:
        return self.place / "work"

    def path(self, suffix: str = "", *, positional: bool = False) -> tuple[str, Path]:
        """A path of an odd name that is not there yet, in folders that are: as it is typed, and where it is."""
        name = self.chance.choice(NAMES) + suffix
        folder = self.chance.choice([self.work, self.work, self.work / self.chance.choice(NAMES), self.place / "a b:c"])
        folder.mkdir(exist_ok=True)
        found = folder / name
        if found.exists():
            found = folder / f"2{name}"
        return self.typed(found, positional=positional), found

    def typed(self, path: Path, *, positional: bool = False) -> str:
        """One of the ways in which a path can be typed; a bare one as an argument may be taken for an option."""
        relative = os.path.relpath(path, self.work)
        ways = [str(path), f"./{relative}", f"../work/{relative}", f"{self.place}//work/./{relative}"]
        ways += [] if positional and relative.startswith("-") else [relative, relative]
        return self.chance.choice(ways)

    def copy(self, capture: Path, name: str | None = None) -> Path:
        """A capture of the world in the case's working directory."""
        return Path(shutil.copytree(capture, self.work / (name or "capture")))

    def case(self, title: str, arguments: list[str], may: frozenset[int] = ANY, **more: Any) -> Case:
        return Case(self.number, title, self.place, tuple(arguments), may, **more)


def options(draw: Draw, known: dict[str, Callable[[random.Random], str]]) -> list[str]:
    """One or two of these options, with values."""
    names = draw.chance.sample(list(known), draw.chance.randint(1, 2))
    return [f"{name}={known[name](draw.chance)}" for name in names]
