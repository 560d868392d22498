"""Counting tokens: the most frequent ones, and the table `tokens`.

The table is made with the others of a count, and alone where it alone is of an earlier cofire.
"""

from __future__ import annotations

import numpy as np

from cofire.common.arrays import Ints32
from cofire.common.progress import StageProgress
from cofire.ingest.capture_dir.directory import CaptureDir
from cofire.ingest.capture_dir.table_files import digest, is_current, read_table, save_tables, table_infos
from cofire.ingest.capturing.running_counts import load_tokens
from cofire.ingest.latents.top_tokens import TOKENS_VERSION, TokenCounter, counted_with
from cofire.schema.tables import LATENTS, TOKENS


def tokens_from(made_from: str) -> str:
    """Return the fingerprint of `tokens` beside that of the other tables of the same count."""
    return digest(TOKENS_VERSION, made_from)


def tokens_current(capture: CaptureDir, made_from: str) -> bool:
    """Return whether `tokens` is what this cofire makes, or there is none to be made."""
    return not capture.has_text or is_current(capture, TOKENS.name, tokens_from(made_from))


def count_tokens(capture: CaptureDir, made_from: str, progress: StageProgress) -> None:
    """Make `tokens` alone.

    Args:
        capture: a capture whose other tables are there.
        made_from: the fingerprint of these.
        progress: called with (stage, steps done, steps in all).
    """
    if capture.keeps_activations:
        counter = TokenCounter()
        for number, shard in enumerate(capture.shards()):
            counter.add(shard)
            progress("tokens", number + 1, len(capture.manifest.shards))
    else:
        counter = load_tokens(capture.counts())
    firing_count = read_table(capture, LATENTS).column("firing_count").to_numpy()
    table = counter.table(firing_count, capture.vocabulary())
    like = table_infos(capture)[LATENTS.name]
    save_tables(capture, {TOKENS.name: table}, tokens_from(made_from), like.settings, like.figures)


def frequent_tokens(capture: CaptureDir, many: int) -> Ints32:
    """Return the ids of the `many` most frequent counted tokens, ties by id, ascending, int32."""
    if many == 0:
        return np.zeros(0, np.int32)
    seen = np.zeros(0, np.int64)
    for shard in capture.shards():
        seen = counted_with(seen, shard)
    most = np.argsort(-seen, kind="stable")[:many]
    return np.sort(most[seen[most] > 0]).astype(np.int32)
