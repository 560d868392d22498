"""What is known of each latent by itself: the passes of a count that look at one latent at a time.

1. `first_pass`: firings, mean, extremes.
2. `second_pass`: spread, and the fine histogram that gives mu and the main peak's lower end.
3. `latents_table`: the table `latents`, with the aligned histograms and the noise floor.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from cofire.common.arrays import Array, Bools, Floats, Ints, Ints32, Singles
from cofire.common.compiled import compiled
from cofire.common.files import AGAIN
from cofire.errors import CaptureError
from cofire.ingest.capture_dir.directory import CaptureDir
from cofire.ingest.capture_dir.shard import Shard
from cofire.ingest.latents.bins import BINS
from cofire.ingest.latents.histograms import fine_histograms
from cofire.ingest.latents.modes import main_modes
from cofire.ingest.noise.clear import NoiseFloors
from cofire.schema.base import filled_columns
from cofire.schema.tables import LATENT_PARTS, LATENTS


@dataclass(frozen=True)
class FirstPass:
    """How often and how strongly each latent fires.

    Attributes:
        threshold: float64 [N], theta; 0 where the SAE's class has none.
        firing_count: int64 [N].
        mean: float64 [N], of the activations where it fires; NaN where dead.
        low: float64 [N], the smallest of them; inf where dead.
        high: float64 [N], the largest; -inf where dead.
    """

    threshold: Floats
    firing_count: Ints
    mean: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True)
class SecondPass:
    """How the activations of each latent are spread.

    Attributes:
        std: float64 [N]; NaN where dead.
        mu: float64 [N], location of the main peak; NaN where unknown.
        main_low: float64 [N], where that peak begins; NaN where unknown.
        is_mode: bool [N], whether mu is a clear mode.
    """

    std: Floats
    mu: Floats
    main_low: Floats
    is_mode: Bools


def first_pass(capture: CaptureDir, shards: Iterable[Shard]) -> FirstPass:
    """Look at every firing once.

    Raises:
        CaptureError: a shard names a latent that the SAE does not have, or an activation is not finite.
    """
    n = capture.manifest.n_latents
    firing_count = np.zeros(n, np.int64)
    total = np.zeros(n)
    low, high = np.full(n, np.inf), np.full(n, -np.inf)
    for shard in shards:
        if len(shard.indices) and (shard.indices.min() < 0 or shard.indices.max() >= n):
            raise CaptureError(f"capture {capture.path} has a latent outside 0..{n - 1}; {AGAIN}")
        # Compiled code puts values into bins unchecked.
        if not np.isfinite(shard.values).all():
            raise CaptureError(f"capture {capture.path} has an activation that is not finite; {AGAIN}")
        # A shard's sum by itself first: so it has been added up since the first version.
        of_shard = np.zeros(n)
        _add_first(shard.indices, shard.values, firing_count, of_shard, low, high)
        total += of_shard
    with np.errstate(invalid="ignore"):
        mean = total / firing_count
    return FirstPass(threshold_of(capture), firing_count, mean, low, high)


@compiled
def _add_first(indices: Ints32, values: Singles, firings: Ints, total: Floats, low: Floats, high: Floats) -> None:
    for k in range(len(indices)):
        latent, value = indices[k], np.float64(values[k])
        firings[latent] += 1
        total[latent] += value
        low[latent] = min(low[latent], value)
        high[latent] = max(high[latent], value)


@compiled
def _add_squares(indices: Ints32, values: Singles, mean: Floats, squares: Floats) -> None:
    for k in range(len(indices)):
        off = np.float64(values[k]) - mean[indices[k]]
        squares[indices[k]] += off * off


def threshold_of(capture: CaptureDir) -> Floats:
    """Return theta of every latent, float64 [N]; 0 where the SAE's class has none."""
    threshold = capture.weights().get("threshold")
    return np.zeros(capture.manifest.n_latents) if threshold is None else threshold.astype(np.float64)


def second_pass(capture: CaptureDir, first: FirstPass, shards: Iterable[Shard], device: str = "cpu") -> SecondPass:
    """Look at every firing once more, knowing the range of each latent.

    Args:
        capture: the capture.
        first: of `first_pass`.
        shards: its shards.
        device: where the histograms are counted: "cpu", or "cuda" (2 kB a latent there).
    """
    n, threshold = capture.manifest.n_latents, first.threshold
    squares = np.zeros(n)
    fine = fine_histograms(threshold, first.high, device)
    for shard in shards:
        of_shard = np.zeros(n)
        _add_squares(shard.indices, shard.values, first.mean, of_shard)
        squares += of_shard
        fine.add(shard.indices, shard.values)
    with np.errstate(invalid="ignore"):
        std = np.sqrt(squares / first.firing_count)
    modes, main_low = main_modes(fine.counts(), threshold, first.high)
    is_mode = np.isfinite(modes)
    mu = np.where(is_mode, modes, first.mean)
    # Imported values may lie below the imported threshold; then u has no meaning.
    mu[~(mu > threshold)] = np.nan
    main_low[np.isnan(mu)] = np.nan
    return SecondPass(std, mu, main_low, is_mode)


def latents_table(
    capture: CaptureDir, first: FirstPass, second: SecondPass, noise: NoiseFloors, clear_count: Ints, aligned: Ints
) -> pa.Table:
    """Return the `latents` table.

    Args:
        capture: the capture.
        first: of `first_pass`.
        second: of `second_pass`.
        noise: of `clear_firings`.
        clear_count: int64 [N], firings above the clear floor.
        aligned: int64 [N, 256], the aligned histograms.
    """
    firing_count = first.firing_count
    has_mu, has_floor = np.isfinite(second.mu), np.isfinite(noise.clear_floor)
    offsets = pa.array(np.arange(len(firing_count) + 1, dtype=np.int32) * BINS)
    values: dict[str, Array] = {
        "index": np.arange(len(firing_count), dtype=np.int32),
        "firing_count": firing_count,
        "frequency": firing_count / max(capture.manifest.rows, 1),
        "mean": first.mean,
        "std": second.std,
        "max": first.high,
        "threshold": first.threshold,
        "mu": second.mu,
        "main_low": second.main_low,
        "off_median": noise.off_median,
        "sigma0": noise.sigma0,
        "clear_floor": noise.clear_floor,
        "dead": firing_count == 0,
    }
    columns = {
        "histogram": pa.ListArray.from_arrays(offsets, pa.array(aligned.ravel()), mask=pa.array(~has_mu)),
        "mu_rule": pa.array(np.where(second.is_mode, "mode", "mean"), pa.string(), mask=~has_mu),
        "clear_firing_count": pa.array(clear_count, mask=~has_floor),
        # `cofire analyze` fills these.
        **{column.name: pa.nulls(len(firing_count)) for column in filled_columns(LATENT_PARTS)},
    }
    schema = LATENTS.arrow_schema()
    made = [columns[f.name].cast(f.type) if f.name in columns else nullable(values[f.name], f) for f in schema]
    return pa.table(made, schema=schema)


def nullable(values: Array, field: pa.Field) -> pa.Array:
    """Return an Arrow column; what is not finite becomes null where the column may be."""
    mask = ~np.isfinite(values) if field.nullable else None
    return pa.array(values, field.type, mask=mask)
