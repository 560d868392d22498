"""`text.parquet`: the tokens of every document of a capture, masked ones too, and their hash."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from cofire.common.arrays import Ints32
from cofire.common.files import write_atomically
from cofire.ingest.capture_dir.manifest import TextInfo

TokenisedDocument = tuple[str, Ints32]


# Tokens in one row group of text.parquet, which is what is in memory at a time.
ROW_GROUP_TOKENS = 4_000_000


def write_tokens(path: Path, documents: Iterable[TokenisedDocument], sources: list[str]) -> TextInfo:
    """Write `text.parquet` atomically, one row group in memory at a time.

    Returns:
        The numbers of documents and tokens, and the hash of the tokens (as `read_tokens` recomputes it).
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema(
        [("document", pa.int32()), ("name", pa.string()), ("tokens", pa.list_(pa.field("element", pa.int32())))]
    )
    digest = hashlib.sha256()
    count = total = 0

    def write(part: Path) -> None:
        nonlocal count, total
        with part.open("wb") as out, pq.ParquetWriter(out, schema, compression="zstd") as writer:
            group: list[TokenisedDocument] = []
            size = 0

            def flush() -> None:
                nonlocal count, size
                numbers = range(count, count + len(group))
                names, tokens = [name for name, _ in group], [tokens for _, tokens in group]
                writer.write_table(pa.table([pa.array(c) for c in (numbers, names)] + [tokens], schema=schema))
                count += len(group)
                group.clear()
                size = 0

            for name, tokens in documents:
                _add(digest, tokens)
                group.append((name, tokens))
                size += len(tokens)
                total += len(tokens)
                if size >= ROW_GROUP_TOKENS:
                    flush()
            if group:
                flush()

    write_atomically(path, write)
    return TextInfo(sources=sources, documents=count, tokens=total, sha256=digest.hexdigest())


def read_tokens(path: Path) -> Iterator[Ints32]:
    """Yield the tokens of each document of `text.parquet` in order, one row group in memory at a time."""
    import pyarrow.parquet as pq

    with path.open("rb") as opened, pq.ParquetFile(opened) as file:
        for group in range(file.num_row_groups):
            column = file.read_row_group(group, columns=["tokens"]).column("tokens").combine_chunks()
            chunk = column.chunk(0) if hasattr(column, "chunk") else column
            offsets, flat = chunk.offsets.to_numpy(), chunk.values.to_numpy()
            for start, end in pairwise(offsets):
                yield flat[start:end].astype(np.int32)


def hash_of_tokens(path: Path) -> str:
    """Return the hash of the tokens in `text.parquet`, equal to `TextInfo.sha256` if it is whole."""
    digest = hashlib.sha256()
    for tokens in read_tokens(path):
        _add(digest, tokens)
    return digest.hexdigest()


def _add(digest: Any, tokens: Ints32) -> None:
    digest.update(len(tokens).to_bytes(8, "little"))
    digest.update(tokens.astype("<i4").tobytes())
