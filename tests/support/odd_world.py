"""What the cases of odd_inputs start from: a capture, counted and not, a store that holds it, their files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from builders import make_capture, random_arrays
from cofire.analysis.analyses import analysis_settings
from cofire.analysis.analyze import analyze
from cofire.ingest.count import CountSettings, count
from cofire.pipeline import ingest
from cofire.settings import load_settings
from cofire.store import Store
from jobs import fork_server
from tiny_models import save_model, save_sae

RELEASE, SAE_ID = "test", "a/b"
UID = f"{RELEASE}/{SAE_ID}"
LATENTS, WIDTH = 12, 4


@dataclass(frozen=True)
class World:
    """Good inputs.

    Attributes:
        arrays: of a good npz.
        npz: that npz.
        imported: a capture of it.
        analysed: the same, counted and analysed.
        store: where a store is that holds it; commands may read it.
        clusters: the uids of its clusters.
        shared: what libraries keep from run to run.
        model: a language model of random weights.
        sae: an SAE for it.
    """

    arrays: dict[str, Any]
    npz: Path
    imported: Path
    analysed: Path
    store: str
    clusters: tuple[str, ...]
    shared: Path
    model: Path
    sae: Path


def _save(folder: str) -> None:
    save_model(Path(folder, "model"))
    save_sae(Path(folder, "sae"))


def weights() -> dict[str, Any]:
    """Tensors of an SAE for the arrays."""
    rng = np.random.default_rng(1)
    return {
        "W_dec": rng.normal(size=(LATENTS, WIDTH)).astype(np.float32),
        "W_enc": rng.normal(size=(WIDTH, LATENTS)).astype(np.float32),
        "b_enc": np.zeros(LATENTS, np.float32),
        "b_dec": np.zeros(WIDTH, np.float32),
        "threshold": np.zeros(LATENTS, np.float32),
    }


def make_world(folder: Path, store: Store) -> World:
    """Make them in a folder; the store must be empty."""
    # Not in this process: it needs torch, which the fork server has.
    models = fork_server().Process(target=_save, args=(str(folder),))
    models.start()
    arrays = random_arrays(3, tokens=300, n_latents=LATENTS)
    imported = make_capture(folder / "imported", arrays, release=RELEASE, sae_id=SAE_ID)
    analysed = make_capture(folder / "analysed", arrays, release=RELEASE, sae_id=SAE_ID)
    count(analysed, CountSettings(edges="all"))
    analyze(analysed, analysis_settings(runs=2, rewires=3, processes=1))
    ingest(analysed, store, load_settings(edges="all"))
    clusters = store.read("MATCH (c:Cluster) RETURN c.uid ORDER BY c.uid").rows
    shared = folder / "shared"
    shared.mkdir()
    models.join()
    assert models.exitcode == 0
    return World(
        arrays,
        folder / "imported" / "acts.npz",
        imported.path,
        analysed.path,
        store.location,
        tuple(uid for (uid,) in clusters),
        shared,
        folder / "model",
        folder / "sae",
    )
