"""How whatever takes long tells how far it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

Progress = Callable[[int, int], None]
"""Called with (steps done, steps in all)."""

StageProgress = Callable[[str, int, int], None]
"""Called with (stage, steps done, steps in all)."""


Notice = Callable[[str], None]
"""Called with one line for the person: what is odd, may be meant, and is done all the same."""


class TokenProgress(Protocol):
    """Told how far a capture is; both calls come from the calling thread."""

    def start(self, total: int) -> None:
        """The run of the model begins; `total` is the number of text tokens."""

    def advance(self, tokens: int) -> None:
        """`tokens` more text tokens are done; those of an earlier run come at once."""


def silent(_: str) -> None:
    """Tell nobody."""


class Silent:
    """Tells nobody."""

    def start(self, total: int) -> None:
        """Do nothing."""

    def advance(self, tokens: int) -> None:
        """Do nothing."""
