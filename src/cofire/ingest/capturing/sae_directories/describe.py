"""Whose SAE directory it is, by its files."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from cofire.errors import InputError
from cofire.ingest.capturing.sae_directories import dictionary_learning, gemma_scope, sparsify
from cofire.ingest.capturing.sae_directories.files import SaeFiles

__all__ = ["describe"]

SAE_LENS = "sae_weights.safetensors"
# The file that each library alone writes.
LIBRARIES: dict[str, Callable[[Path], SaeFiles]] = {
    dictionary_learning.WEIGHTS: dictionary_learning.describe,
    sparsify.WEIGHTS: sparsify.describe,
    gemma_scope.WEIGHTS: gemma_scope.describe,
    gemma_scope.WEIGHTS_2: gemma_scope.describe_2,
}


def describe(directory: Path) -> SaeFiles | None:
    """Say what the SAE in `directory` is, None where it is one of sae-lens, whole or not.

    Raises:
        InputError: it is of another library, and it cannot be captured; or it is of none, but SAEs lie further down.
    """
    if (directory / SAE_LENS).is_file():
        return None
    for file, of_library in LIBRARIES.items():
        if (directory / file).is_file():
            return of_library(directory)
    if not (directory / "cfg.json").is_file() and (below := _below(directory)) is not None:
        raise InputError(f"no SAE in {directory} itself, but below it: name them one by one, such as {below}")
    return None


def _below(directory: Path) -> Path | None:
    """The first SAE in the folders of `directory`, three levels down at most."""
    for place, folders, files in os.walk(directory):
        if any(file in files for file in (SAE_LENS, *LIBRARIES)):
            return Path(place)
        folders.sort()
        if len(Path(place).relative_to(directory).parts) == 3:
            folders.clear()
    return None
