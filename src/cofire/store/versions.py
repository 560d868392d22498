"""Which schema a store has, and how an older one becomes the present one.

A store says so in one node, `(:SchemaVersion {uid: 'cofire', version})`. One that has SAEs and no such node was made
before there was one: it is of version 1. Migrations are run in order; each may be killed and run again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from typing import TYPE_CHECKING

import numpy as np

from cofire.common.progress import Progress, StageProgress
from cofire.errors import QueryError, SchemaError, StoreError, TimeLimit
from cofire.ingest.latents.top_tokens import evidence
from cofire.schema.cypher import ddl, neo4j_ddl
from cofire.store.plan.latent_rows import distinctive_tokens, words_of

if TYPE_CHECKING:
    from cofire.store.connect import Run, Store

VERSION = 4
"""The schema of this version of cofire."""

ROWS = 1000
CHECK_SECONDS = 60.0
"""How long counting may take, and as long again for each CHECK_ROWS rows."""
CHECK_ROWS = 5_000_000
INDEX_SECONDS = 3600

_FOUND = """OPTIONAL MATCH (v:SchemaVersion {uid: 'cofire'})
WITH v.version AS version
OPTIONAL MATCH (s:Sae)
RETURN version, count(s) > 0 AS used"""
_LOADED = "MATCH (s:Sae {status: 'ready'}) RETURN s.uid, s.nLatents, s.nEdges ORDER BY s.uid"
# A property is asked for, so that each record is read: counting alone does not touch those that are gone.
_LATENTS = "MATCH (s:Sae {uid: $uid})<-[:OF]-(a:Latent) RETURN count(a.firingCount)"
_EDGES = "MATCH (s:Sae {uid: $uid})<-[:OF]-(a:Latent)-[r:CO_FIRES]->(:Latent) RETURN count(r.count)"
_RECORD = """MERGE (v:SchemaVersion {uid: 'cofire'})
SET v.version = $version, v.cofireVersion = $cofire"""


@dataclass(frozen=True)
class Migration:
    """One step from a version of the schema to the next.

    Attributes:
        to: the version that the store has afterwards.
        description: what it does, as the user reads it.
        run: does it, calling progress with (rows done, rows in all); may be run again after it was killed half way.
    """

    to: int
    description: str
    run: Callable[[Store, Progress], None]


def found_version(store: Store, timeout: float | None = None) -> int | None:
    """Return the store's schema version; None for one that nothing was loaded into yet.

    Raises:
        TimeLimit: the store took longer than `timeout` seconds to say so.
    """
    version, used = store.read(_FOUND, {}, timeout).rows[0]
    return int(version) if version is not None else (1 if used else None)


def check_version(store: Store, timeout: float | None = None) -> None:
    """Refuse a store of another schema version than this cofire's.

    Raises:
        TimeLimit: the store took longer than `timeout` seconds to say so.
        SchemaError: it is older, and the message says what `cofire migrate` will do; or it is newer.
    """
    found = found_version(store, timeout)
    if found is None or found == VERSION:
        return
    if found > VERSION:
        raise SchemaError(
            f"{store.location} has schema version {found}, and this cofire knows {VERSION}: use a newer cofire"
        )
    steps = " ".join(f"({m.to}) {m.description}" for m in pending(found))
    raise SchemaError(
        f"{store.location} has schema version {found}, and this cofire needs {VERSION}; "
        f"`cofire migrate --store {store.location}` will bring it there: {steps}"
    )


def check_counts(store: Store) -> None:
    """Refuse an embedded store that has lost latents or edges of an SAE whose load is complete.

    ArcadeDB opens damaged files and answers with what is left. Takes one to two seconds for a million edges.

    Raises:
        StoreError: rows are missing, or they cannot be counted in time.
    """
    for uid, latents, edges in store.read(_LOADED, {}).rows:
        for what, wanted, text in (("latents", latents, _LATENTS), ("edges", edges, _EDGES)):
            try:
                limit = CHECK_SECONDS * (1 + (wanted or 0) // CHECK_ROWS)
                found = store.read(text, {"uid": uid}, limit).rows[0][0]
            except (TimeLimit, QueryError, StoreError) as error:
                raise StoreError(f"{_damaged(store)}: the {what} of {uid} cannot be counted ({error})") from error
            if wanted is not None and found != wanted:
                raise StoreError(f"{_damaged(store)}: {uid} has {found:,} of its {wanted:,} {what}")


def _damaged(store: Store) -> str:
    return (
        f"{store.location} was not closed in good order and may be damaged (make it anew with "
        f"`cofire rebuild CAPTURE... --store {store.location}`)"
    )


def pending(version: int) -> list[Migration]:
    """Return the migrations that a store of that version lacks, in order."""
    return [m for m in MIGRATIONS if m.to > version]


def ensure_schema(store: Store) -> None:
    """Make constraints, indexes and the version's record where they are missing.

    Raises:
        SchemaError: the store has another version.
        StoreError: the store failed.
    """
    check_version(store)
    _indexes(store)
    if found_version(store) is None:
        _record(store, VERSION)


def migrate(
    store: Store, progress: Callable[[Migration], None] | None = None, tell: StageProgress | None = None
) -> list[Migration]:
    """Bring a store to the present schema version; one that is there already is left alone.

    Args:
        store: a store opened with `any_version`.
        progress: called before each step.
        tell: called with (what is changed, rows done, rows in all).

    Returns:
        The steps that were taken.

    Raises:
        SchemaError: the store is newer than this cofire.
        StoreError: the store failed; run it again.
    """
    found = found_version(store)
    if found is None or found > VERSION:
        check_version(store)
        return []
    steps = pending(found)
    for step in steps:
        if progress is not None:
            progress(step)
        step.run(store, partial(tell or (lambda _stage, _done, _total: None), f"version {step.to}"))
        _record(store, step.to)
    return steps


def _indexes(store: Store) -> None:
    store.ddl(ddl())
    if store.kind == "neo4j":
        store.ddl(neo4j_ddl())
        # A query that uses an index which is still being filled misses what is not in it yet.
        store.read("CALL db.awaitIndexes($seconds)", {"seconds": INDEX_SECONDS})


def _record(store: Store, version: int) -> None:
    store.write([(_RECORD, {"version": version, "cofire": metadata.version("cofire")})])


def _to_2(store: Store, _progress: Progress) -> None:
    _indexes(store)
    store.write(
        [
            ("MATCH (s:Sae) WHERE s.status = 'loading' SET s.status = 'deleting'", {}),
            ("MATCH (s:Sae) REMOVE s.loadedBatches", {}),
        ]
    )
    for (uid,) in store.read("MATCH (s:Sae) RETURN s.uid ORDER BY s.uid", {}).rows:
        edges, clusters = (
            store.read(text, {"uid": uid}).rows[0][0]
            for text in (
                "MATCH (a:Latent) WHERE a.sae = $uid MATCH (a)-[r:CO_FIRES]->() RETURN count(r)",
                "MATCH (c:Cluster) WHERE c.sae = $uid RETURN count(c)",
            )
        )
        counts = {"uid": uid, "edges": edges, "clusters": clusters}
        store.write([("MATCH (s:Sae {uid: $uid}) SET s.nEdges = $edges, s.nClusters = $clusters", counts)])
        while store.transact(partial(_add_words, uid)):
            pass


def _add_words(uid: str, run: Run) -> int:
    """Give some latents their words; returns how many."""
    text = "MATCH (a:Latent) WHERE a.sae = $uid AND a.words IS NULL RETURN a.uid, a.topTokens LIMIT $limit"
    rows = [[latent, words_of(top or [])] for latent, top in run(text, {"uid": uid, "limit": ROWS}).rows]
    run("UNWIND $rows AS row MATCH (a:Latent {uid: row[0]}) SET a.words = row[1]", {"rows": rows})
    return len(rows)


def _to_3(store: Store, _progress: Progress) -> None:
    _indexes(store)
    store.write([("MATCH (c:Cluster) WHERE c.level IS NULL SET c.level = 0", {})])


def _to_4(store: Store, progress: Progress) -> None:
    saes = store.read("MATCH (s:Sae) RETURN s.uid, s.tokens, s.nLatents ORDER BY s.uid", {}).rows
    done, total = 0, sum(latents or 0 for _, _, latents in saes)
    for uid, tokens, latents in saes:
        for start in range(0, latents or 0, ROWS):
            some = list(range(start, min(start + ROWS, latents)))
            store.transact(partial(_add_scores, uid, tokens or 0, some))
            done += len(some)
            progress(done, total)


def _add_scores(uid: str, tokens: int, some: list[int], run: Run) -> None:
    """Give some latents, those that have none, their distinctive tokens, and their FIRES_ON the scores."""
    text = """UNWIND $some AS latent
