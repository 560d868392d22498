"""Clusters of latents that co-fire: Leiden communities of the co-firing graph under the constant Potts model.

    1. keep the edges with log_odds > 0 (a pair that co-fires less than by chance holds nothing together);
    2. partition the latents with Leiden (Traag, Waltman and van Eck 2019, Sci. Rep. 9:5233), iterated until nothing
       changes, maximising the constant Potts model (CPM; Traag, Van Dooren and Nesterov 2011, Phys. Rev. E 84:016114)

           H = sum over clusters of (sum of log_odds inside) - resolution * (pairs inside);

    3. drop the latents that are alone, describe the rest (see cofire.analysis.structure), and name each cluster after
       its members, so that the name does not depend on the run.

What the resolution means: it is a log_odds. Two clusters are joined when the mean log_odds over *all* pairs between
them, absent edges counted as 0, exceeds it; so the pairs inside a cluster average more than it and the pairs between
two clusters less. CPM has no resolution limit: what a cluster is does not depend on the rest of the graph.
"""

from __future__ import annotations

import hashlib
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from cofire.analysis.structure import structure
from cofire.errors import InputError
from cofire.schema.tables import CLUSTERS, MEMBERS
from cofire.settings import DEFAULT_RESOLUTION

if TYPE_CHECKING:
    import numpy.typing as npt
    import pandas as pd
    import pyarrow as pa


def find_clusters(
    sae_uid: str,
    edges: pa.Table | pd.DataFrame,
    *,
    resolution: float = DEFAULT_RESOLUTION,
    seed: int = 0,
) -> tuple[pa.Table, pa.Table]:
    """Cluster the latents of one SAE by their co-firing edges.

    The result depends on the set of edges, the resolution and the seed alone, not on the order of the rows. Edges with
    log_odds <= 0 take no part, neither in the partition nor in density, strength and the other numbers.

    Args:
        sae_uid: The SAE's uid, the start of each cluster's uid.
        edges: Columns a, b (int, latent indices, each pair once), log_odds (float, nats); others are ignored.
        resolution: CPM resolution, in nats, >= 0; 0 gives the connected components.
        seed: Seed of the Leiden run, 0 <= seed < 2^31.

    Returns:
        The clusters and members tables (cofire.schema.tables), sorted by their keys; no rows without any edge of
        positive log_odds. The hub of a hub_and_spoke cluster has the role `hub` and the others `spoke`; in every
        other cluster each latent is a `member`.

    Raises:
        InputError: A log_odds is null or not finite, a pair stands twice or is a loop, or resolution or seed is out
            of range.
    """
    import pyarrow as pa

    if not (math.isfinite(resolution) and resolution >= 0):
        raise InputError(f"resolution {resolution}: not a finite number >= 0; 0.05 to 2 is usual")
    if not 0 <= seed < 2**31:
        raise InputError(f"seed {seed}: out of range; give 0 to {2**31 - 1}")
    a, b, log_odds = _positive_edges(edges)
    latents = np.unique(np.concatenate([a, b]))
    ends = np.searchsorted(latents, np.stack([a, b], axis=1))
    community = _leiden(len(latents), ends, log_odds, resolution, seed)

    clusters: list[dict[str, Any]] = []
    members: list[dict[str, Any]] = []
    inside = np.flatnonzero(community[ends[:, 0]] == community[ends[:, 1]])
    edges_of = _groups(community[ends[inside, 0]], inside)
    for number, nodes in _groups(community, np.arange(len(latents))).items():
        if len(nodes) < 2:
            continue
        chosen = edges_of.get(number, np.array([], dtype=np.int64))
        indices = latents[nodes]
        shape = structure(indices, a[chosen], b[chosen], log_odds[chosen])
        uid = _uid(sae_uid, indices)
        clusters.append(
            {
                "cluster": uid,
                "size": len(indices),
                "resolution": float(resolution),
                "seed": seed,
                "structure": shape.label,
                "density": shape.density,
                "centralization": shape.centralization,
                "transitivity": shape.transitivity,
                "max_clique_share": shape.max_clique_share,
                "gini": shape.gini,
            }
        )
        roles = ["member"] * len(indices)
        if shape.label == "hub_and_spoke":
            # Every weight is positive, so the hub, which has all the edges, outweighs each of its spokes.
            roles = ["spoke"] * len(indices)
            roles[int(shape.strength.argmax())] = "hub"
        members.extend(
            {"cluster": uid, "latent": latent, "role": role, "strength": strength}
            for latent, role, strength in zip(indices.tolist(), roles, shape.strength.tolist(), strict=True)
        )
    clusters.sort(key=lambda row: row["cluster"])
    members.sort(key=lambda row: (row["cluster"], row["latent"]))
    return (
        pa.Table.from_pylist(clusters, schema=CLUSTERS.arrow_schema()),
        pa.Table.from_pylist(members, schema=MEMBERS.arrow_schema()),
    )


