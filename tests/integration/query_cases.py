"""With which parameters each query of the library is asked of a world."""

from __future__ import annotations

import random
from typing import Any

from query_view import MEASURES
from query_worlds import DELETING, FUNCTIONS, LOADING, READY, SHAPE, STRUCTURES, TEXTS, Row, World

SAES = (*READY, LOADING, DELETING, "rel/unknown")
# Some are words of a world, some mean something to a full-text index or to Cypher.
WORDS = (
    "of", "OF", "brien", "names", "quoted", "é", "É", "名前", "e", "x", "", " ", "of the", "*", "o*", "of OR the", '"',
    "\\", '\\"', "') MATCH (n) DETACH DELETE n //", "words:of", "~", "\n", "\x00", "🙂", "-of", "a" * 300,
    " of", "OF ", "\tof\n",
)  # fmt: skip
PHRASES = (
    "one of two", "one", "«", "'", '"', "\\", "", "名前 two", "$text", "ONE", "no such text", "« Oui », dit",
    "Oui , dit", "il «of» two", "»",
)  # fmt: skip
STRENGTHS = (None, 0.0, 1.5, 99.0)
LIMITS = (0, 1, 3, 2**40, 2**63 - 1)


def cases(name: str, world: World, most: int = 60) -> list[Row]:
    """Return the parameter sets with which a query is asked of a world; those left out have their defaults.

    Where there are more than `most`, so many of them, other ones for each world.
    """
    every = all_cases(name, world)
    rng = random.Random(f"{name} {sorted(world.clusters)}")  # noqa: S311 - tests want the same each time
    return every if len(every) <= most else rng.sample(every, most)


def all_cases(name: str, world: World) -> list[Row]:
    """Return every parameter set of a query."""
    n = len(world.latents) // len(world.saes)
    one = [{"sae": sae, "index": i} for sae in SAES for i in (0, 1, 3, 5, n - 1, n)]
    alive = [{"sae": sae, "index": i} for sae in READY for i in range(n)] + one[12::2]  # the latter are of no ready SAE
    pairs = [
        {"sae": sae, "a": a, "b": b} for sae in SAES for a, b in ((0, 1), (6, 0), (1, n - 2), (2, 2), (0, 5), (7, 8))
    ]
    two = [{"sae_a": a, "sae_b": b} for a in SAES for b in SAES]
    texts: list[Row] = [
        {"text": text, "spaced": spaced} for text in (*sorted(set(TEXTS)), "no") for spaced in (True, False)
    ]
    plain: list[Row] = [{"sae": sae} for sae in SAES]
    clusters = [{"cluster": c} for c in (*world.clusters, f"{READY[0]}/c-none")]
    motifs = crossed(alive, "min_log_odds", STRENGTHS)
    # For the queries that list whole clusters.
    listed = crossed(plain, "n_tokens", (1, 2, 1000)) + crossed(plain, "min_size", (4, 5, 6))

    found: dict[str, list[Row]] = {
        "bridge_latents": limited(crossed(clusters, "min_log_odds", STRENGTHS)),
        "bridges_between_clusters": limited(
            plain + crossed(crossed(plain, "min_log_odds", STRENGTHS), "min_edges", (1, 2))
        ),
        "children_of_latent": limited(alive),
        "clique_clusters": limited(listed + crossed(plain, "min_clique_share", (0.0, 0.8, 1.0))),
        "cluster_card": clusters,
        "cluster_edges": clusters,
        "cluster_mates": limited(alive),
        "cluster_numbers": clusters,
        "cluster_tree": limited(crossed(plain, "min_size", (2, 4, 7))),
        "clusters_above_null": limited(crossed(crossed(plain, "by", SHAPE), "min_z", (-1.0, 3.0))),
        "clusters_by_function": limited(
            crossed(listed, "function", ("ambiguity",))
            + crossed(crossed(plain, "function", tuple(FUNCTIONS)), "min_p", (0.0, 0.5, 0.75))
        ),
        "cluster_neighbours": limited(crossed(clusters, "min_log_odds", STRENGTHS)),
        "common_neighbours": limited(pairs),
        "common_tokens": limited(pairs),
        "compare_saes": two,
        "contained_latents": limited(crossed(crossed(plain, "min_p", (0.5, 0.8)), "max_reverse", (0.5, 0.8))),
        "contexts_with_text": limited(crossed(plain, "phrase", PHRASES)),
        "dead_latents": limited(plain),
        "dense_latents": limited(plain + crossed(plain, "min_frequency", (0.0, 0.5))),
        "densest_clusters": limited(
            plain + listed + crossed(plain, "structure", (*STRUCTURES, "too_small", None))
        ),
        "edge_between": pairs,
        "edges_among": crossed(plain, "indices", ([], [0, 1, 2, 6, 6], list(range(n)), [2**62, -1])),
        "hierarchy_roots": limited(crossed(plain, "min_p", (0.0, 0.5, 0.75, 1.0))),
        "hub_and_spoke_clusters": limited(listed + crossed(plain, "min_centralization", (0.0, 0.8, 1.0))),
        "hub_overlap": crossed(pairs, "min_log_odds", STRENGTHS),
        "latent_card": one,
        "latent_contexts": limited(one),
        "latent_peaks": alive,
        "latent_tokens": limited(one),
        "latents_by_token": limited(texts),
        "latents_by_word": limited(crossed(plain, "word", WORDS)),
        "matched_latents": limited(
            two + crossed(crossed(two, "kind", ("one_to_one", "split", "merge", None)), "min_score", (0.5, None))
        ),
        "matches_of_latent": limited(alive),
        "members_by_role": limited(
            plain + crossed(crossed(plain, "role", ("hub", "spoke", "core", "member")), "min_size", (2, 4))
        ),
        "mirrored_clusters": limited(two),
        "mirrors_of_cluster": limited(clusters),
        "motif_counts": limited(crossed(plain, "min_z", (None, 0.0, 3.0))),
        "most_connected_latents": limited(plain),
        "nearest_decoders": crossed(alive, "limit", (1, 2, 5, 10, 1000)),
        "open_triads_at_latent": limited(motifs),
        "parents_of_latent": limited(alive),
        "path_between_latents": crossed(pairs, "max_steps", (1, 2, 3, 6)),
        "peak_clusters": limited(crossed(plain, "min_size", (1, 2, 3))),
        "peak_partners": limited(alive),
        "sae_summary": plain,
        "saes": [{}],
        "same_token_across_saes": texts,
        "shared_token": limited([s | t for s in plain for t in texts]),
        "similar_hubs": limited(alive),
        "star_at_latent": limited(motifs),
        "strongest_edges": limited(crossed(crossed(plain, "by", tuple(MEASURES)), "min_count", (0, 30, 2**53 + 2))),
        "strongest_neighbours": limited(crossed(one, "by", tuple(MEASURES))),
        "tokens_in_both_saes": limited(two),
        "triangles_through_latent": limited(one),
        "two_hop_neighbours": limited(alive),
    }  # fmt: skip
    return found[name]


def limited(sets: list[Row]) -> list[Row]:
    """Each set without a limit, and with each of `LIMITS`."""
    return sets + crossed(sets, "limit", LIMITS)


def crossed(sets: list[Row], name: str, values: tuple[Any, ...]) -> list[Row]:
    """Each set with each value of one more parameter."""
    return [s | {name: value} for s in sets for value in values]
