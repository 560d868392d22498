"""Counting and finding bits of a 64-bit word, for the compiled loops that keep sets of latents as rows of bits."""

from __future__ import annotations

from typing import Any

import numpy as np

from cofire.ingest.pairs_kernels import compiled


@compiled
def ones(word: Any) -> Any:
    """Count the bits that are set in a uint64."""
    word = word - ((word >> np.uint64(1)) & np.uint64(0x5555555555555555))
    word = (word & np.uint64(0x3333333333333333)) + ((word >> np.uint64(2)) & np.uint64(0x3333333333333333))
    word = (word + (word >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64((word * np.uint64(0x0101010101010101)) >> np.uint64(56))


@compiled
def lowest(word: Any) -> Any:
    """Return the number of the lowest bit that is set."""
    return ones((word & (~word + np.uint64(1))) - np.uint64(1))
