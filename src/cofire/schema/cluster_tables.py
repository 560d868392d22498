"""The tables of clusters, their shape, their function and their motifs; see cofire.schema.tables."""

from __future__ import annotations

from cofire.schema.base import Column, Table

NUMBERS = (
    "density",
    "centralization",
    "strength_centralization",
    "transitivity",
    "core_periphery",
    "max_clique_share",
    "gini",
)
"""The numbers that describe a cluster and are compared with rewired graphs, in the order of the tables."""

CLUSTERS = Table(
    "clusters",
    "One row per cluster of two latents and more, of the finest level and of each coarser one.",
    ("cluster",),
    (
        Column("cluster", "string", "uid: SAE uid + '/c-' + 12 hex digits of the SHA-256 of the member indices."),
        Column("size", "int32", "Number of latents."),
        Column(
            "level",
            "int32",
            "0 for the finest level, whose members stand in the table members; higher is coarser.",
        ),
        Column(
            "parent",
            "string",
            "uid of the cluster that holds it at the next coarser level where it grows; null without one.",
            nullable=True,
        ),
        Column("resolution", "float64", "Resolution of the level: the geometric mean of those it was made from."),
        Column(
            "stability",
            "float64",
            "Mean over its level's runs of its best overlap (Jaccard) with a cluster of the run; null without runs.",
            nullable=True,
        ),
        Column("seed", "int64", "Seed of the runs."),
        Column(
            "structure",
            "string",
            "hub_and_spoke, clique, path, core_periphery, mixed, or too_small (fewer than 4 latents).",
        ),
        Column(
            "structure_p",
            "float64",
            "Probability of this structure, calibrated on planted graphs; null for too_small.",
            nullable=True,
        ),
        Column("density", "float64", "Edges / possible edges among the members.", nullable=True),
        Column("centralization", "float64", "Freeman degree centralisation; 1 for a star.", nullable=True),
        Column(
            "strength_centralization",
            "float64",
            "The same of strengths, the sums of positive log_odds inside; 1 for a star of equal edges.",
            nullable=True,
        ),
        Column("transitivity", "float64", "Closed share of the connected triples; null without any.", nullable=True),
        Column(
            "core_periphery",
            "float64",
            "Core-periphery correlation with a core of one latent: edges with those of a star on the best hub.",
            nullable=True,
        ),
        Column(
            "max_clique_share",
            "float64",
            "Largest clique / size; null where the search was given up.",
            nullable=True,
        ),
        Column("gini", "float64", "Gini coefficient of the members' strengths.", nullable=True),
        *(
            Column(
                f"{name}_z",
                "float64",
                f"{name} less the mean of null clusters of equal size, in their standard deviations.",
                nullable=True,
            )
            for name in NUMBERS
        ),
        Column(
            "function",
            "string",
            "composition, ambiguity, hierarchy or unclear, told without the graph; null where it was not asked.",
            nullable=True,
        ),
        Column("p_composition", "float64", "Probability of composition, calibrated on planted worlds.", nullable=True),
        Column("p_ambiguity", "float64", "Probability of ambiguity, calibrated on planted worlds.", nullable=True),
        Column("p_hierarchy", "float64", "Probability of hierarchy, calibrated on planted worlds.", nullable=True),
    ),
    maker="analyze",
)

MEMBERS = Table(
    "members",
    "The latents of each cluster of the finest level; a latent is in one at most.",
    ("cluster", "latent"),
    (
        Column("cluster", "string", "The cluster's uid."),
        Column("latent", "int32", "The latent's index."),
        Column(
            "role",
            "string",
            "hub or spoke in a hub_and_spoke cluster, core or member in a core_periphery one, else member.",
        ),
        Column("strength", "float64", "Sum of the positive log_odds of its edges to the other members."),
    ),
    maker="analyze",
)

