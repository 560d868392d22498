"""Pair counting against brute force: any cut of the rows, any memory, any order of merging, saved and loaded."""

from __future__ import annotations

import random
import zipfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cofire.common.arrays import Array
from cofire.errors import CaptureError
from cofire.ingest.pairs import cpu as pairs_cpu
from cofire.ingest.pairs.blocks import PairBlock, SavedPairs, write_pairs
from cofire.ingest.pairs.choose import load_pairs, pair_counter
from cofire.ingest.pairs.counter import PairCounter
from cofire.ingest.pairs.cpu import CpuPairCounter

# A slab of one row and rows of sparse runs; a triangle and small slabs; one slab.
MEMORIES = [1, 3000, 20_000, 10**8]


def csr(fires: Array) -> tuple[Array, Array]:
    """Rows of a dense bool [T, N] matrix."""
    return np.concatenate([[0], np.cumsum(fires.sum(axis=1))]), np.nonzero(fires)[1].astype(np.int32)


def brute_force(fires: Array) -> Array:
    """The counts, int64 [N, N], above the diagonal."""
    return np.triu(fires.astype(np.int64).T @ fires, 1)


def joined(blocks: Iterable[PairBlock], n: int) -> tuple[Array, int]:
    """The counts of all blocks as a dense matrix, and how many pairs co-fired; the blocks' form is checked."""
    counts, at, co_fired = np.zeros((n, n), np.int64), 0, 0
    for block in blocks:
        assert block.start == at < block.stop
        at = block.stop
        assert (block.indptr.dtype, block.latent.dtype, block.count.dtype) == (np.int64, np.int32, np.int64)
        assert len(block.indptr) == block.stop - block.start + 1
        row = np.repeat(np.arange(block.start, block.stop), np.diff(block.indptr))
        assert (row < block.latent).all()
        assert (np.diff(row * n + block.latent) > 0).all()
        counts[row, block.latent] = block.count
        co_fired += block.co_fired
    assert at == n
    return counts, co_fired


def check(counter: PairCounter, truth: Array) -> None:
    """All pairs, and those of count >= 3."""
    for min_count in (1, 3):
        counts, co_fired = joined(counter.blocks(min_count), len(truth))
        np.testing.assert_array_equal(counts, np.where(truth >= min_count, truth, 0))
        assert co_fired == np.count_nonzero(truth)


def random_fires(rng: np.random.Generator) -> Array:
    """Few or many latents of all frequencies, one that fires always, dead ones, empty rows."""
    n, tokens = int(rng.integers(1, 50)), int(rng.integers(0, 120))
    fires: Array = rng.random((tokens, n)) < rng.choice([0, 0.02, 0.2, 0.7, 1], n)
    fires[rng.random(tokens) < 0.2] = False
    return fires


@given(st.integers(0, 2**32))
@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_any_split_any_memory_and_any_merge_tree_equal_brute_force(tmp_path: Path, seed: int) -> None:
    order = random.Random(seed)  # noqa: S311  # no secret
    rng = np.random.default_rng(seed)
    fires = random_fires(rng)
    n = fires.shape[1]
    cuts = np.sort(rng.integers(0, len(fires) + 1, rng.integers(0, 6)))
    counters: list[PairCounter] = []
    for part in np.split(fires, cuts):
        counter = pair_counter(n, memory=order.choice(MEMORIES), work=tmp_path)
        for piece in np.split(part, np.sort(rng.integers(0, len(part) + 1, 2))):
            counter.add(*csr(piece))
        counters.append(counter)
    while len(counters) > 1:
        order.shuffle(counters)
        left, right = counters.pop(), counters.pop()
        if order.random() < 0.5:
            right.save(tmp_path / "saved")
            right.close()
            right = load_pairs(tmp_path / "saved", memory=order.choice(MEMORIES), work=tmp_path)
        left.merge(right)
        right.close()
        counters.append(left)
    assert counters[0].tokens == len(fires)
    check(counters[0], brute_force(fires))
    counters[0].close()
    (tmp_path / "saved").unlink(missing_ok=True)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("memory", [1, 150_000, 600_000, 10**8])
def test_many_slabs(tmp_path: Path, memory: int) -> None:
    rng = np.random.default_rng(memory)
    fires = rng.random((1200, 150)) < rng.uniform(0, 0.4, 150)
    truth = brute_force(fires)
    with pair_counter(150, memory=memory, work=tmp_path) as counter:
        for part in np.array_split(fires, 3):
            counter.add(*csr(part))
            counter.save(tmp_path / "saved")
        assert isinstance(counter, CpuPairCounter)
        # The memory decides the way; all four ways must be met here.
        way = (counter._is_dense, counter._runs != [], counter._triangle is not None)
        assert (
            way
            == {
                1: (False, True, False),
                150_000: (True, False, True),
                600_000: (True, False, True),
                10**8: (True, False, False),
            }[memory]
        )
        check(counter, truth)
        check(counter, truth)
    with load_pairs(tmp_path / "saved", memory=10**6, work=tmp_path) as counter:
        assert counter.tokens == 1200
        check(counter, truth)
        # A loaded counter goes on.
        counter.add(*csr(fires))
        check(counter, 2 * truth)
    assert [path.name for path in tmp_path.iterdir()] == ["saved"]


