"""The clusters of several captures as one table, for `structure_function`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cofire.analysis.structure_function.structure_function import SCORES
from cofire.schema.tables import CLUSTER_FUNCTIONS, CLUSTERS, LATENTS, MEMBERS

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from cofire.ingest.capture_dir.directory import CaptureDir

_OF_CLUSTERS = ("cluster", "size", "structure", "structure_p", *SCORES, "transitivity", "max_clique_share")


def structure_function_rows(captures: Sequence[CaptureDir]) -> pd.DataFrame:
    """Return one row per cluster of the finest level of each capture, whose analyses must have been made.

    Columns: sae (uid), those of the table clusters that tell of structure, frequency (mean firing frequency of the
    members), and those of the table cluster_functions.

    Raises:
        CaptureError: a table is missing or damaged; it says what to run.
    """
    import pandas as pd

    from cofire.ingest.capture_dir.table_files import read_table

    parts = []
    for capture in captures:
        clusters = read_table(capture, CLUSTERS).to_pandas()
        functions = read_table(capture, CLUSTER_FUNCTIONS).to_pandas()
        members = read_table(capture, MEMBERS).to_pandas()
        latents = read_table(capture, LATENTS).select(["index", "frequency"]).to_pandas()
        frequency = members.merge(latents, left_on="latent", right_on="index").groupby("cluster")["frequency"].mean()
        finest = clusters.loc[clusters["level"] == 0, list(_OF_CLUSTERS)]
        part = finest.merge(frequency.reset_index(), on="cluster").merge(functions, on="cluster")
        part.insert(0, "sae", capture.uid)
        parts.append(part)
    rows: pd.DataFrame = pd.concat(parts, ignore_index=True)
    return rows
