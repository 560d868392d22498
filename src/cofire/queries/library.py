"""Read the query files and make typed, documented callables of them. `cofire.queries` describes the format."""

from __future__ import annotations

import difflib
import functools
import importlib.resources
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from cofire.errors import QueryError, WriteRefused
from cofire.queries.value_types import SCALARS, ValueType, check_value, parse_value, read_json

if TYPE_CHECKING:
    from cofire.store import Rows, Store

__all__ = [
    "Column",
    "Parameter",
    "Query",
    "find_query",
    "library",
    "nearest",
    "parse_parameters",
    "queries_with",
    "read_query",
]

_NAME = re.compile(r"name:\s*(?P<name>\S+)$")
_DESCRIPTION = re.compile(r"description:\s*(?P<description>\S.*)$")
_PARAM = re.compile(
    r"param\s+(?P<name>\w+):\s+(?P<type>[^=]+?)(?:\s+=\s+(?P<default>.+?))?\s+-\s+(?P<description>\S.*)$"
)
_RETURNS = re.compile(r"returns\s+(?P<name>\w+):\s+(?P<type>.+?)\s+-\s+(?P<description>\S.*)$")
_TYPE = re.compile(
    r"(?P<base>[\w<>]+(?:\|\w+)*)"
    r"(?:\s+(?P<low>-?\d+(?:\.\d+)?)?(?P<range>\.\.)(?P<high>-?\d+(?:\.\d+)?)?)?"
    r"(?P<null>\s+or null)?"
)
_ONLY = re.compile(r"//\s*only:\s*(?P<kind>\S*)\s*")
_KINDS = ("neo4j", "embedded")
# A parameter, its name perhaps in backticks; or a string, quoted name or comment, in which a `$` is no parameter.
_PARAMETER = re.compile(
    r"\$(?:(?P<name>\w+)|`(?P<quoted>(?:[^`]|``)*)`)"
    r"|'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\"|`[^`]*`|//[^\n]*|/\*.*?\*/",
    re.DOTALL,
)


@dataclass(frozen=True)
class Parameter:
    """One parameter of a query. `default` means nothing where it is required."""

    name: str
    type: ValueType
    description: str
    required: bool = True
    default: Any = None

    def __str__(self) -> str:
        """Return `name: type = default`."""
        text = f"{self.name}: {self.type}"
        return text if self.required else f"{text} = {json.dumps(self.default, ensure_ascii=False)}"


@dataclass(frozen=True)
class Column:
    """One result column of a query."""

    name: str
    type: ValueType
    description: str


