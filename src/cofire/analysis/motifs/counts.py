"""How many motifs of each kind and size a co-firing graph has, counted and not listed.

The motifs are those of `search`. Counted are

    star of 3, 4, ...    a hub with all its private leaves: neighbours on no triangle with it
    clique of 3 to 6
    path of 3 and 4      induced
    bi-fan               an induced cycle of four

Paths of five and six and more are not: they need either a listing, which 200 rewired graphs cannot afford, or orbit
equations for all graphs of that size.

    1. Triangles of each edge: for the edges u-v and v-w that lead up in the order of the degrees, is u-w one? (Chiba
       and Nishizeki 1985, SIAM J. Comput. 14:210)
    2. Stars: the edges on no triangle, counted at each latent.
    3. Cycles of four by codegrees, in the same order.
    4. Cliques of four to six by going up the order, candidates as rows of bits.
    5. Induced counts of four latents from the plain ones (Ahmed and others 2015, ICDM): a diamond holds one cycle and
       six paths of four as plain subgraphs, and so on.

Cliques of five are only counted where there are at most MAX_CLIQUES of four, and those of six where there are as many
of five. All else takes time of the order m * degeneracy and m * largest degree.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cofire.common.compiled import compiled, lowest, ones

if TYPE_CHECKING:
    from cofire.common.arrays import Ints

MAX_CLIQUES = 20_000_000
"""Cliques that are looked at for a latent that makes a larger one: some tenths of a second's work."""

Counts = dict[tuple[str, int], int | None]


