"""The CUDA path: its kernels equal brute force, here in Triton's interpreter and, where there is one, on a GPU.

The interpreter must be chosen before the kernels are imported, so the checks run in a process of their own: this file,
run as a script, does them all and prints one JSON line each. What needs no kernel run is tested directly.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cofire.errors import InputError
from cofire.ingest.latents.bins import BINS
from cofire.ingest.latents.histograms_cuda import AlignedHistograms, FineHistograms
from cofire.ingest.pairs.blocks import SavedPairs
from cofire.ingest.pairs.choose import load_pairs, pair_counter
from cofire.ingest.pairs.counter import PairCounter
from plain_bins import aligned_bins, fine_bins
from repository import ROOT

Rows = tuple[np.ndarray, np.ndarray]
on_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="skipped: no CUDA device")


def csr(fires: np.ndarray) -> Rows:
    """Rows of a dense bool [T, N] as indptr and indices."""
    return np.concatenate([[0], np.cumsum(fires.sum(1))]).astype(np.int64), np.nonzero(fires)[1].astype(np.int32)


def brute_force(fires: np.ndarray) -> np.ndarray:
    return np.triu(fires.T.astype(np.int64) @ fires.astype(np.int64), 1)


def table(counter: PairCounter, min_count: int = 1) -> np.ndarray:
    """All pairs as a dense [N, N]; the blocks must follow one another and their columns ascend."""
    n = counter.n_latents
    found = np.zeros((n, n), np.int64)
    at = 0
    for block in counter.blocks(min_count):
        assert block.start == at < block.stop
        assert (block.indptr.dtype, block.latent.dtype, block.count.dtype) == (np.int64, np.int32, np.int64)
        row = np.repeat(np.arange(block.start, block.stop), np.diff(block.indptr))
        assert (np.diff(row * n + block.latent) > 0).all()
        assert (block.latent > row).all()
        assert (block.count >= min_count).all()
        assert block.co_fired >= len(block.latent)
        if min_count == 1:
            assert block.co_fired == len(block.latent)
        found[row, block.latent] = block.count
        at = block.stop
    assert at == n
    return found


@contextmanager
def small_sizes(visits: int, macs_per_addition: float) -> Iterator[None]:
    """Set the sizes of the kernels small, so that tiny inputs meet every loop."""
    from cofire.ingest.pairs import cuda as pairs_cuda
    from cofire.ingest.pairs import cuda_kernels as pairs_cuda_kernels

    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"LISTS": 4, "LANES": 8, "TOKENS": 4, "TILE": 16, "STEP": 32}.items():
            patch.setattr(pairs_cuda_kernels, name, value)
        patch.setattr(pairs_cuda, "VISITS", visits)
        patch.setattr(pairs_cuda, "MACS_PER_ADDITION", macs_per_addition)
        yield


def cuda_counter(n_latents: int, memory: int, work: Path, device: str) -> Any:
    from cofire.ingest.pairs.cuda import CudaPairCounter

    return CudaPairCounter(n_latents, memory=memory, work=work, device=device)


# Checks: they take the device and a directory


def check_random_captures_equal_brute_force(device: str, work: Path) -> None:
    seen = set()
    for seed in range(15):
        rng = np.random.default_rng(seed)
        n, tokens = int(rng.integers(1, 32)), int(rng.integers(0, 36))
        # From rare to always, one dead.
        fires = rng.random((tokens, n)) < rng.random(n) ** 2 * rng.choice([0.2, 0.7, 1.5])
        fires[:, -1] = False
        truth = brute_force(fires)
        memory = [1, 4_000, 30_000, 10**7, 10**7][seed % 5]
        sizes = small_sizes([8, 64][seed % 2], [0, 20, 1e9][seed % 3])
        with sizes, cuda_counter(n, memory, work, device) as counter:
            for part in np.split(fires, np.sort(rng.integers(0, tokens + 1, 3))):
                counter.add(*csr(part))
            np.testing.assert_array_equal(table(counter), truth)
            np.testing.assert_array_equal(table(counter, 3), np.where(truth >= 3, truth, 0))
            assert counter.tokens == tokens
            seen.add(type(counter._totals).__name__)
            if counter._transposed is not None:
                hot, live = len(counter._transposed._hot), int(fires.any(0).sum())
                seen.add("no hot" if not hot else "all hot" if hot == live else "some hot")
            # It goes on after it was read.
            counter.add(*csr(fires[: tokens // 3]))
            np.testing.assert_array_equal(table(counter), truth + brute_force(fires[: tokens // 3]))
    wanted = {"NoneType", "DeviceTotals", "SpilledTotals", "no hot", "some hot", "all hot"}
    assert seen == wanted, seen


def check_rows_at_both_widths_of_ids(device: str, _: Path) -> None:
    from cofire.ingest.pairs.cuda import Slab, Transposed
    from cofire.ingest.pairs.cuda_totals import packed_start

    for n in (65_535, 65_536, 65_537, 70_000):
        rng = np.random.default_rng(n)
        high = n - 1 - np.arange(40)
        rows = [np.unique(np.r_[rng.choice(high, 12), rng.choice(n, 3)]) for _ in range(30)]
        slab = Slab(n, torch.device(device))
        slab.append(np.cumsum([0, *map(len, rows)]), np.concatenate(rows).astype(np.int32))
        assert slab.lists()[0].dtype == (torch.int16 if n <= 65_536 else torch.int32)
        start = n - 60
        base, end = (int(place) for place in packed_start(np.array([start, n]), n))
        got = Transposed(slab, 2**20).count(start, n, base, end - base).cpu().numpy()
        fires = np.zeros((len(rows), 60), np.int64)
        for token, row in enumerate(rows):
            fires[token, row[row >= start] - start] = 1
        np.testing.assert_array_equal(got, (fires.T @ fires)[np.triu_indices(60, 1)])


def check_the_dense_product_over_several_runs_of_tokens(device: str, _: Path) -> None:
    from cofire.ingest.pairs.cuda import Slab, hot_pairs

    rng = np.random.default_rng(2)
    fires = rng.random((75, 30)) < 0.3
    slab = Slab(30, torch.device(device))
    slab.append(*csr(fires))
    hot = np.sort(rng.choice(30, 20, replace=False))
    with small_sizes(8, 1):
        # 20 latents take two groups of 16; the bytes hold one step of 32 tokens, so there are three runs.
        joint = hot_pairs(slab, hot, 2 * 32 * 32).cpu().numpy()
    assert joint.shape == (32, 32)
    np.testing.assert_array_equal(np.triu(joint, 1)[:20, :20], brute_force(fires[:, hot]))
    assert not np.triu(joint, 1)[:, 20:].any()


def check_counters_of_both_backends_merge(device: str, work: Path) -> None:
    rng = np.random.default_rng(1)
    fires = rng.random((90, 23)) < 0.3
    truth = brute_force(fires)
    for memory in (1, 30_000, 10**7):
        with (
            cuda_counter(23, memory, work, device) as ours,
            pair_counter(23, memory=10**8, work=work) as theirs,
            cuda_counter(23, 10**6, work, device) as loaded,
        ):
            ours.add(*csr(fires[:40]))
            theirs.add(*csr(fires[40:]))
            ours.merge(theirs)
            np.testing.assert_array_equal(table(ours), truth)
            theirs.merge(ours)
            np.testing.assert_array_equal(table(theirs), truth + brute_force(fires[40:]))
            ours.save(work / "a.pairs")
            saved = SavedPairs(work / "a.pairs")
            loaded.absorb(saved.tokens, saved.blocks())
            assert loaded.tokens == ours.tokens == 90
            loaded.add(*csr(fires))
            np.testing.assert_array_equal(table(loaded), 2 * truth)
            # The file is the CPU backend's own.
            with load_pairs(work / "a.pairs", memory=10**7, work=work) as again:
                np.testing.assert_array_equal(table(again), truth)


def check_counts_pass_two_to_the_32(device: str, work: Path) -> None:
    fires = np.ones((3, 5), np.bool_)
    for memory, totals in ((1, "SpilledTotals"), (10**6, "DeviceTotals")):
        with cuda_counter(5, memory, work, device) as counter:
            counter.add(*csr(fires))
            for _ in range(33):
                # Each block is added after it was read; the next one is not yet touched.
                counter.absorb(counter.tokens, list(counter.blocks()))
            assert type(counter._totals).__name__ == totals
            assert counter.tokens == 3 * 2**33
            np.testing.assert_array_equal(table(counter), np.triu(np.full((5, 5), 3 * 2**33), 1))


def check_rows_that_are_not_sound_are_refused_whole(device: str, work: Path) -> None:
    good = (np.array([0, 2, 2, 4]), np.array([0, 3, 1, 2], np.int32))
    bad = [
        (np.array([0, 2, 4]), np.array([0, 1, 3, 2], np.int32)),
        (np.array([0, 2, 4]), np.array([0, 1, 2, 2], np.int32)),
        (np.array([0, 2, 4]), np.array([0, 1, -1, 2], np.int32)),
        (np.array([0, 2, 4]), np.array([0, 1, 2, 4], np.int32)),
        (np.array([0, 2, 5]), np.array([0, 1, 2, 3], np.int32)),
        (np.array([1, 2, 4]), np.array([0, 1, 2, 3], np.int32)),
        (np.array([0, 3, 2, 4]), np.array([0, 1, 2, 3], np.int32)),
        (np.array([0, 5]), np.array([0, 1, 2, 3, 0], np.int32)),
        (np.zeros(0, np.int64), np.zeros(0, np.int32)),
    ]
    # With memory 1 rows come in pieces of one, so a good row stands before the bad one.
    for memory in (1, 10**7):
        for indptr, indices in bad:
            with cuda_counter(4, memory, work, device) as counter:
                counter.add(*good)
                with pytest.raises(ValueError, match=r"ascending latents of 0\.\.3"):
                    counter.add(indptr, indices)
                assert counter.tokens == 3
                expected = np.zeros((4, 4), np.int64)
                expected[0, 3] = expected[1, 2] = 1
                np.testing.assert_array_equal(table(counter), expected)
    with cuda_counter(4, 10**7, work, device) as counter:
        with pytest.raises(ValueError, match="min_count"):
            next(counter.blocks(0))
        counter.close()


def check_histograms_equal_numpy(device: str, _: Path) -> None:
    from cofire.ingest.latents import histograms_cuda

    rng = np.random.default_rng(0)
    n, firings = 50, 20_000
    at = rng.integers(0, n, firings).astype(np.int32)
    values = (rng.gamma(2.0, 1.0, firings) * rng.choice([0.01, 1, 300], firings)).astype(np.float32)
    threshold = rng.gamma(2.0, 0.3, n) * (rng.random(n) < 0.7)
    # Activations at the very edges of bins, and a latent whose activations are all alike.
    values[:5000] = (threshold[at[:5000]] + rng.integers(0, 300, 5000) / 64).astype(np.float32)
    values[at == 3] = np.float32(0.7)
    threshold[3] = np.float32(0.7)
    high = np.full(n, -np.inf)
    np.maximum.at(high, at, values.astype(np.float64))
    mu = threshold + rng.gamma(3.0, 0.5, n)
    mu[[5, 9]] = np.nan
    wide = values.astype(np.float64)
    fine = np.bincount(at.astype(np.int64) * BINS + fine_bins(wide, threshold[at], high[at]), minlength=n * BINS)
    known = np.isfinite(mu[at])
    bins = aligned_bins(wide[known], threshold[at[known]], mu[at[known]])
    aligned = np.bincount(at[known].astype(np.int64) * BINS + bins, minlength=n * BINS)
    given, histograms_cuda.AT_ONCE = histograms_cuda.AT_ONCE, 777
    try:
        for counter, truth in (
            (FineHistograms(threshold, high, device), fine),
            (AlignedHistograms(threshold, mu, device), aligned),
        ):
            for part in np.array_split(np.arange(firings), 7):
                counter.add(at[part], values[part])
            counter.add(at[:0], values[:0])
            assert counter.counts().dtype == np.int64
            np.testing.assert_array_equal(counter.counts(), truth.reshape(n, BINS))
            for wrong in (-1, n):
                with pytest.raises(ValueError, match="outside"):
                    counter.add(np.array([wrong], np.int32), values[:1])
            with pytest.raises(ValueError, match="each firing"):
                counter.add(at[:2], values[:1])
    finally:
        histograms_cuda.AT_ONCE = given


CHECKS: dict[str, Callable[[str, Path], None]] = {
    name: check for name, check in list(globals().items()) if name.startswith("check_")
}


@pytest.fixture(scope="module")
def interpreted() -> dict[str, str]:
    """What each check said in Triton's interpreter, on CPU tensors."""
    done = subprocess.run(
        [sys.executable, "-W", "error", __file__],
        env=os.environ
        | {"TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT / "tests" / "support")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(line) for line in done.stdout.splitlines())


@pytest.mark.parametrize("name", CHECKS)
def test_interpreted(name: str, interpreted: dict[str, str]) -> None:
    assert interpreted[name] == "ok", interpreted[name]


@on_gpu
@pytest.mark.parametrize("name", CHECKS)
def test_on_a_gpu(name: str, tmp_path: Path) -> None:
    CHECKS[name]("cuda", tmp_path)


@on_gpu
@pytest.mark.parametrize(("n", "memory"), [(2_000, 2**30), (16_384, 2**27), (16_384, 2**34), (100_000, 2**31)])
def test_on_a_gpu_at_size(n: int, memory: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(n)
    # Zipf's law: some latents fire on most tokens, most on few.
    drawn = np.sort((n * rng.random((100_000, 64)) ** 3).astype(np.int32), axis=1)
    fresh = np.diff(drawn, axis=1, prepend=-1) > 0
    rows = np.concatenate([[0], np.cumsum(fresh.sum(1))]), drawn[fresh]
    torch.cuda.reset_peak_memory_stats()
    with cuda_counter(n, memory, tmp_path, "cuda") as ours, pair_counter(n, memory=2**31, work=tmp_path) as theirs:
        theirs.add(*rows)
        for first in range(0, 100_000, 9_999):
            part = rows[0][first : first + 10_000]
            ours.add(part - part[0], rows[1][part[0] : part[-1]])
        for name in ("latent", "count"):
            left, right = (np.concatenate([getattr(b, name) for b in c.blocks()]) for c in (ours, theirs))
            np.testing.assert_array_equal(left, right)
        assert torch.cuda.max_memory_allocated() <= memory


# What needs no device


def test_without_a_device_it_says_so(tmp_path: Path) -> None:
    if torch.cuda.is_available():
        assert pair_counter(3, memory=2**20, work=tmp_path, device="cuda").n_latents == 3
    else:
        with pytest.raises(InputError, match="no CUDA device"):
            pair_counter(3, memory=2**20, work=tmp_path, device="cuda")


def test_the_bench_says_that_there_is_no_device() -> None:
    bench = ROOT / "bench" / "count_gpu.py"
    hidden = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run([sys.executable, bench], env=hidden, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "no CUDA device\n")


def test_hot_latents_are_chosen_by_the_counted_cost() -> None:
    from cofire.ingest.pairs import cuda as pairs_cuda
    from cofire.ingest.pairs import cuda_kernels as pairs_cuda_kernels

    tile = pairs_cuda_kernels.TILE
    # Few latents, many of them active: all are hot, but for those that never fire.
    firings = np.full(2000, 64_000)
    firings[7] = 0
    hot = pairs_cuda.choose_hot(firings, 1_000_000, 10_000)
    assert hot.tolist() == [i for i in range(2000) if i != 7]
    # 64 of 65,536: the walk.
    assert len(pairs_cuda.choose_hot(np.full(65_536, 1_000), 1_000_000, 10_000)) == 0
    # A few that nearly always fire among many that rarely do.
    firings = np.full(65_536, 500)
    frequent = np.arange(0, 65_536, 1024)
    firings[frequent] = 500_000
    hot = pairs_cuda.choose_hot(firings, 1_000_000, 10_000)
    assert set(frequent) <= set(hot.tolist())
    assert len(hot) == tile
    # No memory, no tokens, no firings.
    assert len(pairs_cuda.choose_hot(firings, 1_000_000, tile - 1)) == 0
    assert len(pairs_cuda.choose_hot(np.zeros(300, np.int64), 0, 10_000)) == 0
    assert len(pairs_cuda.choose_hot(np.zeros(300, np.int64), 10, 10_000)) == 0


def test_row_blocks_cover_all_latents() -> None:
    from cofire.ingest.pairs.cuda_totals import RowBlocks

    for n in (1, 2, 7, 100):
        for most in (0, 1, 50, 10**6):
            blocks = RowBlocks.cut(n, most)
            assert blocks.bounds[0] == 0
            assert blocks.bounds[-1] == n
            rows = np.diff(blocks.bounds)
            assert (rows > 0).all()
            assert ((np.diff(blocks.bases) <= most) | (rows == 1)).all()
            assert blocks.bases[-1] == n * (n - 1) // 2


def main() -> None:
    torch.set_num_threads(1)
    for name, check in CHECKS.items():
        with tempfile.TemporaryDirectory() as work:
            try:
                check("cpu", Path(work))
                said = "ok"
            except BaseException:  # noqa: BLE001  # the test shows it
                said = traceback.format_exc()
        sys.stdout.write(json.dumps([name, said]) + "\n")


if __name__ == "__main__":
    main()
