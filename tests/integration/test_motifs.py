"""Motif search over a store: of whole graphs, and around each latent; both give the oracle's motifs."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from motif_oracle import motifs_at
from query_worlds import LOADING, READY, World, hub_world, load_world, make_world

from builders import make_capture, random_arrays
from cofire import KnowledgeBase
from cofire.analysis.motifs.search import Kind
from cofire.analysis.motifs.sources import capture_motif_counts, capture_sources, searches_over, stream_found
from cofire.cli import run
from cofire.errors import QueryError, StoreError
from cofire.pipeline import ingest
from cofire.queries.anchored_motifs import store_motifs_at
from cofire.queries.motif_sources import best_motifs, store_motif_counts, store_sources, stream_motifs
from cofire.settings import load_settings
from cofire.store import Store
from cofire.store.versions import ensure_schema
from servers import Neo4jServer


def load(store: Store, world: World) -> None:
    ensure_schema(store)
    load_world(store, world)
    for uid in READY:
        edges = sum(sae == uid for sae, _, _ in world.edges)
        store.write([("MATCH (s:Sae {uid: $uid}) SET s.nEdges = $edges", {"uid": uid, "edges": edges})])


Found = dict[tuple[int, ...], float]

# (seed, latents an SAE, share of the pairs that co-fire): isolated latents are in each.
WORLDS = ((11, 16, 0.15), (12, 13, 0.4), (13, 11, 0.8), (14, 8, 0.0))
SIZES: dict[Kind, tuple[int, ...]] = {"star": (3,), "clique": (3, 4, 5, 6), "path": (3, 4, 5, 6), "bifan": (4,)}


def around(store: Store, sae: str, index: int, kind: Kind, size: int, least: float | None, limit: int = 0) -> Any:
    """What the search around one latent finds, in the oracle's form, and whether there is more."""
    most = None if kind == "star" else size
    motifs, more = store_motifs_at(
        store, sae, index, kind, min_log_odds=least, min_size=size, max_size=most, limit=limit
    )
    assert all(motif.kind == kind for motif in motifs)
    return [(motif.members, motif.score) for motif in motifs], more


@pytest.mark.parametrize(("seed", "n", "p_edge"), WORLDS)
def test_motifs_around_each_latent_united_are_those_of_the_whole(
    store: Store, seed: int, n: int, p_edge: float
) -> None:
    world = make_world(seed, n, p_edge)
    load(store, world)
    total = 0
    for sae, least in [(sae, least) for sae in READY for least in (None, 1.5)]:
        sources = store_sources(store, sae=sae, min_log_odds=least)
        for kind, size in [(kind, size) for kind, sizes in SIZES.items() for size in sizes]:
            united: Found = {}
            for index in range(n):
                motifs, more = around(store, sae, index, kind, size, least)
                assert not more
                assert motifs == motifs_at(world, sae, index, kind, size, least), f"{kind} {size} {least} {index}"
                for members, score in motifs:
                    united[min(members, members[::-1]) if kind == "path" else members] = score
                    knows = {"star": members[:1], "path": members[:1]}.get(kind, members)
                    assert index in knows
            bounds = {"min_size": size, "max_size": None if kind == "star" else size}
            found = {motif.members: motif.score for _, motif in stream_motifs(sources, kind, **bounds)}
            assert found == united, f"{kind} {size} {least} of {sae} on {store.kind}"
            assert found == oracle_scores(world, sae, kind, list(found))
            total += len(found)
    assert total > 20 or p_edge == 0.0


def test_motifs_around_a_hub_are_the_best_with_every_limit(store: Store) -> None:
    """A latent of some 650 neighbours: its strongest edges are looked at first, which must not show."""
    world = hub_world()
    load(store, world)
    for kind, size, least in (("star", 4, None), ("star", 4, 2.0), ("clique", 3, None), ("clique", 4, 1.0),
                              ("clique", 5, None), ("path", 4, 2.0), ("bifan", 4, 2.0)):  # fmt: skip
        wanted = motifs_at(world, READY[0], 0, kind, size, least)
        assert wanted or (kind, size) in (("star", 4), ("clique", 5))
        for limit in (1, 100, 999, 2**40):
            found, more = around(store, READY[0], 0, kind, size, least, limit)
            assert found == wanted[:limit], f"{kind} {size} {least} {limit}"
            assert more == (len(wanted) > limit)


