"""One walk over a capture: who fires with whom, and in which stratum each latent fires how often.

1. Of each shard all firings are taken, or the clear ones (`clear`).
2. Joint firings go to a `PairCounter`, firings per stratum to a `StratumCounter`. A stratum is a document, or what a
   frequent token is in a document.
3. Once a minute, or more rarely where that takes long, all of it is put on the disk. A walk that was killed goes
   on from there.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cofire.common.arrays import Bools, Ints, Ints32
from cofire.common.csr import pick_entries
from cofire.common.files import to_disk, write_array
from cofire.errors import CaptureError
from cofire.ingest.capture_dir.directory import CaptureDir
from cofire.ingest.capture_dir.shard import Shard
from cofire.ingest.noise.clear import ClearFirings
from cofire.ingest.pairs.choose import load_pairs, pair_counter
from cofire.ingest.pairs.counter import PairCounter
from cofire.ingest.pairs.strata import StratumCounter, token_strata

CHECKPOINT_SECONDS = 60.0
CHECKPOINT_SHARE = 0.1
"""Of the time, how much saving may take: what takes long to save is saved more rarely than once a minute."""


@dataclass(frozen=True)
class Tally:
    """What was counted.

    Attributes:
        firing_count: int64 [N].
        pairs: joint firings.
        strata: firings of each latent per stratum.
    """

    firing_count: Ints
    pairs: PairCounter
    strata: StratumCounter

    @classmethod
    def empty(cls, n_latents: int, *, memory: int, work: Path, device: str = "cpu") -> Tally:
        """Return a tally of no tokens.

        Args:
            n_latents: N.
            memory: bytes for the joint firings; the strata may take a quarter more.
            work: directory for what does not fit.
            device: where joint firings are counted, see `pair_counter`.
        """
        return cls(
            np.zeros(n_latents, np.int64),
            pair_counter(n_latents, memory=memory, work=work, device=device),
            StratumCounter(n_latents, work=work, memory=memory // 4),
        )

    @classmethod
    def load(cls, folder: Path, *, memory: int, work: Path, device: str = "cpu") -> Tally:
        """Return what `save` wrote into `folder`; the arguments are those of `empty`.

        Raises:
            CaptureError: a file is damaged.
        """
        try:
            firing_count = np.load(folder / "firing_count.npy")
        except (ValueError, EOFError, OSError) as error:
            raise CaptureError(f"{folder} cannot be read ({error}); remove it and count again") from error
        return cls(
            firing_count,
            load_pairs(folder / "pairs", memory=memory, work=work, device=device),
            StratumCounter.load(folder / "strata", memory=memory // 4, work=work),
        )

    def merge(self, other: Tally) -> None:
        """Add what another tally of the same SAE counted in other text."""
        self.firing_count[:] += other.firing_count
        self.pairs.merge(other.pairs)
        self.strata.merge(other.strata)

    def add(self, shard: Shard, frequent: Ints32, clear: Bools | None = None) -> None:
        """Add a shard's firings.

        Args:
            shard: the shard.
            frequent: int32, ascending: token ids that are strata of their own within a document.
            clear: bool [nnz], which firings count. None counts all.
        """
        indptr, indices = shard.indptr, shard.indices
        if clear is not None:
            indptr, indices = pick_entries(indptr, indices, clear)
        self.firing_count[:] += np.bincount(indices, minlength=len(self.firing_count))
        self.pairs.add(indptr, indices)
        self.strata.add(token_strata(shard.document, shard.token, frequent), indptr, indices)

    def close(self) -> None:
        """Give up the memory and the spilled files."""
        self.pairs.close()
        self.strata.close()

    def save(self, folder: Path) -> None:
        """Write it into a new directory."""
        folder.mkdir(parents=True)
        write_array(folder / "firing_count.npy", self.firing_count)
        self.pairs.save(folder / "pairs")
        self.strata.save(folder / "strata")
        to_disk(folder)


def tally(
    capture: CaptureDir,
    work: Path,
    name: str,
    *,
    memory: int,
    frequent: Ints32,
    clear: ClearFirings | None,
    tell: Callable[[int], None],
    device: str = "cpu",
) -> Tally:
    """Walk over a capture, from where an earlier walk of this name in `work` was stopped.

    Memory: `memory` bytes for the joint firings, a quarter more for the strata, and one shard.

    Args:
        capture: the capture.
        work: directory for what is put on the disk.
        name: of the walk.
        memory: bound in bytes; it changes no count.
        frequent: see `Tally.add`.
        clear: the clear firings, if these alone count.
        tell: called with the number of shards done.
        device: see `Tally.empty`.
    """
    done, counted, _ = begin_walk(work, name, capture.manifest.n_latents, memory=memory, device=device)
    begun, cost = time.monotonic(), 0.0
    for number, shard in enumerate(capture.shards(done), start=done + 1):
        counted.add(shard, frequent, None if clear is None else clear.of(number - 1, len(shard.indices)))
        saving = time.monotonic()
        if saving - begun > max(CHECKPOINT_SECONDS, cost / CHECKPOINT_SHARE):
            save_walk(counted, work, name, number)
            begun = time.monotonic()
            cost = begun - saving
        tell(number)
    return counted


def begin_walk(work: Path, name: str, n_latents: int, *, memory: int, device: str = "cpu") -> tuple[int, Tally, Path]:
    """Return the number of shards the walk of this name has done, its tally, and an empty directory to spill into."""
    scratch = work / f"{name}.scratch"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    done, saved = _last_saved(work, name)
    if saved is None:
        return done, Tally.empty(n_latents, memory=memory, work=scratch, device=device), scratch
    return done, Tally.load(saved, memory=memory, work=scratch, device=device), scratch


def save_walk(counted: Tally, work: Path, name: str, shards: int) -> None:
    """Put a walk that has come through so many shards into `work` in one step, then take the one before away."""
    part = work / f"{name}.part"
    shutil.rmtree(part, ignore_errors=True)
    counted.save(part)
    before = list(_saves(work, name))
    part.rename(work / f"{name}-{shards}")
    to_disk(work)
    for _, old in before:
        shutil.rmtree(old)


def _last_saved(work: Path, name: str) -> tuple[int, Path | None]:
    """Return how far the walk of this name was when it was last saved into `work`, and where it was: 0 and None."""
    return max(_saves(work, name), default=(0, None), key=lambda found: found[0])


def _saves(work: Path, name: str) -> Iterator[tuple[int, Path]]:
    for folder in work.glob(f"{name}-*"):
        yield int(folder.name.rpartition("-")[2]), folder
