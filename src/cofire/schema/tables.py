"""The tables of a capture (`CAPTURE/tables/*.parquet`), one frozen dataclass each; those of clusters stand in
cofire.schema.cluster_tables, that of stars in cofire.schema.star_tables.

A column is declared once: its Parquet type, its meaning, whether it may be null. A value that is undefined (a phi of a
latent that always fires, the centralisation of a pair) is null, never 0 or NaN.
"""

from __future__ import annotations

from cofire.schema.base import Column, ColumnType, Table, filled_columns
from cofire.schema.cluster_tables import (
    CLUSTER_FUNCTIONS,
    CLUSTER_NULLS,
    CLUSTERS,
    MEMBERS,
    MOTIF_COUNTS,
    SUBSPACE_MIXTURES,
    SUBSPACE_POINTS,
    SUBSPACES,
)
from cofire.schema.star_tables import STARS

__all__ = [
    "CENTROIDS",
    "CLUSTERS",
    "CLUSTER_FUNCTIONS",
    "CLUSTER_NULLS",
    "CONDITIONALS",
    "CONTEXTS",
    "EDGES",
    "LATENTS",
    "LATENT_PARTS",
    "MEMBERS",
    "MOTIF_COUNTS",
    "STARS",
    "SUBSPACES",
    "SUBSPACE_MIXTURES",
    "SUBSPACE_POINTS",
    "TABLES",
    "TOKENS",
    "TWINS",
    "Column",
    "ColumnType",
    "Table",
]

LATENT_PARTS: tuple[Table, ...] = ()
"""Tables with the key `index` and part_of="latents", one an analysis: their other columns stand in `latents` too, and
are properties of `Latent`."""

LATENTS = Table(
    "latents",
    "One row per latent of the SAE, dead ones included.",
    ("index",),
    (
        Column("index", "int32", "The latent's index in the SAE."),
        Column("firing_count", "int64", "Tokens on which the latent fires."),
        Column("frequency", "float64", "firing_count / counted tokens."),
        Column("mean", "float64", "Mean activation over the tokens where it fires.", nullable=True),
        Column("std", "float64", "Population standard deviation of the same activations.", nullable=True),
        Column("max", "float64", "Largest activation.", nullable=True),
        Column("threshold", "float64", "theta: the SAE's own firing threshold (0 where the class has none)."),
        Column("mu", "float64", "Activation at which the histogram has u = 1 (see mu_rule).", nullable=True),
        Column(
            "mu_rule",
            "string",
            "Where mu comes from: 'mode', the highest clear mode of the activations; 'mean', their mean, when no "
            "mode stands clear of the threshold.",
            nullable=True,
        ),
        Column(
            "main_low",
            "float64",
            "Activation at which the main peak begins: the valley left of mu where mu is a mode, else the threshold.",
            nullable=True,
        ),
        Column(
            "off_median",
            "float64",
            "m0: median pre-activation on sampled tokens where it does not fire; null without residuals.",
            nullable=True,
        ),
        Column(
            "sigma0",
            "float64",
            "Spread of the same pre-activations: 1.4826 times their median absolute deviation.",
            nullable=True,
        ),
        Column(
            "clear_floor",
            "float64",
            "A firing is clear above it: max(threshold, m + 3 s), m and s being off_median and sigma0 of what is left "
            "when known interference is taken off; so is the activation, see the SAE's noise_floor.",
            nullable=True,
        ),
        Column("clear_firing_count", "int64", "Tokens with a clear firing; null without a clear_floor.", nullable=True),
        Column(
            "histogram",
            "list<int64>",
            "256 counts of u = (activation - threshold) / (mu - threshold) over [0, 4), 1/64 a bin; u >= 4 is "
            "counted in the last bin.",
            nullable=True,
        ),
        Column("dead", "bool", "True when the latent never fires in this capture."),
        *filled_columns(LATENT_PARTS),
    ),
)

