"""Directories of EleutherAI's sparsify (formerly `sae`): cfg.json and sae.safetensors, named by the hook point.

A run has one for each hook point, `RUN/layers.12`, with several seeds `RUN/layers.12/seed0`, and RUN/config.json with
the model. See https://github.com/EleutherAI/sparsify/blob/main/sparsify/sparse_coder.py: encoder.weight [N, d], W_dec
[N, d]; top-k of relu(encoder(x - b_dec)). A transcoder reads what the module is given and does not subtract b_dec.
Those of before February 2025 subtract it, and cfg.json does not call them so: skip_connection or RUN/config.json may.
sae-lens 6.54 has a loader of such directories, which is not used: it transposes W_dec, rounds to bfloat16, takes every
hook point for the residual stream, and subtracts b_dec unless decoder rows were normalised.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from cofire.errors import InputError
from cofire.ingest.capturing.sae_directories.files import SaeFiles, id_of, read_object, settle, whole
from cofire.ingest.capturing.sae_directories.hooks import hook_of_module

WEIGHTS, CONFIG, RUN = "sae.safetensors", "cfg.json", "config.json"
TENSORS = {"W_enc": "encoder.weight.T", "b_enc": "encoder.bias", "W_dec": "W_dec", "b_dec": "b_dec"}


def describe(directory: Path) -> SaeFiles:
    """Say what the SAE in `directory` is.

    Raises:
        InputError: a file is missing or malformed, its activations cannot be captured, or no hook point is known.
    """
    path = directory / CONFIG
    config = read_object(path)
    if config.get("signed"):
        raise InputError(
            f"{path}: signed: its activations are signed, and a latent that fires negatively is not one that fires"
        )
    activation = config.get("activation", "topk")
    if activation != "topk":
        raise InputError(f"{path}: its activation is {activation!r}, which cannot be captured: known is topk")
    k = whole(path, config, "k")
    if k is None:
        raise InputError(f"{path} does not say k, the number of latents that fire: copy or save the SAE again")
    place = directory.resolve()
    seed = re.fullmatch(r"seed\d+", place.name) is not None
    point = place.parent if seed else place
    run = _run(point.parent / RUN)
    transcoder = bool(config.get("transcode") or config.get("skip_connection") or run.get("transcode"))
    hook, unclear = hook_of_module(point.name, given=transcoder), ""
    # Of these months cfg.json knows skip_connection, but not yet transcode.
    if "skip_connection" in config and "transcode" not in config and not (transcoder or run or _is_layer(hook)):
        hook, unclear = None, f"without {RUN} beside its folder it may be an SAE or a transcoder"
    metadata = settle(
        directory,
        {
            "hook_name": hook,
            "model_name": run.get("model") if isinstance(run.get("model"), str) else None,
            "prepend_bos": True,
            "context_size": whole(point.parent / RUN, run, "ctx_len"),
        },
        unclear,
    )
    d_in = whole(path, config, "d_in")
    expansion = whole(path, config, "expansion_factor")
    d_sae = whole(path, config, "num_latents") or (d_in * expansion if d_in and expansion else None)
    return SaeFiles(
        library="sparsify",
        sae_id=id_of(place.parts[1:][-3 if seed else -2 :]),
        weights=directory / WEIGHTS,
        tensors=TENSORS,
        config={
            "architecture": "topk",
            "k": k,
            "apply_b_dec_to_input": not config.get("transcode"),
            "metadata": metadata | {"library": "sparsify", "transcode": transcoder},
        },
        sizes={"d_in": d_in, "d_sae": d_sae},
    )


def _is_layer(hook: str | None) -> bool:
    return hook is not None and hook.endswith("hook_resid_post")


def _run(path: Path) -> dict[str, Any]:
    """The settings of the training, which are often not copied along with an SAE."""
    return read_object(path) if path.is_file() else {}
