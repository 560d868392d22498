"""The store: one interface over Neo4j and over the embedded ArcadeDB, both spoken to through the Neo4j driver."""

from __future__ import annotations

from cofire.store.connect import Store, open_store
from cofire.store.values import Rows

__all__ = ["Rows", "Store", "open_store"]
