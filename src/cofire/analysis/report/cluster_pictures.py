"""The pictures of the page about one cluster: its graph, its plane and its mixtures."""

from __future__ import annotations

import string
from typing import TYPE_CHECKING

import numpy as np

from cofire.analysis.report.page import Picture
from cofire.analysis.report.visible import drawable, visible_token

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from cofire.analysis.report.cluster_page_data import ClusterPageData
    from cofire.analysis.report.plane import Plane

MAX_NODES = 16
"""Latents drawn in the graph; more cannot be labelled legibly."""
DEEP = 0.1
"""Share of the variance from which the third component has a picture of its own."""
BARS = 15


def cluster_page_pictures(data: ClusterPageData) -> list[Picture]:
    """Draw the graph, the plane, its third component and the mixtures, or say why one is not drawn."""
    from cofire.analysis.report.charts import style

    with style():
        return [_graph(data), *_planes(data), _mixtures(data)]


def _graph(data: ClusterPageData) -> Picture:
    from cofire.analysis.report.cluster_graph import cluster_figure, cluster_graph, how_to_read

    name, title = "graph", "Which fire together"
    shown = data.members["latent"].astype(int).tolist()[:MAX_NODES]
    edges = data.edges[data.edges["a"].isin(shown) & data.edges["b"].isin(shown)]
    middle = [
        k for k, role in zip(data.members["latent"], data.members["role"], strict=True) if role in ("hub", "core")
    ]
    # A cluster without a hub is easier to look up in ascending order; a star's ring starts with its strongest spoke.
    order = shown if len(middle) == 1 else sorted(shown)
    graph = cluster_graph(order, data.tokens, edges, int(middle[0]) if len(middle) == 1 else None)
    parts = [f"The {len(data.edges):,} kept edges with log odds above 0 among its {len(data.members)} latents."]
    if len(shown) < len(data.members):
        parts = [f"Only the {MAX_NODES} latents of the greatest strength are drawn, of {len(data.members)}."]
    parts.append(how_to_read(graph))
    return _picture(name, title, " ".join(parts), cluster_figure(graph))


def _planes(data: ClusterPageData) -> list[Picture]:
    from cofire.analysis.report.plane import plane_figure

    name, title = "plane", "The plane of its tokens"
    row = data.subspace
    if row is None:
        return [Picture(name, title, "Not drawn: the subspace of this cluster was not computed.")]
    if row["explained"] is None or not data.points:
        reason = f"Not drawn: two members and more fire on {row['co_firing']:,} tokens, and these do not differ"
        reason += ", or a direction or a full strength is not known."
        return [Picture(name, title, reason)]
    plane = _plane(data)
    alone = int(plane.alone.sum())
    sums = (
        "the sum over its latents of activation times decoder direction"
        if row["space"] == "decoder"
        else "the latents' activations / full strength, each an axis of its own, as the decoder's weights are not known"
    )
    caption = (
        f"Principal components of what the cluster adds to the model: {sums}. Dots: {row['tokens']:,} of "
        f"{row['co_firing']:,} tokens on which two members and more fire, to which the components were fitted; rings: "
        f"{alone:,} of {row['alone']:,} on which one fires alone; where noise floors are known, clear firings alone "
        "count. Colour: the strongest member (activation / full strength)."
    )
    if plane.corners:
        caption += " Triangles: a member at full strength and alone."
    caption += " Cross: no contribution. Letters: mean of a mixture (see there). Each axis has a scale of its own."
    if plane.marks:
        caption += " Numbers: tokens whose text stands below."
    pictures = [_picture(name, title, f"{caption} {_simplex(data)}", plane_figure(plane))]
    if len(plane.explained) > 2 and plane.explained[2] >= DEEP:
        pictures.append(
            _picture("plane-3", "Its third component", "As the picture of the plane.", plane_figure(plane, 2))
        )
    return pictures


def _plane(data: ClusterPageData) -> Plane:
    from cofire.analysis.report.plane import Plane

    row = data.subspace or {}
    explained = np.asarray(row["explained"])
    places = np.array([point["components"] for point in data.points], dtype=np.float64)
    corners = np.asarray(row["corners"] or []).reshape(-1, len(explained))
    number = {point["point"]: k for k, point in enumerate(data.points)}
    return Plane(
        places=places,
        strongest=np.array([-1 if p["strongest"] is None else p["strongest"] for p in data.points], dtype=np.int64),
        alone=np.array([len(point["latents"]) == 1 for point in data.points]),
        explained=explained,
        names={latent: _name(data, latent) for latent in row["latents"]},
        corners=dict(zip(row["latents"], corners, strict=False)),
        origin=np.asarray(row["origin"]),
        centroids=np.array([m["components"] for m in data.mixtures if m["mixtures"] == 1]).reshape(-1, len(explained)),
        marks=[number[one.point] for one in data.extremes],
    )


def _name(data: ClusterPageData, latent: int) -> str:
    shown = "  ".join(drawable(visible_token(text), 12) for text in data.tokens[latent][:3])
    return f"{latent}  {shown}"


def _simplex(data: ClusterPageData) -> str:
    """Say how well the tokens fit the simplex of the members."""
    row = data.subspace or {}
    if row["simplex_r2"] is None:
        return (
            "Fit to the simplex of its members: undefined, as its tokens do not differ or a full strength is not known."
        )
    return (
        f"Weights that are at least 0 and sum to 1 over the members that fire explain {row['simplex_r2']:.2f} of the "
        "variance of activation / full strength (1: the tokens share one unit of weight; .5 to .75: as members in "
        "full, two at a time, would; below 0: worse than their mean). When each member's activations are shuffled over "
        f"the tokens on which it fires, they explain {row['simplex_null']:.2f} (p = {row['simplex_p']:.2f})."
    )


def _mixtures(data: ClusterPageData) -> Picture:
    from cofire.analysis.report.plane import LETTERED, mixture_figure

    name, title = "mixtures", "Which sets fire"
    single = [mixture for mixture in data.mixtures if mixture["mixtures"] == 1]
    if not single or data.subspace is None:
        reason = "the subspace of this cluster was not computed" if data.subspace is None else "no two members co-fire"
        return Picture(name, title, f"Not drawn: {reason}.")
    shown = single[:BARS]
    rest = [mixture for mixture in data.mixtures if mixture not in shown]
    labels = [
        f"{_some(mixture['mixture'])}   {string.ascii_lowercase[k] if k < LETTERED else ' '}"
        for k, mixture in enumerate(shown)
    ]
    counts = [mixture["tokens"] for mixture in shown]
    caption = (
        f"How many of the {data.subspace['tokens']:,} tokens have just these members firing: the {len(shown)} most "
        "frequent mixtures."
    )
    if rest:
        others = sum(mixture["mixtures"] for mixture in rest)
        labels.append(f"{others:,} others    ")
        counts.append(sum(mixture["tokens"] for mixture in rest))
    caption += f" Letters: the first {min(LETTERED, len(shown))}, as in the plane."
    return _picture(name, title, caption, mixture_figure(labels, counts, others=bool(rest)))


def _some(mixture: str) -> str:
    """Return a mixture's members, at most five of them."""
    parts = mixture.split("+")
    return " + ".join(parts[:5]) + (f" + {len(parts) - 5} more" if len(parts) > 5 else "")


def _picture(name: str, title: str, caption: str, figure: Figure) -> Picture:
    from cofire.analysis.report.charts import png

    return Picture(name, title, caption, png(figure))
