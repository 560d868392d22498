"""Counting a capture (`cofire count`): sparse activations become the tables latents, edges, tokens and contexts.

    1. First pass: firings, mean, extremes of every latent.
    2. Second pass: spread, and the fine histogram that gives mu.
    3. Row blocks of latents: exact joint counts (`pairs`), their measures, and the edge rule.
    4. Last pass: aligned histograms, top tokens, contexts.

The result of each pass is put on the disk as soon as it is whole; a count that was killed goes on there. The same
capture and settings give the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from cofire.errors import CaptureError
from cofire.ingest.capture_dir import CaptureDir, Shard
from cofire.ingest.examples import ContextSampler, TokenCounter
from cofire.ingest.files import exclusive, write_atomically, write_parquet
from cofire.ingest.histograms import BINS, aligned_bins, fine_bins, main_modes
from cofire.ingest.measures import pair_measures
from cofire.ingest.pairs import PairCounter, firing_matrix, row_blocks
from cofire.ingest.table_files import capture_digest, digest, is_current, remove_work, save_tables, work_directory
from cofire.schema.tables import EDGES, LATENTS

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Progress = Callable[[str, int, int], None]
EdgeRule = Literal["significant", "all"]

# Part of every fingerprint: raise it when the meaning of a column changes.
COUNT_VERSION = 1


@dataclass(frozen=True)
class CountSettings:
    """What decides the tables.

    Attributes:
        edges: 'significant' keeps pairs with count >= min_count and lift >= min_lift; 'all' every pair that co-fired.
        min_count: fewest joint firings of a kept pair.
        min_lift: least count / expected of a kept pair.
        memory: bound, in bytes, on the counters of one row block; it changes no result.
    """

    edges: EdgeRule = "significant"
    min_count: int = 20
    min_lift: float = 2.0
    memory: int = 2 * 1024**3

    @property
    def rule(self) -> str:
        """The edge rule in words, as it is stored with the SAE."""
        if self.edges == "all":
            return "all pairs that co-fired"
        return f"count >= {self.min_count} and lift >= {self.min_lift:g}"

    def recorded(self) -> dict[str, Any]:
        """Return the settings that the result depends on."""
        if self.edges == "all":
            return {"edges": "all", "rule": self.rule}
        return {"edges": self.edges, "min_count": self.min_count, "min_lift": self.min_lift, "rule": self.rule}


def count(capture: CaptureDir, settings: CountSettings | None = None, progress: Progress | None = None) -> bool:
    """Make the tables latents, edges, tokens and contexts of a capture; tokens and contexts need its token ids.

    Cost: T L0^2 for the pairs and T L0 for the rest, with T counted tokens of L0 firing latents; the capture is read
    3 + 32 N^2 bytes / memory times. Memory: the bound of `settings` for the pairs; besides, one shard, the weights, the
    kept edges, 5 kB a latent, and 24 bytes for each distinct (latent, token) pair that occurs.

    Args:
        capture: a complete capture.
        settings: the edge rule and the memory bound.
        progress: called with (stage, shards done, shards in all).

    Returns:
        False when the tables were already there, made from the same capture and settings.

    Raises:
        CaptureError: the capture is damaged, or another process is writing it.
    """
    settings = settings or CountSettings()
    made_from = counted_from(capture, settings)
    names = ["latents", "edges"] + (["tokens", "contexts"] if capture.has_text else [])

    def current() -> bool:
        return all(is_current(capture, name, made_from) for name in names)

    # Who only looks needs no lock, unless a count that was killed just after its last table left its passes behind.
    if current() and not any(capture.tables.glob(".work-*")):
        return False
    with exclusive(capture.path):
        if current():
            remove_work(capture)
            return False
        _count(capture, settings, made_from, progress)
        return True


def _count(capture: CaptureDir, settings: CountSettings, made_from: str, progress: Progress | None) -> None:
    work = work_directory(capture, made_from)

    def shards(stage: str) -> Iterator[Shard]:
        total = len(capture.manifest.shards)
        for number, shard in enumerate(capture.shards()):
            yield shard
            if progress is not None:
                progress(stage, number + 1, total)

    first = _saved(work / "first.npz", lambda: _first_pass(capture, shards("firings")))
    second = _saved(work / "second.npz", lambda: _second_pass(capture, first, shards("spread")))
    edges = _edges(capture, settings, first, work, shards)
    tables = _last_pass(capture, first, second, shards("examples"))
    tokens = capture.manifest.rows
    firings = int(first["firing_count"].sum())
    save_tables(
        capture,
        {"latents": tables[0], "edges": edges[0], **tables[1]},
        made_from,
        settings.recorded(),
        {
            "tokens": tokens,
            "firings": firings,
            "mean_l0": firings / tokens if tokens else 0.0,
            "pairs_that_co_fired": edges[1],
            "pairs_kept": edges[0].num_rows,
        },
    )
    remove_work(capture)


def counted_from(capture: CaptureDir, settings: CountSettings) -> str:
    """Return the fingerprint of what a count with these settings is made from."""
    return digest(COUNT_VERSION, capture_digest(capture), settings.recorded())


def _saved(path: Path, make: Callable[[], dict[str, npt.NDArray[Any]]]) -> dict[str, npt.NDArray[Any]]:
    """Return what a pass made, from the disk if an earlier run got that far."""
    if not path.is_file():
        arrays = make()

        def write(part: Path) -> None:
            with part.open("wb") as handle:
                np.savez(handle, **arrays)  # type: ignore[arg-type]  # numpy's stub takes **arrays for its own flags

        write_atomically(path, write)
    with np.load(path, allow_pickle=False) as loaded:
        return {name: loaded[name] for name in loaded.files}


def _first_pass(capture: CaptureDir, shards: Iterator[Shard]) -> dict[str, npt.NDArray[Any]]:
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


def _threshold(capture: CaptureDir) -> Floats:
    """Theta of every latent; 0 where the SAE's class has none."""
    weights = capture.weights()
    if "threshold" not in weights:
        return np.zeros(capture.manifest.n_latents)
    return weights["threshold"].astype(np.float64)