def test_equal_counts_are_saved_as_equal_bytes(tmp_path: Path) -> None:
    fires = np.random.default_rng(0).random((200, 30)) < 0.3
    for name in ("a", "b"):
        with pair_counter(30, memory=10**6, work=tmp_path) as counter:
            counter.add(*csr(fires))
            counter.save(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_many_runs_are_joined(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairs_cpu, "RUNS", 3)
    fires = np.random.default_rng(1).random((300, 40)) < 0.5
    with CpuPairCounter(40, 1, tmp_path) as counter:
        counter.add(*csr(fires))
        assert 1 <= len(counter._runs) <= 3
        assert len(list(tmp_path.rglob("run-*"))) == len(counter._runs)
        check(counter, brute_force(fires))


@pytest.mark.parametrize("n", [65_534, 65_535, 65_536, 70_001])
@pytest.mark.parametrize("memory", [10**7, 10**9])
def test_widths_about_the_narrow_ids(tmp_path: Path, n: int, memory: int) -> None:
    rng = np.random.default_rng(n)
    # Rare latents and frequent ones, so that rows are put together in both ways; the last ids are among the latter.
    often = np.concatenate([[0], rng.choice(n, 1500, replace=False), np.arange(n - 3, n)])
    rows = [
        np.unique(np.concatenate([rng.choice(often, 60), rng.integers(0, n, 60), [] if t % 2 else [n - 1]]))
        for t in range(400)
    ]
    indptr, indices = np.cumsum([0, *map(len, rows)]), np.concatenate(rows).astype(np.int32)
    fires = sp.csr_array((np.ones(len(indices), np.int64), indices, indptr), (len(rows), n))
    truth = sp.csr_array(sp.triu(fires.T @ fires, 1))
    truth.sort_indices()
    with pair_counter(n, memory=memory, work=tmp_path) as counter:
        counter.add(fires.indptr.astype(np.int64), fires.indices.astype(np.int32))
        blocks = list(counter.blocks())
        few = list(counter.blocks(5))
    np.testing.assert_array_equal(np.concatenate([block.latent for block in blocks]), truth.indices)
    np.testing.assert_array_equal(np.concatenate([block.count for block in blocks]), truth.data)
    lengths = np.concatenate([np.diff(block.indptr) for block in blocks])
    np.testing.assert_array_equal(np.cumsum(lengths), truth.indptr[1:])
    np.testing.assert_array_equal(np.concatenate([block.latent for block in few]), truth.indices[truth.data >= 5])
    assert sum(block.co_fired for block in few) == truth.nnz


@pytest.mark.parametrize("memory", [1, 3_000_000, 10**9])
def test_more_joint_firings_than_a_narrow_counter_holds(tmp_path: Path, memory: int) -> None:
    # 0 and 2 fire always, 1 on every third token.
    tokens = 150_000 if memory > 1 else 70_000
    fires = np.ones((tokens, 3), np.bool_)
    fires[:, 1] = np.arange(tokens) % 3 == 0
    third = int(fires[:, 1].sum())
    with CpuPairCounter(3, memory, tmp_path) as counter:
        if memory == 1:
            # Few large slabs instead of one a row.
            counter._capacity = 500_000
        counter.add(*csr(fires))
        check(counter, np.array([[0, third, tokens], [0, 0, third], [0, 0, 0]]))
        counter.add(*csr(fires))
        check(counter, 2 * np.array([[0, third, tokens], [0, 0, third], [0, 0, 0]]))


@pytest.mark.parametrize("memory", [1, 60, 10**6])
def test_counts_pass_2_to_the_32(tmp_path: Path, memory: int) -> None:
    # At 60 bytes the triangle of three pairs fits with narrow counters and, past 2^32 tokens, with wide ones.
    fires = np.array([[1, 1, 0], [1, 1, 1], [0, 0, 0]], np.bool_)
    path = tmp_path / "saved"
    with pair_counter(3, memory=memory, work=tmp_path) as counter:
        counter.add(*csr(fires))
        counter.save(path)
    for _ in range(33):
        with (
            load_pairs(path, memory=memory, work=tmp_path) as counter,
            load_pairs(path, memory=memory, work=tmp_path) as other,
        ):
            counter.merge(other)
            counter.save(path)
    with load_pairs(path, memory=memory, work=tmp_path) as counter:
        assert counter.tokens == 3 * 2**33
        check(counter, 2**33 * brute_force(fires))


@pytest.mark.parametrize(("memory", "is_dense"), [(30, False), (60, True)])
def test_counters_are_widened_before_they_run_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, memory: int, is_dense: bool
) -> None:
    monkeypatch.setattr(pairs_cpu, "NARROW_TOKENS", 100)
    fires = np.random.default_rng(2).random((400, 3)) < 0.7
    with CpuPairCounter(3, memory, tmp_path) as counter:
        for part in np.split(fires, 8):
            counter.add(*csr(part))
        assert counter._is_dense is is_dense
        if counter._triangle is not None:
            assert counter._triangle.dtype == np.uint64
        check(counter, brute_force(fires))


