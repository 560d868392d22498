"""Import a user's own activations (`cofire import activations`): an npz of sparse rows becomes a capture directory.

The arrays are those of docs/import.md. Nothing is masked: every row counts.
"""

from __future__ import annotations

import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from cofire.common.arrays import Array, Ints32, Singles
from cofire.common.characters import sound
from cofire.common.files import as_text, exclusive, sha256_of, write_parquet, write_tensors
from cofire.errors import InputError
from cofire.ingest.capture_dir.directory import CaptureDir, write_vocabulary
from cofire.ingest.capture_dir.layout import SHARDS, TEXT, WEIGHTS, shard_file
from cofire.ingest.capture_dir.manifest import (
    Manifest,
    Masking,
    ModelInfo,
    SaeInfo,
    ShardInfo,
    TextInfo,
    check_identity,
    check_reading,
)
from cofire.ingest.capture_dir.residuals import write_residuals
from cofire.ingest.capture_dir.shard import Shard
from cofire.ingest.capture_dir.text_file import write_tokens
from cofire.ingest.capture_dir.token_bytes import TokenText
from cofire.ingest.capturing.resume import check_place, clear, compare, facts_of
from cofire.schema.base import LONGEST_TEXT

ROWS_PER_SHARD = 65_536
REQUIRED = ("indptr", "indices", "values", "n_latents")
OPTIONAL = ("doc", "token", "token_text", "x")
TENSORS = ("W_dec", "W_enc", "b_enc", "b_dec", "threshold")
# What NumPy and zipfile raise. The last two rows: for entries that are encrypted, packed in another way, or of an
# impossible size; for headers that are no Python.
_UNREADABLE = (
    *(ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error),
    *(RuntimeError, ArithmeticError, MemoryError),
    *(SyntaxError, TypeError, LookupError, tokenize.TokenError),
)


def import_activations(
    npz: str | Path,
    out: str | Path,
    *,
    release: str,
    sae_id: str,
    weights: str | Path | None = None,
    model: str | None = None,
    hook: str | None = None,
    layer: int | None = None,
    force: bool = False,
) -> CaptureDir:
    """Make a capture directory of the activations in `npz`.

    Args:
        npz: arrays indptr int64 [T+1], indices int32 [nnz] ascending and unique within a row, values float32 [nnz]
            finite and > 0, n_latents int; optional doc int32 [T] non-decreasing, token int32 [T], token_text str [V],
            x float16 [T, d] (the SAE's inputs; stored as the residuals of every row).
        out: the capture directory to make.
        release: the SAE's release.
        sae_id: the SAE's id within it.
        weights: safetensors with any of W_dec [N, d], W_enc [d, N], b_enc [N], b_dec [d], threshold [N].
        model: the language model's name.
        hook: the hook point that the SAE reads.
        layer: its layer.
        force: replace what a capture at `out` holds.

    Raises:
        InputError: a file is missing or unreadable, or an array is malformed; nothing is written then.
        CaptureError: `out` holds another capture and `force` is not given.
    """
    check_identity(release, sae_id)
    check_reading(model, hook, layer)
    npz, out = Path(npz), Path(out)
    arrays = _read_npz(npz)
    n_latents = _check_rows(npz, arrays)
    _check_optional(npz, arrays)
    tensors = {} if weights is None else _read_weights(Path(weights), n_latents, arrays.get("x"))

    rows = len(arrays["indptr"]) - 1
    document, position = _documents(arrays.get("doc"), rows)
    tokens = arrays.get("token")
    manifest = Manifest(
        kind="import",
        release=release,
        sae_id=sae_id,
        n_latents=n_latents,
        sae=SaeInfo(
            d_in=int(tensors["W_dec"].shape[1]) if "W_dec" in tensors else None,
            hook=hook,
            layer=layer,
            weights_sha256=sha256_of(Path(weights)) if weights is not None else None,
            source=as_text(npz),
        ),
        model=ModelInfo(name=model) if model is not None else None,
        text=TextInfo(sources=[as_text(npz)], documents=int(document[-1]) + 1, tokens=rows),
        settings={"activations": sha256_of(npz), "residuals": "x" in arrays, "hook": hook, "layer": layer},
        masking=Masking(rule="none: every imported row counts", kept=rows),
    )
    check_place(out)
    found = None if force else compare(out, facts_of(manifest), "import")
    if found is not None and found.status == "complete":
        return CaptureDir.open(out)
    out.mkdir(parents=True, exist_ok=True)
    with exclusive(out):
        clear(out, keep_directory=True)
        manifest.write(out)
        (out / SHARDS).mkdir(exist_ok=True)
        if tensors:
            write_tensors(out / WEIGHTS, tensors)
        if tokens is not None:
            write_tokens(out / TEXT, _documents_with_names(tokens, arrays.get("doc"), document), [as_text(npz)])
            if "token_text" in arrays:
                write_vocabulary(out, {i: TokenText(text) for i, text in enumerate(arrays["token_text"].tolist())})
        for number, start in enumerate(range(0, rows, ROWS_PER_SHARD)):
            stop = min(start + ROWS_PER_SHARD, rows)
            low, high = int(arrays["indptr"][start]), int(arrays["indptr"][stop])
            shard = Shard(
                document=document[start:stop],
                position=position[start:stop],
                token=np.full(stop - start, -1, np.int32) if tokens is None else tokens[start:stop].astype(np.int32),
                indptr=arrays["indptr"][start : stop + 1].astype(np.int64) - low,
                indices=arrays["indices"][low:high].astype(np.int32),
                values=arrays["values"][low:high].astype(np.float32),
            )
            file = shard_file(number)
            write_parquet(out / file, shard.to_arrow())
            info = ShardInfo(file=file, rows=stop - start, firings=high - low, sha256=sha256_of(out / file))
            if "x" in arrays:
                every = np.arange(stop - start, dtype=np.int32)
                info.residuals = write_residuals(out, number, every, arrays["x"][start:stop])
            manifest.shards.append(info)
        manifest.status = "complete"
        manifest.write(out)
    return CaptureDir.open(out)


