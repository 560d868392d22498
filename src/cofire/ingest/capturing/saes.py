"""SAEs as sae-lens loads them: which one is meant, who it is, whether its activations can be captured.

RELEASE:SAE_ID        from the registry of sae-lens (fetched from the Hugging Face hub)
DIR                   a directory of sae-lens (cfg.json, sae_weights.safetensors); release and SAE id from the metadata
                      in cfg.json, `local` and the directory's name where there are none. Or one of another library
                      (`sae_directories`: dictionary_learning, sparsify, Gemma Scope), which sae-lens is given converted
RELEASE:SAE_ID=DIR    such a directory, under the name given
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cofire.common.arrays import Singles
from cofire.common.characters import first_line, sound
from cofire.common.extras import needed_by
from cofire.common.files import as_text, from_home, sha256_of, write_tensors
from cofire.common.quiet import quiet
from cofire.errors import InputError
from cofire.ingest.capture_dir.manifest import SaeInfo, check_identity
from cofire.ingest.capturing.sae_directories.describe import describe
from cofire.ingest.capturing.sae_directories.files import SaeFiles, convert
from cofire.ingest.capturing.sae_directories.hooks import layer_of

__all__ = ["LoadedSae", "SaeSource", "find_sae", "load_sae"]

CONFIG, WEIGHTS = "cfg.json", "sae_weights.safetensors"

# Whose encode gives one activation >= 0 per latent, from the token's own residual alone. Batch-top-k and Matryoshka
# SAEs are saved as `jumprelu`. Matching pursuit picks latents one after another, but adds up to one value each.
ACCEPTED = (
    "standard",
    "gated",
    "topk",
    "jumprelu",
    "matching_pursuit",
    "transcoder",
    "skip_transcoder",
    "jumprelu_transcoder",
    "jumprelu_skip_transcoder",
)
REFUSED = {
    "abstopk": "its activations are signed, and a latent that fires negatively is not one that fires",
    "temporal": "its activations depend on the other tokens of the window",
}
# Inputs are scaled by what is in the token itself, or not at all.
NORMALIZATIONS = ("none", "layer_norm", "constant_norm_rescale")

# Decoder norms that are further from 1 than this are folded into the encoder. Weights kept as float16 are within.
NORM_TOLERANCE = 1e-3
# The last two are the magnitude path of a gated SAE.
TENSORS = ("W_enc", "W_dec", "b_enc", "b_dec", "threshold", "r_mag", "b_mag")


@dataclass(frozen=True)
class SaeSource:
    """Which SAE is meant. The hashes and metadata are known before loading for a directory, None for the registry.

    `files` describes a directory of another library than sae-lens.
    """

    release: str
    sae_id: str
    directory: Path | None
    weights_sha256: str | None = None
    config_sha256: str | None = None
    metadata: dict[str, Any] | None = None
    files: SaeFiles | None = None

    @property
    def spec(self) -> str:
        """The SAE as it is named on the command line and in messages."""
        return f"{self.release}:{self.sae_id}"


@dataclass(frozen=True)
class LoadedSae:
    """An SAE ready to encode.

    Attributes:
        source: which one it is, with hashes and metadata.
        module: the sae-lens SAE, float32 on the device, decoder norms folded in where they were not 1.
        info: its identity for the manifest.
        n_latents: N.
        head: the attention head that it reads, or None for all.
    """

    source: SaeSource
    module: Any
    info: SaeInfo
    n_latents: int
    head: int | None

    @property
    def hook(self) -> str:
        """The hook point that it reads."""
        return self.info.hook or ""

    def weights(self) -> dict[str, Singles]:
        """Return W_enc [d, N], W_dec [N, d], b_dec [d], and b_enc, threshold, r_mag, b_mag [N], as far as it has them.

        All are float32.
        """
        state = self.module.state_dict()
        return {name: state[name].detach().float().cpu().contiguous().numpy() for name in TENSORS if name in state}

    def write_weights(self, path: Path) -> None:
        """Write `weights` as safetensors, atomically."""
        write_tensors(path, self.weights())

    def inputs(self, residual: Any) -> Any:
        """Return what the SAE reads, [T, d], of the activations at its hook point, [T, ...]: its head, or all."""
        return (residual if self.head is None else residual[..., self.head, :]).flatten(1)

    def encode(self, inputs: Any) -> Any:
        """Return activations float32 [T, N] of `inputs` [T, d]."""
        return self.module.encode(inputs).float()


def find_sae(spec: str) -> SaeSource:
    """Find the SAE that `spec` names (see the module) without loading it; a directory's files are hashed.

    Raises:
        InputError: `spec` names neither a directory nor a release and SAE id, or the directory holds no known SAE.
    """
    directory: Path | None = None
    release = sae_id = ""
    if spec and from_home(spec).is_dir():
        directory = from_home(spec)
    elif spec and from_home(spec).is_file():
        raise InputError(f"--sae {spec} is a file: name the directory that it lies in, with what was saved beside it")
    else:
        name, equals, place = spec.partition("=")
        release, _, sae_id = name.partition(":")
        if not (release and sae_id):
            raise InputError(
                f"no SAE {spec!r}: no such directory, and not RELEASE:SAE_ID; give one of these or RELEASE:SAE_ID=DIR"
            )
        if equals:
            directory = from_home(place)  # the shell leaves a ~ behind = as it is
            if not (place and directory.is_dir()):
                raise InputError(f"no SAE at {place!r}: no such directory")
    if directory is None:
        check_identity(release, sae_id)
        return SaeSource(release, sae_id, None)
    files = describe(directory)
    if files is not None:
        release, sae_id = release or "local", sae_id or files.sae_id
        check_identity(release, sae_id)
        hashes = (sha256_of(files.weights), files.config_sha256)
        return SaeSource(release, sae_id, directory, *hashes, files.metadata, files)
    for file in (CONFIG, WEIGHTS):
        if not (directory / file).is_file():
            raise InputError(
                f"no SAE in {directory}: it has no {file}; give a directory that sae-lens, dictionary_learning or "
                "sparsify saved, or one of Gemma Scope"
            )
    try:
        config = json.loads((directory / CONFIG).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{directory / CONFIG} is not JSON ({error}): save the SAE again") from error
    if not isinstance(config, dict):
        raise InputError(f"{directory / CONFIG} is not a JSON object: save the SAE again")
    # Before sae-lens 6 the metadata stood beside the other fields, and BOS was the default.
    metadata = config["metadata"] if isinstance(config.get("metadata"), dict) else {"prepend_bos": True} | config
    if not release:
        release = str(metadata.get("release") or "local")
        sae_id = str(metadata.get("sae_id") or directory.resolve().name)
    check_identity(release, sae_id)
    return SaeSource(
        release, sae_id, directory, sha256_of(directory / WEIGHTS), sha256_of(directory / CONFIG), metadata
    )


def load_sae(source: SaeSource, device: str = "cpu") -> LoadedSae:
    """Load an SAE, check that its activations can be captured, and fold its decoder norms.

    Encoding is done in float32 whatever the model's dtype. Where a decoder norm is not 1, `fold_W_dec_norm` makes it so
    and the activation becomes the length of the latent's contribution; top-k SAEs that choose by unscaled activations,
    and matching pursuit, are left as they are, for folding would change which latents fire.

    Raises:
        InputError: a package is missing; sae-lens cannot load it; its class, normalization or metadata are of a kind
            that cannot be captured.
    """
    with needed_by("loading SAEs"):
        import torch
    module = _load(source, device)
    config = module.cfg
    architecture = config.architecture()
    _check_class(source.spec, architecture)
    _settle_normalization(source, module)
    # Of another library's SAE sae-lens says that it trained it.
    said = source.metadata if source.files else config.metadata.to_dict()
    # Half a character would not go into any file.
    metadata = json.loads(sound(json.dumps(said, default=str, ensure_ascii=False)))
    hook = metadata.get("hook_name")
    if not isinstance(hook, str) or not hook:
        raise InputError(
            f"SAE {source.spec} does not say which hook point it reads: set metadata.hook_name in {CONFIG}"
        )
    state = module.state_dict()
    weights_hash = source.weights_sha256 or _hash_tensors(state)
    config_hash = (
        source.config_sha256
        or hashlib.sha256(json.dumps(config.to_dict(), default=str, sort_keys=True).encode()).hexdigest()
    )
    # Heads are flattened by LoadedSae.encode, which sees [T, heads, d_head].
    module.turn_off_forward_pass_hook_z_reshaping()
    module.eval()
    foldable = architecture != "matching_pursuit" and getattr(config, "rescale_acts_by_decoder_norm", True)
    with torch.no_grad():
        off = float((module.W_dec.norm(dim=-1) - 1).abs().max())
        folded = bool(foldable and off > NORM_TOLERANCE)
        if folded:
            module.fold_W_dec_norm()
    info = SaeInfo(
        class_name=type(module).__name__,
        architecture=architecture,
        d_in=int(config.d_in),
        hook=hook,
        layer=layer_of(hook),
        neuronpedia_id=metadata.get("neuronpedia_id") or _registered_neuronpedia(source),
        weights_sha256=weights_hash,
        config_sha256=config_hash,
        folded_decoder_norm=folded,
        normalize_activations=config.normalize_activations,
        apply_b_dec_to_input=bool(config.apply_b_dec_to_input),
        rescale_acts_by_decoder_norm=bool(getattr(config, "rescale_acts_by_decoder_norm", False)),
        source=as_text(source.directory) if source.directory else f"sae-lens:{source.spec}",
        metadata=metadata,
    )
    known = replace(source, weights_sha256=weights_hash, config_sha256=config_hash, metadata=metadata)
    head = metadata.get("hook_head_index")
    return LoadedSae(known, module, info, int(config.d_sae), None if head is None else int(head))


def _load(source: SaeSource, device: str) -> Any:
    where = f"in {source.directory}" if source.directory else "from the registry of sae-lens"
    with needed_by("loading SAEs"), quiet():
        from sae_lens import SAE
        from safetensors import SafetensorError
    if source.directory and source.files is None:
        architecture = json.loads((source.directory / CONFIG).read_text(encoding="utf-8")).get(
            "architecture", "standard"
        )
        _check_class(source.spec, str(architecture))
    try:
        with quiet():
            if source.files is not None:
                files = source.files
                return SAE.load_from_disk(
                    files.weights.parent,
                    device=device,
                    converter=lambda _path, device, **_: convert(files, device),
                )
            if source.directory:
                return SAE.load_from_disk(source.directory, device=device, dtype="float32")
            return SAE.from_pretrained(source.release, source.sae_id, device=device, dtype="float32")
    # What sae-lens, safetensors, torch and the hub raise for a wrong name, a damaged file or no network.
    except (
        *(OSError, ValueError, LookupError, RuntimeError, TypeError, AttributeError),
        *(ImportError, SafetensorError),
    ) as error:
        advice = "check it" if source.directory else "check name and network, or give RELEASE:SAE_ID=DIR"
        raise InputError(f"cannot load SAE {source.spec} {where}: {first_line(error, 200)}; {advice}") from error


def _check_class(spec: str, architecture: str) -> None:
    if architecture in ACCEPTED:
        return
    if architecture in REFUSED:
        raise InputError(
            f"SAE {spec} is of the class {architecture}, which cannot be captured: {REFUSED[architecture]}"
        )
    from sae_lens.registry import SAE_TRAINING_CLASS_REGISTRY

    if architecture in SAE_TRAINING_CLASS_REGISTRY:
        raise InputError(
            f"SAE {spec} is a training checkpoint of the class {architecture}: save it with save_inference_model()"
        )
    raise InputError(
        f"SAE {spec} is of the class {architecture}, which cannot be captured: known are {', '.join(ACCEPTED)}"
    )


def _settle_normalization(source: SaeSource, module: Any) -> None:
    """Fold a known scaling of the inputs; refuse one that is trained, not stored and so not applied by encode."""
    if module.cfg.normalize_activations == "expected_average_only_in" and source.directory:
        from sae_lens.loading.pretrained_saes_directory import get_norm_scaling_factor

        factor = get_norm_scaling_factor(source.release, source.sae_id)
        if factor is not None:
            module.fold_activation_norm_scaling_factor(factor)
    if module.cfg.normalize_activations not in NORMALIZATIONS:
        raise InputError(
            f"SAE {source.spec} expects inputs normalized by {module.cfg.normalize_activations}, whose scale is not in "
            "its files: fold it into the weights (fold_activation_norm_scaling_factor, fold_activation_whitening)"
        )


def _registered_neuronpedia(source: SaeSource) -> str | None:
    from sae_lens.loading.pretrained_saes_directory import get_pretrained_saes_directory

    release = get_pretrained_saes_directory().get(source.release)
    found = release.neuronpedia_id.get(source.sae_id) if release else None
    return str(found) if found else None


def _hash_tensors(state: dict[str, Any]) -> str:
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().float().cpu().contiguous()
        digest.update(f"{name}{tuple(tensor.shape)}".encode())
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()