def count_motifs(n: int, ends: Ints, *, largest_clique: int = 6) -> Counts:
    """Count the motifs of a simple graph.

    Args:
        n: nodes.
        ends: int64 [m, 2] in 0..n-1, each edge once.
        largest_clique: 4 to 6; larger ones are None, not counted.

    Returns:
        (kind, size) -> how many: path 3 and 4, clique 3 to 6, bifan 4, and star 3 up to the largest there is. None for
        cliques that are too many to be counted.
    """
    degree = np.bincount(ends.ravel(), minlength=n)
    order = np.argsort(degree, kind="stable")
    rank = np.empty(n, dtype=np.int64)
    rank[order] = np.arange(n)
    # Both ways round and renumbered by rising degree, so that the neighbours above a node are few.
    both = np.concatenate([rank[ends], rank[ends][:, ::-1]])
    both = both[np.lexsort((both[:, 1], both[:, 0]))]
    source, near = both[:, 0], both[:, 1]
    starts = np.searchsorted(source, np.arange(n + 1))
    above = np.searchsorted(source * n + near, np.arange(n) * (n + 1))
    on_edge = _triangles(starts, above, near)
    lower = source < near
    degree, sides = degree[order], on_edge[lower]
    triangles = int(sides.sum()) // 3

    private = np.bincount(source[on_edge == 0], minlength=n)
    found: Counts = {("star", 1 + leaves): int(many) for leaves, many in enumerate(np.bincount(private)) if leaves > 1}
    found["path", 3] = int((degree * (degree - 1) // 2).sum()) - 3 * triangles
    found["clique", 3] = triangles
    cliques: int | None = triangles
    for size in (4, 5, 6):
        # Those of four are always counted: paths and bi-fans need them.
        enough = cliques is not None and size <= largest_clique and (size == 4 or cliques <= MAX_CLIQUES)
        cliques = int(_cliques(starts, above, near, size)) if enough else None
        found["clique", size] = cliques

    full = found["clique", 4] or 0
    on_node = np.bincount(source, weights=on_edge, minlength=n).astype(np.int64) // 2
    diamonds = int((sides * (sides - 1) // 2).sum()) - 6 * full
    squares = int(_cycles(starts, near)) - diamonds - 3 * full
    paws = int((on_node * (degree - 2)).sum()) - 4 * diamonds - 12 * full
    steps = int(((degree[source[lower]] - 1) * (degree[near[lower]] - 1)).sum()) - 3 * triangles
    found["path", 4] = steps - 4 * squares - 2 * paws - 6 * diamonds - 12 * full
    found["bifan", 4] = squares
    return found


@compiled
def _triangles(starts: Any, above: Any, near: Any) -> Any:
    """Return int64 [2 m]: the triangles on each edge, at both of its places."""
    n = len(above)
    count = np.zeros(len(near), np.int64)
    place = np.full(n, -1, np.int64)
    for u in range(n):
        for p in range(above[u], starts[u + 1]):
            place[near[p]] = p
        for p in range(above[u], starts[u + 1]):
            v = near[p]
            for q in range(above[v], starts[v + 1]):
                r = place[near[q]]
                if r >= 0:
                    count[p] += 1
                    count[q] += 1
                    count[r] += 1
        for p in range(above[u], starts[u + 1]):
            place[near[p]] = -1
    # The other place of u-v is in v's list: lists are in order, so each fills up from its start.
    filled = starts[:-1].copy()
    for u in range(n):
        for p in range(above[u], starts[u + 1]):
            v = near[p]
            count[filled[v]] = count[p]
            filled[v] += 1
    return count


@compiled
def _cycles(starts: Any, near: Any) -> int:
    """Count the cycles of four that are subgraphs, each at its highest node."""
    n = len(starts) - 1
    met = np.zeros(n, np.int64)
    total = 0
    for u in range(n):
        for p in range(starts[u], starts[u + 1]):
            v = near[p]
            if v >= u:
                break
            for q in range(starts[v], starts[v + 1]):
                w = near[q]
                if w >= u:
                    break
                total += met[w]
                met[w] += 1
        for p in range(starts[u], starts[u + 1]):
            v = near[p]
            if v >= u:
                break
            for q in range(starts[v], starts[v + 1]):
                if near[q] >= u:
                    break
                met[near[q]] = 0
    return total


@compiled
def _cliques(starts: Any, above: Any, near: Any, size: int) -> int:
    """Count the cliques of 4, 5 or 6, each from its lowest node up."""
    n = len(above)
    widest = 0
    for u in range(n):
        widest = max(widest, starts[u + 1] - above[u])
    words = (widest + 63) // 64
    place = np.full(n, -1, np.int64)
    rows = np.zeros((widest, words), np.uint64)
    two, three = np.zeros(words, np.uint64), np.zeros(words, np.uint64)
    total = 0
    for u in range(n):
        first, wide = above[u], starts[u + 1] - above[u]
        used = (wide + 63) // 64
        for i in range(wide):
            place[near[first + i]] = i
            rows[i, :used] = 0
        for i in range(wide):
            v = near[first + i]
            for q in range(above[v], starts[v + 1]):
                j = place[near[q]]
                if j >= 0:
                    rows[i, j // 64] |= np.uint64(1) << np.uint64(j % 64)
        for i in range(wide):
            place[near[first + i]] = -1
        for i in range(wide):
            if size == 4:
                total += _edges_in(rows[i], rows, used)
            elif size == 5:
                total += _triangles_in(rows[i], rows, used, two)
            else:
                total += _fours_in(rows[i], rows, used, two, three)
    return total


# Each of the next three counts the cliques of a size among candidates: for each of these, those of one less among the
# candidates that are near and above it. `rows` has, as bits, who is near and above.


@compiled
def _edges_in(candidates: Any, rows: Any, used: int) -> int:
    total = 0
    for word in range(used):
        left = candidates[word]
        while left:
            node = word * 64 + lowest(left)
            left &= left - np.uint64(1)
            for w in range(used):
                total += ones(candidates[w] & rows[node, w])
    return total


@compiled
def _triangles_in(candidates: Any, rows: Any, used: int, inner: Any) -> int:
    total = 0
    for word in range(used):
        left = candidates[word]
        while left:
            node = word * 64 + lowest(left)
            left &= left - np.uint64(1)
            for w in range(used):
                inner[w] = candidates[w] & rows[node, w]
            total += _edges_in(inner, rows, used)
    return total


@compiled
def _fours_in(candidates: Any, rows: Any, used: int, inner: Any, innermost: Any) -> int:
    total = 0
    for word in range(used):
        left = candidates[word]
        while left:
            node = word * 64 + lowest(left)
            left &= left - np.uint64(1)
            for w in range(used):
                inner[w] = candidates[w] & rows[node, w]
            total += _triangles_in(inner, rows, used, innermost)
    return total
