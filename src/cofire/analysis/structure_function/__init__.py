"""How far the shape of a cluster tells what it does, over the clusters of several captures."""

from __future__ import annotations

NAME = "structure-function"
"""As `cofire analyze --only` knows it: an analysis across captures, of which none has a table."""
