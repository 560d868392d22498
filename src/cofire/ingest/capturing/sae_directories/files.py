"""What is the same for all libraries: a described directory, `cofire.json`, tensors that are what they should be.

A library's own module says which tensor of its file is which of sae-lens and what its encoder does with them; the
sae-lens class of that architecture does the work.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

from cofire.common.characters import first_line
from cofire.common.extras import needed_by
from cofire.common.quiet import quiet
from cofire.errors import InputError

OWN = "cofire.json"
"""A user's file beside the SAE: what the library's files do not say (or say wrongly), any of SAID."""
SAID: dict[str, type] = {"hook_name": str, "model_name": str, "prepend_bos": bool, "context_size": int}


@dataclass(frozen=True)
class SaeFiles:
    """An SAE directory of another library.

    Attributes:
        library: whose format it is.
        sae_id: what tells it from its neighbours: the last parts of its path.
        weights: the file of its tensors.
        tensors: sae-lens name -> the name in that file, with `.T` behind it where it is stored the other way round.
        config: the sae-lens configuration but for the sizes, which the tensors say.
        sizes: d_in and d_sae as far as its own configuration says them.
    """

    library: str
    sae_id: str
    weights: Path
    tensors: Mapping[str, str]
    config: dict[str, Any]
    sizes: Mapping[str, int | None] = field(default_factory=dict)

    @property
    def metadata(self) -> dict[str, Any]:
        """Hook point, model, BOS, context size, as sae-lens has them."""
        found: dict[str, Any] = self.config["metadata"]
        return found

    @property
    def config_sha256(self) -> str:
        """The hash of all that decides what the tensors mean: another hook point is another SAE."""
        meant = [self.library, dict(self.tensors), self.config]
        return hashlib.sha256(json.dumps(meant, sort_keys=True).encode()).hexdigest()


def id_of(parts: Iterable[str]) -> str:
    """Return parts of a path as an SAE id, with _ for what cannot stand in one."""
    return "/".join(
        "".join("_" if c.isspace() or c == ":" or not c.isprintable() else c for c in part) for part in parts
    )


def read_object(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        InputError: the file is missing, cannot be read or holds none.
    """
    if not path.is_file():
        raise InputError(f"no SAE in {path.parent}: it has no {path.name}; copy it there from where the SAE was saved")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} is not JSON ({first_line(error, 120)}): copy or save the SAE again") from error
    if not isinstance(found, dict):
        raise InputError(f"{path} is not a JSON object: copy or save the SAE again")
    return found


def whole(path: Path, values: Mapping[str, Any], name: str) -> int | None:
    """Return a whole number above 0 out of a configuration, None where it is absent, null or 0.

    Raises:
        InputError: it is something else.
    """
    value = values.get(name)
    if value is None or (value == 0 and not isinstance(value, bool)):
        return None
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise InputError(f"{path}: {name} is {value!r}, which is no whole number above 0: correct it")
    return value


def settle(directory: Path, found: dict[str, Any], unclear: str = "") -> dict[str, Any]:
    """Return the metadata `found` with what the user's `cofire.json` says put over it.

    `unclear` says why no hook point was found.

    Raises:
        InputError: that file is malformed, or neither says which hook point the SAE reads.
    """
    path = directory / OWN
    said = read_object(path) if path.is_file() else {}
    for name, value in said.items():
        if name not in SAID:
            raise InputError(f"{path}: {name!r} is unknown; known are {', '.join(SAID)}")
        if type(value) is not SAID[name] or (SAID[name] is not bool and not value):
            raise InputError(f"{path}: {name} is {value!r}; give a {_KINDS[SAID[name]]}")
    metadata = {name: value for name, value in (found | said).items() if value is not None}
    if metadata.get("context_size", 2) < 2:
        raise InputError(f"{directory}: its context_size is {metadata['context_size']}; give at least 2 in {path}")
    if "hook_name" not in metadata:
        example = '{"hook_name": "blocks.3.hook_resid_post"}'
        raise InputError(
            f"{directory} does not say which hook point its SAE reads{unclear and f' ({unclear})'}: "
            f"write it into {path}, such as {example}"
        )
    return metadata


_KINDS: dict[type, str] = {str: "text", bool: "true or false", int: "whole number above 0"}


