"""What is known of each latent by itself: the passes of a count that look at one latent at a time.

1. `first_pass`: firings, mean, extremes.
2. `second_pass`: spread, and the fine histogram that gives mu and the main peak's lower end.
3. `latents_table`: the table `latents`, with the aligned histograms and the noise floor.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pyarrow as pa

from cofire.common.arrays import Array, Floats, Ints
from cofire.errors import CaptureError
from cofire.ingest.capture_dir.directory import CaptureDir
from cofire.ingest.capture_dir.shard import Shard
from cofire.ingest.latents.bins import BINS
from cofire.ingest.latents.histograms import fine_histograms
from cofire.ingest.latents.modes import main_modes
from cofire.schema.tables import LATENTS

Arrays = dict[str, Array]


def first_pass(capture: CaptureDir, shards: Iterable[Shard]) -> Arrays:
    """Return firing_count int64 [N], mean, low, high float64 [N] (mean NaN, low inf, high -inf where dead).

    Raises:
        CaptureError: a shard names a latent that the SAE does not have.
    """
    n = capture.manifest.n_latents
    firing_count = np.zeros(n, np.int64)
    total = np.zeros(n)
    low, high = np.full(n, np.inf), np.full(n, -np.inf)
    for shard in shards:
        if len(shard.indices) and (shard.indices.min() < 0 or shard.indices.max() >= n):
            raise CaptureError(f"capture {capture.path} has a latent outside 0..{n - 1}; capture again with --force")
        values = shard.values.astype(np.float64)
        firing_count += np.bincount(shard.indices, minlength=n)
        total += np.bincount(shard.indices, weights=values, minlength=n)
        np.minimum.at(low, shard.indices, values)
        np.maximum.at(high, shard.indices, values)
    with np.errstate(invalid="ignore"):
        mean = total / firing_count
    return {"firing_count": firing_count, "mean": mean, "low": low, "high": high}


def threshold_of(capture: CaptureDir) -> Floats:
    """Return theta of every latent, float64 [N]; 0 where the SAE's class has none."""
    weights = capture.weights()
    if "threshold" not in weights:
        return np.zeros(capture.manifest.n_latents)
    return weights["threshold"].astype(np.float64)


def second_pass(capture: CaptureDir, first: Arrays, shards: Iterable[Shard], device: str = "cpu") -> Arrays:
    """Return std, mu, main_low float64 [N] (NaN where unknown) and is_mode bool [N]: whether mu is a clear mode.

    Args:
        capture: the capture.
        first: of `first_pass`.
        shards: its shards.
        device: where the histograms are counted: "cpu", or "cuda" (2 kB a latent there).
    """
    n = capture.manifest.n_latents
    threshold = threshold_of(capture)
    squares = np.zeros(n)
    fine = fine_histograms(threshold, first["high"], device)
    for shard in shards:
        at, values = shard.indices, shard.values.astype(np.float64)
        squares += np.bincount(at, weights=(values - first["mean"][at]) ** 2, minlength=n)
        fine.add(at, shard.values)
    with np.errstate(invalid="ignore"):
        std = np.sqrt(squares / first["firing_count"])
    modes, main_low = main_modes(fine.counts(), threshold, first["high"])
    is_mode = np.isfinite(modes)
    mu = np.where(is_mode, modes, first["mean"])
    # Imported values may lie below the imported threshold; then u has no meaning.
    mu[~(mu > threshold)] = np.nan
    main_low[np.isnan(mu)] = np.nan
    return {"std": std, "mu": mu, "main_low": main_low, "is_mode": is_mode}


def latents_table(
    capture: CaptureDir, first: Arrays, second: Arrays, noise: Arrays, clear_count: Ints, aligned: Ints
) -> pa.Table:
    """Return the `latents` table.

    Args:
        capture: the capture.
        first: of `first_pass`.
        second: of `second_pass`.
        noise: off_median, sigma0, clear_floor float64 [N], NaN where unknown.
        clear_count: int64 [N], firings above the clear floor.
        aligned: int64 [N, 256], the aligned histograms.
    """
    firing_count = first["firing_count"]
    has_mu, has_floor = np.isfinite(second["mu"]), np.isfinite(noise["clear_floor"])
    offsets = pa.array(np.arange(len(firing_count) + 1, dtype=np.int32) * BINS)
    values: Arrays = {
        "index": np.arange(len(firing_count), dtype=np.int32),
        "firing_count": firing_count,
        "frequency": firing_count / max(capture.manifest.rows, 1),
        "mean": first["mean"],
        "std": second["std"],
        "max": first["high"],
        "threshold": threshold_of(capture),
        "mu": second["mu"],
        "main_low": second["main_low"],
        "off_median": noise["off_median"],
        "sigma0": noise["sigma0"],
        "clear_floor": noise["clear_floor"],
        "dead": firing_count == 0,
    }
    columns = {
        "histogram": pa.ListArray.from_arrays(offsets, pa.array(aligned.ravel()), mask=pa.array(~has_mu)),
        "mu_rule": pa.array(np.where(second["is_mode"], "mode", "mean"), pa.string(), mask=~has_mu),
        "clear_firing_count": pa.array(clear_count, mask=~has_floor),
    }
    schema = LATENTS.arrow_schema()
    made = [columns[f.name] if f.name in columns else nullable(values[f.name], f) for f in schema]
    return pa.table(made, schema=schema)


def nullable(values: Array, field: pa.Field) -> pa.Array:
    """Return an Arrow column; what is not finite becomes null where the column may be."""
    mask = ~np.isfinite(values) if field.nullable else None
    return pa.array(values, field.type, mask=mask)
