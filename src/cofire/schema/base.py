"""The three shapes that a graph schema is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

PropertyType = Literal["string", "integer", "float", "boolean", "list<integer>", "list<float>", "list<string>"]


@dataclass(frozen=True)
class Property:
    """One property: camelCase name, type and meaning.

    Attributes:
        key: the property identifies its node: a uniqueness constraint is made, and loads MERGE on it.
        index: a range index is made.
    """

    name: str
    type: PropertyType
    description: str
    key: bool = False
    index: bool = False


@dataclass(frozen=True)
class Node:
    """One sort of node.

    Attributes:
        shared: several SAEs may point at one such node (a release, a token), so a load MERGEs it and the deletion of
            an SAE leaves it.
        written: a stage of this version writes such nodes; False for those that a later version fills.
    """

    label: str
    description: str
    properties: tuple[Property, ...]
    shared: bool = False
    written: bool = True

    @property
    def key(self) -> str:
        """The name of the property that identifies a node."""
        return next(p.name for p in self.properties if p.key)


@dataclass(frozen=True)
class Relationship:
    """One sort of relationship, (source)-[type]->(target)."""

    type: str
    source: Node
    target: Node
    description: str
    properties: tuple[Property, ...] = ()
    written: bool = True


def camel_case(name: str) -> str:
    """Return the property of a table's column or figure: log_odds -> logOdds."""
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)
