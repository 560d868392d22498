"""What ingestion costs beside the model: model alone, model + encode, and all of cofire's ingestion, in one run.

    .venv/bin/python bench/ingest.py [--tokens 60000] [--repeats 3] [--threads N] [--residuals SHARE]
    .venv/bin/python bench/ingest.py --gpu [--widths 16384,65536,131072] [--tokens 1000000]
    .venv/bin/python bench/ingest.py --tiny

The legs take turns. Before the clock of a leg starts, libraries are imported and model and SAEs are loaded, the same
objects in every leg; what that takes is printed beside the legs.

    model     the model to the SAEs' hook points, over the batches that `cofire capture` makes (tokenised before)
    encode    the same, and what every SAE makes of the counted tokens; the results are dropped
    full      `cofire capture`, `count` and `analyze` with the demo's settings, from the text's file to the tables on
              the disk: hashing model and SAEs, tokenising, model, encode, Parquet, counting, clusters

Checked in every repeat: `full` ran the model on just these batches, and kept the rows that `encode` had, less the norm
outliers. Two ratios compare legs; `full/own` compares `full` with the time that its own calls of model and encoder
took, which other work on the machine disturbs less. Stages are spans without the stages inside them; `once` are those
that a longer text does not lengthen. `commands/script` is the three commands as processes, loading and imports
included, over a script that imports and loads the same and does what `encode` does. On a GPU, model and encoder wait
for the device at their ends.

The world is the demo's (SmolLM2, two SAEs of 2,048 latents, Austen). With --gpu: random weights in the shape of
Gemma-2-2b in bfloat16, hook after layer 12, and for each width a random JumpReLU SAE whose thresholds give L0 80; the
text is random words in a BPE of 256,000 tokens. Without a CUDA device that says so and exits with 2; --tiny runs the
same code in a tiny shape on the CPU. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

import numpy as np
from ingest_stages import ON_DEVICE, STAGES, Stages, fingerprint
from ingest_world import GEMMA, TINY, Loading, Span, World, demo_world, random_worlds
from machine import load_of_others, machine, markdown, spread

from cofire.analysis.analyze import analyze
from cofire.common.arrays import Bools, Ints
from cofire.common.quiet import quiet
from cofire.ingest.capture import capture
from cofire.ingest.capture_dir.directory import CaptureDir
from cofire.ingest.capture_dir.table_files import table_infos
from cofire.ingest.capturing.text import open_text
from cofire.ingest.capturing.windows import shards_of, tokenise, windows
from cofire.ingest.count import count
from cofire.pipeline import count_settings, ingest_all, settings_of_analyses
from cofire.settings import load_settings
from cofire.store import open_store

GOAL = 1.10
LEGS = ["model", "encode", "full"]
CLOCKS = ["wall", "cpu"]
RATIOS = [("encode", "model"), ("full", "encode"), ("full", "own")]
SHARD_TOKENS = 16_384  # as in `capture`
WARM_TOKENS = 4_000

CAPTURE, COUNT, ANALYZE = "capture, the rest", "count, the rest", "analyze"


class Legs:
    """The three legs over one world, each timed by the caller."""

    def __init__(self, world: World, folder: Path) -> None:
        self.world = world
        self.folder = folder
        self.batches = list(_batches(world))
        self.rows = sum(int(keep.sum()) for _, keep in self.batches)
        self.hooks = sorted({sae.hook for sae in world.saes})
        self.stages: list[Stages] = []
        self.made: list[CaptureDir] = []

    def wait(self) -> None:
        """Wait for the device."""
        if self.world.model.device == "cuda":
            import torch

            torch.cuda.synchronize()

    def model(self) -> None:
        """Run the model alone."""
        for ids, _ in self.batches:
            self.world.model.run(ids, self.hooks)
        self.wait()

    def encode(self) -> None:
        """Run the model, and encode what is counted."""
        import torch

        for ids, keep in self.batches:
            found = self.world.model.run(ids, self.hooks)
            chosen = torch.from_numpy(keep).to(self.world.model.device)
            with torch.no_grad(), quiet():
                for sae in self.world.saes:
                    sae.encode(sae.inputs(found[sae.hook][chosen]))
        self.wait()

    def full(self) -> None:
        """Capture, count and analyse."""
        world, stages = self.world, Stages(self.wait)
        loaded = {sae.source.spec: sae for sae in world.saes}
        with (
            patch("cofire.ingest.capture.load_model", lambda *_, **__: world.model),
            patch("cofire.ingest.capture.load_sae", lambda source, _: loaded[source.spec]),
            stages.watch(),
        ):
            made = stages.timed(CAPTURE, capture)(
                world.place,
                world.specs,
                world.text,
                self.folder,
                tokens=world.tokens,
                batch=world.batch,
                device=world.model.device,
                dtype=world.dtype,
                shard_tokens=SHARD_TOKENS,
                residual_share=world.residuals,
            )
            for one in made:
                stages.timed(COUNT, count)(one, count_settings(one, load_settings()))
            for one in made:
                stages.timed(ANALYZE, analyze)(one, settings_of_analyses(one, load_settings()))
        self.made = made
        self.stages.append(stages)

    def prepare(self) -> None:
        """Remove what an earlier `full` made."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def check(self) -> None:
        """Compare the last `full` with the other legs."""
        stages = self.stages[-1]
        expected = [fingerprint(ids) for ids, _ in self.batches]
        tries = len(stages.runs) - len(expected)  # of the hook point, before the first batch
        if tries < 0 or stages.runs[tries:] != expected:
            raise SystemExit("capture ran the model on other batches than this bench")
        for one in self.made:
            there = one.manifest.masking.kept + one.manifest.masking.norm_outliers
            if there != self.rows:
                raise SystemExit(f"capture encoded {there} rows of {one.uid}, this bench {self.rows}")


