"""One cluster drawn as a graph: latent indices in the nodes, their tokens beside them, line width by log_odds.

    1. igraph places the nodes: a star layout around the hub, or a circle;
    2. the circle becomes an ellipse with evenly spaced rows, just high enough that no two labels touch;
    3. labels stand outside the ellipse, where no edge runs; the hub's stands under the hub on white;
    4. counts are written on the edges when there are few, each where it touches nothing.

All coordinates are inches, so that what fits here fits in the picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import igraph
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Circle, PathPatch
from matplotlib.path import Path

from cofire.analysis.report.charts import BLUE, DPI, INK, ORANGE, WIDTH
from cofire.analysis.report.visible import drawable, visible_token
from cofire.common.arrays import Floats

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    Box = tuple[float, float, float, float]

MAX_LABELLED_EDGES = 15
_RADIUS, _GAP, _ROW_GAP, _MARGIN = 0.23, 0.06, 0.15, 0.12
_TOKENS, _TOKEN_LENGTH = 3, 12
_LABEL: dict[str, Any] = {"fontsize": 8, "linespacing": 1.25, "parse_math": False}
_COUNT: dict[str, Any] = {"fontsize": 6.5, "color": "#444444"}


@dataclass(frozen=True)
class ClusterGraph:
    """What is drawn of one cluster.

    Attributes:
        latents: [n] latent indices, n >= 4.
        tokens: [n] tokens of each latent, best first, as they are in the text.
        a: [m] positions in `latents` of one end of each edge.
        b: [m] positions of the other end.
        count: [m] joint firings.
        log_odds: [m] float > 0, nats.
        hub: position of the latent in the middle, or None for a circle.
    """

    latents: Sequence[int]
    tokens: Sequence[Sequence[str]]
    a: Sequence[int]
    b: Sequence[int]
    count: Sequence[int]
    log_odds: Sequence[float]
    hub: int | None


def cluster_graph(
    latents: Sequence[int], tokens: Mapping[int, Sequence[str]], edges: pd.DataFrame, hub: int | None
) -> ClusterGraph:
    """Return what is drawn of a cluster.

    Args:
        latents: in the order in which they stand around the circle.
        tokens: tokens of each, best first.
        edges: their edges with log odds above 0: a, b, count, log_odds.
        hub: the latent in the middle, or None.
    """
    place = {latent: i for i, latent in enumerate(latents)}
    return ClusterGraph(
        latents=latents,
        tokens=[tokens[latent] for latent in latents],
        a=[place[int(k)] for k in edges["a"]],
        b=[place[int(k)] for k in edges["b"]],
        count=edges["count"].astype(int).tolist(),
        log_odds=edges["log_odds"].astype(float).tolist(),
        hub=None if hub is None else place[hub],
    )


def how_to_read(cluster: ClusterGraph) -> str:
    """Return what the drawing's lines and numbers are, for its caption."""
    parts = []
    if cluster.log_odds:
        parts.append(f"Line width: log odds, {min(cluster.log_odds):.1f} to {max(cluster.log_odds):.1f}.")
    if 0 < len(cluster.a) <= MAX_LABELLED_EDGES:
        parts.append("Numbers on lines, where there is room for all: tokens on which both fire.")
    return " ".join([*parts, "Beside each latent: its most distinctive tokens."])


def cluster_figure(cluster: ClusterGraph) -> Figure:
    """Draw one cluster (see the module); to be called, and its figure saved, inside `figures.style()`."""
    n = len(cluster.latents)
    labels = [_label(tokens) for tokens in cluster.tokens]
    sizes = _measure([(label, _LABEL) for label in labels])
    xy, height = _place(cluster, sizes)

    figure = Figure(figsize=(WIDTH, height))
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, WIDTH), ylim=(0, height))
    axes.set_axis_off()
    curves = [_curve(cluster, xy, i, j) for i, j in zip(cluster.a, cluster.b, strict=True)]
    for curve, width in zip(curves, _widths(cluster.log_odds), strict=True):
        path = Path(curve, [Path.MOVETO, Path.CURVE3, Path.CURVE3])
        axes.add_patch(PathPatch(path, fill=False, edgecolor="#8C8C8C", linewidth=width, capstyle="round", zorder=1))
    taken: list[Box] = []
    for i in range(n):
        colour = ORANGE if i == cluster.hub else BLUE
        axes.add_patch(Circle(xy[i], _RADIUS, facecolor=colour, edgecolor="white", linewidth=1.2, zorder=3))
        name = str(cluster.latents[i])
        ink = INK if i == cluster.hub else "white"
        axes.text(
            xy[i, 0],
            xy[i, 1],
            name,
            ha="center",
            va="center",
            color=ink,
            zorder=4,
            fontsize=8 if len(name) < 5 else 6.8,
        )
        side = _side(cluster, xy, i)
        box = _label_box(xy[i], sizes[i], side)
        back = {"facecolor": "white", "edgecolor": "none", "pad": 1.0, "alpha": 0.9} if i == cluster.hub else None
        align = {"left": "right", "right": "left"}.get(side, "center")
        x = {"left": box[2], "right": box[0]}.get(side, (box[0] + box[2]) / 2)
        y = (box[1] + box[3]) / 2
        axes.text(x, y, labels[i], ha=align, multialignment=align, va="center", bbox=back, zorder=2, **_LABEL)
        taken += [box, (xy[i, 0] - _RADIUS, xy[i, 1] - _RADIUS, xy[i, 0] + _RADIUS, xy[i, 1] + _RADIUS)]
    for point, text in _counts(cluster, curves, taken):
        back = {"facecolor": "white", "edgecolor": "none", "pad": 0.6}
        axes.text(point[0], point[1], text, ha="center", va="center", zorder=2, bbox=back, **_COUNT)
    return figure


