"""The compiled loops of `cpu`. All run without the interpreter's lock and check no index: callers do."""

from __future__ import annotations

from typing import Any

import numpy as np

from cofire.common.compiled import compiled, prefetch

# Dummies behind each list. The walk takes so many entries at once and stops when the last of them is a dummy.
SENTINELS = 8
# Firings between asking for a list and reading it: 8 to 24 measured alike, 4 slower.
AHEAD = 12
# Cache lines of a list that are asked for; the hardware reads on by itself in longer ones.
MOST_LINES = 6
LINE = 64
# A row of fewer than one entry in so many counters is put together from the latents that were met, by sorting them,
# which takes some 500 times as long for an entry as scanning does for a counter.
SPARSE = 512
# A uint16 counter holds so many visits.
VISITS = 65_535
# Counters that are passed over at once when none of them is kept.
STRIDE = 64


@compiled
def rows_are_sound(indptr: Any, indices: Any, n: int) -> bool:
    """Whether CSR rows cover `indices` and are ascending, unique and within 0..n-1."""
    if indptr[0] != 0 or indptr[-1] != len(indices):
        return False
    for row in range(len(indptr) - 1):
        if indptr[row + 1] < indptr[row] or indptr[row + 1] > len(indices):
            return False
        last = -1
        for at in range(indptr[row], indptr[row + 1]):
            if indices[at] <= last:
                return False
            last = indices[at]
        if last >= n:
            return False
    return True


@compiled
def pack(indptr: Any, indices: Any, row: int, lists: Any, used: int, rest: Any, n: int) -> tuple[int, int]:
    """Copy rows, from `row` on, into the slab as far as they fit; return the next row and the entries used.

    `rest` [N] grows by the entries behind each firing. A row of fewer than two latents has no pair and is left out.
    """
    while row < len(indptr) - 1:
        start, stop = indptr[row], indptr[row + 1]
        if stop - start > 1:
            if used + stop - start + SENTINELS > len(lists):
                break
            for at in range(start, stop):
                latent = indices[at]
                lists[used] = latent
                rest[latent] += stop - 1 - at
                used += 1
            for _ in range(SENTINELS):
                lists[used] = n
                used += 1
        row += 1
    return row, used


@compiled
def count_firings(lists: Any, first: int, last: int, counts: Any) -> None:
    """Count each latent's firings among entries first..last-1."""
    n = len(counts)
    for at in range(first, last):
        latent = lists[at]
        if latent < n:
            counts[latent] += 1


@compiled
def place_firings(lists: Any, first: int, last: int, places: Any, positions: Any) -> None:
    """Write where each firing's rest of the list begins to positions[places[latent]], which moves on."""
    n = len(places)
    for at in range(first, last):
        latent = lists[at]
        if latent < n:
            positions[places[latent]] = at + 1
            places[latent] += 1


