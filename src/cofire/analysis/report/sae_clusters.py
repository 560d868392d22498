"""The clusters in a report: which are drawn, how they are told, and the table of the heaviest ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cofire.analysis.clusters.structure import MIN_SIZE
from cofire.analysis.report.charts import png
from cofire.analysis.report.cluster_graph import cluster_figure, cluster_graph, how_to_read
from cofire.analysis.report.page import Picture
from cofire.analysis.report.visible import visible_line, visible_token

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from cofire.analysis.report.page import ReportData

DRAWN = 2
"""Clusters drawn of each shape."""
MAX_NODES = 16
"""Latents drawn of one cluster; more cannot be labelled legibly."""
TOP_CLUSTERS, TOP_MEMBERS = 20, 8
EXAMPLES, EXAMPLE_LATENTS = 2, 6

_KINDS = {
    "hub": ("hub_and_spoke", "centralization", "hub-and-spoke cluster", "centralisation"),
    "clique": ("clique", "density", "clique", "density"),
}


def cluster_pictures(data: ReportData) -> list[Picture]:
    """Draw the best hub-and-spoke clusters and the best cliques, or say why there are none."""
    return [picture for kind in _KINDS for picture in _pictures_of(data, kind)]


def top_clusters(data: ReportData) -> list[dict[str, Any]]:
    """Return the TOP_CLUSTERS clusters with the largest sum of log_odds inside, for the template."""
    members = data.members.assign(strength=data.members["strength"].astype(float))
    weight = members.groupby("cluster")["strength"].sum() / 2
    ranked = data.clusters.assign(weight=data.clusters["cluster"].map(weight).astype(float)).sort_values(
        ["weight", "cluster"], ascending=[False, True]
    )
    rows = ranked.head(TOP_CLUSTERS)
    chosen = {uid: _by_strength(data, uid) for uid in rows["cluster"]}
    tokens = tokens_of(data, [latent for part in chosen.values() for latent in part["latent"].tolist()])
    return [
        {
            "name": _short(row["cluster"]),
            "size": int(row["size"]),
            "structure": row["structure"].replace("_", " "),
            "density": _score(row["density"]),
            "centralization": _score(row["centralization"]),
            "weight": f"{row['weight']:.1f}",
            "members": [
                {
                    "latent": int(latent),
                    "hub": role == "hub",
                    "tokens": [visible_token(text) for text in tokens[int(latent)][:3]],
                }
                for latent, role in chosen[row["cluster"]].head(TOP_MEMBERS)[["latent", "role"]].to_numpy()
            ],
            "more": max(0, int(row["size"]) - TOP_MEMBERS),
        }
        for row in rows.to_dict("records")
    ]


def tokens_of(data: ReportData, latents: Sequence[int]) -> dict[int, list[str]]:
    """Return the texts of each latent's distinctive tokens, best first; an empty list where there are none."""
    of_them = data.tokens["latent"].isin(list(latents)) & (data.tokens["score"] > 0)
    rows = data.tokens[of_them].sort_values(["latent", "score", "token"], ascending=[True, False, True])
    found: dict[int, list[str]] = {int(latent): [] for latent in latents}
    for latent, text in zip(rows["latent"], rows["text"], strict=True):
        found[int(latent)].append(str(text))
    return found


