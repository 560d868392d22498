"""What each query of the library must answer, computed in plain Python and igraph from a world.

One function a query, of the query's name; it takes the world and the bound parameters and returns the rows in order,
each a dict of the query's columns. `query_cases` says with which parameters each is asked.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable

import query_oracle_clusters
import query_oracle_edges
import query_oracle_latents
import query_oracle_motifs
import query_oracle_saes
from query_view import Rows

_FILES = (query_oracle_latents, query_oracle_edges, query_oracle_motifs, query_oracle_clusters, query_oracle_saes)

ORACLES: dict[str, Callable[..., Rows]] = {
    name: function
    for file in _FILES
    for name, function in vars(file).items()
    if inspect.isfunction(function) and function.__module__ == file.__name__ and not name.startswith("_")
}
