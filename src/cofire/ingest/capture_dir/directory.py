"""The capture directory: sparse activations of one SAE over one text, with everything needed to count them.

    CAPTURE/
      manifest.json          identities, settings, versions, hashes (`Manifest`)
      shards/shard-NNNNN.parquet   one row per counted token: document, position, token, latents, values
      counts/upto-N/         in the place of shards/ after --no-keep: the running counts of all N shards
      residuals/residuals-NNNNN.safetensors   where asked for: what the SAE read on a sample of a shard's tokens
      text.parquet           every token of every document (masked ones too), for the contexts
      vocabulary.parquet     token id -> how it is shown, and the bytes that it adds to a text (`TokenText`)
      weights.safetensors    W_enc [d, N], W_dec [N, d], b_dec [d], b_enc, threshold [N]; r_mag, b_mag [N] if gated
      tables/                what `cofire count` and `cofire analyze` make of it

Readers get a `CaptureDir`; it opens only what is complete.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cofire.common.arrays import Ints32
from cofire.common.files import AGAIN, read_parquet, sha256_of, spoilt, unreadable, write_parquet
from cofire.errors import CaptureError, InputError
from cofire.ingest.capture_dir.layout import MANIFEST, TABLES, TEXT, VOCABULARY, WEIGHTS
from cofire.ingest.capture_dir.manifest import Manifest
from cofire.ingest.capture_dir.residuals import Residuals, read_residuals
from cofire.ingest.capture_dir.shard import Shard
from cofire.ingest.capture_dir.token_bytes import TokenBytes, TokenText
from cofire.ingest.capture_dir.weights import Weights

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class CaptureDir:
    """A complete capture, open for reading."""

    path: Path
    manifest: Manifest

    @classmethod
    def open(cls, path: str | Path) -> CaptureDir:
        """Open a complete capture.

        Raises:
            CaptureError: `path` is no capture, is unfinished, or lacks a file of its shards, residuals or counts.
        """
        folder = Path(path)
        manifest = Manifest.read(folder)
        if manifest.status != "complete":
            raise CaptureError(f"capture {folder} is unfinished; run the same `cofire capture` again to resume it")
        for file in manifest.hashes:
            if not (folder / file).is_file():
                raise spoilt(folder / file)
        return cls(folder, manifest)

    @property
    def uid(self) -> str:
        """The SAE's uid, RELEASE/SAE_ID."""
        return self.manifest.uid

    @property
    def tables(self) -> Path:
        """The directory of the tables, existing or not."""
        return self.path / TABLES

    def shards(self, start: int = 0, stop: int | None = None) -> Iterator[Shard]:
        """Yield the shards `start` to `stop`, not included (None: to the last), in order, one in memory at a time.

        Raises:
            CaptureError: the capture stores none, or a shard cannot be read or does not hold what the manifest says.
        """
        if not self.keeps_activations:
            raise CaptureError(
                f"{self.path} was captured with --no-keep: its activations were not stored; capture again without it"
            )
        for info in self.manifest.shards[start:stop]:
            path = self.path / info.file
            try:
                shard = Shard.from_arrow(read_parquet(path))
            except (ValueError, KeyError, OSError) as error:
                raise unreadable(path, error) from error
            if shard.rows != info.rows or len(shard.indices) != info.firings:
                raise CaptureError(f"{path} does not hold what the manifest says; {AGAIN}")
            yield shard

    @property
    def keeps_activations(self) -> bool:
        """True where the activations are stored; else the capture has running counts in their place."""
        return self.manifest.counts is None

    def counts(self) -> Path:
        """Return the folder of the running counts (`cofire.ingest.capturing.running_counts`), looked at whole.

        Raises:
            CaptureError: the capture stores activations and no counts, or a file is missing or damaged.
        """
        if self.manifest.counts is None:
            raise CaptureError(f"{self.path} stores activations and no counts; capture with --no-keep for these")
        for file, sha256 in self.manifest.counts.hashes.items():
            path = self.path / file
            if not path.is_file() or sha256_of(path) != sha256:
                raise spoilt(path)
        return self.path / self.manifest.counts.folder

    @property
    def has_residuals(self) -> bool:
        """True where the capture stores what the SAE read on a sample of its tokens."""
        shards = self.manifest.shards
        return bool(shards) and all(shard.residuals is not None for shard in shards)

    def residuals(self) -> Iterator[Residuals]:
        """Yield the sampled residuals of each shard, in the order of the shards, one in memory at a time.

        Raises:
            CaptureError: the capture has none, or a file cannot be read or does not hold what the manifest says.
        """
        for number, shard in enumerate(self.manifest.shards):
            if shard.residuals is None:
                raise CaptureError(f"capture {self.path} has no residuals; capture with --residuals to another --out")
            yield read_residuals(self.path, number, shard.residuals, shard.rows)

    def weights(self) -> Weights:
        """Return the SAE's weights by name; empty where the capture has none. A tensor is read when it is asked for."""
        return Weights(self.path / WEIGHTS)

    def vocabulary(self) -> dict[int, str] | None:
        """Return how each token id is shown, or None where an import has no texts."""
        table = self._optional(VOCABULARY)
        return None if table is None else _by_token(table, "text")

    def token_bytes(self) -> TokenBytes:
        """Return what each token id adds to a text; empty where an import has no texts."""
        table = self._optional(VOCABULARY)
        if table is None:
            return TokenBytes()
        # Imports, and captures of earlier versions, have texts alone: they were joined as they are.
        anywhere = {token: text.encode() for token, text in _by_token(table, "text").items()}
        return TokenBytes(anywhere | _by_token(table, "bytes"), _by_token(table, "first"))

    @property
    def has_text(self) -> bool:
        """True where the capture knows its tokens, so that it has top tokens and contexts."""
        return (self.path / TEXT).is_file()

    def documents(self) -> dict[int, Ints32] | None:
        """Return all tokens of each document by its number, or None where an import has none."""
        table = self._optional(TEXT)
        if table is None:
            return None
        tokens = table.column("tokens").combine_chunks()
        return {
            number: tokens[row].values.to_numpy().astype(np.int32)
            for row, number in enumerate(table.column("document").to_pylist())
        }

    def _optional(self, name: str) -> pa.Table | None:
        path = self.path / name
        if not path.is_file():
            return None
        try:
            return read_parquet(path)
        except (ValueError, OSError) as error:
            raise unreadable(path, error) from error


