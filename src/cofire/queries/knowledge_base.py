"""The Python API: ask a store questions, by library query or in Cypher, and get DataFrames."""

from __future__ import annotations

import re
from collections.abc import Generator
from contextlib import closing
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from cofire.errors import QueryError
from cofire.queries.library import Query, find_query, nearest, queries_with
from cofire.settings import load_settings
from cofire.store import open_store
from cofire.store.lexer import returned_columns

if TYPE_CHECKING:
    import pandas as pd

    from cofire.analysis.report_parts import ReportData

__all__ = ["KnowledgeBase"]

# Cypher is never a single word, the name of a query always is.
_SINGLE_WORD = re.compile(r"\s*\w*\s*")


class KnowledgeBase:
    """A store opened for reading. Use it as a context manager, or call `close`.

        with KnowledgeBase("cofire-store") as kb:
            kb.saes()
            kb.query("strongest_neighbours", sae="release/sae_id", index=42, limit=10)
            kb.cypher("MATCH (l:Latent {uid: $uid}) RETURN l.mean", uid="release/sae_id/42")

    Library queries see only SAEs whose load is complete. Every method may raise StoreError (the store failed) and
    TimeLimit (an answer took longer than `timeout`).

    Args:
        location: a directory, or a bolt:// or neo4j:// URL; by default what COFIRE_STORE or `cofire.toml` says, then
            ./cofire-store.
        username: of the server; by default NEO4J_USERNAME.
        password: of the server; by default NEO4J_PASSWORD.
        database: of the server; by default NEO4J_DATABASE, then `neo4j`.
        timeout: seconds that one answer may take; None for no limit.
        queries: a folder of query files of one's own, known besides the library (see `cofire.queries`); by default what
            COFIRE_QUERIES or `cofire.toml` says.

    Raises:
        QueryError: the folder cannot be read, a file in it is wrong, or has the name of a query of the library.
        StoreError: there is no store, or its server cannot be reached.
        StoreBusy: another process holds the store and cannot share it.
    """

    def __init__(
        self,
        location: str | Path | None = None,
        *,
        username: str | None = None,
        password: str | None = None,
        database: str | None = None,
        timeout: float | None = None,
        queries: str | Path | None = None,
    ) -> None:
        settings = load_settings(
            store=None if location is None else str(location),
            username=username,
            password=password,
            database=database,
            queries=None if queries is None else str(queries),
        )
        self._queries = queries_with(settings.queries)
        secret = settings.password
        self._timeout = timeout
        self._store = open_store(
            settings.store,
            username=settings.username,
            password=None if secret is None else secret.get_secret_value(),
            database=settings.database,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the store. May be called twice."""
        self._store.close()

    def query(self, name: str, /, **parameters: Any) -> pd.DataFrame:
        """Run a query of the library, or of one's own folder, and return all its rows.

        Args:
            name: the query's name; `queries()` lists them.
            **parameters: the query's parameters; NumPy numbers and arrays will do.

        Returns:
            One column for each of the query's columns, of types Int64, Float64, boolean, string, or object for lists.
            Null is pd.NA. An empty result has the same columns.

        Raises:
            QueryError: the query, a parameter, the SAE, the latent or the cluster is unknown (the nearest name is
                given), or a parameter is missing or of the wrong type.
            WriteRefused: a query of one's own folder would write.
        """
        query = find_query(name, self._queries)
        return _frame(query, self._rows(query, parameters))

    def first_rows(self, query: str, most: int, /, **parameters: Any) -> tuple[pd.DataFrame, bool]:
        """Return the first rows alone, without reading many more.

        Args:
            query: the name of a query, if it is a single word; else Cypher.
            most: at most so many rows, 1 or more.
            **parameters: as for `query` and `cypher`.

        Returns:
            The rows, typed as `query` or `cypher` types them, and whether there are more.

        Raises:
            QueryError, WriteRefused: as `query` and `cypher`.
        """
        from cofire.queries.frames import untyped_frame

        with closing(self.iter(query, **parameters)) as rows:
            first = [tuple(row.values()) for row in islice(rows, most + 1)]
        more = len(first) > most
        if _SINGLE_WORD.fullmatch(query):
            return _frame(find_query(query.strip(), self._queries), first[:most]), more
        return untyped_frame(returned_columns(query), first[:most]), more

    def cypher(self, text: str, /, **parameters: Any) -> pd.DataFrame:
        """Run Cypher of one's own that only reads, and return all its rows.

        It sees what is being loaded, too: ask for `(:Sae {status: 'ready'})` to leave that out.

        Args:
            text: the Cypher.
            **parameters: the values of its $parameters.

        Returns:
            One column for each of the result's, typed by the values in it (see `cofire.queries.frames`). Nodes and
            relationships are dicts of their properties.

        Raises:
            WriteRefused: the text would write, or call a procedure that is not known to read only.
            QueryError: the server does not accept the text, or lacks a parameter.
        """
        from cofire.queries.frames import untyped_frame

        self._store.guard(text, parameters)
        rows = self._store.read(text, parameters, self._timeout)
        return untyped_frame(rows.columns, rows.rows)

    def iter(self, query: str, /, **parameters: Any) -> Generator[dict[str, Any], None, None]:
        """Stream the rows of a library query or of Cypher: memory does not grow with their number.

        Args:
            query: the name of a library query, if it is a single word; else Cypher.
            **parameters: as for `query` and `cypher`.

        Returns:
            An iterator of one dict a row, by column name, of plain Python values (null is None). Errors in the query
            or its parameters are raised here, before the first row.

        Raises:
            QueryError, WriteRefused: as `query` and `cypher`.
        """
        if _SINGLE_WORD.fullmatch(query):
            found = find_query(query.strip(), self._queries)
            text, bound = found.prepare(self._store, parameters)
            return self._stream(text, bound, found)
        self._store.guard(query, parameters)
        return self._stream(query, parameters, None)

    def saes(self) -> pd.DataFrame:
        """Return every SAE whose load is complete, one row each: uid, what it reads, its counts (query `saes`)."""
        return self.query("saes")

    def queries(self) -> pd.DataFrame:
        """Return the queries, the library's and one's own, one row each: name, signature, description, columns."""
        from cofire.queries.frames import typed_frame

        rows = [(q.name, q.signature, q.description, [c.name for c in q.columns]) for q in self._queries.values()]
        names = ("name", "signature", "description", "columns")
        return typed_frame(names, ("string", "string", "string", "list<string>"), rows)

    def explain(self, name: str, /, **parameters: Any) -> str:
        """Return the server's plan for a query, as the server prints it. Nothing is run.

        Args:
            name: the query's name.
            **parameters: the query's parameters.

        Raises:
            QueryError: the query or a parameter is unknown, missing or of the wrong type.
            WriteRefused: a query of one's own folder would write.
        """
        text, bound = find_query(name, self._queries).prepare(self._store, parameters)
        return self._store.explain(text, bound)

    def report(self, sae: str, out: str | Path) -> Path:
        """Write one self-contained HTML page about an SAE, and its pictures as PNG files.

        Args:
            sae: the SAE's uid.
            out: directory for the page and the pictures; it is made.

        Returns:
            The path of the page.

        Raises:
            QueryError: no such SAE, or its load is not complete.
        """
        from cofire.analysis.report import write_report

        return write_report(self.report_data(sae), Path(out))

    def report_data(self, sae: str) -> ReportData:
        """Return the tables that the report about an SAE is made from.

        Args:
            sae: the SAE's uid.

        Raises:
            QueryError: no such SAE, or its load is not complete.
        """
        from cofire.queries.report_data import report_data

        self._known_sae(sae)
        return report_data(self._store, sae, self._timeout)

    def _rows(self, query: Query, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
        text, bound = query.prepare(self._store, parameters)
        answer = self._store.read(text, bound, self._timeout)
        if answer.rows:
            _same_columns(query, answer.columns)
        else:
            self._explain_nothing(bound)
        return answer.rows

    def _stream(
        self, text: str, parameters: dict[str, Any], query: Query | None
    ) -> Generator[dict[str, Any], None, None]:
        none = True
        for columns, row in self._store.stream(text, parameters, self._timeout):
            if none and query is not None:
                _same_columns(query, columns)
            none = False
            yield dict(zip(columns, row, strict=True))
        if none and query is not None:
            self._explain_nothing(parameters)

    def _explain_nothing(self, bound: dict[str, Any]) -> None:
        """Raise QueryError where an answer has no rows because its SAE, latent or cluster does not exist."""
        for parameter in ("sae_a", "sae_b"):
            if parameter in bound:
                self._known_sae(bound[parameter])
        if "sae" in bound:
            latents = self._known_sae(bound["sae"])
            indices = [bound[p] for p in ("index", "a", "b") if p in bound] + list(bound.get("indices", []))
            beyond = [i for i in indices if not 0 <= i < latents]
            if beyond:
                raise QueryError(f"latent {beyond[0]} of {bound['sae']}: its latents are 0 to {latents - 1}")
        if "cluster" in bound and not self._store.read(_CLUSTER, {"cluster": bound["cluster"]}, self._timeout).rows:
            raise QueryError(f"unknown cluster {bound['cluster']}; `densest_clusters` lists those of an SAE")

    def _known_sae(self, uid: str) -> int:
        """Return the number of latents of a ready SAE, or raise QueryError."""
        ready = {row[0]: int(row[1]) for row in self._store.read(_READY, {}, self._timeout).rows}
        if uid not in ready:
            raise QueryError(_unknown_sae(uid, list(ready)))
        return ready[uid]


_READY = "MATCH (s:Sae {status: 'ready'}) RETURN s.uid AS uid, s.nLatents AS latents ORDER BY uid"
_CLUSTER = """MATCH (c:Cluster {uid: $cluster})
MATCH (s:Sae) WHERE s.uid = c.sae AND s.status = 'ready'
RETURN c.uid AS cluster"""


def _frame(query: Query, rows: list[tuple[Any, ...]]) -> pd.DataFrame:
    from cofire.queries.frames import typed_frame

    try:
        return typed_frame([c.name for c in query.columns], [c.type.base for c in query.columns], rows)
    except (TypeError, ValueError) as error:
        raise QueryError(f"{query.file}:{query.line}: a column is not of the type in the header: {error}") from error


def _same_columns(query: Query, columns: tuple[str, ...]) -> None:
    declared = tuple(column.name for column in query.columns)
    if columns != declared:
        raise QueryError(f"{query.file}:{query.line}: it returns {', '.join(columns)}, its header says otherwise")


def _unknown_sae(uid: str, ready: list[str]) -> str:
    if not ready:
        return f"unknown SAE {uid}: the store holds none; load one with `cofire ingest`"
    shown = ", ".join(ready[:10]) + (f" and {len(ready) - 10} more" if len(ready) > 10 else "")
    return f"unknown SAE {uid}{nearest(uid, ready)}; ready are {shown}"
