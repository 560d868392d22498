"""The report about one SAE: a self-contained HTML page and its pictures.

    1. choose what is drawn, each by a rule that its caption states;
    2. draw (`charts`, `cluster_graph`);
    3. fill the template; write the pictures, then the page.

The page asks nothing of the network: pictures are data URIs, styles are inline, and its content security policy
forbids everything else. The same data give the same bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cofire.analysis.report.page import COLUMNS, Picture, ReportData, render
from cofire.common.files import write_atomically, write_text
from cofire.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd
    from matplotlib.figure import Figure

HISTOGRAMS = 6
MIN_FIRINGS = 200
"""A histogram of 256 bins shows nothing below some hundreds of firings."""


def write_report(data: ReportData, out: Path) -> Path:
    """Write OUT/index.html and the pictures OUT/*.png, and return the page's path.

    Of an earlier report in the same directory, pictures that this one does not have are removed; other files stay.

    Args:
        data: What the report is about.
        out: Directory; made if it is not there.

    Raises:
        InputError: A table lacks a column, or `out` cannot be written.
    """
    from cofire.analysis.report.charts import style
    from cofire.analysis.report.sae_clusters import cluster_pictures, top_clusters

    data = _checked(data)
    with style():
        charts = [_frequency(data), _histograms(data), _sizes(data), _strength(data)]
        drawn = cluster_pictures(data)
    page = render(
        "sae_page.html.j2",
        uid=data.sae["uid"],
        source=_source(data.sae),
        facts=_facts(data),
        charts=charts,
        drawn=drawn,
        top=top_clusters(data),
        n_clusters=len(data.clusters),
    )
    pictures = {f"{p.name}.png": p.png for p in [*charts, *drawn] if p.png is not None}
    names = {f"{p.name}.png" for p in charts} | {f"{kind}-{i}.png" for kind in ("hub", "clique") for i in (1, 2)}
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, content in pictures.items():
            write_atomically(out / name, lambda part, content=content: part.write_bytes(content))  # type: ignore[misc]
        for name in names - set(pictures):
            (out / name).unlink(missing_ok=True)
        write_text(out / "index.html", page)
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"{out}: the report cannot be written there ({reason}); give another --out") from error
    return out / "index.html"


def _checked(data: ReportData) -> ReportData:
    """Return the data with every column that the report reads, or say which is missing."""
    import pandas as pd

    tables: dict[str, pd.DataFrame] = {}
    for name, columns in COLUMNS.items():
        table: pd.DataFrame = getattr(data, name)
        missing = [column for column in columns if column not in table.columns]
        if missing and len(table):
            raise InputError(f"report: the table {name} has no column {missing[0]}; load the SAE again")
        tables[name] = pd.DataFrame({column: [] for column in columns}) if missing else table
    return ReportData(data.sae, **tables)


def _frequency(data: ReportData) -> Picture:
    from cofire.analysis.report.charts import firing_frequency

    name, title = "firing-frequency", "How often latents fire"
    dead = data.latents["dead"].astype(bool)
    live = data.latents.loc[~dead, "frequency"].to_numpy(dtype=np.float64)
    if not len(live):
        return Picture(name, title, f"Not drawn: none of the {_many(len(dead), 'latent')} fires.")
    caption = (
        f"Density of log10 of the firing frequency of {_many(len(live), 'live latent')}; {_n(int(dead.sum()))} dead "
        "(never fire in this capture) are left out. Dashed: the median."
    )
    return _picture(name, title, caption, firing_frequency(live))


def _histograms(data: ReportData) -> Picture:
    from cofire.analysis.report.charts import activation_histograms
    from cofire.analysis.report.sae_clusters import tokens_of
    from cofire.analysis.report.visible import drawable, visible_token

    name, title = "activation-histograms", "How strongly latents fire"
    able = data.latents[
        data.latents["histogram"].notna() & (data.latents["firing_count"].astype(float) >= MIN_FIRINGS)
    ].sort_values(["frequency", "index"])
    if able.empty:
        return Picture(
            name, title, f"Not drawn: no latent has a histogram of {MIN_FIRINGS} firings or more in this capture."
        )
    places = sorted({round(q * (len(able) - 1)) for q in np.linspace(0, 1, HISTOGRAMS)})
    chosen = able.iloc[places]
    tokens = tokens_of(data, chosen["index"].tolist())
    panels = []
    for row in chosen.to_dict("records"):
        heading = f"latent {row['index']} · {row['frequency']:.2%} · μ: {row['mu_rule']}"
        shown = "  ".join(drawable(visible_token(text), 12) for text in tokens[row["index"]][:4])
        panels.append((heading, shown or "no distinctive token", np.asarray(row["histogram"], dtype=np.float64)))
    caption = (
        "Activations u where the latent fires, 256 bins over [0, 4), u ≥ 4 in the last bin; the line is the same, "
        "smoothed by a Gaussian of 1/16. Dashed: u = 1, the activation μ (the highest clear mode, or the mean where "
        f"none is clear). {_many(len(panels), 'latent')}, evenly spread by rank of firing frequency (least to most "
        f"frequent) among the {_n(len(able))} with {MIN_FIRINGS} firings or more. Above each: the share of tokens on "
        "which it fires, where its μ comes from, and its most distinctive tokens."
    )
    return _picture(name, title, caption, activation_histograms(panels))


def _sizes(data: ReportData) -> Picture:
    from cofire.analysis.report.charts import cluster_sizes

    name, title = "cluster-sizes", "How large clusters are"
    clusters = data.clusters
    if clusters.empty:
        return Picture(name, title, "Not drawn: there are no clusters.")
    latents = int(clusters["size"].sum())
    caption = (
        f"{_many(len(clusters), 'cluster')} of two latents and more, {_n(latents)} of {_n(len(data.latents))} latents "
        f"in them. Leiden on log odds: {data.sae.get('clusterRule') or 'not recorded'}; seed "
        f"{_distinct(clusters['seed'])}. A shape is named where it is perfect but for about one edge in ten, below "
        "eight latents only where it is perfect; all else is mixed."
    )
    figure = cluster_sizes(clusters["size"].to_numpy(dtype=np.int64), clusters["structure"].tolist())
    return _picture(name, title, caption, figure)


def _strength(data: ReportData) -> Picture:
    from cofire.analysis.report.charts import MANY_EDGES, edge_strength

    name, title = "edge-strength", "How strong co-firing is"
    edges = data.edges
    if edges.empty:
        return Picture(name, title, "Not drawn: no pair of latents has a kept edge.")
    how = "cells are coloured by their number of edges" if len(edges) > MANY_EDGES else "one dot per edge"
    caption = (
        f"{_many(len(edges), 'kept edge')}; {how}. Log odds compare the joint firings with what independence "
        f"given the document would give (0). Rule: {data.sae.get('edgeRule') or 'not recorded'}."
    )
    figure = edge_strength(edges["count"].to_numpy(dtype=np.int64), edges["log_odds"].to_numpy(dtype=np.float64))
    return _picture(name, title, caption, figure)


def _facts(data: ReportData) -> list[tuple[str, str]]:
    """Return the table of counts as (what, how many) in the order shown."""
    sae = data.sae

    def number(key: str) -> str:
        value = sae.get(key)
        return "not recorded" if value is None else _n(value) if isinstance(value, int) else f"{value:.1f}"

    counts = data.clusters["structure"].value_counts()
    kinds = ["hub_and_spoke", "clique", "path", "core_periphery", "mixed", "too_small"]
    shapes = ", ".join(f"{_n(int(counts[kind]))} {kind.replace('_', ' ')}" for kind in kinds if kind in counts)
    return [
        ("Latents", number("nLatents")),
        ("Dead latents (never fire here)", _n(int(data.latents["dead"].astype(bool).sum()))),
        ("Tokens counted", number("tokens")),
        ("Documents", number("documents")),
        ("Firings", number("firings")),
        ("Mean L0 (latents a token)", number("meanL0")),
        *_funnel(sae),
        ("Co-firing edges kept", _n(len(data.edges))),
        ("Edge rule", str(sae.get("edgeRule") or "not recorded")),
        ("Noise floor", str(sae.get("noiseFloor") or "not recorded")),
        *_cosines(sae),
        ("Cluster rule", str(sae.get("clusterRule") or "not recorded")),
        ("Clusters (two latents and more)", _n(len(data.clusters)) + (f": {shapes}" if shapes else "")),
    ]


def _funnel(sae: dict[str, Any]) -> list[tuple[str, str]]:
    """Say how many pairs each step of the edge rule left, and how many it removed."""
    steps = [("Pairs that co-fired", "pairsThatCoFired"), ("… often enough (count)", "pairsFrequent")]
    if sae.get("pairsSignificant") != sae.get("pairsPassing"):
        # An earlier cofire gave pairs of a small effect a q too.
        steps.append(("… beyond what their documents explain (q)", "pairsSignificant"))
        steps.append(("… strongly enough (log odds)", "pairsPassing"))
    else:
        steps.append(("… strongly enough (log odds), beyond what their documents explain (q)", "pairsPassing"))
    rows, before = [], None
    for what, key in steps:
        left = sae.get(key)
        if left is None:
            continue
        rows.append((what, _n(left) + (f" ({_n(before - left)} removed)" if before is not None else "")))
        before = left
    if sae.get("pairsWeakOnly") is not None:
        rows.append(("Pairs that pass only with firings below the noise floor", _n(sae["pairsWeakOnly"])))
    return rows


def _cosines(sae: dict[str, Any]) -> list[tuple[str, str]]:
    """Say how the decoder directions of passing and of weak-only pairs lie: quartiles of their cosines."""
    rows = []
    for what, key in (("passing", "cosineKept"), ("weak-only", "cosineWeakOnly")):
        quartiles = sae.get(key)
        if quartiles:
            low, middle, high = quartiles
            rows.append((f"Decoder cosine of {what} pairs", f"median {middle:.2f}, quartiles {low:.2f} and {high:.2f}"))
    return rows


def _source(sae: dict[str, Any]) -> str:
    """Say in a sentence what the SAE reads, as far as it is recorded."""
    names = {"model": "model", "hook": "hook point", "layer": "layer", "architecture": "architecture"}
    known = [f"{name} {sae[key]}" for key, name in names.items() if sae.get(key) not in (None, "")]
    return ("; ".join(known)[:1].upper() + "; ".join(known)[1:] + ".") if known else ""


def _picture(name: str, title: str, caption: str, figure: Figure) -> Picture:
    from cofire.analysis.report.charts import png

    return Picture(name, title, caption, png(figure))


def _n(number: int) -> str:
    return f"{number:,}"


def _many(number: int, what: str) -> str:
    return f"{number:,} {what}" + ("" if number == 1 else "s")


def _distinct(values: pd.Series[Any]) -> str:
    return ", ".join(f"{value:g}" for value in sorted(values.unique()))
