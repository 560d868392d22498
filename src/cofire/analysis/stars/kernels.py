"""The compiled loops of exclusive stars. All run without the interpreter's lock and check no index: callers do.

A set of a hub's tokens is a row of bits, 64 tokens a word; the token numbers are positions in the hub's own list, which
is in the order of the documents, so that a document is a run of positions.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cofire.common.arrays import Bools, Floats, Ints, Ints32
from cofire.common.compiled import compiled, ones
from cofire.common.hashing import mixed

Words = npt.NDArray[np.uint64]

NO_STAR = -np.inf
"""The statistic of a hub that has no star."""

# What is told of a hub's star, a float64 each.
SPOKES, TOGETHER, EXPECTED, GIVEN_DOCUMENTS, VARIANCE, COVERED, ON_ONE, STATISTIC = range(8)
FACTS = 8

_STEP = np.uint64(0x9E3779B97F4A7C15)  # that of splitmix64, of which `mixed` gives a draw


@compiled
def gather(
    first: Ints,
    token: Ints32,
    document: Ints32,
    hub: Ints,
    hub_first: Ints,
    filled: Ints,
    hub_document: Ints32,
    spoke_first: Ints,
    spoke: Ints,
    joint_first: Ints,
    joint_count: Ints,
    joint: Ints32,
    place: Ints32,
) -> int:
    """Add a shard: the documents of each hub's tokens, and at which of them each candidate fires.

    `first` [N+1] and `token` are the rows of the shard on which each latent fires; `document` [R]. `place` [R] is -1
    everywhere, and is left so. Returns -1, or the number of the hub or candidate that has more firings than there is
    room for.
    """
    for h in range(len(hub)):
        start, stop = first[hub[h]], first[hub[h] + 1]
        if start == stop:
            continue
        base = filled[h]
        if hub_first[h] + base + stop - start > hub_first[h + 1]:
            return h
        for at in range(start, stop):
            row = token[at]
            place[row] = base + at - start
            hub_document[hub_first[h] + base + at - start] = document[row]
        filled[h] = base + stop - start
        for k in range(spoke_first[h], spoke_first[h + 1]):
            to = joint_first[k] + joint_count[k]
            for at in range(first[spoke[k]], first[spoke[k] + 1]):
                where = place[token[at]]
                if where >= 0:
                    if to == joint_first[k + 1]:
                        return h
                    joint[to] = where
                    to += 1
            joint_count[k] = to - joint_first[k]
        for at in range(start, stop):
            place[token[at]] = -1
    return -1


@compiled
def shuffled(joint: Ints32, run: Ints32, run_first: Ints, state: np.uint64, bits: Words) -> None:
    """Set as many bits as `joint` has positions in each run, drawn without replacement (Floyd: Bentley 1987).

    A draw below m is the upper half of a 64-bit product; its probabilities differ by less than m / 2^32.
    """
    at = 0
    while at < len(joint):
        which = run[joint[at]]
        low, high = run_first[which], run_first[which + 1]
        stop = at
        while stop < len(joint) and joint[stop] < high:
            stop += 1
        for last in range(high - low - (stop - at), high - low):
            drawn = ((mixed(state) >> np.uint64(32)) * np.uint64(last + 1)) >> np.uint64(32)
            state += _STEP
            to = low + np.int64(drawn)
            if bits[to >> 6] >> np.uint64(to & 63) & np.uint64(1):
                to = low + last
            bits[to >> 6] |= np.uint64(1) << np.uint64(to & 63)
        at = stop


@compiled
def _both(one: Words, other: Words) -> int:
    """Count the bits set in both rows."""
    total = 0
    for word in range(len(one)):
        total += ones(one[word] & other[word])
    return total


@compiled
def _star(
    n: int,
    run: Ints32,
    run_first: Ints,
    joint_first: Ints,
    joint_count: Ints,
    joint: Ints32,
    apart_first: Ints,
    apart: Ints32,
    shuffle: bool,
    seed: np.uint64,
    least_joint: int,
    least: int,
    allowance: float,
    most: float,
    barred: Bools,
    chosen: Ints,
    rows: Words,
    sums: Floats,
    facts: Floats,
) -> None:
    """Choose the spokes of one hub of n tokens, and tell what they are like.

    Candidates are numbered in the order of their weights; `apart` names those that cannot be spokes together with each.
    `chosen` [m] is filled, `facts` [FACTS] is filled; `rows` [m, words] and `sums` [4, runs] are scratch.
    """
    facts[:] = 0.0
    facts[STATISTIC] = NO_STAR
    barred[:] = False
    spokes = 0
    together, square, total = 0, 0.0, 0.0
    for k in range(len(joint_count)):
        count = joint_count[k]
        if barred[k] or count < least_joint:
            continue
        mine = joint[joint_first[k] : joint_first[k] + count]
        bits = rows[spokes]
        bits[:] = np.uint64(0)
        if shuffle:
            shuffled(mine, run, run_first, mixed(seed + _STEP * np.uint64(k)), bits)
        else:
            for to in mine:
                bits[to >> 6] |= np.uint64(1) << np.uint64(to & 63)
        found, fits = 0, True
        for s in range(spokes):
            both = _both(bits, rows[s])
            if both > count * joint_count[chosen[s]] / n + allowance:
                fits = False
                break
            found += both
        if not fits:
            continue
        chosen[spokes] = k
        spokes += 1
        together += found
        total += count
        square += float(count) * count
        for other in apart[apart_first[k] : apart_first[k + 1]]:
            barred[other] = True
    expected = (total * total - square) / (2 * n)
    facts[SPOKES] = spokes
    facts[TOGETHER] = together
    facts[EXPECTED] = expected
    if spokes < least or together > most * expected:
        return
    # Sums over pairs of products, document by document, from the sums of the spokes and of their squares.
    sums[:] = 0.0
    for s in range(spokes):
        k = chosen[s]
        mine = joint[joint_first[k] : joint_first[k] + joint_count[k]]
        at = 0
        while at < len(mine):
            which = run[mine[at]]
            stop = at
            while stop < len(mine) and mine[stop] < run_first[which + 1]:
                stop += 1
            fires, length = float(stop - at), float(run_first[which + 1] - run_first[which])
            spread = fires * (length - fires) / (length * np.sqrt(length - 1)) if length > 1 else 0.0
            sums[0, which] += fires
            sums[1, which] += fires * fires
            sums[2, which] += spread
            sums[3, which] += spread * spread
            at = stop
    given, variance = 0.0, 0.0
    for which in range(len(run_first) - 1):
        length = run_first[which + 1] - run_first[which]
        given += (sums[0, which] * sums[0, which] - sums[1, which]) / (2 * length)
        variance += (sums[2, which] * sums[2, which] - sums[3, which]) / 2
    facts[GIVEN_DOCUMENTS] = given
    facts[VARIANCE] = variance
    if variance > 0:
        facts[STATISTIC] = (given - together) / np.sqrt(variance)


@compiled
def _covered(rows: Words, spokes: int, facts: Floats) -> None:
    """Count the tokens on which a spoke fires, and those on which exactly one does."""
    some, single = 0, 0
    for word in range(rows.shape[1]):
        once, more = np.uint64(0), np.uint64(0)
        for s in range(spokes):
            more |= once & rows[s, word]
            once |= rows[s, word]
        some += ones(once)
        single += ones(once & ~more)
    facts[COVERED] = some
    facts[ON_ONE] = single


@compiled
def stars(
    start: int,
    stop: int,
    hub: Ints,
    hub_first: Ints,
    hub_document: Ints32,
    spoke_first: Ints,
    spoke: Ints,
    joint_first: Ints,
    joint_count: Ints,
    joint: Ints32,
    near_first: Ints,
    near: Ints32,
    rank: Ints32,
    seed: np.uint64,
    least_joint: int,
    least: int,
    allowance: float,
    most: float,
    is_spoke: Bools,
    facts: Floats,
    null: Floats,
) -> None:
    """Find the stars of hubs start..stop-1, and those of the same hubs with shuffled candidates.

    `near` lists for each latent those that cannot be spokes with it. `rank` [N] is -1 everywhere, and is left so.
    Filled: `is_spoke` [E], `facts` [H, FACTS], and `null` [H, B] with the statistic of each shuffle.
    """
    for h in range(start, stop):
        low, high = spoke_first[h], spoke_first[h + 1]
        m, n = high - low, hub_first[h + 1] - hub_first[h]
        run = np.empty(n, np.int32)
        run_first = np.empty(n + 1, np.int64)
        runs = 0
        for at in range(n):
            if at == 0 or hub_document[hub_first[h] + at] != hub_document[hub_first[h] + at - 1]:
                run_first[runs] = at
                runs += 1
            run[at] = runs - 1
        run_first[runs] = n
        for k in range(low, high):
            rank[spoke[k]] = k - low
        apart_first = np.zeros(m + 1, np.int64)
        for k in range(m):
            apart_first[k + 1] = apart_first[k]
            for at in range(near_first[spoke[low + k]], near_first[spoke[low + k] + 1]):
                if rank[near[at]] > k:
                    apart_first[k + 1] += 1
        apart = np.empty(apart_first[m], np.int32)
        filled = 0
        for k in range(m):
            for at in range(near_first[spoke[low + k]], near_first[spoke[low + k] + 1]):
                if rank[near[at]] > k:
                    apart[filled] = rank[near[at]]
                    filled += 1
        for k in range(low, high):
            rank[spoke[k]] = -1
        barred = np.empty(m, np.bool_)
        chosen = np.empty(m, np.int64)
        rows = np.empty((m, (n + 63) >> 6), np.uint64)
        sums = np.empty((4, runs))
        drawn = np.empty(FACTS)
        own = mixed(seed + _STEP * np.uint64(hub[h]))
        for shuffle in range(-1, null.shape[1]):
            told = facts[h] if shuffle < 0 else drawn
            _star(
                n,
                run,
                run_first[: runs + 1],
                joint_first[low : high + 1],
                joint_count[low:high],
                joint,
                apart_first,
                apart,
                shuffle >= 0,
                mixed(own + _STEP * np.uint64(shuffle + 1)),
                least_joint,
                least,
                allowance,
                most,
                barred,
                chosen,
                rows,
                sums,
                told,
            )
            if shuffle >= 0:
                null[h, shuffle] = told[STATISTIC]
            elif told[STATISTIC] > NO_STAR:
                spokes = int(told[SPOKES])
                _covered(rows, spokes, told)
                for s in range(spokes):
                    is_spoke[low + chosen[s]] = True
