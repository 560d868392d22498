"""How strongly a latent fires when it has a token to itself: the unit in which members of a cluster are compared.

mu, where it is a mode of the latent's activations well above the floor of what counts as a firing; else its mean
activation on the tokens where no other member fires; else mu, the mean of all its activations, which a latent that
often shares its weight pulls down. The rule is that of cofire.analysis.function_evidence.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cofire.analysis.function_evidence import MIN_ALONE, MODE_FLOOR

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]


def full_strength(
    alone: npt.NDArray[np.floating[Any]], mu: Floats, is_mode: npt.NDArray[np.bool_], floor: Floats
) -> Floats:
    """Return the full strength of n members, float64 [n], NaN where unknown.

    Args:
        alone: [Q, n] float, activations on tokens where one member fires and no other; 0: does not fire.
        mu: [n] float, NaN where unknown.
        is_mode: [n] bool, whether mu is a clear mode of the activations.
        floor: [n] float, a firing counts above it.
    """
    count = (alone > 0).sum(axis=0)
    mean = np.where(count >= MIN_ALONE, alone.sum(axis=0, dtype=np.float64) / np.maximum(count, 1), np.nan)
    trusted = is_mode & (floor < MODE_FLOOR * mu)
    full: Floats = np.where(trusted | np.isnan(mean), mu, mean)
    return full