def _batches(world: World) -> Iterator[tuple[Ints, Bools]]:
    """Yield the token ids int64 [B, n] that `capture` gives the model, and which of them are counted, bool [B, n]."""
    metadata = [sae.source.metadata or {} for sae in world.saes]
    lead = int(bool(metadata[0].get("prepend_bos")))
    context = min(int(one["context_size"]) for one in metadata)
    size = world.batch * max(1, round(SHARD_TOKENS / (world.batch * context)))
    documents = tokenise(open_text(world.text, "text").documents(), world.model.tokenise, world.tokens)
    special = np.array(sorted(world.model.special))
    for shard in shards_of(windows((tokens for _, tokens in documents), context - lead), size):
        shard.sort(key=lambda window: -len(window.tokens))
        for start in range(0, len(shard), world.batch):
            chunk = shard[start : start + world.batch]
            ids = np.zeros((len(chunk), lead + len(chunk[0].tokens)), np.int64)
            keep = np.zeros(ids.shape, np.bool_)
            if world.model.bos is not None:
                ids[:, :lead] = world.model.bos
            for row, window in enumerate(chunk):
                ids[row, lead : lead + len(window.tokens)] = window.tokens
                keep[row, lead : lead + len(window.tokens)] = True
            yield ids, keep & ~np.isin(ids, special)


class Run(NamedTuple):
    """One repeat of a leg: how long it took, and the share of all CPUs in use in the two seconds before."""

    span: Span
    before: float


def measure(legs: Legs, repeats: int) -> dict[str, list[Run]]:
    """Run each leg `repeats` times in turn."""
    runs: dict[str, list[Run]] = {name: [] for name in LEGS}
    for repeat in range(repeats):
        at = repeat % len(LEGS)
        for name in LEGS[at:] + LEGS[:at]:
            if name == "full":
                legs.prepare()
            before, begun = load_of_others(), Span.now()
            getattr(legs, name)()
            span = begun.since()
            if name == "full":
                legs.check()
            runs[name].append(Run(span, before))
            print(
                f"  {repeat + 1}/{repeats} {name}: {span.wall:.1f} s, CPU {span.cpu:.1f} s, before {before:.0%}",
                flush=True,
            )
    return runs