@dataclass(frozen=True)
class Query:
    """One query of the library; call it with a store and its parameters.

    Attributes:
        name: what it is called by.
        description: what it answers.
        parameters: in the order of the header.
        columns: in the order of the result.
        text: the Cypher, without the header; of a file with two bodies, that for Neo4j.
        source: the whole file.
        file: the file that it was read from.
        line: the line on which its Cypher begins.
        embedded_text: the Cypher for the embedded store, where the file has two bodies.
        trusted: it is of cofire's own library; the text of a user's file passes the read-only guard before it is run.
    """

    name: str
    description: str
    parameters: tuple[Parameter, ...]
    columns: tuple[Column, ...]
    text: str
    source: str
    file: str
    line: int
    embedded_text: str | None = None
    trusted: bool = True

    def text_for(self, kind: str) -> str:
        """Return the Cypher for one kind of store, "neo4j" or "embedded"."""
        return self.embedded_text if kind == "embedded" and self.embedded_text is not None else self.text

    @property
    def signature(self) -> str:
        """The call as it reads in a reference: `name(parameter: type = default, ...)`."""
        return f"{self.name}({', '.join(str(p) for p in self.parameters)})"

    def bind(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Return the checked parameters with the defaults filled in.

        Raises:
            QueryError: a parameter is unknown (the nearest name is given), missing, or of the wrong type.
        """
        self._known(parameters)
        missing = [p.name for p in self.parameters if p.required and p.name not in parameters]
        if missing:
            raise QueryError(f"query {self.name}: missing {', '.join(missing)}; it is {self.signature}")
        return {
            p.name: check_value(parameters.get(p.name, p.default), p.type, f"query {self.name}: parameter {p.name}")
            for p in self.parameters
        }

    def _known(self, names: Iterable[str]) -> None:
        known = [p.name for p in self.parameters]
        for name in names:
            if name not in known:
                takes = f"it takes {', '.join(known)}" if known else "it takes none"
                raise QueryError(f"query {self.name}: unknown parameter {name}{nearest(name, known)}; {takes}")

    def prepare(
        self, store: Store, parameters: Mapping[str, Any], timeout: float | None = None
    ) -> tuple[str, dict[str, Any]]:
        """Return the text for the store and the checked parameters; a user's text is checked, too.

        Raises:
            TimeLimit: the check took longer than `timeout` seconds.
            QueryError: see `bind`; or the server does not accept a user's text.
            WriteRefused: a user's text would write.
        """
        text, bound = self.text_for(store.kind), self.bind(parameters)
        if not self.trusted:
            try:
                store.guard(text, bound, timeout)
            except (QueryError, WriteRefused) as error:
                raise type(error)(f"{self.file}:{self.line}: {error}") from error
        return text, bound

    def __call__(self, store: Store, timeout: float | None = None, /, **parameters: Any) -> Rows:
        """Ask the store; returns its rows, in the order and with the columns of the header.

        Raises:
            QueryError, WriteRefused: see `prepare`.
            TimeLimit: the answer took longer than `timeout` seconds.
        """
        text, bound = self.prepare(store, parameters, timeout)
        return store.read(text, bound, timeout)


@functools.cache
def library() -> Mapping[str, Query]:
    """Return every query by its name, in the order of the names.

    Raises:
        QueryError: a file's header is wrong; the message gives file and line.
    """
    folder = importlib.resources.files("cofire.queries")
    files = sorted((f for f in folder.iterdir() if f.name.endswith(".cypher")), key=lambda f: f.name)
    queries = (read_query(file.read_text(encoding="utf-8"), file.name) for file in files)
    return MappingProxyType({query.name: query for query in queries})


def queries_with(folder: str | Path | None) -> Mapping[str, Query]:
    """Return the library together with the queries of a user's folder, which come after it.

    Args:
        folder: a directory of `.cypher` files of the same format; None for the library alone.

    Raises:
        QueryError: there is no such directory or nothing in it, a file is wrong (the message gives file and line), or
            it has the name of a query of the library.
    """
    if folder is None:
        return library()
    try:
        files = sorted(file for file in Path(folder).iterdir() if file.suffix == ".cypher")
        # Some editors begin a file with a byte order mark, which is no part of its first line.
        sources = [(file, file.read_text(encoding="utf-8-sig")) for file in files]
    except (OSError, UnicodeDecodeError) as error:
        raise QueryError(f"the folder of queries {folder} cannot be read: {error}; give a directory") from error
    if not sources:
        raise QueryError(f"{folder} has no .cypher file; `cofire query show saes` shows what one looks like")
    queries = dict(library())
    for file, source in sources:
        query = read_query(source, str(file), trusted=False)
        if query.name in queries:
            raise QueryError(f"{file}:1: the library has a query {query.name}; give this one another name")
        queries[query.name] = query
    return MappingProxyType(queries)


GONE = {
    f"{what}_at_latent": f"`cofire motifs --at SAE/INDEX --kind {kind}`, in Python kb.motifs('{kind}', at='SAE/INDEX')"
    for what, kind in (("cliques", "clique"), ("chains", "path"), ("bifans", "bifan"))
}
"""What is asked instead of queries that the library once had."""


def find_query(name: str, queries: Mapping[str, Query] | None = None) -> Query:
    """Return the query of that name, of `queries`, by default those of the library.

    Raises:
        QueryError: there is none; the message gives the nearest name.
    """
    known = library() if queries is None else queries
    if name in GONE and name not in known:
        raise QueryError(f"{name} is no query any more; ask {GONE[name]}")
    if name not in known:
        raise QueryError(f"unknown query {name}{nearest(name, known)}; `cofire query list` shows all {len(known)}")
    return known[name]


def parse_parameters(query: Query, given: Mapping[str, str]) -> dict[str, Any]:
    """Read parameters from a command line's texts by their declared types.

    Returns:
        The given parameters alone, as values; `Query.bind` fills in the rest.

    Raises:
        QueryError: a parameter is unknown, or its text is not of its type.
    """
    query._known(given)
    types = {p.name: p.type for p in query.parameters}
    return {k: parse_value(v, types[k], f"query {query.name}: parameter {k}") for k, v in given.items()}


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ` (did you mean X?)` for the known name that is most like the given one, or nothing."""
    found = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean {found[0]}?)" if found else ""


