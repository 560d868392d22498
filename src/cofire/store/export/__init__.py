"""The whole graph as files: Parquet, CSV, GraphML, and the input of Neo4j's bulk import."""

from __future__ import annotations

from cofire.store.export.directory import export
from cofire.store.export.rows import capture_rows, store_rows

__all__ = ["capture_rows", "export", "store_rows"]
