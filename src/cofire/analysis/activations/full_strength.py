"""How strongly a latent fires when it has a token to itself: the unit in which members of a cluster are compared.

mu, where it is a mode of the latent's activations well above the floor of what counts as a firing; else its mean
activation on the tokens where no other member fires; else mu, the mean of all its activations, which a latent that
often shares its weight pulls down.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cofire.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa

    from cofire.common.arrays import Bools, Floats, Ints
    from cofire.ingest.capture_dir.directory import CaptureDir

MIN_ALONE = 10
"""Tokens alone from which a member's own mean is taken: of activations with a spread of .5 it then errs by .16."""

MODE_FLOOR = 0.5
"""A mode counts as full strength where the firing floor lies below this share of it. The cut at the floor makes a mode
of its own right above it, and does so in every latent of a TopK SAE, whose threshold is 0."""


_COLUMNS = ("index", "mu", "mu_rule", "threshold", "clear_floor", "firing_count", "clear_firing_count")


@dataclass(frozen=True)
class KnownLatents:
    """What the table of latents says of each of the N latents of an SAE.

    Attributes:
        mu: float64 [N], above 0, or NaN.
        is_mode: bool [N], mu is a clear mode of the activations.
        floor: float64 [N], a firing counts above it, >= 0: clear_floor, else the threshold.
        firings: int64 [N], tokens on which a latent fires so.
    """

    mu: Floats
    is_mode: Bools
    floor: Floats
    firings: Ints


def known_latents(capture: CaptureDir, latents: pa.Table) -> KnownLatents:
    """Return what is known of the latents of a counted capture.

    Args:
        capture: the capture.
        latents: its table of latents.

    Raises:
        InputError: `latents` lacks a column, or is not of this capture.
    """
    lacking = [name for name in _COLUMNS if name not in latents.column_names]
    if lacking:
        raise InputError(f"latents table: no column {', '.join(lacking)}; run `cofire count` again")
    column = {
        name: np.asarray(latents.column(name).to_pandas(), dtype=np.float64) for name in _COLUMNS if name != "mu_rule"
    }
    if not np.array_equal(column["index"], np.arange(capture.manifest.n_latents)):
        raise InputError(f"latents table: not that of {capture.path}; run `cofire count` again")
    clear = np.isfinite(column["clear_floor"])
    return KnownLatents(
        # Imported thresholds may be below 0, and so may a mean; a strength is not.
        mu=np.where(column["mu"] > 0, column["mu"], np.nan),
        is_mode=np.array([rule == "mode" for rule in latents.column("mu_rule").to_pylist()], dtype=np.bool_),
        floor=np.maximum(np.where(clear, column["clear_floor"], column["threshold"]), 0.0),
        firings=np.where(clear, column["clear_firing_count"], column["firing_count"]).astype(np.int64),
    )


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
    by_mode: Bools
    alone: Floats
    tokens_alone: Ints


def full_strength(alone: Any, mu: Floats, is_mode: Bools, floor: Floats) -> FullStrength:
    """Return the full strength of n members.

    Args:
        alone: [Q, n] float, activations on tokens where one member fires and no other; 0: does not fire. A numpy or a
            scipy sparse array.
        mu: [n] float, NaN where unknown.
        is_mode: [n] bool, whether mu is a clear mode of the activations.
        floor: [n] float, a firing counts above it.
    """
    count = (alone > 0).sum(axis=0)
    # A sparse array adds up in its own type, whatever the type asked for.
    total = alone.astype(np.float64).sum(axis=0)
    mean: Floats = np.where(count >= MIN_ALONE, total / np.maximum(count, 1), np.nan)
    by_mode = is_mode & (floor < MODE_FLOOR * mu)
    return FullStrength(np.where(by_mode | np.isnan(mean), mu, mean), by_mode, mean, count)
