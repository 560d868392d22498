"""`cofire report`: a page about one SAE."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cofire.cli.common import StoreOption, notice, open_knowledge_base, working


def report(
    sae: Annotated[str, typer.Option(help="The SAE's uid, RELEASE/SAE_ID.")],
    out: Annotated[Path, typer.Option(help="Directory for the page and its pictures.")],
    store: StoreOption = None,
) -> None:
    """Write one self-contained HTML page about an SAE, and its pictures as PNG files."""
    with working("reading the graph and drawing"), open_knowledge_base(store) as kb:
        page = kb.report(sae, out)
    notice(f"wrote {page}")
