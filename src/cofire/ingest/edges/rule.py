"""The edge rule: which candidates become edges, and what is told of each.

1. q: Benjamini-Hochberg over all pairs of live latents, those with too few joint firings or too small an effect as
   p = 1, since no p can make edges of them. A p that is put up takes nothing from the bound of the false discovery
   rate; q of the others can only grow by it.
2. A pair is kept at count >= min_count, q <= fdr and log_odds >= min_log_odds, judged on the clear firings of those
   latents whose noise floor is known and all firings of the others.
3. A pair that passes only with all firings is `weak_only`: low activations make it, which may be the model's
   uncertainty or interference between directions. It is kept on request.
4. How many pairs each step removed, and the decoder cosines of what was kept and of the weak-only pairs, are recorded.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from cofire.common.arrays import Array, Bools, Floats, Ints, Singles
from cofire.common.files import read_parquet
from cofire.ingest.edges.candidates import Candidates
from cofire.ingest.edges.measures import pair_measures
from cofire.ingest.edges.settings import EdgeRule
from cofire.ingest.edges.significance import benjamini_hochberg, log_odds_error, stratified_log_odds, z_score
from cofire.ingest.latents.passes import nullable
from cofire.schema.tables import EDGES

Figures = dict[str, int | float]


@dataclass(frozen=True)
class LatentCounts:
    """What the rule needs of the latents.

    Attributes:
        firing_count: int64 [N].
        known: bool [N], whether the latent's noise floor is known.
        tokens: T.
        decoder: float32 [N, d], or None.
    """

    firing_count: Ints
    known: Bools
    tokens: int
    decoder: Singles | None


@dataclass(frozen=True)
class KeptEdges:
    """What the rule made of the candidates.

    Attributes:
        table: the table `edges`; magnitude_r and what tells direct edges are still null.
        passing: bool [M], which of its rows pass the rule (weak-only ones that are kept on request included).
        joint: int64 [M], joint firings as the rule counts them: the clear ones where these were counted.
        figures: how many pairs each step removed.
    """

    table: pa.Table
    passing: Bools
    joint: Ints
    figures: Figures

    @property
    def proper(self) -> Ints:
        """The rows that pass, weak-only ones left out: what can be direct, or explain. int64, ascending."""
        return np.flatnonzero(self.passing & ~self.table.column("weak_only").to_numpy())


@dataclass(frozen=True)
class _Judged:
    """The measures of M candidates, all [M], and what the rule says of each."""

    expected: Floats
    p: Floats
    q: Floats
    z: Floats
    log_odds: Floats
    log_odds_se: Floats
    strong: Bools
    passing: Bools
    weak_only: Bools


MEASURES = ("expected", "p", "q", "z", "log_odds", "log_odds_se")
STEPS = ("strong", "passing", "weak_only")


def edges_table(found: Candidates, latents: LatentCounts, rule: EdgeRule) -> KeptEdges:
    """Return the table `edges`, as far as the rule goes, which of its rows pass, and the figures of the rule.

    Memory: 40 bytes a candidate, and the kept edges.
    """
    families = ["", "clear_"] if found.clear_count is not None else [""]
    q = {family: _q_values(found, latents, rule, family) for family in families}
    schema = EDGES.arrow_schema()
    kept, passing, joint = [schema.empty_table()], [np.zeros(0, np.bool_)], [np.zeros(0, np.int64)]
    cosines: dict[str, list[Floats]] = {"kept": [], "weak_only": []}
    totals = {f"pairs_{step}": 0 for step in STEPS}
    at = 0
    for file in found.files:
        read = read_parquet(file)
        columns: dict[str, Array] = {name: read.column(name).to_numpy() for name in read.column_names}
        size = read.num_rows
        columns |= {f"{family}q": q[family][at : at + size] for family in families}
        at += size
        judged = _judged(columns, found, latents, rule)
        for step in STEPS:
            totals[f"pairs_{step}"] += int(getattr(judged, step).sum())
        keep = _keep(judged, rule)
        cosine = np.full(size, np.nan)
        shown = keep | judged.weak_only
        if latents.decoder is not None:
            cosine[shown] = decoder_cosines(latents.decoder, columns["a"][shown], columns["b"][shown])
            cosines["kept"].append(cosine[judged.passing & shown])
            cosines["weak_only"].append(cosine[judged.weak_only])
        kept.append(_rows(columns, judged, cosine, keep, latents))
        passing.append((judged.passing | (judged.weak_only & rule.weak))[keep])
        joint.append(columns["count" if found.clear_count is None else "clear_count"][keep])
    table = pa.concat_tables(kept).combine_chunks()
    figures: Figures = {
        "pairs_that_co_fired": found.co_fired,
        "pairs_frequent": found.frequent,
        **totals,
        # A pair that is not strong has a q of 1.
        "pairs_significant": totals["pairs_passing"],
        "pairs_kept": table.num_rows,
    }
    for name, parts in cosines.items():
        values = np.concatenate([np.zeros(0), *parts])
        values = values[np.isfinite(values)]
        if len(values):
            low, middle, high = np.quantile(values, [0.25, 0.5, 0.75]).tolist()
            figures |= {f"cosine_{name}_q1": low, f"cosine_{name}_median": middle, f"cosine_{name}_q3": high}
    return KeptEdges(table, np.concatenate(passing), np.concatenate(joint), figures)


def _q_values(found: Candidates, latents: LatentCounts, rule: EdgeRule, family: str) -> Floats:
    """Return q of every candidate in one way of counting; 1 of those that are not strong."""
    counts = latents.firing_count if family == "" or found.clear_count is None else found.clear_count
    live = int(np.count_nonzero(counts))
    parts, strong = [np.zeros(0)], [np.zeros(0, np.bool_)]
    for file in found.files:
        read = read_parquet(file, columns=["a", "b", *(f"{family}{name}" for name in ("count", "expected", "p"))])
        a, b, joint, expected, p = (column.to_numpy() for column in read.columns)
        log_odds = stratified_log_odds(joint, expected, counts[a], counts[b], latents.tokens)
        strong.append(_strong(joint, log_odds, rule))
        parts.append(p[strong[-1]])
    is_strong = np.concatenate(strong)
    q = np.ones(len(is_strong))
    q[is_strong] = benjamini_hochberg(np.concatenate(parts), live * (live - 1) // 2)
    return q


def _strong(joint: Ints, log_odds: Floats, rule: EdgeRule) -> Bools:
    return np.asarray((joint >= rule.min_count) & (log_odds >= rule.min_log_odds), np.bool_)


def _judged(columns: dict[str, Array], found: Candidates, latents: LatentCounts, rule: EdgeRule) -> _Judged:
    """Judge candidates from their clear firings where these were counted."""
    a, b, tokens = columns["a"], columns["b"], latents.tokens

    def family(prefix: str, counts: Ints) -> _Judged:
        joint, expected, q = columns[f"{prefix}count"], columns[f"{prefix}expected"], columns[f"{prefix}q"]
        log_odds = stratified_log_odds(joint, expected, counts[a], counts[b], tokens)
        strong = _strong(joint, log_odds, rule)
        return _Judged(
            expected=expected,
            p=columns[f"{prefix}p"],
            q=q,
            z=z_score(joint, expected, columns[f"{prefix}variance"]),
            log_odds=log_odds,
            log_odds_se=log_odds_error(joint, counts[a], counts[b], tokens),
            strong=strong,
            passing=strong & (q <= rule.fdr),
            weak_only=np.zeros(len(a), np.bool_),
        )

    everything = family("", latents.firing_count)
    if found.clear_count is None:
        return everything
    clear = family("clear_", found.clear_count)
    # Where every joint firing is clear, low activations are not what made it pass.
    less = columns["clear_count"] < columns["count"]
    weak = everything.passing & ~clear.passing & less
    # A weak-only edge is told as it is with all firings, which is what it stands on.
    told = {name: np.where(weak, getattr(everything, name), getattr(clear, name)) for name in MEASURES}
    return replace(clear, **told, weak_only=weak)


def _keep(judged: _Judged, rule: EdgeRule) -> Bools:
    if rule.edges == "all":
        return np.ones(len(judged.p), np.bool_)
    return np.asarray(judged.passing | (judged.weak_only & rule.weak), np.bool_)


def _rows(columns: dict[str, Array], judged: _Judged, cosine: Floats, keep: Bools, latents: LatentCounts) -> pa.Table:
    a, b, joint = columns["a"][keep], columns["b"][keep], columns["count"][keep]
    values: dict[str, Array] = {
        "a": a,
        "b": b,
        "count": joint,
        "weak_only": judged.weak_only[keep],
        **{name: getattr(judged, name)[keep] for name in MEASURES},
        **pair_measures(joint, latents.firing_count[a], latents.firing_count[b], latents.tokens),
        "magnitude_r": np.full(len(a), np.nan),
        "decoder_cosine": cosine[keep],
    }
    schema = EDGES.arrow_schema()
    clear = _clear_counts(columns, keep, latents.known[a] & latents.known[b])
    # What tells direct edges is made last, of all edges (`cofire.ingest.direct`).
    made = [
        clear
        if field.name == "clear_count"
        else nullable(values[field.name], field)
        if field.name in values
        else pa.nulls(len(a), field.type)
        for field in schema
    ]
    return pa.table(made, schema=schema)


def _clear_counts(columns: dict[str, Array], keep: Bools, known: Bools) -> pa.Array:
    if "clear_count" not in columns:
        return pa.nulls(len(known), pa.int64())
    return pa.array(columns["clear_count"][keep], mask=~known)


def decoder_cosines(decoder: Singles, a: Array, b: Array) -> Floats:
    """Return the cosine of the decoder directions [N, d] of each pair, float64 [M]; NaN where one is zero."""
    norms = np.sqrt(np.einsum("ij,ij->i", decoder, decoder, dtype=np.float64))
    cosine = np.full(len(a), np.nan)
    # In pieces: the directions of a million pairs do not fit in memory at once.
    for piece in np.array_split(np.arange(len(a)), len(a) // 2_048 + 1):
        dot = np.einsum("ij,ij->i", decoder[a[piece]], decoder[b[piece]], dtype=np.float64)
        with np.errstate(invalid="ignore", divide="ignore"):
            cosine[piece] = dot / (norms[a[piece]] * norms[b[piece]])
    return cosine
