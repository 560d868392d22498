"""The plane of a cluster: principal components of what its members together add to the model.

    1. the tokens on which two members and more fire, at most FITTED of them, chosen by the hash of their place
       (`activations.cluster_tokens`), and at most ALONE on which one fires and no other, to show the corners;
    2. c = sum over the members of a_k d_k on each token: activation times decoder direction. Without weights each
       member is an axis of its own, a_k / m_k, m_k its full strength (`activations.full_strength`);
    3. principal components of c over the tokens of two members and more, in the span of the members: with A [R, n] the
       centred activations and K = D D^T [n, n] the inner products of the directions, A K^(1/2) has the singular values
       and the left singular vectors of A D [R, d], which is never made. At most 3 components. Tokens with one member
       are placed in the same coordinates, as are the corners m_k d_k and the origin;
    4. each mixture (the set of members that fire together): its number of tokens, and their centroid;
    5. the fit to the simplex of the members (`simplex`), of the tokens of two members and more.

Where noise floors are known only clear firings count, and activations are taken less known interference, as for the
edges (`activations.clear_values`); else all firings count. This and m_k matter: in a planted crowd of overlapping
latents r2 tells ambiguity from composition with AUROC .61 by all firings in units of mu, .86 by clear ones, and 1.00 by
clear ones in units of m_k (three test seeds; chosen on dev seeds).

Why two members: most tokens of nearly every cluster have one, which lie on n rays from the origin whatever the cluster
is for; they would choose the components, and make every simplex fit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cofire.analysis.activations.clear_values import clear_values
from cofire.analysis.activations.cluster_tokens import ClusterTokens, shared_and_alone
from cofire.analysis.activations.full_strength import KnownLatents, full_strength, known_latents
from cofire.analysis.clusters.members import cluster_members
from cofire.analysis.subspaces.simplex import simplex_fit
from cofire.common.files import AGAIN
from cofire.common.hashing import place_hash
from cofire.errors import CaptureError
from cofire.schema.tables import SUBSPACE_MIXTURES, SUBSPACE_POINTS, SUBSPACES, Table

if TYPE_CHECKING:
    import pyarrow as pa

    from cofire.common.arrays import Floats, Ints, Singles
    from cofire.common.progress import Progress
    from cofire.ingest.capture_dir.directory import CaptureDir

COMPONENTS = 3
FITTED = 1000
"""Tokens that a cluster is fitted to, and stored: about 50 kB a cluster on the disk. A share of variance then has a
standard error of some hundredths at the most."""
ALONE = 300
"""Tokens with one member that are stored: those with the lowest hashes. No more than MOST_ALONE of cluster_tokens,
which keeps as many of each member, so that these are among them."""
MIXTURES = 50
OTHERS = "others"
_RANK = 1e-9
"""A component with a smaller share of the variance than this is rounding: activations are float32."""


def cluster_subspaces(
    capture: CaptureDir,
    clusters: pa.Table,
    members: pa.Table,
    latents: pa.Table,
    *,
    progress: Progress | None = None,
) -> dict[str, pa.Table]:
    """Return the subspace of each finest cluster (level 0), pairs included, its points and its mixtures.

    Pairs are included: a pair that shares one unit of weight is the smallest ambiguity, and its plane hides nothing.

    Cost: one pass over the shards, with what `clear_values` costs; for each cluster n^3 for its components and 100
    sorts of its firings for the simplex. Memory: that of `shared_and_alone`, and for one cluster at a time some arrays
    of n x n numbers. The same capture and clusters give the same tables, however the capture is cut into shards.

    Args:
        capture: a capture that stores its activations.
        clusters: columns cluster, level, parent.
        members: columns cluster, latent.
        latents: the capture's table of latents.
        progress: called with (done, in all), in shards and clusters.

    Returns:
        The tables subspaces, subspace_points and subspace_mixtures (see cofire.schema.tables) by name, each sorted by
        its key.

    Raises:
        CaptureError: the capture stores no activations (--no-keep), a shard or the weights cannot be read, or the
            weights are not those of the SAE.
        InputError: `latents` lacks a column, or is not of this capture.
    """
    import pyarrow as pa

    level = dict(zip(clusters.column("cluster").to_pylist(), clusters.column("level").to_pylist(), strict=True))
    sought = {uid: found for uid, found in sorted(cluster_members(clusters, members).items()) if level[uid] == 0}
    known = known_latents(capture, latents)
    directions = _directions(capture)
    shards = len(capture.manifest.shards)
    total = shards + len(sought)

    def tell(done: int) -> None:
        if progress is not None:
            progress(done, total)

    clear = clear_values(capture, latents)
    together, single = shared_and_alone(
        capture, sought, most=FITTED, floor=clear.floor, values=clear.values, progress=lambda done, _: tell(done)
    )
    rows: list[dict[str, Any]] = []
    mixtures: list[dict[str, Any]] = []
    points: list[pa.Table] = [SUBSPACE_POINTS.arrow_schema().empty_table()]
    for done, uid in enumerate(sought, 1):
        row, its_points, its_mixtures = _subspace(uid, together[uid], single[uid], known, directions)
        rows.append(row)
        points.append(its_points)
        mixtures.extend(its_mixtures)
        tell(shards + done)
    return {
        "subspaces": _table(SUBSPACES, rows),
        "subspace_points": pa.concat_tables(points).combine_chunks(),
        "subspace_mixtures": _table(SUBSPACE_MIXTURES, mixtures),
    }


def _directions(capture: CaptureDir) -> Singles | None:
    """Return what one unit of each latent's activation writes, float32 [N, d]; None where it is not known."""
    directions = capture.weights().get("W_dec")
    if directions is None:
        return None
    n = capture.manifest.n_latents
    if directions.ndim != 2 or len(directions) != n:
        raise CaptureError(f"{capture.path}: W_dec is not of its {n} latents; {AGAIN}")
    if capture.manifest.sae.rescale_acts_by_decoder_norm:
        norms = np.linalg.norm(directions, axis=1, keepdims=True)
        directions = directions / np.maximum(norms, np.finfo(np.float32).tiny)
    return directions


