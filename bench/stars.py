"""Exclusive stars: what is found of planted ones, and what a capture's stars are beside those of shuffled neighbours.

    python bench/stars.py [--seeds dev|test] [CAPTURE...]

Without captures each planted world (`indirect_world`) goes through `cofire count` and `cofire analyze --only stars`. A
parent whose four children never meet (case companion) is an exclusive star, though the world does not list it; such
hubs are told apart.

Of each counted capture: how many hubs have a star by the rule, and after their neighbours were scattered anew over the
hub's tokens within documents (of one draw: those with p <= .01 and q <= .05 against 20 further shuffles: nominal q
finds none in most draws); the same after each neighbour was shifted round within each document, which keeps its
runs; and how many have spokes that are independent within a factor of 1.5 (docs/stars.md).
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
from pathlib import Path

import numpy as np

from cofire.analysis.activations.full_strength import known_latents
from cofire.analysis.analyze import analyze
from cofire.analysis.stars.clear_shards import ClearShards
from cofire.analysis.stars.from_tables import star_candidates
from cofire.analysis.stars.hubs import gathered
from cofire.analysis.stars.kernels import COVERED, NO_STAR, STATISTIC
from cofire.analysis.stars.pooled import pooled_p
from cofire.analysis.stars.search import search_stars
from cofire.analysis.stars.stars import LEVEL
from cofire.ingest.capture_dir.directory import CaptureDir, find_captures
from cofire.ingest.capture_dir.table_files import read_table, table_infos
from cofire.ingest.count import count
from cofire.schema.tables import EDGES, LATENTS, STARS, TWINS
from cofire.worlds import DEV_SEEDS, TEST_SEEDS, indirect_world, write_capture

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "support"))

from star_cases import independent, scattered, shifted

DRAWS = 3


def cpu() -> float:
    """Return the CPU seconds of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_utime


def planted(seed: int) -> None:
    """Print what is found in one planted world."""
    world = indirect_world(seed)
    with tempfile.TemporaryDirectory() as scratch:
        capture = write_capture(world, Path(scratch) / "capture", sae_id=f"w{seed}")
        count(capture)
        analyze(capture, only=("stars",))
        rows, figures = read_table(capture, STARS).to_pylist(), table_infos(capture)["stars"].figures
    sought = {star.hub: star for star in world.stars if star.kind == "exclusive"}
    parents = {case.members[0] for case in world.cases if case.name.endswith("companion") and len(case.members) == 9}
    case_of = {latent: case.name for case in world.cases for latent in case.members}
    right = [row for row in rows if row["hub"] in sought]
    whole = sum(set(row["spokes"]) == set(sought[row["hub"]].spokes) for row in right)
    rest = [case_of.get(row["hub"], "background") for row in rows if row["hub"] not in sought.keys() | parents]
    print(
        f"seed {seed}, {world.n_latents:,} latents, {figures['hubs']} hubs: {len(right)} of {len(sought)} planted "
        f"stars, {whole} with just their spokes; {sum(row['hub'] in parents for row in rows)} of {len(parents)} "
        f"parents of four children; others {len(rest)} {rest}",
        flush=True,
    )


def beside_nulls(capture: CaptureDir) -> None:
    """Print the stars of one capture, and those that are left of scattered and of shifted neighbours."""
    edges, twins, latents = (read_table(capture, table) for table in (EDGES, TWINS, LATENTS))
    firings = known_latents(capture, latents).firings
    found = star_candidates(edges, twins, firings, capture.manifest.rows)
    with tempfile.TemporaryDirectory() as work:
        clear = ClearShards(capture, latents, Path(work)).shards(lambda _: None)
        tokens = gathered(found, 0, len(found.hub), clear, len(firings))
    firings = firings[found.hub]
    begun = cpu()
    seen = search_stars(tokens, found, shuffles=50, seed=0, processes=1)
    took = cpu() - begun
    z = seen.facts[:, STATISTIC]
    _, q = pooled_p(z, seen.null)
    kept, half = q <= LEVEL, seen.facts[:, COVERED] >= firings / 2
    least = z[kept].min(initial=np.inf)
    print(
        f"{capture.uid}: {len(z):,} hubs; by the rule {(z > NO_STAR).sum()}, after a shuffle "
        f"{(seen.null > NO_STAR).sum() / 50:.1f}; kept {kept.sum()}, after a shuffle "
        f"{(seen.null >= least).sum() / 50:.1f}; of them cover >= .5: {(kept & half).sum()}; "
        f"{took:.2f} CPU s for 50 shuffles"
    )
    for name, draw in (("scattered", scattered), ("shifted", shifted)):
        for number in range(DRAWS):
            told(name, search_stars(draw(tokens, number), found, shuffles=20, seed=100 + number), least, firings)
    rng = np.random.default_rng(0)
    same = [independent(tokens, found, h, rng) for h in range(len(found.hub))]
    print(f"  independent within 1.5: {sum(a for a, _ in same)}; of scattered neighbours: {sum(b for _, b in same)}")


def told(name: str, seen, least: float, firings) -> None:  # type: ignore[no-untyped-def]
    """Print one null draw."""
    z = seen.facts[:, STATISTIC]
    p, q = pooled_p(z, seen.null)
    half = (z > NO_STAR) & (seen.facts[:, COVERED] >= firings / 2)
    print(
        f"  {name}: by the rule {(z > NO_STAR).sum()}, as high as what is kept {(z >= least).sum()}, cover >= .5 "
        f"{half.sum()}; p <= .01: {(p <= 0.01).sum()}, q <= .05: {(q <= LEVEL).sum()}"
    )


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("captures", nargs="*", type=Path)
    parser.add_argument("--seeds", choices=("dev", "test"), default="dev")
    given = parser.parse_args()
    for capture in find_captures(given.captures):
        beside_nulls(capture)
    if not given.captures:
        for seed in DEV_SEEDS if given.seeds == "dev" else TEST_SEEDS:
            planted(seed)


if __name__ == "__main__":
    main()