EDGES = Table(
    "edges",
    "One row per kept pair of latents that fire on the same tokens; a < b.",
    ("a", "b"),
    (
        Column("a", "int32", "The lower latent index."),
        Column("b", "int32", "The higher latent index."),
        Column("count", "int64", "Tokens on which both fire (exact)."),
        Column(
            "clear_count",
            "int64",
            "Tokens on which both fire clearly; null where the noise floor of either is unknown. The measures from "
            "expected to log_odds_se are of the clear firings of latents whose floor is known, of all firings of "
            "others, and of all firings where weak_only is true.",
            nullable=True,
        ),
        Column(
            "weak_only", "bool", "True for a pair that passes the edge rule with all firings, not with the clear ones."
        ),
        Column(
            "expected",
            "float64",
            "E: joint firings if the two were independent given the stratum (document), sum of s_a s_b / L.",
        ),
        Column(
            "p", "float64", "P(Poisson(E) >= joint firings): bounds the chance of as many by independence given strata."
        ),
        Column(
            "q",
            "float64",
            "Benjamini-Hochberg over all pairs of live latents; those below min_count or min_log_odds enter as p = 1.",
        ),
        Column("z", "float64", "(joint firings - E) / sqrt(V), for display only.", nullable=True),
        Column(
            "log_odds",
            "float64",
            "LO(O) - LO(E), O joint firings, natural log, LO(x) = ln[(x+.5)(T-n_a-n_b+x+.5) / ((n_a-x+.5)(n_b-x+.5))].",
        ),
        Column("log_odds_se", "float64", "Standard error of LO(O) for independent tokens (Gart and Zweifel 1967)."),
        Column(
            "direct",
            "bool",
            "True where no third latent explains the edge, false where explained_by does. This and the three after it "
            "are null for weak_only pairs, pairs that do not pass the rule, and where it was not looked at.",
            nullable=True,
        ),
        Column(
            "direct_log_odds",
            "float64",
            "The least of log_odds and of the Mantel-Haenszel log odds given each of up to 16 common neighbours, "
            "natural log.",
            nullable=True,
        ),
        Column(
            "direct_log_odds_se",
            "float64",
            "Standard error of the one that is least: log_odds_se, or Robins, Breslow and Greenland 1986.",
            nullable=True,
        ),
        Column(
            "explained_by",
            "int32",
            "The latent given which the log odds are below the bound (direct_bound), the least of those whose edges to "
            "both ends still stood; null where direct.",
            nullable=True,
        ),
        Column("jaccard", "float64", "count / (n_a + n_b - count)."),
        Column("phi", "float64", "Pearson correlation of the two firing indicators.", nullable=True),
        Column(
            "npmi",
            "float64",
            "ln(p_ab / (p_a p_b)) / -ln p_ab; 1 when they only fire together.",
            nullable=True,
        ),
        Column("lift", "float64", "count T / (n_a n_b), over all tokens whatever their document."),
        Column("p_b_given_a", "float64", "count / n_a."),
        Column("p_a_given_b", "float64", "count / n_b."),
        Column(
            "magnitude_r",
            "float64",
            "Pearson correlation of the two activations on the tokens where both fire; null for fewer than 3, and for "
            "pairs that do not pass the rule.",
            nullable=True,
        ),
        Column(
            "decoder_cosine",
            "float64",
            "Cosine of the decoder directions; null without weights.",
            nullable=True,
        ),
    ),
)

TWINS = Table(
    "twins",
    "One row per kept edge whose latents are one feature told twice: each fires on four fifths and more of the other's "
    "firings, the clear ones where these were counted; a < b.",
    ("a", "b"),
    (
        Column("a", "int32", "The lower latent index."),
        Column("b", "int32", "The higher latent index."),
        Column("count", "int64", "Tokens on which both fire, clearly where clear firings were counted."),
        Column("share", "float64", "The smaller of both shares: count / firings of the one that fires more often."),
    ),
    in_graph=False,
)

