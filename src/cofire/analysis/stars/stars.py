"""Exclusive stars: a hub whose direct neighbours take its tokens in turns.

1. Candidates: hubs of LEAST_FIRINGS tokens and more, on a tenth of all tokens at the most, and their direct neighbours
   (`hubs.candidates`). Only clear firings count, where noise floors are known.
2. Their tokens, for as many hubs at a time as memory allows (`hubs.gathered`).
3. The star of each hub, chosen greedily, and what is left of it when its candidates are shuffled among the hub's tokens
   within documents (`search`).
4. p from all shuffles together, q by Benjamini and Hochberg over all hubs with candidates enough (`pooled`); what has
   q <= LEVEL is kept.

Why not rewired graphs: they have few triangles, so nearly every latent is the hub of a star there. What makes a hub
with spokes is that the spokes avoid each other on the hub's own tokens.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cofire.analysis.activations.full_strength import known_latents
from cofire.analysis.stars.clear_shards import ClearShards
from cofire.analysis.stars.from_tables import star_candidates
from cofire.analysis.stars.hubs import SPARE, Candidates, blocks, gathered
from cofire.analysis.stars.kernels import COVERED, EXPECTED, FACTS, NO_STAR, ON_ONE, STATISTIC, TOGETHER
from cofire.analysis.stars.pooled import pooled_p
from cofire.analysis.stars.search import Found, search_stars
from cofire.common.files import read_arrays, write_arrays
from cofire.errors import InputError
from cofire.schema.tables import STARS

if TYPE_CHECKING:
    import pyarrow as pa

    from cofire.common.progress import Progress
    from cofire.ingest.capture_dir.directory import CaptureDir

LEVEL = 0.05
"""False discovery rate at which stars are kept."""

MEMORY = 512 << 20
"""Bytes for the tokens of the hubs that are looked at at once."""


@dataclass(frozen=True)
class Stars:
    """The exclusive stars of an SAE.

    Attributes:
        table: the table stars, by uid.
        figures: direct_edges; hubs, those with candidates enough; stars, those kept; before_test, hubs with a star
            whatever its q; shuffled, the mean number of those after a shuffle.
    """

    table: pa.Table
    figures: dict[str, int | float]


def exclusive_stars(
    capture: CaptureDir,
    edges: pa.Table,
    twins: pa.Table,
    latents: pa.Table,
    *,
    shuffles: int,
    seed: int,
    work: Path,
    memory: int = MEMORY,
    processes: int | None = None,
    progress: Progress | None = None,
) -> Stars:
    """Find the exclusive stars of a counted capture.

    Assumes that, were the spokes of a hub to know nothing of each other, each would fire anywhere among the hub's
    tokens of a document. What comes in runs, or keeps to the first token of a sentence, is not explained away: two
    latents that never fire at the same *place* avoid each other too.

    Cost: a pass over the shards for every `memory` bytes of joint firings; where some firings are not clear one more,
    with what `clear_values` costs; then see `search_stars`. Memory: `memory`, or one hub's tokens where these are more;
    one shard twice; some 170 bytes a direct edge while hubs are listed, 8 `shuffles` bytes a hub; and for each hub that
    is looked at 12 bytes a token, and an eighth of one for each of its spokes.

    Args:
        capture: a capture that stores its activations.
        edges: columns a, b, direct, direct_log_odds, count, clear_count. Where direct is null everywhere there is
            nothing to start from, and no star.
        twins: columns a, b.
        latents: the capture's table of latents.
        shuffles: of each hub's candidates, at least 20.
        seed: 0 <= seed < 2^31; the same gives the same table.
        work: a directory where clear firings and finished blocks of hubs are kept; the caller removes it.
        memory: bytes for the tokens of hubs; it changes no result.
        processes: threads that share the hubs; None: one a processor. It changes no result.
        progress: called with (steps done, in all).

    Returns:
        The table and figures.

    Raises:
        CaptureError: the capture stores no activations (--no-keep), is damaged, or was counted otherwise.
        InputError: `edges` or `latents` lacks a column, or fewer than 20 shuffles.
    """
    import pyarrow as pa

    if shuffles < 20:
        raise InputError(f"shuffles {shuffles}: p and q need 20 and more")
    firings = known_latents(capture, latents).firings
    found = star_candidates(edges, twins, firings, capture.manifest.rows)
    clear = ClearShards(capture, latents, work / "clear")
    again = len(found.hub) > 0 and clear.worked_out
    if again:
        found = replace(found, room=found.room + SPARE)
    cut = list(blocks(found, memory))
    total = len(capture.manifest.shards) * (len(cut) + again) + len(found.hub)
    done = 0

    def tell(more: int) -> None:
        nonlocal done
        done += more
        if progress is not None:
            progress(done, total)

    if again:
        found = replace(found, firings=clear.firings(tell)[found.hub])
    parts = []
    for start, stop in cut:
        path = work / f"hubs-{start}-{stop}.npz"
        if path.is_file():
            tell(len(capture.manifest.shards) + stop - start)
        else:
            tokens = gathered(found, start, stop, clear.shards(tell), len(firings))
            part = search_stars(tokens, found, shuffles=shuffles, seed=seed, processes=processes, tell=tell)
            write_arrays(path, vars(part))
        parts.append(Found(**read_arrays(path)))
    whole = _joined(parts, shuffles)
    p, q = pooled_p(whole.facts[:, STATISTIC], whole.null)
    kept = np.flatnonzero(q <= LEVEL)
    figures: dict[str, int | float] = {
        "direct_edges": found.direct_edges,
        "hubs": len(found.hub),
        "stars": len(kept),
        "before_test": int((whole.facts[:, STATISTIC] > NO_STAR).sum()),
        "shuffled": float((whole.null > NO_STAR).sum() / shuffles),
    }
    rows = [_row(capture.uid, found, whole, int(h), float(p[h]), float(q[h])) for h in kept]
    rows.sort(key=lambda row: str(row["star"]))
    return Stars(pa.Table.from_pylist(rows, schema=STARS.arrow_schema()), figures)


def _joined(parts: list[Found], shuffles: int) -> Found:
    """Return what was found of all blocks of hubs as one."""
    nothing = Found(np.zeros(0, np.bool_), np.zeros(0, np.int64), np.zeros((0, FACTS)), np.zeros((0, shuffles)))
    return Found(
        **{
            name: np.concatenate([array, *(vars(part)[name] for part in parts)])
            for name, array in vars(nothing).items()
        }
    )


def _row(sae_uid: str, found: Candidates, whole: Found, h: int, p: float, q: float) -> dict[str, Any]:
    """Return the row of the star of hub number h."""
    at = np.arange(found.first[h], found.first[h + 1])
    at = at[whole.is_spoke[at]]
    facts, firings, spokes = whole.facts[h], int(found.firings[h]), found.spoke[at].tolist()
    return {
        "star": _uid(sae_uid, int(found.hub[h]), spokes),
        "hub": int(found.hub[h]),
        "spokes": spokes,
        "spoke_firings": whole.joint[at].tolist(),
        "hub_firings": firings,
        "cover": float(facts[COVERED] / firings),
        "one_of": float(facts[ON_ONE] / firings),
        "together": int(facts[TOGETHER]),
        "expected": float(facts[EXPECTED]),
        "exclusivity": float(facts[TOGETHER] / facts[EXPECTED]),
        "z": float(facts[STATISTIC]),
        "p": p,
        "q": q,
    }


def _uid(sae_uid: str, hub: int, spokes: list[int]) -> str:
    """Name a star after its hub and its spokes (ascending), so that a re-run and a re-load find the same node."""
    text = ",".join(str(i) for i in [hub, *sorted(spokes)])
    return f"{sae_uid}/s-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
