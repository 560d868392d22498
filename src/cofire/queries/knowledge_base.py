"""The Python API: ask a store questions, by library query or in Cypher, and get DataFrames."""

from __future__ import annotations

import re
import sys
from collections.abc import Generator
from contextlib import closing
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, Self

from cofire.errors import InputError, QueryError
from cofire.queries.known import check_latents, explain_nothing, full_cluster, known_sae
from cofire.queries.library import Query, find_query, queries_with
from cofire.settings import StoreSettings, load_settings
from cofire.store import open_store
from cofire.store.lexer import returned_columns

if TYPE_CHECKING:
    import pandas as pd

    from cofire.analysis.motifs import Kind, Measure
    from cofire.analysis.report.page import ReportData

__all__ = ["KnowledgeBase"]

# Cypher is never a single word, the name of a query always is.
_SINGLE_WORD = re.compile(r"\s*\w*\s*")


class KnowledgeBase:
    """A store opened for reading. Use it as a context manager, or call `close`.

        with KnowledgeBase("cofire-store") as kb:
            kb.saes()
            kb.query("strongest_neighbours", sae="release/sae_id", index=42, limit=10)
            kb.cypher("MATCH (l:Latent {uid: $uid}) RETURN l.mean", uid="release/sae_id/42")

    It may be used from several threads, and in processes that were forked since it was opened (multiprocessing with
    fork, the workers of a DataLoader): each of them has a connection of its own. A process that starts anew (spawn,
    forkserver, loky) opens one itself.

    Library queries see only SAEs whose load is complete. Every method may raise StoreError (the store failed) and
    TimeLimit (an answer took longer than `timeout`).

    Args:
        location: a directory, or a bolt:// or neo4j:// URL; by default what COFIRE_STORE or `cofire.toml` says, then
            ./cofire-store.
        username: of the server; by default NEO4J_USERNAME.
        password: of the server; by default NEO4J_PASSWORD.
        database: of the server; by default NEO4J_DATABASE, then `neo4j`.
        timeout: seconds that one answer may take; None for no limit. Waiting for a server that is there and does not
            answer takes no longer either, but 5 seconds at least.
        queries: a folder of query files of one's own, known besides the library (see `cofire.queries`); by default what
            COFIRE_QUERIES or `cofire.toml` says.

    Raises:
        InputError: `location` names no store: see `cofire.store.place`.
        QueryError: the folder cannot be read, a file in it is wrong, or has the name of a query of the library.
        StoreError: there is no store, or its server cannot be reached.
        StoreBusy: another process holds the store and its server does not answer.
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
        stored = settings.of(StoreSettings)
        self._queries = queries_with(stored.queries)
        secret = settings.password
        self._timeout = timeout
        self._store = open_store(
            location if isinstance(location, Path) else stored.store,
            username=settings.username,
            password=None if secret is None else secret.get_secret_value(),
            database=settings.database,
            timeout=timeout,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # After Ctrl-C nobody waits for a server to stop.
        self._store.close(hurried=kind is KeyboardInterrupt)

    def __reduce__(self) -> NoReturn:
        # What a process pool sends to its workers. It would have to hold the password.
        raise InputError(
            f"a KnowledgeBase cannot be copied or sent to another process: open {self._store.location} there, by "
            "KnowledgeBase(...) in the worker (one that is forked may use its parent's as it is)"
        )

    def close(self) -> None:
        """Let go of the store. May be called twice; a KnowledgeBase that is closed answers no more."""
        self._store.close()

    def query(self, name: str, /, **parameters: Any) -> pd.DataFrame:
        """Run a query of the library, or of one's own folder, and return all its rows.

        Where the query's `limit` has a default other than 0, it gives at most so many rows unless `limit` is given.

        Args:
            name: the query's name; `queries()` lists them.
            **parameters: the query's parameters; NumPy numbers and arrays will do. A `cluster` may be a short name,
                `c-...`, where one SAE alone has a cluster of that name.

        Returns:
            One column for each of the query's columns, of types Int64, Float64, boolean, string, or object for lists.
            Null is pd.NA. An empty result has the same columns.

        Raises:
            QueryError: the query, a parameter, the SAE, the latent or the cluster is unknown (the nearest name is
                given), or a parameter is missing or of the wrong type.
            WriteRefused: a query of one's own folder would write.
        """
        query = find_query(name, self._queries)
        text, bound = self._prepared(query, parameters)
        answer = self._store.read(text, bound, self._timeout)
        if answer.rows:
            _same_columns(query, answer.columns)
        else:
            explain_nothing(self._store, query, bound, self._timeout)
        return _frame(query, answer.rows)

    def first_rows(self, name: str, most: int, /, **parameters: Any) -> tuple[pd.DataFrame, bool]:
        """Return the first rows of a query alone, without reading many more.

        Args:
            name: the query's name.
            most: at most so many rows, 1 or more.
            **parameters: as for `query`.

        Returns:
            The rows, typed as `query` types them, and whether there are more.

        Raises:
            QueryError, WriteRefused: as `query`.
        """
        query = find_query(name, self._queries)
        with closing(self._iter_query(query, parameters)) as rows:
            first = [tuple(row.values()) for row in islice(rows, most + 1)]
        return _frame(query, first[:most]), len(first) > most

    def first_cypher_rows(self, text: str, most: int, /, **parameters: Any) -> tuple[pd.DataFrame, bool]:
        """Return the first rows of one's own Cypher alone, without reading many more.

        Args:
            text: the Cypher; a single word, too, is Cypher here and never the name of a query.
            most: at most so many rows, 1 or more.
            **parameters: as for `cypher`.

        Returns:
            The rows, typed as `cypher` types them, and whether there are more.

        Raises:
            QueryError, WriteRefused: as `cypher`.
        """
        from cofire.queries.frames import untyped_frame

        with closing(self._iter_cypher(text, parameters)) as rows:
            first = list(islice(rows, most + 1))
        # What RETURN *, SHOW or a lone CALL gives the rows alone tell; the text names the columns where there are none.
        names = tuple(first[0]) if first else returned_columns(text)
        return untyped_frame(names, [tuple(row.values()) for row in first[:most]]), len(first) > most

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

        self._store.guard(text, parameters, self._timeout)
        rows = self._store.read(text, parameters, self._timeout)
        return untyped_frame(rows.columns, rows.rows)

    def iter(self, query: str, /, **parameters: Any) -> Generator[dict[str, Any], None, None]:
        """Stream the rows of a library query or of Cypher: memory does not grow with their number.

        Args:
            query: the name of a library query, if it is a single word; else Cypher.
            **parameters: as for `query` and `cypher`.

        Returns:
            An iterator of one dict a row, by column name, of plain Python values (null is None). Errors in the query
            or its parameters are raised here, before the first row; that the SAE, latent or cluster of an answer
            without rows is unknown, by the iterator.

        Raises:
            QueryError, WriteRefused: as `query` and `cypher`.
        """
        if _SINGLE_WORD.fullmatch(query):
            return self._iter_query(find_query(query.strip(), self._queries), parameters)
        return self._iter_cypher(query, parameters)

    def motifs(
        self,
        kind: Kind,
        *,
        at: str | None = None,
        sae: str | None = None,
        release: str | None = None,
        by: Measure = "log_odds",
        min_log_odds: float | None = None,
        min_size: int | None = None,
        max_size: int | None = None,
        limit: int = 100,
    ) -> pd.DataFrame:
        """Return the best motifs around one latent, or of the whole graphs of SAEs.

        Args:
            kind: star, clique, path or bifan (`cofire.analysis.motifs.search`).
            at: a latent's uid, RELEASE/SAE_ID/INDEX: only the star whose hub it is, the cliques and bi-fans that hold
                it, the paths that begin at it. Its own surroundings alone are read.
            sae: search the whole graph of this SAE.
            release: search those of this release; of all SAEs where neither `at`, `sae` nor `release` is given.
            by: the measure that scores a motif, by its least value over the motif's edges.
            min_log_odds: edges below it do not count as co-firing; None for no bound.
            min_size: fewest latents; 4 by default, or `max_size` if that is lower.
            max_size: most latents; by default as `min_size`, and no bound for stars.
            limit: at most so many, 0 for all.

        Returns:
            One row each, the best first: sae, kind, size, score (null where an edge has no value), members, and
            member_tokens, the three most distinctive tokens of each member.

        Raises:
            InputError: the sizes do not fit the kind.
            QueryError: the SAE, the release or the latent is unknown; an argument is of the wrong type or none of its
                choices; or `at` and an SAE or a release are given.
        """
        from cofire.queries.anchored_motifs import motif_frame_at, parse_latent
        from cofire.queries.motif_sources import best_motifs, checked_search, motif_table, store_sources

        given = checked_search(kind, by=by, min_log_odds=min_log_odds, limit=limit)
        sizes: dict[str, Any] = {"min_size": min_size, "max_size": max_size}
        if at is not None:
            if sae is not None or release is not None:
                raise QueryError("`at` names the SAE too; leave out `sae` and `release`")
            uid, index = parse_latent(at)
            return motif_frame_at(self._store, uid, index, **given, **sizes, timeout=self._timeout)[0]
        how = {name: given[name] for name in ("by", "min_log_odds")}
        sources = store_sources(self._store, sae=sae, release=release, **how, timeout=self._timeout)
        found, _ = best_motifs(sources, kind, limit=given["limit"] or sys.maxsize, **sizes)
        return motif_table(found, {source.sae: source.names for source in sources}, by)

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
        text, bound = find_query(name, self._queries).prepare(self._store, parameters, self._timeout)
        return self._store.explain(text, bound, self._timeout)

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
        from cofire.analysis.report.sae_page import write_report

        return write_report(self.report_data(sae), Path(out))

    def report_data(self, sae: str) -> ReportData:
        """Return the tables that the report about an SAE is made from.

        Args:
            sae: the SAE's uid.

        Raises:
            QueryError: no such SAE, or its load is not complete.
        """
        from cofire.queries.report_data import report_data

        known_sae(self._store, sae, self._timeout)
        return report_data(self._store, sae, self._timeout)

    def _prepared(self, query: Query, parameters: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        text, bound = query.prepare(self._store, parameters, self._timeout)
        # The rows of some of a list's latents would hide that another one does not exist, so this is looked at first.
        if query.trusted and "indices" in bound:
            check_latents(self._store, bound["sae"], bound["indices"], self._timeout)
        if query.trusted and "cluster" in bound:
            bound["cluster"] = full_cluster(self._store, bound["cluster"], self._timeout)
        return text, bound

    def _iter_query(self, query: Query, parameters: dict[str, Any]) -> Generator[dict[str, Any], None, None]:
        text, bound = self._prepared(query, parameters)
        return self._stream(text, bound, query)

    def _iter_cypher(self, text: str, parameters: dict[str, Any]) -> Generator[dict[str, Any], None, None]:
        self._store.guard(text, parameters, self._timeout)
        return self._stream(text, parameters, None)

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
            explain_nothing(self._store, query, parameters, self._timeout)


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
