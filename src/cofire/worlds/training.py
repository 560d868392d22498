"""Small sparse autoencoders, trained on what a planted world shows a model: one thread, minutes.

1. The input is scaled to mean square norm d, its mean taken as the first decoder bias. Latents start at tokens picked
   at random (less the bias, unit length), and the encoder as the decoder's transpose.
2. BatchTopK (Bussmann, Leask and Nanda 2024, arXiv:2412.06410): of a batch of B tokens the B k largest positive
   pre-activations stay; the loss is the squared error, and 1/32 of that of a reconstruction of the error from the
   latents that have not fired for 100 steps (Gao et al. 2024, arXiv:2406.04093). Decoder rows are kept at unit length.
3. `tied`: the same with W_enc = W_dec^T throughout. `matryoshka` (Bussmann et al. 2025, arXiv:2503.17547): the mean of
   the losses of the first N/8, the first N/3 and all latents.
4. `jumprelu` (Rajamanoharan et al. 2024, arXiv:2407.14435): a threshold per latent, learnt by its straight-through
   estimator with a rectangle of width JUMP_WIDTH; beside the squared error the loss has JUMP_WEIGHT (L0 / k - 1)^2.
5. At inference a latent fires above one threshold, the mean over the last tenth of the steps of the least activation
   that stayed; of jumprelu its own. Scaling is folded into the weights, so that they read x as it is.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from cofire.common.arrays import Singles
from cofire.common.extras import needed_by

if TYPE_CHECKING:
    import torch

    from cofire.common.progress import Progress

SaeKind = Literal["batchtopk", "tied", "jumprelu", "matryoshka"]

_DEAD_STEPS = 100
_AUXILIARY = 1 / 32
_AUXILIARY_K = 16

JUMP_WIDTH = 1.0
"""In the unit in which the input has mean square norm d."""
JUMP_START = 2.0
"""Threshold at the start, in that unit."""
JUMP_WEIGHT = 100.0


@dataclass(frozen=True)
class SaeSettings:
    """How an SAE is trained.

    Attributes:
        kind: batchtopk, tied, jumprelu or matryoshka.
        n_latents: N.
        k: latents that stay on a token, on average.
        steps: optimiser steps (Adam; the rate falls linearly to 0 over the last third).
        batch: tokens a step.
        rate: learning rate.
        seed: of the start and of the order of tokens.
    """

    kind: SaeKind
    n_latents: int
    k: float
    steps: int = 2000
    batch: int = 1024
    rate: float = 2e-3
    seed: int = 0


def train_sae(x: Singles, settings: SaeSettings, *, progress: Progress | None = None) -> dict[str, Singles]:
    """Return W_enc [d, N], W_dec [N, d] (rows of unit length), b_enc [N], b_dec [d], threshold [N], all float32.

    The activation is (x - b_dec) W_enc + b_enc where that is above the threshold, else 0.

    Args:
        x: float32 [T, d], what the SAE reads.
        settings: how.
        progress: called with (steps done, steps in all).

    Raises:
        InputError: torch is not installed.
    """
    with needed_by("training an SAE"):
        import torch
    torch_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.enable_grad():
            return _train(torch.from_numpy(x), settings, progress)
    finally:
        torch.set_num_threads(torch_threads)


def _train(x: torch.Tensor, settings: SaeSettings, progress: Progress | None) -> dict[str, Singles]:
    import torch

    n, kind = settings.n_latents, settings.kind
    generator = torch.Generator().manual_seed(settings.seed)
    mean = x.mean(dim=0)
    scale = float(np.sqrt(x.shape[1] / float((x - mean).square().sum(dim=1).mean())))
    x = (x - mean) * scale

    busy = torch.nonzero(x.square().sum(dim=1) > 0.25 * x.shape[1])[:, 0]
    first = x[busy[torch.randperm(len(busy), generator=generator)[:n]]]
    decoder = torch.nn.Parameter(first / first.norm(dim=1, keepdim=True))
    encoder = torch.nn.Parameter(decoder.detach().T.clone())
    b_enc, b_dec = torch.nn.Parameter(torch.zeros(n)), torch.nn.Parameter(torch.zeros(x.shape[1]))
    trained = [decoder, b_enc, b_dec] if kind == "tied" else [decoder, encoder, b_enc, b_dec]
    log_threshold = torch.nn.Parameter(torch.full((n,), float(np.log(JUMP_START))))
    if kind == "jumprelu":
        trained.append(log_threshold)
    optimiser = torch.optim.Adam(trained, lr=settings.rate, betas=(0.9, 0.999))
    prefixes = [n // 8, n // 3, n] if kind == "matryoshka" else [n]
    silent = torch.zeros(n)
    least: list[float] = []
    for step in range(settings.steps):
        for group in optimiser.param_groups:
            group["lr"] = settings.rate * min(1.0, 3 * (settings.steps - step) / settings.steps)
        rows = x[torch.randint(len(x), (settings.batch,), generator=generator)]
        before = torch.relu((rows - b_dec) @ (decoder.T if kind == "tied" else encoder) + b_enc)
        penalty = torch.zeros(())
        if kind == "jumprelu":
            jump = _jump().apply(before, log_threshold.exp())
            active, penalty = before * jump, JUMP_WEIGHT * (jump.sum(dim=1).mean() / settings.k - 1) ** 2
        else:
            kept = torch.topk(before.flatten(), int(settings.k * settings.batch), sorted=False).values.min()
            active = before * (before >= kept)
        losses = [(rows - active[:, :p] @ decoder[:p] - b_dec).square().sum(dim=1).mean() for p in prefixes]
        loss = torch.stack(losses).mean() + penalty
        silent = torch.where((active.detach() > 0).any(dim=0), 0.0, silent + 1)
        dead = torch.nonzero(silent > _DEAD_STEPS)[:, 0]
        if len(dead):
            error = (rows - active @ decoder - b_dec).detach()
            values, at = torch.topk(before[:, dead], min(_AUXILIARY_K, len(dead)), dim=1)
            again = torch.zeros(len(rows), len(dead)).scatter(1, at, values) @ decoder[dead]
            loss = loss + _AUXILIARY * (error - again).square().sum(dim=1).mean()
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch does not type it
        optimiser.step()
        with torch.no_grad():
            decoder.div_(decoder.norm(dim=1, keepdim=True))
        if step >= settings.steps * 0.9 and kind != "jumprelu":
            least.append(float(kept.detach()))
        if progress is not None:
            progress(step + 1, settings.steps)
    weights = decoder.detach()
    threshold = log_threshold.detach().exp() if kind == "jumprelu" else torch.full((n,), float(np.mean(least)))
    return {
        "W_dec": weights.numpy().copy(),
        "W_enc": (weights.T if kind == "tied" else encoder.detach()).numpy().copy(),
        "b_enc": b_enc.detach().numpy() / np.float32(scale),
        "b_dec": (b_dec.detach() / scale + mean).numpy(),
        "threshold": threshold.numpy() / np.float32(scale),
    }


@functools.cache
def _jump() -> Any:
    """Return the step above a threshold, with a gradient for the threshold alone (torch is imported where it is used).

    d(a H(a - t)) / dt of the paper is -(t / width) K((a - t) / width): that of a times this step, to the width.
    """
    import torch

    class Jump(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, before: torch.Tensor, threshold: torch.Tensor) -> torch.Tensor:
            ctx.save_for_backward(before, threshold)
            return (before > threshold).to(before.dtype)

        @staticmethod
        def backward(ctx: Any, gradient: torch.Tensor) -> tuple[None, torch.Tensor]:
            before, threshold = ctx.saved_tensors
            # What the relu has set to 0 is not near, however low the threshold.
            near = (((before - threshold).abs() < JUMP_WIDTH / 2) & (before > 0)).to(before.dtype)
            return None, -(near * gradient).sum(dim=0) / JUMP_WIDTH

    return Jump