CLUSTER_NULLS = Table(
    "cluster_nulls",
    "What clusters of equal size look like when the SAE's graph is rewired (degrees kept) and clustered again.",
    ("cluster",),
    (
        Column("cluster", "string", "The cluster's uid."),
        Column("null_clusters", "int32", "Null clusters that it was compared with."),
        Column(
            "null_resolution",
            "float64",
            "Resolution at which they were cut: the cluster's own or, where that gave too few of its size, a lower "
            "one; null without any.",
            nullable=True,
        ),
        Column("density_mean", "float64", "Mean of density over them.", nullable=True),
        Column("density_sd", "float64", "Its standard deviation.", nullable=True),
        Column("density_z", "float64", "(value - mean) / standard deviation.", nullable=True),
        Column("centralization_mean", "float64", "Mean of centralization over them.", nullable=True),
        Column("centralization_sd", "float64", "Its standard deviation.", nullable=True),
        Column("centralization_z", "float64", "(value - mean) / standard deviation.", nullable=True),
        Column("strength_centralization_mean", "float64", "Mean of strength_centralization over them.", nullable=True),
        Column("strength_centralization_sd", "float64", "Its standard deviation.", nullable=True),
        Column("strength_centralization_z", "float64", "(value - mean) / standard deviation.", nullable=True),
        Column("transitivity_mean", "float64", "Mean of transitivity over them.", nullable=True),
        Column("transitivity_sd", "float64", "Its standard deviation.", nullable=True),
        Column("transitivity_z", "float64", "(value - mean) / standard deviation.", nullable=True),
        Column("core_periphery_mean", "float64", "Mean of core_periphery over them.", nullable=True),
        Column("core_periphery_sd", "float64", "Its standard deviation.", nullable=True),
        Column("core_periphery_z", "float64", "(value - mean) / standard deviation.", nullable=True),
        Column("max_clique_share_mean", "float64", "Mean of max_clique_share over them.", nullable=True),
        Column("max_clique_share_sd", "float64", "Its standard deviation.", nullable=True),
        Column("max_clique_share_z", "float64", "(value - mean) / standard deviation.", nullable=True),
        Column("gini_mean", "float64", "Mean of gini over them.", nullable=True),
        Column("gini_sd", "float64", "Its standard deviation.", nullable=True),
        Column("gini_z", "float64", "(value - mean) / standard deviation.", nullable=True),
    ),
    maker="analyze",
    in_graph=False,
    part_of="clusters",
)

CLUSTER_FUNCTIONS = Table(
    "cluster_functions",
    "What the members of a cluster do on the tokens that they share; no edge is looked at. Full strength is mu where "
    "it is a mode well above the firing floor, else the mean activation on tokens where no other member fires.",
    ("cluster",),
    (
        Column("cluster", "string", "The cluster's uid."),
        Column(
            "tokens",
            "int64",
            "Tokens on which two members and more fire (clearly, where a noise floor is known); see twins.",
        ),
        Column(
            "ratio_sum",
            "float64",
            "Median over them of s, the sum of activation / mu over the members.",
            nullable=True,
        ),
        Column(
            "excess",
            "float64",
            "Median over them of (s - 1) / (k - 1), k members firing, s in units of full strength: 0 where they share "
            "the weight of one, 1 where each fires in full.",
            nullable=True,
        ),
        Column(
            "excess_alone",
            "float64",
            "The same in units of the mean activation on tokens where no other member fires.",
            nullable=True,
        ),
        Column(
            "magnitude_r",
            "float64",
            "Correlation of two members' activations on tokens where both fire and as many others, averaged over "
            "pairs by number of tokens.",
            nullable=True,
        ),
        Column(
            "mode_share",
            "float64",
            "Share of the members' firings on these tokens whose full strength is a mode; the others' is a mean.",
            nullable=True,
        ),
        Column(
            "floor_share",
            "float64",
            "Mean over these firings of (the activation above which they count) / full strength; above .5 two members "
            "cannot be seen to share one weight.",
            nullable=True,
        ),
        Column(
            "spread",
            "float64",
            "Standard deviation / mean of the members' activations on tokens where no other member fires.",
            nullable=True,
        ),
        Column(
            "containment",
            "float64",
            "Mean, over all members but the one that fires most, of the largest P(another fires | the member fires); "
            "close to a graph feature.",
            nullable=True,
        ),
        Column(
            "twins",
            "int64",
            "Members left out of all this: nearly always on with another, and that with it (one feature, split).",
        ),
        Column(
            "function",
            "string",
            "composition, ambiguity, hierarchy or unclear: by the probabilities with containment.",
        ),
        Column(
            "p_composition",
            "float64",
            "Probability of composition, with containment, calibrated on planted worlds.",
            nullable=True,
        ),
        Column(
            "p_ambiguity",
            "float64",
            "Probability of ambiguity, with containment, calibrated on planted worlds.",
            nullable=True,
        ),
        Column(
            "p_hierarchy",
            "float64",
            "Probability of hierarchy, with containment, calibrated on planted worlds.",
            nullable=True,
        ),
        Column(
            "p_composition_alone",
            "float64",
            "Without containment: half the probability that each member is in full (hierarchy is not told apart).",
            nullable=True,
        ),
        Column(
            "p_ambiguity_alone",
            "float64",
            "Without containment: probability of ambiguity, calibrated on planted worlds.",
            nullable=True,
        ),
        Column(
            "p_hierarchy_alone",
            "float64",
            "Without containment: the same as p_composition_alone.",
            nullable=True,
        ),
    ),
    maker="analyze",
    in_graph=False,
    part_of="clusters",
)