def report_legs(legs: Legs, runs: dict[str, list[Run]]) -> dict[str, float]:
    """Print the legs and their ratios; return the ratios of the medians."""
    rows = []
    for name in LEGS:
        wall, cpu = ([getattr(run.span, clock) for run in runs[name]] for clock in CLOCKS)
        rate = legs.rows / statistics.median(wall)
        before = statistics.median(run.before for run in runs[name])
        rows.append([name, spread(wall), spread(cpu), f"{rate:,.0f}", f"{before:.0%}"])
    print("\n" + markdown(["leg", "wall s: median (min-max)", "CPU s", "rows/s", "CPU before"], rows))
    ratios, rows = {}, []
    for clock in CLOCKS:
        spent = {name: [getattr(run.span, clock) for run in runs[name]] for name in LEGS}
        spent["own"] = [sum(getattr(stages.spans[name], clock) for name in ON_DEVICE) for stages in legs.stages]
        for upper, lower in RATIOS:
            pairs = [x / y for x, y in zip(spent[upper], spent[lower], strict=True)]
            if lower == "own":
                ratio = statistics.median(pairs)
            else:
                ratio = statistics.median(spent[upper]) / statistics.median(spent[lower])
            ratios[f"{upper}/{lower} {clock}"] = ratio
            goal = "" if upper != "full" else f"<= {GOAL:.2f}, " + ("met" if ratio <= GOAL else "missed")
            rows.append([f"{upper}/{lower}", clock, f"{ratio:.3f}", f"{min(pairs):.3f}-{max(pairs):.3f}", goal])
    print("\n" + markdown(["ratio", "clock", "of the medians", "of the pairs", "goal"], rows))
    return ratios


def report_stages(legs: Legs) -> dict[str, float]:
    """Print where the time of `full` goes; return `full/own` without what is done once."""
    names = sorted({name for stages in legs.stages for name in stages.spans})
    middle = {
        clock: {name: statistics.median(getattr(stages.spans[name], clock) for stages in legs.stages) for name in names}
        for clock in CLOCKS
    }
    own = {clock: sum(middle[clock][name] for name in ON_DEVICE) for clock in CLOCKS}
    once = {name for _, name, grows in STAGES if not grows}
    rows = [
        [
            name,
            "once" if name in once else "",
            *(f"{middle[clock][name]:.2f}" for clock in CLOCKS),
            f"{middle['cpu'][name] / own['cpu']:.2%}",
            "" if name in once else f"{1e6 * middle['cpu'][name] / legs.rows:.2f}",
        ]
        for name in sorted(names, key=lambda name: -middle["cpu"][name])
    ]
    head = ["stage of full", "", "wall s: median", "CPU s", "of model + encode", "CPU us a row"]
    print("\n" + markdown(head, rows))
    return {
        f"full/own without once {clock}": sum(middle[clock][name] for name in names if name not in once) / own[clock]
        for clock in CLOCKS
    }


def start_up(made: list[CaptureDir], world: World) -> list[tuple[str, Span]]:
    """Return what the three commands take where there is nothing to do: start, imports, looking."""
    cofire = str(Path(sys.executable).with_name("cofire"))
    folders = [str(one.path) for one in made]
    asked = [
        "--model",
        world.place,
        "--text",
        str(world.text),
        "--out",
        folders[0] if len(made) == 1 else str(made[0].path.parent),
    ]
    asked += [part for spec in world.specs for part in ("--sae", spec)]
    asked += ["--tokens", str(world.tokens), "--batch", str(world.batch), "--dtype", world.dtype]
    asked += ["--device", world.model.device]
    if world.residuals is not None:
        asked += ["--residuals", "--residual-share", str(world.residuals)]
    rows = []
    for name, arguments in (("capture", asked), ("count", folders), ("analyze", folders)):
        begun, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run([cofire, name, *arguments], capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"cofire {name} failed: {done.stderr.strip()[-2000:]}")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        rows.append((f"`cofire {name}`, all there already", Span(time.perf_counter() - begun, cpu)))
    return rows


def store(made: list[CaptureDir], folder: Path) -> tuple[str, Span]:
    """Return what loading the tables into a new embedded store takes; CPU without that of the engine's process."""
    begun = Span.now()
    with open_store(folder, create=True) as target:
        ingest_all(made, target, load_settings())
    return "load into a new embedded store", begun.since()


