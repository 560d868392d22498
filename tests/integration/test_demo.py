"""scripts/demo, run as a newcomer runs it, on both stores; then the library's queries and docs/ask.md on its graphs.

The suite has it read less text than a newcomer does. What a model computes on the spot differs in the last bits from
one processor to the next, and clusters with it: so nothing is pinned here but what holds on any machine. With
COFIRE_TEST_DEMO=full (`scripts/soak demo`) it reads what a newcomer's reads, and docs/ask.md is held against it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from ask_page import PAGE, cell, examples, kind, near
from cofire import KnowledgeBase
from cofire.queries.library import library
from cofire.store import open_store
from demo_script import QUESTIONS, demo, written
from graphs import dump_graph, wipe

FULL = os.environ.get("COFIRE_TEST_DEMO") == "full"
TOKENS = 60_000 if FULL else 15_000
RELEASE = "smollm2-135m-instruct-res"
SAE_12, SAE_18 = f"{RELEASE}/layer_12/batchtopk_2048", f"{RELEASE}/layer_18/batchtopk_2048"
pytestmark = pytest.mark.timeout(1800)


def run_demo(place: Path, *more: str, **environment: str) -> str:
    fewer = {} if FULL else {"COFIRE_RUNS": "3", "COFIRE_REWIRES": "5"}
    return demo("--out", str(place), "--tokens", str(TOKENS), *more, **fewer, **environment)


@pytest.fixture(scope="module")
def demo_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What scripts/demo makes: captures, an embedded store, reports."""
    place = tmp_path_factory.mktemp("demo") / "out"
    answer = run_demo(place)
    for question in QUESTIONS:
        assert question in answer
    return place


@pytest.fixture(scope="module")
def neo4j_demo(demo_dir: Path, neo4j_server: Any) -> Iterator[Any]:
    with neo4j_server.open() as store:
        wipe(store)
    before = written(demo_dir)
    credentials = {"NEO4J_USERNAME": neo4j_server.username, "NEO4J_PASSWORD": neo4j_server.password}
    answer = run_demo(demo_dir, "--store", neo4j_server.uri, **credentials)
    for question in QUESTIONS:
        assert question in answer
    assert written(demo_dir) == before
    yield neo4j_server
    with neo4j_server.open() as store:
        wipe(store)


def test_a_second_run_uses_what_is_there(demo_dir: Path) -> None:
    before = written(demo_dir)
    assert all(question in run_demo(demo_dir) for question in QUESTIONS[:1])
    assert written(demo_dir) == before
    for layer in ("layer_12", "layer_18"):
        assert (demo_dir / "report" / layer / "index.html").stat().st_size > 100_000


def test_the_demo_counts_what_it_says(demo_dir: Path) -> None:
    with KnowledgeBase(demo_dir / "store") as kb:
        saes = kb.saes()
    assert saes["uid"].tolist() == [SAE_12, SAE_18]
    assert (saes["tokens"] >= 0.99 * TOKENS).all()


def parameters(kb: KnowledgeBase, name: str) -> list[dict[str, Any]]:
    """A few sensible parameter sets of a query on the demo graph."""
    edges = kb.query("strongest_edges", sae=SAE_12, limit=3)
    clusters = kb.query("densest_clusters", sae=SAE_12, limit=2)["cluster"].tolist()
    sets: list[dict[str, Any]] = [{}]
    query = library()[name]
    for parameter in query.parameters:
        choices: dict[str, list[Any]] = {
            "sae": [SAE_12, SAE_18] if len(query.parameters) < 3 else [SAE_12],
            "index": edges["a"].tolist(),
            "a": edges["a"].tolist()[:1],
            "b": edges["b"].tolist()[:2],
            "indices": [edges["a"].tolist() + edges["b"].tolist()],
            "cluster": clusters,
            "text": [" sister", "'s", "\n"],
            "sae_a": [SAE_12],
            "sae_b": [SAE_18],
            "word": ["sister", "s", "no such word"],
            "phrase": ["sister", "'s"],
            "function": ["composition", "ambiguity", "hierarchy"],
        }
        if parameter.name in choices:
            sets = [{**one, parameter.name: value} for one in sets for value in choices[parameter.name]]
    assert sets
    return sets


@pytest.fixture(scope="module")
def both(demo_dir: Path, neo4j_demo: Any) -> Iterator[tuple[KnowledgeBase, KnowledgeBase]]:
    """The demo graph on the embedded store and on Neo4j, opened once for all queries."""
    with (
        KnowledgeBase(demo_dir / "store") as embedded,
        KnowledgeBase(neo4j_demo.uri, username=neo4j_demo.username, password=neo4j_demo.password) as neo4j,
    ):
        yield embedded, neo4j


@pytest.mark.parametrize("name", sorted(library()))
def test_every_query_gives_the_same_rows_on_both_stores(both: tuple[KnowledgeBase, KnowledgeBase], name: str) -> None:
    embedded, neo4j = both
    for given in parameters(embedded, name):
        if name == "nearest_decoders":  # a vector index is approximate, and each store has its own
            rows, others = (kb.query(name, **given).set_index("index") for kb in both)
            common = rows.index.intersection(others.index)
            assert len(common) >= 0.7 * len(rows) > 0
            pd.testing.assert_frame_equal(rows.loc[common], others.loc[common], obj=f"{name} {given}")
            continue
        pd.testing.assert_frame_equal(
            embedded.query(name, **given), neo4j.query(name, **given), check_exact=True, obj=f"{name} {given}"
        )


@pytest.mark.parametrize("example", examples(), ids=lambda one: one.title)
def test_ask_md_gives_such_tables_on_both_stores(both: tuple[KnowledgeBase, KnowledgeBase], example: Any) -> None:
    tables = [list(kb.iter(example.text)) for kb in both]
    assert repr(tables[0]) == repr(tables[1])
    assert [list(row) for row in tables[0]] == [example.columns] * len(tables[0])
    rows = [[cell(value) for value in row.values()] for row in tables[0]]
    assert rows
    of_the_page = {tuple(map(kind, row)) for row in example.rows}
    assert {tuple(map(kind, row)) for row in rows} <= of_the_page
    if FULL:
        lost = [row for row in example.rows if not any(near(example.columns, row, other) for other in rows)]
        assert len(lost) <= len(example.rows) // 4, f"of the page {lost}, found {rows}"


def test_ask_md_has_ten_examples_and_each_its_table() -> None:
    titles = re.findall(r"^## (.+)$", PAGE, re.MULTILINE)
    assert [e.title for e in examples()] == titles
    assert len(titles) == 10
    assert PAGE.count("```cypher") == 10
    assert all(e.rows for e in examples())


def test_the_two_graphs_are_the_same(demo_dir: Path, neo4j_demo: Any) -> None:
    with open_store(demo_dir / "store") as embedded, neo4j_demo.open() as neo4j:
        assert dump_graph(embedded) == dump_graph(neo4j)