@compiled
def _fetch(lists: Any, positions: Any, visit: int, lines: int) -> None:
    """Prefetch the list that is read AHEAD firings after this one."""
    ahead = np.int64(positions[min(visit + AHEAD, len(positions) - 1)])
    for line in range(lines):
        prefetch(lists, ahead + LINE // lists.itemsize * line)


@compiled
def _walk(row: Any, lists: Any, positions: Any, first: int, last: int, lines: int) -> None:
    """Add 1 to row[j] for every j in the rest of the lists at positions first..last-1; row[N] takes the dummies."""
    dummy = len(row) - 1
    one = np.uint16(1)
    # Unsigned constants: a signed index would be looked at for being negative.
    for visit in range(first, last):
        _fetch(lists, positions, visit, lines)
        at = np.uint64(positions[visit])
        while True:
            row[lists[at]] += one
            row[lists[at + np.uint64(1)]] += one
            row[lists[at + np.uint64(2)]] += one
            row[lists[at + np.uint64(3)]] += one
            row[lists[at + np.uint64(4)]] += one
            row[lists[at + np.uint64(5)]] += one
            row[lists[at + np.uint64(6)]] += one
            latent = lists[at + np.uint64(7)]
            row[latent] += one
            if latent >= dummy:
                break
            at += np.uint64(SENTINELS)


@compiled
def _lines(rest: int, visits: int, size: int) -> int:
    """Cache lines that the rest of a latent's lists takes, with the dummies and wherever it begins."""
    return min(MOST_LINES, 1 + ((rest // visits + SENTINELS) * size + LINE - 1) // LINE)


@compiled
def walk_into_triangle(
    start: int, stop: int, starts: Any, positions: Any, lists: Any, rest: Any, row: Any, triangle: Any
) -> None:
    """Add the slab's counts of latents start..stop-1 to the upper triangle; `row` is uint16 [N+1]."""
    n = len(row) - 1
    for a in range(start, stop):
        if rest[a] == 0:
            continue
        lines = _lines(rest[a], starts[a + 1] - starts[a], lists.itemsize)
        offset = a * (n - 1) - a * (a - 1) // 2
        target = triangle[offset : offset + n - 1 - a]
        counts = row[a + 1 : n]
        for first in range(starts[a], starts[a + 1], VISITS):
            counts[:] = 0
            _walk(row, lists, positions, first, min(first + VISITS, starts[a + 1]), lines)
            for k in range(len(target)):
                target[k] += counts[k]


@compiled
def _keep(counts: Any, b: int, min_count: int, latent: Any, count: Any, kept: int) -> tuple[int, int]:
    """Append the counters >= min_count of latents b, b + 1, ...; return how many are kept now and how many are > 0."""
    co_fired = 0
    for low in range(0, len(counts), STRIDE):
        part = counts[low : low + STRIDE]
        most, above = part[0], 0
        for k in range(len(part)):
            most = max(most, part[k])
            above += part[k] != 0
        co_fired += above
        if most >= min_count:
            for k in range(len(part)):
                if part[k] >= min_count:
                    latent[kept] = b + low + k
                    count[kept] = part[k]
                    kept += 1
    return kept, co_fired


@compiled
def _keep_touched(counts: Any, touched: Any, min_count: int, latent: Any, count: Any, kept: int) -> int:
    """Append the counters >= min_count of the latents in `touched`, in order, and set these counters to 0."""
    touched.sort()
    for b in touched:
        if counts[b] >= min_count:
            latent[kept] = b
            count[kept] = counts[b]
            kept += 1
        counts[b] = 0
    return kept


@compiled
def walk_rows(
    start: int,
    stop: int,
    starts: Any,
    positions: Any,
    lists: Any,
    rest: Any,
    row: Any,
    sums: Any,
    touched: Any,
    min_count: int,
    indptr: Any,
    latent: Any,
    count: Any,
) -> int:
    """Write the slab's pairs of latents start..stop-1 as a block; return how many co-fired.

    `row` uint16 [N+1] and `sums` int64 [N] are zero before and after; `touched` int32 [N] is for use.
    """
    n = len(row) - 1
    kept = co_fired = 0
    for a in range(start, stop):
        first, last = starts[a], starts[a + 1]
        if rest[a] == 0:
            indptr[a - start + 1] = kept
            continue
        lines = _lines(rest[a], last - first, lists.itemsize)
        if rest[a] * SPARSE < n - a and last - first <= VISITS:
            met = 0
            for visit in range(first, last):
                _fetch(lists, positions, visit, lines)
                at = np.int64(positions[visit])
                while lists[at] < n:
                    b = lists[at]
                    if row[b] == 0:
                        touched[met] = b
                        met += 1
                    row[b] += 1
                    at += 1
            kept = _keep_touched(row, touched[:met], min_count, latent, count, kept)
            co_fired += met
        else:
            counts = row[a + 1 : n]
            if last - first <= VISITS:
                _walk(row, lists, positions, first, last, lines)
                kept, above = _keep(counts, a + 1, min_count, latent, count, kept)
                counts[:] = 0
            else:
                total = sums[a + 1 : n]
                for part in range(first, last, VISITS):
                    _walk(row, lists, positions, part, min(part + VISITS, last), lines)
                    for k in range(len(total)):
                        total[k] += counts[k]
                    counts[:] = 0
                kept, above = _keep(total, a + 1, min_count, latent, count, kept)
                total[:] = 0
            co_fired += above
        indptr[a - start + 1] = kept
    return co_fired


@compiled
def triangle_rows(
    start: int, stop: int, n: int, triangle: Any, min_count: int, indptr: Any, latent: Any, count: Any
) -> int:
    """Write the triangle's pairs of latents start..stop-1 as a block; return how many co-fired."""
    kept = co_fired = 0
    for a in range(start, stop):
        offset = a * (n - 1) - a * (a - 1) // 2
        kept, above = _keep(triangle[offset : offset + n - 1 - a], a + 1, min_count, latent, count, kept)
        co_fired += above
        indptr[a - start + 1] = kept
    return co_fired


@compiled
def add_rows(start: int, indptr: Any, latent: Any, count: Any, triangle: Any, n: int) -> None:
    """Add a block, whose first latent is `start`, to the upper triangle."""
    for r in range(len(indptr) - 1):
        a = start + r
        offset = a * (n - 1) - a * (a - 1) // 2 - a - 1
        for k in range(indptr[r], indptr[r + 1]):
            triangle[offset + latent[k]] += np.uint64(count[k])


@compiled
def sum_rows(
    start: int,
    stop: int,
    starts: Any,
    latents: Any,
    counts: Any,
    sums: Any,
    touched: Any,
    min_count: int,
    indptr: Any,
    latent: Any,
    count: Any,
) -> int:
    """Add up the rows of latents start..stop-1 of several runs and write them as a block; return how many co-fired.

    Row r of run k is entries starts[k, r]..starts[k, r + 1]-1 of `latents` and `counts`. `sums` int64 [N] is zero
    before and after; `touched` int32 [N] is for use.
    """
    n = len(sums)
    kept = co_fired = 0
    for a in range(start, stop):
        r = a - start
        met = 0
        for run in range(len(starts)):
            for k in range(starts[run, r], starts[run, r + 1]):
                b = latents[k]
                if sums[b] == 0:
                    touched[met] = b
                    met += 1
                sums[b] += counts[k]
        if met * SPARSE < n - a:
            kept = _keep_touched(sums, touched[:met], min_count, latent, count, kept)
        else:
            kept, _ = _keep(sums[a + 1 :], a + 1, min_count, latent, count, kept)
            sums[a + 1 :] = 0
        co_fired += met
        indptr[r + 1] = kept
    return co_fired
