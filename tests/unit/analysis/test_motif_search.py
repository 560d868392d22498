"""Motif search: definitions by hand, planted motifs in noise, brute force and igraph on random graphs."""

from __future__ import annotations

import math
import random
import tracemalloc
from itertools import combinations, pairwise, permutations
from pathlib import Path
from typing import Any

import igraph
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders import make_capture, random_arrays
from cofire.analysis.motifs.search import BestMotifs, CoFiring, Kind, checked_sizes, motifs
from cofire.analysis.motifs.sources import capture_sources
from cofire.errors import CaptureError, InputError
from cofire.ingest.capture_dir.directory import CaptureDir
from cofire.ingest.capture_dir.table_files import read_table
from cofire.ingest.count import CountSettings, count
from cofire.queries.motif_sources import best_motifs, stream_motifs
from cofire.schema.tables import EDGES

KINDS: tuple[Kind, ...] = ("star", "clique", "path", "bifan")
SIZES: dict[Kind, tuple[int, int | None]] = {"star": (3, None), "clique": (3, 6), "path": (3, 6), "bifan": (4, 4)}

Edges = dict[tuple[int, int], float | None]


def graph_of(edges: Edges) -> CoFiring:
    return CoFiring.of((a, b, value) for (a, b), value in edges.items())


def flat(pairs: list[tuple[int, int]]) -> Edges:
    return dict.fromkeys(pairs, 1.0)


def members(edges: Edges, kind: Kind, low: int | None = None, high: int | None = None) -> list[tuple[int, ...]]:
    return [motif.members for motif in motifs(graph_of(edges), kind, min_size=low, max_size=high)]


CLIQUE4 = flat(list(combinations(range(4), 2)))
CYCLE4 = flat([(0, 1), (1, 2), (2, 3), (0, 3)])
STAR = flat([(3, x) for x in (0, 1, 2, 7)])


def test_a_star_is_a_hub_with_leaves_that_do_not_co_fire() -> None:
    assert members(STAR, "star") == [(3, 0, 1, 2, 7)]
    assert members(STAR, "star", 3, 4) == []
    assert members(CLIQUE4, "star", 3) == []
    # 0 and 1 co-fire: neither is a leaf.
    assert members({**STAR, (0, 1): 1.0}, "star", 3) == [(3, 2, 7)]


def test_a_clique_stands_once_and_holds_its_smaller_ones() -> None:
    assert members(CLIQUE4, "clique") == [(0, 1, 2, 3)]
    assert members(CLIQUE4, "clique", 3, 4) == [(0, 1, 2), (0, 1, 2, 3), (0, 1, 3), (0, 2, 3), (1, 2, 3)]
    assert members(CYCLE4, "clique", 3, 6) == []


def test_a_path_is_induced_and_begins_at_its_lower_end() -> None:
    chain = flat([(2, 5), (0, 5), (0, 4)])
    assert members(chain, "path") == [(2, 5, 0, 4)]
    assert members(chain, "path", 3) == [(0, 5, 2), (4, 0, 5)]
    assert members(CYCLE4, "path", 3) == [(0, 1, 2), (0, 3, 2), (1, 0, 3), (1, 2, 3)]
    assert members(CYCLE4, "path") == []
    assert members(CLIQUE4, "path", 3) == []


def test_a_bifan_has_no_chord() -> None:
    assert members(CYCLE4, "bifan") == [(0, 2, 1, 3)]
    assert members({**CYCLE4, (0, 2): 1.0}, "bifan") == []
    assert members({**CYCLE4, (1, 3): 1.0}, "bifan") == []
    assert members(CLIQUE4, "bifan") == []


@pytest.mark.parametrize("kind", KINDS)
def test_without_edges_there_is_nothing(kind: Kind) -> None:
    assert members({}, kind) == []
    assert members({(0, 1): 1.0}, kind) == []


def test_planted_motifs_are_found_in_noise() -> None:
    chance = random.Random(5)  # noqa: S311 - no secret
    noise = {pair: 1.0 for pair in combinations(range(100, 160), 2) if chance.random() < 0.1}
    planted: dict[Kind, tuple[list[tuple[int, int]], tuple[int, ...], int]] = {
        "star": ([(200, x) for x in range(201, 209)], (200, *range(201, 209)), 9),
        "clique": (list(combinations(range(210, 216), 2)), tuple(range(210, 216)), 6),
        "path": ([(220, 225), (225, 221), (221, 224), (224, 222), (222, 223)], (220, 225, 221, 224, 222, 223), 6),
        "bifan": ([(230, 232), (230, 233), (231, 232), (231, 233)], (230, 231, 232, 233), 4),
    }
    strong = {(min(p), max(p)): 5.0 for edges, _, _ in planted.values() for p in edges}
    graph = graph_of({**noise, **strong})
    for kind, (_, wanted, size) in planted.items():
        best = BestMotifs(3)
        best.search("sae", graph, kind, min_size=size)
        assert (best.best()[0][1].members, best.best()[0][1].score) == (wanted, 5.0)
        assert wanted in [motif.members for motif in motifs(graph, kind, min_size=size)]


