"""Motifs of the co-firing graph: searched one by one, and counted in all."""

from __future__ import annotations

from typing import Literal

Kind = Literal["star", "clique", "path", "bifan"]
"""What each is: `search`."""

Measure = Literal["log_odds", "count", "jaccard", "phi", "npmi", "lift", "decoder_cosine"]
"""The measures of an edge that a motif can be scored by."""
