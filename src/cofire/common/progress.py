"""How a capture tells how far it is."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Told how far a capture is; both calls come from the calling thread."""

    def start(self, total: int) -> None:
        """The run of the model begins; `total` is the number of text tokens."""

    def advance(self, tokens: int) -> None:
        """`tokens` more text tokens are done; those of an earlier run come at once."""


class Silent:
    """Tells nobody."""

    def start(self, total: int) -> None:
        """Do nothing."""

    def advance(self, tokens: int) -> None:
        """Do nothing."""
