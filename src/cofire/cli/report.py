"""`cofire report`: a page about one SAE, or about one cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cofire.cli.common import StoreOption, notice, open_captures, open_knowledge_base, refuse_both, working
from cofire.errors import InputError


def report(
    out: Annotated[Path, typer.Option(help="Directory for the page and its pictures.")],
    captures: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="CAPTURE",
            help="With --cluster: the capture in which it was found, or a directory of several.",
            show_default=False,
        ),
    ] = None,
    sae: Annotated[str | None, typer.Option(help="An SAE's uid, RELEASE/SAE_ID: a page from the store.")] = None,
    cluster: Annotated[
        str | None, typer.Option(help="A cluster's uid, RELEASE/SAE_ID/c-...: a page from its capture.")
    ] = None,
    store: StoreOption = None,
) -> None:
    """Write one self-contained HTML page about an SAE or about one cluster, and its pictures as PNG files.

    The page about an SAE is index.html; one about a cluster, its latents, shape, function and the plane in which its
    tokens lie, has the cluster's name. It is made from the capture: the tokens of a cluster are in no store.
    """
    if (sae is None) == (cluster is None):
        raise InputError("report: give either --sae UID, or CAPTURE --cluster UID")
    if cluster is not None:
        _report_cluster(captures or [], cluster, out, store)
        return
    if captures:
        raise InputError(f"{captures[0]}: a capture goes with --cluster; the page about an SAE is made from a store")
    with working("reading the graph and drawing"), open_knowledge_base(store) as kb:
        page = kb.report(str(sae), out)
    notice(f"wrote {page}")


def _report_cluster(captures: list[Path], cluster: str, out: Path, store: str | None) -> None:
    from cofire.analysis.report.cluster_page import write_cluster_page
    from cofire.analysis.report.cluster_page_data import cluster_page_data

    if not captures:
        raise InputError(
            "--cluster needs the capture in which the cluster was found: no store has its tokens; "
            "give cofire report CAPTURE --cluster UID"
        )
    refuse_both(captures, {"--store": store})
    sae = cluster.rpartition("/")[0]
    # A short name, c-..., does when one capture is named.
    opened = open_captures(captures)
    found = [capture for capture in opened if capture.uid == sae or (not sae and len(opened) == 1)]
    if not found:
        raise InputError(f"cluster {cluster}: of none of the captures named ({', '.join(c.uid for c in opened)})")
    with working("reading the tables and drawing"):
        page = write_cluster_page(cluster_page_data(found[0], cluster), out)
    notice(f"wrote {page}")
