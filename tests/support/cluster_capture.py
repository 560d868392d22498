"""A made-up capture with clusters: a star, a mixture of three, a pair, and a coarser cluster of the first two."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from safetensors.numpy import save_file

from builders import arrays_of
from cofire.analysis.subspaces.subspaces import cluster_subspaces
from cofire.ingest.capture_dir.directory import CaptureDir
from cofire.ingest.capture_dir.table_files import read_table, save_tables
from cofire.ingest.count import CountSettings, count
from cofire.ingest.import_activations import import_activations
from cofire.schema.tables import CLUSTER_FUNCTIONS, CLUSTER_NULLS, CLUSTERS, LATENTS, MEMBERS
from report_data import HARD_TOKENS

UID = "made-up/blocks.12"
STAR, MIXTURE, PAIR, BOTH = (f"{UID}/c-{k * 12}" for k in "abcd")
GROUPS = {STAR: [0, 1, 2, 3], MIXTURE: [4, 5, 6, 7], PAIR: [8, 9]}


def cluster_capture(folder, *, weights=True, text=True, analysed=True) -> CaptureDir:
    """Import 1,600 tokens of 12 latents, count them, and give them clusters, subspaces, planted nulls and functions."""
    random = np.random.default_rng(7)
    rows = []
    for k in range(1600):
        spoke, kind = int(random.integers(1, 4)), k % 8
        noise = 1 + 0.1 * random.random(4)
        if kind == 0:
            rows.append({0: 5 * noise[0], spoke: 5 * noise[1]})
        elif kind == 1:
            share = random.dirichlet(np.ones(4))
            rows.append({4 + i: 8 * share[i] for i in range(4) if share[i] > 0.05})
        elif kind == 2:
            rows.append({8: 2 * noise[0], 9: 3 * noise[1]})
        elif kind == 3:
            rows.append({int(random.integers(4, 8)): 8 * noise[0]})
        else:
            rows.append({int(random.integers(0, 11)): 4 * noise[0]})
    extra = {"doc": np.arange(1600) // 100}
    if text:
        extra |= {"token": random.integers(0, len(HARD_TOKENS), 1600), "token_text": np.array(HARD_TOKENS)}
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / "acts.npz", **arrays_of(rows, 12, **extra))
    path = None
    if weights:
        path = folder / "weights.safetensors"
        save_file({"W_dec": random.standard_normal((12, 20)).astype(np.float32)}, path)
    capture = import_activations(
        folder / "acts.npz", folder / "capture", release="made-up", sae_id="blocks.12", weights=path, model="tiny"
    )
    count(capture, CountSettings(min_count=5))
    clusters, members = _clusters()
    tables = {"clusters": clusters, "members": members}
    if analysed:
        finest = [uid for uid in GROUPS if uid != PAIR]
        tables["cluster_nulls"] = _planted(CLUSTER_NULLS, finest)
        tables["cluster_functions"] = _planted(CLUSTER_FUNCTIONS, finest)
        tables |= cluster_subspaces(capture, clusters, members, read_table(capture, LATENTS))
    save_tables(capture, tables, "made up", {}, {})
    return capture


def _clusters():
    shapes = {STAR: "hub_and_spoke", MIXTURE: "clique", PAIR: "too_small", BOTH: "mixed"}
    clusters, members = [], []
    for uid, shape in shapes.items():
        inside = GROUPS.get(uid, GROUPS[STAR] + GROUPS[MIXTURE])
        row = dict.fromkeys(column.name for column in CLUSTERS.columns)
        row |= {"cluster": uid, "size": len(inside), "level": int(uid == BOTH), "resolution": 0.7, "seed": 0}
        row |= {"structure": shape, "parent": BOTH if uid in (STAR, MIXTURE) else None}
        if uid != PAIR:
            row |= {"structure_p": 0.97, "density": 0.5, "centralization": 1.0, "centralization_z": 4.5}
        if uid == MIXTURE:
            row |= {"function": "ambiguity", "p_ambiguity": 0.91, "p_composition": 0.06, "p_hierarchy": 0.03}
        clusters.append(row)
        for latent in GROUPS.get(uid, []):
            role = "member" if shape != "hub_and_spoke" else "hub" if latent == inside[0] else "spoke"
            members.append({"cluster": uid, "latent": latent, "role": role, "strength": 1.0})
    return (
        pa.Table.from_pylist(clusters, schema=CLUSTERS.arrow_schema()),
        pa.Table.from_pylist(members, schema=MEMBERS.arrow_schema()),
    )


def _planted(table, uids):
    """Return rows of a table with 0.5 in every number, for clusters."""
    values = {"float64": 0.5, "int32": 44, "int64": 55, "string": "ambiguity"}
    row = {column.name: values[column.type] for column in table.columns}
    return pa.Table.from_pylist([row | {"cluster": uid} for uid in uids], schema=table.arrow_schema())
