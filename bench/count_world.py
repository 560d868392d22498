"""The capture that bench/count.py counts: latents in groups, over documents of a topic each, with the tokens' ids.

1. Token ids follow Zipf's law. Each id calls a group of latents of its own with probability WORD_CALLS; RANDOM others
   are called by chance with RANDOM_CALLS each. Members fire with probability MEMBER: a group's pairs are the edges.
2. The other firings are drawn by Zipf's law too, three in four among the latents of the document's topic: such pairs
   fire together by topic alone.
3. Documents are of DOCUMENT tokens on average, half to one and a half times that.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cofire.common.arrays import Array
from cofire.ingest.capture_dir.directory import CaptureDir
from cofire.ingest.import_activations import import_activations

# Part of the directory's name: raise it when the same arguments give another capture.
VERSION = 1
SHARD = 65_536
WORDS = 20_000
TOPICS = 40
DOCUMENT = 500
MEMBERS, MEMBER = 16, 0.6
WORD_CALLS, RANDOM, RANDOM_CALLS = 0.8, 2, 0.6
TOPICAL = 0.75


class Rows(NamedTuple):
    """CSR rows of firings: indptr int64, indices int32 ascending; document and token, int32, of each row."""

    indptr: Array
    indices: Array
    document: Array
    token: Array


def capture_of(folder: Path, latents: int, l0: int, tokens: int, seed: int = 0) -> CaptureDir:
    """Return the imported capture, made if it is not there yet; it has weights, and no residuals."""
    place = folder / f"count-v{VERSION}-{latents}-{l0}-{tokens}-{seed}"
    if not place.is_dir():
        part = place.with_suffix(".part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        _make(part, latents, l0, tokens, seed)
        part.rename(place)
    return CaptureDir.open(place / "capture")


def rows_of(latents: int, l0: int, tokens: int, seed: int) -> Iterator[Rows]:
    """Yield the rows shard by shard."""
    rng = np.random.default_rng(seed)
    groups = latents // 10
    # A latent is in one or two groups.
    member = np.stack([rng.choice(latents, MEMBERS, replace=False) for _ in range(groups)]).astype(np.int32)
    own = rng.integers(0, groups, WORDS)
    chance = np.array([WORD_CALLS, *[RANDOM_CALLS] * RANDOM], np.float32)
    place = rng.permutation(latents).astype(np.int32)
    words = np.cumsum(1 / (np.arange(WORDS) + 10.0))
    ranks = np.cumsum(1 / (np.arange(latents) + 10.0))
    drawn = round(l0 - chance.sum() * MEMBERS * MEMBER)
    drawn += drawn * 2 // 5  # some come twice
    lengths = rng.integers(DOCUMENT // 2, DOCUMENT * 3 // 2, 2 * tokens // DOCUMENT + 8)
    document = np.repeat(np.arange(len(lengths), dtype=np.int32), lengths)[:tokens]
    topic = rng.integers(0, TOPICS, len(lengths))
    for first in range(0, tokens, SHARD):
        of = document[first : first + SHARD]
        rows = len(of)
        token = np.searchsorted(words, rng.random(rows) * words[-1]).astype(np.int32)
        rank = np.searchsorted(ranks, rng.random((rows, drawn), np.float32) * ranks[-1])
        by_topic = rank // TOPICS * TOPICS + topic[of][:, None]
        rank = np.where(rng.random((rows, drawn), np.float32) < TOPICAL, by_topic, rank)
        alone = place[np.minimum(rank, latents - 1)]
        group = np.concatenate([own[token][:, None], rng.integers(0, groups, (rows, RANDOM))], axis=1)
        calls = rng.random(group.shape, np.float32) < chance
        fires = calls[:, :, None] & (rng.random((*group.shape, MEMBERS), np.float32) < MEMBER)
        together = np.where(fires, member[group], latents).reshape(rows, -1)
        both = np.sort(np.concatenate([alone, together], axis=1), axis=1)
        new = both < latents
        new[:, 1:] &= both[:, 1:] != both[:, :-1]
        yield Rows(np.concatenate([[0], np.cumsum(new.sum(axis=1))]), both[new].astype(np.int32), of, token)


def _make(folder: Path, latents: int, l0: int, tokens: int, seed: int) -> None:
    from safetensors.numpy import save_file

    parts = list(rows_of(latents, l0, tokens, seed))
    rng = np.random.default_rng([seed, 1])
    indices = np.concatenate([part.indices for part in parts])
    scale = rng.uniform(1, 4, latents).astype(np.float32)
    values = scale[indices] * (0.2 + rng.standard_gamma(3.0, len(indices), np.float32))
    lengths = np.concatenate([np.diff(part.indptr) for part in parts])
    np.savez(
        folder / "acts.npz",
        indptr=np.concatenate([[0], np.cumsum(lengths)]),
        indices=indices,
        values=values,
        n_latents=np.int64(latents),
        doc=np.concatenate([part.document for part in parts]),
        token=np.concatenate([part.token for part in parts]),
        token_text=np.array([f" w{word}" for word in range(WORDS)]),
    )
    decoder = rng.standard_normal((latents, 64), np.float32)
    decoder /= np.linalg.norm(decoder, axis=1, keepdims=True)
    save_file({"W_dec": decoder, "threshold": np.zeros(latents, np.float32)}, folder / "weights.safetensors")
    import_activations(
        folder / "acts.npz",
        folder / "capture",
        release="bench",
        sae_id="count",
        weights=folder / "weights.safetensors",
        model="none",
        layer=0,
    )
    (folder / "acts.npz").unlink()
