"""The store: one interface over Neo4j and over the embedded ArcadeDB, both spoken to through the Neo4j driver."""

from __future__ import annotations

from cofire.store.connect import Store
from cofire.store.opening import open_store
from cofire.store.values import Rows
from cofire.store.versions import ensure_schema

__all__ = ["Rows", "Store", "ensure_schema", "open_store"]
