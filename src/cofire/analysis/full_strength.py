"""How strongly a latent fires when it has a token to itself: the unit in which members of a cluster are compared.

mu, where it is a mode of the latent's activations well above the floor of what counts as a firing; else its mean
activation on the tokens where no other member fires; else mu, the mean of all its activations, which a latent that
often shares its weight pulls down.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

MIN_ALONE = 10
"""Tokens alone from which a member's own mean is taken: of activations with a spread of .5 it then errs by .16."""

MODE_FLOOR = 0.5
"""A mode counts as full strength where the firing floor lies below this share of it. The cut at the floor makes a mode
of its own right above it, and does so in every latent of a TopK SAE, whose threshold is 0."""


@dataclass(frozen=True)
class FullStrength:
    """The full strength of n members, and what it was taken from.

    Attributes:
        value: float64 [n], NaN where unknown.
        by_mode: bool [n], it is a mode of the activations.
        alone: float64 [n], mean activation where no other member fires; NaN for fewer than MIN_ALONE such tokens.
        tokens_alone: int64 [n], how many there are.
    """

    value: Floats
    by_mode: npt.NDArray[np.bool_]
    alone: Floats
    tokens_alone: npt.NDArray[np.int64]


def full_strength(
    alone: npt.NDArray[np.floating[Any]], mu: Floats, is_mode: npt.NDArray[np.bool_], floor: Floats
) -> FullStrength:
    """Return the full strength of n members.

    Args:
        alone: [Q, n] float, activations on tokens where one member fires and no other; 0: does not fire.
        mu: [n] float, NaN where unknown.
        is_mode: [n] bool, whether mu is a clear mode of the activations.
        floor: [n] float, a firing counts above it.
    """
    count = (alone > 0).sum(axis=0)
    mean: Floats = np.where(count >= MIN_ALONE, alone.sum(axis=0, dtype=np.float64) / np.maximum(count, 1), np.nan)
    by_mode = is_mode & (floor < MODE_FLOOR * mu)
    return FullStrength(np.where(by_mode | np.isnan(mean), mu, mean), by_mode, mean, count)