@pytest.mark.parametrize("by", ["phi", "decoder_cosine", "count"])
def test_motifs_around_a_latent_of_a_range_of_sizes_by_a_measure_that_may_be_null(store: Store, by: Any) -> None:
    load(store, make_world(21, 12, 0.5))
    undefined = 0
    for kind, low, high in (("clique", 3, 5), ("path", 3, 4), ("star", 3, None), ("bifan", 4, 4)):
        bounds: dict[str, Any] = {"min_size": low, "max_size": high}
        whole = list(stream_motifs(store_sources(store, sae=READY[0], by=by), kind, **bounds))
        for index in range(12):
            # Of a star its hub, of a path its ends.
            known = {"star": lambda members: members[:1], "path": lambda members: (members[0], members[-1])}
            knows = known.get(kind, lambda members: members)
            wanted = {motif.members: motif.score for _, motif in whole if index in knows(motif.members)}
            for limit in (0, 3):
                found, more = store_motifs_at(store, READY[0], index, kind, by=by, limit=limit, **bounds)
                scores = [motif.score for motif in found]
                one_way = {min(m.members, m.members[::-1]) if kind == "path" else m.members: m.score for m in found}
                assert more == (0 < limit < len(wanted))
                assert len(one_way) == len(found) == (min(limit, len(wanted)) if limit else len(wanted))
                assert one_way.items() <= wanted.items()
                best = sorted(wanted.values(), key=lambda score: (score is None, -(score or 0)))
                assert scores == best[: len(scores)]
                undefined += scores.count(None)
    assert undefined or by == "count"


