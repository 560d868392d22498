"""What the graph knows of an SAE as a whole: its properties, and the nodes that say whose it is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cofire.ingest.capture_dir.directory import CaptureDir
from cofire.ingest.capture_dir.table_files import TableInfo, table_infos
from cofire.schema.base import Node, Relationship, camel_case
from cofire.schema.nodes import CAPTURE, MODEL, RELEASE
from cofire.schema.relationships import (
    CAPTURED_IN,
    IN_RELEASE,
    READS,
)
from cofire.store.plan.section import Row

FUNNEL = ("pairs_that_co_fired", "pairs_frequent", "pairs_significant", "pairs_passing", "pairs_weak_only")
"""Figures of a count that say how many pairs each step of the edge rule left."""


def sae_properties(capture: CaptureDir) -> dict[str, Any]:
    """Return the properties of the `Sae` node that come from the capture and its tables."""
    manifest, infos = capture.manifest, table_infos(capture)
    counted, figures = infos["latents"], infos["edges"].figures
    return {
        "uid": manifest.uid,
        "release": manifest.release,
        "saeId": manifest.sae_id,
        "layer": manifest.sae.layer,
        "hook": manifest.sae.hook,
        "model": manifest.model.name if manifest.model else None,
        "className": manifest.sae.class_name,
        "architecture": manifest.sae.architecture,
        "neuronpediaId": manifest.sae.neuronpedia_id,
        "nLatents": manifest.n_latents,
        "tokens": manifest.rows,
        "documents": manifest.text.documents,
        "firings": counted.figures["firings"],
        "meanL0": counted.figures["mean_l0"],
        "edgeRule": counted.settings["rule"],
        "clusterRule": _cluster_rule(infos["clusters"]),
        "noiseFloor": counted.settings.get("noise_floor"),
        **{camel_case(name): figures.get(name) for name in FUNNEL},
        "cosineKept": _quartiles(figures, "kept"),
        "cosineWeakOnly": _quartiles(figures, "weak_only"),
        "nEdges": infos["edges"].rows,
        "nClusters": infos["clusters"].figures.get("clusters", infos["clusters"].rows),
    }


def _cluster_rule(info: TableInfo) -> str:
    if not info.rows:
        return "no edges, so no clusters"
    if info.figures.get("pooled"):
        ami = info.figures["plateau_ami"]
        return f"consensus of all resolutions, as no plateau was found (mean agreement between runs: AMI {ami:.2f})"
    if info.figures.get("n_plateaus"):
        low, high = info.figures["plateau_low"], info.figures["plateau_high"]
        return f"consensus of the plateau from resolution {low:.3g} to {high:.3g}"
    resolution = info.settings.get("resolution")
    return f"resolution {resolution}" if resolution != "auto" else "connected components, as all partitions are trivial"


def _quartiles(figures: dict[str, int | float], name: str) -> list[float] | None:
    values = [figures.get(f"cosine_{name}_{part}") for part in ("q1", "median", "q3")]
    return None if None in values else [float(value) for value in values if value is not None]


def identity_rows(capture: CaptureDir) -> Iterator[tuple[Node | Relationship, Row]]:
    """Yield the rows, one of each sort, that say whose SAE this is and what it was run on."""
    manifest, uid = capture.manifest, capture.uid
    hook, layer, model = manifest.sae.hook, manifest.sae.layer, manifest.model
    yield RELEASE, [manifest.release]
    yield IN_RELEASE, [uid, manifest.release]
    if model is not None:
        yield MODEL, [model.name, model.n_layers, model.d_model]
        yield READS, [uid, model.name, hook, layer]
    yield CAPTURE, capture_row(capture)
    yield CAPTURED_IN, [uid, f"{uid}/capture"]


def capture_row(capture: CaptureDir) -> Row:
    """Return the row of the `Capture` node."""
    manifest, uid = capture.manifest, capture.uid
    text, masking = manifest.text, manifest.masking
    masked = masking.special_tokens + masking.norm_outliers
    return [f"{uid}/capture", uid, manifest.kind, text.sources, text.tokens, masking.rule, masked]