def _documents_with_names(tokens: Array, doc: Array | None, document: Ints32) -> Iterator[tuple[str, Ints32]]:
    """Yield the tokens of each document, named after the number that the user gave it."""
    starts = np.flatnonzero(np.diff(document, prepend=-1))
    for start, piece in zip(starts, np.split(tokens.astype(np.int32), starts[1:]), strict=True):
        yield ("all rows" if doc is None else f"document {doc[start]}"), piece


def _read_npz(path: Path) -> dict[str, Array]:
    if not path.is_file():
        raise InputError(f"{path}: no such file; give the npz of activations")
    try:
        loaded = np.load(path, allow_pickle=False)
        if not isinstance(loaded, np.lib.npyio.NpzFile):
            raise InputError(f"{path} is a single array, not an npz; save it with numpy.savez")
        with loaded:
            arrays = {name: loaded[name] for name in loaded.files}
    except _UNREADABLE as error:
        raise InputError(f"{path} cannot be read as npz ({error}); save it with numpy.savez, no objects") from error
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray):  # numpy gives the bytes of an entry that is none
            raise InputError(f"{path}: {name} is no array; save it with numpy.savez")
    missing = [name for name in REQUIRED if name not in arrays]
    if missing:
        raise InputError(f"{path} lacks {', '.join(missing)}; it must hold {', '.join(REQUIRED)}")
    unknown = sorted(set(arrays) - set(REQUIRED) - set(OPTIONAL))
    if unknown:
        raise InputError(f"{path} holds an unknown array '{unknown[0]}'; known are {', '.join((*REQUIRED, *OPTIONAL))}")
    return arrays


def _need(path: Path, name: str, array: Array, kinds: str, dimensions: int) -> None:
    words = {"iu": "integers", "f": "floats", "U": "strings"}[kinds]
    if array.dtype.kind not in kinds:
        raise InputError(f"{path}: {name} has dtype {array.dtype}, expected {words}; convert it")
    if array.ndim != dimensions:
        raise InputError(f"{path}: {name} has {array.ndim} dimensions, expected {dimensions}; reshape it")


def _check_rows(path: Path, arrays: dict[str, Array]) -> int:
    """Check indptr, indices, values and n_latents; return n_latents."""
    _need(path, "n_latents", arrays["n_latents"], "iu", 0)
    _need(path, "indptr", arrays["indptr"], "iu", 1)
    _need(path, "indices", arrays["indices"], "iu", 1)
    _need(path, "values", arrays["values"], "f", 1)
    n_latents = int(arrays["n_latents"])
    indptr, indices, values = arrays["indptr"], arrays["indices"], arrays["values"]
    if not 1 <= n_latents < 2**31:
        raise InputError(f"{path}: n_latents is {n_latents}; it must be between 1 and 2^31 - 1")
    if len(indptr) == 0 or indptr[0] != 0:
        raise InputError(f"{path}: indptr must start with 0; it is CSR's row pointer, of length T + 1")
    if len(indptr) == 1:
        raise InputError(f"{path}: indptr has one entry, so there are no rows; give at least one token")
    falling = np.flatnonzero(indptr[1:] < indptr[:-1])
    if len(falling):
        raise InputError(f"{path}: indptr falls at row {falling[0]}; it must never decrease")
    if len(indices) != len(values):
        raise InputError(f"{path}: {len(indices)} indices but {len(values)} values; they must pair up")
    if int(indptr[-1]) != len(indices):
        raise InputError(f"{path}: indptr ends at {indptr[-1]} but there are {len(indices)} indices; they must agree")
    indptr = indptr.astype(np.int64)  # it may have been unsigned, and is within the indices
    outside = np.flatnonzero((indices < 0) | (indices >= n_latents))
    if len(outside):
        raise InputError(
            f"{path}: indices[{outside[0]}] is {indices[outside[0]]}; latents run from 0 to {n_latents - 1}"
        )
    row = np.repeat(np.arange(len(indptr) - 1), np.diff(indptr))
    unsorted = np.flatnonzero((row[1:] == row[:-1]) & (indices[1:] <= indices[:-1]))
    if len(unsorted):
        raise InputError(f"{path}: indices of row {row[unsorted[0]]} are not ascending and unique; sort them")
    with np.errstate(over="ignore"):
        single = values.astype(np.float32)
    bad = np.flatnonzero(~np.isfinite(single) | (single <= 0))
    if len(bad):
        raise InputError(f"{path}: values[{bad[0]}] is {values[bad[0]]} in float32; activations must be finite and > 0")
    return n_latents


