"""`cofire capture`, `cofire import activations`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cofire.cli.common import notice

importers = typer.Typer(help="Bring in what was made elsewhere.", no_args_is_help=True)

OutOption = Annotated[Path, typer.Option(help="Capture directory to write; with several SAEs, one each under it.")]
ForceOption = Annotated[bool, typer.Option("--force", help="Start over where another capture is.")]


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