@dataclass(frozen=True)
class _Plane:
    """Principal components in the span of n members: coordinates of activations a are a @ axes + origin.

    Attributes:
        axes: float64 [n, k], k <= 3; what one unit of a member's activation adds to the coordinates.
        origin: float64 [k], coordinates of no contribution.
        explained: float64 [k], shares of the variance, descending.
    """

    axes: Floats
    origin: Floats
    explained: Floats


def _plane(activations: Floats, gram: Floats) -> _Plane | None:
    """Fit the components of activations [R, n] whose directions have the inner products `gram` [n, n].

    None where they do not differ, or `gram` has a number that is not finite.
    """
    if len(activations) < 2 or not np.isfinite(gram).all():
        return None
    mean = activations.mean(axis=0)
    centred = activations - mean
    size, turn = np.linalg.eigh(gram)
    # Directions that depend on one another leave sizes of about -1e-17.
    root = (turn * np.sqrt(np.maximum(size, 0.0))) @ turn.T
    variance, vectors = np.linalg.eigh(root @ (centred.T @ centred) @ root)
    variance, vectors = np.maximum(variance[::-1], 0.0), vectors[:, ::-1]
    total = float(variance.sum())
    # What all tokens share must not come back as rounding.
    if total <= 1e-12 * float(((activations @ gram) * activations).sum()):
        return None
    kept = int((variance[:COMPONENTS] > _RANK * total).sum())
    axes = root @ vectors[:, :kept]
    # A component has no direction of its own: the member that it moves most is moved up.
    most = np.abs(np.round(axes, 9)).argmax(axis=0)
    axes = axes * np.where(axes[most, np.arange(kept)] < 0, -1.0, 1.0)
    return _Plane(axes, -mean @ axes, variance[:kept] / total)


