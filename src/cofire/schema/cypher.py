"""Cypher made from the schema: DDL and load statements.

Labels, types and property names come from the dataclasses alone; values are always parameters (`$rows`, a list of
lists in the order of the properties).
"""

from __future__ import annotations

from collections.abc import Sequence

from cofire.schema.base import Node, Relationship
from cofire.schema.nodes import NODES

WORDS_INDEX = "latent_words"
DECODER_INDEX = "latent_decoder"
MAX_DECODER_DIMS = 4096
"""The longest vector that Neo4j's index takes."""


def ddl(nodes: Sequence[Node] = NODES) -> list[str]:
    """Return the idempotent statements that make every constraint and index; both stores accept them."""
    statements: list[str] = []
    for node in nodes:
        for prop in node.properties:
            stem = f"{node.label.lower()}_{prop.name.lower()}"
            if prop.key:
                statements.append(
                    f"CREATE CONSTRAINT {stem}_unique IF NOT EXISTS "
                    f"FOR (n:{node.label}) REQUIRE n.{prop.name} IS UNIQUE"
                )
            elif prop.index:
                statements.append(f"CREATE INDEX {stem} IF NOT EXISTS FOR (n:{node.label}) ON (n.{prop.name})")
    return statements


def neo4j_ddl() -> list[str]:
    """Return the idempotent statements that make the indexes that only Neo4j has.

    Without fixed dimensions one vector index serves SAEs of any width up to 4,096; a search finds only vectors as long
    as the one that it is given.
    """
    words = (
        f"CREATE FULLTEXT INDEX {WORDS_INDEX} IF NOT EXISTS FOR (n:Latent) ON EACH [n.words] "
        "OPTIONS {indexConfig: {`fulltext.analyzer`: 'whitespace'}}"
    )
    decoders = (
        f"CREATE VECTOR INDEX {DECODER_INDEX} IF NOT EXISTS FOR (n:Latent) ON (n.decoder) "
        "OPTIONS {indexConfig: {`vector.similarity_function`: 'cosine'}}"
    )
    return [words, decoders]


def create_nodes(node: Node) -> str:
    """Return the statement that makes one node a row; a row lists the values in the order of `node.properties`."""
    values = ", ".join(f"{p.name}: row[{i}]" for i, p in enumerate(node.properties))
    return f"UNWIND $rows AS row CREATE (n:{node.label} {{{values}}})"


def merge_nodes(node: Node) -> str:
    """Return the statement that makes one node a row unless its key is there; then what the row knows is filled in.

    Shared nodes belong to several SAEs: that one does not contradict another is checked before (`check_shared`). What
    no SAE points at any more is overwritten.
    """
    position = next(i for i, p in enumerate(node.properties) if p.key)
    others = ", ".join(
        f"n.{p.name} = coalesce(row[{i}], n.{p.name})" for i, p in enumerate(node.properties) if not p.key
    )
    update = f" SET {others}" if others else ""
    return f"UNWIND $rows AS row MERGE (n:{node.label} {{{node.key}: row[{position}]}}){update}"


def create_relationships(relationship: Relationship) -> str:
    """Return the statement that makes one relationship a row: [source key, target key, properties in order]."""
    source, target = relationship.source, relationship.target
    values = ", ".join(f"{p.name}: row[{i + 2}]" for i, p in enumerate(relationship.properties))
    body = f" {{{values}}}" if values else ""
    return (
        f"UNWIND $rows AS row MATCH (a:{source.label} {{{source.key}: row[0]}}) "
        f"MATCH (b:{target.label} {{{target.key}: row[1]}}) CREATE (a)-[:{relationship.type}{body}]->(b)"
    )


def create_relationships_by_id(relationship: Relationship) -> str:
    """Return the same as `create_relationships` for rows whose first two values are elementIds (Neo4j only).

    Finding a node by its id takes no look into an index, which makes a fifth of the work of a relationship.
    """
    values = ", ".join(f"{p.name}: row[{i + 2}]" for i, p in enumerate(relationship.properties))
    return (
        "UNWIND $rows AS row MATCH (a) WHERE elementId(a) = row[0] MATCH (b) WHERE elementId(b) = row[1] "
        f"CREATE (a)-[:{relationship.type} {{{values}}}]->(b)"
    )