def _pictures_of(data: ReportData, kind: str) -> list[Picture]:
    label, score, noun, score_name = _KINDS[kind]
    clusters = data.clusters[data.clusters["size"].astype(int) >= MIN_SIZE]
    heading = f"Best {noun}"
    if clusters.empty:
        reason = f"Not drawn: no cluster has {MIN_SIZE} latents or more, the least that has a shape."
        return [Picture(f"{kind}-1", heading, reason)]
    ranked = clusters.assign(named=clusters["structure"] == label, score=clusters[score].astype(float)).sort_values(
        ["named", "score", "size", "cluster"], ascending=[False, False, False, True]
    )
    named = int(ranked["named"].sum())
    rows = ranked.head(min(named, DRAWN) or 1).to_dict("records")
    pictures = []
    for i, row in enumerate(rows, 1):
        what = f"Cluster {_short(row['cluster'])}: {row['size']} latents"
        numbers = f"centralisation {_score(row['centralization'])}, density {_score(row['density'])}"
        if named:
            heading = f"{'Best' if i == 1 else 'Second'} {noun}"
            rule = (
                f"{what}, {numbers}. {'First' if i == 1 else 'Second'} of {named:,} of this shape by {score_name}, "
                "then size."
            )
        else:
            heading = f"Nearest to a {noun}"
            rule = (
                f"No cluster of {MIN_SIZE} latents or more is a {noun}; drawn is the one with the highest "
                f"{score_name}. {what}, structure {row['structure'].replace('_', ' ')}, {numbers}."
            )
        pictures.append(_draw(data, f"{kind}-{i}", heading, rule, row["cluster"]))
    return pictures


def _draw(data: ReportData, name: str, heading: str, rule: str, uid: str) -> Picture:
    """Draw one cluster; `rule` starts its caption."""
    kind = name.split("-")[0]
    members = _by_strength(data, uid)
    shown = members["latent"].astype(int).tolist()[:MAX_NODES]
    edges = data.edges[
        data.edges["a"].isin(shown) & data.edges["b"].isin(shown) & (data.edges["log_odds"].astype(float) > 0)
    ]
    # A clique is easier to look up in ascending order; a star's ring starts with its strongest spoke.
    order = sorted(shown) if kind == "clique" else shown
    tokens = tokens_of(data, order)
    degree = edges["a"].value_counts().add(edges["b"].value_counts(), fill_value=0)
    # The best connected latent, the strongest of equals.
    hub = max(order, key=lambda latent: degree.get(latent, 0)) if kind == "hub" else None
    graph = cluster_graph(order, tokens, edges, hub)
    parts = [rule]
    if len(shown) < len(members):
        parts.append(f"Only the {MAX_NODES} latents of the greatest strength are drawn.")
    parts.append(how_to_read(graph))
    return Picture(name, heading, " ".join(parts), png(cluster_figure(graph)), _examples(data, shown, tokens))


def _examples(data: ReportData, latents: Sequence[int], tokens: dict[int, list[str]]) -> list[dict[str, Any]]:
    """Return, for the strongest few latents of a cluster, their strongest and their middle example contexts."""
    found = []
    for latent in latents[:EXAMPLE_LATENTS]:
        rows = data.contexts[data.contexts["latent"] == latent].sort_values("rank")
        places = sorted({0, len(rows) // 2})[:EXAMPLES] if len(rows) else []
        found.append(
            {
                "latent": latent,
                "tokens": [visible_token(text) for text in tokens[latent][:5]],
                "contexts": [_context(row) for row in rows.iloc[places].to_dict("records")],
            }
        )
    return found


def _context(row: dict[Any, Any]) -> dict[str, Any]:
    """Split a context's text at its marks; a text with more of the same signs is shown unsplit."""
    text = str(row["text"])
    marked = text.count("«") == 1 and text.count("»") == 1 and text.index("«") < text.index("»")
    before, _, rest = text.partition("«") if marked else (text, "", "")
    token, _, after = rest.partition("»")
    u = row["u"]
    return {
        "before": visible_line(before),
        "token": visible_token(token) if marked else "",
        "after": visible_line(after),
        "document": int(row["document"]),
        "position": int(row["position"]),
        "activation": f"{float(row['activation']):.3g}",
        "u": None if u is None or np.isnan(u) else f"{float(u):.2f}",
    }


def _by_strength(data: ReportData, uid: str) -> pd.DataFrame:
    """Return a cluster's members, strongest first."""
    rows = data.members[data.members["cluster"] == uid]
    return rows.assign(strength=rows["strength"].astype(float)).sort_values(
        ["strength", "latent"], ascending=[False, True]
    )


def _short(uid: str) -> str:
    return uid.rpartition("/")[2]


def _score(value: float | None) -> str:
    return "–" if value is None or np.isnan(value) else f"{value:.2f}"
