"""What counting pairs costs in CPU time: cofire against the closest peer's core, a plain walk, and a bare one.

    .venv/bin/python bench/count.py [--latents 16384] [--l0 64] [--tokens 2000000] [--repeats 5] [--memory 1500]
        [--only peer,ours,...] [--no-rss] [--widest]

All cores, CPU seconds of all threads (time.process_time) for every variant, per token; variants take turns.

    peer     the dense float32 product B^T B of one batch of 4,096 tokens, B dense 0/1, by torch; making B and adding
             the product up are not counted. Its cost does not depend on what fires.
    ours     a counter of --memory MB that takes the rows in shards of 65,536, and all of its blocks with count >= 20.
    walk     twenty plain lines of numba: for each latent, the rest of each of its tokens' lists into one dense int32
             row. Its transposed matrix is ready before the clock starts, and its rows are thrown away.
    bare     the same lists as ours (uint16, in slab order) in the same order without increments or prefetching: the
             last of every eight entries is read until the list ends. The memory traffic of a walk, and its branches.
    fetched  bare, with the lists prefetched as ours are.

`uniform`: every latent fires equally often. `zipf`: a latent's share of the draws is 1 / (rank + 10), in random order.
Peak resident sizes come from a process of their own each, which makes its rows as it goes. The last line is JSON:
peer / ours and so on, the ratios of the medians.
"""

from __future__ import annotations

import argparse
import gc
import json
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numba
import numpy as np
from machine import CACHE, load_of_others, machine, markdown, spread

from cofire.common.arrays import Array
from cofire.common.compiled import prefetch
from cofire.ingest.pairs.choose import pair_counter
from cofire.ingest.pairs.cpu_kernels import AHEAD, SENTINELS, count_firings, pack, place_firings

BATCH = 4096
SHARD = 65_536
MIN_COUNT = 20
WALKED = 500_000


def rows_of(kind: str, n: int, l0: int, tokens: int, seed: int) -> tuple[Array, Array]:
    """Return CSR rows, indptr int64 and indices int32, of `l0` firing latents a token on average."""
    rng = np.random.default_rng(seed)
    weight = np.ones(n) if kind == "uniform" else 1 / (np.arange(n) + 10.0)
    weight = np.random.default_rng(0).permutation(weight / weight.sum())
    # So many draws that l0 different ones are to be expected.
    draws = next(k for k in range(l0, 100 * l0) if -np.expm1(k * np.log1p(-weight)).sum() >= l0)
    at = np.searchsorted(np.cumsum(weight), rng.random((tokens, draws), np.float32))
    drawn = np.sort(np.minimum(at, n - 1).astype(np.int32), axis=1)
    is_new = np.ones(drawn.shape, np.bool_)
    is_new[:, 1:] = drawn[:, 1:] != drawn[:, :-1]
    return np.concatenate([[0], np.cumsum(is_new.sum(axis=1))]), drawn[is_new]


def shards_of(kind: str, n: int, l0: int, tokens: int) -> Iterator[tuple[Array, Array]]:
    """Yield rows shard by shard."""
    for seed, first in enumerate(range(0, tokens, SHARD)):
        yield rows_of(kind, n, l0, min(SHARD, tokens - first), seed)


def joined(shards: list[tuple[Array, Array]], tokens: int) -> tuple[Array, Array]:
    """Return the first `tokens` rows of shards as one."""
    lengths = np.concatenate([np.diff(indptr) for indptr, _ in shards])[:tokens]
    indptr = np.concatenate([[0], np.cumsum(lengths)])
    return indptr, np.concatenate([indices for _, indices in shards])[: indptr[-1]]


@numba.njit(nogil=True)
def walk(starts: Array, token: Array, place: Array, indptr: Array, indices: Array, n: int) -> int:
    """The plain walk: firing v of latent i is entry place[v] of token[v]."""
    row = np.zeros(n, np.int32)
    seen = 0
    for i in range(n):
        row[:] = 0
        for v in range(starts[i], starts[i + 1]):
            for k in range(place[v] + 1, indptr[token[v] + 1]):
                row[indices[k]] += 1
        seen += row[n - 1]
    return seen


