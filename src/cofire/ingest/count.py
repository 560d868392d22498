"""Counting a capture (`cofire count`): sparse activations become the tables of the latents and of their edges.

    1. Each latent by itself: firings, mean, extremes, spread, mu (`passes`).
    2. Noise floors from stored residuals, where the capture has them, and which firings are clear (`clear`).
    3. Exact joint firings, of all firings and of the clear ones, and firings per document (`tally`).
    4. E, V and p of the pairs that co-fired often and strongly enough (`candidates`); the edge rule (`edges`).
    5. Which of the kept pairs a third latent explains, and which are twins (`cofire.ingest.direct`).
    6. Of the kept pairs: what one latent does while the other is off, on, in its main peak (`conditionals`).
    7. Last pass: aligned histograms, top tokens, contexts; centroids of the main peaks from the residuals.

The result of each step is put on the disk as soon as it is whole, a long step's once a minute; a count that was killed
goes on there. The same capture and settings give the same bytes, whatever the memory bound.

A capture that stores no activations has counted them already (`running_counts`): steps 1 and 3 are read from there, and
what needs a second look at the activations is absent.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cofire.common.arrays import Bools, Floats, Ints
from cofire.common.files import exclusive, read_arrays, read_parquet, write_arrays, write_parquet
from cofire.common.progress import StageProgress
from cofire.errors import InputError
from cofire.ingest.capture_dir.directory import CaptureDir
from cofire.ingest.capture_dir.layout import WORK
from cofire.ingest.capture_dir.shard import Shard
from cofire.ingest.capture_dir.table_files import (
    capture_digest,
    digest,
    is_current,
    remove_work,
    save_tables,
    work_directory,
)
from cofire.ingest.capturing.running_counts import ABSENT, load_latents, load_tally, load_tokens
from cofire.ingest.count_tokens import count_tokens, frequent_tokens, tokens_current, tokens_from
from cofire.ingest.direct.counting import triple_counting
from cofire.ingest.direct.direct import direct_edges
from cofire.ingest.direct.twins import twins_table
from cofire.ingest.edges.candidates import candidates
from cofire.ingest.edges.conditionals import MAX_LATENTS, MAX_TOKENS, ConditionalCounter, edge_blocks, join_blocks
from cofire.ingest.edges.rule import Figures, LatentCounts, edges_table
from cofire.ingest.edges.settings import CountSettings
from cofire.ingest.latents.bins import BINS
from cofire.ingest.latents.centroids import centroids_table
from cofire.ingest.latents.contexts import ContextSampler
from cofire.ingest.latents.histograms import aligned_histograms
from cofire.ingest.latents.passes import (
    FirstPass,
    SecondPass,
    first_pass,
    latents_table,
    nullable,
    second_pass,
    threshold_of,
)
from cofire.ingest.latents.top_tokens import TokenCounter
from cofire.ingest.noise.clear import ClearFirings, NoiseFloors, clear_firings
from cofire.ingest.pairs.engine import Engine
from cofire.ingest.pairs.tally import CHECKPOINT_SECONDS, Tally, tally
from cofire.schema.tables import CONDITIONALS, TOKENS

# Part of every fingerprint: raise it when the meaning of a column changes.
COUNT_VERSION = 3

Record = TypeVar("Record", FirstPass, SecondPass, NoiseFloors)


def count(
    capture: CaptureDir,
    settings: CountSettings | None = None,
    progress: StageProgress | None = None,
    engine: Engine | None = None,
) -> bool:
    """Make the tables that a capture's activations give: latents, edges, twins, conditionals, and those of its text.

    Tokens and contexts need the capture's token ids, centroids its residuals. Of a capture that stores no activations
    there are neither contexts nor conditionals; of the latents and edges, what `running_counts.ABSENT` names is null.

    Cost: T L0^2 for the pairs, twice where the noise floor is known, the same over documents for E and V, and T L0 for
    the rest, with T counted tokens of L0 firing latents; clear firings cost 4 L0^2 look-ups a token more.

    Memory: the bound of `settings` for the counters. Besides: one shard, the weights, 5 kB a latent, 16 bytes for each
    distinct (latent, token) pair that occurs, 300 MB for candidates, 40 bytes a candidate and 3 kB a kept edge; and
    with residuals 32,768 of them twice, in float32, and 4 N^2 bytes (1 GiB at most) while clear firings are told.

    Args:
        capture: a complete capture.
        settings: the edge rule and the memory bound.
        progress: called with (stage, steps done, steps in all).
        engine: where pairs are counted; the local CPU by default.

    Returns:
        False when the tables were already there, made from the same capture and settings.

    Raises:
        CaptureError: the capture is damaged, or another process is writing it.
        InputError: see `check_count`.
    """
    settings = settings or CountSettings()
    check_count(capture, settings)
    made_from = counted_from(capture, settings)
    names = ["latents", "edges", "twins"]
    names += ["conditionals"] if capture.keeps_activations else []
    names += ["contexts"] if capture.has_text and capture.keeps_activations else []
    names += ["centroids"] if capture.has_residuals else []

    def current() -> bool:
        return all(is_current(capture, name, made_from) for name in names)

    # Who only looks needs no lock, unless a count that was killed just after its last table left its passes behind.
    if current() and tokens_current(capture, made_from) and not any(capture.tables.glob(f"{WORK}*")):
        return False
    with exclusive(capture.path):
        tell: StageProgress = progress or (lambda _stage, _done, _total: None)
        if current():
            remove_work(capture)
            if tokens_current(capture, made_from):
                return False
            count_tokens(capture, made_from, tell)
        elif capture.keeps_activations:
            _count(capture, settings, made_from, engine or Engine(), tell)
        else:
            _count_running(capture, settings, made_from, tell)
        return True


def check_count(capture: CaptureDir, settings: CountSettings) -> None:
    """Check, before anything is written, that a capture can be counted with these settings.

    Raises:
        InputError: it cannot; the message says why.
    """
    if settings.token_strata and not capture.keeps_activations:
        raise InputError(
            f"--token-strata: {capture.path} was captured with --no-keep, which counts by document alone; "
            "leave it out, or capture again without --no-keep"
        )
    if settings.token_strata and not capture.has_text:
        raise InputError(
            f"--token-strata: capture {capture.path} has no token ids; import it with token, or leave it out"
        )
    if capture.manifest.n_latents > MAX_LATENTS:
        raise InputError(f"capture {capture.path} has more than {MAX_LATENTS:,} latents, the most that can be counted")
    if capture.manifest.rows > MAX_TOKENS:
        raise InputError(f"capture {capture.path} has more than {MAX_TOKENS:,} tokens, the most that can be counted")


def counted_from(capture: CaptureDir, settings: CountSettings) -> str:
    """Return the fingerprint of what a count with these settings is made from."""
    running = capture.manifest.counts
    parts = [COUNT_VERSION, capture_digest(capture), settings.recorded()]
    return digest(*parts, *([running.hashes] if running is not None else []))


def _count(
    capture: CaptureDir, settings: CountSettings, made_from: str, engine: Engine, progress: StageProgress
) -> None:
    work = work_directory(capture, made_from)

    def shards(stage: str) -> Iterator[Shard]:
        total = len(capture.manifest.shards)
        for number, shard in enumerate(capture.shards()):
            yield shard
            progress(stage, number + 1, total)

    first = _saved(work / "first.npz", FirstPass, lambda: first_pass(capture, shards("firings")))
    second = _saved(
        work / "second.npz", SecondPass, lambda: second_pass(capture, first, shards("spread"), engine.device)
    )
    clear = ClearFirings((work / "clear").resolve())
    noise = _saved(
        work / "noise.npz",
        NoiseFloors,
        lambda: clear_firings(
            capture,
            first.threshold,
            clear.folder,
            denoise=settings.denoise,
            tell=lambda done, total: progress("noise floor", done, total),
        ),
    )
    known = np.isfinite(noise.clear_floor)
    found = candidates(
        lambda: _tallies(capture, settings, work, clear if known.any() else None, engine, progress),
        settings,
        work,
        lambda done, total: progress("significance", done, total),
    )
    latents = LatentCounts(first.firing_count, known, capture.manifest.rows, capture.weights().get("W_dec"))
    kept = edges_table(found, latents, settings)
    firings = first.firing_count if found.clear_count is None else found.clear_count
    edges, figures = kept.table, kept.figures
    if settings.direct:
        edges, figures = direct_edges(
            kept,
            firings,
            capture.manifest.rows,
            bound=settings.direct_bound,
            memory=settings.memory,
            work=work,
            count=triple_counting(capture, None if found.clear_count is None else clear, engine, progress),
        )
    conditionals, magnitude_r = _conditionals(
        capture, settings, edges.filter(pa.array(kept.passing)), first, second, work, shards
    )
    tables = _last_pass(capture, first, second, noise, found.clear_count, shards("examples"), engine.device)
    if capture.has_residuals:
        tables["centroids"] = centroids_table(capture, second.main_low)
    tables |= {"edges": _with_magnitude(edges, kept.passing, magnitude_r), "conditionals": conditionals}
    tables["twins"] = twins_table(kept, firings)
    _record(capture, settings, made_from, tables, noise.reason, figures)


def _count_running(capture: CaptureDir, settings: CountSettings, made_from: str, progress: StageProgress) -> None:
    """Make the tables from the running counts of a capture that stores no activations."""
    work, counts, n = work_directory(capture, made_from), capture.counts(), capture.manifest.n_latents
    first, second = load_latents(counts, threshold_of(capture))
    noise = NoiseFloors.unknown(n, ABSENT)

    def tally_of_all() -> tuple[Tally, None]:
        scratch = work / "scratch"
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        return load_tally(counts, memory=settings.memory * 4 // 5, work=scratch), None

    found = candidates(
        tally_of_all,
        settings,
        work,
        lambda done, total: progress("significance", done, total),
    )
    known = np.zeros(n, np.bool_)
    latents = LatentCounts(first.firing_count, known, capture.manifest.rows, capture.weights().get("W_dec"))
    kept = edges_table(found, latents, settings)
    nothing = np.zeros(n, np.int64)
    tables = {
        "latents": latents_table(capture, first, second, noise, nothing, np.zeros(n * BINS, np.int64)),
        "edges": kept.table,
        "twins": twins_table(kept, first.firing_count),
        "tokens": load_tokens(counts).table(first.firing_count, capture.vocabulary()),
    }
    _record(capture, settings, made_from, tables, noise.reason, kept.figures)


def _record(
    capture: CaptureDir,
    settings: CountSettings,
    made_from: str,
    tables: dict[str, pa.Table],
    noise_floor: str,
    figures: Figures,
) -> None:
    """Write the tables, with what they were made from and how, and remove what the passes have left."""
    tokens, firings = capture.manifest.rows, capture.manifest.firings
    of_all = {"tokens": tokens, "firings": firings, "mean_l0": firings / tokens if tokens else 0.0}
    save_tables(
        capture,
        tables,
        {**dict.fromkeys(tables, made_from), TOKENS.name: tokens_from(made_from)},
        {**settings.recorded(), "noise_floor": noise_floor},
        {**of_all, **figures, "twins": tables["twins"].num_rows},
    )
    remove_work(capture)


def _saved(path: Path, record: type[Record], make: Callable[[], Record]) -> Record:
    """Return what a pass made, a dataclass of arrays and words, from the disk if an earlier run got that far."""
    names = {field.name for field in fields(record)}
    # What another version of cofire left may have other parts.
    if not path.is_file() or read_arrays(path).keys() != names:
        write_arrays(path, {name: np.asarray(value) for name, value in vars(make()).items()})
    saved = read_arrays(path)
    parts: dict[str, Any] = {name: str(array) if array.dtype.kind == "U" else array for name, array in saved.items()}
    return record(**parts)


def _tallies(
    capture: CaptureDir,
    settings: CountSettings,
    work: Path,
    clear: ClearFirings | None,
    engine: Engine,
    progress: StageProgress,
) -> tuple[Tally, Tally | None]:
    """Count all firings, and the clear ones where some noise floor is known."""
    total = len(capture.manifest.shards)
    walk: Callable[..., Tally] = partial(tally, device=engine.device)
    if engine.engine == "ray":
        from cofire.ingest.pairs.ray_engine import ray_tally

        walk = partial(ray_tally, address=engine.address)
    walk = partial(
        walk,
        capture,
        work,
        # A tally takes a quarter more for its strata, and there are two where clear firings are counted.
        memory=settings.memory * 4 // 5 // (2 if clear else 1),
        frequent=frequent_tokens(capture, settings.token_strata),
    )
    everything = walk("pairs", clear=None, tell=lambda done: progress("pairs", done, total))
    if clear is None:
        return everything, None
    return everything, walk("clear pairs", clear=clear, tell=lambda done: progress("clear pairs", done, total))


def _conditionals(
    capture: CaptureDir,
    settings: CountSettings,
    edges: pa.Table,
    first: FirstPass,
    second: SecondPass,
    work: Path,
    shards: Callable[[str], Iterator[Shard]],
) -> tuple[pa.Table, Floats]:
    """Return the table `conditionals` of these edges, and the magnitude correlation of each."""
    a, b = edges.column("a").to_numpy(), edges.column("b").to_numpy()
    blocks = edge_blocks(len(a), settings.memory)
    parts = []
    for number, (start, stop) in enumerate(blocks):
        path = work / f"conditionals-{start}-{stop}.parquet"
        if not path.is_file():
            begun = time.monotonic()
            counter = ConditionalCounter(
                capture.manifest.n_latents,
                a[start:stop],
                b[start:stop],
                threshold=first.threshold,
                mu=second.mu,
                main_low=second.main_low,
                high=first.high,
            )
            for shard in shards(f"conditionals {number + 1}/{len(blocks)}"):
                counter.add(shard)
            part = counter.table()
            if len(blocks) > 1 or time.monotonic() - begun > CHECKPOINT_SECONDS:
                write_parquet(path, part)
        else:
            part = read_parquet(path)
        parts.append(part)
    whole = join_blocks(parts)
    lower = pc.less(whole.column("latent"), whole.column("given"))
    r = whole.column("magnitude_r").filter(lower).to_numpy()
    return whole.drop_columns(["magnitude_r"]).cast(CONDITIONALS.arrow_schema()), r


def _with_magnitude(edges: pa.Table, passing: Bools, magnitude_r: Floats) -> pa.Table:
    place = edges.schema.get_field_index("magnitude_r")
    values = np.full(edges.num_rows, np.nan)
    values[passing] = magnitude_r
    field = edges.schema.field(place)
    return edges.set_column(place, field, nullable(values, field))


def _last_pass(
    capture: CaptureDir,
    first: FirstPass,
    second: SecondPass,
    noise: NoiseFloors,
    clear_count: Ints | None,
    shards: Iterator[Shard],
    device: str,
) -> dict[str, pa.Table]:
    """Return the table latents, and tokens and contexts where the capture has token ids."""
    n = capture.manifest.n_latents
    threshold, mu = first.threshold, second.mu
    documents = capture.documents()
    aligned = aligned_histograms(threshold, mu, device)
    token_counter = TokenCounter()
    sampler = ContextSampler(first.low, first.high)
    for shard in shards:
        aligned.add(shard.indices, shard.values)
        if documents is not None:
            token_counter.add(shard)
            sampler.add(shard)
    clear = np.zeros(n, np.int64) if clear_count is None else clear_count
    tables = {"latents": latents_table(capture, first, second, noise, clear, aligned.counts())}
    if documents is not None:
        tables["tokens"] = token_counter.table(first.firing_count, capture.vocabulary())
        tables["contexts"] = sampler.table(threshold, mu, documents, capture.token_bytes())
    return tables
