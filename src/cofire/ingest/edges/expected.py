"""What independence within strata (documents) predicts for pairs of latents: E and V of their joint firings.

    1. The strata are read in chunks, each stratum whole (`strata.StratumCounter`), and put in order by latent.
    2. For each chunk and each candidate pair a < b the terms of E and V are added. For one latent a there are two ways:
       walk every stratum where a fires and add to a dense row of the latents after it, or walk the strata of each
       candidate b against a dense row of a's strata. What each costs is known beforehand; the cheaper is taken.

Every term is rounded to a whole number of 2^-30 before it is added. Sums of whole numbers do not depend on their order,
so neither shards, chunks, threads, memory nor the order of merging change E and V by a single unit.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np

from cofire.common.arrays import Bools, Floats, Ints, Ints32
from cofire.common.compiled import compiled
from cofire.common.processes import processors
from cofire.ingest.pairs.strata import StratumCounter

ONE = float(1 << 30)
"""E and V come in units of 1/ONE."""


def expected_joint(strata: StratumCounter, a: Ints, b: Ints, threads: int | None = None) -> tuple[Ints, Ints]:
    """Return E and V of candidate pairs when both latents are independent given the stratum (DESIGN section 6).

    E = sum_d s_a s_b / L_d;  V = sum_d s_a (L_d - s_a) s_b (L_d - s_b) / (L_d^2 (L_d - 1)) over strata of two
    tokens and more: mean and variance of a sum of hypergeometric variables (Mantel and Haenszel 1959).
    In a stratum of one token nothing is free: its joint firing is in E as it is in O, and adds nothing to V. Left out
    of E alone it would count as evidence.

    Precision: each term is computed in float64 (relative 2^-51) and rounded to 2^-30; D strata put E and V off by
    at most D 2^-31 + E 2^-51. Cost: for each latent a, the lesser of the latents after a in a's strata and the strata
    of a's candidates. Memory: that of the counter; 16 bytes a thread for each latent and each stratum of a chunk; 48
    bytes a candidate.

    Args:
        strata: the counts.
        a: int64 [M], a < b.
        b: int64 [M]; pairs sorted by (a, b), each once.
        threads: how many latents are at work at a time; None: as many as the process has cores.

    Returns:
        int64 [M] each, in units of 2^-30.

    Raises:
        ValueError: pairs that are not as said.
        InputError: a stratum has 2^31 tokens and more.
    """
    pair = a * strata.n_latents + b
    if (
        len(a) != len(b)
        or (a < 0).any()
        or (a >= b).any()
        or (b >= strata.n_latents).any()
        or (np.diff(pair) <= 0).any()
    ):
        raise ValueError("candidate pairs have a < b and are sorted")
    expected, variance = np.zeros(len(a), np.int64), np.zeros(len(a), np.int64)
    if not len(a):
        return expected, variance
    # Latents that no pair asks for are left out; `local` numbers the others.
    asked = np.unique(np.concatenate([a, b]))
    local = np.full(strata.n_latents, -1, np.int32)
    local[asked] = np.arange(len(asked), dtype=np.int32)
    partner = local[b]
    first = np.searchsorted(local[a], np.arange(len(asked) + 1)).astype(np.int64)
    workers = threads or processors()
    with ThreadPoolExecutor(workers) as pool:
        for chunk in strata.chunks():
            arrays = _by_latent(chunk.indptr, chunk.latents, chunk.counts, local, len(asked))
            by_row, by_partner = _steps(arrays, first, partner)
            # A step takes some 3 ns either way (measured: 3.0 to 3.4 and 2.8 to 3.7).
            walk = by_row < by_partner
            cost = np.minimum(by_row, by_partner) * (np.diff(first) > 0)
            # Several pieces a thread, so that none waits long for the last.
            pieces = 4 * workers
            cuts = np.searchsorted(np.cumsum(cost), cost.sum() * np.arange(1, pieces) / pieces)
            fixed = (first, partner, walk, chunk.tokens.astype(np.float64), *arrays, expected, variance)
            jobs = [
                pool.submit(_add_terms, low, high, *fixed)
                for low, high in pairwise([0, *cuts.tolist(), len(asked)])
                if low < high
            ]
            for job in jobs:
                job.result()
    return expected, variance


@compiled
def _by_latent(
    indptr: Ints, latents: Ints32, counts: Ints32, local: Ints32, n: int
) -> tuple[Ints, Ints32, Ints32, Ints, Ints32, Ints32, Ints]:
    """Keep the latents with a local number, by that number, in both orders.

    Returns:
        by stratum: indptr int64 [D+1], latents int32 [nnz], counts int32 [nnz]; by latent: start int64 [n+1], stratum
        int32 [nnz], count int32 [nnz], and entry int64 [nnz], the place in the first order.
    """
    kept = 0
    for latent in latents:
        kept += local[latent] >= 0
    by_indptr = np.zeros(len(indptr), np.int64)
    by_latents, by_counts = np.empty(kept, np.int32), np.empty(kept, np.int32)
    start = np.zeros(n + 1, np.int64)
    at = 0
    for d in range(len(indptr) - 1):
        for e in range(indptr[d], indptr[d + 1]):
            latent = local[latents[e]]
            if latent >= 0:
                by_latents[at], by_counts[at] = latent, counts[e]
                start[latent + 1] += 1
                at += 1
        by_indptr[d + 1] = at
    for i in range(n):
        start[i + 1] += start[i]
    put = start[:-1].copy()
    stratum, count, entry = np.empty(kept, np.int32), np.empty(kept, np.int32), np.empty(kept, np.int64)
    for d in range(len(by_indptr) - 1):
        for e in range(by_indptr[d], by_indptr[d + 1]):
            at = put[by_latents[e]]
            put[by_latents[e]] += 1
            stratum[at], count[at], entry[at] = d, by_counts[e], e
    return by_indptr, by_latents, by_counts, start, stratum, count, entry


def _steps(
    arrays: tuple[Ints, Ints32, Ints32, Ints, Ints32, Ints32, Ints], first: Ints, partner: Ints32
) -> tuple[Floats, Floats]:
    """Return for each latent the steps of both ways, float64 [n]: the entries after its own; its partners' entries."""
    indptr, _, _, start, stratum, _, entry = arrays
    fires = np.diff(start)
    after = np.concatenate([[0.0], np.cumsum(indptr[stratum + 1] - entry - 1, dtype=np.float64)])
    partners = np.concatenate([[0.0], np.cumsum(fires[partner], dtype=np.float64)])
    # The first way has a row of n counters to clear besides, the second nothing.
    return np.diff(after[start]) + len(fires), np.diff(partners[first]) + fires


