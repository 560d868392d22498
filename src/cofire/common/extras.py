"""Packages that not every installation of cofire has: the extras of pyproject.toml."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from cofire.common.characters import first_line
from cofire.errors import InputError


@contextmanager
def needed_by(what: str, extra: str = "capture") -> Iterator[None]:
    """Import a package of an extra inside.

    Args:
        what: the option or the work that needs it, as the user knows it.
        extra: the extra of pyproject.toml that has it.

    Raises:
        InputError: it is not installed, lacks a package that it needs itself, or is not whole.
    """
    try:
        yield
    except ImportError as error:
        if isinstance(error, ModuleNotFoundError) and error.name:
            raise InputError(f"{what} needs {error.name}: pip install 'cofire[{extra}]'") from error
        raise InputError(f"{what} cannot be done: {first_line(error)}; install cofire[{extra}] anew") from error
