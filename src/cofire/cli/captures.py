"""`cofire capture`, `cofire import activations`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cofire.cli.common import notice, token_progress

importers = typer.Typer(help="Bring in what was made elsewhere.", no_args_is_help=True)

OutOption = Annotated[Path, typer.Option(help="Capture directory to write; with several SAEs, one each under it.")]
ForceOption = Annotated[bool, typer.Option("--force", help="Start over where another capture is.")]


class Device(StrEnum):
    """Where the model and the SAEs run."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


class Dtype(StrEnum):
    """The model's number format."""

    float32 = "float32"
    bfloat16 = "bfloat16"
    float16 = "float16"


def capture(
    model: Annotated[str, typer.Option(help="Hugging Face name or directory of the language model.")],
    sae: Annotated[list[str], typer.Option(help="RELEASE:SAE_ID, DIR or RELEASE:SAE_ID=DIR; may be given again.")],
    text: Annotated[str, typer.Option(help="File (.txt, .jsonl, also .gz), directory, or hf:NAME[:SPLIT].")],
    out: OutOption,
    tokens: Annotated[int | None, typer.Option(help="Text tokens to read, masked ones included.")] = None,
    context: Annotated[int | None, typer.Option(help="Tokens in a window.", show_default="as the SAEs")] = None,
    batch: Annotated[int, typer.Option(help="Windows in one run of the model.")] = 8,
    device: Annotated[Device, typer.Option(help="Where to run.")] = Device.auto,
    dtype: Annotated[Dtype, typer.Option(help="The model's number format; SAEs run in float32.")] = Dtype.float32,
    text_field: Annotated[str, typer.Option(help="Field of the text in JSON lines and datasets.")] = "text",
    keep_special: Annotated[bool, typer.Option("--keep-special", help="Do not mask special tokens.")] = False,
    norm_factor: Annotated[
        float | None, typer.Option(help="Mask tokens of a norm above this times the median; 0 for no limit.")
    ] = None,
    force: ForceOption = False,
) -> None:
    """Run a language model and its SAEs over a text, and keep which latents fire on which token.

    Several SAEs share one run of the model. A run that was stopped goes on when the same command is given again.
    """
    from cofire.ingest.capture import capture as capture_text
    from cofire.ingest.masking import NORM_FACTOR

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
            force=force,
            progress=progress,
        )
    for one in made:
        manifest = one.manifest
        masked = manifest.masking.special_tokens + manifest.masking.norm_outliers
        firings = sum(shard.firings for shard in manifest.shards)
        notice(
            f"{one.uid}: {manifest.rows:,} tokens of {manifest.text.documents:,} documents ({masked:,} masked), "
            f"mean L0 {firings / max(manifest.rows, 1):.1f} -> {one.path}"
        )


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
