"""A hash of where a token stands: the same on every machine, however the text is cut."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cofire.common.arrays import Ints32
from cofire.common.compiled import compiled

Hashes = npt.NDArray[np.uint64]


def place_hash(document: Ints32, position: Ints32) -> Hashes:
    """Return a hash of each token's place, uint64 [R], one to one.

    Args:
        document: int32 [R], >= 0.
        position: int32 [R], >= 0.
    """
    return mix((document.astype(np.uint64) << np.uint64(32)) ^ position.astype(np.uint64))


def mix(x: Hashes) -> Hashes:
    """Scramble 64 bits, one to one (splitmix64's finaliser: Steele, Lea and Flood 2014)."""
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


mixed: Any = compiled(mix)
"""`mix` of one number, for compiled loops."""