def _positive_edges(
    edges: pa.Table | pd.DataFrame,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Return a, b, log_odds [m] of the edges with log_odds > 0, a < b, sorted by (a, b)."""
    columns = edges.column_names if hasattr(edges, "column_names") else list(edges.columns)
    missing = [name for name in ("a", "b", "log_odds") if name not in columns]
    if missing:
        raise InputError(f"edges table: no column {', '.join(missing)}; run `cofire count` again")
    first, second = (np.asarray(edges[name], dtype=np.int64) for name in ("a", "b"))
    # A null arrives as NaN, from Arrow and from pandas alike.
    log_odds = np.asarray(edges["log_odds"], dtype=np.float64)
    wrong = np.flatnonzero(~np.isfinite(log_odds))
    if len(wrong):
        row = wrong[0]
        raise InputError(
            f"edges table: log_odds is null or not finite in {len(wrong)} rows, first for latents {first[row]} and "
            f"{second[row]}; run `cofire count` again"
        )
    a, b = np.minimum(first, second), np.maximum(first, second)
    order = np.lexsort((b, a))
    a, b, log_odds = a[order], b[order], log_odds[order]
    bad = a == b
    bad[1:] |= (np.diff(a) == 0) & (np.diff(b) == 0)
    if bad.any():
        row = int(bad.argmax())
        raise InputError(
            f"edges table: the pair {a[row]}, {b[row]} is a loop or stands twice; run `cofire count` again"
        )
    keep = log_odds > 0
    return a[keep], b[keep], log_odds[keep]


def _leiden(
    n: int, ends: npt.NDArray[np.int64], log_odds: npt.NDArray[np.float64], resolution: float, seed: int
) -> npt.NDArray[np.int64]:
    """Return the community number of each of n nodes."""
    import igraph
    import leidenalg

    if n == 0:
        return np.array([], dtype=np.int64)
    partition = leidenalg.find_partition(
        igraph.Graph(n=n, edges=ends),
        leidenalg.CPMVertexPartition,
        weights=log_odds.tolist(),
        resolution_parameter=resolution,
        n_iterations=-1,
        seed=seed,
    )
    return np.asarray(partition.membership, dtype=np.int64)


def _groups(number: npt.NDArray[np.int64], items: npt.NDArray[np.int64]) -> dict[int, npt.NDArray[np.int64]]:
    """Group `items` [k] by `number` [k], the order inside a group kept."""
    order = np.argsort(number, kind="stable")
    numbers, starts = np.unique(number[order], return_index=True)
    # Without items, np.split still returns one (empty) part: hence no strict zip.
    parts = np.split(items[order], starts[1:])
    return dict(zip(numbers.tolist(), parts, strict=False))


def _uid(sae_uid: str, indices: npt.NDArray[np.int64]) -> str:
    """Name a cluster after its members (ascending), so that a re-run and a re-load find the same node."""
    text = ",".join(str(i) for i in indices.tolist())
    return f"{sae_uid}/c-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
