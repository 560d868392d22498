"""Making a counter of pairs: an empty one for a device, or one that goes on from a saved one."""

from __future__ import annotations

from pathlib import Path

from cofire.common.extras import needed_by
from cofire.ingest.pairs.blocks import SavedPairs
from cofire.ingest.pairs.counter import PairCounter


def pair_counter(n_latents: int, *, memory: int, work: Path, device: str = "cpu") -> PairCounter:
    """Return an empty counter.

    Args:
        n_latents: N, up to 2^31 - 2.
        memory: bytes that the counter may hold; on a GPU, of its memory. No result depends on it.
        work: an existing directory for spill files.
        device: 'cpu' or a CUDA device's name.
    """
    if device == "cpu":
        from cofire.ingest.pairs.cpu import CpuPairCounter

        return CpuPairCounter(n_latents, memory, work)
    with needed_by(f"--device {device}"):
        from cofire.ingest.pairs.cuda import CudaPairCounter

    counter: PairCounter = CudaPairCounter(n_latents, memory=memory, work=work, device=device)
    return counter


def load_pairs(path: Path, *, memory: int, work: Path, device: str = "cpu") -> PairCounter:
    """Return a counter that goes on from a saved one; the arguments are those of `pair_counter`.

    Raises:
        CaptureError: the file is damaged or no saved counter.
    """
    saved = SavedPairs(path)
    counter = pair_counter(saved.n_latents, memory=memory, work=work, device=device)
    try:
        counter.absorb(saved.tokens, saved.blocks())
    except BaseException:
        counter.close()
        raise
    return counter
