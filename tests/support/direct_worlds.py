"""Dense firings with planted structures, the edges of them, and which of these are direct."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from cofire.common.arrays import Bools, Ints, Ints32
from cofire.ingest.capture_dir.shard import Shard
from cofire.ingest.direct.direct import COLUMNS, CountTriples, direct_edges
from cofire.ingest.direct.triples import count_triples
from cofire.ingest.edges.rule import KeptEdges
from cofire.ingest.edges.significance import log_odds_error, stratified_log_odds
from cofire.schema.tables import EDGES

MEMORY = 1 << 24
Told = dict[tuple[int, int], dict[str, Any]]


def rows_of(fires: Bools) -> tuple[Ints, Ints32]:
    indptr = np.concatenate([[0], np.cumsum(fires.sum(axis=1))]).astype(np.int64)
    return indptr, np.nonzero(fires)[1].astype(np.int32)


def shard_of(fires: Bools) -> Shard:
    indptr, indices = rows_of(fires)
    zeros = np.zeros(len(fires), np.int32)
    return Shard(zeros, zeros, zeros, indptr, indices, np.ones(len(indices), np.float32))


def kept_of(
    fires: Bools, weak: set[tuple[int, int]] | None = None, out: set[tuple[int, int]] | None = None
) -> KeptEdges:
    """The edges of dense firings [T, N] by the rule without its test: 20 joint firings, log odds of 1 over all tokens.

    `weak` pairs are weak-only ones, `out` pairs do not pass (as with --edges all).
    """
    counts, n, tokens = fires.T.astype(np.int64) @ fires.astype(np.int64), fires.sum(axis=0), len(fires)
    a, b = (ends.astype(np.int32) for ends in np.triu_indices(len(n), 1))
    joint = counts[a, b]
    effect = stratified_log_odds(joint, n[a] * n[b] / tokens, n[a], n[b], tokens)
    keep = (joint >= 20) & (effect >= 1)
    a, b, joint, effect = a[keep], b[keep], joint[keep], effect[keep]
    pairs = list(zip(a.tolist(), b.tolist(), strict=True))
    known: dict[str, Any] = {
        "a": a,
        "b": b,
        "count": joint,
        "log_odds": effect,
        "log_odds_se": log_odds_error(joint, n[a], n[b], tokens),
        "weak_only": np.array([pair in (weak or ()) for pair in pairs], np.bool_),
    }
    columns = [
        pa.array(known[f.name], f.type) if f.name in known
        else pa.nulls(len(a), f.type) if f.nullable
        else pa.array(np.zeros(len(a)), f.type)
        for f in EDGES.arrow_schema()
    ]  # fmt: skip
    passing = np.array([pair not in (out or ()) for pair in pairs], np.bool_)
    return KeptEdges(pa.table(columns, schema=EDGES.arrow_schema()), passing, joint, {})


def counting(fires: Bools) -> CountTriples:
    return lambda wanted, memory, _stage: count_triples(wanted, memory, [shard_of(fires)], None)


def told_of(fires: Bools, work: Path, bound: float = 1.0, **which: Any) -> Told:
    kept = kept_of(fires, **which)
    n = fires.sum(axis=0)
    table, _ = direct_edges(kept, n, len(fires), bound=bound, memory=MEMORY, work=work, count=counting(fires))
    return {
        (row["a"], row["b"]): row for row in table.select(["a", "b", "log_odds", "log_odds_se", *COLUMNS]).to_pylist()
    }


def contexts(seed: int, *, members: int, groups: int, tokens: int, share: float = 0.4, on: float = 0.05) -> Bools:
    """Hidden contexts on `on` of the tokens, each member on in `share` of them; every third in the next one too."""
    rng = np.random.default_rng(seed)
    fires = rng.random((tokens, members * groups)) < 0.005
    for group in range(groups):
        where = rng.random(tokens) < on
        own = list(range(group * members, (group + 1) * members))
        if group + 1 < groups:
            own += list(range((group + 1) * members, (group + 2) * members, 3))
        fires[:, own] |= where[:, None] & (rng.random((tokens, len(own))) < share)
    return fires


def some(rng: Any, where: Bools, share: float, often: float = 0.002) -> Bools:
    """Firings on `share` of the tokens `where`, and on `often` of all tokens."""
    made: Bools = (where & (rng.random(len(where)) < share)) | (rng.random(len(where)) < often)
    return made


def structure(kind: str, seed: int, tokens: int = 8000) -> tuple[Bools, set[tuple[int, int]], set[tuple[int, int]]]:
    """Return firings, the pairs that are direct, and those that a third latent explains."""
    rng = np.random.default_rng(seed)
    cause = rng.random(tokens) < 0.1
    if kind == "clique":  # of a context that is no latent
        columns = [some(rng, cause, 0.5) for _ in range(7)]
        return np.stack(columns, 1), set(combinations(range(7), 2)), set()
    if kind == "star":  # spokes of a hub, each on in a part of its tokens
        columns = [cause, *(some(rng, cause, 0.4) for _ in range(5))]
        return np.stack(columns, 1), {(0, k) for k in range(1, 6)}, set(combinations(range(1, 6), 2))
    if kind == "chain":  # each is on in half of the tokens of the one before
        columns = [cause]
        for _ in range(3):
            columns.append(some(rng, columns[-1], 0.6))
        direct_ones = {(k, k + 1) for k in range(3)}
        return np.stack(columns, 1), direct_ones, set(combinations(range(4), 2)) - direct_ones
    # nested: grandchild in child in parent, each now and then where the one before is not
    child = some(rng, cause, 0.5)
    columns = [cause, child, some(rng, child, 0.5)]
    return np.stack(columns, 1), {(0, 1), (1, 2)}, {(0, 2)}
