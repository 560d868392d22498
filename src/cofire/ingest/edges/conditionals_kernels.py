"""Compiled loops of the conditional counts (`conditionals`).

1. `pack` goes over the tokens once. It keeps the firings of the latents in use, each as one int64: the latent, the
   bin of u, whether it lies in its main peak, and the activation in fixed point. A sentinel ends each token.
2. `transpose` lists, for each latent, where its firings lie (a counting sort).
3. `walk` takes the lower latent a of the edges: it marks the partners of a in a dense map, then goes through the rest
   of every token on which a fires (Gustavson 1978, as counting does), and notes the marked partners.
4. What was noted is sorted by edge, a buffer at a time, so that the sums of an edge stay in registers and its
   histograms in the nearest cache.

An edge belongs to one lower latent, so threads that walk different latents never write to the same edge.
"""

from __future__ import annotations

import numpy as np

from cofire.common.arrays import Bools, Floats, Ints, Ints32, Singles
from cofire.common.compiled import compiled, prefetch

BINS = 64
# Bins of u in one unit: 64 bins cover [0, 4).
BINS_A_UNIT = 16.0

# A packed firing, from the lowest bit: 28 of activation, 6 of bin, 1 for the main peak, then the latent. In the
# buffers the number of the edge among those of a stands where the latent was.
VALUE_BITS = 28
BIN_SHIFT = 28
MAIN_SHIFT = 34
LATENT_SHIFT = 35

# What an edge keeps beside its histograms, int64 each. A sum of products is kept as its low 31 bits and the rest.
BOTH_MAIN = 0  # tokens with both in their main peaks
SUM_A, SUM_A_MAIN = 1, 2  # sum of a; of those with b in its main peak
SUM_B, SUM_B_MAIN = 3, 4
AA, BB, AB = 5, 7, 9
MOMENTS = 11
LOW_BITS = 31
# As many products of two values, each below 2^56, have a sum below 2^63.
PRODUCTS = 127

# Firings noted before they are sorted by edge: 2.3 MB with the sorted copy, about a second-level cache.
NOTED = 65_536

# The tokens of a latent lie all over the memory: so many visits ahead the first cache lines of each are asked for.
AHEAD = 8
LINES = 6
ENTRIES_A_LINE = 8


@compiled
def pack(
    indptr: Ints,
    indices: Ints32,
    values: Singles,
    used: Bools,
    high: Floats,
    scale: Floats,
    threshold: Floats,
    mu: Floats,
    main_low: Floats,
    packed: Ints,
    firings: Ints,
    totals: Ints,
    work: Ints,
) -> int:
    """Fill packed [nnz + R]; add to firings, totals and work (the length of the walk of each latent), int64 [N].

    Returns how many entries were filled, or -1 - k where firing k is against the contract: a latent outside 0..N-1 or
    not ascending within its row, or an activation outside (0, high].
    """
    kept = 0
    for row in range(len(indptr) - 1):
        first = kept
        before = -1
        for k in range(indptr[row], indptr[row + 1]):
            latent = indices[k]
            if latent <= before or latent >= len(used):
                return -1 - k
            before = latent
            value = np.float64(values[k])
            if not (value > 0.0 and value <= high[latent]):
                return -1 - k
            if not used[latent]:
                continue
            fixed = np.int64(np.rint(value * scale[latent]))
            # The same operations as histograms.aligned_bins, so that four of its bins are just one of these.
            bin_ = np.int64(0)
            if not np.isnan(mu[latent]):
                u = (value - threshold[latent]) / (mu[latent] - threshold[latent])
                bin_ = np.int64(min(max(u * BINS_A_UNIT, 0.0), BINS - 1.0))
            main = np.int64(value >= main_low[latent])
            firings[latent] += 1
            totals[latent] += fixed
            packed[kept] = (np.int64(latent) << LATENT_SHIFT) | (main << MAIN_SHIFT) | (bin_ << BIN_SHIFT) | fixed
            kept += 1
        for k in range(first, kept):
            work[packed[k] >> LATENT_SHIFT] += kept - k
        packed[kept] = np.int64(len(used)) << LATENT_SHIFT
        kept += 1
    return kept


@compiled
def transpose(packed: Ints, edge_start: Ints, starts: Ints, places: Ints32) -> None:
    """Fill starts [N+1] and places: the firings of latent a are packed[places[starts[a]:starts[a+1]]].

    Only latents that are the lower one of an edge are listed. `starts` comes in as zeros.
    """
    n = len(starts) - 1
    for entry in packed:
        latent = entry >> LATENT_SHIFT
        if latent < n and edge_start[latent + 1] > edge_start[latent]:
            starts[latent + 1] += 1
    for latent in range(n):
        starts[latent + 1] += starts[latent]
    fill = starts[:-1].copy()
    for k in range(len(packed)):
        latent = packed[k] >> LATENT_SHIFT
        if latent < n and edge_start[latent + 1] > edge_start[latent]:
            places[fill[latent]] = k
            fill[latent] += 1


