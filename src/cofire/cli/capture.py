"""`cofire capture`, `cofire import activations`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cofire.cli.common import notice, settings_of, token_progress
from cofire.ingest.capturing.settings import Device, Dtype

importers = typer.Typer(help="Bring in what was made elsewhere.", no_args_is_help=True)

OutOption = Annotated[Path, typer.Option(help="Capture directory to write; with several SAEs, one each under it.")]
ForceOption = Annotated[bool, typer.Option("--force", help="Start over where another capture is.")]


def capture(
    model: Annotated[str, typer.Option(help="Hugging Face name or directory of the language model.")],
    sae: Annotated[
        list[str],
        typer.Option(
            help="RELEASE:SAE_ID, DIR or RELEASE:SAE_ID=DIR; may be given again. DIR: of sae-lens, "
            "dictionary_learning, sparsify or Gemma Scope."
        ),
    ],
    text: Annotated[str, typer.Option(help="File (.txt, .jsonl, also .gz), directory, or hf:NAME[:SPLIT].")],
    out: OutOption,
    tokens: Annotated[int | None, typer.Option(help="Text tokens to read, masked ones included.")] = None,
    context: Annotated[int | None, typer.Option(help="Tokens in a window.", show_default="as the SAEs")] = None,
    batch: Annotated[int, typer.Option(help="Windows in one run of the model.")] = 8,
    device: Annotated[Device, typer.Option(help="Where to run.")] = "auto",
    dtype: Annotated[Dtype, typer.Option(help="The model's number format; SAEs run in float32.")] = "float32",
    text_field: Annotated[str, typer.Option(help="Field of the text in JSON lines and datasets.")] = "text",
    keep_special: Annotated[bool, typer.Option("--keep-special", help="Do not mask special tokens.")] = False,
    norm_factor: Annotated[
        float | None, typer.Option(help="Mask tokens of a norm above this times the median; 0 for no limit.")
    ] = None,
    residuals: Annotated[
        bool, typer.Option("--residuals", help="Store what the SAEs read on a share of tokens.")
    ] = False,
    residual_share: Annotated[
        float | None, typer.Option(help="The share of --residuals, above 0, at most 1.", show_default="0.1")
    ] = None,
    no_keep: Annotated[
        bool, typer.Option("--no-keep", help="Count the activations at once and do not store them.")
    ] = False,
    memory: Annotated[
        str | None, typer.Option(help="Bound on the counters of --no-keep, all SAEs together.", show_default="2GiB")
    ] = None,
    force: ForceOption = False,
) -> None:
    """Run a language model and its SAEs over a text, and keep which latents fire on which token.

    Several SAEs share one run of the model. A run that was stopped goes on when the same command is given again.
    With --no-keep the disk holds counts alone: no noise floors, histograms, conditionals and contexts can be had then.
    """
    from cofire.errors import InputError
    from cofire.ingest.capture import capture as capture_text
    from cofire.ingest.capture_dir.residuals import RESIDUAL_SHARE
    from cofire.ingest.capturing.masking import NORM_FACTOR
    from cofire.ingest.edges.settings import CountSettings

    if residual_share is not None and not residuals:
        raise InputError("--residual-share is given without --residuals: give both, or none")
    if memory is not None and not no_keep:
        raise InputError("--memory is given without --no-keep, whose counters it bounds: give both, or none")
    share = (RESIDUAL_SHARE if residual_share is None else residual_share) if residuals else None
    limit = NORM_FACTOR if norm_factor is None else (norm_factor or None)
    with token_progress("capture") as progress:
        made = capture_text(
            model,
            sae,
            text,
            out,
            tokens=tokens,
            context=context,
            batch=batch,
            device=device,
            dtype=dtype,
            text_field=text_field,
            mask_special=not keep_special,
            norm_factor=limit,
            residual_share=share,
            keep=not no_keep,
            memory=settings_of(None, memory=memory).of(CountSettings).memory,
            force=force,
            progress=progress,
            notice=notice,
        )
    for one in made:
        manifest = one.manifest
        masked = manifest.masking.special_tokens + manifest.masking.norm_outliers
        notice(
            f"{one.uid}: {manifest.rows:,} tokens of {manifest.text.documents:,} documents ({masked:,} masked), "
            f"mean L0 {manifest.firings / max(manifest.rows, 1):.1f} -> {one.path}"
        )
    if no_keep:
        from cofire.ingest.capturing.running_counts import ABSENT

        notice(f"noise floors: {ABSENT}")


@importers.command("activations")
def import_activations(
    acts: Annotated[Path, typer.Argument(metavar="ACTS.npz", help="Sparse activations; see docs/import.md.")],
    out: OutOption,
    release: Annotated[str, typer.Option(help="The SAE's release.")],
    sae_id: Annotated[str, typer.Option(help="The SAE's id in its release.")],
    weights: Annotated[Path | None, typer.Option(help="The SAE's weights, safetensors.")] = None,
    model: Annotated[str | None, typer.Option(help="Name of the language model.")] = None,
    hook: Annotated[str | None, typer.Option(help="Hook point that the SAE reads.")] = None,
    layer: Annotated[int | None, typer.Option(min=0, help="Layer of the hook point.")] = None,
    force: ForceOption = False,
) -> None:
    """Make a capture of your own activations."""
    from cofire.ingest.import_activations import import_activations as import_npz

    capture = import_npz(
        acts,
        out,
        release=release,
        sae_id=sae_id,
        weights=weights,
        model=model,
        hook=hook,
        layer=layer,
        force=force,
    )
    notice(f"{capture.uid}: {capture.manifest.rows:,} tokens -> {capture.path}")
