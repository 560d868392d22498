"""Packages that not every installation of cofire has: the extras of pyproject.toml."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from cofire.errors import InputError


@contextmanager
def needed_by(what: str, extra: str = "capture") -> Iterator[None]:
    """Import a package of an extra inside.

    Args:
        what: the option or the work that needs it, as the user knows it.
        extra: the extra of pyproject.toml that has it.

    Raises:
        InputError: it is not installed, or lacks something that it needs itself.
    """
    try:
        yield
    except ImportError as error:
        missing = error.name if isinstance(error, ModuleNotFoundError) and error.name else str(error)
        raise InputError(f"{what} needs {missing}: pip install 'cofire[{extra}]'") from error
