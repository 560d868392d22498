"""Writers of the export formats: each takes slices of rows by sort, in any order, and writes files into one directory.

    neo4j-admin   per sort NAME.header.csv and NAME.csv, schema.cypher, import-arguments.txt, import.sh
    csv, parquet  per sort one file NAME.csv or NAME.parquet
    graphml       graph.graphml

A sort is named by its label (`Latent`) or by SOURCE-TYPE-TARGET (`Latent-CO_FIRES-Latent`).
"""

from __future__ import annotations

import json
import re
import shutil
from abc import ABC, abstractmethod
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal
from xml.sax.saxutils import escape, quoteattr

from cofire.schema.base import Node, Property, Relationship
from cofire.schema.nodes import LOAD_JOURNAL, NODES
from cofire.schema.relationships import RELATIONSHIPS

if TYPE_CHECKING:
    import pyarrow as pa

    from cofire.store.plan.section import Row

Format = Literal["neo4j-admin", "parquet", "graphml", "csv"]
Kind = Node | Relationship
KINDS: tuple[Kind, ...] = (*NODES, *RELATIONSHIPS)

SOURCE, TARGET = "source", "target"

_ENDS = (
    Property(SOURCE, "string", "Key of the node that it comes from."),
    Property(TARGET, "string", "Key of the node that it goes to."),
)


def sort_name(kind: Kind) -> str:
    """Return the name of a sort of nodes or relationships, unique in the schema and safe in file names."""
    return kind.label if isinstance(kind, Node) else f"{kind.source.label}-{kind.type}-{kind.target.label}"


def columns(kind: Kind) -> tuple[Property, ...]:
    """Return the properties in the order of a row; a relationship begins with the keys of its two ends."""
    return kind.properties if isinstance(kind, Node) else (*_ENDS, *kind.properties)