@compiled
def _add_terms(
    low: int,
    high: int,
    first: Ints,
    partner: Ints32,
    walk: Bools,
    tokens: Floats,
    indptr: Ints,
    latents: Ints32,
    counts: Ints32,
    start: Ints,
    stratum: Ints32,
    count: Ints32,
    entry: Ints,
    expected: Ints,
    variance: Ints,
) -> None:
    """Add one chunk's terms to the pairs of the latents low..high-1.

    Both ways compute a term by the same float64 operations, so that they agree to the last bit.
    """
    row = np.zeros((len(start) - 1, 2), np.int64)
    scale = np.zeros((len(tokens), 2), np.float64)
    for a in range(low, high):
        if first[a] == first[a + 1] or start[a] == start[a + 1]:
            continue
        for k in range(start[a], start[a + 1]):
            s, L = float(count[k]), tokens[stratum[k]]
            scale[stratum[k], 0] = s / L * ONE
            scale[stratum[k], 1] = s * (L - s) / (L * L * (L - 1)) * ONE if L > 1 else 0.0
        if walk[a]:
            for k in range(start[a], start[a + 1]):
                d = stratum[k]
                f, g, L = scale[d, 0], scale[d, 1], tokens[d]
                for e in range(entry[k] + 1, indptr[d + 1]):
                    s = float(counts[e])
                    row[latents[e], 0] += np.int64(np.rint(f * s))
                    row[latents[e], 1] += np.int64(np.rint(g * (s * (L - s))))
            for m in range(first[a], first[a + 1]):
                expected[m] += row[partner[m], 0]
                variance[m] += row[partner[m], 1]
            row[:] = 0
        else:
            for m in range(first[a], first[a + 1]):
                e_sum, v_sum = np.int64(0), np.int64(0)
                for k in range(start[partner[m]], start[partner[m] + 1]):
                    d, s = stratum[k], float(count[k])
                    e_sum += np.int64(np.rint(scale[d, 0] * s))
                    v_sum += np.int64(np.rint(scale[d, 1] * (s * (tokens[d] - s))))
                expected[m] += e_sum
                variance[m] += v_sum
        for k in range(start[a], start[a + 1]):
            scale[stratum[k], 0] = 0.0
            scale[stratum[k], 1] = 0.0
