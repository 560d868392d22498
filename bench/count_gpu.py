"""How fast a GPU counts: cofire's CUDA backend beside the dense bf16 product, on the same lists in the same run.

    .venv/bin/python bench/count_gpu.py [--latents 16384] [--l0 64] [--tokens 10000000] [--memory-gib 32] [--seed 0]
        [--repeats 5] [--dense-tokens 262144]

Needs a CUDA device; without one it says so and exits with 2.

    ours    CudaPairCounter from lists in host memory to all row blocks, with what it copies and checks: tokens / s
    kernels the same from lists that are on the device already to counters there: what `dense` is to be compared with
    dense   B^T B with B in bf16 [batch, N] and float32 sums, the matrix being there already: the product alone is
            timed, which flatters it. 65,536 tokens a product; float32 is exact up to 2^24 firings.
    peer    the same in float32 per 4,096-token batch, as the closest published code does it (tf32 off)

Lists are drawn uniformly (each latent as often) and by Zipf's law (p ~ 1 / (rank + 10)), `l0` draws a token, each
latent kept once. Checked in the run: the sum of all counts against sum l (l - 1) / 2 over the tokens, and on the first
20,000 tokens every count against the CPU backend. Beside it, for `pairs_cuda.MACS_PER_ADDITION`: the additions a
second of the walk, the multiply-adds a second of the int8 product, and their quotient.

Repeats take turns; medians and spread over them, after one run that compiles. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from machine import markdown, spread

from cofire.common.arrays import Ints, Ints32
from cofire.ingest.pairs import cuda as pairs_cuda
from cofire.ingest.pairs import cuda_kernels as pairs_cuda_kernels
from cofire.ingest.pairs.choose import pair_counter
from cofire.ingest.pairs.cuda import CudaPairCounter, Slab
from cofire.ingest.pairs.cuda_totals import RowBlocks

CHECKED, RATED = 20_000, 1_000_000
SHARD = 65_536  # tokens added at once
MOST_HOT = 8_192  # latents of the int8 product that is timed
DENSE_BATCH, PEER_BATCH = 65_536, 4_096
GOAL = 10e6  # tokens a second at 16,384 latents, L0 64


class Lists(NamedTuple):
    """CSR rows: indptr int64 [T + 1], indices int32 [nnz], ascending and unique per row."""

    indptr: Ints
    indices: Ints32

    def first(self, tokens: int) -> Lists:
        """Return the first rows."""
        return Lists(self.indptr[: tokens + 1], self.indices[: self.indptr[min(tokens, len(self.indptr) - 1)]])

    @property
    def pairs(self) -> int:
        """The number of joint firings, sum l (l - 1) / 2."""
        length = np.diff(self.indptr)
        return int((length * (length - 1) // 2).sum())


def draw(tokens: int, latents: int, l0: int, zipf: bool, seed: int, device: str) -> Lists:
    """Draw `l0` latents for each token, with repeats dropped."""
    generator = torch.Generator(device).manual_seed(seed)
    weight = 1 / (torch.arange(latents, device=device, dtype=torch.float64) + 10) if zipf else None
    # Frequent latents stand anywhere in the index.
    place = torch.randperm(latents, generator=generator, device=device)
    lengths, indices = [], []
    for first in range(0, tokens, 262_144):
        rows = min(262_144, tokens - first)
        if weight is None:
            drawn = torch.randint(latents, (rows, l0), generator=generator, device=device)
        else:
            uniform = torch.rand((rows, l0), generator=generator, device=device, dtype=torch.float64)
            drawn = torch.searchsorted(weight.cumsum(0) / weight.sum(), uniform).clamp(max=latents - 1)
        lists = place[drawn].sort(dim=1).values
        fresh = torch.ones_like(lists, dtype=torch.bool)
        fresh[:, 1:] = lists[:, 1:] != lists[:, :-1]
        lengths.append(fresh.sum(1).cpu().numpy())
        indices.append(lists[fresh].to(torch.int32).cpu().numpy())
    return Lists(np.concatenate([[0], np.cumsum(np.concatenate(lengths))]), np.concatenate(indices))


def finish(device: str) -> None:
    """Wait until the device has done all that it was told."""
    if device == "cuda":
        torch.cuda.synchronize()


def clock(work: Callable[[], object], device: str) -> float:
    """Return the seconds that `work` takes, what it left running on the device included."""
    finish(device)
    begun = time.perf_counter()
    work()
    finish(device)
    return time.perf_counter() - begun


def ours_seconds(lists: Lists, latents: int, memory: int, device: str) -> float:
    """Return the seconds a token of a whole count: rows in shards from host memory, then every row block."""
    tokens = len(lists.indptr) - 1

    def count() -> None:
        with CudaPairCounter(latents, memory=memory, work=Path(work), device=device) as counter:
            for first in range(0, tokens, SHARD):
                part = lists.indptr[first : first + SHARD + 1]
                counter.add(part - part[0], lists.indices[part[0] : part[-1]])
            # What the edge rule asks for: pairs that fire together 20 times and more.
            for _ in counter.blocks(min_count=20):
                pass

    with tempfile.TemporaryDirectory() as work:
        return clock(count, device) / tokens


def slab_of(lists: Lists, latents: int, device: str) -> Slab:
    """Return the lists on the device."""
    slab = Slab(latents, torch.device(device))
    tokens = len(lists.indptr) - 1
    for first in range(0, tokens, SHARD):
        part = lists.indptr[first : first + SHARD + 1]
        slab.append(part - part[0], lists.indices[part[0] : part[-1]])
    return slab


def kernel_seconds(slab: Slab, memory: int, device: str) -> float:
    """Return the seconds a token of all counters, made on the device from lists that are there already."""
    blocks = RowBlocks.cut(slab.n_latents, min(memory // 4 // pairs_cuda.BYTES_PER_CELL, pairs_cuda.MOST_CELLS))
    bases = [int(base) for base in blocks.bases]
    bounds = [int(bound) for bound in blocks.bounds]

    def count() -> None:
        ready = pairs_cuda.Transposed(slab, memory // 4)
        for block in range(len(blocks)):
            ready.count(bounds[block], bounds[block + 1], bases[block], bases[block + 1] - bases[block])

    return clock(count, device) / slab.tokens


def check(lists: Lists, latents: int, memory: int, device: str) -> None:
    """Compare with the CPU backend pair by pair on the first tokens, and by the sum on all.

    Raises:
        SystemExit: they differ.
    """
    with tempfile.TemporaryDirectory() as work:
        some, tables = lists.first(CHECKED), []
        for where in (device, "cpu"):
            with pair_counter(latents, memory=memory, work=Path(work), device=where) as counter:
                counter.add(*some)
                parts = list(counter.blocks())
            row = np.concatenate([np.repeat(np.arange(p.start, p.stop), np.diff(p.indptr)) for p in parts])
            tables.append((row, *(np.concatenate([getattr(p, name) for p in parts]) for name in ("latent", "count"))))
        if not all(np.array_equal(ours, theirs) for ours, theirs in zip(*tables, strict=True)):
            raise SystemExit("the counts differ from those of the CPU")
        with pair_counter(latents, memory=memory, work=Path(work), device=device) as counter:
            counter.add(*lists)
            if sum(int(block.count.sum()) for block in counter.blocks()) != lists.pairs:
                raise SystemExit("the sum of all counts is wrong")


def dense_seconds(lists: Lists, latents: int, batch: int, kind: torch.dtype, device: str) -> float:
    """Return the seconds a token of B^T B, the products of the given rows alone."""
    total = torch.zeros((latents, latents), device=device)
    seconds, rows = 0.0, len(lists.indptr) - 1
    for first in range(0, rows - batch + 1, batch):
        begin, end = lists.indptr[first], lists.indptr[first + batch]
        row = np.repeat(np.arange(batch), np.diff(lists.indptr[first : first + batch + 1]))
        matrix = torch.zeros((batch, latents), dtype=kind, device=device)
        latent = torch.from_numpy(lists.indices[begin:end].astype(np.int64)).to(device)
        matrix[torch.from_numpy(row).to(device), latent] = 1

        def product(matrix: torch.Tensor = matrix) -> None:
            if kind == torch.float32:
                total.addmm_(matrix.T, matrix)
            else:
                total.add_(torch.mm(matrix.T, matrix, out_dtype=torch.float32))

        seconds += clock(product, device)
    return seconds / (rows // batch * batch)


def rates(lists: Lists, latents: int, device: str) -> tuple[float, float]:
    """Return additions a second of the walk, and multiply-adds a second of the int8 product with its filling."""
    slab = slab_of(lists, latents, device)
    tile = pairs_cuda_kernels.TILE
    hot = np.arange(min(latents // tile * tile, MOST_HOT))
    dense_bytes = 8 * len(hot) ** 2 + 2**31
    given, pairs_cuda.MACS_PER_ADDITION = pairs_cuda.MACS_PER_ADDITION, 0
    walked = pairs_cuda.Transposed(slab, dense_bytes)
    pairs_cuda.MACS_PER_ADDITION = given
    # As many rows as one block of counters may have.
    blocks = RowBlocks.cut(latents, pairs_cuda.MOST_CELLS)
    walk = partial(walked.count, 0, int(blocks.bounds[1]), 0, int(blocks.bases[1]))
    multiply = partial(pairs_cuda.hot_pairs, slab, hot, dense_bytes)
    additions = int(walk().sum())
    multiply()
    walk_seconds = statistics.median(clock(walk, device) for _ in range(5))
    multiply_seconds = statistics.median(clock(multiply, device) for _ in range(5))
    macs = (len(lists.indptr) - 1) * len(hot) * (len(hot) + tile) / 2
    return additions / walk_seconds, macs / multiply_seconds


def main() -> None:
    """Measure, print a table, and the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--latents", type=int, default=16_384)
    parser.add_argument("--l0", type=int, default=64)
    parser.add_argument("--tokens", type=int, default=10_000_000)
    parser.add_argument("--dense-tokens", type=int, default=262_144)
    parser.add_argument("--memory-gib", type=float, default=32.0)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    if min(asked.latents, asked.l0, asked.repeats, asked.memory_gib) <= 0 or asked.l0 > asked.latents:
        parser.error("--latents, --l0, --repeats and --memory-gib must be positive, and --l0 at most --latents")
    if asked.dense_tokens < DENSE_BATCH or asked.tokens < asked.dense_tokens:
        parser.error(f"--dense-tokens must be at least {DENSE_BATCH}, and at most --tokens")
    if not torch.cuda.is_available():
        print("no CUDA device", file=sys.stderr)
        raise SystemExit(2)
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}, numpy {np.__version__}")
    torch.backends.cuda.matmul.allow_tf32 = False
    memory = int(asked.memory_gib * 2**30)
    figures: dict[str, float] = {}
    rows: list[list[str]] = []
    for name in ("uniform", "zipf"):
        lists = draw(asked.tokens, asked.latents, asked.l0, name == "zipf", asked.seed, "cuda")
        check(lists, asked.latents, memory, "cuda")
        some, slab = lists.first(asked.dense_tokens), slab_of(lists, asked.latents, "cuda")
        ways: dict[str, Callable[[], float]] = {
            "ours": partial(ours_seconds, lists, asked.latents, memory, "cuda"),
            "kernels": partial(kernel_seconds, slab, memory, "cuda"),
            "dense": partial(dense_seconds, some, asked.latents, DENSE_BATCH, torch.bfloat16, "cuda"),
            "peer": partial(dense_seconds, some, asked.latents, PEER_BATCH, torch.float32, "cuda"),
        }
        speeds: dict[str, list[float]] = {way: [] for way in ways}
        for repeat in range(asked.repeats + 1):
            for way, seconds in ways.items():
                speed = 1e-6 / seconds()
                if repeat:
                    speeds[way].append(speed)
        additions, macs = rates(lists.first(RATED), asked.latents, "cuda")
        shown = [spread(speeds[way], 2) for way in ways]
        rated = [f"{additions:.2e}", f"{macs:.2e}", f"{macs / additions:.0f}"]
        rows.append([name, f"{lists.pairs / asked.tokens:.0f}", *shown, *rated])
        middle = {way: statistics.median(values) for way, values in speeds.items()}
        figures |= {
            f"{name}_million_tokens_per_second": middle["ours"],
            f"{name}_million_tokens_per_second_of_kernels": middle["kernels"],
            f"{name}_kernels_over_dense": middle["kernels"] / middle["dense"],
            f"{name}_ours_over_dense": middle["ours"] / middle["dense"],
            f"{name}_ours_over_peer": middle["ours"] / middle["peer"],
            f"{name}_macs_per_addition": macs / additions,
        }
    print(f"\n{asked.latents:,} latents, {asked.l0} draws a token, {asked.tokens:,} tokens; million tokens/s\n")
    head = ["lists", "pairs a token", "ours", "kernels", "bf16", "float32 peer", "adds/s", "MAC/s", "MAC/add"]
    print(markdown(head, rows))
    print(f"\ngoal at 16,384 latents and 64 draws: {GOAL / 1e6:.0f} million tokens a second")
    print(json.dumps({name: round(value, 4) for name, value in figures.items()}))


if __name__ == "__main__":
    main()
