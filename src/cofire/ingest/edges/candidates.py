"""The pairs that may become edges, each with its counts and how likely they are by chance.

1. Row blocks of pairs that co-fired often enough come from the counter of all firings; where the noise floor is known,
   their joint clear firings come from the counter of the clear ones.
2. Pairs whose effect is too small in every way of counting are dropped, which are most pairs: a lower bound of E tells
   (`least_expected`). Where all pairs are to be shown none is dropped.
3. For each way of counting, E and V of the pair given the strata, and p (`significance`).
4. Some two million pairs at a time go to the disk, so that memory does not grow with their number.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from cofire.common.arrays import Bools, Floats, Ints, Ints32
from cofire.common.files import write_array, write_parquet, write_text
from cofire.common.progress import Progress
from cofire.ingest.edges.expected import ONE, expected_joint
from cofire.ingest.edges.least_expected import LeastExpected
from cofire.ingest.edges.settings import EdgeRule
from cofire.ingest.edges.significance import may_reach, poisson_tail
from cofire.ingest.pairs.blocks import RowReader
from cofire.ingest.pairs.tally import Tally

PAIRS_AT_ONCE = 2_000_000
"""Pairs that are judged together; each takes some 150 bytes until it is on the disk."""

_DONE, _CLEAR = "candidates.json", "clear_count.npy"


@dataclass(frozen=True)
class Candidates:
    """Pairs on the disk, a < b, ordered by (a, b) over all files.

    Columns: a, b int32; count int64, expected, variance, p float64 of all firings; clear_count, clear_expected,
    clear_variance, clear_p of the clear ones where these were counted.

    Attributes:
        files: the Parquet files.
        co_fired: how many pairs co-fired at all.
        frequent: how many of them did so often enough, with clear firings where these were counted; most are no
            candidates, as their effect is too small.
        clear_count: int64 [N], clear firings of each latent; None where these were not counted.
    """

    files: tuple[Path, ...]
    co_fired: int
    frequent: int
    clear_count: Ints | None


def candidates(
    count: Callable[[], tuple[Tally, Tally | None]], rule: EdgeRule, work: Path, tell: Progress
) -> Candidates:
    """Return the pairs that the rule may keep, taken from `work` where an earlier run made them.

    These are the pairs with `min_count` joint firings and more, of all firings or of the clear ones, and with them
    `log_odds` of `min_log_odds` and more, and a few of which that was not certain. Where the rule keeps all edges, they
    are all pairs that co-fired.

    Args:
        count: returns what was counted of all firings, and of the clear ones or None.
        rule: the edge rule.
        work: directory for the files.
        tell: called with (latents whose pairs are done, N).
    """
    done = work / _DONE
    if not done.is_file():
        everything, clear = count()
        ways = [everything] if clear is None else [everything, clear]
        screens = [] if rule.edges == "all" else [_Screen(way, rule) for way in ways]
        names: list[str] = []
        kept: list[dict[str, Ints]] = []
        co_fired = frequent = 0

        def write() -> None:
            names.append(f"candidates-{len(names):05d}.parquet")
            write_parquet(work / names[-1], pa.table(_judged(_joined(kept), everything, clear)))
            kept.clear()

        for stop, met, columns in _pieces(everything, clear, 1 if rule.edges == "all" else rule.min_count):
            co_fired += met
            frequent += int((columns["count" if clear is None else "clear_count"] >= rule.min_count).sum())
            kept.append(_screened(columns, screens))
            if sum(len(part["a"]) for part in kept) >= PAIRS_AT_ONCE:
                write()
            tell(stop, len(everything.firing_count))
        if kept:
            write()
        everything.close()
        if clear is not None:
            write_array(work / _CLEAR, clear.firing_count)
            clear.close()
        write_text(done, json.dumps({"files": names, "co_fired": co_fired, "frequent": frequent}))
    found = json.loads(done.read_text(encoding="utf-8"))
    clear_count = np.load(work / _CLEAR) if (work / _CLEAR).is_file() else None
    files = tuple(work / name for name in found["files"])
    return Candidates(files, int(found["co_fired"]), int(found["frequent"]), clear_count)


class _Screen:
    """Tells which pairs may have joint firings and an effect as the rule asks for, in one way of counting."""

    def __init__(self, counted: Tally, rule: EdgeRule) -> None:
        self._counted, self._rule = counted, rule
        self._least = LeastExpected(counted.strata)

    def passes(self, a: Ints, b: Ints, joint: Ints) -> Bools:
        """Return bool [M]; False is certain, True is not. The pairs are sorted by (a, b)."""
        size = len(a)
        often = np.flatnonzero(joint >= self._rule.min_count)
        a, b, joint = a[often], b[often], joint[often]
        n_a, n_b = self._counted.firing_count[a], self._counted.firing_count[b]
        tokens, bound = self._counted.strata.tokens, self._rule.min_log_odds

        def drop(pairs: Ints, least: Floats) -> Bools:
            return ~may_reach(joint[pairs], least, n_a[pairs], n_b[pairs], tokens, bound)

        passes = np.zeros(size, np.bool_)
        passes[often[self._least.reaching(a, b, drop)[0]]] = True
        return passes


def _screened(columns: dict[str, Ints], screens: list[_Screen]) -> dict[str, Ints]:
    """Return the pairs that may pass in one way of counting at least; all where there is no screen."""
    if not screens:
        return columns
    passes = np.zeros(len(columns["a"]), np.bool_)
    for screen, name in zip(screens, ("count", "clear_count"), strict=False):
        rest = ~passes
        passes[rest] = screen.passes(columns["a"][rest], columns["b"][rest], columns[name][rest])
    return {name: values[passes] for name, values in columns.items()}


def _judged(columns: dict[str, Ints], everything: Tally, clear: Tally | None) -> dict[str, npt.NDArray[np.generic]]:
    a, b = columns["a"], columns["b"]
    made: dict[str, npt.NDArray[np.generic]] = {"a": a.astype(np.int32), "b": b.astype(np.int32)}
    for counted, prefix in ((everything, ""), (clear, "clear_")):
        if counted is None:
            continue
        joint = columns[f"{prefix}count"]
        fixed_e, fixed_v = expected_joint(counted.strata, a, b)
        expected, variance = fixed_e / ONE, fixed_v / ONE
        made |= {
            f"{prefix}count": joint,
            f"{prefix}expected": expected,
            f"{prefix}variance": variance,
            f"{prefix}p": poisson_tail(joint, expected),
        }
    return made


def _pieces(everything: Tally, clear: Tally | None, least: int) -> Iterator[tuple[int, int, dict[str, Ints]]]:
    """Yield (rows done, pairs that co-fired, columns a, b, count, clear_count), some PAIRS_AT_ONCE at a time."""
    clear_rows = None if clear is None else RowReader(clear.pairs.blocks())
    parts: list[dict[str, Ints]] = []
    size = met = stop = 0
    for block in everything.pairs.blocks(least):
        keys = _keys(block.start, block.indptr, block.latent)
        part = {"a": keys >> 32, "b": keys & 0xFFFFFFFF, "count": block.count}
        if clear_rows is not None:
            indptr, latent, count = clear_rows.take(block.start, block.stop)
            part["clear_count"] = _look_up(keys, _keys(block.start, indptr, latent), count)
        parts.append(part)
        met, size, stop = met + block.co_fired, size + len(keys), block.stop
        if size >= PAIRS_AT_ONCE:
            yield stop, met, _joined(parts)
            parts, size, met = [], 0, 0
    if parts:
        yield stop, met, _joined(parts)


def _joined(parts: list[dict[str, Ints]]) -> dict[str, Ints]:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _keys(start: int, indptr: Ints, latent: Ints32) -> Ints:
    """Return a << 32 | b of every pair of the rows from `start` on, ascending."""
    a = np.repeat(np.arange(start, start + len(indptr) - 1, dtype=np.int64), np.diff(indptr))
    return (a << 32) | latent.astype(np.int64)


def _look_up(keys: Ints, known: Ints, counts: Ints) -> Ints:
    """Return the counts of `keys`, 0 where one is not known; `known` is ascending."""
    if not len(known):
        return np.zeros(len(keys), np.int64)
    place = np.minimum(np.searchsorted(known, keys), len(known) - 1)
    return np.where(known[place] == keys, counts[place], 0)