class Writer(ABC):
    """Writes one export. Make it, call `write` for each slice, then `close`.

    Attributes:
        folder: an empty directory, the export's own.
        rows: how many rows each sort has so far; sorts that this version of cofire fills are there from the start.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rows: dict[str, int] = {}
        self.kinds: list[Kind] = []
        for kind in KINDS:
            if kind.written and kind != LOAD_JOURNAL:
                self._begin(kind)

    def write(self, kind: Kind, rows: list[Row]) -> None:
        """Append rows: the values in the order of the properties, before those of a relationship its two keys."""
        if sort_name(kind) not in self.rows:
            self._begin(kind)
        self.rows[sort_name(kind)] += len(rows)
        self._append(kind, rows)

    def _begin(self, kind: Kind) -> None:
        self.rows[sort_name(kind)] = 0
        self.kinds.append(kind)
        self._open(kind)

    @abstractmethod
    def _open(self, kind: Kind) -> None: ...

    @abstractmethod
    def _append(self, kind: Kind, rows: list[Row]) -> None: ...

    @abstractmethod
    def close(self) -> None:
        """Finish all files."""

    @abstractmethod
    def abandon(self) -> None:
        """Close the files, finished or not; they will be removed."""


class TableWriter(Writer):
    """One file for each sort, written slice by slice with Arrow."""

    suffix = ""

    def __init__(self, folder: Path) -> None:
        self._writers: dict[str, Any] = {}
        self._files: list[IO[bytes]] = []
        super().__init__(folder)

    def _open(self, kind: Kind) -> None:
        import pyarrow as pa

        schema = pa.schema([(p.name, self._type(p)) for p in columns(kind)])
        self._files.append((self.folder / f"{sort_name(kind)}{self.suffix}").open("wb"))
        self._writers[sort_name(kind)] = self._writer(self._files[-1], schema)

    def _append(self, kind: Kind, rows: list[Row]) -> None:
        self._writers[sort_name(kind)].write_table(self._table(kind, rows))

    def _table(self, kind: Kind, rows: list[Row]) -> pa.Table:
        import pyarrow as pa

        arrays = [
            pa.array([self._cell(p, value) for value in values] if p.type.startswith("list") else values, self._type(p))
            for p, values in zip(columns(kind), zip(*rows, strict=True), strict=True)
        ]
        return pa.Table.from_arrays(arrays, names=[p.name for p in columns(kind)])

    def close(self) -> None:
        """Finish all files."""
        for opened in (*self._writers.values(), *self._files):
            opened.close()

    def abandon(self) -> None:
        """Close the files as they are."""
        for opened in (*self._writers.values(), *self._files):
            with suppress(OSError):  # the disk may be full
                opened.close()

    @abstractmethod
    def _writer(self, file: IO[bytes], schema: Any) -> Any: ...

    def _type(self, prop: Property) -> Any:
        """The Arrow type of a column; lists are text in CSV."""
        return _arrow("string" if prop.type.startswith("list") else prop.type)

    def _cell(self, prop: Property, value: list[Any] | None) -> Any:  # noqa: ARG002 - other formats need the property
        """A list as it is written."""
        return None if value is None else json.dumps(value, ensure_ascii=False)


class CsvWriter(TableWriter):
    """Plain CSV: a header line, text in quotes, lists as JSON, nothing where a value is null, "" for empty text."""

    suffix = ".csv"

    def _writer(self, file: IO[bytes], schema: Any) -> Any:
        import pyarrow.csv as pc

        return pc.CSVWriter(file, schema)


class ParquetWriter(TableWriter):
    """Parquet: every value as it is, lists too."""

    suffix = ".parquet"

    def _writer(self, file: IO[bytes], schema: Any) -> Any:
        import pyarrow.parquet as pq

        return pq.ParquetWriter(file, schema, compression="zstd")

    def _type(self, prop: Property) -> Any:
        return _arrow(prop.type)

    def _cell(self, prop: Property, value: list[Any] | None) -> Any:  # noqa: ARG002 - as above
        return value


def _arrow(kind: str) -> Any:
    import pyarrow as pa

    if kind.startswith("list<"):
        return pa.list_(_arrow(kind[len("list<") : -1]))
    return {"string": pa.string(), "integer": pa.int64(), "float": pa.float64(), "boolean": pa.bool_()}[kind]


_XML_HEAD = """<?xml version="1.0" encoding="UTF-8"?>
<graphml xmlns="http://graphml.graphdrawing.org/xmlns">
"""
# What XML 1.0 cannot hold; a carriage return it can, but only as a reference.
_NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


class GraphmlWriter(Writer):
    """GraphML: nodes first, then edges, which wait in a file of their own. Lists are JSON text, nulls are left out.

    A node's label and an edge's type is its `type`.
    """

    def __init__(self, folder: Path) -> None:
        self._nodes = (folder / "graph.graphml").open("w", encoding="utf-8", newline="\n")
        self._edges = (folder / "edges.part").open("w", encoding="utf-8", newline="\n")
        self._nodes.write(_XML_HEAD)
        for domain, sort in (("node", Node), ("edge", Relationship)):
            types: dict[str, set[str]] = {"type": {"string"}}
            for prop in (p for kind in KINDS if isinstance(kind, sort) for p in kind.properties):
                types.setdefault(prop.name, set()).add(prop.type)
            for name, found in types.items():
                key = f'id="{domain}_{name}" for="{domain}" attr.name="{name}" attr.type="{_xml_type(found)}"'
                self._nodes.write(f"<key {key}/>\n")
        self._nodes.write('<graph edgedefault="directed">\n')
        super().__init__(folder)

    def _open(self, kind: Kind) -> None:
        """All sorts share the one file."""

    def _append(self, kind: Kind, rows: list[Row]) -> None:
        if isinstance(kind, Node):
            key = [p.name for p in kind.properties].index(kind.key)
            for row in rows:
                self._nodes.write(f"<node id={_xml_id(kind, row[key])}>")
                self._nodes.write(_xml_data("node", kind.label, kind.properties, row) + "</node>\n")
            return
        for source, target, *row in rows:
            ends = f"source={_xml_id(kind.source, source)} target={_xml_id(kind.target, target)}"
            self._edges.write(f"<edge {ends}>{_xml_data('edge', kind.type, kind.properties, row)}</edge>\n")

    def close(self) -> None:
        """Put the edges after the nodes and finish the file."""
        self._edges.close()
        with (self.folder / "edges.part").open("rb") as edges:
            self._nodes.flush()
            shutil.copyfileobj(edges, self._nodes.buffer, 1024 * 1024)
        self._nodes.write("</graph>\n</graphml>\n")
        self._nodes.close()
        (self.folder / "edges.part").unlink()

    def abandon(self) -> None:
        """Close the files as they are."""
        for opened in (self._edges, self._nodes):
            with suppress(OSError):  # the disk may be full
                opened.close()


def _xml_type(types: set[str]) -> str:
    """The GraphML type of a name; it has only one, whichever sort of node or edge it is on."""
    if types == {"integer", "float"}:
        return "double"
    known = {"integer": "long", "float": "double", "boolean": "boolean"}
    return known.get(types.pop(), "string") if len(types) == 1 else "string"


def _xml_id(node: Node, key: str) -> str:
    """An id for the document: keys of different labels may be the same."""
    return quoteattr(_xml_text(f"{node.label}:{key}"), {"\r": "&#13;", "\n": "&#10;", "\t": "&#9;"})


def _xml_data(domain: str, label: str, properties: tuple[Property, ...], row: Row) -> str:
    parts = [f'<data key="{domain}_type">{label}</data>']
    for prop, value in zip(properties, row, strict=True):
        if value is not None:
            text = escape(_xml_text(_xml_value(value)), {"\r": "&#13;"})
            parts.append(f'<data key="{domain}_{prop.name}">{text}</data>')
    return "".join(parts)


def _xml_value(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return json.dumps(value, ensure_ascii=False)
    return str(value).lower() if isinstance(value, bool) else repr(value)


def _xml_text(text: str) -> str:
    return _NOT_XML.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
