"""The language model: TransformerBridge over a Hugging Face model (a name or a directory), and its tokenizer."""

from __future__ import annotations

import difflib
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cofire.common.arrays import Ints
from cofire.common.extras import needed_by
from cofire.common.files import as_text, sha256_of
from cofire.errors import InputError
from cofire.ingest.capture_dir.manifest import ModelInfo
from cofire.ingest.capturing.quiet import quiet

__all__ = ["LanguageModel", "find_model", "load_model"]

# Files of a model directory that decide its activations or its tokens.
MODEL_FILES = ("*.safetensors", "*.bin", "config.json", "tokenizer*", "vocab*", "merges.txt", "special_tokens_map.json")
# What HookedTransformer did to the weights before an SAE was trained on it; all are off unless the SAE says so.
PROCESSING = ("fold_ln", "center_writing_weights", "center_unembed", "fold_value_biases")
# Settings of loading that leave the activations as they are.
HARMLESS = ("device", "device_map", "dtype", "n_devices", "torch_dtype")


@dataclass(frozen=True)
class LanguageModel:
    """A model ready to run.

    Attributes:
        bridge: the TransformerBridge, in evaluation mode on `device`.
        tokenizer: its Hugging Face tokenizer.
        info: its identity for the manifest.
        device: "cpu" or "cuda".
        special: the tokenizer's special token ids.
    """

    bridge: Any
    tokenizer: Any
    info: ModelInfo
    device: str
    special: frozenset[int]

    @property
    def bos(self) -> int | None:
        """The id of the beginning-of-sequence token."""
        found = self.tokenizer.bos_token_id
        return None if found is None else int(found)

    def tokenise(self, texts: list[str]) -> list[list[int]]:
        """Return the token ids of each text, with no special tokens added."""
        with quiet():
            ids: list[list[int]] = self.tokenizer(texts, add_special_tokens=False)["input_ids"]
        return ids

    def vocabulary(self) -> dict[int, str]:
        """Return the text of every token id; the tokenizer's raw form where the bytes are no whole characters."""
        size = len(self.tokenizer)
        with quiet():
            texts = {token: self.tokenizer.decode([token]) for token in range(size)}
            broken = [token for token, text in texts.items() if "\N{REPLACEMENT CHARACTER}" in text]
            raw = self.tokenizer.convert_ids_to_tokens(broken)
        return texts | {token: str(form) for token, form in zip(broken, raw, strict=True)}

    def run(self, tokens: Ints, hooks: list[str]) -> dict[str, Any]:
        """Run the model once and return the activation at each hook point, as tensors [batch, n, ...] on the device.

        Args:
            tokens: int64 [batch, n]. Rows may be padded on the right: attention is causal.
            hooks: names of hook points. The model stops after the last of their layers.
        """
        import torch

        layers = [_layer(hook) for hook in hooks]
        stop = None if None in layers else max(layer for layer in layers if layer is not None) + 1
        with torch.no_grad(), quiet():
            _, cache = self.bridge.run_with_cache(
                torch.from_numpy(tokens).to(self.device), names_filter=hooks, stop_at_layer=stop
            )
        return {hook: cache[hook] for hook in hooks if hook in cache}

    def check_hook(self, spec: str, hook: str, head: int | None, d_in: int) -> None:
        """Check that the SAE `spec` fits the model: the hook point exists and is d_in wide (heads flattened).

        Raises:
            InputError: it does not.
        """
        if hook not in self.bridge.hook_dict:
            close = difflib.get_close_matches(hook, self.bridge.hook_dict, n=1)
            hint = f"; did you mean {close[0]}" if close else ""
            raise InputError(
                f"SAE {spec} reads {hook}, which the model {self.info.name} ({self.info.n_layers} layers) has not{hint}"
            )
        if hook.endswith("hook_mlp_in"):
            self.bridge.set_use_hook_mlp_in(True)
        found = self.run(np.zeros((1, 2), np.int64), [hook]).get(hook)
        if found is None:
            raise InputError(f"SAE {spec} reads {hook}, which the model {self.info.name} does not compute")
        shape = tuple(found.shape[2:])
        if head is not None and (len(shape) != 2 or head >= shape[0]):
            raise InputError(f"SAE {spec} reads head {head} of {hook}, which has the shape {shape} per token")
        width = shape[-1] if head is not None else int(np.prod(shape))
        if width != d_in:
            raise InputError(
                f"SAE {spec} reads {d_in} numbers at {hook}, but the model {self.info.name} has {width} there: "
                "it was trained on another model"
            )


