"""What `cofire count` costs in CPU time, beside the dense product of the closest peer's core.

    .venv/bin/python bench/count.py [--latents 16384] [--l0 64] [--tokens 1000000] [--repeats 3] [--memory 2000]
        [--threads N]

    peer     the dense float32 product B^T B of one batch of 4,096 tokens, B dense 0/1, by torch; making B and adding
             the product up are not counted. Its cost does not depend on what fires; CPU seconds a token are taken
             times the tokens.
    command  `cofire count CAPTURE` as a user runs it: a process, from its start to its end, with all its children;
             imports, reading, tables and their hashes included.
    kernel   the joint firings alone: a counter of --memory MB that takes the capture's rows, and all of its blocks with
             count >= 20; not reading them.

CPU seconds (user and system) of all threads. The variants take turns; before them the command runs once on a small
capture, so that nothing is compiled on the clock. The capture is that of count_world.py: L0 firing latents a token on
average, half of it in groups that make some 200,000 edges, documents of 500 tokens, token ids, no residuals. Stages are
of one more count, inside a process that watches it, without the stages that a stage calls. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from count_world import capture_of
from ingest_stages import STAGES, Stages
from machine import CACHE, load_of_others, machine, markdown, spread

from cofire.ingest.capture_dir.directory import CaptureDir
from cofire.ingest.capture_dir.table_files import table_infos
from cofire.ingest.count import count
from cofire.ingest.edges.settings import CountSettings
from cofire.ingest.pairs.choose import pair_counter

BATCH = 4096
SMALL = 5_000
# What a capture alone calls is not there to be watched.
COUNTED = [stage for stage in STAGES if not stage[0].startswith(("cofire.ingest.capture.", "cofire.ingest.capturing."))]


def peer(capture: CaptureDir) -> float:
    """Return CPU seconds of the dense product for all tokens of the capture."""
    import torch

    shard = next(capture.shards())
    rows = min(BATCH, shard.rows)
    dense = torch.zeros(BATCH, capture.manifest.n_latents)
    dense[np.repeat(np.arange(rows), np.diff(shard.indptr[: rows + 1])), shard.indices[: shard.indptr[rows]]] = 1
    begun = time.process_time()
    product = dense.T @ dense
    seconds = time.process_time() - begun
    assert float(product.diagonal().sum()) == shard.indptr[rows]  # noqa: S101  # the product was really made
    return seconds / BATCH * capture.manifest.rows


def command(capture: CaptureDir, memory: int, peaks: list[int] | None = None) -> float:
    """Return CPU seconds of the command, its children's included; `peaks` gets the largest resident size, in bytes."""
    shutil.rmtree(capture.tables, ignore_errors=True)
    words = [str(Path(sys.executable).with_name("cofire")), "count", str(capture.path), "--memory", f"{memory}MB"]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(words)} ended with {process.returncode}")
    if peaks is not None:
        peaks.append(used.ru_maxrss * 1024)
    return used.ru_utime + used.ru_stime


def kernel(capture: CaptureDir, memory: int) -> float:
    """Return CPU seconds of counting the pairs alone, in `memory` MB."""
    seconds = 0.0
    with (
        tempfile.TemporaryDirectory(dir=CACHE) as folder,
        pair_counter(capture.manifest.n_latents, memory=memory * 10**6, work=Path(folder)) as counter,
    ):
        for shard in capture.shards():
            begun = time.process_time()
            counter.add(shard.indptr, shard.indices)
            seconds += time.process_time() - begun
        begun = time.process_time()
        for _ in counter.blocks(CountSettings().min_count):
            pass
        seconds += time.process_time() - begun
    return seconds


def watched(place: str, memory: int) -> None:
    """Count, and print the CPU seconds of each stage and in all as JSON."""
    capture = CaptureDir.open(place)
    shutil.rmtree(capture.tables, ignore_errors=True)
    stages = Stages(lambda: None, COUNTED)
    begun = time.process_time()
    with stages.watch():
        count(capture, CountSettings(memory=memory))
    spans = {name: span.cpu for name, span in stages.spans.items()}
    print(json.dumps(spans | {"in all": time.process_time() - begun}))