TOKENS = Table(
    "tokens",
    "The ten tokens on which a latent fires most often, and the ten of the highest score; most frequent first.",
    ("latent", "token"),
    (
        Column("latent", "int32", "The latent's index."),
        Column("token", "int32", "Token id in the model's vocabulary."),
        Column("text", "string", "The token as text; a part of a character as its bytes, `<0xE6><0xBB>`."),
        Column("count", "int64", "Firings of the latent on this token."),
        Column("share", "float64", "count / firing_count of the latent."),
        Column("lift", "float64", "share / (share of this token among all counted tokens)."),
        Column(
            "score",
            "float64",
            "How distinctive the token is: the evidence that the latent fires on it more often (positive) or "
            "less (negative) than on others: G^2 of Dunning (1993), signed.",
        ),
    ),
)

CONTEXTS = Table(
    "contexts",
    "Example texts per latent, spread evenly over its activation range; rank 0 is its strongest firing.",
    ("latent", "rank"),
    (
        Column("latent", "int32", "The latent's index."),
        Column("rank", "int32", "0 for the strongest example, ascending as activation falls."),
        Column("document", "int32", "Document number in the capture's text."),
        Column("position", "int32", "Token offset within the document."),
        Column(
            "text",
            "string",
            "The token between « and », with the text around it; the whole character where the token is a part of one.",
        ),
        Column("activation", "float64", "The latent's activation on the token."),
        Column("u", "float64", "(activation - threshold) / (mu - threshold).", nullable=True),
    ),
)

CONDITIONALS = Table(
    "conditionals",
    "What a latent does, over the tokens where it fires, while a partner is off, fires, or is in its main peak: two "
    "rows for each pair that passes the edge rule.",
    ("latent", "given"),
    (
        Column("latent", "int32", "The latent whose activations are told."),
        Column("given", "int32", "Its partner."),
        Column("count_off", "int64", "Tokens where the latent fires and the partner does not."),
        Column("count_on", "int64", "Tokens where both fire."),
        Column(
            "count_main",
            "int64",
            "Of these, tokens with the partner in its main peak (>= its main_low).",
            nullable=True,
        ),
        Column("count_both_main", "int64", "Of these, tokens with both in their main peaks.", nullable=True),
        Column("mean_off", "float64", "Mean activation of the latent over the first; null without any.", nullable=True),
        Column("mean_on", "float64", "The same over the tokens where both fire.", nullable=True),
        Column("mean_main", "float64", "The same with the partner in its main peak.", nullable=True),
        Column(
            "histogram_on",
            "list<int32>",
            "64 counts of the latent's u over [0, 4) where both fire, 1/16 a bin, u >= 4 in the last. With the partner "
            "off: latents.histogram, each four bins added, less this.",
            nullable=True,
        ),
        Column("histogram_main", "list<int32>", "The same with the partner in its main peak.", nullable=True),
    ),
    in_graph=False,
)

CENTROIDS = Table(
    "centroids",
    "Where the model is while a latent is in its main peak: one row per latent that a stored residual shows so.",
    ("latent",),
    (
        Column("latent", "int32", "The latent's index."),
        Column("tokens", "int64", "Sampled tokens with the latent in its main peak (activation >= main_low)."),
        Column("centroid", "list<float32>", "Mean of what the SAE reads over them, [d]."),
    ),
    in_graph=False,
)

TABLES: tuple[Table, ...] = (
    LATENTS,
    EDGES,
    TWINS,
    TOKENS,
    CONTEXTS,
    CONDITIONALS,
    CENTROIDS,
    CLUSTERS,
    MEMBERS,
    CLUSTER_NULLS,
    CLUSTER_FUNCTIONS,
    MOTIF_COUNTS,
    SUBSPACES,
    SUBSPACE_POINTS,
    SUBSPACE_MIXTURES,
    STARS,
    *LATENT_PARTS,
)