def write_vocabulary(capture: Path, texts: Mapping[int, TokenText]) -> None:
    """Write `vocabulary.parquet`: token, text; bytes, and first, where a token has them."""
    import pyarrow as pa

    ids = sorted(texts)
    columns = {"token": pa.array(ids, pa.int32()), "text": pa.array([texts[i].text for i in ids], pa.string())}
    for name, values in (("bytes", [texts[i].added for i in ids]), ("first", [texts[i].first for i in ids])):
        if any(value is not None for value in values):
            columns[name] = pa.array(values, pa.binary())
    write_parquet(capture / VOCABULARY, pa.table(columns))


def _by_token(table: pa.Table, column: str) -> dict[int, Any]:
    """Return a column's values, where it has any, by token id."""
    if column not in table.column_names:
        return {}
    pairs = zip(table.column("token").to_pylist(), table.column(column).to_pylist(), strict=True)
    return {token: value for token, value in pairs if value is not None}


def find_captures(paths: list[Path]) -> list[CaptureDir]:
    """Open the captures named by `paths`: each is one, or a directory of several (as `cofire capture` makes them).

    Raises:
        InputError: a path does not exist, or holds no capture.
        CaptureError: a capture is unfinished or damaged.
    """
    found: list[CaptureDir] = []
    for path in paths:
        if not path.is_dir():
            raise InputError(f"no capture at {path}: no such directory; make one with `cofire capture`")
        inside = [path] if (path / MANIFEST).is_file() else sorted(p.parent for p in path.glob(f"*/{MANIFEST}"))
        if not inside:
            raise InputError(f"no capture in {path}: no {MANIFEST} there; make one with `cofire capture`")
        found.extend(CaptureDir.open(p) for p in inside)
    first: dict[str, CaptureDir] = {}
    for capture in found:
        other = first.setdefault(capture.uid, capture)
        if other is capture:
            continue
        if None not in (weights := {one.manifest.sae.weights_sha256 for one in (other, capture)}) and len(weights) > 1:
            raise InputError(
                f"{other.path} and {capture.path} are captures of two SAEs of the same name {capture.uid}: capture one "
                "of them again under a name of its own, --sae RELEASE:SAE_ID=DIR"
            )
        raise InputError(f"the SAE {capture.uid} is captured twice in what you named; name one capture of it")
    return found


def folder_name(release: str, sae_id: str) -> str:
    """Return the name of an SAE's directory where one run captures several."""
    return f"{release}__{sae_id}".replace("/", "__")
