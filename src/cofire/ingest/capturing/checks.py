"""Whether what is given for a capture goes together: numbers, model and SAEs, model and text."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from cofire.common.files import AGAIN, ELSEWHERE, from_home
from cofire.common.progress import Notice
from cofire.errors import CaptureError, InputError
from cofire.ingest.capture_dir.manifest import ModelInfo
from cofire.ingest.capture_dir.text_file import read_tokens
from cofire.ingest.capturing.model import LanguageModel
from cofire.ingest.capturing.places import Place
from cofire.ingest.capturing.resume import compared_text
from cofire.ingest.capturing.settings import TEXT_REVISION, CaptureSettings
from cofire.ingest.capturing.text import TextSource

__all__ = [
    "check_apart",
    "check_model",
    "check_numbers",
    "check_one_text",
    "check_tokens",
    "record_padding",
    "same_model",
    "settle_padding",
    "settle_text",
]


def check_numbers(
    tokens: int | None, context: int | None, batch: int, norm_factor: float | None, shard_tokens: int
) -> None:
    """Check the numbers of `capture`.

    Raises:
        InputError: one is too small, or not a number.
    """
    for name, value, least in (
        ("tokens", tokens, 1),
        ("context", context, 2),
        ("batch", batch, 1),
        ("norm-factor", norm_factor, 1),
        ("shard-tokens", shard_tokens, 1),
    ):
        if value is not None and not value >= least:
            raise InputError(f"--{name} {value} is too small: give at least {least}")


def check_model(language: LanguageModel, todo: list[Place], settings: CaptureSettings, notice: Notice) -> None:
    """Check that every SAE fits the model, and the settings too; say what is odd and may be meant.

    Raises:
        InputError: an SAE, the context or BOS does not fit.
        CaptureError: a capture was made with another version of the model.
    """
    model = language.info
    for place in todo:
        info = place.loaded.info
        language.check_hook(place.source.spec, info.hook or "", place.loaded.head, info.d_in or 0)
        there = place.manifest.model if place.manifest else None
        if there is not None and there.weights_sha256 is None and there.source != model.source:
            raise CaptureError(
                f"{place.path} was captured with the model {there.source}, now {model.source}: {ELSEWHERE}"
            )
        trained_on = info.metadata.get("model_name")
        if isinstance(trained_on, str) and trained_on and not same_model(trained_on, model):
            notice(
                f"note: the SAE {place.source.spec} says that it reads the model {trained_on}, and the model here is "
                f"{model.name} ({model.n_layers} layers of width {model.d_model}): see that it is the same"
            )
    if settings.prepend_bos:
        _check_bos(language, notice)
    limit = getattr(language.bridge.cfg, "n_ctx", None)
    if limit and settings.context > limit:
        raise InputError(
            f"a context of {settings.context} tokens is more than the {limit} of {model.name}: give a smaller --context"
        )


def _check_bos(language: LanguageModel, notice: Notice) -> None:
    name = language.info.name
    if language.bos is None:
        raise InputError(f"the SAEs want a BOS token, but the tokenizer of {name} has neither BOS nor EOS")
    if language.bos >= language.known_tokens:
        raise InputError(_beyond(language, language.bos, "which the SAEs want in front of each window"))
    if language.bos_words != "BOS":
        notice(
            f"note: the tokenizer of {name} has no BOS: windows begin with {language.bos_words}, as in TransformerLens"
        )


def check_apart(source: TextSource, out: Path) -> None:
    """Check that a capture does not become part of its own text.

    Raises:
        InputError: `out` lies in the directory of the dataset, all of whose files are its text.
    """
    if source.dataset is None or not source.dataset.local:
        return
    if out.resolve().is_relative_to(source.dataset.directory.resolve()):
        raise InputError(
            f"--out {out} lies in the directory of the dataset {source.name}, whose files are the text: "
            "give an --out outside of it"
        )


def check_one_text(todo: list[Place]) -> None:
    """Check that what is to be gone on with has one text: shards of all are made of one run over it.

    Raises:
        CaptureError: captures were begun with different texts.
    """
    first: dict[str, Place] = {}
    for place in todo:
        if place.manifest is not None and place.manifest.text.sha256 is not None:
            first.setdefault(place.manifest.text.sha256, place)
    if len(first) > 1:
        one, other, *_ = [place.path for place in first.values()]
        raise CaptureError(f"{one} and {other} were begun with different texts: capture them in separate runs")


def settle_text(
    places: list[Place], source: TextSource, settings: CaptureSettings, notice: Notice
) -> tuple[TextSource, CaptureSettings]:
    """Return the text as it is to be read, and the settings with it; say which captures were not compared with it.

    A data set of the hub is read at the revision that a capture has, whatever the hub has now. Only captures that have
    their whole text come here with another revision (`compare`).
    """
    begun = [(place.path, place.manifest) for place in places if place.manifest is not None]
    hub = source.dataset is not None and not source.dataset.local
    now, had = settings.text_revision, {path: manifest.settings.get(TEXT_REVISION) for path, manifest in begun}
    moved = {path: revision for path, revision in had.items() if None not in (revision, now) and revision != now}
    unlike = [
        str(path)
        for path, manifest in begun
        if path not in moved and not compared_text(manifest, settings.recorded(), hub=hub)
    ]
    unknown = source.dataset.unknown if source.dataset else None
    if unlike:
        why = unknown or ("its revision was not recorded" if hub else "an earlier cofire did not record its files")
        notice(f"note: whether {source.name} is still the text of {', '.join(unlike)} was not compared ({why})")
    if unknown and len(unlike) < len(places):
        notice(f"note: the revision of {source.name} is not known and not recorded ({unknown})")
    if moved:
        texts = ", ".join(f"{path} has its text of {revision}" for path, revision in moved.items())
        notice(f"note: {source.name} is at revision {now} now; {texts} and goes on with that")
    if moved and now not in had.values() and source.dataset is not None:
        revision = next(iter(moved.values()))
        source = replace(source, dataset=replace(source.dataset, revision=revision))
        settings = replace(settings, text_revision=revision)
    return source, settings


def check_tokens(language: LanguageModel, text: Path) -> None:
    """Check that the model knows every token of a tokenised text.

    Raises:
        InputError: a token's id is beyond the model's embedding.
    """
    known = language.known_tokens
    for number, tokens in enumerate(read_tokens(text)):
        if len(tokens) and (highest := int(tokens.max())) >= known:
            raise InputError(_beyond(language, highest, f"and document {number} of the text holds it"))


def _beyond(language: LanguageModel, token: int, why: str) -> str:
    form = language.tokenizer.convert_ids_to_tokens(token)
    return (
        f"token {token} ({form!r}) of the tokenizer is beyond the {language.known_tokens} that the model "
        f"{language.info.name} knows, {why}: use the tokenizer that the model was made with, or resize its embedding"
    )


def settle_padding(language: LanguageModel, todo: list[Place], settings: CaptureSettings) -> LanguageModel:
    """Return the model with its info saying whether it looks ahead: as recorded, else as the model shows.

    Nothing is padded with one window a batch, and nothing looked at. Manifests stay as they are (`record_padding`).

    Raises:
        CaptureError: the model looks ahead, and shards of a capture were made by a cofire that padded all the same.
    """
    if settings.batch == 1:
        return language
    recorded = [place.manifest.model.looks_ahead if place.manifest and place.manifest.model else None for place in todo]
    unknown = [place for place, one in zip(todo, recorded, strict=True) if one is None]
    hooks = sorted({place.loaded.hook for place in unknown})
    found = {hook: language.looks_ahead([hook], settings.context) for hook in hooks}
    for place in unknown:
        if found[place.loaded.hook] and place.manifest is not None and place.manifest.done:
            raise CaptureError(
                f"{place.path} was begun by an earlier cofire, which padded windows, but in {language.info.name} at "
                f"{place.loaded.hook} what stands behind a token changes its activation: those that it has are wrong; "
                f"{AGAIN}"
            )
    ahead = any(found.values()) or any(recorded)
    return replace(language, info=language.info.model_copy(update={"looks_ahead": ahead}))


def record_padding(place: Place, language: LanguageModel) -> None:
    """Put into the manifest of a capture that was begun what `settle_padding` found, where it says nothing yet."""
    model = place.begun.model
    if model is not None and model.looks_ahead is None:
        model.looks_ahead = language.info.looks_ahead


def same_model(named: str, model: ModelInfo) -> bool:
    """Tell whether an SAE's `model_name` may mean `model`: by the last part of its name, or an alias, in any spelling.

    A directory may be called otherwise: every part of its path counts, `models--google--gemma-2b` too.
    """
    from transformer_lens.supported_models import MODEL_ALIASES

    alike = {_plain(named)}
    for official, aliases in MODEL_ALIASES.items():
        names = {_plain(name) for name in (official, *aliases)}
        if _plain(named) in names:
            alike |= names
    places = [model.name]
    if model.weights_sha256 is not None and model.source:
        places += from_home(model.source).resolve().parts
    return any(_plain(place) in alike for place in places)


def _plain(name: str) -> str:
    last = re.split(r"/|--", name.rstrip("/"))[-1]
    return re.sub(r"[_.\s]", "-", last.lower())