def convert(files: SaeFiles, device: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read an SAE for sae-lens: its configuration and its state, float32.

    Raises:
        InputError: the file is damaged, lacks a tensor, or tensors do not fit each other or the configuration.
    """
    raw = _read(files.weights)
    state: dict[str, Any] = {}
    for name, own in files.tensors.items():
        key = own.removesuffix(".T")
        if key not in raw:
            raise InputError(
                f"{files.weights} has no tensor {key}, which an SAE of its class has in {files.library} "
                f"(it has {', '.join(sorted(raw)[:12]) or 'none'}): is it the file of this SAE?"
            )
        state[name] = (raw[key].T if own.endswith(".T") and raw[key].ndim == 2 else raw[key]).float().contiguous()
    config = files.config | {"device": device, "dtype": "float32", "normalize_activations": "none"}
    config |= _sizes(files, state)
    _check_threshold(files, state, config["d_sae"])
    _check_k(files, raw, config)
    if "scaling_factor" in raw and not bool((raw["scaling_factor"] == 1).all()):
        raise InputError(
            f"{files.weights} has a scaling_factor, which no encoder of {files.library} applies: fold it in"
        )
    for name, tensor in state.items():
        if not bool(tensor.isfinite().all()):
            raise InputError(f"{files.weights}: {files.tensors[name]} holds a value that is not finite")
    # Fields as sae-lens 6 has them; without a version it takes them for those of version 5.
    return config | {"sae_lens_version": "6.0.0"}, {name: one.to(device) for name, one in state.items()}


def _sizes(files: SaeFiles, state: dict[str, Any]) -> dict[str, int]:
    """Return d_in, d_sae and, of transcoders, d_out; all tensors are compared with them."""
    if state["W_enc"].ndim != 2 or 0 in state["W_enc"].shape:
        shape = tuple(state["W_enc"].shape)
        raise InputError(f"{files.weights}: {files.tensors['W_enc']} has the shape {shape}; an encoder has two sizes")
    d_in, d_sae = (int(size) for size in state["W_enc"].shape)
    transcoder = "transcoder" in files.config["architecture"]
    d_out = int(state["W_dec"].shape[-1]) if transcoder and state["W_dec"].ndim == 2 else d_in
    wanted = {"W_enc": (d_in, d_sae), "W_dec": (d_sae, d_out), "b_dec": (d_out,)}
    for name, tensor in state.items():
        shape = wanted.get(name, (d_sae,))
        if tuple(tensor.shape) != shape and not (name == "threshold" and tensor.ndim == 0):
            stored = tuple(reversed(shape)) if files.tensors[name].endswith(".T") else shape
            raise InputError(
                f"{files.weights}: {files.tensors[name].removesuffix('.T')} does not fit the encoder of "
                f"{d_in} x {d_sae}: it should have the shape {stored}"
            )
    for name, found in (("d_in", d_in), ("d_sae", d_sae)):
        said = files.sizes.get(name)
        if said is not None and said != found:
            raise InputError(
                f"{files.weights} has {name} {found}, its configuration says {said}: they are not of one SAE"
            )
    return {"d_in": d_in, "d_sae": d_sae} | ({"d_out": d_out} if transcoder else {})


def _check_threshold(files: SaeFiles, state: dict[str, Any], d_sae: int) -> None:
    """Give a threshold that all latents share to each of them."""
    shared = state.get("threshold")
    if shared is None or shared.ndim > 0:
        return
    if float(shared) < 0:
        raise InputError(
            f"{files.weights} was saved before its threshold was set ({float(shared):g}): which latents fire would "
            "depend on the batch; train past threshold_start_step"
        )
    state["threshold"] = shared.expand(d_sae).contiguous()


def _check_k(files: SaeFiles, raw: dict[str, Any], config: dict[str, Any]) -> None:
    if config["architecture"] != "topk":
        return
    k, stored = config["k"], raw.get("k")
    if stored is not None and stored.numel() == 1 and int(stored) != k:
        raise InputError(f"{files.weights} has k {int(stored)}, its configuration says {k}: they are not of one SAE")
    if k > config["d_sae"]:
        raise InputError(f"{files.weights} has {config['d_sae']} latents, its configuration wants k {k} of them")


def _read(path: Path) -> dict[str, Any]:
    """Return the tensors of a file. Nothing in a file is ever run: a .pt may hold tensors alone."""
    with needed_by("loading SAEs"), quiet():
        import numpy as np
        import torch
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    found: Any
    try:
        if path.suffix == ".safetensors":
            found = load_file(path)
        elif path.suffix == ".npz":
            with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                found = {name.replace("w_", "W_"): torch.from_numpy(np.asarray(arrays[name])) for name in arrays.files}
        else:
            found = torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        raise InputError(
            f"{path} holds more than tensors, or is damaged; cofire does not run what is in a pickle: "
            "save the SAE's state_dict() there, by torch.save"
        ) from error
    # What torch, NumPy and safetensors raise for files that are cut off or something else.
    except (
        OSError,
        EOFError,
        ValueError,
        TypeError,
        LookupError,
        RuntimeError,
        zipfile.BadZipFile,
        SafetensorError,
    ) as e:
        raise InputError(f"{path} cannot be read as tensors ({first_line(e, 120)}): copy or save it again") from e
    if isinstance(found, dict) and "ae" in found and "optimizer" in found:
        raise InputError(f"{path} is the backup of a training that had not ended: its scale is not that of a saved SAE")
    if not isinstance(found, dict) or not all(isinstance(one, torch.Tensor) for one in found.values()):
        raise InputError(f"{path} is no state of an SAE (tensors by name): save the SAE's state_dict() there")
    return found
