"""Direct edges against the planted cases of `indirect_world`: what is kept of direct and of indirect pairs.

    python bench/direct_cases.py [--seeds test|dev] [--by count|oracle] [--write]

Each world goes through `cofire count` with its defaults. What is direct is read off its table, or worked out anew for
its edges from the definition by tests/support/direct_oracle.py, which tries every common neighbour; with `count` both
are done and compared on the first seed. --write puts the table of these seeds into docs/validation.md, between its
markers.
"""

from __future__ import annotations

import argparse
import inspect
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow.parquet as pq
import scipy.sparse as sp
from machine import markdown

from cofire.common.arrays import Array
from cofire.ingest.count import count
from cofire.worlds import DEV_SEEDS, TEST_SEEDS, IndirectWorld, indirect_world, write_capture
from cofire.worlds.scoring import Kept, kept_by_case, wilson_interval

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "validation.md"
sys.path.insert(0, str(ROOT / "tests" / "support"))

from direct_oracle import direct_edges, matrix_of  # noqa: E402 - the tests' own, to be held against


class Told(NamedTuple):
    """Edges and what is said of each, all [M]."""

    a: Array
    b: Array
    log_odds: Array
    error: Array
    direct: Array


def counted(world: IndirectWorld, seed: int, by: str) -> Told:
    """Return the edges of a count; of which nothing is said (direct null) are left out."""
    names = ["a", "b", "log_odds", "log_odds_se", *(["direct"] if by == "count" else [])]
    with tempfile.TemporaryDirectory() as scratch:
        capture = write_capture(world, Path(scratch) / "capture", sae_id=f"w{seed}")
        count(capture)
        table = pq.read_table(capture.tables / "edges.parquet", columns=names)
    if by == "count":
        table = table.filter(table.column("direct").is_valid())
        return Told(*(table.column(name).to_numpy() for name in names))
    edges = Told(*(table.column(name).to_numpy() for name in names), direct=np.ones(table.num_rows, np.bool_))
    return edges._replace(direct=by_definition(world, edges))


def by_definition(world: IndirectWorld, edges: Told) -> Array:
    """Return which edges are direct, component by component of their graph; bool [M]."""
    n, direct = world.n_latents, np.ones(len(edges.a), np.bool_)
    graph = sp.coo_array((np.ones(len(edges.a)), (edges.a, edges.b)), shape=(n, n))
    component = sp.csgraph.connected_components(graph, directed=False)[1][edges.a]
    for own in np.unique(component):
        rows = np.flatnonzero(component == own)
        latents = np.union1d(edges.a[rows], edges.b[rows]).astype(np.int64)
        a, b = np.searchsorted(latents, edges.a[rows]), np.searchsorted(latents, edges.b[rows])
        fires = matrix_of(world.indptr, world.indices, latents)
        direct[rows] = direct_edges(fires, a, b, edges.log_odds[rows], edges.error[rows]).direct
    return direct


def report(found: list[Kept]) -> str:
    """Return the table: of each case the shares that are kept, over all seeds."""
    totals: Counter[tuple[str, str, str]] = Counter()
    for kept in found:
        for name in ("planted", "edges", "kept"):
            totals[kept.case, kept.what, name] += getattr(kept, name)

    def share(case: str, what: str) -> str:
        planted, edges, kept = (totals[case, what, name] for name in ("planted", "edges", "kept"))
        if not planted:
            return "-"
        low, high = wilson_interval(kept, edges)
        return f"{kept / edges:.3f} ({low:.3f}-{high:.3f}), {kept} of {edges}, {planted} planted"

    cases = list(dict.fromkeys(kept.case for kept in found))
    return markdown(
        ["case", "direct pairs kept (95%)", "indirect pairs kept (95%)", "latents that keep a direct pair"],
        [
            [case, share(case, "direct"), share(case, "indirect"), share(case, "latents").split(",", 1)[1].strip()]
            for case in cases
        ],
    )


def main() -> None:
    """Score the worlds, print the table, and put it into the page."""
    parser = argparse.ArgumentParser(description=inspect.cleandoc(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", choices=("test", "dev"), default="dev", help="dev to look, test to report")
    parser.add_argument("--by", choices=("count", "oracle"), default="count")
    parser.add_argument("--write", action="store_true", help=f"put the table into {PAGE.relative_to(ROOT)}")
    given = parser.parse_args()
    found: list[Kept] = []
    seeds = TEST_SEEDS if given.seeds == "test" else DEV_SEEDS[: len(TEST_SEEDS)]
    for seed in seeds:
        world = indirect_world(seed)
        told = counted(world, seed, given.by)
        found += kept_by_case(world.cases, told.a, told.b, told.direct)
        inside = np.zeros((world.n_latents, 2), np.int64)
        for number, case in enumerate(world.cases):
            inside[list(case.members)] = number, 1
        apart = (inside[told.a] != inside[told.b]).any(axis=1)
        print(f"seed {seed}: {len(told.a)} edges, {apart.sum()} outside the cases", file=sys.stderr, flush=True)
        if given.by == "count" and seed == seeds[0]:
            other = by_definition(world, told) != told.direct
            print(f"seed {seed}: the oracle says otherwise of {other.sum()} edges", file=sys.stderr, flush=True)
    text = (
        f"Seeds {', '.join(map(str, seeds))}; by {'the table edges' if given.by == 'count' else 'the definition'}.\n\n"
    )
    text += report(found)
    print(text)
    if given.write:
        page = PAGE.read_text()
        begin, end = (f"<!-- direct edges, {given.seeds} seeds: {word} -->" for word in ("begin", "end"))
        before, after = page.split(begin)[0], page.split(end)[1]
        PAGE.write_text(f"{before}{begin}\n{text}\n{end}{after}")


if __name__ == "__main__":
    main()
