"""Motif search over a store: the whole-graph search here and the anchored queries there give the same set."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from query_worlds import LOADING, READY, World, load_world, make_world

from builders import make_capture, random_arrays
from cofire.analysis.motifs.search import Kind
from cofire.analysis.motifs.sources import capture_motif_counts, capture_sources, searches_over, stream_found
from cofire.cli import run
from cofire.errors import QueryError, StoreError
from cofire.pipeline import ingest
from cofire.queries.library import find_query
from cofire.queries.motif_sources import best_motifs, store_motif_counts, store_sources, stream_motifs
from cofire.settings import load_settings
from cofire.store import Store
from cofire.store.versions import ensure_schema


def load(store: Store, world: World) -> None:
    ensure_schema(store)
    load_world(store, world)
    for uid in READY:
        edges = sum(sae == uid for sae, _, _ in world.edges)
        store.write([("MATCH (s:Sae {uid: $uid}) SET s.nEdges = $edges", {"uid": uid, "edges": edges})])


Found = dict[tuple[int, ...], float]
Ask = Callable[..., list[dict[str, Any]]]

# (seed, latents an SAE, share of the pairs that co-fire): isolated latents are in each.
WORLDS = ((11, 16, 0.15), (12, 13, 0.4), (13, 11, 0.8), (14, 8, 0.0))


def anchored(ask: Ask, kind: Kind, index: int, size: int) -> Found:
    """The motifs at one latent by the library's query, in the form that the search gives them."""
    if kind == "star":
        rows = ask("star_at_latent", index=index)
        found = {(index, *sorted(r["index"] for r in rows)): r["weakest_log_odds"] for r in rows}
        return {members: score for members, score in found.items() if len(members) >= 3}
    if kind == "clique":
        return {tuple(r["members"]): r["weakest_log_odds"] for r in ask("cliques_at_latent", index=index, size=size)}
    if kind == "path":
        rows = ask("chains_at_latent", index=index, size=size)
        assert all(r["members"][0] == index for r in rows)
        return {tuple(min(r["members"], r["members"][::-1])): r["weakest_log_odds"] for r in rows}
    found = {}
    for r in ask("bifans_at_latent", index=index):
        first, second = sorted([sorted([index, r["opposite"]]), sorted([r["c"], r["d"]])])
        found[*first, *second] = r["weakest_log_odds"]
    return found


SIZES: dict[Kind, tuple[int, ...]] = {"star": (3,), "clique": (3, 4, 5, 6), "path": (3, 4, 5, 6), "bifan": (4,)}


@pytest.mark.parametrize(("seed", "n", "p_edge"), WORLDS)
def test_anchored_queries_united_give_what_the_search_gives(store: Store, seed: int, n: int, p_edge: float) -> None:
    world = make_world(seed, n, p_edge)
    load(store, world)
    total = 0
    for sae in READY:
        for least in (None, 1.5):

            def ask(name: str, sae: str = sae, least: float | None = least, **given: Any) -> list[dict[str, Any]]:
                rows = find_query(name)(store, None, sae=sae, min_log_odds=least, limit=0, **given)
                return [dict(zip(rows.columns, row, strict=True)) for row in rows.rows]

            for kind, sizes in SIZES.items():
                for size in sizes:
                    by_latent = {index: anchored(ask, kind, index, size) for index in range(n)}
                    sources = store_sources(store, sae=sae, min_log_odds=least)
                    bounds = {"min_size": size, "max_size": None if kind == "star" else size}
                    found = {motif.members: motif.score for _, motif in stream_motifs(sources, kind, **bounds)}
                    united = {members: score for of_one in by_latent.values() for members, score in of_one.items()}
                    assert found == united, f"{kind} {size} {least} of {sae} on {store.kind}"
                    assert found == oracle_scores(world, sae, kind, list(found))
                    for members in found:  # and every latent that should know of it does
                        knows = {"star": members[:1], "path": (members[0], members[-1])}.get(kind, members)
                        assert {i for i, of_one in by_latent.items() if members in of_one} == set(knows)
                    total += len(found)
    assert total > 20 or p_edge == 0.0


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
