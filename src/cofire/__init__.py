"""cofire: a knowledge base of sparse-autoencoder latents. The command `cofire` fills it, `KnowledgeBase` asks it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cofire.errors import (
    CaptureError,
    CofireError,
    ConflictError,
    InputError,
    QueryError,
    SchemaError,
    StoreBusy,
    StoreError,
    TimeLimit,
    WriteRefused,
)

if TYPE_CHECKING:
    from cofire.queries.knowledge_base import KnowledgeBase

    __version__: str

__all__ = [
    "CaptureError",
    "CofireError",
    "ConflictError",
    "InputError",
    "KnowledgeBase",
    "QueryError",
    "SchemaError",
    "StoreBusy",
    "StoreError",
    "TimeLimit",
    "WriteRefused",
    "__version__",
]


def __getattr__(name: str) -> Any:
    """Import what is costly on its first use: `import cofire` loads neither pandas nor the database driver."""
    if name == "KnowledgeBase":
        from cofire.queries.knowledge_base import KnowledgeBase

        return KnowledgeBase
    if name == "__version__":
        from importlib.metadata import version

        return version("cofire")
    raise AttributeError(f"module 'cofire' has no attribute {name!r}")
