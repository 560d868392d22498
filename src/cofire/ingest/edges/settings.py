"""What decides the edges and the other tables of a count."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from cofire.common.settings import recorded, setting


@dataclass(frozen=True)
class EdgeRule:
    """What decides the edges.

    `edges`: "significant" keeps the pairs that pass the rule; "all" every pair that co-fired, with the same measures.
    """

    edges: Literal["significant", "all"] = setting(
        "significant", "pairs to keep: the significant ones, or all that ever co-fired"
    )
    min_count: int = setting(20, "fewest joint firings of a kept pair", ge=1)
    min_log_odds: float = setting(1.0, "least log odds of a kept pair, natural log", ge=-100, le=100)
    fdr: float = setting(0.01, "false discovery rate of the edges (Benjamini-Hochberg)", gt=0, lt=1)
    weak: bool = setting(False, "keep the pairs that pass only with firings below the noise floor, flagged")
    token_strata: int = setting(
        0, "most frequent tokens that are strata of their own within a document", ge=0, le=100_000
    )
    denoise: bool = setting(True, "judge clear firings less the interference of other latents")
    direct: bool = setting(True, "tell which edges no third latent explains")
    direct_bound: float = setting(
        1.0,
        "a third latent explains an edge whose log odds given it are below this, natural log; not above --min-log-odds",
        ge=-100,
        le=100,
    )

    @property
    def words(self) -> str:
        """The rule in words, as it is stored with the SAE."""
        within = "documents"
        if self.token_strata:
            within += f" and, in them, each of the {self.token_strata:,} most frequent tokens"
        passes = f"count >= {self.min_count}, log_odds >= {self.min_log_odds:g}, q <= {self.fdr:g} within {within}"
        if self.edges == "all":
            return f"all pairs that co-fired; significant would be {passes}"
        return passes + ("; weak-only pairs too" if self.weak else "")

    def recorded(self) -> dict[str, Any]:
        """Return the settings that the result depends on."""
        return {**recorded(self), "rule": self.words}


@dataclass(frozen=True)
class CountSettings(EdgeRule):
    """What decides the tables: the edge rule; and the bound on what is held in memory, which changes no result."""

    memory: int = setting(
        2 * 1024**3,
        "bound on the counters of pairs, such as 512MB or 4GB",
        ge=16 * 1024**2,
        size=True,
        recorded=False,
    )
