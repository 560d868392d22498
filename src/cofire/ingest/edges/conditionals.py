"""What a latent does while another is off, fires, or is in its main peak: the table `conditionals`.

1. Input are kept pairs a < b. They are cut into blocks that fit a memory bound; the capture is read once a block.
2. Each activation becomes a fixed-point integer, in units of 2^-28 of the least power of two above the latent's largest
   activation. What is 1/32 of that power and more is held exactly (a float32 has 24 bits); below, within 2^-29 of it.
3. Firings are gathered into slabs and walked by all processors (`conditionals_kernel`): tokens x L0^2 look-ups, as
   counting costs, and for each joint firing of a kept pair the work of several look-ups.
4. Every counter and sum is an integer, so no order of shards, split, merge or number of threads changes a bit of the
   result. Means and correlations are made of the integers at the end.

While b is off, the histogram of a is its own one (`latents.histogram`, each four bins added) less `histogram_on`.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa

from cofire.common.arrays import Array, Bools, Floats, Ints, Ints32
from cofire.common.processes import processors
from cofire.ingest.capture_dir.shard import Shard
from cofire.ingest.edges.conditionals_kernels import (
    AA,
    AB,
    BB,
    BINS,
    BOTH_MAIN,
    LOW_BITS,
    MOMENTS,
    SUM_A,
    SUM_A_MAIN,
    SUM_B,
    SUM_B_MAIN,
    VALUE_BITS,
    pack,
    transpose,
    walk,
)
from cofire.schema.tables import CONDITIONALS, EDGES

SCHEMA = CONDITIONALS.arrow_schema().append(EDGES.arrow_schema().field("magnitude_r"))
"""Of a block: the table, and the correlation that ends up with the edges."""

# A latent number must fit 21 bits of a packed firing, the sentinel included.
MAX_LATENTS = 2**20
# A histogram counts in int32; below this no count and no sum can overflow (a sum of products: 2^31 terms below 2^31).
MAX_TOKENS = 2**31 - 1
# The counters of an edge: 4 histograms of int32, the moments, its two latents.
BYTES_OF_STATE = 4 * BINS * 4 + MOMENTS * 8 + 8
# Its two rows of the table, and what is held while they are made.
BYTES_OF_TABLE = 2048
# Offsets of a list column are int32, and an edge has two rows.
MAX_BLOCK = (2**31 - 1) // (2 * BINS)
# Firings that are walked at once, 12 bytes each with their places. So many for each edge that what must be fetched of
# its counters is used several times; for few edges SLAB (48 MB), and never more than MOST_SLAB (192 MB).
SLAB_AN_EDGE = 32
SLAB = 1 << 22
MOST_SLAB = 1 << 24
PIECES_A_THREAD = 8
# Edges whose sums are handled as Python's integers at once.
EXACT_AT_ONCE = 65_536
MIN_TOKENS_OF_R = 3


def edge_blocks(edges: int, memory: int) -> list[tuple[int, int]]:
    """Cut 0..edges-1 into blocks whose counters and table take `memory` bytes at most (one edge at least, 3.2 kB)."""
    size = min(max(1, memory // (BYTES_OF_STATE + BYTES_OF_TABLE)), MAX_BLOCK)
    return [(start, min(start + size, edges)) for start in range(0, edges, size)]


def join_blocks(tables: Iterable[pa.Table]) -> pa.Table:
    """Return the tables of the blocks as one, sorted by (latent, given). Memory: twice the tables, 1.2 kB an edge."""
    whole = pa.concat_tables([SCHEMA.empty_table(), *tables]).combine_chunks()
    latent, given = whole.column("latent").to_numpy(), whole.column("given").to_numpy()
    order = np.lexsort((given, latent))
    # One block is sorted already.
    in_order = bool((np.diff(order) > 0).all())
    return whole if in_order else whole.take(pa.array(order)).combine_chunks()


class ConditionalCounter:
    """Counts, exactly, what the latents of the edges (a, b) do given each other.

    Memory: 1,120 bytes an edge (`BYTES_OF_STATE`) and 100 a latent. While counting, 12 bytes for each firing that waits
    to be walked (4 million of them, up to 16 million with half a million edges, or one shard where that is more), and
    2.3 MB and 8 bytes a latent for each thread. `table` takes up to `BYTES_OF_TABLE` an edge instead.
    """

    def __init__(
        self,
        n_latents: int,
        a: Ints32,
        b: Ints32,
        *,
        threshold: Floats,
        mu: Floats,
        main_low: Floats,
        high: Floats,
        threads: int | None = None,
    ) -> None:
        """Start with zero counts.

        Args:
            n_latents: N, up to 2^20.
            a: int32 [M], the lower latents, sorted by (a, b), no edge twice; at most `MAX_BLOCK` edges.
            b: int32 [M], the higher latents.
            threshold: float64 [N], theta.
            mu: float64 [N], the activation where u = 1, above theta; NaN where unknown.
            main_low: float64 [N], the least activation in the main peak; NaN where unknown.
            high: float64 [N], the largest activation in all shards that will be added; anything where it never fires.
            threads: how many; default all processors that this process may use.

        Raises:
            ValueError: an argument is not as said.
        """
        if not 0 < n_latents <= MAX_LATENTS:
            raise ValueError(f"n_latents must be 1..{MAX_LATENTS}, not {n_latents}")
        if a.shape != b.shape or a.ndim != 1 or len(a) > MAX_BLOCK:
            raise ValueError(f"a and b must be two equally long lists of up to {MAX_BLOCK} latents")
        key = a.astype(np.int64) * n_latents + b
        if len(a) and (a.min() < 0 or b.max() >= n_latents or (a >= b).any() or (np.diff(key) <= 0).any()):
            raise ValueError("edges must have 0 <= a < b < n_latents, sorted by (a, b), none twice")
        for name, values in (("threshold", threshold), ("mu", mu), ("main_low", main_low), ("high", high)):
            if values.shape != (n_latents,):
                raise ValueError(f"{name} must have one value for each of the {n_latents} latents")
        if (mu <= threshold).any():
            raise ValueError("mu must lie above the threshold, or be NaN")
        self.n_latents, self.tokens = n_latents, 0
        self.a, self.b = a.astype(np.int32), b.astype(np.int32)
        self.threshold, self.mu = threshold.astype(np.float64), mu.astype(np.float64)
        self.main_low, self.high = main_low.astype(np.float64), high.astype(np.float64)
        self.threads = threads or processors()
        # high = m 2^exponent with m < 1, so every activation is below 2^exponent.
        fires = np.isfinite(high) & (high > 0)
        self.exponent = np.frexp(np.where(fires, self.high, 1.0))[1].astype(np.int64)
        self.firings: Ints = np.zeros(n_latents, np.int64)
        self.totals: Ints = np.zeros(n_latents, np.int64)
        self.histograms: Ints32 = np.zeros((len(a), 4, BINS), np.int32)
        self.moments: Ints = np.zeros((len(a), MOMENTS), np.int64)
        self._edge_start = np.searchsorted(self.a, np.arange(n_latents + 1)).astype(np.int64)
        self._used: Bools = np.zeros(n_latents, np.bool_)
        self._used[self.a] = True
        self._used[self.b] = True
        self._slab: Ints = np.empty(0, np.int64)
        self._filled, self._longest = 0, 0
        self._work: Ints = np.zeros(n_latents, np.int64)

    def add(self, shard: Shard) -> None:
        """Add the tokens of a shard.

        Raises:
            ValueError: more than 2^31 - 1 tokens, a latent outside 0..N-1 or not ascending in its row, or an activation
                outside (0, high]. After the last three the counter is of no use.
        """
        if self.tokens + shard.rows > MAX_TOKENS:
            raise ValueError(f"conditional counts hold {MAX_TOKENS} tokens at most")
        entries = len(shard.indices) + shard.rows
        if self._filled + entries > len(self._slab):
            self._flush()
            slab = min(max(SLAB, SLAB_AN_EDGE * len(self.a)), MOST_SLAB)
            self._slab = np.empty(max(slab, entries), np.int64)
        kept = pack(
            shard.indptr,
            shard.indices,
            shard.values,
            self._used,
            self.high,
            np.ldexp(1.0, VALUE_BITS - self.exponent),
            self.threshold,
            self.mu,
            self.main_low,
            self._slab[self._filled :],
            self.firings,
            self.totals,
            self._work,
        )
        if kept < 0:
            at = -1 - kept
            raise ValueError(
                f"firing {at} of a shard (latent {shard.indices[at]}, activation {shard.values[at]}) is out of order, "
                "or outside 0..N-1, or outside (0, high]"
            )
        self._filled += kept
        self._longest = max(self._longest, int(np.diff(shard.indptr).max(initial=0)))
        self.tokens += shard.rows

    def merge(self, other: ConditionalCounter) -> None:
        """Add the counts of another counter of the same edges, made with the same thresholds.

        Raises:
            ValueError: it is of other edges or thresholds, or both hold more than 2^31 - 1 tokens.
        """
        same = self.n_latents == other.n_latents and all(
            np.array_equal(getattr(self, name), getattr(other, name), equal_nan=name not in {"a", "b"})
            for name in ("a", "b", "threshold", "mu", "main_low", "high")
        )
        if not same:
            raise ValueError("counters of different edges or thresholds cannot be merged")
        if self.tokens + other.tokens > MAX_TOKENS:
            raise ValueError(f"conditional counts hold {MAX_TOKENS} tokens at most")
        self._flush()
        other._flush()
        self.tokens += other.tokens
        self.firings += other.firings
        self.totals += other.totals
        self.histograms += other.histograms
        self.moments += other.moments

    def table(self) -> pa.Table:
        """Return two rows for each edge, sorted by (latent, given): columns as in `SCHEMA`.

        count_off, count_on, count_main: int64, tokens where `latent` fires and `given` does not fire, fires, is in its
            main peak (activation >= main_low; null where that is unknown).
        count_both_main: int64, of count_main, those with `latent` in its own main peak; null where either is unknown.
        mean_off, mean_on, mean_main: float64, mean activation of `latent` over these tokens; null without any.
        histogram_on, histogram_main: list of 64 int32 over [0, 4), counts of u = (activation - threshold) /
            (mu - threshold) of `latent`; u >= 4 is in the last bin, u < 0 in the first. Null where mu is unknown.
        magnitude_r: float64, Pearson's r of the two activations over the tokens where both fire (the same in both
            rows); null with fewer than 3 tokens, or where either does not vary.
        """
        self._flush()
        edges = len(self.a)
        latent, given = np.concatenate([self.a, self.b]), np.concatenate([self.b, self.a])
        order = np.lexsort((given, latent))
        latent, given = latent[order], given[order]
        on, main = np.empty((2 * edges, BINS), np.int32), np.empty((2 * edges, BINS), np.int32)
        for piece in range(0, 2 * edges, EXACT_AT_ONCE):
            rows = slice(piece, piece + EXACT_AT_ONCE)
            edge, side = order[rows] % max(edges, 1), order[rows] // max(edges, 1)
            main[rows] = self.histograms[edge, 2 * side + 1]
            on[rows] = self.histograms[edge, 2 * side] + main[rows]
        count_on, count_main = on.sum(axis=1, dtype=np.int64), main.sum(axis=1, dtype=np.int64)
        count_off = self.firings[latent] - count_on
        sum_on = self.moments[:, [SUM_A, SUM_B]].T.ravel()[order]
        sum_main = self.moments[:, [SUM_A_MAIN, SUM_B_MAIN]].T.ravel()[order]
        unit = np.ldexp(1.0, self.exponent[latent] - VALUE_BITS)
        has_mu, has_main = np.isfinite(self.mu[latent]), ~np.isnan(self.main_low[given])
        columns: dict[str, pa.Array] = {
            "latent": pa.array(latent),
            "given": pa.array(given),
            "count_off": pa.array(count_off),
            "count_on": pa.array(count_on),
            "count_main": pa.array(count_main, mask=~has_main),
            "count_both_main": pa.array(
                np.tile(self.moments[:, BOTH_MAIN], 2)[order], mask=~(has_main & ~np.isnan(self.main_low[latent]))
            ),
            "mean_off": _means(self.totals[latent] - sum_on, count_off, unit),
            "mean_on": _means(sum_on, count_on, unit),
            "mean_main": _means(sum_main, np.where(has_main, count_main, 0), unit),
            "histogram_on": _lists(on, has_mu),
            "histogram_main": _lists(main, has_mu & has_main),
            "magnitude_r": _nullable(np.tile(self.magnitude_r(), 2)[order]),
        }
        return pa.table(columns, schema=SCHEMA)

    def magnitude_r(self) -> Floats:
        """Return Pearson's r of the two activations over the tokens where both fire, float64 [M].

        r = (n S_ab - S_a S_b) / sqrt((n S_aa - S_a^2) (n S_bb - S_b^2)), the differences in exact integers. NaN with
        fewer than 3 tokens, or where either activation does not vary.
        """
        self._flush()
        r: Floats = np.full(len(self.a), np.nan)
        for piece in range(0, len(r), EXACT_AT_ONCE):
            rows = slice(piece, piece + EXACT_AT_ONCE)
            n = self.histograms[rows, :2].sum(axis=(1, 2), dtype=np.int64).astype(object)
            # Python's integers: n S_ab takes up to 122 bits.
            moments = self.moments[rows].astype(object)
            sum_a, sum_b = moments[:, SUM_A], moments[:, SUM_B]
            aa, bb, ab = (moments[:, k] + moments[:, k + 1] * (1 << LOW_BITS) for k in (AA, BB, AB))
            spread = (n * aa - sum_a * sum_a, n * bb - sum_b * sum_b)
            joint = (n * ab - sum_a * sum_b).astype(np.float64)
            size = np.sqrt(spread[0].astype(np.float64)) * np.sqrt(spread[1].astype(np.float64))
            known = (n >= MIN_TOKENS_OF_R).astype(np.bool_) & (size > 0)
            r[rows][known] = np.clip(joint[known] / size[known], -1.0, 1.0)
        return r

    def _flush(self) -> None:
        """Walk what has been gathered."""
        packed = self._slab[: self._filled]
        if len(packed) > np.iinfo(np.int32).max:
            raise ValueError("a shard has more than 2^31 firings; cut it into smaller ones")
        starts, places = np.zeros(self.n_latents + 1, np.int64), np.empty(len(packed), np.int32)
        transpose(packed, self._edge_start, starts, places)
        # Pieces of equal length, more of them than threads, so that none waits long for the last.
        done = np.cumsum(np.where(np.diff(self._edge_start) > 0, self._work, 0))
        aims = np.linspace(0, done[-1], self.threads * PIECES_A_THREAD + 1)[1:-1]
        cuts = np.unique(np.concatenate([[0], np.searchsorted(done, aims), [self.n_latents]]))

        def piece(low: int, stop: int) -> None:
            walk(
                low,
                stop,
                self._longest,
                self._edge_start,
                self.b,
                packed,
                starts,
                places,
                self.histograms,
                self.moments,
            )

        with ThreadPoolExecutor(self.threads) as pool:
            for _ in pool.map(piece, cuts[:-1].tolist(), cuts[1:].tolist()):
                pass
        self._slab = np.empty(0, np.int64)
        self._filled, self._longest = 0, 0
        self._work[:] = 0


def _means(sums: Ints, counts: Ints, unit: Floats) -> pa.Array:
    """Return sums * unit / counts, null where the count is 0."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return _nullable(np.where(counts > 0, sums / counts * unit, np.nan))


def _nullable(values: Array) -> pa.Array:
    return pa.array(values, mask=np.isnan(values))


def _lists(rows: Ints32, known: Bools) -> pa.Array:
    """Return int32 [R, 64] as lists, null where not `known`."""
    offsets = pa.array(np.arange(len(rows) + 1, dtype=np.int32) * BINS)
    return pa.ListArray.from_arrays(offsets, pa.array(rows.ravel()), mask=pa.array(~known))