@pytest.mark.parametrize("kind", ["star", "clique", "path", "bifan"])
def test_an_sae_that_is_replaced_while_a_latent_s_surroundings_are_read(
    store: Store, kind: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process puts a version with other edges in its place between two readings."""
    load(store, make_world(22, 9, 0.5))
    other = make_world(23, 9, 0.9)
    read, calls = store.read, 0

    def disturbed(*given: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 3:  # the hash and the latent's own edges have been read
            store.write([("MATCH (:Latent {sae: $uid})-[r:CO_FIRES]-() DELETE r", {"uid": READY[0]})])
            edges = [[f"{sae}/{a}", f"{sae}/{b}", row] for (sae, a, b), row in other.edges.items() if sae == READY[0]]
            text = (
                "UNWIND $rows AS row MATCH (a:Latent {uid: row[0]}) WITH row, a MATCH (b:Latent {uid: row[1]}) "
                "CREATE (a)-[r:CO_FIRES]->(b) SET r = row[2]"
            )
            store.write([(text, {"rows": edges})])
            store.write([("MATCH (s:Sae {uid: $uid}) SET s.contentHash = 'another'", {"uid": READY[0]})])
        return read(*given)

    monkeypatch.setattr(store, "read", disturbed)
    with pytest.raises(StoreError, match=r"was replaced or deleted .*; search again"):
        store_motifs_at(store, READY[0], 0, kind, min_size=3 if kind != "bifan" else 4)
    assert calls > 3


def test_motifs_in_python(store: Store, neo4j_server: Neo4jServer) -> None:
    load(store, make_world(22, 9, 0.5))
    login = {"username": neo4j_server.username, "password": neo4j_server.password} if store.kind == "neo4j" else {}
    with KnowledgeBase(store.location, **login) as kb:
        uid = f"{READY[0]}/0"
        frame = kb.motifs("path", at=uid, min_size=3, by="count")
        assert list(frame.columns) == ["sae", "kind", "size", "score", "members", "member_tokens"]
        assert len(frame) >= 2
        assert frame["score"].dtype == "Int64"
        whole = kb.motifs("path", sae=READY[0], min_size=3, by="count", limit=0)["members"]
        all_of_it = kb.motifs("path", at=uid, min_size=3, by="count", limit=0)["members"]
        assert {min(tuple(m), tuple(m[::-1])) for m in all_of_it} == {tuple(m) for m in whole if 0 in (m[0], m[-1])}
        cards = {
            i: kb.query("latent_card", sae=READY[0], index=i)["distinctive_tokens"][0] for i in frame["members"][0]
        }
        assert frame["member_tokens"][0] == [list(cards[i] or [])[:3] for i in frame["members"][0]]
        for wrong, message in (
            ({"at": f"{READY[0]}/99"}, "^latent 99 of .*: its latents are 0 to 8"),
            ({"at": "rel/layer_1/width_16K/0"}, r"^unknown SAE rel/layer_1/width_16K \(did you mean"),
            ({"at": READY[0]}, "is no latent; give the SAE's uid and the index"),
            ({"at": uid, "sae": READY[0]}, "names the SAE too"),
            ({"at": uid, "by": "pmi"}, "^by is 'pmi'; give one of log_odds, count"),
            ({"by": "logodds"}, "^by is 'logodds'; give one of"),
            ({"min_log_odds": float("nan")}, "^min_log_odds is NaN"),
            ({"min_log_odds": "2"}, "^min_log_odds is '2'"),
            ({"limit": -1}, "^limit is -1"),
            ({"kind": "ring"}, "^kind is 'ring'; give one of star, clique, path, bifan"),
        ):
            with pytest.raises(QueryError, match=message):
                kb.motifs(**{"kind": "clique", **wrong})
        with pytest.raises(QueryError, match="cliques_at_latent is no query any more; ask `cofire motifs --at"):
            kb.query("cliques_at_latent", sae=READY[0], index=0)


def oracle_scores(world: World, sae: str, kind: Kind, motifs: list[tuple[int, ...]]) -> Found:
    """The least log odds over the edges of each motif."""

    def links(m: tuple[int, ...]) -> list[tuple[int, int]]:
        if kind == "star":
            return [(m[0], leaf) for leaf in m[1:]]
        if kind == "clique":
            return [(a, b) for a in m for b in m if a < b]
        if kind == "path":
            return list(pairwise(m))
        return [(a, c) for a in m[:2] for c in m[2:]]

    edges = {(a, b): row["logOdds"] for (uid, a, b), row in world.edges.items() if uid == sae}
    return {m: min(edges[min(pair), max(pair)] for pair in links(m)) for m in motifs}


@pytest.mark.parametrize("by", ["count", "phi", "decoder_cosine", "npmi", "lift", "jaccard"])
def test_every_measure_comes_from_its_property(store: Store, by: Any) -> None:
    world = make_world(21, 12, 0.5)
    load(store, world)
    name = "".join(part.title() if i else part for i, part in enumerate(by.split("_")))
    best, more = best_motifs(store_sources(store, by=by), "clique", limit=7, min_size=3)
    everything = list(stream_motifs(store_sources(store, by=by), "clique", min_size=3))
    assert more == (len(everything) > 7)
    ordered = sorted(everything, key=lambda e: (e[1].score is None, -(e[1].score or 0), e[0], e[1].members))
    assert best == ordered[:7]
    for sae, motif in everything:
        a, b, c = motif.members
        values = [world.edges[sae, *pair][name] for pair in ((a, b), (a, c), (b, c))]
        assert motif.score == (None if None in values else min(values))


def test_sources_are_the_ready_saes(store: Store) -> None:
    load(store, make_world(22, 9, 0.5))
    assert [s.sae for s in store_sources(store)] == sorted(READY)
    releases = {uid: uid.partition("/")[0] for uid in READY}
    for uid, release in releases.items():
        assert [s.sae for s in store_sources(store, release=release)] == [uid]
        assert [s.sae for s in store_sources(store, sae=uid)] == [uid]
    for wrong, message in (
        ({"sae": LOADING}, f"^{LOADING} is still loading"),
        ({"release": "other"}, "^unknown release other;"),
        ({"sae": "rel/layer_1/width_16K"}, r"^unknown SAE rel/layer_1/width_16K \(did you mean"),
        ({"sae": READY[0], "release": "other"}, "^unknown release other;"),
    ):
        with pytest.raises(QueryError, match=message):
            store_sources(store, **wrong)
    store.write([("MATCH (s:Sae) SET s.status = 'loading'", {})])
    with pytest.raises(QueryError, match="holds no SAE"):
        store_sources(store)


@pytest.mark.parametrize(
    "change",
    [
        "MATCH (s:Sae {uid: $uid}) SET s.status = 'deleting'",
        "MATCH (s:Sae {uid: $uid}) DETACH DELETE s",
        "MATCH (s:Sae {uid: $uid}) SET s.contentHash = 'another'",
        "MATCH (x:Latent {sae: $uid})-[r:CO_FIRES]->() WITH r LIMIT 1 DELETE r",
    ],
)
def test_an_sae_that_changes_before_its_turn_is_noticed(store: Store, change: str) -> None:
    load(store, make_world(22, 9, 0.5))
    first, second = sorted(READY)
    sources = store_sources(store)
    bounded = store_sources(store, min_log_odds=-1e9)
    # The first one is as it was listed; the second changes while the first is searched.
    stream = stream_motifs(sources, "path", min_size=3)
    assert next(stream)[0] == first
    store.write([(change, {"uid": second})])
    with pytest.raises(StoreError, match=f"{second} was replaced or deleted .*; search again"):
        list(stream)
    with pytest.raises(StoreError, match="search again"):
        best_motifs(sources, "path", limit=3, min_size=3)
    if "DELETE r" in change:  # with a bound nothing says how many edges there should be
        assert best_motifs(bounded, "path", limit=3, min_size=3)[0]
    else:
        with pytest.raises(StoreError, match="search again"):
            best_motifs(bounded, "path", limit=3, min_size=3)


def test_a_store_that_does_not_say_how_many_edges_there_are_is_searched(store: Store) -> None:
    load(store, make_world(22, 9, 0.5))
    wanted = list(stream_motifs(store_sources(store), "path", min_size=3))
    store.write([("MATCH (s:Sae) SET s.nEdges = null", {})])
    assert wanted == list(stream_motifs(store_sources(store), "path", min_size=3))


def test_the_command_searches_a_store(
    embedded_session_store: Store, embedded_store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    load(embedded_store, make_world(23, 14, 0.4))
    where = ["motifs", "--store", embedded_session_store.location, "--kind", "path", "--min-size", "3"]
    for choice, uids in (
        (["--all"], sorted(READY)),
        (["--sae", READY[1]], [READY[1]]),
        (["--release", "rel"], [READY[0]]),
    ):
        assert run([*where, *choice, "--format", "json"]) == 0, capsys.readouterr().err
        rows = json.loads(capsys.readouterr().out)
        wanted = list(
            stream_motifs([s for u in uids for s in store_sources(embedded_store, sae=u)], "path", min_size=3)
        )
        assert [(r["sae"], r["score"], tuple(r["members"])) for r in rows] == [
            (sae, motif.score, motif.members) for sae, motif in wanted
        ]
        assert {r["sae"] for r in rows} == set(uids)
    assert run([*where, "--all"]) == 0
    said = capsys.readouterr()
    assert "--limit 0 prints all" in said.err
    assert said.out.count("path") == 50
    assert run([*where, "--sae", "rel/layer_1/width_16K"]) == 2
    assert "did you mean rel/layer_1/width_16k?" in capsys.readouterr().err
    assert run([*where, "--at", f"{READY[1]}/0", "--format", "json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    wanted, _ = around(embedded_store, READY[1], 0, "path", 3, None)
    assert [(tuple(r["members"]), r["score"]) for r in rows] == wanted != []
    assert [len(r["member_tokens"]) for r in rows] == [3] * len(rows)
    for wrong, said in (
        ([], "which SAEs?"),
        (["--all", "--at", f"{READY[1]}/0"], "which SAEs?"),
        (["--at", f"{READY[1]}/x"], "is no latent"),
        (["--at", f"{READY[1]}/0", "--min-z", "1"], "--min-z is about the motifs of a whole graph"),
    ):
        assert run([*where, *wrong]) == 2
        assert said in capsys.readouterr().err


def test_the_store_and_the_capture_agree_on_what_stands_out(store: Store, tmp_path: Path) -> None:
    capture = make_capture(tmp_path, random_arrays(3, n_latents=30))
    ingest(capture, store, load_settings(edges="all"))
    sources = store_sources(store)
    counts = store_motif_counts(store, sources)
    assert sorted(counts[capture.uid], key=repr) == sorted(capture_motif_counts([capture])[capture.uid], key=repr)
    by_store = searches_over(counts, sources, "clique", 3, 6, 0.5)
    by_capture = searches_over(capture_motif_counts([capture]), capture_sources([capture]), "clique", 3, 6, 0.5)
    assert [search.sizes for search in by_store] == [search.sizes for search in by_capture] != [()]
    found = [list(stream_found(searches, "clique")) for searches in (by_store, by_capture)]
    assert found[0] == found[1] != []


def test_a_store_without_motif_counts_says_what_to_do(store: Store) -> None:
    load(store, World(saes=make_world(14, 8, 0.0).saes))
    with pytest.raises(QueryError, match=r"has no motif counts in .*--only nulls.*--replace"):
        store_motif_counts(store, store_sources(store, sae=READY[0]))
