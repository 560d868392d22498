"""What a report is made from, the pictures that it is made of, and the templates that are filled with them."""

from __future__ import annotations

import base64
import importlib.resources
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

COLUMNS: dict[str, tuple[str, ...]] = {
    "latents": ("index", "firing_count", "frequency", "mu_rule", "histogram", "dead"),
    "edges": ("a", "b", "count", "log_odds"),
    "tokens": ("latent", "token", "text", "count", "score"),
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
        tokens: The most frequent and most distinctive tokens per latent.
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


def render(template: str, /, **values: Any) -> str:
    """Fill a template: everything is escaped, and a name that it uses and is not given is an error.

    Args:
        template: its file name.
        values: what it uses.
    """
    import jinja2

    def source(name: str) -> str:
        return importlib.resources.files("cofire.analysis.report").joinpath(name).read_text(encoding="utf-8")

    environment = jinja2.Environment(
        autoescape=True,
        loader=jinja2.FunctionLoader(source),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(**values)