def _label(tokens: Sequence[str]) -> str:
    """Join the first tokens, two on the first line and one on the second."""
    shown = [drawable(visible_token(token), _TOKEN_LENGTH) for token in tokens[:_TOKENS]]
    if not shown:
        return "no distinctive token"
    return "\n".join("  ".join(part) for part in (shown[:1], shown[1:]) if part)


def _measure(texts: Sequence[tuple[str, dict[str, Any]]]) -> Floats:
    """Return the width and height [k, 2] of texts, in inches."""
    figure = Figure(figsize=(WIDTH, WIDTH), dpi=DPI)
    renderer = FigureCanvasAgg(figure).get_renderer()  # type: ignore[no-untyped-call]
    boxes = [figure.text(0, 0, text, **options).get_window_extent(renderer) for text, options in texts]
    return np.array([(box.width, box.height) for box in boxes], dtype=np.float64).reshape(-1, 2) / DPI


def _place(cluster: ClusterGraph, sizes: Floats) -> tuple[Floats, float]:
    """Return the nodes' centres [n, 2] and the figure's height, in inches."""
    n = len(cluster.latents)
    graph = igraph.Graph(n=n, edges=list(zip(cluster.a, cluster.b, strict=True)))
    ring = [i for i in _ring_order(graph, cluster.hub) if i != cluster.hub]
    if cluster.hub is None:
        layout = graph.layout_circle(order=ring)
    else:
        layout = graph.layout_star(center=cluster.hub, order=[cluster.hub, *ring])
    unit = np.array(layout.coords, dtype=np.float64)

    # Turn the ring so that an even one has no node at the top and the bottom, and an odd one has a node at the top.
    turn = np.pi / 2 + (np.pi / len(ring) if len(ring) % 2 == 0 else 0.0)
    angle = np.arctan2(unit[ring, 1], unit[ring, 0])
    angle = np.angle(np.exp(1j * (angle - angle[0] + turn - np.pi / 2)))
    # Rows at even distances, so that labels at the top and the bottom do not crowd; symmetric about the middle.
    row_height = max(float(sizes[:, 1].max()), 2 * _RADIUS) + _ROW_GAP
    tall = max(row_height * len(ring) / 4, 1.25 if cluster.hub is None else 1.15)
    row = np.round(1 - 2 * np.abs(angle) / np.pi, 9)
    side = np.where(np.isclose(np.abs(row), 1), 0.0, np.sign(angle))
    label = float(sizes[:, 0].max())
    wide = min(WIDTH / 2 - _MARGIN - label - _RADIUS - _GAP, 1.5 * max(tall, 1.0))

    xy = np.zeros((n, 2))
    xy[ring, 0] = side * wide * np.sqrt(np.maximum(0, 1 - row**2))
    xy[ring, 1] = row * tall
    boxes = [_label_box(xy[i], sizes[i], _side(cluster, xy, i)) for i in range(n)]
    top = max(*(box[3] for box in boxes), float(xy[:, 1].max()) + _RADIUS) + _MARGIN
    bottom = min(*(box[1] for box in boxes), float(xy[:, 1].min()) - _RADIUS) - _MARGIN
    return xy + np.array([WIDTH / 2, -bottom]), top - bottom


def _ring_order(graph: igraph.Graph, hub: int | None) -> list[int]:
    """Order the nodes so that spokes joined to one another stand side by side (depth first without the hub)."""
    seen: list[int] = []
    stack = list(range(graph.vcount()))[::-1]
    while stack:
        node = stack.pop()
        if node in seen:
            continue
        seen.append(node)
        if node != hub:
            stack += sorted((k for k in graph.neighbors(node) if k != hub and k not in seen), reverse=True)
    return seen


