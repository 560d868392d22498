"""The table of exclusive stars."""

from __future__ import annotations

from cofire.schema.base import Column, Table

STARS = Table(
    "stars",
    "Exclusive stars: a hub whose direct neighbours, its spokes, avoid each other on the hub's tokens. Firings are the "
    "clear ones where noise floors are known.",
    ("star",),
    (
        Column("star", "string", "The star's uid: of its SAE, hub and spokes."),
        Column("hub", "int32", "The latent in the middle."),
        Column("spokes", "list<int32>", "The latents around it, by descending direct_log_odds of their edge with it."),
        Column("spoke_firings", "list<int64>", "Tokens of the hub on which each spoke fires."),
        Column("hub_firings", "int64", "Tokens on which the hub fires."),
        Column("cover", "float64", "Share of these on which a spoke fires."),
        Column("one_of", "float64", "Share of these on which exactly one spoke fires."),
        Column("together", "int64", "Tokens of the hub that two spokes share, summed over all pairs of spokes."),
        Column(
            "expected",
            "float64",
            "The same of spokes that do not mind each other: sum of n_hs n_hs' / n_h, n_hs being spoke_firings.",
        ),
        Column("exclusivity", "float64", "together / expected, .5 at the most: 0 where no two spokes ever meet."),
        Column(
            "z",
            "float64",
            "(E - together) / sqrt(V), E and V with each spoke's firings scattered over the hub's tokens within "
            "documents; the statistic of which p is taken.",
        ),
        Column("p", "float64", "Share of all hubs with shuffled neighbours that have a star of as high a z."),
        Column("q", "float64", "Benjamini-Hochberg over all latents with neighbours enough to be a hub; .05 at most."),
    ),
    maker="analyze",
    in_graph=False,
)
