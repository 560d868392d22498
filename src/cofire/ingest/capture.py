"""Sparse activations of SAEs over a text: one run of the language model, one capture directory per SAE.

1. Everything given is checked, and what is already at `out` compared, before anything is written.
2. The text is tokenised, up to `tokens` tokens, and kept (`text.parquet`).
3. Each document is cut into windows of `context` tokens (BOS included where the SAEs were trained with it); a fixed
   number of windows makes a shard (`encode`), which is written whole or not at all and then noted in the manifest.
4. With `residual_share`, what the SAE reads on a sample of the tokens is stored beside each shard (`residuals`).
5. Special tokens and tokens of massive norm are left out (`masking`); the rule and the numbers are in the manifest.
6. Where activations are not to be kept, a shard is counted in the place of being written (`running_counts`).

A run that is stopped at any moment goes on after the last whole shard of each SAE when it is started again; where
activations are not kept, after the last checkpoint.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from importlib.metadata import version
from pathlib import Path
from platform import python_version
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from cofire.common.devices import choose_device
from cofire.common.files import exclusive, sha256_of, write_atomically, write_parquet
from cofire.common.progress import Notice, Silent, TokenProgress, silent
from cofire.errors import CaptureError, InputError
from cofire.ingest.capture_dir.directory import CaptureDir, write_vocabulary
from cofire.ingest.capture_dir.layout import MANIFEST, SHARDS, TEXT, WEIGHTS, shard_file
from cofire.ingest.capture_dir.manifest import Manifest, Masking, ModelInfo, ShardInfo, TextInfo
from cofire.ingest.capture_dir.residuals import write_residuals
from cofire.ingest.capture_dir.text_file import read_tokens, write_tokens
from cofire.ingest.capturing.checks import (
    check_apart,
    check_model,
    check_numbers,
    check_one_text,
    check_tokens,
    record_padding,
    settle_padding,
    settle_text,
)
from cofire.ingest.capturing.encode import Encoded, Rows, encode_shard, select, select_residuals
from cofire.ingest.capturing.masking import NORM_FACTOR, norm_limit, rule
from cofire.ingest.capturing.model import LanguageModel, find_model, load_model
from cofire.ingest.capturing.places import Place, agree, places_of
from cofire.ingest.capturing.resume import check_place, check_root, clear, compare, facts, text_of, verify
from cofire.ingest.capturing.saes import find_sae, load_sae
from cofire.ingest.capturing.settings import DTYPES, TEXT_REVISION, CaptureSettings, Device, Dtype
from cofire.ingest.capturing.text import TextSource, open_text
from cofire.ingest.capturing.windows import shards_of, tokenise, windows

if TYPE_CHECKING:
    from cofire.ingest.capturing.checkpoints import Checkpoints

LIBRARIES = ("cofire", "torch", "sae-lens", "transformer-lens", "transformers")


def capture(
    model: str | Path,
    saes: Sequence[str],
    text: str | Path,
    out: str | Path,
    *,
    tokens: int | None = None,
    context: int | None = None,
    batch: int = 8,
    device: Device = "auto",
    dtype: Dtype = "float32",
    text_field: str = "text",
    mask_special: bool = True,
    norm_factor: float | None = NORM_FACTOR,
    shard_tokens: int = 16_384,
    residual_share: float | None = None,
    keep: bool = True,
    memory: int = 2 * 1024**3,
    force: bool = False,
    progress: TokenProgress | None = None,
    notice: Notice | None = None,
) -> list[CaptureDir]:
    """Capture the activations of `saes` over `text`, going on where an equal run stopped.

    Returns at once if such a run is complete: neither the model nor an SAE of a directory is loaded then.

    Args:
        model: Hugging Face name or directory of the language model.
        saes: one or more of RELEASE:SAE_ID, DIR, RELEASE:SAE_ID=DIR (see `cofire.ingest.capturing.saes`).
        text: files, a directory or a dataset (see `cofire.ingest.capturing.text`).
        out: the capture directory; with several SAEs, the directory of their capture directories, each named
            RELEASE__SAE_ID with every / replaced by __.
        tokens: how many text tokens to take, masked ones included; None for all.
        context: tokens in a window, BOS included; by default the smallest `context_size` of the SAEs, else 128.
        batch: windows in one run of the model.
        device: auto, cpu or cuda.
        dtype: the model's dtype: float32, bfloat16 or float16. SAEs always encode in float32.
        text_field: the field that holds the text in JSON lines and datasets.
        mask_special: leave special tokens out.
        norm_factor: leave tokens out whose norm is above this times the median; None for no limit.
        shard_tokens: about how many tokens make a shard: the work that is lost at most when a run is stopped.
        residual_share: store what the SAEs read on this share of the tokens; None for none.
        keep: store the activations. If not, what one look at them gives is counted at once; see
            `running_counts.ABSENT` for what cannot be counted then.
        memory: where they are not kept: bytes that the counters of all SAEs take at most; it changes no result.
            Besides, each SAE takes 16 bytes for each distinct (latent, token) pair that occurs, at moments five times
            that.
        force: start over, removing an earlier capture's files.
        progress: told how far it is.
        notice: told what is odd and may be meant, a line each.

    Returns:
        The captures, in the order of `saes`.

    Raises:
        InputError: something given is wrong; `out` is then as it was, unless an activation was not finite.
        CaptureError: `out` holds a capture that was made otherwise or is damaged.
    """
    check_numbers(tokens, context, batch, norm_factor, shard_tokens)
    if residual_share is not None and not 0 < residual_share <= 1:
        raise InputError(f"--residual-share {residual_share} is no share: give a number above 0 and at most 1")
    if residual_share is not None and not keep:
        raise InputError(
            "--no-keep with --residuals: residuals give the noise floor, and to count what is above it is a second "
            "look at the activations, which are not stored; give one of the two"
        )
    if dtype not in DTYPES:
        raise InputError(f"--dtype {dtype} is unknown: give {', '.join(DTYPES)}")
    source = open_text(text, text_field)
    places = places_of([find_sae(spec) for spec in saes], Path(out))
    found = find_model(model)
    source = source.pinned()
    chosen = choose_device(device)
    for place in places:
        # An SAE of the registry is known by its weights, so it is fetched before anything is compared.
        if place.source.weights_sha256 is None:
            place.sae = load_sae(place.source, chosen)
            place.source = place.sae.source
    prepend_bos, context = agree(places, context)
    per_batch = batch * context
    settings = CaptureSettings(
        tokens=tokens,
        context=context,
        batch=batch,
        dtype=dtype,
        device=chosen,
        prepend_bos=prepend_bos,
        text=source.fingerprint(),
        text_revision=source.dataset.revision if source.dataset else None,
        text_field=text_field,
        mask_special=mask_special,
        norm_factor=norm_factor,
        shard_windows=batch * max(1, round(shard_tokens / per_batch)),
        residual_share=residual_share,
        keep=keep,
    )
    say = silent if notice is None else notice
    _look(places, found, source, settings, Path(out), force)
    source, settings = settle_text(places, source, settings, say)
    todo = [place for place in places if not place.complete]
    check_one_text(todo)
    if any(place.manifest is None for place in todo):
        check_apart(source, Path(out))
    if todo:
        _run(model, found, todo, source, settings, Path(out), force, memory, progress or Silent(), say)
    return [CaptureDir.open(place.path) for place in places]


def _look(
    places: list[Place],
    model: ModelInfo,
    source: TextSource,
    settings: CaptureSettings,
    out: Path,
    force: bool,
) -> None:
    """Check what is at the places already, and read the manifests that are to be gone on with."""
    if len(places) > 1:
        check_root(out, [place.path.name for place in places])
    for place in places:
        check_place(place.path)
        if force:
            continue
        hashes = (place.source.weights_sha256, place.source.config_sha256)
        wanted = facts(
            place.source.release, place.source.sae_id, hashes, (model.name, model.weights_sha256), settings.recorded()
        )
        place.manifest = compare(place.path, wanted, earlier_text=source.earlier_fingerprint())


def _run(
    model: str | Path,
    found: ModelInfo,
    todo: list[Place],
    source: TextSource,
    settings: CaptureSettings,
    out: Path,
    force: bool,
    memory: int,
    progress: TokenProgress,
    notice: Notice,
) -> None:
    for place in todo:
        place.sae = place.sae or load_sae(place.source, settings.device)
        if place.manifest is not None:
            verify(place.path, place.manifest)
    first = todo[0].source.metadata or {}
    language = load_model(
        model,
        found,
        device=settings.device,
        dtype=settings.dtype,
        processing=first.get("model_from_pretrained_kwargs"),
    )
    check_model(language, todo, settings, notice)
    language = settle_padding(language, todo, settings)
    new = [place for place in todo if place.manifest is None]
    with TemporaryDirectory(prefix="cofire-") as scratch:
        # The text is read to its end before anything is written: a bad line is found while `out` is as it was.
        text, info, known_as = _text(todo, source, language, settings, Path(scratch))
        check_tokens(language, text)
        with ExitStack() as held:
            for place in todo:
                place.path.mkdir(parents=True, exist_ok=True)
                held.enter_context(exclusive(place.path))
            for place in todo:
                if force:
                    clear(place.path, keep_directory=True)
                elif _changed(place):
                    raise CaptureError(f"{place.path} was written by another cofire meanwhile; run the same again")
            for place in todo:
                if place.manifest is None:
                    _begin(place, language, settings)
                else:
                    record_padding(place, language)
            _complete_inputs(todo, language, text, info, known_as)
            _write_all(todo, new, language, settings, out, memory, progress)


def _changed(place: Place) -> bool:
    """Tell whether the capture is another than before the model was loaded, which takes a while."""
    there = Manifest.read(place.path) if (place.path / MANIFEST).is_file() else None
    return there != place.manifest


def _write_all(
    todo: list[Place],
    new: list[Place],
    language: LanguageModel,
    settings: CaptureSettings,
    out: Path,
    memory: int,
    progress: TokenProgress,
) -> None:
    try:
        with _checkpoints(todo, settings, memory) as checkpoints:
            _write_shards(todo, language, settings, checkpoints, progress)
    except InputError:
        for place in new:
            if place.manifest is None or not place.manifest.done:
                clear(place.path)
        if len(new) == len(todo) and out.is_dir() and not any(out.iterdir()):
            out.rmdir()
        raise
    for place in todo:
        manifest = place.begun
        manifest.status = "complete"
        manifest.write(place.path)


def _begin(place: Place, language: LanguageModel, settings: CaptureSettings) -> None:
    sae = place.loaded
    place.manifest = Manifest(
        release=place.source.release,
        sae_id=place.source.sae_id,
        n_latents=sae.n_latents,
        sae=sae.info,
        model=language.info,
        text=TextInfo(documents=0, tokens=0),
        settings=settings.recorded(),
        masking=Masking(
            rule=rule(language.special, settings.mask_special, settings.norm_factor, language.bos_words), kept=0
        ),
        versions={"python": python_version()} | {name.replace("-", "_"): version(name) for name in LIBRARIES},
    )
    place.manifest.write(place.path)


def _text(
    todo: list[Place], source: TextSource, language: LanguageModel, settings: CaptureSettings, scratch: Path
) -> tuple[Path, TextInfo, dict[str, Any]]:
    """Return the tokenised text, and the settings that say which it is: of a place which has it already, or new."""
    for place in todo:
        if place.manifest is not None and place.manifest.text.sha256 is not None:
            return place.path / TEXT, place.manifest.text, text_of(place.manifest.settings)
    documents = tokenise(source.documents(), language.tokenise, settings.tokens)
    info = write_tokens(scratch / TEXT, documents, [source.name])
    if info.tokens == 0:
        raise InputError(f"the text {source.name} has no tokens: give another")
    return scratch / TEXT, info, text_of(settings.recorded())


def _complete_inputs(
    todo: list[Place], language: LanguageModel, text: Path, info: TextInfo, known_as: dict[str, Any]
) -> None:
    """Give every place its text, vocabulary and weights; the text's entry in the manifest says that they are there."""
    without = [place for place in todo if place.begun.text.sha256 is None]
    texts = language.vocabulary() if without else {}

    def copy(part: Path) -> None:
        shutil.copyfile(text, part)

    for place in without:
        write_atomically(place.path / TEXT, copy)
        write_vocabulary(place.path, texts)
        place.loaded.write_weights(place.path / WEIGHTS)
        manifest = place.begun
        manifest.text = info.model_copy()
        own = {name: value for name, value in manifest.settings.items() if name != TEXT_REVISION or name in known_as}
        manifest.settings = own | known_as
        manifest.write(place.path)


