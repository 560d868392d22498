"""Activations less what other latents put into them: the interference of superposition, taken off (DESIGN section 6).

    1. The pre-activation of latent i on x ~ sum_k a_k d_k is a_i + sum_{k != i} a_k (w_i . d_k) + noise. Directions
       that were meant to be unrelated overlap a little, by about 1/sqrt(d), and many of them are active at once.
    2. Take off the sum over the latents that fire on the token, with the activations as they are.
    3. Take it off again from the raw activation, with the activations of step 2, and only of latents still above theta:
       what fired by interference alone interferes no more.

Latents whose decoder directions are nearer than `LIMIT` / sqrt(d) or `NEAR` are left in: that overlap is meaning (a
parent, a neighbour), not chance.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from cofire.common.arrays import Ints, Ints32, Singles
from cofire.common.compiled import compiled
from cofire.common.processes import processors
from cofire.ingest.capture_dir.directory import CaptureDir

LIMIT, NEAR = 4.0, 0.3
"""|cos| of unrelated directions in units of 1/sqrt(d), which is its standard deviation: 6 in 100,000 lie beyond. From
NEAR on a direction is a neighbour whatever d is."""


MAX_LATENTS = 16_384
"""Wider SAEs keep their activations as they are: the table of overlaps takes 4 N^2 bytes, 1 GiB here."""

_BLOCK = 1024
_ROWS = 4096


@dataclass(frozen=True)
class Interference:
    """What is known of the interference in one SAE.

    Attributes:
        overlap: float32 [N, N], of `interference`.
        directions: float32 [N, d], what one unit of each latent adds to the residual.
        threshold: float32 [N], theta.
    """

    overlap: Singles
    directions: Singles
    threshold: Singles

    @classmethod
    def of(cls, capture: CaptureDir, w_enc: Singles) -> Interference | str:
        """Return that of a capture's SAE, or in words why it has none.

        Args:
            capture: the capture.
            w_enc: float32 [d, N], by which pre-activations are made (see `noise`).
        """
        n_latents, weights = capture.manifest.n_latents, capture.weights()
        directions = weights.get("W_dec")
        if directions is None:
            return "the stored weights have no W_dec"
        if directions.shape != w_enc.T.shape:
            return "it writes elsewhere than it reads"
        if "transcoder" in (capture.manifest.sae.architecture or ""):
            return "a transcoder writes elsewhere than it reads"
        if n_latents > MAX_LATENTS:
            return f"it has more than {MAX_LATENTS:,} latents"
        if capture.manifest.sae.rescale_acts_by_decoder_norm:
            norms = np.linalg.norm(directions, axis=1, keepdims=True)
            directions = directions / np.maximum(norms, np.finfo(np.float32).tiny)
        threshold = weights["threshold"] if "threshold" in weights else np.zeros(n_latents, np.float32)
        return cls(interference(w_enc, directions), directions, threshold)

    def less(self, indptr: Ints, indices: Ints32, values: Singles) -> Singles:
        """Return `denoised` activations, float32 [nnz], made by all processors."""
        rows = len(indptr) - 1

        def part(start: int) -> Singles:
            stop = min(start + _ROWS, rows)
            low, high = int(indptr[start]), int(indptr[stop])
            return denoised(
                indptr[start : stop + 1] - low, indices[low:high], values[low:high], self.overlap, self.threshold
            )

        with ThreadPoolExecutor(processors()) as pool:
            return np.concatenate([np.zeros(0, np.float32), *pool.map(part, range(0, rows, _ROWS))])

    def unexplained(self, z: Singles, indptr: Ints, indices: Ints32, values: Singles) -> Singles:
        """Return z less what the latents that fire, and are above theta without interference, put into it.

        Args:
            z: float32 [R, d], what the encoder's matrix is applied to.
            indptr: int64 [R+1], row boundaries.
            indices: int32 [nnz], latents.
            values: float32 [nnz], activations.
        """
        import scipy.sparse as sp

        known = self.less(indptr, indices, values)
        known = np.where(known > self.threshold[indices], known, np.float32(0))
        active = sp.csr_array((known, indices, indptr), (len(z), len(self.threshold)))
        return np.asarray(z - active @ self.directions, np.float32)


def interference(w_enc: Singles, w_dec: Singles) -> Singles:
    """Return what one unit of latent k adds to the pre-activation of latent i by chance overlap: w_i . d_k.

    Memory: 4 N^2 bytes, and 8 N for each of 1,024 latents while it is made.

    Args:
        w_enc: float32 [d, N].
        w_dec: float32 [N, d].

    Returns:
        float32 [N, N], row i, column k; 0 on the diagonal and where |cos(d_i, d_k)| >= min(LIMIT / sqrt(d), NEAR).
    """
    length = np.linalg.norm(w_dec, axis=1, keepdims=True)
    unit = w_dec / np.maximum(length, np.finfo(np.float32).tiny)
    overlap = np.empty((len(w_dec), len(w_dec)), np.float32)
    for start in range(0, len(w_dec), _BLOCK):
        block = slice(start, start + _BLOCK)
        part = w_enc[:, block].T @ w_dec.T
        part[np.abs(unit[block] @ unit.T) >= min(LIMIT / np.sqrt(w_dec.shape[1]), NEAR)] = 0
        overlap[block] = part
    np.fill_diagonal(overlap, 0)
    return overlap


@compiled
def denoised(indptr: Ints, indices: Ints32, values: Singles, overlap: Singles, threshold: Singles) -> Singles:
    """Return the activations less the interference of the latents that fire on the same token.

    Cost: 2 L0^2 look-ups in `overlap` a token.

    Args:
        indptr: int64 [R+1], row boundaries.
        indices: int32 [nnz], latents.
        values: float32 [nnz], activations.
        overlap: float32 [N, N], of `interference`.
        threshold: float32 [N], theta.

    Returns:
        float32 [nnz]; may fall to theta and below it, and below 0.
    """
    out = np.empty_like(values)
    for row in range(len(indptr) - 1):
        low, high = indptr[row], indptr[row + 1]
        latents, raw = indices[low:high], values[low:high]
        active = raw.copy()
        for last in (False, True):
            rest = np.empty_like(raw)
            for i in range(len(raw)):
                total = np.float32(0)
                for k in range(len(raw)):
                    total += active[k] * overlap[latents[i], latents[k]]
                rest[i] = raw[i] - total
            for k in range(len(raw)):
                active[k] = rest[k] if last or rest[k] > threshold[latents[k]] else np.float32(0)
        out[low:high] = active
    return out
