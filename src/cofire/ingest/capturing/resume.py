"""What is already at a capture's place: nothing, something else, or a capture to go on with, check or start over.

A capture goes on only with everything equal that decides its numbers: SAE, model, text and settings. Its identity is
compared without loading the model or, for a directory, the SAE.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, Literal

from cofire.common.files import ELSEWHERE, TENSORS_PART, sha256_of, spoilt, unreadable
from cofire.errors import CaptureError, InputError
from cofire.ingest.capture_dir.layout import (
    COUNTS,
    MANIFEST,
    OLD_RESIDUALS,
    OURS,
    RESIDUALS,
    SHARDS,
    TABLES,
    TEXT,
    WEIGHTS,
    count_folders,
    residuals_file,
    shard_file,
    table_file,
)
from cofire.ingest.capture_dir.manifest import Manifest
from cofire.ingest.capture_dir.text_file import hash_of_tokens
from cofire.ingest.capturing.settings import TEXT_REVISION

# What the settings that a message names are called there.
_WORDS = {TEXT_REVISION: "text (revision)"}


def facts(
    release: str,
    sae_id: str,
    hashes: tuple[str | None, str | None],
    model: tuple[str, str | None],
    settings: dict[str, Any],
) -> dict[str, Any]:
    """Return everything that decides a capture's numbers, by the name it has in messages.

    Args:
        release: the SAE's release.
        sae_id: the SAE's id.
        hashes: of the SAE's weights and configuration.
        model: name and hash of the model; no hash for a model of the hub.
        settings: the settings of the run.
    """
    return {
        "SAE": f"{release}:{sae_id}",
        "SAE weights": hashes[0],
        "SAE configuration": hashes[1],
        "model": model[0],
        "model files": model[1],
        **settings,
    }


def facts_of(manifest: Manifest) -> dict[str, Any]:
    """Return the facts of a manifest; see `facts`."""
    model = manifest.model
    return facts(
        manifest.release,
        manifest.sae_id,
        (manifest.sae.weights_sha256, manifest.sae.config_sha256),
        ("", None) if model is None else (model.name, model.weights_sha256),
        manifest.settings,
    )


def compare(
    place: Path,
    wanted: dict[str, Any],
    kind: Literal["capture", "import"] = "capture",
    earlier_text: str | None = None,
) -> Manifest | None:
    """Return the manifest of the capture at `place` if it was made as `wanted`, or None if there is none yet.

    A revision of the text that is known on one side alone is not compared; `compared_text` tells. Nor is it where the
    capture has its whole text, which is then gone on with.

    Args:
        place: the capture.
        wanted: the facts that it should have, see `facts`.
        kind: how it should have been made.
        earlier_text: what an earlier cofire recorded for the same name of a text, whatever the text held.

    Raises:
        CaptureError: it is damaged, or was made otherwise; the message says in what.
    """
    if not (place / MANIFEST).is_file():
        return None
    manifest = Manifest.read(place)
    if manifest.kind != kind:
        holds = {"capture": "what `cofire capture` made", "import": "imported activations"}[manifest.kind]
        raise CaptureError(f"{place} holds {holds}: give another --out; --force deletes that")
    there = facts_of(manifest)
    for name in wanted | there:
        if there.get(name) == wanted.get(name) or _unknown(name, there, wanted, earlier_text):
            continue
        if name == TEXT_REVISION and manifest.text.sha256 is not None:
            continue
        # The hub decides about the revision, and not the user.
        same = "" if name == TEXT_REVISION else "give the same or "
        raise CaptureError(
            f"{place} was captured with another {_WORDS.get(name, name)} "
            f"({_show(there.get(name))}, now {_show(wanted.get(name))}): {same}{ELSEWHERE}"
        )
    return manifest


def _unknown(name: str, there: dict[str, Any], wanted: dict[str, Any], earlier_text: str | None) -> bool:
    if name == TEXT_REVISION:
        return there.get(name) is None or wanted.get(name) is None
    return name == "text" and earlier_text is not None and there.get(name) == earlier_text


def compared_text(manifest: Manifest, settings: dict[str, Any], *, hub: bool) -> bool:
    """Tell whether the text of a capture that `compare` returned is known to be that of `settings`.

    Of a data set of the `hub` that takes the revision too.
    """
    names = ("text", TEXT_REVISION) if hub else ("text",)
    return all(manifest.settings.get(name) == settings.get(name) is not None for name in names)


def text_of(settings: dict[str, Any]) -> dict[str, Any]:
    """Return the settings that say which text it is, as far as they are known."""
    return {name: settings[name] for name in ("text", TEXT_REVISION) if settings.get(name) is not None}


def _show(value: Any) -> str:
    text = str(value)
    return text[:12] + "..." if len(text) == 64 else text


def verify(place: Path, manifest: Manifest) -> None:
    """Check that the files which the manifest counts on are there and whole.

    Raises:
        CaptureError: one is missing or damaged.
    """
    for file, sha256 in manifest.hashes.items():
        path = place / file
        if not path.is_file() or sha256_of(path) != sha256:
            raise spoilt(path)
    if manifest.text.sha256 is None:
        return
    for name in OURS:
        if not (place / name).is_file():
            raise spoilt(place / name)
    try:
        same = hash_of_tokens(place / TEXT) == manifest.text.sha256
    except (ValueError, OSError) as error:
        raise unreadable(place / TEXT, error) from error
    if not same:
        raise spoilt(place / TEXT)


def check_place(place: Path) -> None:
    """Check that `place` is absent, empty or a capture, so that it may be written to or cleared.

    Raises:
        InputError: it is a file, or holds something that is not ours.
    """
    if place.exists() and not place.is_dir():
        raise InputError(f"--out {place} is a file: give a directory")
    if not place.is_dir() or _is_capture(place):
        return
    # What a run that was killed before its first manifest leaves.
    foreign = sorted(inside.name for inside in place.iterdir() if inside.name != MANIFEST + ".part")
    if foreign:
        raise InputError(f"--out {place} holds {foreign[0]} and is not a capture: give a new or empty directory")


def _is_capture(place: Path) -> bool:
    """Tell a capture, damaged or not, from a directory that happens to hold a file called manifest.json."""
    path = place / MANIFEST
    if not path.is_file():
        return False
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return all(inside.name in (*OURS, MANIFEST, SHARDS, RESIDUALS, TABLES, COUNTS) for inside in place.iterdir())
    return isinstance(content, dict) and {"format", "release", "sae_id", "shards"} <= content.keys()


def check_root(root: Path, folders: list[str]) -> None:
    """Check that `root` is absent or holds nothing but captures, so that captures may be put into it.

    Raises:
        InputError: it is a file, is itself the capture of one SAE, or holds something that is not ours.
    """
    if root.exists() and not root.is_dir():
        raise InputError(f"--out {root} is a file: give a directory")
    if not root.is_dir():
        return
    if (root / MANIFEST).is_file():
        raise InputError(f"--out {root} is the capture of one SAE: give another directory for several")
    for inside in sorted(root.iterdir()):
        if inside.name not in folders and not _is_capture(inside):
            raise InputError(f"--out {root} holds {inside.name}, which is not a capture: give a new or empty directory")


def clear(place: Path, *, keep_directory: bool = False) -> None:
    """Remove the files of a capture, and the directories that this leaves empty; what is not ours stays.

    The manifest goes last, so that a removal that was interrupted still looks like a capture.
    """
    if not place.is_dir():
        return
    names = [*OURS, OLD_RESIDUALS, MANIFEST]
    tensors = [*place.glob(WEIGHTS + TENSORS_PART), *place.glob(residuals_file("*") + TENSORS_PART)]
    for folder in (*(place / TABLES).glob(".*-*"), *count_folders(place), *tensors):
        shutil.rmtree(folder)
    for folder, files in (
        (place / COUNTS, []),
        (place / SHARDS, [shard_file("*")]),
        (place / RESIDUALS, [residuals_file("*")]),
        (place / TABLES, [f"{TABLES}/{name}" for name in (table_file("*"), MANIFEST)]),
        (place, names),
    ):
        for pattern in [*(file + ".part" for file in files), *files]:
            for path in place.glob(pattern):
                path.unlink()
        if folder.is_dir() and not any(folder.iterdir()) and not (keep_directory and folder == place):
            folder.rmdir()
