"""The tokens that the members of a cluster share, with the members' activations there.

1. In one pass over the shards count, for each token and cluster, how many members fire: (firings) x (membership), a
   sparse product.
2. Keep the tokens on which at least `least` members fire (and at most `greatest`, where given).
3. Where a cluster has more of them than `most`, keep those with the lowest hash of their place in the text. Of the
   tokens on which one member fires alone, `most_alone` are kept of each member, so that one that often fires alone does
   not crowd out the others. The same tokens are chosen however the text is cut into shards.

No edge is looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from cofire.common.hashing import place_hash
from cofire.errors import CaptureError, InputError

if TYPE_CHECKING:
    from cofire.common.arrays import Array, Bools, Floats, Ints, Ints32, Singles
    from cofire.common.progress import Progress
    from cofire.ingest.capture_dir.directory import CaptureDir
    from cofire.ingest.capture_dir.shard import Shard

MOST = 5000
"""Tokens kept for one cluster."""

MOST_ALONE = 500
"""Tokens on which just one member of a cluster fires, kept for that member: its mean activation there then errs by 2%
where the activations have a spread of .5."""

_ONE = 1 << 40
"""One firing member, in sums that hold the latents of the members too: room for 2^23 members, of latents below 2^40
together."""


@dataclass(frozen=True)
class ClusterTokens:
    """The tokens of one cluster, ascending: R of them, n members.

    Attributes:
        members: int64 [n], ascending.
        row: int64 [R], number of the token among all counted tokens of the capture.
        document: int32 [R], document number.
        position: int32 [R], token offset within the document.
        firings: float32 [R, n] scipy CSR array, activations; nothing is stored where a member does not fire.
        tokens: how many such tokens there are in all; R is less where they were too many.
    """

    members: Ints
    row: Ints
    document: Ints32
    position: Ints32
    firings: Any
    tokens: int

    @property
    def activations(self) -> Singles:
        """The activations, float32 [R, n], 0 where a member does not fire; made anew at each call."""
        dense: Singles = self.firings.toarray()
        return dense


def cluster_tokens(
    capture: CaptureDir,
    members: Mapping[str, Ints],
    *,
    least: int = 2,
    greatest: int | None = None,
    most: int = MOST,
    floor: Floats | None = None,
    values: Callable[[Shard], Singles] | None = None,
    progress: Progress | None = None,
) -> dict[str, ClusterTokens]:
    """Return the tokens on which members of each cluster fire together.

    Memory: about 60 bytes a kept firing, at most `most` tokens a cluster (twice that for a while), and one shard. Cost:
    one pass over the shards, a sparse product of each with the membership.

    Args:
        capture: a capture that stores its activations.
        members: uid -> int64 [n] latents, each once. A latent may be in several clusters.
        least: members that must fire on a token, >= 1.
        greatest: members that may fire on it; None for any number.
        most: tokens kept for one cluster, >= 1.
        floor: float64 [N]; a firing counts where its activation is above it, and above 0: an imported threshold may
            be negative. NaN counts every firing of the latent; so does None for all latents.
        values: returns float32 [nnz] to be taken in the place of a shard's activations, less known interference for
            example; what is not above 0 does not fire.
        progress: called with (shards done, shards in all).

    Returns:
        uid -> its tokens, in the order of `members`; with no rows where there are none.

    Raises:
        CaptureError: the capture stores no activations (--no-keep), or a shard cannot be read.
        InputError: a cluster names a latent twice or one that the SAE has not, or an argument is out of range.
    """
    if least < 1 or most < 1 or (greatest is not None and greatest < least):
        raise InputError(f"least {least}, greatest {greatest}, most {most}: give 1 <= least <= greatest and most >= 1")
    return _gathered(capture, members, (_Sort(least, greatest, most),), floor, values, progress)[0]


def shared_and_alone(
    capture: CaptureDir,
    members: Mapping[str, Ints],
    *,
    most: int = MOST,
    most_alone: int = MOST_ALONE,
    floor: Floats | None = None,
    values: Callable[[Shard], Singles] | None = None,
    progress: Progress | None = None,
) -> tuple[dict[str, ClusterTokens], dict[str, ClusterTokens]]:
    """Return, from one pass, the tokens on which two members and more fire, and those on which just one does.

    As `cluster_tokens`, with at most `most` tokens of the first kind for a cluster, and at most `most_alone` of the
    second for each of its members: those with the lowest hashes, as of the first. So the `most_alone` tokens of the
    second kind with the lowest hashes of a whole cluster are among them.

    Memory: that of `cluster_tokens`, and about 60 `most_alone` bytes (30 kB) for each member of each cluster that fires
    alone so often, twice that for a while.
    """
    if most < 1 or most_alone < 1:
        raise InputError(f"most {most}, most_alone {most_alone}: give 1 and more")
    sorts = (_Sort(2, None, most), _Sort(1, 1, most_alone, by_member=True))
    both = _gathered(capture, members, sorts, floor, values, progress)
    return both[0], both[1]


@dataclass(frozen=True)
class _Sort:
    """Tokens on which `least` to `greatest` members fire, `most` of a cluster, or of a member (by its lone tokens)."""

    least: int
    greatest: int | None
    most: int
    by_member: bool = False


def _gathered(
    capture: CaptureDir,
    members: Mapping[str, Ints],
    sorts: tuple[_Sort, ...],
    floor: Floats | None,
    values: Callable[[Shard], Singles] | None,
    progress: Progress | None,
) -> list[dict[str, ClusterTokens]]:
    """Return the tokens of each cluster, of each sort."""
    if not capture.keeps_activations:
        raise CaptureError(
            f"{capture.path} was captured with --no-keep: its activations were not stored, and the tokens of a "
            "cluster cannot be told; capture again without it"
        )
    sought = _Sought.of(members, capture.manifest.n_latents)
    # fmax passes over NaN. What is not above 0 does not fire, whatever the threshold.
    lowest = None if floor is None else np.fmax(floor, 0.0)
    kept = [_Kept(sought, sort) for sort in sorts]
    start, shards = 0, len(capture.manifest.shards)
    for number, shard in enumerate(capture.shards()):
        activations = shard.values if values is None else values(shard)
        fires = activations > (0.0 if lowest is None else lowest[shard.indices])
        firing, firing_members = _firing(shard, activations, fires, sought)
        for some in kept:
            some.add(firing, firing_members, start, shard)
        start += shard.rows
        if progress is not None:
            progress(number + 1, shards)
    groups = list(members.values())
    return [dict(zip(members, some.clusters(groups), strict=True)) for some in kept]


@dataclass(frozen=True)
class _Sought:
    """Which latents are in which clusters.

    Attributes:
        matrix: float32 [C, N] CSR array of ones; its columns stand ascending in a row.
        keys: int64, cluster * N + latent, ascending: one for each member of each cluster.
        starts: int64 [C], where a cluster begins among the keys.
        cluster: int64, the cluster of each key.
    """

    matrix: Any
    keys: Ints
    starts: Ints
    cluster: Ints

    @classmethod
    def of(cls, members: Mapping[str, Ints], n_latents: int) -> _Sought:
        import scipy.sparse as sp

        for uid, latents in members.items():
            if len(latents) and (latents.min() < 0 or latents.max() >= n_latents):
                raise InputError(f"cluster {uid}: a latent outside 0..{n_latents - 1}; cluster this capture again")
            if len(np.unique(latents)) != len(latents):
                raise InputError(f"cluster {uid}: a latent stands twice among its members; cluster again")
        sizes = np.array([len(latents) for latents in members.values()], dtype=np.int64)
        starts = np.concatenate([[0], np.cumsum(sizes)])
        columns = np.concatenate([np.zeros(0, np.int64), *(np.sort(latents) for latents in members.values())])
        matrix = sp.csr_array((np.ones(len(columns), np.float32), columns, starts), shape=(len(members), n_latents))
        cluster = np.repeat(np.arange(len(members)), sizes)
        return cls(matrix, cluster * n_latents + columns, starts[:-1], cluster)

    def key(self, cluster: Ints, latent: Ints) -> Ints:
        """Return the number of the key of each latent in a cluster."""
        found: Ints = np.searchsorted(self.keys, cluster * self.matrix.shape[1] + latent)
        return found

    def place(self, cluster: Ints, latent: Ints) -> Ints:
        """Return the place of each latent among the members of its cluster."""
        return self.key(cluster, latent) - self.starts[cluster]


def _firing(shard: Shard, activations: Singles, fires: Bools, sought: _Sought) -> tuple[Any, Any]:
    """Return the firings of a shard, CSR [R, N], and _ONE for each member of a cluster that fires, and the sum of their
    latents, COO [R, C] int64.
    """
    import scipy.sparse as sp

    indptr = np.concatenate([np.zeros(1, np.int64), np.cumsum(fires)])[shard.indptr]
    shape = (shard.rows, sought.matrix.shape[1])
    firing = sp.csr_array((activations[fires], shard.indices[fires].astype(np.int64), indptr), shape=shape)
    ones = sp.csr_array((_ONE + firing.indices.astype(np.int64), firing.indices, firing.indptr), shape=shape)
    return firing, (ones @ sought.matrix.T.astype(np.int64).tocsr()).tocoo()


@dataclass
class _Kept:
    """The tokens of one sort kept so far: those of each group, a cluster or a member, with the lowest hashes."""

    sought: _Sought
    sort: _Sort
    tokens: Ints = field(init=False)
    # Per kept token: group, hash, row in the capture, document, position; per firing: token, latent, activation.
    _tokens: list[tuple[Array, ...]] = field(default_factory=list)
    _firings: list[tuple[Array, ...]] = field(default_factory=list)
    _waiting: int = 0
    _pruned: int = 0

    def __post_init__(self) -> None:
        n_clusters = len(self.sought.starts)
        self.tokens = np.zeros(n_clusters, np.int64)
        self._cluster = self.sought.cluster if self.sort.by_member else np.arange(n_clusters)
        # A token with a hash above its group's bar has `most` before it.
        self._bar = np.full(len(self._cluster), np.iinfo(np.uint64).max, np.uint64)

    def add(self, firing: Any, members: Any, start: int, shard: Shard) -> None:
        """Add the tokens of a shard whose first row is number `start` of the capture, of what `_firing` returns."""
        number = members.data // _ONE
        chosen = number >= self.sort.least
        if self.sort.greatest is not None:
            chosen &= number <= self.sort.greatest
        row, cluster = members.row[chosen].astype(np.int64), members.col[chosen].astype(np.int64)
        self.tokens += np.bincount(cluster, minlength=len(self.tokens))
        # Of one member the sum of the latents is the latent.
        group = self.sought.key(cluster, members.data[chosen] % _ONE) if self.sort.by_member else cluster
        hashes = place_hash(shard.document, shard.position)[row]
        low = hashes <= self._bar[group]
        row, cluster, group, hashes = row[low], cluster[low], group[low], hashes[low]
        entries = firing[row].multiply(self.sought.matrix[cluster]).tocoo()
        self._tokens.append((group, hashes, start + row, shard.document[row], shard.position[row]))
        self._firings.append((entries.row.astype(np.int64) + self._waiting, entries.col, entries.data))
        self._waiting += len(row)
        # As often as the whole doubles, not once for each shard.
        if self._waiting > 2 * self._pruned + 100_000:
            self._prune()

    def _prune(self) -> None:
        tokens = [np.concatenate(parts) for parts in zip(*self._tokens, strict=True)]
        firings = [np.concatenate(parts) for parts in zip(*self._firings, strict=True)]
        order = np.lexsort((tokens[1], tokens[0]))
        counts = np.bincount(tokens[0], minlength=len(self._bar))
        rank = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
        full = order[rank == self.sort.most - 1]
        self._bar[tokens[0][full]] = tokens[1][full]
        # In the order of the text within each cluster.
        stay = order[rank < self.sort.most]
        stay = stay[np.lexsort((tokens[2][stay], self._cluster[tokens[0][stay]]))]
        renumbered = np.full(len(order), -1, np.int64)
        renumbered[stay] = np.arange(len(stay))
        held = renumbered[firings[0]] >= 0
        self._tokens = [tuple(part[stay] for part in tokens)]
        self._firings = [(renumbered[firings[0][held]], firings[1][held], firings[2][held])]
        self._waiting = self._pruned = len(stay)

    def clusters(self, members: list[Ints]) -> list[ClusterTokens]:
        """Return the tokens of each cluster."""
        import scipy.sparse as sp

        if self._tokens:
            self._prune()
            group, _, row, document, position = self._tokens[0]
            token, latent, activation = self._firings[0]
        else:
            group = row = token = latent = np.zeros(0, np.int64)
            document = position = np.zeros(0, np.int32)
            activation = np.zeros(0, np.float32)
        cluster = self._cluster[group]
        place = self.sought.place(cluster[token], latent.astype(np.int64))
        by_token = np.argsort(token, kind="stable")
        starts = np.searchsorted(cluster, np.arange(len(members) + 1))
        bounds = np.searchsorted(token[by_token], starts)
        result = []
        for number, latents in enumerate(members):
            low, high = starts[number], starts[number + 1]
            at = by_token[bounds[number] : bounds[number + 1]]
            firings = sp.coo_array((activation[at], (token[at] - low, place[at])), shape=(high - low, len(latents)))
            result.append(
                ClusterTokens(
                    members=np.sort(latents).astype(np.int64),
                    row=row[low:high],
                    document=document[low:high],
                    position=position[low:high],
                    firings=firings.tocsr().astype(np.float32),
                    tokens=int(self.tokens[number]),
                )
            )
        return result