@compiled
def _add_noted(
    noted: Ints,
    visits: Ints32,
    count: int,
    own: Ints,
    by_edge: Ints,
    by_own: Ints,
    ends: Ints32,
    degree: int,
    first: int,
    histograms: Ints32,
    moments: Ints,
) -> None:
    """Add what was noted of one latent, 0..count-1, to its edges first..first+degree-1.

    `noted` holds the partners' firings, `visits` the place in `own` of the latent's firing on the same token; by_edge,
    by_own and ends are room for the sorting.
    """
    value, low = np.int64((1 << VALUE_BITS) - 1), np.int64((1 << LOW_BITS) - 1)
    ends[: degree + 1] = 0
    for k in range(count):
        ends[(noted[k] >> LATENT_SHIFT) + 1] += 1
    for e in range(degree):
        ends[e + 1] += ends[e]
    for k in range(count):
        e = noted[k] >> LATENT_SHIFT
        by_edge[ends[e]] = noted[k]
        by_own[ends[e]] = own[visits[k]]
        ends[e] += 1
    done = 0
    for e in range(degree):
        stop = int(ends[e])
        histogram, moment = histograms[first + e], moments[first + e]
        for at in range(done, stop):
            x, y = by_own[at], by_edge[at]
            histogram[(y >> MAIN_SHIFT) & 1, (x >> BIN_SHIFT) & (BINS - 1)] += 1
            histogram[2 + ((x >> MAIN_SHIFT) & 1), (y >> BIN_SHIFT) & (BINS - 1)] += 1
        while done < stop:
            end = min(stop, done + PRODUCTS)
            both = sum_a = sum_a_main = sum_b = sum_b_main = aa = bb = ab = np.int64(0)
            for at in range(done, end):
                a, b = by_own[at] & value, by_edge[at] & value
                a_main, b_main = (by_own[at] >> MAIN_SHIFT) & 1, (by_edge[at] >> MAIN_SHIFT) & 1
                both += a_main & b_main
                sum_a += a
                sum_b += b
                sum_a_main += a & -b_main
                sum_b_main += b & -a_main
                aa += a * a
                bb += b * b
                ab += a * b
            moment[BOTH_MAIN] += both
            moment[SUM_A] += sum_a
            moment[SUM_A_MAIN] += sum_a_main
            moment[SUM_B] += sum_b
            moment[SUM_B_MAIN] += sum_b_main
            moment[AA] += aa & low
            moment[AA + 1] += aa >> LOW_BITS
            moment[BB] += bb & low
            moment[BB + 1] += bb >> LOW_BITS
            moment[AB] += ab & low
            moment[AB + 1] += ab >> LOW_BITS
            done = end


@compiled
def walk(
    low: int,
    stop: int,
    longest: int,
    edge_start: Ints,
    partner: Ints32,
    packed: Ints,
    starts: Ints,
    places: Ints32,
    histograms: Ints32,
    moments: Ints,
) -> None:
    """Add the firings to histograms [M, 4, 64] and moments [M, 11] of the edges whose lower latent is low..stop-1.

    Rows of the histograms: u of a with b outside, inside its main peak; u of b with a outside, inside its own.
    `longest` is the number of firings of the longest token.
    """
    size = max(NOTED, longest)
    noted, by_edge, own = np.empty(size, np.int64), np.empty(size, np.int64), np.empty(size, np.int64)
    visits, by_own = np.empty(size, np.int32), np.empty(size, np.int64)
    edge_of = np.full(len(edge_start) - 1, -1, np.int32)
    ends = np.empty(len(edge_start) + 1, np.int32)
    shift = np.uint64(LATENT_SHIFT)
    final = starts[-1] - 1
    below_latent = (np.int64(1) << LATENT_SHIFT) - 1
    for a in range(low, stop):
        first, degree = edge_start[a], edge_start[a + 1] - edge_start[a]
        if degree == 0 or starts[a] == starts[a + 1]:
            continue
        for e in range(degree):
            edge_of[partner[first + e]] = e
        # The last packed firing of the furthest partner; the sentinel lies beyond it.
        furthest = (np.int64(partner[first + degree - 1]) << LATENT_SHIFT) | below_latent
        count = visit = 0
        for place in range(starts[a], starts[a + 1]):
            if count + longest > size or visit == size:
                _add_noted(noted, visits, count, own, by_edge, by_own, ends, degree, first, histograms, moments)
                count = visit = 0
            ahead = np.int64(places[min(place + AHEAD, final)])
            for line in range(LINES):
                prefetch(packed, ahead + line * ENTRIES_A_LINE)
            k = places[place]
            own[visit] = packed[k]
            k += 1
            entry = packed[k]
            while entry <= furthest:
                # Written in any case and counted only if marked: a branch that cannot be foretold costs more.
                edge = np.int64(edge_of[np.uint64(entry) >> shift])
                noted[np.uint64(count)] = (edge << LATENT_SHIFT) | (entry & below_latent)
                visits[np.uint64(count)] = visit
                count += int(edge >= 0)
                k += 1
                entry = packed[np.uint64(k)]
            visit += 1
        _add_noted(noted, visits, count, own, by_edge, by_own, ends, degree, first, histograms, moments)
        for e in range(degree):
            edge_of[partner[first + e]] = -1
