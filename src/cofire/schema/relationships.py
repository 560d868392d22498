"""The relationships of the graph, each under the arrow that it draws."""

from __future__ import annotations

from cofire.schema.base import Property, Relationship
from cofire.schema.nodes import (
    CAPTURE,
    CLUSTER,
    CONTEXT,
    LATENT,
    MODEL,
    MOTIF_COUNT,
    PEAK,
    PEAK_CLUSTER,
    RELEASE,
    SAE,
    TOKEN,
)

# (:Sae)-[:IN_RELEASE]->(:Release)
IN_RELEASE = Relationship("IN_RELEASE", SAE, RELEASE, "The release that published the SAE.")

# (:Sae)-[:READS]->(:Model)
READS = Relationship(
    "READS",
    SAE,
    MODEL,
    "The model whose activations the SAE reads.",
    (
        Property("hook", "string", "Hook point."),
        Property("layer", "integer", "Layer of the hook point."),
    ),
)

# (:Sae)-[:CAPTURED_IN]->(:Capture)
CAPTURED_IN = Relationship("CAPTURED_IN", SAE, CAPTURE, "The capture that the SAE's counts come from.")

# (:Latent)-[:OF]->(:Sae)
OF = Relationship("OF", LATENT, SAE, "The SAE of the latent.")

# (:Latent)-[:CO_FIRES]->(:Latent)
CO_FIRES = Relationship(
    "CO_FIRES",
    LATENT,
    LATENT,
    "The two latents fire on the same tokens. Stored once, from the lower index to the higher: match it undirected.",
    (
        Property("count", "integer", "Tokens on which both fire (exact)."),
        Property("clearCount", "integer", "Tokens on which both fire clearly, where the noise floors are known."),
        Property(
            "weakOnly", "boolean", "True where the pair passes the edge rule only with firings below the noise floor."
        ),
        Property("expected", "float", "Joint firings if the two were independent given the document."),
        Property("p", "float", "Chance of as many joint firings, at most, if they were."),
        Property("q", "float", "The same, Benjamini-Hochberg over all pairs of live latents."),
        Property("z", "float", "Joint firings less expected, in standard deviations; for display only."),
        Property("logOdds", "float", "Log odds of the joint firing less those expected, natural log."),
        Property("logOddsSe", "float", "Standard error of the log odds."),
        Property("jaccard", "float", "count / tokens on which either fires."),
        Property("phi", "float", "Correlation of the two firing indicators."),
        Property("npmi", "float", "Normalised pointwise mutual information."),
        Property("lift", "float", "count / joint firings if the two were independent over all tokens."),
        Property("pBGivenA", "float", "P(the higher index fires | the lower fires)."),
        Property("pAGivenB", "float", "P(the lower index fires | the higher fires)."),
        Property("magnitudeR", "float", "Correlation of the two activations on the tokens where both fire."),
        Property("decoderCosine", "float", "Cosine of the decoder directions."),
    ),
)

# (:Latent)-[:IN]->(:Cluster)
IN = Relationship(
    "IN",
    LATENT,
    CLUSTER,
    "The latent belongs to the cluster.",
    (
        Property("role", "string", "hub, spoke, core or member."),
        Property("strength", "float", "Sum of logOdds of its edges to the other members, those of positive logOdds."),
    ),
)

# (:Cluster)-[:PART_OF]->(:Cluster)
PART_OF = Relationship(
    "PART_OF",
    CLUSTER,
    CLUSTER,
    "The second, of the next coarser level where the first grows, has all its latents and more.",
)

# (:MotifCount)-[:COUNTED_IN]->(:Sae)
COUNTED_IN = Relationship("COUNTED_IN", MOTIF_COUNT, SAE, "The motifs are those of the SAE's graph.")

# (:Latent)-[:FIRES_ON]->(:Token)
FIRES_ON = Relationship(
    "FIRES_ON",
    LATENT,
    TOKEN,
    "The token is among the ten on which the latent fires most often, or the ten of the highest score.",
    (
        Property("count", "integer", "Firings of the latent on the token."),
        Property("share", "float", "count / firingCount of the latent."),
        Property("lift", "float", "share / share of the token among all counted tokens."),
        Property("score", "float", "How distinctive the token is for the latent: signed G^2."),
    ),
)

# (:Latent)-[:SHOWN_BY]->(:Context)
SHOWN_BY = Relationship(
    "SHOWN_BY",
    LATENT,
    CONTEXT,
    "An example of the latent firing, spread over its activation range.",
    (
        Property("rank", "integer", "0 for the strongest example."),
        Property("activation", "float", "The latent's activation on the marked token."),
        Property("u", "float", "The same, aligned: (activation - threshold) / (mu - threshold)."),
    ),
)

# (:Latent)-[:HAS_PEAK]->(:Peak)
HAS_PEAK = Relationship("HAS_PEAK", LATENT, PEAK, "A mode of the latent's density.", written=False)

# (:Peak)-[:PEAK_CO_FIRES]->(:Peak)
PEAK_CO_FIRES = Relationship(
    "PEAK_CO_FIRES",
    PEAK,
    PEAK,
    "The two peaks occur on the same tokens.",
    (Property("count", "integer", "Tokens on which both occur."),),
    written=False,
)

# (:Peak)-[:IN]->(:PeakCluster)
PEAK_IN = Relationship("IN", PEAK, PEAK_CLUSTER, "The peak belongs to the cluster of peaks.", written=False)

# (:Peak)-[:SHOWN_BY]->(:Context)
PEAK_SHOWN_BY = Relationship("SHOWN_BY", PEAK, CONTEXT, "An example of the peak.", written=False)

# (:Latent)-[:PARENT_OF]->(:Latent)
PARENT_OF = Relationship(
    "PARENT_OF",
    LATENT,
    LATENT,
    "The first latent's feature contains the second's.",
    (Property("p", "float", "Probability."), Property("evidence", "string", "What it rests on.")),
    written=False,
)

# (:Latent)-[:MATCHES]->(:Latent)
MATCHES = Relationship(
    "MATCHES",
    LATENT,
    LATENT,
    "The two latents, of different SAEs, stand for the same feature.",
    (
        Property("score", "float", "Correlation of their activations on the same tokens."),
        Property("method", "string", "How the score was measured."),
        Property("kind", "string", "one_to_one, split or merge."),
    ),
    written=False,
)

# (:Cluster)-[:MIRRORS]->(:Cluster)
MIRRORS = Relationship(
    "MIRRORS",
    CLUSTER,
    CLUSTER,
    "The two clusters, of different SAEs, are the same.",
    (
        Property("score", "float", "Weighted Jaccard of matched members."),
        Property("p", "float", "p-value against the null."),
        Property("q", "float", "The same, Benjamini-Hochberg over clusters."),
        Property("hubChange", "boolean", "True when the hubs do not match."),
        Property("functionChange", "boolean", "True when the function labels differ."),
    ),
    written=False,
)

RELATIONSHIPS: tuple[Relationship, ...] = (
    IN_RELEASE,
    READS,
    CAPTURED_IN,
    OF,
    CO_FIRES,
    IN,
    PART_OF,
    COUNTED_IN,
    FIRES_ON,
    SHOWN_BY,
    HAS_PEAK,
    PEAK_CO_FIRES,
    PEAK_IN,
    PEAK_SHOWN_BY,
    PARENT_OF,
    MATCHES,
    MIRRORS,
)
