"""What a cluster is for: composition, ambiguity or hierarchy, told by its members' activations and by no edge.

1. The tokens on which two members and more fire (`cluster_tokens`), and those on which just one does. Where the noise
   floor of a latent is known, only its clear firings count; where it was found with known interference taken off, so
   are the activations. Superposition else adds small activations that look like shares of a weight. Of members that
   are never apart one is looked at (`twins`): such a cluster is gone through once more without the others.
2. The evidence (`function_evidence`): the excess, how activations move together, how far that can be believed, and
   containment.
3. Probabilities by a regression calibrated on planted worlds (`model`): once with containment, which is close
   to a graph feature, and once without.
4. The label is the function whose probability with containment is at least THRESHOLD, else `unclear`.

The members are all that is known of the graph. The three functions weigh the same beforehand. The worlds have clusters
of 2 to 20 members that were planted whole; on clusters of another kind (of many functions at once, of latents that
share a topic and nothing else) the probabilities are extrapolated.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cofire.analysis.activations.clear_values import clear_values
from cofire.analysis.activations.cluster_tokens import ClusterTokens, shared_and_alone
from cofire.analysis.activations.full_strength import known_latents
from cofire.analysis.clusters.members import cluster_members
from cofire.analysis.functions.evidence import function_evidence
from cofire.analysis.functions.model import CLASSES, MIN_TOKENS, THRESHOLD, function_probabilities
from cofire.analysis.functions.twins import without_twins
from cofire.schema.cluster_tables import CLUSTER_FUNCTIONS

if TYPE_CHECKING:
    import pyarrow as pa

    from cofire.common.arrays import Ints
    from cofire.common.progress import Progress
    from cofire.ingest.capture_dir.directory import CaptureDir


def cluster_functions(
    capture: CaptureDir,
    clusters: pa.Table,
    members: pa.Table,
    latents: pa.Table,
    *,
    progress: Progress | None = None,
) -> pa.Table:
    """Return the table cluster_functions: evidence and probabilities of each cluster, of coarser levels too.

    Cost: one pass over the shards, two where there are twins. Memory: that of `shared_and_alone`, and for one cluster
    at a time that of `function_evidence`.

    Args:
        capture: a counted capture that stores its activations.
        clusters: columns cluster, level, parent.
        members: columns cluster, latent.
        latents: the capture's table of latents.
        progress: called with (steps done, steps in all).

    Returns:
        One row per cluster (cofire.schema.tables.CLUSTER_FUNCTIONS), sorted. Null probabilities and `unclear` where
        fewer than MIN_TOKENS tokens are shared, or where the full strength of members is unknown.

    Raises:
        CaptureError: the capture stores no activations (--no-keep), or is damaged.
        InputError: `latents` lacks a column, or is not of this capture.
    """
    import pyarrow as pa

    known = known_latents(capture, latents)
    sought = cluster_members(clusters, members)
    shards = len(capture.manifest.shards)
    total = 2 * shards + len(sought)

    def tell(done: int) -> None:
        if progress is not None:
            progress(done, total)

    clear = clear_values(capture, latents)

    def gathered(members: dict[str, Ints], before: int) -> tuple[dict[str, ClusterTokens], dict[str, ClusterTokens]]:
        return shared_and_alone(
            capture, members, floor=clear.floor, values=clear.values, progress=lambda done, _: tell(before + done)
        )

    shared, alone = gathered(sought, 0)
    twins, single = {}, {}
    for uid, found in shared.items():
        keep = without_twins(found.activations > 0, tokens=found.tokens, firings=known.firings[found.members])
        twins[uid] = int((~keep).sum())
        if twins[uid]:
            single[uid] = found.members[keep]
    if single:
        # Not from the sample at hand: most of it may be tokens of the twins alone.
        again = gathered(single, shards)
        shared, alone = shared | again[0], alone | again[1]
    evidence = {}
    for number, (uid, tokens) in enumerate(shared.items()):
        of = tokens.members
        evidence[uid] = function_evidence(
            tokens.activations,
            alone[uid].firings,
            tokens=tokens.tokens,
            mu=known.mu[of],
            is_mode=known.is_mode[of],
            floor=known.floor[of],
            firings=known.firings[of],
        )
        tell(2 * shards + number + 1)
    p = function_probabilities({uid: found for uid, found in evidence.items() if found.tokens >= MIN_TOKENS})
    rows = []
    for uid in sorted(evidence):
        row: dict[str, Any] = {"cluster": uid, **vars(evidence[uid]), "twins": twins[uid], "function": "unclear"}
        if uid in p["with"]:
            for variant, ending in (("with", ""), ("alone", "_alone")):
                row |= {f"p_{name}{ending}": float(p[variant][uid][k]) for k, name in enumerate(CLASSES)}
            if p["with"][uid].max() >= THRESHOLD:
                row["function"] = CLASSES[int(p["with"][uid].argmax())]
        rows.append(row)
    return pa.Table.from_pylist(rows, schema=CLUSTER_FUNCTIONS.arrow_schema())