def read_query(source: str, file: str, *, trusted: bool = True) -> Query:
    """Read one query file.

    Args:
        source: the file's text.
        file: its path or name, `NAME.cypher`, for the messages and to compare with the header's name.
        trusted: see `Query`.

    Raises:
        QueryError: the header or the text is wrong; the message begins with file:line.
    """
    header, line = _header(source, file)
    bodies = _bodies(source.splitlines(keepends=True), line, file)
    names: list[str] = []
    descriptions: list[str] = []
    parameters: list[Parameter] = []
    columns: list[Column] = []
    for number, entry in header:
        where = f"{file}:{number}"
        if match := _NAME.match(entry):
            names.append(match["name"])
        elif match := _DESCRIPTION.match(entry):
            descriptions.append(match["description"])
        elif match := _PARAM.match(entry):
            parameters.append(_parameter(match, where))
        elif match := _RETURNS.match(entry):
            columns.append(Column(match["name"], _type(match["type"], where), match["description"]))
        else:
            raise QueryError(f"{where}: not a header line: {entry!r}; see cofire.queries for the format")
    stem = Path(file).name.removesuffix(".cypher")
    if names != [stem] or not stem.isidentifier():
        raise QueryError(f"{file}:1: needs one line `// name: {stem}`, and that an identifier")
    if len(descriptions) != 1:
        raise QueryError(f"{file}:1: needs one line `// description: ...`")
    if not columns:
        raise QueryError(f"{file}:1: needs a line `// returns NAME: TYPE - MEANING` for each column")
    _unique("param", [p.name for p in parameters], file)
    _unique("returns", [c.name for c in columns], file)
    for first, text in bodies.values():
        _same_parameters({p.name for p in parameters}, text, f"{file}:{first}")
    first, text = bodies["neo4j"]
    other = bodies["embedded"][1] if bodies["embedded"][1] != text else None
    return Query(
        stem, descriptions[0], tuple(parameters), tuple(columns), text, source, file, first, other, trusted=trusted
    )


def _header(source: str, file: str) -> tuple[list[tuple[int, str]], int]:
    """Return the header's entries with their line numbers, and the line on which the Cypher begins."""
    entries: list[tuple[int, str]] = []
    lines = source.splitlines()
    number = 0
    for number, line in enumerate(lines, start=1):
        if _ONLY.fullmatch(line):
            return entries, number
        if line.startswith("//   ") and entries:
            entries[-1] = (entries[-1][0], f"{entries[-1][1]} {line[5:].strip()}")
        elif line.startswith("//"):
            entries.append((number, line[2:].strip()))
        elif line.strip():
            return entries, number
    raise QueryError(f"{file}:{max(number, 1)}: there is no Cypher; write it below the header")


def _bodies(lines: list[str], begin: int, file: str) -> dict[str, tuple[int, str]]:
    """Return the Cypher for each kind of store and the line on which it begins."""
    marks = [(i, match["kind"]) for i, line in enumerate(lines) if (match := _ONLY.fullmatch(line.strip()))]
    if not marks:
        return dict.fromkeys(_KINDS, (begin, "".join(lines[begin - 1 :]).strip()))
    kinds = [kind for _, kind in marks]
    if sorted(kinds) != sorted(_KINDS) or marks[0][0] != begin - 1:
        raise QueryError(
            f"{file}:{marks[0][0] + 1}: a file with two texts has one after `// only: neo4j`, right below the header, "
            "and one after `// only: embedded`"
        )
    bodies = {}
    for (i, kind), end in zip(marks, [marks[1][0], len(lines)], strict=True):
        text = "".join(lines[i + 1 : end])
        if not text.strip():
            raise QueryError(f"{file}:{i + 1}: there is no Cypher after `// only: {kind}`")
        blank = len(text) - len(text.lstrip())
        bodies[kind] = (i + 2 + text[:blank].count("\n"), text.strip())
    return bodies


def _parameter(match: re.Match[str], where: str) -> Parameter:
    kind = _type(match["type"], where)
    if match["default"] is None:
        return Parameter(match["name"], kind, match["description"])
    try:
        default = check_value(read_json(match["default"], "the default"), kind, "the default")
    except ValueError as error:
        raise QueryError(f"{where}: the default {match['default']} is not JSON: {error}") from error
    except QueryError as error:
        raise QueryError(f"{where}: {error}") from error
    return Parameter(match["name"], kind, match["description"], required=False, default=default)


def _type(text: str, where: str) -> ValueType:
    match = _TYPE.fullmatch(text)
    choices = tuple(match["base"].split("|")) if match and "|" in match["base"] else ()
    base = "string" if choices else match["base"] if match else ""
    scalar = base
    while scalar.startswith("list<") and scalar.endswith(">"):
        scalar = scalar[len("list<") : -1]
    if match is None or scalar not in SCALARS:
        raise QueryError(f"{where}: unknown type {text}; use {', '.join(SCALARS)}, list<...> or words joined by |")
    if match["range"] and scalar not in ("integer", "float"):
        raise QueryError(f"{where}: a {base} has no bounds")
    low, high = (None if match[end] is None else float(match[end]) for end in ("low", "high"))
    return ValueType(base, match["null"] is not None, low, high, choices)


def _unique(kind: str, names: list[str], file: str) -> None:
    for name in names:
        if names.count(name) > 1:
            raise QueryError(f"{file}:1: {kind} {name} stands twice in the header")


def _same_parameters(declared: set[str], text: str, where: str) -> None:
    found = [match for match in _PARAMETER.finditer(text) if match[0].startswith("$")]
    used = {match["name"] or match["quoted"].replace("``", "`") for match in found}
    if used - declared:
        raise QueryError(f"{where}: ${min(used - declared)} is used, but the header does not declare it")
    if declared - used:
        raise QueryError(
            f"{where}: the header declares {min(declared - used)}, but ${min(declared - used)} is not used"
        )