def brute(edges: Edges, kind: Kind, low: int, high: int | None) -> dict[tuple[int, ...], float | None]:
    """All motifs with their scores, from the definitions alone."""
    latents = sorted({x for pair in edges for x in pair})
    joined = {frozenset(pair) for pair in edges}
    value = {frozenset(pair): v for pair, v in edges.items()}

    def is_joined(a: int, b: int) -> bool:
        return frozenset((a, b)) in joined

    def score(pairs: list[tuple[int, int]]) -> float | None:
        values = [value[frozenset(pair)] for pair in pairs]
        known = [v for v in values if v is not None]
        return min(known) if len(known) == len(values) else None

    found: dict[tuple[int, ...], float | None] = {}
    if kind == "star":
        for hub in latents:
            near = [x for x in latents if is_joined(hub, x)]
            leaves = [x for x in near if not any(is_joined(x, y) for y in near)]
            if low <= 1 + len(leaves) <= (high or 99):
                found[hub, *leaves] = score([(hub, x) for x in leaves])
    elif kind == "clique":
        for k in range(low, (high or low) + 1):
            for chosen in combinations(latents, k):
                if all(is_joined(*pair) for pair in combinations(chosen, 2)):
                    found[chosen] = score(list(combinations(chosen, 2)))
    elif kind == "path":
        for k in range(low, (high or low) + 1):
            for order in permutations(latents, k):
                links = list(pairwise(order))
                inside = [pair for pair in combinations(order, 2) if is_joined(*pair)]
                if order[0] < order[-1] and inside and set(map(frozenset, inside)) == set(map(frozenset, links)):
                    found[order] = score(links)
    else:
        for chosen in combinations(latents, 4):
            for b in chosen[1:]:
                a = chosen[0]
                c, d = (x for x in chosen[1:] if x != b)
                across = [(a, c), (a, d), (b, c), (b, d)]
                if all(is_joined(*pair) for pair in across) and not is_joined(a, b) and not is_joined(c, d):
                    found[a, b, c, d] = score(across)
    return found


VALUES = st.sampled_from([None, -1.0, 0.0, 0.5, 0.5, 2.0, 2**53 + 1])
GRAPHS = st.dictionaries(
    st.tuples(st.integers(0, 6), st.integers(0, 6)).filter(lambda pair: pair[0] < pair[1]), VALUES, max_size=21
)


@settings(max_examples=150)
@given(GRAPHS, st.sampled_from(KINDS), st.integers(1, 12), st.booleans())
def test_the_search_finds_what_the_definition_says(edges: Edges, kind: Kind, limit: int, whole: bool) -> None:
    low, high = SIZES[kind] if whole else (4, None if kind == "star" else 4)
    wanted = brute(edges, kind, low, high)
    found = list(motifs(graph_of(edges), kind, min_size=low, max_size=high))
    assert [motif.members for motif in found] == sorted(wanted)
    assert {motif.members: motif.score for motif in found} == wanted

    best = BestMotifs(limit)
    best.search("one", graph_of(edges), kind, min_size=low, max_size=high)
    best.search("two", graph_of(edges), kind, min_size=low, max_size=high)
    ordered = sorted(
        ((sae, m.members, m.score) for sae in ("one", "two") for m in found),
        key=lambda entry: (entry[2] is None, -(entry[2] or 0), entry[0], entry[1]),
    )
    assert [(sae, motif.members, motif.score) for sae, motif in best.best()] == ordered[:limit]
    assert best.more == (len(ordered) > limit)


def induced_by_igraph(graph: igraph.Graph, size: int, pattern: igraph.Graph) -> set[frozenset[int]]:
    found: set[frozenset[int]] = set()
    wanted = pattern.isoclass()

    def seen(_: Any, vertices: list[int], kind: int) -> bool:
        if kind == wanted:
            found.add(frozenset(vertices))
        return False

    graph.motifs_randesu(size=size, callback=seen)
    return found


@pytest.mark.parametrize("seed", range(3))
def test_igraph_finds_the_same(seed: int) -> None:
    random.seed(seed)
    graph = igraph.Graph.Erdos_Renyi(n=40, p=0.15)
    edges = flat([(min(e.tuple), max(e.tuple)) for e in graph.es])
    for size in (3, 4, 5, 6):
        cliques = {frozenset(c) for c in graph.cliques(size, size)}
        assert {frozenset(m) for m in members(edges, "clique", size)} == cliques
        paths = members(edges, "path", size)
        assert len(set(paths)) == len(paths)
        line = igraph.Graph(n=size, edges=[(i, i + 1) for i in range(size - 1)])
        assert {frozenset(p) for p in paths} == induced_by_igraph(graph, size, line)
    fans = members(edges, "bifan")
    assert {frozenset(f) for f in fans} == induced_by_igraph(graph, 4, igraph.Graph.Ring(4))


