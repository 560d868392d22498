"""The files for `neo4j-admin database import full`, Neo4j's offline bulk import.

What its CSV cannot say is written in marks, characters that Unicode keeps out of text for good (noncharacters): one
stands between list items, one for an empty list and one for a list of one empty text, which the import would both take
for no list at all. `schema.cypher`, run on the new database, turns these two back and makes constraints and indexes.
"""

from __future__ import annotations

from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from cofire.errors import InputError
from cofire.schema.base import Node, Property
from cofire.schema.cypher import ddl, neo4j_ddl
from cofire.store.export.formats import SOURCE, TARGET, Kind, TableWriter, columns, sort_name
from cofire.store.plan.limits import check_rows

if TYPE_CHECKING:
    import pyarrow as pa

    from cofire.store.plan.section import Row

MARKS = tuple((chr(code), chr(code + 1), chr(code + 2)) for code in range(0xFDD0, 0xFDEE, 3))
"""(between items, empty list, list of one empty text), to be tried in turn."""

_TYPES = {"string": "string", "integer": "long", "float": "double", "boolean": "boolean"}
_IMPORT = """\
#!/bin/sh
# Makes a Neo4j database of this export. Stop the server first.
#
#     NEO4J_ADMIN=/opt/neo4j/bin/neo4j-admin sh import.sh [--overwrite-destination] [more options of the import]
#
# The database is NEO4J_DATABASE, or neo4j. Without --overwrite-destination one that holds data is refused.
set -eu
cd "$(dirname "$0")"
${NEO4J_ADMIN:-neo4j-admin} database import full @import-arguments.txt "$@" "${NEO4J_DATABASE:-neo4j}"
echo "Imported. Start the server, then: cypher-shell -d ${NEO4J_DATABASE:-neo4j} -f schema.cypher" >&2
"""

_AWAIT = "CALL db.awaitIndexes(300)"
"""Until an index is populated, the queries that search in it miss rows. Seconds; the call fails when they pass."""


class MarkTaken(Exception):
    """A text has one of the marks in it: the export is to be written again with others."""


class Neo4jAdminWriter(TableWriter):
    """Header and data files, the import's arguments, and what is to be run afterwards.

    Args:
        folder: an empty directory.
        marks: one of MARKS.

    Raises:
        MarkTaken: by `write`; see there.
    """

    suffix = ".csv"

    def __init__(self, folder: Path, marks: tuple[str, str, str] = MARKS[0]) -> None:
        self._between, self._empty, self._one_empty = marks
        self._taken = set(marks)
        # (label or type, property) of the lists that schema.cypher has to mend, by mark
        self._mend: set[tuple[Kind, Property, str]] = set()
        # sorts with line ends in their texts
        self._multiline: set[str] = set()
        super().__init__(folder)

    def _writer(self, file: IO[bytes], schema: Any) -> Any:
        import pyarrow.csv as pc

        return pc.CSVWriter(file, schema, write_options=pc.WriteOptions(include_header=False))

    def _open(self, kind: Kind) -> None:
        super()._open(kind)
        (self.folder / f"{sort_name(kind)}.header.csv").write_text(_header(kind), encoding="utf-8")

    def _append(self, kind: Kind, rows: list[Row]) -> None:
        if isinstance(kind, Node) and kind.shared:
            check_rows("this export", kind, rows)  # an embedded store takes longer texts than Neo4j's indexes
        for place, prop in enumerate(columns(kind)):
            if prop.type.startswith("list"):
                for row in rows:
                    if row[place] in ([], [""]):
                        self._mend.add((kind, prop, self._empty if row[place] == [] else self._one_empty))
        super()._append(kind, rows)

    def _table(self, kind: Kind, rows: list[Row]) -> pa.Table:
        import pyarrow as pa
        import pyarrow.compute as pc

        table = super()._table(kind, rows)
        texts = (column for column in table.columns if column.type == pa.string())
        if any(pc.any(pc.match_substring_regex(column, "[\r\n]")).as_py() for column in texts):
            self._multiline.add(sort_name(kind))
        return table

    def _cell(self, prop: Property, value: list[Any] | None) -> Any:
        if value is None:
            return None
        if not value or value == [""]:
            if prop.type != "list<string>":
                raise InputError(f"{prop.name}: an empty list of numbers cannot be imported; use --format parquet")
            return self._empty if not value else self._one_empty
        items = value if prop.type == "list<string>" else [repr(item) for item in value]
        if prop.type == "list<string>" and not self._taken.isdisjoint("".join(items)):
            raise MarkTaken
        return self._between.join(items)

    def close(self) -> None:
        """Finish all files and write those that say what to do with them."""
        super().close()
        (self.folder / "import-arguments.txt").write_text("".join(f"{a}\n" for a in self._arguments()), "utf-8")
        (self.folder / "import.sh").write_text(_IMPORT, encoding="utf-8")
        (self.folder / "import.sh").chmod(0o755)
        statements = [*self._mending(), *ddl(), *neo4j_ddl(), _AWAIT]
        (self.folder / "schema.cypher").write_text("".join(f"{s};\n" for s in statements), encoding="utf-8")

    def _arguments(self) -> list[str]:
        """The options that the files need. The import reads files with line ends in their texts in a slower way.

        Neo4j 2026.08 takes no bare file name.
        """
        arguments = [f"--array-delimiter=U+{ord(self._between):04X}"]
        if self._multiline:
            files = ",".join(f"./{name}.csv" for name in sorted(self._multiline))
            arguments += ["--multiline-fields-format=v2", f"--multiline-fields={files}"]
        for kind in self.kinds:
            option, name = ("nodes", kind.label) if isinstance(kind, Node) else ("relationships", kind.type)
            arguments.append(f"--{option}={name}=./{sort_name(kind)}.header.csv,./{sort_name(kind)}.csv")
        return arguments

    def _mending(self) -> list[str]:
        statements = []
        for kind, prop, mark in sorted(self._mend, key=lambda entry: (sort_name(entry[0]), entry[1].name, entry[2])):
            pattern = f"(n:{kind.label})" if isinstance(kind, Node) else f"()-[n:{kind.type}]->()"
            good = "[]" if mark == self._empty else "['']"
            statements.append(
                f"MATCH {pattern} WHERE n.{prop.name} = ['\\u{ord(mark):04X}'] SET n.{prop.name} = {good}"
            )
        return statements


def _header(kind: Kind) -> str:
    if isinstance(kind, Node):
        return ",".join(f"{p.name}:{_type(p, kind)}" for p in kind.properties) + "\n"
    ends = {SOURCE: f":START_ID({kind.source.label})", TARGET: f":END_ID({kind.target.label})"}
    return ",".join([*ends.values(), *(f"{p.name}:{_type(p)}" for p in kind.properties)]) + "\n"


def _type(prop: Property, node: Node | None = None) -> str:
    if node is not None and prop.key:
        return f"ID({node.label})"
    if prop.type.startswith("list<"):
        return f"{_TYPES[prop.type[len('list<') : -1]]}[]"
    return _TYPES[prop.type]
