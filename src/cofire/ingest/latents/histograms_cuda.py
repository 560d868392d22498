"""The fine and the aligned histograms on a GPU, equal to those of `histograms` to the integer.

Each step is one float64 operation of torch, and +, -, * and / of float64 are IEEE exact on a GPU as on the CPU, so
the bins agree to the bit. (The operations stay apart: fused, a multiplication and an addition would round once. A
division by a Python number is none on a GPU: torch multiplies with the reciprocal.)
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch

from cofire.common.arrays import Floats, Ints, Ints32, Singles
from cofire.ingest.latents.bins import BINS, U_MAX

# Firings that are binned at once; each takes some 100 bytes of device memory meanwhile.
AT_ONCE = 1_048_576


class _Histograms(ABC):
    """BINS int64 counters of each latent, on the device: 2 kB a latent."""

    def __init__(self, low: Floats, high: Floats, device: str) -> None:
        self._device = torch.device(device)
        self._low, self._high = (torch.tensor(limit, dtype=torch.float64, device=device) for limit in (low, high))
        self._counts = torch.zeros(len(low) * BINS, dtype=torch.int64, device=device)

    def add(self, indices: Ints32, values: Singles) -> None:
        """Count firings: their latents, int32 [nnz] in 0..N-1, and activations, float32 [nnz], finite.

        Raises:
            ValueError: a latent lies outside 0..N-1, or the lengths differ.
        """
        if len(indices) != len(values):
            raise ValueError("each firing needs one latent and one activation")
        for first in range(0, len(indices), AT_ONCE):
            part = slice(first, first + AT_ONCE)
            latent = torch.tensor(indices[part], device=self._device).long()
            # A GPU would count a wrong index wherever it points to.
            if bool((latent.min() < 0) | (latent.max() >= len(self._low))):
                raise ValueError(f"a latent lies outside 0..{len(self._low) - 1}")
            value = torch.tensor(values[part], device=self._device).double()
            latent, cell = self._cells(latent, value)
            place = latent * BINS + cell.clamp(0, BINS - 1).long()
            self._counts.index_add_(0, place, torch.ones_like(place))

    def counts(self) -> Ints:
        """Return the histograms, int64 [N, BINS]."""
        return self._counts.view(-1, BINS).cpu().numpy().copy()

    @abstractmethod
    def _cells(self, latent: torch.Tensor, value: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the latents that are counted and their bins before rounding down, float64."""


class FineHistograms(_Histograms):
    """`fine_bins` counted: BINS equal bins between a latent's `low` and `high`.

    Args:
        low: float64 [N], lower end of each (the threshold).
        high: float64 [N], upper end of each (the largest activation).
        device: "cuda", or "cpu".
    """

    def _cells(self, latent: torch.Tensor, value: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        low, high = self._low[latent], self._high[latent]
        width = torch.where(high > low, high - low, torch.ones_like(low))
        return latent, (value - low) / width * BINS


class AlignedHistograms(_Histograms):
    """`aligned_bins` counted: BINS bins of u = (a - threshold) / (mu - threshold) over [0, U_MAX), the last one open.

    Args:
        low: float64 [N], the thresholds.
        high: float64 [N], mu; latents without one above their threshold (or with NaN) are not counted.
        device: "cuda", or "cpu".
    """

    def _cells(self, latent: torch.Tensor, value: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        known = self._high[latent] > self._low[latent]
        latent, value = latent[known], value[known]
        threshold, mu = self._low[latent], self._high[latent]
        return latent, (value - threshold) / (mu - threshold) * (BINS / U_MAX)
