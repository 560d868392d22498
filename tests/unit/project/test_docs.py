"""The generated reference pages are those of this code, and nothing is missing from them."""

from __future__ import annotations

import pytest

from cofire.cli.docs import pages
from cofire.queries.library import library
from cofire.schema.docs import escaped
from cofire.schema.nodes import NODES
from cofire.schema.relationships import RELATIONSHIPS
from cofire.schema.tables import TABLES
from repository import ROOT

DOCS = ROOT / "docs"


@pytest.mark.parametrize("name", sorted(pages()))
def test_page_is_current(name: str) -> None:
    assert (DOCS / name).read_text(encoding="utf-8") == pages()[name], "run .venv/bin/python -m cofire.cli.docs docs"


def test_every_query_is_documented() -> None:
    text = (DOCS / "queries.md").read_text(encoding="utf-8")
    assert len(library()) >= 10
    for query in library().values():
        assert f"`{query.name}`" in text or query.name in text
        assert escaped(query.description) in text


def test_every_property_and_column_is_documented() -> None:
    graph, tables = (DOCS / "graph.md").read_text(), (DOCS / "tables.md").read_text()
    for kind in (*NODES, *RELATIONSHIPS):
        for prop in kind.properties:
            assert prop.name in graph
            assert prop.description.replace("|", "\\|") in graph
    for table in TABLES:
        for column in table.columns:
            assert column.name in tables


def test_every_command_is_documented() -> None:
    text = (DOCS / "cli.md").read_text()
    for command in (
        "capture",
        "import activations",
        "count",
        "analyze",
        "ingest",
        "query run",
        "cypher",
        "saes",
        "report",
    ):
        assert f"`cofire {command}`" in text