def _second_pass(
    capture: CaptureDir, first: dict[str, npt.NDArray[Any]], shards: Iterator[Shard]
) -> dict[str, npt.NDArray[Any]]:
    n = capture.manifest.n_latents
    threshold = _threshold(capture)
    squares = np.zeros(n)
    fine = np.zeros(n * BINS, np.int64)
    for shard in shards:
        at, values = shard.indices, shard.values.astype(np.float64)
        squares += np.bincount(at, weights=(values - first["mean"][at]) ** 2, minlength=n)
        cell = at.astype(np.int64) * BINS + fine_bins(values, threshold[at], first["high"][at])
        fine += np.bincount(cell, minlength=n * BINS)
    with np.errstate(invalid="ignore"):
        std = np.sqrt(squares / first["firing_count"])
    modes = main_modes(fine.reshape(n, BINS), threshold, first["high"])
    is_mode = np.isfinite(modes)
    mu = np.where(is_mode, modes, first["mean"])
    # Imported values may lie below the imported threshold; then u has no meaning.
    mu[~(mu > threshold)] = np.nan
    return {"std": std, "mu": mu, "is_mode": is_mode}


def _edges(
    capture: CaptureDir,
    settings: CountSettings,
    first: dict[str, npt.NDArray[Any]],
    work: Path,
    shards: Callable[[str], Iterator[Shard]],
) -> tuple[pa.Table, int]:
    """Return the `edges` table and the number of pairs that ever co-fired."""
    n, tokens = capture.manifest.n_latents, capture.manifest.rows
    firing_count = first["firing_count"]
    decoder = capture.weights().get("W_dec")
    norms = None if decoder is None else np.sqrt(np.einsum("ij,ij->i", decoder, decoder, dtype=np.float64))
    blocks = row_blocks(n, settings.memory)
    parts: list[pa.Table] = []
    co_fired = 0
    for number, (start, stop) in enumerate(blocks):
        path = work / f"edges-{start}-{stop}.parquet"
        if not path.is_file():
            counter = PairCounter(n, start, stop)
            for shard in shards(f"pairs {number + 1}/{len(blocks)}"):
                counter.add(firing_matrix(shard, n))
            kept: list[pa.Table] = [EDGES.arrow_schema().empty_table()]
            pairs = 0
            for a, b, joint in counter.pairs():
                pairs += len(a)
                keep = _kept(joint, firing_count[a], firing_count[b], tokens, settings)
                kept.append(_edge_table(a[keep], b[keep], joint[keep], firing_count, tokens, decoder, norms))
            table = pa.concat_tables(kept).combine_chunks().replace_schema_metadata({"co_fired": str(pairs)})
            write_parquet(path, table)
        part = pq.read_table(path)
        co_fired += int(part.schema.metadata[b"co_fired"])
        parts.append(part.replace_schema_metadata(None))
    schema = EDGES.arrow_schema()
    return pa.concat_tables([part.cast(schema) for part in parts]).combine_chunks(), co_fired


