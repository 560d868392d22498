"""Tiny SAEs as other libraries save them, with the names and shapes of their own code.

dictionary_learning: https://github.com/saprmarks/dictionary_learning, dictionary.py, trainers/*.py (`config`, the state
dicts), training.py (`trainSAE` writes config.json and ae.pt). sparsify: https://github.com/EleutherAI/sparsify,
sparse_coder.py (`save_to_disk`), __main__.py (`RunConfig`). Gemma Scope: https://huggingface.co/google/gemma-scope; of
Gemma 3 the names that sae-lens's loader reads.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Raw = dict[str, npt.NDArray[Any]]
D, N, K = 16, 48, 6

LINEAR = {"encoder.weight": (N, D), "encoder.bias": (N,), "decoder.weight": (D, N)}
PLAIN = {"W_enc": (D, N), "b_enc": (N,), "W_dec": (N, D), "b_dec": (D,)}
# dict_class -> the shapes of its state dict; buffers that are no weights are added in `dictionary_learning`.
CLASSES: dict[str, dict[str, tuple[int, ...]]] = {
    "AutoEncoder": LINEAR | {"bias": (D,)},
    "AutoEncoderNew": LINEAR | {"decoder.bias": (D,)},
    "GatedAutoEncoder": {
        "decoder_bias": (D,),
        "r_mag": (N,),
        "gate_bias": (N,),
        "mag_bias": (N,),
        "encoder.weight": (N, D),
        "decoder.weight": (D, N),
    },
    "JumpReluAutoEncoder": PLAIN | {"threshold": (N,)},
    "AutoEncoderTopK": LINEAR | {"b_dec": (D,)},
    "BatchTopKSAE": LINEAR | {"b_dec": (D,)},
    "MatryoshkaBatchTopKSAE": PLAIN,
    "MatroyshkaBatchTopKSAE": PLAIN,
}


def random(shapes: dict[str, tuple[int, ...]], seed: int = 0) -> Raw:
    """float32 tensors of these shapes; thresholds are above 0, the rows of W_dec of norms around 4 or 1."""
    rng = np.random.default_rng(seed)
    raw = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    if "r_mag" in raw:
        raw["r_mag"] *= np.float32(0.2)
    if "threshold" in raw:
        raw["threshold"] = np.abs(raw["threshold"]) + np.float32(1)
    return raw


def dictionary_learning(directory: Path, dict_class: str, **trainer: Any) -> Raw:
    """An SAE as trainSAE leaves it; `trainer` changes its entries in config.json (None takes one out)."""
    raw = random(CLASSES[dict_class], seed=len(dict_class))
    if "TopK" in dict_class:
        raw |= {"k": np.array(K, np.int32), "threshold": np.array(2.5, np.float32)}
    if "yshkaBatch" in dict_class:
        raw["group_sizes"] = np.array([10, 38])
    save(directory / "ae.pt", raw)
    config = {
        "trainer_class": "SomeTrainer",
        "dict_class": dict_class,
        "lr": 1e-4,
        "activation_dim": D,
        "dict_size": N,
        "device": "cuda:0",
        "layer": 1,
        "lm_name": "EleutherAI/pythia-70m-deduped",
        "wandb_name": "AutoEncoder_trainer_0",
        "submodule_name": "resid_post_layer_1",
    } | ({"k": K} if "TopK" in dict_class else {})
    kept = {name: value for name, value in (config | trainer).items() if value is not None}
    buffer = {"d_submodule": D, "io": "out", "n_ctxs": 3000, "ctx_len": 64, "device": "cuda:0"}
    write(directory / "config.json", {"trainer": kept, "buffer": buffer})
    return raw


def sparsify(directory: Path, *, run: dict[str, Any] | None = None, dtype: str = "float32", **config: Any) -> Raw:
    """An SAE as SparseCoder.save_to_disk leaves it in RUN/HOOKPOINT, and RUN/config.json with `run`."""
    raw = random({"encoder.weight": (N, D), "encoder.bias": (N,), "W_dec": (N, D), "b_dec": (D,)}, seed=50)
    raw["W_dec"] /= np.linalg.norm(raw["W_dec"], axis=1, keepdims=True)
    if config.get("skip_connection"):
        raw |= random({"W_skip": (D, D)}, seed=51)
    raw = save(directory / "sae.safetensors", raw, dtype)
    # `activation`, `transcode` and `skip_connection` came later; `signed` is of older ones.
    settings = {"expansion_factor": N // D, "normalize_decoder": True, "num_latents": N, "k": K, "multi_topk": False}
    write(directory / "cfg.json", settings | {"d_in": D} | config)
    if run is not None:
        write(directory.parent / "config.json", {"batch_size": 8, "dataset": "some/data", "ctx_len": 256} | run)
    return raw


def gemma_scope(directory: Path, *, small: bool = False) -> Raw:
    """An SAE of Gemma Scope: params.npz, whose place says all else; `small` letters are in some of the transcoders'."""
    shapes = PLAIN | {"threshold": (N,)}
    raw = random({name.replace("W_", "w_") if small else name: shape for name, shape in shapes.items()}, seed=60)
    directory.mkdir(parents=True)
    np.savez(directory / "params.npz", **raw)
    return raw


def gemma_scope_2(directory: Path, point: str, **config: Any) -> Raw:
    """An SAE of Gemma Scope 2 that reads `point`; `config` as in google/gemma-scope-2-270m-pt."""
    raw = random({name.replace("W_", "w_"): shape for name, shape in (PLAIN | {"threshold": (N,)}).items()}, seed=61)
    save(directory / "params.safetensors", raw)
    said = {"hf_hook_point_in": point, "hf_hook_point_out": point, "width": N, "model_name": "google/gemma-3-1b-pt"}
    said |= {"architecture": "jump_relu", "l0": 50, "affine_connection": False, "type": "sae"}
    write(directory / "config.json", said | config)
    return raw


def save(path: Path, raw: Raw, dtype: str = "float32") -> Raw:
    """Write tensors as the ending of `path` says; return them as they were rounded to `dtype`."""
    import torch
    from safetensors.torch import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {name: torch.from_numpy(np.asarray(one)) for name, one in raw.items()}
    if dtype != "float32":
        tensors = {name: one.to(getattr(torch, dtype)) for name, one in tensors.items()}
    if path.suffix == ".pt":
        torch.save(tensors, path)
    else:
        save_file(tensors, path)
    return raw if dtype == "float32" else {name: one.float().numpy() for name, one in tensors.items()}


def write(path: Path, values: Any) -> None:
    """Write JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(values), encoding="utf-8")
