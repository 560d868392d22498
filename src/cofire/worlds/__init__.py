"""Planted worlds: sparse firings whose truth is known, to calibrate estimators on and to score them by.

    bursty         latents that are independent given the document, but share its topic, beside pairs that truly co-fire
    planted_pairs  pairs of every strength and prevalence, in documents
    crowd          clusters and pairs seen through a tied encoder, drowned in unrelated latents (or quiet, without them)
    cluster_world  clusters of known shape and function, as a perfect SAE would show them
    seen_world     the same through overlapping directions: a perfect tied SAE in a crowd, or an SAE trained on them
    indirect_world pairs that fire together directly, and pairs that do so by way of a third latent; stars

Calibrate on DEV_SEEDS; TEST_SEEDS and TRAINED_TEST_SEEDS are for scoring alone. The same seed gives the same world.
"""

from __future__ import annotations

from cofire.worlds.captures import write_capture
from cofire.worlds.clusters import (
    FAMILIES,
    ClusterPlan,
    ClusterWorld,
    PlantedCluster,
    cluster_world,
    family_counts,
    plan_clusters,
)
from cofire.worlds.edges import Encoded, bursty, crowd, planted_pairs
from cofire.worlds.indirect import IndirectWorld, PlantedCase, PlantedStar, indirect_world
from cofire.worlds.indirect_cases import CASES
from cofire.worlds.seen import CROWD, SHORT, SMALL, TRAINED, SeenSettings, seen_world
from cofire.worlds.world import DEV_SEEDS, TEST_SEEDS, TRAINED_TEST_SEEDS, World

__all__ = [
    "CASES",
    "CROWD",
    "DEV_SEEDS",
    "FAMILIES",
    "SHORT",
    "SMALL",
    "TEST_SEEDS",
    "TRAINED",
    "TRAINED_TEST_SEEDS",
    "ClusterPlan",
    "ClusterWorld",
    "Encoded",
    "IndirectWorld",
    "PlantedCase",
    "PlantedCluster",
    "PlantedStar",
    "SeenSettings",
    "World",
    "bursty",
    "cluster_world",
    "crowd",
    "family_counts",
    "indirect_world",
    "plan_clusters",
    "planted_pairs",
    "seen_world",
    "write_capture",
]