def _check_optional(path: Path, arrays: dict[str, Array]) -> None:
    rows = len(arrays["indptr"]) - 1
    for name in ("doc", "token"):
        if name in arrays:
            _need(path, name, arrays[name], "iu", 1)
            if len(arrays[name]) != rows:
                raise InputError(f"{path}: {name} has {len(arrays[name])} entries for {rows} rows; give one a row")
            outside = np.flatnonzero((arrays[name] < 0) | (arrays[name] >= 2**31))
            if len(outside):
                raise InputError(f"{path}: {name}[{outside[0]}] is {arrays[name][outside[0]]}; it must fit 0..2^31 - 1")
    if "doc" in arrays:
        falling = np.flatnonzero(np.diff(arrays["doc"].astype(np.int64)) < 0)
        if len(falling):
            raise InputError(f"{path}: doc falls at row {falling[0] + 1}; rows of one document must stand together")
    if "token_text" in arrays:
        _need(path, "token_text", arrays["token_text"], "U", 1)
        if "token" not in arrays:
            raise InputError(f"{path} has token_text but no token; give the token id of each row")
        for entry, text in enumerate(arrays["token_text"].tolist()):
            if sound(text) != text:
                raise InputError(f"{path}: token_text[{entry}] is not valid Unicode ({text!r}); replace the surrogates")
            if (size := len(text.encode())) > LONGEST_TEXT:
                raise InputError(
                    f"{path}: token_text[{entry}] has {size:,} bytes in UTF-8 ({text[:20]!r}...); {LONGEST_TEXT:,} are "
                    "the most that a store's index takes: cut it"
                )
        beyond = np.flatnonzero(arrays["token"] >= len(arrays["token_text"]))
        if len(beyond):
            raise InputError(
                f"{path}: token[{beyond[0]}] is {arrays['token'][beyond[0]]} but token_text has "
                f"{len(arrays['token_text'])} entries; give the text of each id"
            )
    if "x" in arrays:
        _need(path, "x", arrays["x"], "f", 2)
        if len(arrays["x"]) != rows:
            raise InputError(f"{path}: x has {len(arrays['x'])} rows, expected {rows}; give the input of each row")
        with np.errstate(over="ignore"):
            half = arrays["x"].astype(np.float16)
        if not np.isfinite(half).all():
            raise InputError(f"{path}: x is not finite in float16; scale it or leave it out")


def _read_weights(path: Path, n_latents: int, x: Array | None) -> dict[str, Singles]:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    if not path.is_file():
        raise InputError(f"{path}: no such file; give the safetensors of the SAE's weights")
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError, KeyError) as error:
        raise InputError(f"{path} cannot be read as safetensors ({error}); save it again") from error
    unknown = sorted(set(tensors) - set(TENSORS))
    if unknown or not tensors:
        what = f"an unknown tensor '{unknown[0]}'" if unknown else "no tensor"
        raise InputError(f"{path} holds {what}; known are {', '.join(TENSORS)}")
    width = {"W_dec": -1, "W_enc": 0, "b_dec": 0}
    widths = {tensors[n].shape[axis] for n, axis in width.items() if n in tensors and tensors[n].ndim}
    if x is not None:
        widths.add(x.shape[1])
    d = widths.pop() if widths else 0
    expected = {"W_dec": (n_latents, d), "W_enc": (d, n_latents), "b_enc": (n_latents,), "b_dec": (d,)}
    expected["threshold"] = (n_latents,)
    for name, tensor in tensors.items():
        if widths or tensor.shape != expected[name]:
            other = f", or another d than {sorted({d, *widths})}" if widths else ""
            raise InputError(f"{path}: {name} has shape {list(tensor.shape)}, expected {list(expected[name])}{other}")
        if tensor.dtype.kind != "f" or not np.isfinite(tensor).all():
            raise InputError(f"{path}: {name} is not all finite floats; save it again")
    return {name: np.ascontiguousarray(tensor, np.float32) for name, tensor in tensors.items()}


def _documents(doc: Array | None, rows: int) -> tuple[Ints32, Ints32]:
    """Number the documents 0, 1, ... and the tokens within each; both int32 [T]."""
    if doc is None:
        return np.zeros(rows, np.int32), np.arange(rows, dtype=np.int32)
    starts = np.flatnonzero(np.diff(doc.astype(np.int64), prepend=-1))
    lengths = np.diff(np.append(starts, rows))
    number = np.repeat(np.arange(len(starts), dtype=np.int32), lengths)
    position = np.arange(rows) - np.repeat(starts, lengths)
    return number, position.astype(np.int32)
