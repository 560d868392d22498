"""The generated reference pages are those of this code, and nothing is missing from them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import typer

from cofire.cli.app import app
from cofire.cli.docs import pages
from cofire.queries.library import library
from cofire.schema.base import Node
from cofire.schema.docs import escaped
from cofire.schema.nodes import NODES
from cofire.schema.relationships import RELATIONSHIPS
from cofire.schema.tables import TABLES
from repository import ROOT

DOCS = ROOT / "docs"


@pytest.mark.parametrize("name", sorted(pages()))
def test_page_is_current(name: str) -> None:
    assert (DOCS / name).read_text(encoding="utf-8") == pages()[name], "run .venv/bin/python -m cofire.cli.docs docs"


def sections(name: str, level: int) -> dict[str, str]:
    """The text below each heading of a level, by the heading."""
    parts = re.split(rf"^#{{{level}}} (.+)\n", (DOCS / name).read_text(encoding="utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def rows(text: str) -> list[list[str]]:
    """The cells of a section's tables, but for their heads; a sign that Markdown would read is as it was."""
    lines = [re.split(r"(?<!\\)\|", line)[1:-1] for line in text.splitlines() if line.startswith("|")]
    return [[re.sub(r"\\([\\`*_<|\[])", r"\1", cell.strip()) for cell in line] for line in lines]


def test_every_query_is_documented_with_its_parameters_and_columns() -> None:
    found = sections("queries.md", 2)
    assert len(library()) >= 50
    for query in library().values():
        assert escaped(query.description) in found[query.name]
        names = [row[0].strip("`") for row in rows(found[query.name])]
        for part in (*query.parameters, *query.columns):
            assert part.name in names, f"{query.name}: {part.name}"


def test_every_property_is_documented_below_its_node_or_relationship() -> None:
    nodes = sections("graph.md", 3)
    for kind in (*NODES, *RELATIONSHIPS):
        title = kind.label if isinstance(kind, Node) else kind.type
        text = next(text for heading, text in nodes.items() if title in re.findall(r"\w+", heading))
        meanings = {row[0].strip("`"): row[-1] for row in rows(text)}
        for prop in kind.properties:
            assert meanings[prop.name] == prop.description, f"{title}.{prop.name}"


def test_every_column_is_documented_below_its_table() -> None:
    tables = sections("tables.md", 2)
    for table in TABLES:
        meanings = {row[0].strip("`"): row for row in rows(tables[table.name])}
        for column in table.columns:
            _, type_, null, meaning = meanings[column.name]
            assert (type_, null, meaning) == (column.type, "yes" if column.nullable else "", column.description)


def commands(group: Any, name: str = "cofire") -> Iterator[tuple[str, Any]]:
    """Every command of the command line and its groups."""
    for word, one in group.commands.items():
        yield from commands(one, f"{name} {word}") if hasattr(one, "commands") else [(f"{name} {word}", one)]


def test_every_command_and_option_is_documented() -> None:
    text = (DOCS / "cli.md").read_text(encoding="utf-8")
    parts = re.split(r"^#+ `(cofire[^`]*)`\n", text, flags=re.MULTILINE)
    found = dict(zip(parts[1::2], parts[2::2], strict=True))
    known = dict(commands(typer.main.get_command(app)))
    assert {"cofire capture", "cofire import activations", "cofire query run", "cofire motifs"} <= known.keys()
    for name, command in known.items():
        for option in command.params:
            for flag in option.opts if option.param_type_name == "option" else ():
                assert re.search(rf"^\* `[^`]*{flag}\b", found[name], re.MULTILINE), f"{name} {flag}"
