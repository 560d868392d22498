"""The latents of every cluster, those of coarser levels included."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa

    from cofire.common.arrays import Ints


def cluster_members(clusters: pa.Table, members: pa.Table) -> dict[str, Ints]:
    """Return the latents of each cluster, ascending: a coarser cluster has those of all clusters under it.

    Args:
        clusters: columns cluster, level, parent (cofire.schema.tables.CLUSTERS); a parent is of a coarser level.
        members: columns cluster, latent: those of level 0.

    Returns:
        uid -> int64 [n], in the order of `clusters`.
    """
    rows = clusters.select(["cluster", "level", "parent"]).to_pylist()
    found: dict[str, set[int]] = {row["cluster"]: set() for row in rows}
    for uid, latent in zip(members.column("cluster").to_pylist(), members.column("latent").to_pylist(), strict=True):
        found[uid].add(latent)
    for row in sorted(rows, key=lambda row: row["level"]):
        if row["parent"] is not None:
            found[row["parent"]] |= found[row["cluster"]]
    return {uid: np.array(sorted(latents), dtype=np.int64) for uid, latents in found.items()}
