"""Directories of Gemma Scope: params.npz (Gemma 2), params.safetensors with config.json (Gemma 3).

See https://huggingface.co/google/gemma-scope: W_enc [d, N], W_dec [N, d], b_enc, b_dec, threshold; a JumpReLU of
x W_enc + b_enc, where b_dec is not subtracted from x. params.npz says nothing of where it belongs, so that is read off
its place, `gemma-scope-2b-pt-res/layer_12/width_16k/average_l0_82`: the first name is that of the hub, whose cache has
it too. SAEs of the MLP read what the norm behind it gives; those of the embedding read embeddings as they enter layer
0, which Gemma multiplies by sqrt(d); transcoders read what the MLP is given.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from cofire.errors import InputError
from cofire.ingest.capturing.sae_directories.files import SaeFiles, id_of, read_object, settle
from cofire.ingest.capturing.sae_directories.hooks import hook_of_module

WEIGHTS, WEIGHTS_2, CONFIG_2 = "params.npz", "params.safetensors", "config.json"
CONTEXT = 1024

_NAMES = ("W_enc", "W_dec", "b_enc", "b_dec", "threshold")
_REPOSITORY = re.compile(r"gemma-scope-(2b|9b|27b)-(pt|it)-(res|mlp|att|transcoders)")
_REPOSITORY_2 = re.compile(r"gemma-scope-2-\d+[mb]-(?:pt|it)")
_LAYER = re.compile(r"layer_(\d+)")
_SITES = {
    "res": "hook_resid_post",
    "mlp": "ln2_post.hook_out",
    "att": "attn.hook_z",
    "transcoders": "mlp.hook_in",
}


def describe(directory: Path) -> SaeFiles:
    """Say what the SAE of Gemma Scope in `directory` is.

    Raises:
        InputError: no hook point is known from where it lies.
    """
    parts = directory.resolve().parts[1:]
    start = _start(parts)
    repository = next((one for part in reversed(parts) if (one := _REPOSITORY.search(part))), None)
    hook = model = None
    name = parts[start:]
    if repository is not None:
        name = (repository[0], *name)
        size, kind, site = repository.groups()
        model = f"google/gemma-2-{size}" + ("-it" if kind == "it" else "")
        layer = _LAYER.fullmatch(parts[start])
        if layer is not None:
            hook = f"blocks.{layer[1]}.{_SITES[site]}"
        elif parts[start] == "embedding":
            hook = "blocks.0.hook_resid_pre"
    metadata = settle(directory, {"hook_name": hook, "model_name": model, "prepend_bos": True, "context_size": CONTEXT})
    transcoder = repository is not None and repository[3] == "transcoders"
    return _files(directory / WEIGHTS, name, {name: name for name in _NAMES}, metadata, transcoder)


def describe_2(directory: Path) -> SaeFiles:
    """Say what the SAE of Gemma Scope 2 in `directory` is.

    Raises:
        InputError: config.json is missing or malformed, or says no hook point that is known.
    """
    path = directory / CONFIG_2
    config = read_object(path)
    if config.get("architecture") != "jump_relu":
        raise InputError(
            f"{path}: architecture is {config.get('architecture')!r}, which cannot be captured: known is jump_relu"
        )
    if config.get("type", "sae") not in ("sae", "transcoder"):
        raise InputError(
            f"{path}: it is a {config['type']}, which reads several layers: sae and transcoder can be captured"
        )
    model = config.get("model_name")
    metadata = settle(
        directory,
        {
            "hook_name": _hook_2(config.get("hf_hook_point_in")),
            "model_name": model.replace("gemma-v3", "gemma-3") if isinstance(model, str) else None,
            "prepend_bos": True,
            "context_size": CONTEXT,
        },
    )
    parts = directory.resolve().parts[1:]
    release = next((one[0] for part in reversed(parts) if (one := _REPOSITORY_2.search(part))), None)
    names = {name: name.replace("W_", "w_") for name in _NAMES}
    name = parts[-2:] if release is None else (release, *parts[-2:])
    return _files(directory / WEIGHTS_2, name, names, metadata, config.get("type") == "transcoder")


def _hook_2(point: Any) -> str | None:
    """The hook point of `model.layers.12.output` and the like."""
    name, _, side = point.rpartition(".") if isinstance(point, str) else ("", "", "")
    layer = re.search(r"layers\.(\d+)", name)
    if layer is not None and (name, side) == (f"model.layers.{layer[1]}.self_attn.o_proj", "input"):
        return f"blocks.{layer[1]}.attn.hook_z"
    if layer is not None and (name, side) == (f"model.layers.{layer[1]}.pre_feedforward_layernorm", "output"):
        return f"blocks.{layer[1]}.mlp.hook_in"
    return hook_of_module(name, given=side == "input") if side in ("input", "output") else None


def _start(parts: tuple[str, ...]) -> int:
    """Where the parts that name the SAE begin: at its layer, else with its own folder."""
    for at in reversed(range(max(0, len(parts) - 4), len(parts))):
        if _LAYER.fullmatch(parts[at]) or parts[at] == "embedding":
            return at
    return len(parts) - 1


def _files(
    weights: Path, parts: tuple[str, ...], tensors: dict[str, str], metadata: dict[str, Any], transcoder: bool
) -> SaeFiles:
    return SaeFiles(
        library="Gemma Scope",
        sae_id=id_of(parts),
        weights=weights,
        tensors=tensors,
        config={
            "architecture": "jumprelu_transcoder" if transcoder else "jumprelu",
            "apply_b_dec_to_input": False,
            "metadata": metadata | {"library": "Gemma Scope"},
        },
    )