def test_nothing_and_next_to_nothing(tmp_path: Path) -> None:
    empty = csr(np.zeros((0, 1), np.bool_))
    with pair_counter(1, memory=1, work=tmp_path) as counter:
        counter.add(*empty)
        check(counter, np.zeros((1, 1), np.int64))
        counter.add(*csr(np.ones((5, 1), np.bool_)))
        assert counter.tokens == 5
        check(counter, np.zeros((1, 1), np.int64))
    with pytest.raises(ValueError, match="a counter needs a latent"):
        pair_counter(0, memory=1, work=tmp_path)


@pytest.mark.parametrize(
    ("indptr", "indices"),
    [
        ([0, 2], [1, 0]),
        ([0, 2], [1, 1]),
        ([0, 2], [1, 4]),
        ([0, 2], [-1, 3]),
        ([0, 3], [1, 2]),
        ([1, 2], [1, 2]),
        ([0, 2, 1, 2], [1, 2]),
        ([0, 9, 2], [1, 2]),
        ([], []),
    ],
)
def test_rows_that_are_none_are_refused(tmp_path: Path, indptr: list[int], indices: list[int]) -> None:
    with pair_counter(4, memory=10**6, work=tmp_path) as counter:
        with pytest.raises(ValueError, match=r"ascending latents of 0\.\.3"):
            counter.add(np.array(indptr, np.int64), np.array(indices, np.int32))
        assert counter.tokens == 0
        check(counter, np.zeros((4, 4), np.int64))


def test_what_does_not_merge(tmp_path: Path) -> None:
    with pair_counter(4, memory=1, work=tmp_path) as four, pair_counter(5, memory=1, work=tmp_path) as five:
        for other in (four, five):
            with pytest.raises(ValueError, match="as many latents"):
                four.merge(other)
        with pytest.raises(ValueError, match="at least 1"):
            next(four.blocks(0))


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "saved"
    fires = np.random.default_rng(3).random((200, 30)) < 0.5
    with pair_counter(30, memory=10**6, work=tmp_path) as counter:
        counter.add(*csr(fires))
        counter.save(path)
    whole = path.read_bytes()
    with zipfile.ZipFile(path) as file:
        at = whole.index(b"latent.npy") + 400
        names = file.namelist()
    assert names[0] == "header.npy"
    flipped = whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]
    for content in (flipped, whole[:-50], b"", b"no zip"):
        path.write_bytes(content)
        with pytest.raises(CaptureError, match="is damaged"):
            load_pairs(path, memory=1, work=tmp_path)
    path.unlink()
    with pytest.raises(CaptureError, match="is damaged"):
        SavedPairs(path)
    assert not list(tmp_path.iterdir())


def test_a_file_that_lacks_rows_or_names_wrong_latents_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "saved"
    one = PairBlock(0, 2, np.array([0, 1, 1]), np.array([1], np.int32), np.array([1]), 1)
    for block, n in ((one, 3), (PairBlock(0, 2, one.indptr, np.array([2], np.int32), one.count, 1), 2)):
        write_pairs(path, n, 1, [block])
        with pytest.raises(CaptureError, match="is damaged"):
            load_pairs(path, memory=10**6, work=tmp_path)
    write_pairs(path, 2, 1, [one])
    with load_pairs(path, memory=10**6, work=tmp_path) as counter:
        check(counter, np.array([[0, 1], [0, 0]]))


def test_the_counter_stays_within_its_memory(tmp_path: Path) -> None:
    # What it holds, by the size of its arrays; the resident size of whole processes is in bench/count.py.
    rng = np.random.default_rng(4)
    n, memory = 2000, 24 * 2**20
    with CpuPairCounter(n, memory, tmp_path) as counter:
        indptr, indices = csr(rng.random((3000, n)) < 0.1)
        for _ in range(4):
            counter.add(indptr, indices)
            held = [counter._lists, counter._triangle, counter._rest, counter._run_pairs]
            # Its positions come and go, at most one for each entry of the slab.
            assert sum(array.nbytes for array in held if array is not None) + 4 * counter._capacity < memory
        assert counter._triangle is not None
        blocks = list(counter.blocks())
        most = max(12 * len(block.latent) for block in blocks)
        assert 3 * most * (counter._threads + 2) <= memory // 8
