"""One shard of a capture: the model run once over its windows, every SAE's activations as sparse rows.

1. The windows are sorted by length and cut into batches, so that little is padding; where padding would change the
   activations (`looks_ahead`), a batch has windows of one length, and nothing is padded. The windows of a shard are
   fixed, hence the batches too, and a shard's numbers do not depend on where an earlier run was stopped.
2. Each batch goes through the model once; only the residuals of counted tokens are encoded, [R, d] -> [R, N].
3. What is > 0 goes to the host as CSR, and the shard's rows are put into the order of (document, position).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np

from cofire.common.arrays import Bools, Ints, Ints32, Singles
from cofire.common.csr import pick_rows
from cofire.common.quiet import quiet
from cofire.errors import InputError
from cofire.ingest.capture_dir.residuals import sampled
from cofire.ingest.capture_dir.shard import Shard
from cofire.ingest.capturing.model import LanguageModel
from cofire.ingest.capturing.saes import LoadedSae
from cofire.ingest.capturing.windows import Window

__all__ = ["Encoded", "Rows", "batches", "encode_shard", "select", "select_residuals"]


@dataclass(frozen=True)
class Rows:
    """R tokens by (document, position): document, position, token int32 [R], special bool [R]."""

    document: Ints32
    position: Ints32
    token: Ints32
    special: Bools


@dataclass(frozen=True)
class Encoded:
    """What one SAE makes of the same R tokens.

    Attributes:
        norms: float32 [R], norms of what the SAE reads.
        sampled: bool [R], the tokens whose residuals are stored.
        residuals: float32 [r, d], what the SAE reads on these, in the order of the rows.
        indptr: int64 [R+1], row boundaries.
        indices: int32 [nnz], latents, ascending within a row.
        values: float32 [nnz], activations > 0.
    """

    norms: Singles
    sampled: Bools
    residuals: Singles
    indptr: Ints
    indices: Ints32
    values: Singles


def encode_shard(
    model: LanguageModel,
    saes: list[LoadedSae],
    windows: list[Window],
    *,
    batch: int,
    prepend_bos: bool,
    mask_special: bool,
    residual_share: float | None,
    advance: Callable[[int], None],
) -> tuple[Rows, list[Encoded]]:
    """Run the model over `windows` and encode with every SAE.

    Args:
        model: the language model.
        saes: the SAEs; all read the same run.
        windows: the windows of one shard.
        batch: windows in one run of the model.
        prepend_bos: put the BOS token in front of each window; it is never a row.
        mask_special: leave special tokens out of the rows.
        residual_share: the share of tokens whose residuals are wanted; None for none.
        advance: called after each batch with the number of its tokens.

    Returns:
        The rows, and for each SAE its activations on them.

    Raises:
        InputError: a residual or an activation is not finite.
    """
    special = np.fromiter(model.special, np.int64, len(model.special))
    rows: list[Rows] = []
    parts: list[list[Encoded]] = [[] for _ in saes]
    for chunk in batches(windows, batch, padded=not model.info.looks_ahead):
        ids, keep, found = _batch(chunk, special, model.bos if prepend_bos else None, mask_special)
        wanted = sampled(found.document, found.position, residual_share)
        for part, encoded in zip(parts, _encode(model, saes, ids, keep, found, wanted), strict=True):
            part.append(encoded)
        rows.append(found)
        advance(sum(len(window.tokens) for window in chunk))
    together = _concatenate(rows)
    order = np.lexsort((together.position, together.document))
    return _take(together, order), [_reorder(part, order) for part in parts]


def batches(windows: list[Window], batch: int, *, padded: bool) -> Iterator[list[Window]]:
    """Yield the windows, longest first, in lists of at most `batch`; of one length each unless they may be padded."""
    by_length = sorted(windows, key=lambda window: -len(window.tokens))
    groups = [by_length] if padded else [list(g) for _, g in groupby(by_length, lambda window: len(window.tokens))]
    for group in groups:
        for start in range(0, len(group), batch):
            yield group[start : start + batch]


def select(rows: Rows, encoded: Encoded, keep: Bools) -> Shard:
    """Return the shard of the rows where `keep` (bool [R]) is True."""
    order = np.flatnonzero(keep)
    kept = _take(rows, order)
    part = _reorder([encoded], order)
    return Shard(kept.document, kept.position, kept.token, part.indptr, part.indices, part.values)


def select_residuals(encoded: Encoded, keep: Bools) -> tuple[Ints32, Singles]:
    """Return the residuals of the shard that `select` gives for `keep`: rows int32 [r] within it, float32 [r, d]."""
    number = np.cumsum(keep, dtype=np.int32) - np.int32(1)
    return number[encoded.sampled & keep], encoded.residuals[keep[encoded.sampled]]


def _batch(chunk: list[Window], special: Ints, bos: int | None, mask_special: bool) -> tuple[Ints, Bools, Rows]:
    """Return token ids [B, n] padded on the right, which of them are rows [B, n], and these rows."""
    lead = 0 if bos is None else 1
    ids = np.zeros((len(chunk), lead + len(chunk[0].tokens)), np.int64)
    keep = np.zeros(ids.shape, np.bool_)
    document, position = np.zeros(ids.shape, np.int32), np.zeros(ids.shape, np.int32)
    if bos is not None:
        ids[:, 0] = bos
    for row, window in enumerate(chunk):
        place = slice(lead, lead + len(window.tokens))
        ids[row, place] = window.tokens
        keep[row, place] = True
        document[row, place] = window.document
        position[row, place] = window.start + np.arange(len(window.tokens))
    is_special = np.isin(ids, special)
    if mask_special:
        keep &= ~is_special
    return ids, keep, Rows(document[keep], position[keep], ids[keep].astype(np.int32), is_special[keep])


def _encode(
    model: LanguageModel,
    saes: list[LoadedSae],
    ids: Ints,
    keep: Bools,
    rows: Rows,
    wanted: Bools,
) -> list[Encoded]:
    import torch

    found = model.run(ids, sorted({sae.hook for sae in saes}))
    chosen, stored = torch.from_numpy(keep).to(model.device), torch.from_numpy(wanted).to(model.device)
    encoded = []
    with torch.no_grad(), quiet():
        for sae in saes:
            inputs = sae.inputs(found[sae.hook][chosen])
            activations = sae.encode(inputs)
            norms = inputs.float().norm(dim=-1)
            finite = torch.isfinite(norms) & torch.isfinite(activations.sum(dim=-1))
            if not bool(finite.all()):
                bad = int((~finite).nonzero()[0])
                raise InputError(
                    f"SAE {sae.source.spec} gives activations that are not finite at document {rows.document[bad]}, "
                    f"position {rows.position[bad]}: check its weights, or give --dtype float32"
                )
            fires = activations > 0
            row, latent = _nonzero(fires)
            indptr = np.zeros(len(rows.token) + 1, np.int64)
            np.cumsum(torch.bincount(row, minlength=len(rows.token)).cpu().numpy(), out=indptr[1:])
            encoded.append(
                Encoded(
                    norms.cpu().numpy(),
                    wanted,
                    inputs[stored].float().cpu().numpy(),
                    indptr,
                    latent.to(torch.int32).cpu().numpy(),
                    activations[row, latent].cpu().numpy(),
                )
            )
    return encoded


def _nonzero(fires: Any) -> tuple[Any, Any]:
    """Return row and column, int64 [nnz], of what is True in a bool tensor, row by row."""
    import torch

    if fires.device.type == "cpu":
        # numpy's search takes half the time of torch's.
        flat = torch.from_numpy(np.flatnonzero(fires.numpy()))
        row = torch.div(flat, fires.shape[1], rounding_mode="floor")
        return row, flat - row * fires.shape[1]
    row, column = fires.nonzero(as_tuple=True)
    return row, column


def _concatenate(parts: list[Rows]) -> Rows:
    return Rows(
        np.concatenate([part.document for part in parts]),
        np.concatenate([part.position for part in parts]),
        np.concatenate([part.token for part in parts]),
        np.concatenate([part.special for part in parts]),
    )


def _take(rows: Rows, order: Ints) -> Rows:
    return Rows(rows.document[order], rows.position[order], rows.token[order], rows.special[order])


def _reorder(parts: list[Encoded], order: Ints) -> Encoded:
    """Concatenate CSR parts and take the rows `order` of the whole."""
    lengths = np.concatenate([np.zeros(1, np.int64), *(np.diff(part.indptr) for part in parts)])
    indptr, entries = pick_rows(np.cumsum(lengths), order)
    wanted = np.concatenate([part.sampled for part in parts])
    stored = (np.cumsum(wanted) - wanted)[order][wanted[order]]
    return Encoded(
        np.concatenate([part.norms for part in parts])[order],
        wanted[order],
        np.concatenate([part.residuals for part in parts])[stored],
        indptr,
        np.concatenate([part.indices for part in parts])[entries],
        np.concatenate([part.values for part in parts])[entries],
    )