def measure(capture: CaptureDir, small: CaptureDir, memory: int, repeats: int) -> dict[str, float]:
    """Let the variants take turns; print the tables and return the ratios."""
    peaks: list[int] = []
    tasks: dict[str, Callable[[], float]] = {
        "peer": lambda: peer(capture),
        "command": lambda: command(capture, memory, peaks),
        "kernel": lambda: kernel(capture, memory),
    }
    command(small, memory)
    kernel(small, memory)
    runs: dict[str, list[float]] = {name: [] for name in tasks}
    loads = []
    for repeat in range(repeats):
        names = list(tasks)
        for name in names[repeat % len(names) :] + names[: repeat % len(names)]:
            loads.append(load_of_others(1.0))
            runs[name].append(tasks[name]())
            print(f"  {repeat + 1}/{repeats} {name} {runs[name][-1]:.2f} s, CPU before {loads[-1]:.0%}", flush=True)
    figures = table_infos(capture)["edges"].figures
    print(f"others' load before the runs: median {statistics.median(loads):.0%}, at most {max(loads):.0%}")
    print(f"command: {figures['pairs_kept']:,} edges, largest resident size {max(peaks) / 1e9:.2f} GB\n")
    print(markdown(["variant", "CPU s: median (min-max)"], [[name, spread(runs[name], 2)] for name in tasks]) + "\n")
    ratios, rows = {}, []
    for name in ("command", "kernel"):
        turns = [one / other for one, other in zip(runs["peer"], runs[name], strict=True)]
        ratios[f"peer/{name}"] = statistics.median(runs["peer"]) / statistics.median(runs[name])
        rows.append([f"peer / {name}", f"{ratios[f'peer/{name}']:.1f}", spread(turns)])
    print(markdown(["ratio of CPU time", "of the medians", "turn by turn"], rows) + "\n")
    return ratios


def stages_of(capture: CaptureDir, memory: int) -> None:
    """Print the stages of a count in a process of its own."""
    words = [sys.executable, __file__, "--watched", str(capture.path), "--memory", str(memory)]
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    spans: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    whole = spans.pop("in all")
    spans["the rest"] = whole - sum(spans.values())
    rows = [[name, f"{cpu:.2f}", f"{cpu / whole:.0%}"] for name, cpu in sorted(spans.items(), key=lambda one: -one[1])]
    print(markdown(["stage", "CPU s", "share"], [*rows, ["in all", f"{whole:.2f}", ""]]) + "\n")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="What counting costs in CPU time.")
    parser.add_argument("--latents", type=int, default=16_384)
    parser.add_argument("--l0", type=int, default=64)
    parser.add_argument("--tokens", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--memory", type=int, default=2000, help="MB")
    parser.add_argument("--threads", type=int, help="of the dense product and of BLAS; as many as there are cores")
    parser.add_argument("--watched", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.watched:
        watched(given.watched, given.memory * 10**6)
        return
    if given.threads:
        import torch

        torch.set_num_threads(given.threads)
        os.environ["OMP_NUM_THREADS"] = str(given.threads)
    CACHE.mkdir(parents=True, exist_ok=True)
    print(machine(), flush=True)
    capture = capture_of(CACHE, given.latents, given.l0, given.tokens)
    small = capture_of(CACHE, given.latents, given.l0, SMALL)
    firings = capture.manifest.firings / capture.manifest.rows
    print(f"N {given.latents:,}, {given.tokens:,} tokens, {firings:.2f} firings a token", flush=True)
    ratios = measure(capture, small, given.memory, given.repeats)
    stages_of(capture, given.memory)
    print(json.dumps({name: round(ratio, 2) for name, ratio in ratios.items()}))


if __name__ == "__main__":
    main()
