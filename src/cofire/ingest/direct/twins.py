"""Twins: two latents of one feature, which fire together nearly whenever either fires. The project's one notion of it.

SAEs split features. Two latents of nearly one direction then fire on the same tokens, and each explains everything of
the other. Whether two latents that are never apart are parts of one thing, or two things that go together, no
activation can tell.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from cofire.common.arrays import Bools, Floats, Ints
from cofire.ingest.edges.rule import KeptEdges
from cofire.schema.tables import TWINS

TWIN_SHARE = 0.8
"""Share of the firings of each of two latents on which the other fires too, from which on they are twins. In three
worlds of DEV_SEEDS through trained SAEs split features had .81 to 1.00 (and one .66), planted pairs .45 and less."""


def twin_share(joint: Ints, n_a: Ints, n_b: Ints) -> Floats:
    """Return the smaller of both shares, joint / max(n_a, n_b), float64 [M]; all are int64 [M], n_a and n_b >= 1."""
    return np.asarray(joint / np.maximum(n_a, n_b), np.float64)


def are_twins(joint: Ints, n_a: Ints, n_b: Ints) -> Bools:
    """Return which pairs are twins, bool [M]; the arguments are those of `twin_share`.

    It is to be asked of kept edges alone: two latents that each fire on nine of ten tokens are together on four fifths
    of their firings by chance.
    """
    return np.asarray(twin_share(joint, n_a, n_b) >= TWIN_SHARE, np.bool_)


def twins_table(kept: KeptEdges, firings: Ints) -> pa.Table:
    """Return the table `twins`: those of the kept edges, weak-only ones left out.

    Args:
        kept: the edges by the rule.
        firings: int64 [N], firings of each latent, the clear ones where `kept.joint` is of these.
    """
    own = kept.proper
    a, b = (kept.table.column(name).to_numpy()[own] for name in ("a", "b"))
    joint = kept.joint[own]
    share = twin_share(joint, firings[a], firings[b])
    twins = share >= TWIN_SHARE
    columns = [pa.array(column[twins]) for column in (a, b, joint, share)]
    return pa.table(columns, schema=TWINS.arrow_schema())
