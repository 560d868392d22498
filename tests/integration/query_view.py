"""What the oracles share: one SAE of a world as library queries may see it, and a few helpers."""

from __future__ import annotations

from typing import Any, Self

import igraph as ig
from query_worlds import Row, World

Rows = list[Row]
EDGE = {
    "count": "count",
    "clear_count": "clearCount",
    "weak_only": "weakOnly",
    "expected": "expected",
    "p": "p",
    "q": "q",
    "z": "z",
    "log_odds": "logOdds",
    "log_odds_se": "logOddsSe",
    "jaccard": "jaccard",
    "phi": "phi",
    "npmi": "npmi",
    "lift": "lift",
}
MAGNITUDE = {"magnitude_r": "magnitudeR"}
BOTH_WAYS = EDGE | MAGNITUDE | {"p_b_given_a": "pBGivenA", "p_a_given_b": "pAGivenB", "decoder_cosine": "decoderCosine"}
MEASURES = {name: EDGE[name] for name in ("count", "log_odds", "jaccard", "phi", "npmi", "lift")}
MEASURES["decoder_cosine"] = "decoderCosine"


class View:
    """One SAE of a world, as library queries may see it: empty unless it is ready."""

    def __init__(self, world: World, sae: str) -> None:
        self.sae = sae
        ready = sae in world.saes and world.saes[sae]["status"] == "ready"
        self.latents = {i: row for (s, i), row in world.latents.items() if ready and s == sae}
        self.edges = {(a, b): row for (s, a, b), row in world.edges.items() if ready and s == sae}
        self.clusters = {c: row for c, row in world.clusters.items() if ready and row["sae"] == sae}
        self.finest = {c: row for c, row in self.clusters.items() if row["level"] == 0}
        self.members = {i: member for (s, i), member in world.members.items() if ready and s == sae}
        self.fires_on = {(i, t): row for (s, i, t), row in world.fires_on.items() if ready and s == sae}

    def edge(self, a: int, b: int) -> Row | None:
        return self.edges.get((min(a, b), max(a, b)))

    def neighbours(self, a: int) -> list[int]:
        return [y if x == a else x for x, y in self.edges if a in (x, y)]

    def strength(self, a: int, b: int) -> float:
        """The log odds of an edge that is there."""
        edge = self.edge(a, b)
        assert edge is not None
        return float(edge["logOdds"])

    def strong(self, least: float | None) -> Self:
        """This view without the edges below a bound."""
        if least is not None:
            self.edges = {pair: row for pair, row in self.edges.items() if row["logOdds"] >= least}
        return self

    def graph(self) -> ig.Graph:
        """The same as igraph's, whose vertices are the indices."""
        return ig.Graph(len(self.latents), list(self.edges))

    def cluster(self, index: int) -> str | None:
        return self.members[index][0] if index in self.members else None

    def inside(self, cluster: str) -> list[int]:
        """The cluster's members, strongest first."""
        found = [i for i, (c, _) in self.members.items() if c == cluster]
        return sorted(found, key=lambda i: (-self.members[i][1]["strength"], i))

    def partners_inside(self, index: int, cluster: str) -> int:
        return sum(
            1
            for other in self.neighbours(index)
            if self.cluster(other) == cluster and self.edge(index, other)["logOdds"] > 0  # type: ignore[index]
        )

    def tokens(self, index: int) -> list[str] | None:
        """The tokens that name a latent beside others."""
        found: list[str] | None = self.latents[index]["distinctiveTokens"]
        return found

    def named(self, index: int) -> Row:
        """The columns with a latent's tokens."""
        return {"distinctive_tokens": self.tokens(index), "top_tokens": self.latents[index]["topTokens"]}

    def shown(self, index: int, most: int) -> list[str]:
        """The first tokens, none where they are not known: what stands in a list of latents."""
        return (self.tokens(index) or [])[:most]


def ready_saes(world: World) -> list[str]:
    return sorted(uid for uid, row in world.saes.items() if row["status"] == "ready")


def pick(row: Row, names: dict[str, str]) -> Row:
    return {column: row[prop] for column, prop in names.items()}


def cut(rows: Rows, limit: int) -> Rows:
    return rows[:limit] if limit else rows


def null_last(value: Any) -> tuple[bool, float]:
    """A sort key: largest first, null last."""
    return (value is None, 0 if value is None else -value)
