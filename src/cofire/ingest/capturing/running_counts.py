"""Counting while capturing (`cofire capture --no-keep`): running counts in the place of stored activations.

1. Each shard's firings are added to what one look can give: joint firings and firings per document (`tally`), sum,
   spread and largest activation of each latent, and on which tokens it fires.
2. Once a minute, or seldomer where that takes long, and at the end all of it is put into a new folder
   `counts/upto-N`; then the manifest names this folder, and only then the one before is taken away.
3. A run that was killed goes on from the folder that the manifest names; whatever else is in `counts` is removed.

The counts are those of the stored activations to the integer, wherever the run was stopped. What needs a second look at
the activations (see `ABSENT`) cannot be had.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cofire.common.arrays import Floats, Ints
from cofire.common.files import read_arrays, sha256_of, to_disk, write_arrays
from cofire.ingest.capture_dir.layout import CHECKPOINT, COUNTS, PART, SPILL, count_folders
from cofire.ingest.capture_dir.manifest import CountsInfo, Manifest
from cofire.ingest.capture_dir.shard import Shard
from cofire.ingest.latents.passes import FirstPass, SecondPass
from cofire.ingest.latents.top_tokens import TokenCounter
from cofire.ingest.pairs.tally import Tally

ABSENT = (
    "none: captured with --no-keep, which leaves no activations for a second look; so there are no clear counts, "
    "mu, histograms, magnitude correlations, direct edges, conditionals and contexts either"
)
"""What a count of running counts cannot give, as it is stored with the SAE in the place of its noise floor."""


_TALLY, _MOMENTS, _TOKENS = "tally", "moments.npz", "tokens.npz"
_NO_STRATA_OF_TOKENS = np.zeros(0, np.int32)


@dataclass
class Moments:
    """How strongly each latent fires.

    Attributes:
        total: float64 [N], sum of the activations where it fires.
        squares: float64 [N], sum of their squared differences from their mean.
        high: float64 [N], the largest; -inf where it has not fired.
    """

    total: Floats
    squares: Floats
    high: Floats

    @classmethod
    def empty(cls, n_latents: int) -> Moments:
        """Return those of no activation."""
        return cls(np.zeros(n_latents), np.zeros(n_latents), np.full(n_latents, -np.inf))

    def add(self, shard: Shard, before: Ints) -> None:
        """Add a shard.

        The shard's sum of squares is taken about its own mean, then moved to the common one (Chan, Golub and LeVeque
        1979): nothing cancels, however large the mean is beside the spread.

        Args:
            shard: the shard.
            before: int64 [N], how often each latent fired before it.
        """
        at, values = shard.indices, shard.values.astype(np.float64)
        n = len(before)
        here = np.bincount(at, minlength=n)
        total = np.bincount(at, weights=values, minlength=n)
        mean = total / np.maximum(here, 1)
        squares = np.bincount(at, weights=(values - mean[at]) ** 2, minlength=n)
        apart = mean - self.total / np.maximum(before, 1)
        self.squares += squares + apart**2 * (before * (here / np.maximum(before + here, 1)))
        self.total += total
        np.maximum.at(self.high, at, values)


@dataclass
class RunningCounts:
    """What is counted of the shards so far.

    Attributes:
        tally: firings, joint firings, firings per document.
        moments: how strongly each latent fires.
        tokens: how often each latent fires on each token id.
        shards: how many shards were added.
        rows: their tokens.
        firings: their activations.
    """

    tally: Tally
    moments: Moments
    tokens: TokenCounter
    shards: int = 0
    rows: int = 0
    firings: int = 0

    @classmethod
    def empty(cls, n_latents: int, *, memory: int, work: Path) -> RunningCounts:
        """Return counts of no shard; the arguments are those of `load`."""
        tally = Tally.empty(n_latents, memory=_for_pairs(memory), work=work)
        return cls(tally, Moments.empty(n_latents), TokenCounter())

    @classmethod
    def load(cls, folder: Path, info: CountsInfo, *, memory: int, work: Path) -> RunningCounts:
        """Return what `save` wrote.

        Args:
            folder: where it was written.
            info: what the manifest says of it.
            memory: bytes for the joint firings and the firings per document. `tokens` is not bounded.
            work: directory for what does not fit.

        Raises:
            CaptureError: a file is damaged.
        """
        moments = Moments(**read_arrays(folder / _MOMENTS))
        tally = load_tally(folder, memory=_for_pairs(memory), work=work)
        return cls(tally, moments, load_tokens(folder), info.shards, info.rows, info.firings)

    def add(self, shard: Shard) -> None:
        """Add a shard."""
        self.moments.add(shard, self.tally.firing_count)
        self.tally.add(shard, _NO_STRATA_OF_TOKENS)
        self.tokens.add(shard)
        self.shards += 1
        self.rows += shard.rows
        self.firings += len(shard.indices)

    def save(self, folder: Path) -> None:
        """Write it into a new directory, and all of it to the disk."""
        self.tally.save(folder / _TALLY)
        write_arrays(folder / _MOMENTS, vars(self.moments))
        self.tokens.save(folder / _TOKENS)
        for path in (*folder.rglob("*"), folder):
            to_disk(path)

    def close(self) -> None:
        """Give up the memory and the spilled files."""
        self.tally.close()


def load_tally(folder: Path, *, memory: int, work: Path) -> Tally:
    """Return the tally in a folder of running counts; `memory` and `work` as for `Tally.load`."""
    return Tally.load(folder / _TALLY, memory=memory, work=work)


def load_tokens(folder: Path) -> TokenCounter:
    """Return the counts of tokens in a folder of running counts."""
    return TokenCounter.load(folder / _TOKENS)


def load_latents(folder: Path, threshold: Floats) -> tuple[FirstPass, SecondPass]:
    """Return what `first_pass` and `second_pass` (`passes`) would, from a folder of running counts.

    Args:
        folder: the folder.
        threshold: float64 [N], theta.

    Returns:
        Of the second, mu and main_low are NaN and is_mode False: these need the range of the activations before the
        activations are looked at. Of the first, low is NaN: it was not kept.
    """
    firing_count = np.load(folder / _TALLY / "firing_count.npy")
    moments, unknown = Moments(**read_arrays(folder / _MOMENTS)), np.full(len(firing_count), np.nan)
    with np.errstate(invalid="ignore"):
        mean, std = moments.total / firing_count, np.sqrt(moments.squares / firing_count)
    first = FirstPass(threshold, firing_count, mean, low=unknown, high=moments.high)
    return first, SecondPass(std, mu=unknown, main_low=unknown, is_mode=np.zeros(len(std), np.bool_))


def resume_counts(capture: Path, manifest: Manifest, *, memory: int) -> RunningCounts:
    """Return the running counts that a manifest names, or new ones, and remove what a killed run has left.

    Args:
        capture: the capture directory.
        manifest: its manifest.
        memory: see `RunningCounts.load`.

    Raises:
        CaptureError: a file is damaged.
    """
    info = manifest.counts
    for folder in count_folders(capture):
        if info is None or folder != capture / info.folder:
            shutil.rmtree(folder)
    spill = capture / COUNTS / SPILL
    spill.mkdir(parents=True)
    if info is None:
        return RunningCounts.empty(manifest.n_latents, memory=memory, work=spill)
    return RunningCounts.load(capture / info.folder, info, memory=memory, work=spill)


def checkpoint(capture: Path, manifest: Manifest, running: RunningCounts) -> None:
    """Put running counts on the disk and have the manifest name them: killed at any moment, one whole state is there.

    Args:
        capture: the capture directory.
        manifest: its manifest, which says of everything else what holds after the same shards; it is written.
        running: the counts, of more shards than the manifest's.
    """
    part = capture / COUNTS / PART
    running.save(part)
    files = sorted(path for path in part.rglob("*") if path.is_file())
    hashes = {path.relative_to(part).as_posix(): sha256_of(path) for path in files}
    name = f"{COUNTS}/{CHECKPOINT}{running.shards:05d}"
    part.rename(capture / name)
    to_disk(capture / COUNTS)
    before = manifest.counts
    manifest.counts = CountsInfo(
        folder=name, shards=running.shards, rows=running.rows, firings=running.firings, sha256=hashes
    )
    manifest.write(capture)
    if before is not None:
        shutil.rmtree(capture / before.folder)


def _for_pairs(memory: int) -> int:
    """Return the share of the joint firings; a tally takes a quarter of it more for its strata."""
    return memory * 4 // 5
