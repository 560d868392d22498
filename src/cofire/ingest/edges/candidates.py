"""The pairs that may become edges, each with its counts and how likely they are by chance.

1. Row blocks of pairs that co-fired often enough come from the counter of all firings; where the noise floor is known,
   their joint clear firings come from the counter of the clear ones.
2. For each way of counting, E and V of the pair given the strata, and p (`significance`).
3. Some two million pairs at a time go to the disk, so that memory does not grow with their number.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from cofire.common.arrays import Ints, Ints32
from cofire.common.files import read_parquet, write_array, write_parquet, write_text
from cofire.common.progress import Progress
from cofire.ingest.edges.expected import ONE, expected_joint
from cofire.ingest.edges.significance import poisson_tail
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
        clear_count: int64 [N], clear firings of each latent; None where these were not counted.
    """

    files: tuple[Path, ...]
    co_fired: int
    clear_count: Ints | None

    def column(self, name: str) -> npt.NDArray[np.generic]:
        """Return one column of all pairs."""
        return np.concatenate([read_parquet(f, columns=[name]).column(0).to_numpy() for f in self.files])


def candidates(count: Callable[[], tuple[Tally, Tally | None]], least: int, work: Path, tell: Progress) -> Candidates:
    """Return the pairs with at least `least` joint firings, taken from `work` where an earlier run made them.

    Args:
        count: returns what was counted of all firings, and of the clear ones or None.
        least: fewest joint firings (all of them).
        work: directory for the files.
        tell: called with (latents whose pairs are done, N).
    """
    done = work / _DONE
    if not done.is_file():
        everything, clear = count()
        n, co_fired, names = len(everything.firing_count), 0, []
        for number, (stop, met, columns) in enumerate(_pieces(everything, clear, least)):
            co_fired += met
            names.append(f"candidates-{number:05d}.parquet")
            write_parquet(work / names[-1], pa.table(_judged(columns, everything, clear)))
            tell(stop, n)
        everything.close()
        if clear is not None:
            write_array(work / _CLEAR, clear.firing_count)
            clear.close()
        write_text(done, json.dumps({"files": names, "co_fired": co_fired}))
    found = json.loads(done.read_text(encoding="utf-8"))
    clear_count = np.load(work / _CLEAR) if (work / _CLEAR).is_file() else None
    return Candidates(tuple(work / name for name in found["files"]), int(found["co_fired"]), clear_count)


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