def _kept(joint: Ints, n_a: Ints, n_b: Ints, tokens: int, settings: CountSettings) -> npt.NDArray[np.bool_]:
    """The edge rule."""
    if settings.edges == "all":
        return np.ones(len(joint), np.bool_)
    expected = n_a.astype(np.float64) * n_b.astype(np.float64) / tokens
    return (joint >= settings.min_count) & (joint / expected >= settings.min_lift)


def _edge_table(
    a: Ints,
    b: Ints,
    joint: Ints,
    firing_count: Ints,
    tokens: int,
    decoder: npt.NDArray[np.float32] | None,
    norms: Floats | None,
) -> pa.Table:
    measures = pair_measures(joint, firing_count[a], firing_count[b], tokens)
    cosine = np.full(len(a), np.nan)
    if decoder is not None and norms is not None:
        # In pieces: the directions of a million pairs do not fit in memory at once.
        for piece in np.array_split(np.arange(len(a)), max(1, len(a) // 65_536 + 1)):
            dot = np.einsum("ij,ij->i", decoder[a[piece]], decoder[b[piece]], dtype=np.float64)
            with np.errstate(invalid="ignore", divide="ignore"):
                cosine[piece] = dot / (norms[a[piece]] * norms[b[piece]])
    values: dict[str, npt.NDArray[Any]] = {
        "a": a.astype(np.int32),
        "b": b.astype(np.int32),
        "count": joint,
        **measures,
        "decoder_cosine": cosine,
    }
    schema = EDGES.arrow_schema()
    return pa.table([_nullable(values[field.name], field) for field in schema], schema=schema)


def _nullable(values: npt.NDArray[Any], field: pa.Field) -> pa.Array:
    """Return an Arrow column; what is NaN becomes null where the column may be."""
    mask = ~np.isfinite(values) if field.nullable else None
    return pa.array(values, field.type, mask=mask)


def _last_pass(
    capture: CaptureDir,
    first: dict[str, npt.NDArray[Any]],
    second: dict[str, npt.NDArray[Any]],
    shards: Iterator[Shard],
) -> tuple[pa.Table, dict[str, pa.Table]]:
    """Return the `latents` table, and the tables tokens and contexts where the capture has token ids."""
    n = capture.manifest.n_latents
    threshold, mu = _threshold(capture), second["mu"]
    documents, texts = capture.documents(), capture.vocabulary()
    aligned = np.zeros(n * BINS, np.int64)
    token_counter = TokenCounter()
    sampler = ContextSampler(first["low"], first["high"])
    for shard in shards:
        at, values = shard.indices, shard.values.astype(np.float64)
        known = np.isfinite(mu[at])
        bins, _ = aligned_bins(values[known], threshold[at[known]], mu[at[known]])
        aligned += np.bincount(at[known].astype(np.int64) * BINS + bins, minlength=n * BINS)
        if documents is not None:
            token_counter.add(shard)
            sampler.add(shard)
    latents = _latents_table(capture, first, second, threshold, aligned.reshape(n, BINS))
    if documents is None:
        return latents, {}
    return latents, {
        "tokens": token_counter.table(first["firing_count"], texts),
        "contexts": sampler.table(threshold, mu, documents, texts),
    }


def _latents_table(
    capture: CaptureDir,
    first: dict[str, npt.NDArray[Any]],
    second: dict[str, npt.NDArray[Any]],
    threshold: Floats,
    aligned: Ints,
) -> pa.Table:
    firing_count = first["firing_count"]
    has_mu = np.isfinite(second["mu"])
    offsets = pa.array(np.arange(len(firing_count) + 1, dtype=np.int32) * BINS)
    histogram = pa.ListArray.from_arrays(offsets, pa.array(aligned.ravel()), mask=pa.array(~has_mu))
    rule = np.where(second["is_mode"], "mode", "mean")
    values: dict[str, Any] = {
        "index": np.arange(len(firing_count), dtype=np.int32),
        "firing_count": firing_count,
        "frequency": firing_count / max(capture.manifest.rows, 1),
        "mean": first["mean"],
        "std": second["std"],
        "max": first["high"],
        "threshold": threshold,
        "mu": second["mu"],
        "dead": firing_count == 0,
    }
    columns = [
        histogram
        if field.name == "histogram"
        else pa.array(rule, pa.string(), mask=~has_mu)
        if field.name == "mu_rule"
        else _nullable(values[field.name], field)
        for field in LATENTS.arrow_schema()
    ]
    return pa.table(columns, schema=LATENTS.arrow_schema())
