"""Directories of dictionary_learning: ae.pt, a state dict, and config.json with what its trainer was given.

See https://github.com/saprmarks/dictionary_learning: dictionary_learning/dictionary.py and trainers/. Where activations
were scaled in training the biases are scaled back before ae.pt is written, so nothing is left to do (of a training's
backup that is not so: it is refused). The layer stands in config.json, what of it is read only in a name by custom:
trainer.submodule_name or a folder, `resid_post_layer_12/trainer_0`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cofire.errors import InputError
from cofire.ingest.capturing.sae_directories.files import SaeFiles, id_of, read_object, settle, whole
from cofire.ingest.capturing.sae_directories.hooks import hook_of_site, layer_of

WEIGHTS, CONFIG = "ae.pt", "config.json"

_LINEAR = {"W_enc": "encoder.weight.T", "W_dec": "decoder.weight.T"}
_PLAIN = {name: name for name in ("W_enc", "W_dec", "b_enc", "b_dec", "threshold")}
_TOPK = _LINEAR | {"b_enc": "encoder.bias", "b_dec": "b_dec"}
# dict_class -> (sae-lens architecture, whether encode subtracts b_dec, tensors)
CLASSES: dict[str, tuple[str, bool, dict[str, str]]] = {
    "AutoEncoder": ("standard", True, _LINEAR | {"b_enc": "encoder.bias", "b_dec": "bias"}),
    "AutoEncoderNew": ("standard", False, _LINEAR | {"b_enc": "encoder.bias", "b_dec": "decoder.bias"}),
    "GatedAutoEncoder": (
        "gated",
        True,
        _LINEAR | {"b_dec": "decoder_bias", "b_gate": "gate_bias", "b_mag": "mag_bias", "r_mag": "r_mag"},
    ),
    "JumpReluAutoEncoder": ("jumprelu", False, _PLAIN),
    "AutoEncoderTopK": ("topk", True, _TOPK),
    # Their encode fires above the threshold that was tracked in training; k decides in training alone.
    "BatchTopKSAE": ("jumprelu", True, _TOPK | {"threshold": "threshold"}),
    "MatryoshkaBatchTopKSAE": ("jumprelu", True, _PLAIN),
    "MatroyshkaBatchTopKSAE": ("jumprelu", True, _PLAIN),  # as it was spelled until January 2025
}


def describe(directory: Path) -> SaeFiles:
    """Say what the SAE in `directory` is.

    Raises:
        InputError: a file is missing or malformed, its class is unknown, or no hook point is known.
    """
    path = directory / CONFIG
    config = read_object(path)
    trainer = config.get("trainer")
    if not isinstance(trainer, dict):
        raise InputError(f"{path} has no object trainer, as dictionary_learning writes it: copy or save the SAE again")
    buffer: dict[str, Any] = config["buffer"] if isinstance(config.get("buffer"), dict) else {}
    name = trainer.get("dict_class")
    if not isinstance(name, str) or name not in CLASSES:
        raise InputError(
            f"{path}: trainer.dict_class is {name!r}, which cannot be captured: known are {', '.join(CLASSES)}"
        )
    # Never written by dictionary_learning itself: whoever did may or may not have scaled the biases back.
    if trainer.get("norm_factor") not in (None, 1):
        raise InputError(
            f"{path}: trainer.norm_factor is {trainer['norm_factor']!r}: cofire takes inputs as they are; scale the "
            "biases of ae.pt by it (scale_biases) if they are not yet, and remove it"
        )
    architecture, subtracts, tensors = CLASSES[name]
    hook, unclear, parts = _hook(directory, trainer, buffer)
    metadata = settle(
        directory,
        {
            "hook_name": hook,
            "model_name": trainer.get("lm_name") if isinstance(trainer.get("lm_name"), str) else None,
            "prepend_bos": True,
            "context_size": whole(path, buffer, "ctx_len"),
        },
        unclear,
    )
    settings: dict[str, Any] = {"architecture": architecture, "apply_b_dec_to_input": subtracts}
    if architecture == "topk":
        settings["k"] = whole(path, trainer, "k")
        if settings["k"] is None:
            raise InputError(
                f"{path} does not say trainer.k, the number of latents that fire: copy or save the SAE again"
            )
    return SaeFiles(
        library="dictionary_learning",
        sae_id=id_of(parts),
        weights=directory / WEIGHTS,
        tensors=tensors,
        config=settings | {"metadata": metadata | {"library": "dictionary_learning", "dict_class": name}},
        sizes={"d_in": whole(path, trainer, "activation_dim"), "d_sae": whole(path, trainer, "dict_size")},
    )


def _hook(directory: Path, trainer: dict[str, Any], buffer: dict[str, Any]) -> tuple[str | None, str, tuple[str, ...]]:
    """Return the hook point or None, why it is not clear, and the parts of the path that name the SAE."""
    folders = directory.resolve().parts[1:][-3:]
    found = next(((hook, at) for at in reversed(range(len(folders))) if (hook := hook_of_site(folders[at]))), None)
    start = len(folders) - (2 if folders[-1].startswith("trainer_") else 1)
    parts = folders[max(0, start if found is None else min(start, found[1])) :]
    # What a module is given has another name than what it gives.
    if buffer.get("io", "out") != "out":
        return None, f"buffer.io is {buffer['io']!r}", parts
    submodule, layer = trainer.get("submodule_name"), trainer.get("layer")
    hook, where = (hook_of_site(submodule) if isinstance(submodule, str) else None), submodule
    if hook is None and found is not None:
        hook, where = found[0], folders[found[1]]
    if hook is not None and isinstance(layer, int) and layer_of(hook) not in (None, layer):
        return None, f"trainer.layer is {layer}, but it was trained on {where}", parts
    return hook, "", parts