def _side(cluster: ClusterGraph, xy: Floats, i: int) -> str:
    """Say where a node's label stands: below the hub, above the top node, below the bottom one, else left or right."""
    if i == cluster.hub:
        return "below"
    ring = [k for k in range(len(xy)) if k != cluster.hub]
    middle = (xy[ring, 0].min() + xy[ring, 0].max()) / 2
    if abs(xy[i, 0] - middle) < 1e-6:
        return "above" if xy[i, 1] >= xy[ring, 1].max() - 1e-6 else "below"
    return "left" if xy[i, 0] < middle else "right"


def _label_box(centre: Floats, size: Floats, side: str) -> Box:
    x, y = float(centre[0]), float(centre[1])
    width, height = float(size[0]), float(size[1])
    if side in {"left", "right"}:
        left = x + _RADIUS + _GAP if side == "right" else x - _RADIUS - _GAP - width
        return (left, y - height / 2, left + width, y + height / 2)
    low = y + _RADIUS + _GAP if side == "above" else y - _RADIUS - _GAP - height
    return (x - width / 2, low, x + width / 2, low + height)


def _curve(cluster: ClusterGraph, xy: Floats, i: int, j: int) -> Floats:
    """Return start, control point and end [3, 2] of an edge: straight, but bent round a hub that lies in its way."""
    start, end = xy[i], xy[j]
    middle = (start + end) / 2
    if cluster.hub is None or cluster.hub in (i, j):
        return np.stack([start, middle, end])
    along = (end - start) / np.linalg.norm(end - start)
    normal = np.array([-along[1], along[0]])
    distance = float((xy[cluster.hub] - start) @ normal)
    room = 2.5 * _RADIUS
    if abs(distance) > room:
        return np.stack([start, middle, end])
    # A quadratic curve passes half as far from its chord as its control point.
    away = -1.0 if distance > 0 else 1.0
    return np.stack([start, middle + 2 * (room - abs(distance)) * away * normal, end])


def _widths(log_odds: Sequence[float]) -> Floats:
    values = np.asarray(log_odds, dtype=np.float64)
    # Many lines must be thinner, or they run together.
    scale = min(1.0, (MAX_LABELLED_EDGES / max(len(values), 1)) ** 0.5)
    spread = float(np.ptp(values)) if len(values) else 0.0
    relative: Floats = (values - values.min()) / spread if spread > 0 else np.full(len(values), 0.4)
    widths: Floats = scale * (0.8 + 3.0 * relative)
    return widths


def _counts(cluster: ClusterGraph, curves: Sequence[Floats], taken: list[Box]) -> list[tuple[tuple[float, float], str]]:
    """Return where each edge's count is written; nothing when there are many edges or one count finds no room."""
    if not 0 < len(curves) <= MAX_LABELLED_EDGES:
        return []
    texts = [f"{count:,}" for count in cluster.count]
    sizes = _measure([(text, _COUNT) for text in texts])
    lines = [_points(curve, np.linspace(0, 1, 80)) for curve in curves]
    taken, placed = list(taken), []
    for k, curve in enumerate(curves):
        # Nearest to the middle, but rather where no other edge runs under the number.
        best: tuple[int, float, Box] | None = None
        for t in np.linspace(0.26, 0.74, 25):
            x, y = _points(curve, np.array([t]))[0]
            half_x, half_y = sizes[k] / 2 + np.array([0.05, 0.03])
            box = (x - half_x, y - half_y, x + half_x, y + half_y)
            if any(_touch(box, other) for other in taken):
                continue
            crossed = sum(_runs_through(line, box) for i, line in enumerate(lines) if i != k)
            if best is None or (crossed, abs(t - 0.5)) < best[:2]:
                best = (crossed, abs(t - 0.5), box)
        if best is None:
            return []
        box = best[2]
        taken.append(box)
        placed.append((((box[0] + box[2]) / 2, (box[1] + box[3]) / 2), texts[k]))
    return placed


def _points(curve: Floats, t: Floats) -> Floats:
    """Return the points [k, 2] of a quadratic Bezier curve [3, 2] at t [k]."""
    weights: Floats = np.stack([(1 - t) ** 2, 2 * t * (1 - t), t**2], axis=1)
    points: Floats = weights @ curve
    return points


def _runs_through(line: Floats, box: Box) -> bool:
    inside = (line > np.array(box[:2])) & (line < np.array(box[2:]))
    return bool(inside.all(axis=1).any())


def _touch(p: Box, q: Box) -> bool:
    return p[0] < q[2] and q[0] < p[2] and p[1] < q[3] and q[1] < p[3]