WITH $uid + '/' + toString(latent) AS uid
MATCH (a:Latent {uid: uid}) WHERE a.distinctiveTokens IS NULL
WITH a
OPTIONAL MATCH (a)-[f:FIRES_ON]->(t:Token)
WITH a, f, t ORDER BY t.token
RETURN a.uid, a.firingCount, a.label, a.topTokens,
       collect(CASE WHEN f IS NOT NULL THEN [t.uid, t.text, f.count, f.share / f.lift] END)"""
    latents, links = [], []
    for latent, firings, label, top, tokens_of in run(text, {"uid": uid, "some": some}).rows:
        # lift = share / (of_token / tokens)
        of_token = [round(tokens * share) for _, _, _, share in tokens_of]
        count = np.array([count for _, _, count, _ in tokens_of], np.int64)
        score = evidence(count, np.full(len(count), firings), np.array(of_token, np.int64), tokens).tolist()
        links += [[latent, token, value] for (token, *_), value in zip(tokens_of, score, strict=True)]
        known = [(text, many, value) for (_, text, many, _), value in zip(tokens_of, score, strict=True)]
        distinctive = distinctive_tokens(known)
        words = words_of([*([label] if label else []), *(top or []), *distinctive])
        latents.append([latent, distinctive, words])
    run(
        "UNWIND $rows AS row MATCH (a:Latent {uid: row[0]})-[f:FIRES_ON]->(t:Token {uid: row[1]}) SET f.score = row[2]",
        {"rows": links},
    )
    run(
        "UNWIND $rows AS row MATCH (a:Latent {uid: row[0]}) SET a.distinctiveTokens = row[1], a.words = row[2]",
        {"rows": latents},
    )


MIGRATIONS = (
    Migration(
        2,
        "adds the words of each latent's top tokens and the numbers of edges and clusters of each SAE, makes the new "
        "indexes, and marks SAEs whose load was not finished for deletion; decoder directions come with the next "
        "`cofire ingest --replace`.",
        _to_2,
    ),
    Migration(
        3,
        "makes the new indexes and calls all clusters those of the finest level; their z-scores, functions and coarser "
        "levels come with the next `cofire ingest --replace`.",
        _to_3,
    ),
    Migration(
        4,
        "ranks the tokens of each latent by how distinctive they are, among the ten most frequent, which are all that "
        "the store has; the most distinctive of all its tokens come with the next `cofire ingest --replace`.",
        _to_4,
    ),
)
