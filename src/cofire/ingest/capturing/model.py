"""The language model: TransformerBridge over a Hugging Face model (a name or a directory), and its tokenizer."""

from __future__ import annotations

import difflib
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cofire.common.arrays import Ints
from cofire.common.characters import first_line
from cofire.common.extras import needed_by
from cofire.common.files import as_text, from_home, sha256_of
from cofire.common.quiet import quiet
from cofire.errors import InputError
from cofire.ingest.capture_dir.manifest import ModelInfo
from cofire.ingest.capture_dir.token_bytes import TokenText
from cofire.ingest.capturing.sae_directories.hooks import layer_of
from cofire.ingest.capturing.token_texts import token_texts

__all__ = ["LanguageModel", "find_model", "load_model"]

# Files of a model directory that decide its activations or its tokens.
MODEL_FILES = ("*.safetensors", "*.bin", "config.json", "tokenizer*", "vocab*", "merges.txt", "special_tokens_map.json")
# What HookedTransformer did to the weights before an SAE was trained on it; all are off unless the SAE says so.
PROCESSING = ("fold_ln", "center_writing_weights", "center_unembed", "fold_value_biases")
# How far activations may be apart, relative to their length, and still be the same: in two rows of one run, which are
# equal to the bit unless tokens behind them count (3e-3 and more, of random weights); in runs of other shapes, which
# round in other places (3e-7 measured, of two layers).
SAME_SHAPE, ROUNDING, ROUNDING_16_BIT = 1e-5, 1e-3, 5e-2
LONG = 1024
# Its ids are gone through one by one: of a damaged file they may be as large as a number can be. The largest have some
# 300,000.
MOST_TOKENS = 10_000_000
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
        """The id of the token that stands first in a window where an SAE wants BOS; None where there is none.

        A tokenizer without BOS, as Qwen's, has its EOS token there: TransformerLens does it so (`setup_tokenizer`), and
        with it the SAEs were trained.
        """
        found = self.tokenizer.bos_token_id
        if found is None and self.tokenizer.eos_token_id is not None:
            found = self.bridge.tokenizer.bos_token_id
        return None if found is None else int(found)

    @property
    def bos_words(self) -> str:
        """What `bos` is, for messages and the manifest: BOS, or the token that stands in its place."""
        if self.tokenizer.bos_token_id is not None or self.bos is None:
            return "BOS"
        return f"{self.tokenizer.convert_ids_to_tokens(self.bos)!r} (id {self.bos}, EOS in the place of BOS)"

    @property
    def known_tokens(self) -> int:
        """How many token ids the model's embedding has; the tokenizer may have more."""
        return int(self.bridge.original_model.get_input_embeddings().weight.shape[0])

    def tokenise(self, texts: list[str]) -> list[list[int]]:
        """Return the token ids of each text, with no special tokens added."""
        with quiet():
            ids: list[list[int]] = self.tokenizer(texts, add_special_tokens=False)["input_ids"]
        return ids

    def vocabulary(self) -> dict[int, TokenText]:
        """Return the text of every token id; see `token_texts`."""
        with quiet():
            return token_texts(self.tokenizer)

    def run(self, tokens: Ints, hooks: list[str]) -> dict[str, Any]:
        """Run the model once and return the activation at each hook point, as tensors [batch, n, ...] on the device.

        Args:
            tokens: int64 [batch, n]. Rows may be padded on the right unless the model looks ahead (`looks_ahead`).
            hooks: names of hook points. The model stops after the last of their layers.
        """
        import torch

        layers = [layer_of(hook) for hook in hooks]
        stop = None if None in layers else max(layer for layer in layers if layer is not None) + 1
        with torch.no_grad(), quiet():
            _, cache = self.bridge.run_with_cache(
                torch.from_numpy(tokens).to(self.device), names_filter=hooks, stop_at_layer=stop
            )
        return {hook: cache[hook] for hook in hooks if hook in cache}

    def looks_ahead(self, hooks: list[str], context: int) -> bool:
        """Tell whether what stands behind a token in its row changes its activation, so that rows must not be padded.

        So it is where attention is to both sides (BERT), and where positions depend on a row's length. No list of names
        tells it but the model itself: some tokens alone, padded, and followed by others.

        Args:
            hooks: names of hook points.
            context: the longest row, at least 2.
        """
        # Where positions depend on a row's length, they do from 2,048 tokens on or later; all else shows in a few.
        width = context if context > LONG else min(context, 24)
        n = min(8, width // 2)
        # From the middle of the vocabulary: special tokens are at its ends.
        tokens = (self.known_tokens // 2 + np.arange(width, dtype=np.int64)) % self.known_tokens
        rows = np.zeros((2, width), np.int64)
        rows[:, :n] = tokens[:n]
        rows[1, n:] = tokens[n:]
        alone, both = self.run(rows[:1, :n], hooks), self.run(rows, hooks)
        for hook in hooks:
            padded, followed = both[hook][0, :n].flatten(1).float(), both[hook][1, :n].flatten(1).float()
            by_length = ROUNDING if both[hook].element_size() == 4 else ROUNDING_16_BIT
            for other, most in ((followed, SAME_SHAPE), (alone[hook][0].flatten(1).float(), by_length)):
                if not bool(((padded - other).norm(dim=-1) <= most * other.norm(dim=-1)).all()):
                    return True
        return False

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
        try:
            found = self.run(np.zeros((1, 2), np.int64), [hook]).get(hook)
        # TransformerBridge loads models that it then does not run.
        except (
            *(ValueError, LookupError, RuntimeError, TypeError, AttributeError),
            *(NotImplementedError, ImportError),
        ) as error:
            raise InputError(
                f"TransformerBridge cannot run the model {self.info.name} up to {hook} ({first_line(error)}): "
                "give another model"
            ) from error
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


def find_model(model: str | Path) -> ModelInfo:
    """Say which model is meant, without loading it. A directory's files are hashed; a hub name has no hash.

    Raises:
        InputError: the directory does not exist or holds no model.
    """
    if not str(model).strip():
        raise InputError("no model named: give a Hugging Face name or a directory")
    path = from_home(model)
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
    place = str(from_home(model).absolute()) if found.weights_sha256 else str(model)
    try:
        with quiet():
            tokenizer = AutoTokenizer.from_pretrained(place)
            bridge = TransformerBridge.boot_transformers(place, device=device, dtype=getattr(torch, dtype))
            if asked:
                steps = {name: bool(asked.get(name)) for name in PROCESSING}
                bridge.enable_compatibility_mode(disable_warnings=True, **steps)
    except ImportError as error:
        # Quantised weights and some tokenizers take packages of their own; the message names the one.
        raise InputError(
            f"cannot load the model {model}: {first_line(error)}; see to that, or give another model"
        ) from error
    # For a wrong name, a damaged file, an unknown model or no network transformers, torch, safetensors, tokenizers and
    # the hub raise errors of many classes, tokenizers a plain Exception.
    except Exception as error:
        advice = "check the directory" if found.weights_sha256 else "check name and network, or give a directory"
        raise InputError(f"cannot load the model {model}: {first_line(error)}; {advice}") from error
    if len(tokenizer) <= len(tokenizer.all_special_ids):
        # What transformers makes of a model that was saved without one: every text would have no tokens.
        raise InputError(f"the model {model} has no tokenizer: save its tokenizer there too, by save_pretrained")
    highest = max(tokenizer.get_vocab().values())
    if highest >= MOST_TOKENS:
        raise InputError(
            f"the tokenizer of {model} has a token of id {highest:,}, and cofire takes ids below {MOST_TOKENS:,}: "
            "correct its files"
        )
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
