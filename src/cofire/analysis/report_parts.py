"""What a report is made from, and the pictures that it is made of."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

COLUMNS: dict[str, tuple[str, ...]] = {
    "latents": ("index", "firing_count", "frequency", "mu_rule", "histogram", "dead"),
    "edges": ("a", "b", "count", "log_odds"),
    "tokens": ("latent", "token", "text", "count"),
    "contexts": ("latent", "rank", "document", "position", "text", "activation", "u"),
    "clusters": ("cluster", "size", "resolution", "seed", "structure", "density", "centralization"),
    "members": ("cluster", "latent", "role", "strength"),
}
"""The columns that the report reads; others may be there. A table without rows may have no columns."""


@dataclass(frozen=True)
class ReportData:
    """What a report is made from, with the columns of cofire.schema.tables (see COLUMNS).

    Attributes:
        sae: The properties of the Sae node (uid, release, saeId, model, hook, layer, architecture, nLatents, tokens,
            documents, firings, meanL0, edgeRule); an absent or null one is shown as not recorded.
        latents: One row per latent, dead ones included; histogram is a list of 256 counts or null.
        edges: The kept edges.
        tokens: Top tokens per latent.
        contexts: Example contexts per latent, the firing token between « and ».
        clusters: Clusters of two latents and more.
        members: Their members.
    """

    sae: dict[str, Any]
    latents: pd.DataFrame
    edges: pd.DataFrame
    tokens: pd.DataFrame
    contexts: pd.DataFrame
    clusters: pd.DataFrame
    members: pd.DataFrame


@dataclass(frozen=True)
class Picture:
    """One figure of the page; `png` is None where there is nothing to draw, and the caption says why.

    Attributes:
        name: File name beside the page, without .png.
        title: Heading.
        caption: What is drawn, of how many, by which rule.
        png: The picture.
        examples: Example contexts that go with it, ready for the template.
        uri: The picture as a data URI.
    """

    name: str
    title: str
    caption: str
    png: bytes | None = None
    examples: list[dict[str, Any]] = field(default_factory=list)

    @property
    def uri(self) -> str:
        """The picture as a data URI."""
        return "data:image/png;base64," + base64.b64encode(self.png or b"").decode("ascii")
