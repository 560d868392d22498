"""The steps from each version of the schema to the next. Each may be killed and run again.

They read and write in ranges, a bounded transaction each. What a message carries is bounded in bytes too (`_in_parts`):
stores made before texts were bounded hold long ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from cofire.common.progress import Progress
from cofire.ingest.latents.top_tokens import TOP_TOKENS, evidence
from cofire.schema.base import LONGEST_TEXT
from cofire.schema.cypher import ddl, neo4j_ddl
from cofire.store.latent_texts import distinctive_tokens, words_of
from cofire.store.packed import fitting

if TYPE_CHECKING:
    from cofire.store.connect import Run, Store

__all__ = ["MIGRATIONS", "Migration", "make_indexes"]

ROWS = 1000
"""Latents a transaction."""
TEXT_ROWS = 100
"""The same where the texts of their tokens are read."""
MESSAGE_BYTES = 4 << 20
INDEX_SECONDS = 3600


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


def make_indexes(store: Store) -> None:
    """Make the constraints and indexes that are missing, and wait until they are filled.

    Raises:
        StoreError: the store failed.
    """
    store.ddl(ddl())
    if store.kind == "neo4j":
        store.ddl(neo4j_ddl())
        # A query that uses an index which is still being filled misses what is not in it yet.
        store.read("CALL db.awaitIndexes($seconds)", {"seconds": INDEX_SECONDS})


def _in_parts(run: Run, statement: str, rows: Sequence[list[Any]]) -> None:
    """Run a statement with `$rows`, some at a time."""
    left = list(rows)
    while left:
        part = fitting(left, MESSAGE_BYTES)
        run(statement, {"rows": part})
        left = left[len(part) :]


_SET_DISTINCTIVE = """UNWIND $rows AS row
MATCH (a:Latent {uid: row[0]}) SET a.distinctiveTokens = row[1], a.words = row[2]"""


def _to_2(store: Store, _progress: Progress) -> None:
    make_indexes(store)
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
    _in_parts(run, "UNWIND $rows AS row MATCH (a:Latent {uid: row[0]}) SET a.words = row[1]", rows)
    return len(rows)


def _to_3(store: Store, _progress: Progress) -> None:
    make_indexes(store)
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
    _in_parts(
        run,
        "UNWIND $rows AS row MATCH (a:Latent {uid: row[0]})-[f:FIRES_ON]->(t:Token {uid: row[1]}) SET f.score = row[2]",
        links,
    )
    _in_parts(run, _SET_DISTINCTIVE, latents)


def _to_5(store: Store, progress: Progress) -> None:
    saes = store.read("MATCH (s:Sae {status: 'ready'}) RETURN s.uid, s.nLatents ORDER BY s.uid", {}).rows
    done, total = 0, sum(latents or 0 for _, latents in saes)
    for uid, latents in saes:
        for start in range(0, latents or 0, TEXT_ROWS):
            some = list(range(start, min(start + TEXT_ROWS, latents)))
            store.transact(partial(_own_tokens, uid, some))
            done += len(some)
            progress(done, total)


def _own_tokens(uid: str, some: list[int], run: Run) -> None:
    """Lead the FIRES_ON of some latents away from tokens of another text than the latent knows, to tokens of the SAE's.

    Tokens were keyed by the model's name: of two vocabularies under one name the first loaded one gave the texts. A
    latent's own lists, which are right, tell which text each of its tokens has.
    """
    text = """UNWIND $some AS latent
WITH $uid + '/' + toString(latent) AS uid
MATCH (a:Latent {uid: uid})
WITH a
MATCH (a)-[f:FIRES_ON]->(t:Token)
RETURN a.uid, a.label, a.topTokens, a.distinctiveTokens, collect([t.token, t.text, f.count, f.score, t.uid])"""
    made: dict[str, list[Any]] = {}
    moved, corrected = [], []
    for latent, label, top, distinctive, links in run(text, {"uid": uid, "some": some}).rows:
        texts = _texts_of(top or [], distinctive or [], links)
        for token, shown, _, _, node in links:
            if (cut := _indexable(texts.get(token, shown))) != _indexable(shown):
                own = f"{uid}/token/{token}"
                made[own] = [own, token, cut]
                moved.append([latent, node, own])
        # The migration to version 4 made this list of the tokens' texts, which may have been another vocabulary's.
        known = [(texts.get(token, shown), count, score or 0.0) for token, shown, count, score, _ in sorted(links)]
        if (telling := distinctive_tokens(known)) != distinctive:
            corrected.append([latent, telling, words_of([*([label] if label else []), *(top or []), *telling])])
    _in_parts(run, "UNWIND $rows AS row MERGE (t:Token {uid: row[0]}) SET t.token = row[1], t.text = row[2]",
              list(made.values()))  # fmt: skip
    _in_parts(
        run,
        """UNWIND $rows AS row
MATCH (a:Latent {uid: row[0]})-[f:FIRES_ON]->(:Token {uid: row[1]})
MATCH (own:Token {uid: row[2]})
CREATE (a)-[:FIRES_ON {count: f.count, share: f.share, lift: f.lift, score: f.score}]->(own)
DELETE f""",
        moved,
    )
    _in_parts(run, _SET_DISTINCTIVE, corrected)


def _indexable(text: str) -> str:
    """The longest beginning of a text, in whole characters, that an index takes; lists of texts are not indexed."""
    return text.encode("utf-8", "surrogatepass")[:LONGEST_TEXT].decode("utf-8", "ignore")


def _texts_of(top: list[str], distinctive: list[str], links: list[list[Any]]) -> dict[int, str]:
    """Return the text of each token of a latent, as its lists have it.

    Args:
        top: the texts of its most frequent tokens, ties by token id, ascending.
        distinctive: those of the highest positive score, ties alike.
        links: [token id, text of the node, count, score, ...] of each of its FIRES_ON.
    """
    often = sorted(links, key=lambda link: (-link[2], link[0]))[:TOP_TOKENS]
    positive = [link for link in links if (link[3] or 0.0) > 0]
    telling = sorted(positive, key=lambda link: (-link[3], link[0]))[:TOP_TOKENS]
    found: dict[int, str] = {}
    for ranked, texts in ((telling, distinctive), (often, top)):  # the latter decides: see `_own_tokens`
        if len(ranked) == len(texts):
            found |= {link[0]: text for link, text in zip(ranked, texts, strict=True)}
    return found


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
    Migration(
        5,
        "gives SAEs whose vocabulary differs from that of an SAE loaded before, under one model name, tokens of their "
        "own, whose text is cut where it is longer than an index takes; tokens shared by vocabulary come with the "
        "next `cofire ingest --replace`.",
        _to_5,
    ),
)
