"""What the page about one cluster is made from: the tables of its capture, and the text around a few of its tokens.

1. find the cluster in the table `clusters`, with its parent and the clusters under it;
2. take of each table the rows of its members; the tables that analyses make need not be there;
3. choose the tokens at the extremes of the plane, and read the text around them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cofire.analysis.clusters.members import cluster_members
from cofire.errors import InputError
from cofire.ingest.capture_dir.table_files import read_table, table_infos
from cofire.ingest.latents.contexts import window_around
from cofire.schema.tables import (
    CLUSTER_FUNCTIONS,
    CLUSTER_NULLS,
    CLUSTERS,
    EDGES,
    LATENTS,
    MEMBERS,
    SUBSPACE_MIXTURES,
    SUBSPACE_POINTS,
    SUBSPACES,
    TOKENS,
)

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from cofire.ingest.capture_dir.directory import CaptureDir
    from cofire.schema.tables import Table

AT_END = 2
"""Tokens shown at each end of each of the first two components."""
_FACTS = ("firing_count", "frequency", "mu", "mu_rule")


@dataclass(frozen=True)
class Extreme:
    """A token at an end of the plane, with its text.

    Attributes:
        point: its number in the table subspace_points.
        end: the component, 0 or 1, and whether it is the upper end.
        before: the text before the token.
        token: the token.
        after: the text after it.
    """

    point: int
    end: tuple[int, bool]
    before: str
    token: str
    after: str


@dataclass(frozen=True)
class ClusterPageData:
    """One cluster of a capture. Values that are undefined are None; in a DataFrame, NaN.

    Attributes:
        sae: uid of the SAE.
        about: what is known of it, in the order shown: (what, value).
        cluster: its row of `clusters`.
        parent: the row of its parent, or None.
        children: rows of the clusters of the next finer level that it holds; none at the finest level.
        siblings: how many other clusters its parent holds.
        members: latent, role (null above the finest level), strength, firing_count, frequency, mu, mu_rule; strongest
            first.
        tokens: the tokens of each member as text, most distinctive first.
        edges: a, b, count, log_odds: the edges of positive log_odds among the members.
        nulls: its row of `cluster_nulls`, or None.
        function: its row of `cluster_functions`, or None.
        subspace: its row of `subspaces`, or None.
        points: its rows of `subspace_points`, in order of point.
        mixtures: its rows of `subspace_mixtures`, the most frequent first.
        extremes: tokens at the ends of the plane; none where the capture has no text.
        has_text: whether the capture knows its tokens.
        keeps_activations: whether the capture stores its activations.
    """

    sae: str
    about: list[tuple[str, str]]
    cluster: dict[str, Any]
    parent: dict[str, Any] | None
    children: list[dict[str, Any]]
    siblings: int
    members: pd.DataFrame
    tokens: dict[int, list[str]]
    edges: pd.DataFrame
    nulls: dict[str, Any] | None
    function: dict[str, Any] | None
    subspace: dict[str, Any] | None
    points: list[dict[str, Any]]
    mixtures: list[dict[str, Any]]
    extremes: list[Extreme]
    has_text: bool
    keeps_activations: bool


def cluster_page_data(capture: CaptureDir, uid: str) -> ClusterPageData:
    """Collect what the page about one cluster is made from.

    Args:
        capture: a capture that was counted and analysed.
        uid: the cluster's uid, RELEASE/SAE_ID/c-..., or its last part.

    Raises:
        InputError: the capture has no such cluster.
        CaptureError: the capture was not counted or analysed, or a table cannot be read.
    """
    import pyarrow.compute as pc

    clusters, members = read_table(capture, CLUSTERS), read_table(capture, MEMBERS)
    name = uid if "/" in uid else f"{capture.uid}/{uid}"
    rows = {row["cluster"]: row for row in clusters.to_pylist()}
    if name not in rows:
        raise InputError(f"{capture.path} has no cluster {uid}; tables/clusters.parquet there lists them")
    row = rows[name]
    inside = [int(k) for k in cluster_members(clusters, members)[name]]

    edges = read_table(capture, EDGES).select(["a", "b", "count", "log_odds"])
    among = pc.and_(_of(edges, "a", inside), _of(edges, "b", inside))
    edges = edges.filter(pc.and_(among, pc.greater(edges.column("log_odds"), 0))).to_pandas()
    points = _rows(capture, SUBSPACE_POINTS, name)
    parent = rows.get(row["parent"])
    return ClusterPageData(
        sae=capture.uid,
        about=_about(capture),
        cluster=row,
        parent=parent,
        children=[one for one in rows.values() if one["parent"] == name],
        siblings=sum(one["parent"] == row["parent"] for one in rows.values()) - 1 if parent else 0,
        members=_members(capture, members, name, inside, edges),
        tokens=_tokens_of(capture, inside),
        edges=edges,
        nulls=next(iter(_rows(capture, CLUSTER_NULLS, name)), None),
        function=next(iter(_rows(capture, CLUSTER_FUNCTIONS, name)), None),
        subspace=next(iter(_rows(capture, SUBSPACES, name)), None),
        points=sorted(points, key=lambda point: point["point"]),
        mixtures=sorted(_rows(capture, SUBSPACE_MIXTURES, name), key=lambda mixture: -mixture["tokens"]),
        extremes=_extremes(capture, points),
        has_text=capture.has_text,
        keeps_activations=capture.keeps_activations,
    )


def _of(table: pa.Table, column: str, values: list[int]) -> pa.ChunkedArray:
    """Tell of each row whether its column is one of the values."""
    import pyarrow as pa
    import pyarrow.compute as pc

    return pc.is_in(table.column(column), pa.array(values, table.column(column).type))


def _rows(capture: CaptureDir, table: Table, uid: str) -> list[dict[str, Any]]:
    """Return a cluster's rows of a table; none where the table was not made."""
    import pyarrow.compute as pc

    if table.name not in table_infos(capture):
        return []
    found = read_table(capture, table)
    rows: list[dict[str, Any]] = found.filter(pc.equal(found.column("cluster"), uid)).to_pylist()
    return rows