def _checkpoints(
    todo: list[Place], settings: CaptureSettings, memory: int
) -> AbstractContextManager[Checkpoints | None]:
    """Give each place its running counts where activations are not kept; None where they are."""
    if settings.keep:
        return nullcontext()
    # What counts takes a second to import.
    from cofire.ingest.capturing.checkpoints import counting

    return counting(todo, memory)


def _write_shards(
    todo: list[Place],
    language: LanguageModel,
    settings: CaptureSettings,
    checkpoints: Checkpoints | None,
    progress: TokenProgress,
) -> None:
    progress.start(todo[0].begun.text.tokens)
    length = settings.context - int(settings.prepend_bos)
    documents = read_tokens(todo[0].path / TEXT)
    for number, chunk in enumerate(shards_of(windows(documents, length), settings.shard_windows)):
        behind = [place for place in todo if place.done == number]
        if not behind:
            progress.advance(sum(len(window.tokens) for window in chunk))
            continue
        rows, encoded = encode_shard(
            language,
            [place.loaded for place in behind],
            chunk,
            batch=settings.batch,
            prepend_bos=settings.prepend_bos,
            mask_special=settings.mask_special,
            residual_share=settings.residual_share,
            advance=progress.advance,
        )
        total = sum(len(window.tokens) for window in chunk)
        for place, one in zip(behind, encoded, strict=True):
            _write_shard(place, number, rows, one, total - len(rows.token), settings)
        if checkpoints is not None:
            checkpoints.after_shard()
    if checkpoints is not None:
        checkpoints.write()


def _write_shard(
    place: Place, number: int, rows: Rows, encoded: Encoded, masked: int, settings: CaptureSettings
) -> None:
    manifest = place.begun
    masking = manifest.masking
    if masking.norm_limit is None:
        masking.norm_limit = norm_limit(encoded.norms, rows.special, settings.norm_factor)
    keep = np.ones(len(encoded.norms), np.bool_)
    if masking.norm_limit is not None:
        keep = encoded.norms <= masking.norm_limit
    shard = select(rows, encoded, keep)
    masking.special_tokens += masked
    masking.norm_outliers += len(keep) - shard.rows
    masking.kept += shard.rows
    if place.running is not None:
        # The manifest is written with the next checkpoint.
        place.running.add(shard)
        return
    file = shard_file(number)
    # Here and not when the run begins: it could be killed between the manifest and the folder.
    (place.path / SHARDS).mkdir(exist_ok=True)
    write_parquet(place.path / file, shard.to_arrow())
    info = ShardInfo(file=file, rows=shard.rows, firings=len(shard.indices), sha256=sha256_of(place.path / file))
    if settings.residual_share is not None:
        info.residuals = write_residuals(place.path, number, *select_residuals(encoded, keep))
    manifest.shards.append(info)
    manifest.write(place.path)