MOTIF_COUNTS = Table(
    "motif_counts",
    "How many motifs of a kind and size the SAE's co-firing graph has, and how many when it is rewired.",
    ("kind", "size"),
    (
        Column("kind", "string", "star, clique, path or bifan."),
        Column("size", "int32", "Latents in the motif."),
        Column("count", "int64", "Motifs in the graph."),
        Column("null_mean", "float64", "Mean over the rewired graphs.", nullable=True),
        Column("null_sd", "float64", "Standard deviation over them.", nullable=True),
        Column("z", "float64", "(count - null_mean) / null_sd; null where null_sd is 0.", nullable=True),
        Column("rewires", "int32", "Rewired graphs."),
    ),
    maker="analyze",
)

SUBSPACES = Table(
    "subspaces",
    "The plane in which a finest cluster's tokens lie: principal components of what its members add to the model, "
    "activation x decoder direction; and whether the tokens fill the simplex between the members. Where noise floors "
    "are known, only clear firings count, and activations are less the interference of other latents.",
    ("cluster",),
    (
        Column("cluster", "string", "The cluster's uid."),
        Column(
            "space",
            "string",
            "decoder: contributions are sums of activation x decoder direction; activation: the weights are not known, "
            "and each member is an axis of its own, in units of its full strength.",
        ),
        Column("co_firing", "int64", "Tokens of the capture on which two members and more fire."),
        Column("alone", "int64", "Tokens of the capture on which one member fires and no other."),
        Column("tokens", "int32", "Tokens that it was fitted to: of co_firing, the ones with the lowest hash."),
        Column(
            "explained",
            "list<float64>",
            "Share of the variance along each component, at most 3, less where the tokens span less; null where they "
            "do not differ, or a direction or (in the space activation) a strength is not known.",
            nullable=True,
        ),
        Column("latents", "list<int32>", "The members, ascending."),
        Column(
            "strengths",
            "list<float64>",
            "Full strength of each: mu where that is a mode well above the firing floor, else the mean activation on "
            "tokens where no other member fires, else mu; null where one is not known.",
            nullable=True,
        ),
        Column(
            "corners",
            "list<float64>",
            "Coordinates of each member at full strength and alone, member after member; null where explained or "
            "strengths is.",
            nullable=True,
        ),
        Column("origin", "list<float64>", "Coordinates of no contribution; null where explained is.", nullable=True),
        Column(
            "simplex_r2",
            "float64",
            "Share of the variance of activation / strength that weights explain which are >= 0 and sum to 1 over the "
            "members that fire; null where strengths is or the tokens do not differ.",
            nullable=True,
        ),
        Column(
            "simplex_null",
            "float64",
            "Mean of the same after each member's activations are shuffled over the tokens on which it fires.",
            nullable=True,
        ),
        Column("simplex_p", "float64", "(1 + shuffles with an r2 as high) / (1 + shuffles).", nullable=True),
    ),
    maker="analyze",
    in_graph=False,
)

SUBSPACE_POINTS = Table(
    "subspace_points",
    "Tokens in a cluster's subspace: those that it was fitted to, and some on which one member fires alone.",
    ("cluster", "point"),
    (
        Column("cluster", "string", "The cluster's uid."),
        Column("point", "int32", "Number of the token, ascending in document and position."),
        Column("document", "int32", "Document number in the capture's text."),
        Column("position", "int32", "Token offset within the document."),
        Column("components", "list<float32>", "Coordinates, at most 3; null where explained is.", nullable=True),
        Column(
            "strongest",
            "int32",
            "The member with the largest activation / strength on the token; null where none is known.",
            nullable=True,
        ),
        Column("latents", "list<int32>", "The members that fire, ascending: two and more where it was fitted to."),
        Column("activations", "list<float32>", "Their activations, less interference where that is known."),
    ),
    maker="analyze",
    in_graph=False,
)

SUBSPACE_MIXTURES = Table(
    "subspace_mixtures",
    "Where the tokens of each mixture of members (a set that fires together) lie on average: the 50 most frequent.",
    ("cluster", "mixture"),
    (
        Column("cluster", "string", "The cluster's uid."),
        Column(
            "mixture",
            "string",
            "Indices of the members that fire, ascending, joined by '+'; 'others' for all further ones together.",
        ),
        Column("mixtures", "int32", "Mixtures in the row: 1, or for 'others' how many."),
        Column("tokens", "int32", "Tokens of this mixture, of those that the subspace was fitted to."),
        Column("components", "list<float64>", "Mean of their coordinates; null where explained is.", nullable=True),
    ),
    maker="analyze",
    in_graph=False,
)
