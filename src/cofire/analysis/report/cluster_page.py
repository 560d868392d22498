"""The page about one cluster: its latents, its shape, its function, and the plane in which its tokens lie.

    1. draw the graph (`cluster_graph`), the plane and the mixtures (`plane`);
    2. say in words what is undefined, or was not computed, and which command computes it;
    3. fill the template; write the pictures, then the page.

As the report about an SAE, the page asks nothing of the network, and the same data give the same bytes. Its files begin
with the cluster's name, so that the pages of several clusters can stand in one directory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cofire.analysis.report.cluster_pictures import cluster_page_pictures
from cofire.analysis.report.page import render
from cofire.analysis.report.visible import visible_line, visible_token
from cofire.common.files import write_atomically, write_text
from cofire.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from cofire.analysis.report.cluster_page_data import ClusterPageData

MEASURES = {
    "density": "Density (edges / pairs)",
    "centralization": "Centralisation (1: a star)",
    "strength_centralization": "Centralisation of strengths",
    "transitivity": "Transitivity (1: all triples closed)",
    "core_periphery": "Core-periphery correlation",
    "max_clique_share": "Largest clique / size",
    "gini": "Gini coefficient of strengths",
}
TOP_TOKENS, FIRING = 6, 8
_BAR = 8.0
"""Length of a bar of probability 1, in rem."""


def write_cluster_page(data: ClusterPageData, out: Path) -> Path:
    """Write OUT/c-....html and its pictures OUT/c-...-*.png, and return the page's path.

    Pictures of an earlier page of the same cluster that this one does not have are removed; other files stay.

    Args:
        data: What the page is about.
        out: Directory; made if it is not there.

    Raises:
        InputError: `out` cannot be written.
    """
    name = _short(data.cluster["cluster"])
    pictures = cluster_page_pictures(data)
    page = render(
        "cluster_page.html.j2",
        name=name,
        lead=_lead(data),
        members=_members(data),
        members_note=_members_note(data),
        pictures=pictures,
        measures=_measures(data),
        measures_note=_measures_note(data),
        functions=_functions(data),
        functions_note=_functions_note(data),
        extremes=_extremes(data),
        extremes_note=_extremes_note(data),
        ratios=bool(_strengths(data)),
        about=_about(data),
    )
    files = {f"{name}-{picture.name}.png": picture.png for picture in pictures if picture.png is not None}
    try:
        out.mkdir(parents=True, exist_ok=True)
        for file, content in files.items():
            write_atomically(out / file, lambda part, content=content: part.write_bytes(content))  # type: ignore[misc]
        for picture in pictures:
            if picture.png is None:
                (out / f"{name}-{picture.name}.png").unlink(missing_ok=True)
        write_text(out / f"{name}.html", page)
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"{out}: the page cannot be written there ({reason}); give another --out") from error
    return out / f"{name}.html"


def _lead(data: ClusterPageData) -> str:
    row = data.cluster
    shape = "too small to have a shape" if row["structure"] == "too_small" else row["structure"].replace("_", " ")
    told = f" (probability {row['structure_p']:.2f})" if row["structure_p"] is not None else ""
    parts = [f"{row['size']} latents of {data.sae} that fire together. Structure: {shape}{told}."]
    if row["function"] is not None:
        parts.append(f"Function: {row['function']}.")
    return " ".join(parts)


def _members(data: ClusterPageData) -> list[dict[str, Any]]:
    strongest = [point["strongest"] for point in data.points if len(point["latents"]) > 1]
    full = _strengths(data)
    return [
        {
            "latent": int(member["latent"]),
            "role": member["role"] or "–",
            "strength": f"{member['strength']:.1f}",
            "frequency": f"{member['frequency']:.2%}",
            "mu": _known(member["mu"]) + ("*" if member["mu_rule"] == "mode" else ""),
            "full": _known(full.get(int(member["latent"]))),
            "strongest": f"{strongest.count(member['latent']):,}" if data.points else "–",
            "tokens": [visible_token(text) for text in data.tokens[int(member["latent"])][:TOP_TOKENS]],
        }
        for member in data.members.to_dict("records")
    ]


def _strengths(data: ClusterPageData) -> dict[int, float]:
    """Return the full strength of each member; empty where one is not known."""
    row = data.subspace
    if row is None or row["strengths"] is None:
        return {}
    return dict(zip(row["latents"], row["strengths"], strict=True))


def _known(value: float | None) -> str:
    return "–" if value is None or np.isnan(value) else f"{value:.3g}"


def _members_note(data: ClusterPageData) -> str:
    note = (
        "Strength: sum of the log odds of its edges inside the cluster. μ: the highest clear mode of its activations "
        "(*), else their mean. Full strength: μ where it is a mode well above the floor of its firings; else the mean "
        "activation where no other member fires, if that is known; else μ."
    )
    fitted = sum(len(point["latents"]) > 1 for point in data.points)
    return note + (
        f" Strongest on: tokens with the largest activation / full strength, of the {fitted:,} drawn on which two "
        "members and more fire."
        if data.points
        else ""
    )


def _measures(data: ClusterPageData) -> list[dict[str, str]]:
    row, nulls = data.cluster, data.nulls or {}
    if row["structure"] == "too_small":
        return []
    found = []
    for key, what in MEASURES.items():
        mean, sd = nulls.get(f"{key}_mean"), nulls.get(f"{key}_sd")
        z = row[f"{key}_z"] if row[f"{key}_z"] is not None else nulls.get(f"{key}_z")
        null = "–" if mean is None or sd is None else f"{mean:.2f} ± {sd:.2f}"
        found.append({"what": what, "value": _number(row[key]), "null": null, "z": _number(z, 1)})
    return found


def _measures_note(data: ClusterPageData) -> str:
    if data.cluster["structure"] == "too_small":
        return "A cluster of fewer than 4 latents has no structure: a star of three is a path and nearly a clique."
    if data.nulls is None:
        return "Null and z: not computed; run cofire analyze CAPTURE --only nulls."
    return (
        f"Null: mean and standard deviation over {data.nulls['null_clusters']:,} clusters of equal size, found the "
        "same way in the SAE's graph when it is rewired with its degrees kept. –: undefined."
    )


def _functions(data: ClusterPageData) -> list[dict[str, Any]]:
    row, evidence = data.cluster, data.function
    if evidence is None:
        return []
    label = row["function"] or evidence["function"]
    found = [{"what": "Label", "value": label, "width": None}]
    for kind in ("composition", "ambiguity", "hierarchy"):
        p = row[f"p_{kind}"] if row[f"p_{kind}"] is not None else evidence[f"p_{kind}"]
        width = None if p is None else round(_BAR * p, 2)
        found.append({"what": f"Probability of {kind}", "value": _number(p), "width": width})
    for what, key in (
        ("Sum of activation / μ, median over tokens", "ratio_sum"),
        ("Excess (0: members share the weight of one; 1: each fires in full)", "excess"),
        ("Correlation of two members' activations where both fire", "magnitude_r"),
        ("Containment: how much of a member's firing lies inside another's", "containment"),
    ):
        found.append({"what": what, "value": _number(evidence.get(key)), "width": None})
    found.append(
        {"what": "Tokens on which two members and more fire", "value": f"{evidence['tokens']:,}", "width": None}
    )
    return found


def _functions_note(data: ClusterPageData) -> str:
    if data.function is not None:
        return "Told from activations alone, no edge is looked at; probabilities are calibrated on planted worlds."
    return _why_not(data, "functions")


def _why_not(data: ClusterPageData, analysis: str) -> str:
    """Say why what an analysis finds of activations is not there."""
    if not data.keeps_activations:
        return "Not computed: the capture was made with --no-keep and has no activations."
    if data.cluster["level"] != 0 and analysis == "subspaces":
        return "Not computed: it is for clusters of the finest level."
    return f"Not computed; run cofire analyze CAPTURE --only {analysis}."


def _extremes(data: ClusterPageData) -> list[dict[str, Any]]:
    points = {point["point"]: point for point in data.points}
    full = _strengths(data)
    ends: dict[tuple[int, bool], dict[str, Any]] = {}
    for number, one in enumerate(data.extremes, 1):
        component, upper = one.end
        axis, side = ("Horizontal", "right") if component == 0 else ("Vertical", "top")
        side = side if upper else {"right": "left", "top": "bottom"}[side]
        title = f"{axis} axis (component {component + 1}), {side}"
        end = ends.setdefault(one.end, {"title": title, "tokens": []})
        point = points[one.point]
        firing = sorted(
            (
                (latent, activation / full[latent] if full else activation)
                for latent, activation in zip(point["latents"], point["activations"], strict=True)
            ),
            key=lambda pair: (-pair[1], pair[0]),
        )
        end["tokens"].append(
            {
                "number": number,
                "before": visible_line(one.before),
                "token": visible_token(one.token),
                "after": visible_line(one.after),
                "firing": [(latent, f"{value:.2f}") for latent, value in firing[:FIRING]],
                "more": f" and {len(firing) - FIRING} more" if len(firing) > FIRING else "",
                "document": point["document"],
                "position": point["position"],
            }
        )
    return list(ends.values())


def _extremes_note(data: ClusterPageData) -> str:
    if data.subspace is None:
        return _why_not(data, "subspaces")
    if not data.has_text:
        return "The capture has no text: its activations were imported without tokens."
    return "There are none: the cluster's tokens do not differ."


def _about(data: ClusterPageData) -> list[tuple[str, str]]:
    row, parent = data.cluster, data.parent
    rows = [("Cluster", row["cluster"]), ("Level", f"{row['level']}" + (" (finest)" if row["level"] == 0 else ""))]
    rows.append(("Resolution", f"{row['resolution']:.3g}"))
    if row["stability"] is not None:
        rows.append(("Stability (mean best overlap with a cluster of each run)", f"{row['stability']:.2f}"))
    if parent is None:
        rows.append(("Parent cluster", "none"))
    else:
        others = f"{data.siblings} other cluster" + ("" if data.siblings == 1 else "s")
        rows.append(("Parent cluster", f"{_summary(parent)}; level {parent['level']}, it holds {others} directly"))
    if data.children:
        rows.append(("Clusters in it", "; ".join(_summary(child) for child in data.children)))
    return rows + data.about


def _summary(row: dict[str, Any]) -> str:
    return f"{_short(row['cluster'])}: {row['size']} latents, {row['structure'].replace('_', ' ')}"


def _short(uid: str) -> str:
    return uid.rpartition("/")[2]


def _number(value: float | None, digits: int = 2) -> str:
    return "–" if value is None else f"{value:.{digits}f}"
