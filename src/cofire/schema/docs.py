"""Write the reference pages of the graph and of the tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from cofire.schema.base import Node, Property, Relationship
from cofire.schema.nodes import NODES
from cofire.schema.relationships import RELATIONSHIPS
from cofire.schema.tables import TABLES, Table

__all__ = ["escaped", "graph_page", "tables_page"]

_GRAPH_HEAD = """\
# The graph

Made from `cofire.schema`; do not edit. Every node of one SAE carries `sae`, the SAE's uid; ask for
`(:Sae {status: 'ready'})` to leave out what is being loaded or deleted. A property that is undefined is absent. What is
marked *not written yet* has its names fixed and its constraints made, but no rows in this version.

"""

_TABLES_HEAD = """\
# The tables

Made from `cofire.schema.tables`; do not edit. `CAPTURE/tables/NAME.parquet`, each sorted by its key. The same value in
the graph is the camelCase property (`firing_count` is `firingCount`). A value that is undefined is null.

"""

_NOT_YET = " *Not written yet.*"


def graph_page() -> str:
    """Return docs/graph.md."""
    arrows = "".join(f"    {_arrow(r)}{'' if r.written else '   (not written yet)'}\n" for r in RELATIONSHIPS)
    nodes = "\n".join(_node(node) for node in NODES)
    relationships = "\n".join(_relationship(r) for r in RELATIONSHIPS)
    return f"{_GRAPH_HEAD}{arrows}\n## Nodes\n\n{nodes}\n## Relationships\n\n{relationships}"


def tables_page(made_by: Mapping[str, str]) -> str:
    """Return docs/tables.md; `made_by` has, by name, the command that makes a table."""
    return _TABLES_HEAD + "\n".join(_table(table, made_by[table.name]) for table in TABLES)


def _arrow(relationship: Relationship) -> str:
    return f"(:{relationship.source.label})-[:{relationship.type}]->(:{relationship.target.label})"


def _node(node: Node) -> str:
    shared = " Shared by several SAEs." if node.shared else ""
    return (
        f"### {node.label}\n\n{escaped(node.description)}{shared}{'' if node.written else _NOT_YET}\n\n"
        + _properties(node.properties)
    )


def _relationship(relationship: Relationship) -> str:
    head = f"### {_arrow(relationship)}\n\n{escaped(relationship.description)}"
    table = f"\n{_properties(relationship.properties)}" if relationship.properties else ""
    return f"{head}{'' if relationship.written else _NOT_YET}\n{table}"


def _properties(properties: Iterable[Property]) -> str:
    text = "| property | type | | meaning |\n|---|---|---|---|\n"
    for p in properties:
        mark = "key" if p.key else "index" if p.index else ""
        text += f"| `{p.name}` | {escaped(p.type)} | {mark} | {escaped(p.description)} |\n"
    return text


def _table(table: Table, made_by: str) -> str:
    key = ", ".join(f"`{name}`" for name in table.key)
    text = f"## {table.name}\n\n{escaped(table.description)} Key: {key}. Made by `{made_by}`.\n\n"
    text += "| column | type | null | meaning |\n|---|---|---|---|\n"
    for c in table.columns:
        text += f"| `{c.name}` | {escaped(c.type)} | {'yes' if c.nullable else ''} | {escaped(c.description)} |\n"
    return text


def escaped(text: str) -> str:
    """Return text that Markdown shows as it is, inside a table too."""
    for sign in "\\|<*`":
        text = text.replace(sign, f"\\{sign}")
    return text