def test_counts_above_2_to_the_53_are_told_apart() -> None:
    edges: Edges = {(0, 1): 2**53 + 1, (1, 2): 2**53 + 2, (3, 4): 2**53 + 2, (4, 5): 2**53 + 3}
    best = BestMotifs(1)
    best.search("sae", graph_of(edges), "path", min_size=3)
    (found,) = [motif for _, motif in best.best()]
    assert (found.members, found.score) == ((3, 4, 5), 2**53 + 2)


@pytest.mark.parametrize(
    ("kind", "given_sizes", "wanted"),
    [
        ("star", (None, None), (4, math.inf)),
        ("star", (None, 3), (3, 3)),
        ("star", (5, 9), (5, 9)),
        ("clique", (None, None), (4, 4)),
        ("clique", (3, None), (3, 3)),
        ("path", (None, 5), (4, 5)),
        ("path", (None, 3), (3, 3)),
        ("clique", (None, 6), (4, 6)),
        ("clique", (5, None), (5, 5)),
        ("star", (None, 10**400), (4, 10**400)),
        ("star", (10**400, None), (10**400, math.inf)),
        ("path", (3, 6), (3, 6)),
        ("bifan", (None, None), (4, 4)),
    ],
)
def test_sizes(kind: Kind, given_sizes: tuple[int | None, int | None], wanted: tuple[int, float]) -> None:
    assert checked_sizes(kind, *given_sizes) == wanted


@pytest.mark.parametrize(
    ("kind", "low", "high"),
    [
        ("star", 2, None),
        ("star", None, 2),
        ("clique", 2, None),
        ("clique", 3, 7),
        ("clique", None, 10**400),
        ("path", 7, None),
        ("path", 5, 4),
        ("path", None, -1),
        ("bifan", 5, None),
        ("bifan", None, 3),
    ],
)
def test_wrong_sizes_are_refused(kind: Kind, low: int | None, high: int | None) -> None:
    with pytest.raises(InputError, match="--min-size"):
        motifs(CoFiring(), kind, min_size=low, max_size=high)


def test_memory_does_not_grow_with_the_results() -> None:
    edges = flat(list(combinations(range(28), 2)))
    graph = graph_of(edges)
    tracemalloc.start()
    number = sum(1 for _ in motifs(graph, "clique", min_size=3, max_size=6))
    best = BestMotifs(10)
    best.search("sae", graph, "clique", min_size=6)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert number == sum(math.comb(28, k) for k in (3, 4, 5, 6))
    assert peak < 500_000


@pytest.fixture(scope="module")
def captures(tmp_path_factory: pytest.TempPathFactory) -> list[CaptureDir]:
    folder = tmp_path_factory.mktemp("captures")
    made = [
        make_capture(folder / name, random_arrays(seed, n_latents=14), sae_id=name)
        for seed, name in enumerate(("z", "a"))
    ]
    for capture in made:
        count(capture, CountSettings(edges="all", min_count=1))
    return made


@pytest.mark.parametrize("by", ["log_odds", "count", "phi", "decoder_cosine"])
def test_captures_are_searched_by_uid(captures: list[CaptureDir], by: Any) -> None:
    least = 0.2
    found = list(stream_motifs(capture_sources(captures, by, least), "path", min_size=3, max_size=4))
    wanted = []
    for capture in sorted(captures, key=lambda c: c.uid):
        rows = read_table(capture, EDGES).to_pylist()
        edges = {(row["a"], row["b"]): row[by] for row in rows if row["log_odds"] >= least}
        scores = brute(edges, "path", 3, 4)
        wanted += [(capture.uid, chosen, scores[chosen]) for chosen in sorted(scores)]
    assert [(sae, motif.members, motif.score) for sae, motif in found] == wanted
    assert len({sae for sae, _, _ in wanted}) == 2
    best, more = best_motifs(capture_sources(captures, by, least), "path", limit=5, min_size=3, max_size=4)
    assert more
    assert [(s, m.members, m.score) for s, m in best] == sorted(
        wanted, key=lambda entry: (entry[2] is None, -(entry[2] or 0), entry[0], entry[1])
    )[:5]


def test_progress_reaches_its_end(captures: list[CaptureDir]) -> None:
    told: list[tuple[str, str, int, int]] = []
    for _ in stream_motifs(capture_sources(captures), "star", min_size=3, progress=lambda *step: told.append(step)):
        pass
    for sae in ("test/a", "test/z"):
        for stage in ("read", "search"):
            steps = [(done, total) for uid, s, done, total in told if (uid, s) == (sae, stage)]
            assert steps == sorted(steps)
            assert steps[-1][0] == steps[-1][1] > 0


def test_an_uncounted_capture_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match="cofire count"):
        capture_sources([make_capture(tmp_path, random_arrays(1))])
