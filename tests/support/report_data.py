"""Made-up report data: a small SAE with planted stars and cliques, and texts that are hard to show."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd

from cofire.analysis.clusters.clusters import find_clusters
from cofire.analysis.report.page import ReportData

UID = "made-up/blocks.12"
HARD_TOKENS = [
    " the",
    "\n",
    "<script>alert(1)</script>",
    "$x$",
    " $",
    "中文",
    "\u202e",
    "&amp;",
    '" onload="x',
    "«",
]
STAR = [(0, 1), (0, 2), (0, 3), (0, 4)]
CLIQUE = list(itertools.combinations(range(10, 15), 2))


def report_data(
    pairs: list[tuple[int, int]], *, n: int = 40, dead: int = 3, texts: tuple[str, ...] = (" the", " of", " one")
) -> ReportData:
    """Build data of n latents, the last `dead` of which never fire; every pair is an edge of 3 nats and more."""
    rng = np.random.default_rng(0)
    tokens = 10_000
    firings = np.where(np.arange(n) < n - dead, rng.integers(150, 3000, n), 0)
    histograms = [
        np.bincount(np.clip(rng.normal(1, 0.3, k) * 64, 0, 255).astype(int), minlength=256).tolist() if k else None
        for k in firings
    ]
    latents = pd.DataFrame(
        {
            "index": range(n),
            "firing_count": firings,
            "frequency": firings / tokens,
            "mu_rule": ["mode" if k else None for k in firings],
            "histogram": pd.Series(histograms, dtype=object),
            "dead": firings == 0,
        }
    )
    edges = pd.DataFrame(
        {
            "a": np.array([a for a, _ in pairs], dtype=np.int64),
            "b": np.array([b for _, b in pairs], dtype=np.int64),
            "count": rng.integers(20, 2000, len(pairs)),
            "log_odds": rng.uniform(3, 6, len(pairs)),
        }
    )
    found = find_clusters(UID, edges, resolution=0.7)
    clusters, members = found.clusters, found.members
    live = range(n - dead)
    token_rows = [(i, k, text, 90 - k) for i in live for k, text in enumerate(texts)]
    context_rows = [
        (i, rank, 4, 17, f"before <b>bold</b>\n«{texts[0]}» after {rank}", 9.0 - rank, 1.5 - rank / 4)
        for i in live
        for rank in range(4)
    ]
    return ReportData(
        sae={
            "uid": UID,
            "release": "made-up",
            "saeId": "blocks.12",
            "layer": 12,
            "hook": "blocks.12.hook_resid_post",
            "model": "tiny",
            "architecture": "jumprelu",
            "nLatents": n,
            "tokens": tokens,
            "documents": 7,
            "firings": int(firings.sum()),
            "meanL0": float(firings.sum() / tokens),
            "edgeRule": "count >= 20, log_odds >= 1, q <= 0.01 within documents",
            "noiseFloor": "residuals of 1,000 tokens",
            "pairsThatCoFired": 900,
            "pairsFrequent": 300,
            "pairsSignificant": 60,
            "pairsPassing": 14,
            "pairsWeakOnly": 5,
            "cosineKept": [-0.05, 0.1, 0.3],
            "cosineWeakOnly": [0.2, 0.4, 0.5],
        },
        latents=latents,
        edges=edges,
        tokens=pd.DataFrame(token_rows, columns=["latent", "token", "text", "count"]).assign(
            score=lambda t: t["count"] * 2.0
        ),
        contexts=pd.DataFrame(
            context_rows, columns=["latent", "rank", "document", "position", "text", "activation", "u"]
        ),
        clusters=clusters.to_pandas(),
        members=members.to_pandas(),
    )
