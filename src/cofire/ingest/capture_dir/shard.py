"""The activations of some consecutive tokens, as they lie in one file of a capture's `shards`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cofire.common.arrays import Array, Ints, Ints32, Singles

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Shard:
    """The activations of R consecutive counted tokens as CSR rows.

    Attributes:
        document: int32 [R], document number.
        position: int32 [R], token offset within the document.
        token: int32 [R], token id; -1 where an import has none.
        indptr: int64 [R+1], row boundaries.
        indices: int32 [nnz], latents, ascending within a row.
        values: float32 [nnz], activations, > 0.
    """

    document: Ints32
    position: Ints32
    token: Ints32
    indptr: Ints
    indices: Ints32
    values: Singles

    @property
    def rows(self) -> int:
        """The number of tokens, R."""
        return len(self.document)

    def to_arrow(self) -> pa.Table:
        """Return the shard as the table that is written to Parquet."""
        import pyarrow as pa

        offsets = pa.array(self.indptr.astype(np.int32))
        return pa.table(
            {
                "document": pa.array(self.document, pa.int32()),
                "position": pa.array(self.position, pa.int32()),
                "token": pa.array(self.token, pa.int32()),
                "latents": pa.ListArray.from_arrays(offsets, pa.array(self.indices, pa.int32())),
                "values": pa.ListArray.from_arrays(offsets, pa.array(self.values, pa.float32())),
            }
        )

    @classmethod
    def from_arrow(cls, table: pa.Table) -> Shard:
        """Read a shard back from its table."""
        table = table.combine_chunks()

        def flat(name: str) -> tuple[Ints, Array]:
            column = table.column(name)
            if column.num_chunks == 0:
                return np.zeros(1, np.int64), np.zeros(0)
            chunk = column.chunk(0)
            return chunk.offsets.to_numpy().astype(np.int64), chunk.flatten().to_numpy()

        indptr, indices = flat("latents")
        _, values = flat("values")
        return cls(
            document=table.column("document").to_numpy().astype(np.int32),
            position=table.column("position").to_numpy().astype(np.int32),
            token=table.column("token").to_numpy().astype(np.int32),
            indptr=indptr - indptr[0],
            indices=indices.astype(np.int32),
            values=values.astype(np.float32),
        )
