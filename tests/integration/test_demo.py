"""scripts/demo, run as a newcomer runs it, on both stores; then every query of the library on the two demo graphs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from cofire import KnowledgeBase
from cofire.queries.library import library
from cofire.store import open_store
from demo_script import QUESTIONS, demo, written
from graphs import dump_graph, wipe

RELEASE = "smollm2-135m-instruct-res"
SAE_12, SAE_18 = f"{RELEASE}/layer_12/batchtopk_2048", f"{RELEASE}/layer_18/batchtopk_2048"
pytestmark = pytest.mark.timeout(1800)


@pytest.fixture(scope="module")
def neo4j_demo(demo_dir: Path, neo4j_server: Any) -> Iterator[Any]:
    with neo4j_server.open() as store:
        wipe(store)
    before = written(demo_dir)
    credentials = {"NEO4J_USERNAME": neo4j_server.username, "NEO4J_PASSWORD": neo4j_server.password}
    answer = demo("--out", str(demo_dir), "--store", neo4j_server.uri, **credentials)
    for question in QUESTIONS:
        assert question in answer
    assert written(demo_dir) == before
    yield neo4j_server
    with neo4j_server.open() as store:
        wipe(store)


def test_a_second_run_uses_what_is_there(demo_dir: Path) -> None:
    before = written(demo_dir)
    assert all(question in demo("--out", str(demo_dir)) for question in QUESTIONS[:1])
    assert written(demo_dir) == before
    for layer in ("layer_12", "layer_18"):
        assert (demo_dir / "report" / layer / "index.html").stat().st_size > 100_000


def test_the_demo_counts_what_it_says(demo_dir: Path) -> None:
    with KnowledgeBase(demo_dir / "store") as kb:
        saes = kb.saes()
    assert saes["uid"].tolist() == [SAE_12, SAE_18]
    assert (saes["tokens"] >= 40_000).all()


def parameters(kb: KnowledgeBase, name: str) -> list[dict[str, Any]]:
    """A few sensible parameter sets of a query on the demo graph."""
    edges = kb.query("strongest_edges", sae=SAE_12, limit=3)
    clusters = kb.query("hub_and_spoke_clusters", sae=SAE_12, min_centralization=0.5, limit=2)["cluster"].tolist()
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
        pd.testing.assert_frame_equal(
            embedded.query(name, **given), neo4j.query(name, **given), check_exact=True, obj=f"{name} {given}"
        )


def test_the_two_graphs_are_the_same(demo_dir: Path, neo4j_demo: Any) -> None:
    with open_store(demo_dir / "store") as embedded, neo4j_demo.open() as neo4j:
        assert dump_graph(embedded) == dump_graph(neo4j)