def bench(world: World, folder: Path, loading: Loading, repeats: int, with_store: bool) -> dict[str, float]:
    """Measure one world, print, and return its ratios."""
    warm = Legs(world._replace(tokens=min(world.tokens, WARM_TOKENS)), folder / "warm")
    for name in LEGS:
        getattr(warm, name)()
    legs = Legs(world, folder / "captures")
    shape = f"{world.tokens:,} tokens, {legs.rows:,} counted, {len(legs.batches)} batches of {world.batch}"
    print(f"\n{world.name}: {shape}", flush=True)
    runs = measure(legs, repeats)
    for one in legs.made:
        firings = sum(shard.firings for shard in one.manifest.shards)
        edges = table_infos(one)["edges"].rows
        print(f"  {one.uid}: {one.manifest.n_latents:,} latents, L0 {firings / one.manifest.rows:.1f}, {edges:,} edges")
    ratios = report_legs(legs, runs) | report_stages(legs)
    loaded, started = loading.of(world), start_up(legs.made, world)
    rows = [*loaded, *started, *([store(legs.made, folder / "store")] if with_store else [])]
    table = [[name, f"{span.wall:.2f}", f"{span.cpu:.2f}"] for name, span in rows]
    print("\n" + markdown(["beside the legs", "wall s", "CPU s"], table))
    for clock in CLOCKS:
        least = sum(getattr(span, clock) for _, span in loaded)
        start = sum(getattr(span, clock) for _, span in started)
        full, encode = (
            statistics.median(getattr(run.span, clock) for run in runs[name]) for name in ("full", "encode")
        )
        # Someone's own script of model + encode imports and loads the same, and that is all.
        ratios[f"commands/script {clock}"] = (full + least + start) / (encode + least)
        print(f"three commands / a script that loads and encodes, {clock}: {ratios[f'commands/script {clock}']:.3f}")
    return {f"{world.name} {name}": ratio for name, ratio in ratios.items()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="What ingestion costs beside the model.")
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--gpu", action="store_true", help="the shape of Gemma-2-2b, random weights, on a CUDA device")
    kind.add_argument("--tiny", action="store_true", help="the same code in a tiny shape on the CPU")
    parser.add_argument("--widths", help="of the random SAEs, separated by commas")
    parser.add_argument("--tokens", type=int, help="default 60,000; 1,000,000 with --gpu, 20,000 with --tiny")
    parser.add_argument("--batch", type=int, help="windows in one run of the model; default 8; 16 of random worlds")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, help="of torch; default its own")
    parser.add_argument("--residuals", type=float, metavar="SHARE", help="store residuals of this share of tokens")
    parser.add_argument("--l0", type=int, help="of the random SAEs")
    parser.add_argument("--no-store", action="store_true", help="do not load the tables into a store at the end")
    given = parser.parse_args()
    loading = Loading()
    loading.libraries()
    import torch

    if given.gpu and not torch.cuda.is_available():
        print("no CUDA device", file=sys.stderr)
        raise SystemExit(2)
    if given.threads:
        torch.set_num_threads(given.threads)
    print(machine())
    place = torch.cuda.get_device_name() if given.gpu else f"CPU, {torch.get_num_threads()} threads"
    print(f"torch {torch.__version__} on {place}; residuals of {given.residuals or 'no tokens'}", flush=True)
    ratios: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="cofire-bench-") as scratch:
        folder = Path(scratch)
        widths = [int(width) for width in given.widths.split(",")] if given.widths else None
        if given.gpu or given.tiny:
            shape = TINY if given.tiny else GEMMA
            shape = shape._replace(widths=widths or shape.widths, l0=given.l0 or shape.l0)
            worlds = random_worlds(loading, shape, given.tokens, given.batch, given.residuals, folder)
        else:
            worlds = demo_world(loading, given.tokens, given.batch, given.residuals)
        for number, world in enumerate(worlds):
            ratios |= bench(world, folder / f"{number}", loading, given.repeats, not given.no_store)
    print(json.dumps({name: round(ratio, 3) for name, ratio in ratios.items()}))


if __name__ == "__main__":
    main()