def _about(capture: CaptureDir) -> list[tuple[str, str]]:
    manifest = capture.manifest
    known = [
        ("SAE", capture.uid),
        ("Model", manifest.model.name if manifest.model else None),
        ("Hook point", manifest.sae.hook),
        ("Architecture", manifest.sae.architecture),
        ("Tokens counted", f"{manifest.rows:,} of {manifest.text.documents:,} documents"),
    ]
    return [(what, str(value)) for what, value in known if value not in (None, "")]


def _tokens_of(capture: CaptureDir, inside: list[int]) -> dict[int, list[str]]:
    """Return the distinctive tokens of each member, best first; none where an import has no tokens."""
    from cofire.ingest.latents.top_tokens import distinctive_texts

    found = distinctive_texts(read_table(capture, TOKENS), inside) if TOKENS.name in table_infos(capture) else {}
    return {latent: found.get(latent, []) for latent in inside}


def _members(capture: CaptureDir, members: pa.Table, uid: str, inside: list[int], edges: pd.DataFrame) -> pd.DataFrame:
    import pyarrow.compute as pc

    latents = read_table(capture, LATENTS).select(["index", *_FACTS])
    facts = latents.filter(_of(latents, "index", inside)).to_pandas().rename(columns={"index": "latent"})
    # A coarser cluster has no rows in `members`: a strength is a sum over the edges inside, whatever the level.
    strength = dict.fromkeys(inside, 0.0)
    for end in ("a", "b"):
        for latent, log_odds in zip(edges[end].tolist(), edges["log_odds"].tolist(), strict=True):
            strength[latent] += log_odds
    named = members.filter(pc.equal(members.column("cluster"), uid)).to_pydict()
    role = dict(zip(named["latent"], named["role"], strict=True))
    order = facts["latent"].tolist()
    found: pd.DataFrame = facts.assign(role=[role.get(k) for k in order], strength=[strength[k] for k in order])
    return found.sort_values(["strength", "latent"], ascending=[False, True], ignore_index=True)


def _extremes(capture: CaptureDir, points: list[dict[str, Any]]) -> list[Extreme]:
    """Return the fitted tokens at both ends of the first two components, each token once, with their text."""
    able = [point for point in points if point["components"] is not None and len(point["latents"]) > 1]
    documents = capture.documents() if able else None
    if not able or documents is None:
        return []
    texts = capture.token_bytes()
    found: list[Extreme] = []
    seen: set[int] = set()
    at = np.array([point["components"] for point in able])
    for component in range(min(2, at.shape[1])):
        order = np.argsort(at[:, component], kind="stable").tolist()
        for upper in (False, True):
            fresh = [able[k] for k in (order[::-1] if upper else order) if able[k]["point"] not in seen]
            for point in fresh[:AT_END]:
                seen.add(point["point"])
                near = window_around(documents[point["document"]], point["position"], texts)
                found.append(Extreme(point["point"], (component, upper), *near))
    return found
