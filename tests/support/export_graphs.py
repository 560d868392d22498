"""Captures with everything in them that an export could get wrong, and graphs as plain data to compare."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from builders import arrays_of
from cofire.analysis.analyses import analysis_settings
from cofire.analysis.analyze import analyze
from cofire.ingest.capture_dir.directory import CaptureDir
from cofire.ingest.count import CountSettings, count
from cofire.ingest.import_activations import import_activations
from cofire.schema.base import Node, Relationship
from cofire.store.export.formats import columns, sort_name

# "", blanks, delimiters and quotes of every format, line ends, controls, what XML cannot hold, noncharacters (the first
# of which the neo4j-admin form would else put between list items), surrogate pairs, words that might be read as null.
HOSTILE = [
    "", " ", "  two", '"', '""', "'", "`", ",", ";", "|", "\t", "\n", "\r", "\r\n", "a\nb", "\\", "\\n", "\\u0001",
    "a\x00b", "\x01", "\x1f", "\x7f", "\x85", "\u2028", "\ufeff", "\ufdd0", "\ufffd", "\ufffe", "\uffff", "🙂",
    "e\u0301", "名前", "\u202e", "=1+1", "@x", "null", "NaN", "<a>&amp;]]>", "//", "$x", "{x}", "\ud7ff", "\U0010ffff",
]  # fmt: skip
EMPTY_TOKEN_LATENT, DEAD_LATENT = 3, 15


def hostile_captures(folder: Path) -> list[CaptureDir]:
    """Three counted and analysed captures: two that share a model and its tokens, one with directions; one bare."""
    folder.mkdir(parents=True, exist_ok=True)
    made = [
        _capture(folder / "one", 1, "rel-'x'", 'layer_1/"ü"', model="the model", layer=1, weights=True),
        _capture(folder / "two", 2, "rel-'x'", "layer_2;b", model="the model", layer=2),
        _capture(folder / "bare", 3, "bare", "b", text=False),
    ]
    for capture in made:
        count(capture, CountSettings(edges="all", min_count=1))
        analyze(capture, analysis_settings(resolution=0.2, seed=0, rewires=3))
    return made


def _capture(
    folder: Path, seed: int, release: str, sae_id: str, *, weights: bool = False, text: bool = True, **options: Any
) -> CaptureDir:
    folder.mkdir()
    rng = np.random.default_rng(seed)
    tokens, n = 600, 16
    token = rng.integers(0, len(HOSTILE), tokens)
    fires = rng.random((tokens, n)) < rng.uniform(0.02, 0.4, n)
    fires[:, 1] |= fires[:, 0]
    fires[:, 6:14] &= token[:, None] % 8 == np.arange(8)  # so that every token is among the top ones of a latent
    fires[:, EMPTY_TOKEN_LATENT] = token == 0
    fires[:, DEAD_LATENT] = False
    extra = {"token": token, "token_text": np.array(HOSTILE), "doc": np.arange(tokens) // 150} if text else {}
    rows = [{int(i): float(rng.gamma(3.0) + 0.01) for i in np.flatnonzero(row)} for row in fires]
    np.savez(folder / "acts.npz", **arrays_of(rows, n, **extra))
    if weights:
        from safetensors.numpy import save_file

        save_file({"W_dec": rng.normal(size=(n, 5)).astype(np.float32)}, folder / "weights.safetensors")
        options["weights"] = folder / "weights.safetensors"
    return import_activations(folder / "acts.npz", folder / "capture", release=release, sae_id=sae_id, **options)


def collected(slices: Iterable[tuple[Node | Relationship, list[list[Any]]]]) -> dict[str, list[str]]:
    """All rows of each sort, as sorted JSON lines."""
    found: dict[str, list[str]] = {}
    for kind, rows in slices:
        found.setdefault(sort_name(kind), []).extend(json.dumps(row) for row in rows)
    return {name: sorted(rows) for name, rows in found.items() if rows}


CELL = re.compile('"((?:[^"]|"")*)"|([^,\n]*)')


def csv_rows(path: Path, kind: Node | Relationship, *, header: bool) -> list[list[Any]]:
    """Read CSV by hand: the csv module cannot tell a null from an empty text."""
    text, at = path.read_bytes().decode(), 0
    rows: list[list[str | None]] = [[]]
    while at < len(text):
        cell = CELL.match(text, at)
        assert cell is not None
        rows[-1].append(cell[1].replace('""', '"') if cell[1] is not None else cell[2] or None)
        at = cell.end() + 1
        assert text[at - 1] in ",\n"
        if text[at - 1] == "\n":
            rows.append([])
    assert rows.pop() == []
    if header:
        assert rows.pop(0) == [p.name for p in columns(kind)]
    read = {"integer": int, "float": float, "boolean": lambda t: t == "true", "string": str}
    return [
        [None if v is None else read.get(p.type, json.loads)(v) for p, v in zip(columns(kind), row, strict=True)]
        for row in rows
    ]


def export_job(folders: list[str], out: str, format_: Any) -> None:
    """Export captures, replacing what is there; to be started in a process of its own."""
    from cofire.store.export.directory import capture_rows, export

    captures = [CaptureDir.open(folder) for folder in folders]
    export(lambda: capture_rows(captures), out, format_, force=True)
