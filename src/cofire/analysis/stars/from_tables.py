"""Which latents may be hubs, from the tables of a count."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cofire.analysis.stars.hubs import Candidates, candidates
from cofire.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa

    from cofire.common.arrays import Ints

_COLUMNS = ("a", "b", "direct", "direct_log_odds", "count", "clear_count")


def star_candidates(edges: pa.Table, twins: pa.Table, firings: Ints, tokens: int) -> Candidates:
    """Return the hubs and their candidates (`candidates`) of a capture's tables.

    Args:
        edges: columns a, b, direct, direct_log_odds, count, clear_count.
        twins: columns a, b.
        firings: int64 [N], clear firings of each latent where its floor is known, else all.
        tokens: all tokens.

    Raises:
        InputError: `edges` lacks a column.
    """
    lacking = [name for name in _COLUMNS if name not in edges.column_names]
    if lacking:
        raise InputError(f"edges table: no column {', '.join(lacking)}; run `cofire count` again")
    direct = _direct(edges)
    # Both floors known: the clear ones are what is counted. Else all firings are at least as many.
    room = np.where(direct["clear_count"] >= 0, direct["clear_count"], direct["count"]).astype(np.int64)
    one, other = (twins.column(name).to_numpy().astype(np.int64) for name in ("a", "b"))
    return candidates(
        direct["a"].astype(np.int64),
        direct["b"].astype(np.int64),
        direct["direct_log_odds"],
        room,
        (one, other),
        firings,
        tokens,
    )


def _direct(edges: pa.Table) -> dict[str, Any]:
    """Return the columns of the direct edges alone, as arrays; an unknown clear_count is -1."""
    import pyarrow.compute as pc

    of = edges.select(list(_COLUMNS)).filter(pc.fill_null(edges.column("direct"), False))
    return {
        name: (pc.fill_null(of.column(name), -1) if name == "clear_count" else of.column(name)).to_numpy()
        for name in _COLUMNS
        if name != "direct"
    }