@numba.njit(nogil=True)
def bare(starts: Array, positions: Array, lists: Array, n: int, lines: int) -> int:
    """Read every eighth entry of every list's rest; `lines` cache lines are prefetched."""
    seen = 0
    for v in range(starts[0], starts[n]):
        ahead = np.int64(positions[min(v + AHEAD, len(positions) - 1)])
        for line in range(lines):
            prefetch(lists, ahead + 32 * line)
        at = np.uint64(positions[v])
        while True:
            latent = lists[at + np.uint64(SENTINELS - 1)]
            seen += latent
            if latent >= n:
                break
            at += np.uint64(SENTINELS)
    return seen


def walks(indptr: Array, indices: Array, n: int) -> dict[str, Callable[[], object]]:
    """Return the three walks over these rows, with all that they read made before."""
    starts = np.concatenate([[0], np.cumsum(np.bincount(indices, minlength=n))])
    order = np.argsort(indices, kind="stable")
    token = np.repeat(np.arange(len(indptr) - 1, dtype=np.int32), np.diff(indptr))[order]
    lists = np.empty(len(indices) + SENTINELS * len(indptr), np.uint16)
    used = pack(indptr, indices, 0, lists, 0, np.zeros(n, np.int64), n)[1]
    counts = np.zeros(n, np.int64)
    count_firings(lists, 0, used, counts)
    slab_starts = np.concatenate([[0], np.cumsum(counts)])
    positions = np.empty(slab_starts[-1], np.uint32)
    place_firings(lists, 0, used, slab_starts[:-1].copy(), positions)
    return {
        "walk": lambda: walk(starts, token, order, indptr, indices, n),
        "bare": lambda: bare(slab_starts, positions, lists, n, 0),
        "fetched": lambda: bare(slab_starts, positions, lists, n, 3),
    }


def ours(shards: Iterator[tuple[Array, Array]], n: int, memory: int) -> dict[str, float]:
    """Count; return CPU seconds of counting alone and what came of it."""
    folder = Path(tempfile.mkdtemp(dir=CACHE))
    spent = time.process_time
    seconds, kept, co_fired, spilled = 0.0, 0, 0, 0
    with pair_counter(n, memory=memory, work=folder) as counter:
        for indptr, indices in shards:
            begun = spent()
            counter.add(indptr, indices)
            seconds += spent() - begun
        begun = spent()
        for block in counter.blocks(MIN_COUNT):
            kept, co_fired = kept + len(block.latent), co_fired + block.co_fired
        seconds += spent() - begun
        spilled = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    shutil.rmtree(folder)
    return {"seconds": seconds, "kept": kept, "co_fired": co_fired, "spilled": spilled}


def peer(indptr: Array, indices: Array, n: int) -> float:
    """Return CPU seconds a token of the dense product of one batch."""
    import torch

    dense = torch.zeros(BATCH, n)
    dense[np.repeat(np.arange(BATCH), np.diff(indptr[: BATCH + 1])), indices[: indptr[BATCH]]] = 1
    begun = time.process_time()
    product = dense.T @ dense
    seconds = time.process_time() - begun
    assert float(product.diagonal().sum()) == indptr[BATCH]  # noqa: S101  # the product was really made
    return seconds / BATCH


