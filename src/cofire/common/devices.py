"""Where torch runs: the CPU or CUDA."""

from __future__ import annotations

from cofire.common.extras import needed_by
from cofire.errors import InputError


def choose_device(device: str) -> str:
    """Return "cpu" or "cuda" for auto, cpu or cuda.

    Raises:
        InputError: another name, torch is not installed, or cuda where torch finds no such device.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise InputError(f"--device {device} is unknown: give auto, cpu or cuda")
    if device == "cpu":
        return device
    with needed_by("running a model" if device == "auto" else f"--device {device}"):
        import torch

    if torch.cuda.is_available():
        return "cuda"
    if device == "cuda":
        raise InputError("--device cuda: torch finds no CUDA device here; give --device cpu")
    return "cpu"