def _subspace(
    uid: str,
    together: ClusterTokens,
    single: ClusterTokens,
    known: KnownLatents,
    directions: Singles | None,
) -> tuple[dict[str, Any], pa.Table, list[dict[str, Any]]]:
    """Return the row, the points and the mixtures of one cluster."""
    latents = together.members
    mu, is_mode, floor = known.mu[latents], known.is_mode[latents], known.floor[latents]
    strength = full_strength(single.firings, mu, is_mode, floor).value
    compared = bool(np.isfinite(strength).all())
    activations = together.activations.astype(np.float64)
    if directions is None:
        gram = np.diag(strength**-2.0)
    else:
        chosen = directions[latents].astype(np.float64)
        gram = chosen @ chosen.T
    plane = _plane(activations, gram)
    fit = simplex_fit(activations / strength) if compared else None
    row = {
        "cluster": uid,
        "space": "activation" if directions is None else "decoder",
        "co_firing": together.tokens,
        "alone": single.tokens,
        "tokens": len(activations),
        "explained": None if plane is None else plane.explained.tolist(),
        "latents": latents.tolist(),
        "strengths": strength.tolist() if compared else None,
        "corners": (strength[:, None] * plane.axes + plane.origin).ravel().tolist() if plane and compared else None,
        "origin": None if plane is None else plane.origin.tolist(),
        "simplex_r2": None if fit is None else fit.r2,
        "simplex_null": None if fit is None else fit.null,
        "simplex_p": None if fit is None else fit.p,
    }
    return row, _points(uid, together, single, strength, plane), _mixtures(uid, activations, latents, plane)


def _points(
    uid: str, together: ClusterTokens, single: ClusterTokens, strength: Floats, plane: _Plane | None
) -> pa.Table:
    """Return the rows of subspace_points."""
    import pyarrow as pa
    import scipy.sparse as sp

    stored = np.sort(np.argsort(place_hash(single.document, single.position))[:ALONE])
    place = np.concatenate([together.row, single.row[stored]])
    order = np.argsort(place, kind="stable")
    firings = sp.vstack([together.firings, single.firings[stored]], format="csr")[order]
    firings.sort_indices()
    rows = len(place)
    ratio = firings.toarray() / strength
    # A member of unknown strength is not compared; one that does not fire has the ratio 0.
    ratio = np.where(np.isfinite(ratio), ratio, 0.0)
    strongest = together.members[ratio.argmax(axis=1)]
    offsets = pa.array(firings.indptr.astype(np.int32))
    if plane is None:
        components = pa.nulls(rows, pa.list_(pa.float32()))
    else:
        at = firings.toarray().astype(np.float64) @ plane.axes + plane.origin
        starts = np.arange(rows + 1, dtype=np.int32) * at.shape[1]
        components = pa.ListArray.from_arrays(pa.array(starts), pa.array(at.ravel(), pa.float32()))
    columns = {
        "cluster": pa.array([uid] * rows, pa.string()),
        "point": pa.array(np.arange(rows), pa.int32()),
        "document": pa.array(np.concatenate([together.document, single.document[stored]])[order], pa.int32()),
        "position": pa.array(np.concatenate([together.position, single.position[stored]])[order], pa.int32()),
        "components": components,
        "strongest": pa.array(strongest, pa.int32(), mask=ratio.max(axis=1, initial=0.0) <= 0),
        "latents": pa.ListArray.from_arrays(offsets, pa.array(together.members[firings.indices], pa.int32())),
        "activations": pa.ListArray.from_arrays(offsets, pa.array(firings.data, pa.float32())),
    }
    return pa.table(columns, schema=SUBSPACE_POINTS.arrow_schema())


def _mixtures(uid: str, activations: Floats, latents: Ints, plane: _Plane | None) -> list[dict[str, Any]]:
    """Return the rows of subspace_mixtures, by name: the most frequent, and all others as one."""
    fires = activations > 0
    # Rows packed to bytes are compared much faster than rows of flags.
    _, first, which, tokens = np.unique(
        np.packbits(fires, axis=1), axis=0, return_index=True, return_inverse=True, return_counts=True
    )
    which = which.reshape(-1)
    # The most frequent; of equal ones the first in the text.
    ranked = np.lexsort((first, -tokens))
    found = [("+".join(str(k) for k in latents[fires[first[i]]].tolist()), 1, which == i) for i in ranked[:MIXTURES]]
    others = ranked[MIXTURES:]
    if len(others):
        found.append((OTHERS, len(others), np.isin(which, others)))
    return [
        {
            "cluster": uid,
            "mixture": name,
            "mixtures": number,
            "tokens": int(chosen.sum()),
            "components": None
            if plane is None
            else (activations[chosen].mean(axis=0) @ plane.axes + plane.origin).tolist(),
        }
        for name, number, chosen in sorted(found, key=lambda one: one[0])
    ]


def _table(table: Table, rows: list[dict[str, Any]]) -> pa.Table:
    import pyarrow as pa

    return pa.Table.from_pylist(rows, schema=table.arrow_schema())