def measure(given: argparse.Namespace) -> dict[str, float]:
    """Let the variants take turns; print the table and return the ratios."""
    n, only = given.latents, given.only.split(",")
    runs: dict[str, list[float]] = {}
    tasks: dict[str, Callable[[], float]] = {}

    def per_token(call: Callable[[], object], tokens: int) -> float:
        begun = time.process_time()
        call()
        return (time.process_time() - begun) / tokens

    def counted(shards: list[tuple[Array, Array]]) -> float:
        return ours(iter(shards), n, given.memory * 10**6)["seconds"] / int(given.tokens)

    for kind in ("uniform", "zipf"):
        shards = list(shards_of(kind, n, given.l0, given.tokens))
        firings = sum(len(indices) for _, indices in shards)
        print(f"{kind}: {firings / given.tokens:.2f} firings a token", flush=True)
        walked = min(WALKED, given.tokens)
        some = joined(shards[: -(-walked // SHARD)], walked)
        if kind == "uniform" and "peer" in only:
            tasks["peer"] = partial(peer, *some, n)
        if "ours" in only:
            tasks[f"ours {kind}"] = partial(counted, shards)
        for name, call in walks(*some, n).items():
            if name in only:
                tasks[f"{name} {kind}"] = partial(per_token, call, walked)
    # Once before, on few rows, so that nothing is compiled on the clock.
    few = rows_of("zipf", n, given.l0, 2000, 0)
    ours(iter([few]), n, given.memory * 10**6)
    for call in walks(*few, n).values():
        call()
    loads = []
    for repeat in range(given.repeats):
        names = list(tasks)
        for name in names[repeat % len(names) :] + names[: repeat % len(names)]:
            gc.collect()
            loads.append(load_of_others(1.0))
            runs.setdefault(name, []).append(1e6 * tasks[name]())
            print(
                f"  {repeat + 1}/{given.repeats} {name} {runs[name][-1]:.2f} us, CPU before {loads[-1]:.0%}", flush=True
            )
    print(f"others' load before the runs: median {statistics.median(loads):.0%}, at most {max(loads):.0%}")
    rows = [[name, spread(runs[name], 2)] for name in tasks]
    print("\n" + markdown(["variant", "CPU us a token: median (min-max)"], rows) + "\n")
    ratios, rows = {}, []
    for name in tasks:
        kind = name.split()[-1]
        if name.startswith("ours") or (f"ours {kind}" not in runs and name != "peer"):
            continue
        for other in [f"ours {kind}"] if name != "peer" else ["ours uniform", "ours zipf", "walk uniform", "walk zipf"]:
            if other in runs:
                pairs = [x / y for x, y in zip(runs[name], runs[other], strict=True)]
                ratios[f"{name}/{other}"] = statistics.median(runs[name]) / statistics.median(runs[other])
                rows.append([f"{name} / {other}", f"{ratios[f'{name}/{other}']:.2f}", spread(pairs, 2)])
    print(markdown(["ratio of CPU time", "of the medians", "turn by turn"], rows) + "\n")
    return ratios


def resident(kind: str, n: int, l0: int, tokens: int, memory: int) -> None:
    """Count in a process of its own and print what it took."""
    words = ["--child", kind, "--latents", n, "--l0", l0, "--tokens", tokens, "--memory", memory]
    begun = time.monotonic()
    done = subprocess.run(
        [sys.executable, __file__, *[str(word) for word in words]], check=True, capture_output=True, text=True
    )
    said = json.loads(done.stdout)
    parts = [
        f"N {n:,}, {tokens:,} tokens {kind}, memory {memory:,} MB: peak RSS {said['rss'] / 1e9:.2f} GB",
        f"counting {1e6 * said['seconds'] / tokens:.2f} CPU us a token",
        f"spilled {said['spilled'] / 1e9:.2f} GB",
        f"{said['co_fired']:,} pairs co-fired, {said['kept']:,} of count >= {MIN_COUNT}",
        f"{time.monotonic() - begun:.0f} s with making the rows",
    ]
    print(", ".join(parts), flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="What counting pairs costs in CPU time.")
    parser.add_argument("--latents", type=int, default=16_384)
    parser.add_argument("--l0", type=int, default=64)
    parser.add_argument("--tokens", type=int, default=2_000_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--memory", type=int, default=1500, help="MB")
    parser.add_argument("--only", default="peer,ours,walk,bare,fetched", help="variants, separated by commas")
    parser.add_argument("--no-rss", action="store_true", help="leave the peak resident sizes out")
    parser.add_argument("--widest", action="store_true", help="only N = 1,048,576 with 10 M tokens")
    parser.add_argument("--child", choices=["uniform", "zipf"], help=argparse.SUPPRESS)
    given = parser.parse_args()
    CACHE.mkdir(parents=True, exist_ok=True)
    if given.child:
        shards = shards_of(given.child, given.latents, given.l0, given.tokens)
        said = ours(shards, given.latents, given.memory * 10**6)
        print(json.dumps(said | {"rss": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}))
        return
    print(machine(), flush=True)
    if given.widest:
        resident("zipf", 1_048_576, given.l0, 10_000_000, 8000)
        return
    ratios = measure(given)
    if not given.no_rss:
        resident("uniform", 16_384, given.l0, 3_000_000, 1500)
        resident("zipf", 131_072, given.l0, 2_000_000, 3000)
        resident("zipf", 131_072, given.l0, 700_000, 300)
    print(json.dumps({name: round(ratio, 3) for name, ratio in ratios.items()}))


if __name__ == "__main__":
    main()
