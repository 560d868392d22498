"""A lower bound of E for very many pairs, which tells cheaply that a pair cannot have the effect that is asked for.

    1. E is an inner product over the strata, of s / sqrt(L) of both latents. What fires in many strata is a row of a
       panel, float32; of the other latents the strata are listed.
    2. Where many pairs of a latent are asked for, the panel's rows are multiplied as matrices, some columns at a time;
       few are multiplied one by one, and a listed latent is walked against its partner.
    3. The sum is lowered by more than rounding can have added to it, in whatever order the terms were added.
    4. The strata come some at a time, and a pair is dropped as soon as what it has says enough: most are, half way.

The bound is never shown: it only says for which pairs E itself (`expected`) need not be worked out. So no table depends
on the order of its terms, nor on the library that multiplies.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from cofire.common.arrays import Bools, Floats, Ints, Ints32, Singles
from cofire.common.compiled import compiled
from cofire.ingest.pairs.strata import StratumCounter

# Share of the strata from which on a latent is a row of the panel (4 bytes a stratum; 12 bytes where it is listed).
BUSY = 0.05
# Strata of a panel: so long are the sums in float32.
MOST_STRATA = 1 << 14
# What a pair takes in a product of matrices, of what it takes alone (measured: .023 and .66 ns a stratum). So many of a
# row's pairs, and of a column's, have to be asked for.
DENSE = 1 / 28
# Panels that all strata are made where there is room for all of them.
PARTS = 4
# Columns that are multiplied at a time.
COLUMNS = 1024
# A float32 sum of D terms is off by D + 3 units of 2^-24 at most; this is twice the unit, and more terms.
ROUNDING, BESIDE = 2.0**-23, 16
# `expected` rounds each term to 2^-30, so its E may be this much lower for each stratum.
TERM = 2.0**-31
LISTED_BYTES = 32
"""What a listed firing takes while it is put in order."""


class _Panel(NamedTuple):
    """D' of the strata: rows float32 [B, D'], s / sqrt(L) of the busy latents; of the others latent i's entries
    start[i]..start[i+1]-1 (int64 [N+1]): stratum int32 [nnz], ascending, and s / sqrt(L), float32 [nnz].
    """

    rows: Singles
    start: Ints
    stratum: Ints32
    value: Singles


class _Blocks(NamedTuple):
    """Which latents of some pairs are multiplied as matrices: the rows, int64 [R], and columns, int64 [C], ascending.

    row_of, column_of int64 [N] give a latent's place among them, -1 where it has none; the pairs of row r are
    first[r]..last[r]-1.
    """

    rows: Ints
    columns: Ints
    row_of: Ints
    column_of: Ints
    first: Ints
    last: Ints


class LeastExpected:
    """Gives lower bounds of E from a counter's strata, which must not change meanwhile.

    Memory: three quarters of the counter's bound, and for a call 40 bytes a pair and as much as a panel's rows of the
    lower latents. Strata whose panels fit in are read twice in all; else they are read again for each call.
    """

    def __init__(self, strata: StratumCounter) -> None:
        """Look through the strata once."""
        self._strata = strata
        fires, self._size = np.zeros(strata.n_latents, np.int64), 0
        for chunk in strata.chunks():
            fires += np.bincount(chunk.latents, minlength=strata.n_latents)
            self._size += len(chunk.keys)
        is_busy = fires >= max(BUSY * self._size, 1.0)
        busy = np.flatnonzero(is_busy)
        self._rank = np.full(strata.n_latents, -1, np.int64)
        self._rank[busy] = np.arange(len(busy))
        self._busy = len(busy)
        held = 4 * len(busy) * self._size + LISTED_BYTES * int(fires[~is_busy].sum())
        self._keeps = held <= 3 * (strata.memory // 4)
        self._kept: list[_Panel] = []

    def reaching(self, a: Ints, b: Ints, drop: Callable[[Ints, Floats], Bools]) -> tuple[Ints, Floats]:
        """Return which pairs are left, int64 ascending, and a lower bound of E of each of these, in firings.

        The bound is at most that of `expected_joint`, and less than 2 D' 2^-23 E + D 2^-30 below it, with D strata and
        D' that or `MOST_STRATA`, whichever is less.

        Args:
            a: int64 [M], a < b.
            b: int64 [M]; pairs sorted by (a, b).
            drop: says of some pairs, by their numbers and a lower bound of the E of each, which are dropped.
        """
        left, found = np.arange(len(a)), np.zeros(len(a))
        sharp = max(0.0, 1 - (min(self._size, MOST_STRATA) + BESIDE) * ROUNDING)
        for panel in self._panels():
            self._add(panel, a[left], b[left], found)
            stay = ~drop(left, np.maximum(found * sharp - self._size * TERM, 0))
            left, found = left[stay], found[stay]
        return left, np.maximum(found * sharp - self._size * TERM, 0)

    def _add(self, panel: _Panel, a: Ints, b: Ints, found: Floats) -> None:
        """Add what a panel's strata give to the pairs."""
        blocks = _blocks(self._rank, a, b)
        rows, place = panel.rows[self._rank[blocks.rows]], blocks.first.copy()
        for start in range(0, len(blocks.columns), COLUMNS):
            columns = blocks.columns[start : start + COLUMNS]
            product = rows @ panel.rows[self._rank[columns]].T
            _take(product, start, int(columns[-1]), blocks.column_of, place, blocks.last, b, found)
        _add_singly(a, b, self._rank, blocks.row_of, blocks.column_of, *panel, found)

    def _panels(self) -> Iterator[_Panel]:
        """Yield all strata, some at a time."""
        if self._kept:
            yield from self._kept
            return
        made = []
        for panel in self._made():
            if self._keeps:
                made.append(panel)
            yield panel
        self._kept = made

    def _made(self) -> Iterator[_Panel]:
        """Read the strata and yield them, as many at a time as the memory allows; where they are kept, in PARTS."""
        half = self._strata.memory // 2
        most = -(-self._size // PARTS) if self._keeps else half // (4 * max(self._busy, 1))
        width = max(1, min(most, MOST_STRATA))
        rows, used, listed, entries = np.zeros((self._busy, width), np.float32), 0, [], 0
        for chunk in self._strata.chunks():
            at = 0
            while at < len(chunk.keys):
                stop = min(len(chunk.keys), at + width - used)
                piece = chunk.rows(at, stop)
                listed.append(_fill(piece.tokens, piece.indptr, piece.latents, piece.counts, self._rank, used, rows))
                used, at, entries = used + stop - at, stop, entries + len(listed[-1][0])
                if used == width or entries * LISTED_BYTES > half // 2:
                    yield _panel(rows[:, :used], listed, self._strata.n_latents)
                    rows, used, listed, entries = np.zeros((self._busy, width), np.float32), 0, [], 0
        if used:
            yield _panel(rows[:, :used], listed, self._strata.n_latents)


def _panel(rows: Singles, listed: list[tuple[Ints32, Ints32, Singles]], n: int) -> _Panel:
    latent, stratum, value = (np.concatenate(parts) for parts in zip(*listed, strict=True))
    order = np.argsort(latent, kind="stable")
    start = np.zeros(n + 1, np.int64)
    np.cumsum(np.bincount(latent, minlength=n), out=start[1:])
    return _Panel(rows, start, stratum[order], value[order])


def _blocks(rank: Ints, a: Ints, b: Ints) -> _Blocks:
    """Choose the latents of which so many pairs are asked for that multiplying all of them costs less."""
    n = len(rank)
    both = (rank[a] >= 0) & (rank[b] >= 0)
    upper = np.bincount(b[both], minlength=n)
    lower = np.bincount(a[both], minlength=n)
    rows = np.flatnonzero(lower >= max(DENSE * np.count_nonzero(upper), 1.0))
    row_of, column_of = np.full(n, -1, np.int64), np.full(n, -1, np.int64)
    row_of[rows] = np.arange(len(rows))
    upper = np.bincount(b[both & (row_of[a] >= 0)], minlength=n)
    columns = np.flatnonzero(upper >= max(DENSE * len(rows), 1.0))
    column_of[columns] = np.arange(len(columns))
    first, last = np.searchsorted(a, rows), np.searchsorted(a, rows, side="right")
    return _Blocks(rows, columns, row_of, column_of, first.astype(np.int64), last.astype(np.int64))


@compiled
def _fill(
    tokens: Ints, indptr: Ints, latents: Ints32, counts: Ints32, rank: Ints, used: int, rows: Singles
) -> tuple[Ints32, Ints32, Singles]:
    """Put strata into the columns of `rows` from `used` on; return latent, stratum and value of what is listed."""
    listed = 0
    for latent in latents:
        listed += rank[latent] < 0
    of, stratum, value = np.empty(listed, np.int32), np.empty(listed, np.int32), np.empty(listed, np.float32)
    at = 0
    for d in range(len(tokens)):
        root = 1.0 / np.sqrt(np.float64(tokens[d]))
        for e in range(indptr[d], indptr[d + 1]):
            latent = latents[e]
            if rank[latent] >= 0:
                rows[rank[latent], used + d] = np.float32(counts[e] * root)
            else:
                of[at], stratum[at], value[at] = latent, used + d, np.float32(counts[e] * root)
                at += 1
    return of, stratum, value


@compiled
def _take(
    product: Singles, start: int, final: int, column_of: Ints, place: Ints, last: Ints, b: Ints, found: Floats
) -> None:
    """Add the product of some columns, the first of them number `start` and the last latent `final`, to the pairs.

    `place` int64 [R] says where each row has got to in the pairs, and moves on.
    """
    for r in range(len(place)):
        m = place[r]
        while m < last[r] and b[m] <= final:
            column = column_of[b[m]]
            if column >= start:
                found[m] += product[r, column - start]
            m += 1
        place[r] = m


@compiled
def _add_singly(
    a: Ints,
    b: Ints,
    rank: Ints,
    row_of: Ints,
    column_of: Ints,
    rows: Singles,
    start: Ints,
    stratum: Ints32,
    value: Singles,
    found: Floats,
) -> None:
    """Add the other pairs' products."""
    for m in range(len(a)):
        if row_of[a[m]] >= 0 and column_of[b[m]] >= 0:
            continue
        i, j = a[m], b[m]
        if rank[i] >= 0 and rank[j] >= 0:
            found[m] += _product(rows[rank[i]], rows[rank[j]])
            continue
        total = 0.0
        if rank[i] < 0 and rank[j] < 0:
            k, other = start[i], start[j]
            while k < start[i + 1] and other < start[j + 1]:
                if stratum[k] < stratum[other]:
                    k += 1
                elif stratum[k] > stratum[other]:
                    other += 1
                else:
                    total += np.float64(value[k]) * value[other]
                    k += 1
                    other += 1
        else:
            listed, row = (i, rank[j]) if rank[i] < 0 else (j, rank[i])
            for k in range(start[listed], start[listed + 1]):
                total += np.float64(value[k]) * rows[row, stratum[k]]
        found[m] += total


@compiled
def _product(x: Singles, y: Singles) -> float:
    """Return the inner product; eight sums side by side, so that one addition need not wait for the one before."""
    s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = np.float32(0)
    whole = len(x) // 8 * 8
    for k in range(0, whole, 8):
        s0 += x[k] * y[k]
        s1 += x[k + 1] * y[k + 1]
        s2 += x[k + 2] * y[k + 2]
        s3 += x[k + 3] * y[k + 3]
        s4 += x[k + 4] * y[k + 4]
        s5 += x[k + 5] * y[k + 5]
        s6 += x[k + 6] * y[k + 6]
        s7 += x[k + 7] * y[k + 7]
    for k in range(whole, len(x)):
        s0 += x[k] * y[k]
    return np.float64(s0 + s1 + s2 + s3 + s4 + s5 + s6 + s7)
