"""Settings are fields of frozen dataclasses, each declared once: default, meaning, bounds.

    @dataclass(frozen=True)
    class Sweep:
        runs: int = setting(20, "Leiden runs at each resolution", ge=2, le=1000)

From this declaration come the command line's flag (`cofire.cli.flags`), the environment variable and the line of
`cofire.toml` (`cofire.settings`), and docs/settings.md. Bounds hold for what a user gives; code may go beyond them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar, get_type_hints

Value = TypeVar("Value")
Group = TypeVar("Group")
_KEY = "cofire setting"


@dataclass(frozen=True)
class Setting:
    """What is declared of one setting.

    Attributes:
        name: the field's name; the flag is --NAME with dashes, the variable COFIRE_NAME.
        type: the field's type.
        default: its value where nobody gives one.
        help: what it is, in a few words that begin with a small letter.
        bounds: ge, gt, le, lt, as pydantic has them.
        size: a number of bytes, which may be written as 512MB or 4GiB.
    """

    name: str
    type: Any
    default: Any
    help: str
    bounds: Mapping[str, Any]
    size: bool


def setting(
    default: Value,
    help: str,  # noqa: A002 - typer's and argparse's word
    *,
    ge: float | None = None,
    gt: float | None = None,
    le: float | None = None,
    lt: float | None = None,
    size: bool = False,
    recorded: bool = True,
) -> Value:
    """Return a field of a frozen dataclass that is a setting.

    Args:
        default: its value where nobody gives one.
        help: what it is, in a few words that begin with a small letter.
        ge: the least value that a user may give.
        gt: what it must be above.
        le: the largest value that a user may give.
        lt: what it must be below.
        size: it is a number of bytes.
        recorded: results depend on it: it is recorded beside them, and they are stale when it changes.
    """
    bounds = {name: value for name, value in (("ge", ge), ("gt", gt), ("le", le), ("lt", lt)) if value is not None}
    declared = {"help": help, "bounds": bounds, "size": size}
    made: Value = field(default=default, compare=recorded, metadata={_KEY: declared})
    return made


def settings_in(group: type) -> dict[str, Setting]:
    """Return the settings of a dataclass by name, in the order of its fields."""
    types = get_type_hints(group)
    return {
        one.name: Setting(one.name, types[one.name], one.default, **one.metadata[_KEY])
        for one in fields(group)
        if _KEY in one.metadata
    }


def recorded(settings: Any) -> dict[str, Any]:
    """Return the settings that results depend on, by name."""
    return {name: getattr(settings, name) for name in settings_in(type(settings)) if _compared(settings, name)}


def _compared(settings: Any, name: str) -> bool:
    return next(one.compare for one in fields(settings) if one.name == name)
