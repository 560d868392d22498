"""docs/ask.md: each of its queries gives the table that stands below it, on both stores."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from cofire import KnowledgeBase
from cofire.ingest.capture_dir.directory import find_captures
from cofire.pipeline import ingest
from cofire.settings import load_settings
from graphs import wipe
from repository import ROOT
from servers import Neo4jServer

PAGE = ROOT / "docs" / "ask.md"
BLOCK = re.compile(
    r"^## (?P<title>[^\n]+)\n\n```cypher\n(?P<text>.*?)^```\n\n(?P<table>(?:\|[^\n]*\n)+)", re.DOTALL | re.MULTILINE
)

pytestmark = pytest.mark.timeout(1800)


class Example(NamedTuple):
    title: str
    text: str
    columns: list[str]
    rows: list[list[str]]


def examples() -> list[Example]:
    """The worked examples of the page, in order."""
    found = []
    for match in BLOCK.finditer(PAGE.read_text(encoding="utf-8")):
        head, _, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in match["table"].splitlines())
        found.append(Example(match["title"], match["text"], head, rows))
    return found


def cell(value: Any) -> str:
    """A value as the page writes it."""
    text = json.dumps(value, ensure_ascii=False)
    return f"`{text}`" if isinstance(value, str | list) else text


def test_there_are_ten_examples_and_each_has_its_table() -> None:
    page = PAGE.read_text(encoding="utf-8")
    titles = re.findall(r"^## (.+)$", page, re.MULTILINE)
    assert [e.title for e in examples()] == titles
    assert len(titles) == 10
    assert page.count("```cypher") == 10
    assert all(e.rows for e in examples())


def check(kb: KnowledgeBase) -> None:
    for example in examples():
        rows = list(kb.iter(example.text))
        assert [list(row) for row in rows] == [example.columns] * len(example.rows), example.title
        assert [[cell(value) for value in row.values()] for row in rows] == example.rows, example.title


def test_the_answers_on_the_embedded_store(demo_dir: Path) -> None:
    with KnowledgeBase(demo_dir / "store") as kb:
        check(kb)


@pytest.fixture
def neo4j_graph(demo_dir: Path, neo4j_server: Neo4jServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[KnowledgeBase]:
    uri, username, password = neo4j_server
    for name in ("COFIRE_RUNS", "COFIRE_REWIRES"):  # or the demo's tables would be made anew
        monkeypatch.delenv(name, raising=False)
    with neo4j_server.open() as store:
        wipe(store)
        for capture in find_captures([demo_dir / "capture"]):
            ingest(capture, store, load_settings())
    with KnowledgeBase(uri, username=username, password=password) as kb:
        yield kb
    with neo4j_server.open() as store:
        wipe(store)


def test_the_answers_on_neo4j(neo4j_graph: KnowledgeBase) -> None:
    check(neo4j_graph)
