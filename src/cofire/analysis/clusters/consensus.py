"""The consensus of many partitions of the same latents: the partition that disagrees least with all of them.

    1. atoms: latents that are together in all runs stay together (exact: apart, one of them gains by joining the
       other);
    2. weight of two atoms: the pairs of latents between them, times the share of the runs that put both together;
    3. the median partition maximises the sum over all pairs inside a cluster of (share - 1/2). That is the constant
       Potts model at resolution 1/2 on the graph of the atoms; it is maximised by leidenalg (Traag, Waltman and van Eck
       2019, Sci. Rep. 9:5233), iterated until nothing changes.

Parts of a cluster whose mean share with the rest is below 1/2 gain by leaving, so every cluster of the best partition
is connected by atom pairs with a share of 1/2 and more. Hence only pairs inside one component of that graph are
held, which loses nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import scipy.sparse as sp

    from cofire.common.arrays import Array, Floats, Ints

BLOCK = 1 << 23
"""Most products that one step of the co-association makes: some 100 MB."""


def consensus(partitions: Array, *, atoms: Ints | None = None, seed: int = 0) -> Ints:
    """Return the median of partitions.

    Memory: the co-association is made in blocks of rows of at most BLOCK products each (or one row); what stays are the
    pairs of atoms inside one component, 24 bytes each and some 200 more in leidenalg.

    Args:
        partitions: [R, n] int, >= 0: in each of R >= 1 runs the cluster number of each latent.
        atoms: [n] int, numbers from 0 on: latents of one number stay together whatever the runs say (clusters of a
            finer level). Default: those that are together in all runs.
        seed: of leidenalg.

    Returns:
        [n] int64, the cluster number of each latent, from 0 on by first appearance.
    """
    import igraph
    import leidenalg

    runs = len(partitions)
    if atoms is None:
        atoms = _together_in_all(partitions)
    sizes = np.bincount(atoms)
    part = np.zeros(len(sizes), dtype=np.int64)
    # The coarsest runs have most pairs. A pair that half of all runs put together, 3/4 of the runs put together at
    # least in a quarter of all: those that fail are out before the others are looked at.
    coarseness = [int((np.bincount(labels) ** 2).sum()) for labels in partitions]
    finest = np.argsort(coarseness, kind="stable")
    for count in (runs - runs // 4, runs):
        where = _incidence(partitions[finest[:count]], atoms, part)
        part = _components(where, sizes, count - runs / 2)
    first, second, weight = _pairs(_incidence(partitions, atoms, part))
    found = leidenalg.find_partition(
        igraph.Graph(n=len(sizes), edges=np.stack([first, second], axis=1)),
        leidenalg.CPMVertexPartition,
        weights=(weight / runs).tolist(),
        node_sizes=sizes.tolist(),
        resolution_parameter=0.5,
        n_iterations=-1,
        seed=seed,
    )
    return by_appearance(np.asarray(found.membership, dtype=np.int64)[atoms])


def by_appearance(labels: Ints) -> Ints:
    """Number clusters [n] from 0 on in the order in which they appear."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[inverse]


def _together_in_all(partitions: Array) -> Ints:
    """Return the atom of each latent."""
    atoms = np.zeros(partitions.shape[1], dtype=np.int64)
    for labels in partitions:
        _, atoms = np.unique(atoms * (int(labels.max()) + 1) + labels, return_inverse=True)
    return atoms


def _incidence(partitions: Array, atoms: Ints, part: Ints) -> sp.csr_array:
    """Return how many latents of an atom are in a cluster: a row an atom, a column a run's cluster within one part.

    The product with its transpose has a number for each two atoms of one part that a run puts together.
    """
    import scipy.sparse as sp

    runs, n = partitions.shape
    starts = np.concatenate([[0], np.cumsum(partitions.max(axis=1).astype(np.int64) + 1)])
    column = (partitions + starts[:-1, None]) * (int(part.max()) + 1) + part[atoms]
    used, column = np.unique(column.ravel(), return_inverse=True)
    ones = np.ones(runs * n, dtype=np.float32)
    # Equal entries are added up.
    return sp.coo_array((ones, (np.tile(atoms, runs), column)), shape=(len(part), len(used))).tocsr()


def _products(where: sp.csr_array) -> Iterator[tuple[Ints, Ints, Any]]:
    """Yield (atoms a, atoms b, pairs of latents together over the runs), a block of rows a at a time."""
    fill = np.bincount(where.indices, minlength=where.shape[1])
    upto = np.cumsum(np.add.reduceat(fill[where.indices], where.indptr[:-1]))
    transposed, low = where.T.tocsr(), 0
    while low < len(upto):
        done = upto[low - 1] if low else 0
        high = max(int(np.searchsorted(upto, done + BLOCK, side="right")), low + 1)
        shared = (where[low:high] @ transposed).tocoo()
        yield low + shared.row.astype(np.int64), shared.col.astype(np.int64), shared.data
        low = high


def _components(where: sp.csr_array, sizes: Ints, least: float) -> Ints:
    """Return the component of each atom in the graph of the atom pairs that `least` runs and more put together."""
    import scipy.sparse as sp
    from scipy.sparse.csgraph import connected_components

    kept = []
    for a, b, together in _products(where):
        # A component that a rounded number makes too large costs nothing but time.
        often = together >= (least - 1e-3) * sizes[a] * sizes[b]
        kept.append(np.stack([a[often], b[often]]))
    row, column = np.concatenate(kept, axis=1)
    graph = sp.csr_array((np.ones(len(row), dtype=np.int8), (row, column)), shape=(len(sizes), len(sizes)))
    return np.asarray(connected_components(graph, directed=False)[1], dtype=np.int64)


def _pairs(where: sp.csr_array) -> tuple[Ints, Ints, Floats]:
    """Return the atom pairs a < b, ascending, and over the runs the pairs of latents together."""
    kept = []
    for a, b, together in _products(where):
        up = a < b
        kept.append((a[up], b[up], together[up].astype(np.float64)))
    first, second, weight = (np.concatenate(column) for column in zip(*kept, strict=True))
    order = np.lexsort((second, first))
    return first[order], second[order], weight[order]