def _layer(hook: str) -> int | None:
    parts = hook.split(".")
    return int(parts[1]) if parts[0] == "blocks" and len(parts) > 2 and parts[1].isdigit() else None


def find_model(model: str | Path) -> ModelInfo:
    """Say which model is meant, without loading it. A directory's files are hashed; a hub name has no hash.

    Raises:
        InputError: the directory does not exist or holds no model.
    """
    if not str(model).strip():
        raise InputError("no model named: give a Hugging Face name or a directory")
    path = Path(model)
    if not path.is_dir():
        if isinstance(model, Path) or str(model).startswith(("/", "./", "../", "~")) or str(model).count("/") > 1:
            raise InputError(f"no model at {model}: no such directory")
        return ModelInfo(name=str(model))
    if not (path / "config.json").is_file():
        raise InputError(f"no model in {path}: it has no config.json; give a directory that save_pretrained made")
    files = sorted({file for pattern in MODEL_FILES for file in path.glob(pattern) if file.is_file()})
    digest = hashlib.sha256("\0".join(f"{file.name}\0{sha256_of(file)}" for file in files).encode()).hexdigest()
    return ModelInfo(name=as_text(path.resolve().name), source=as_text(model), weights_sha256=digest)


def load_model(
    model: str | Path,
    found: ModelInfo,
    *,
    device: str = "cpu",
    dtype: str = "float32",
    processing: dict[str, Any] | None = None,
) -> LanguageModel:
    """Load a model by TransformerBridge, with its own tokenizer.

    Args:
        model: Hugging Face name or directory.
        found: what `find_model` says of it.
        device: "cpu" or "cuda".
        dtype: the weights' dtype, see `settings.Dtype`.
        processing: the SAE's `model_from_pretrained_kwargs`: which changes of the weights it was trained with.

    Raises:
        InputError: a package is missing, it cannot be loaded, or `processing` asks for what TransformerBridge does
            not do.
    """
    with needed_by("running a model"), quiet():
        import torch
        from transformer_lens.model_bridge import TransformerBridge
        from transformers import AutoTokenizer
    asked = {key: value for key, value in (processing or {}).items() if value and key not in HARMLESS}
    unknown = sorted(set(asked) - set(PROCESSING))
    if unknown:
        raise InputError(f"the SAE's model was loaded with {unknown[0]}={asked[unknown[0]]!r}, which cofire cannot do")
    place = str(Path(model).absolute()) if found.weights_sha256 else str(model)
    try:
        with quiet():
            tokenizer = AutoTokenizer.from_pretrained(place)
            bridge = TransformerBridge.boot_transformers(place, device=device, dtype=getattr(torch, dtype))
            if asked:
                steps = {name: bool(asked.get(name)) for name in PROCESSING}
                bridge.enable_compatibility_mode(disable_warnings=True, **steps)
    # What transformers, torch and the hub raise for a wrong name, a damaged file, an unknown model or no network.
    except (OSError, ValueError, LookupError, RuntimeError, TypeError, AttributeError, NotImplementedError) as error:
        text = (str(error).strip().splitlines() or [type(error).__name__])[0]
        advice = "check the directory" if found.weights_sha256 else "check name and network, or give a directory"
        raise InputError(f"cannot load the model {model}: {text}; {advice}") from error
    bridge.eval()
    config = bridge.original_model.config
    commit = getattr(config, "_commit_hash", None)
    info = found.model_copy(
        update={
            "source": found.source if found.weights_sha256 else f"huggingface:{model}@{commit}",
            "n_layers": int(bridge.cfg.n_layers),
            "d_model": int(bridge.cfg.d_model),
        }
    )
    special = frozenset(int(token) for token in tokenizer.all_special_ids)
    return LanguageModel(bridge, tokenizer, info, device, special)
