"""Read the query files and make typed, documented callables of them. `cofire.queries` describes the format."""

from __future__ import annotations

import difflib
import functools
import importlib.resources
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from cofire.errors import CofireError, QueryError
from cofire.queries.values import SCALARS, ValueType, check_value, parse_value

if TYPE_CHECKING:
    from cofire.store import Rows, Store

__all__ = ["Column", "Parameter", "Query", "find_query", "library", "nearest", "parse_parameters", "read_query"]

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
# Strings, quoted names and comments, in which a `$` is no parameter.
_OPAQUE = re.compile(r"'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\"|`[^`]*`|//[^\n]*|/\*.*?\*/", re.DOTALL)


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
        text: the Cypher, without the header.
        source: the whole file.
        file: the file that it was read from.
        line: the line on which its Cypher begins.
    """

    name: str
    description: str
    parameters: tuple[Parameter, ...]
    columns: tuple[Column, ...]
    text: str
    source: str
    file: str
    line: int

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

    def __call__(self, store: Store, timeout: float | None = None, /, **parameters: Any) -> Rows:
        """Ask the store; returns its rows, in the order and with the columns of the header.

        Raises:
            QueryError: see `bind`.
            TimeLimit: the answer took longer than `timeout` seconds.
        """
        return store.read(self.text, self.bind(parameters), timeout)


@functools.cache
def library() -> Mapping[str, Query]:
    """Return every query by its name, in the order of the names.

    Raises:
        CofireError: a file's header is wrong; the message gives file and line.
    """
    folder = importlib.resources.files("cofire.queries")
    files = sorted((f for f in folder.iterdir() if f.name.endswith(".cypher")), key=lambda f: f.name)
    queries = (read_query(file.read_text(encoding="utf-8"), file.name) for file in files)
    return MappingProxyType({query.name: query for query in queries})


def find_query(name: str) -> Query:
    """Return the query of that name.

    Raises:
        QueryError: there is none; the message gives the nearest name.
    """
    queries = library()
    if name not in queries:
        raise QueryError(f"unknown query {name}{nearest(name, queries)}; `cofire query list` shows all {len(queries)}")
    return queries[name]


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


def read_query(source: str, file: str) -> Query:
    """Read one query file.

    Args:
        source: the file's text.
        file: its name, `NAME.cypher`, for the messages and to compare with the header's name.

    Raises:
        CofireError: the header or the text is wrong; the message begins with file:line.
    """
    header, line = _header(source, file)
    text = "".join(source.splitlines(keepends=True)[line - 1 :]).strip()
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
            raise CofireError(f"{where}: not a header line: {entry!r}; see cofire.queries for the format")
    stem = file.removesuffix(".cypher")
    if names != [stem] or not stem.isidentifier():
        raise CofireError(f"{file}:1: needs one line `// name: {stem}`, and that an identifier")
    if len(descriptions) != 1:
        raise CofireError(f"{file}:1: needs one line `// description: ...`")
    if not columns:
        raise CofireError(f"{file}:1: needs a line `// returns NAME: TYPE - MEANING` for each column")
    if not text:
        raise CofireError(f"{file}:{line}: the header has no Cypher after it")
    _unique("param", [p.name for p in parameters], file)
    _unique("returns", [c.name for c in columns], file)
    _same_parameters({p.name for p in parameters}, text, f"{file}:{line}")
    return Query(stem, descriptions[0], tuple(parameters), tuple(columns), text, source, file, line)


def _header(source: str, file: str) -> tuple[list[tuple[int, str]], int]:
    """Return the header's entries with their line numbers, and the line on which the Cypher begins."""
    entries: list[tuple[int, str]] = []
    lines = source.splitlines()
    number = 0
    for number, line in enumerate(lines, start=1):
        if line.startswith("//   ") and entries:
            entries[-1] = (entries[-1][0], f"{entries[-1][1]} {line[5:].strip()}")
        elif line.startswith("//"):
            entries.append((number, line[2:].strip()))
        elif line.strip():
            return entries, number
    raise CofireError(f"{file}:{max(number, 1)}: there is no Cypher; write it below the header")


def _parameter(match: re.Match[str], where: str) -> Parameter:
    kind = _type(match["type"], where)
    if match["default"] is None:
        return Parameter(match["name"], kind, match["description"])
    try:
        default = check_value(json.loads(match["default"]), kind, "the default")
    except json.JSONDecodeError as error:
        raise CofireError(f"{where}: the default {match['default']} is not JSON: {error}") from error
    except QueryError as error:
        raise CofireError(f"{where}: {error}") from error
    return Parameter(match["name"], kind, match["description"], required=False, default=default)


def _type(text: str, where: str) -> ValueType:
    match = _TYPE.fullmatch(text)
    choices = tuple(match["base"].split("|")) if match and "|" in match["base"] else ()
    base = "string" if choices else match["base"] if match else ""
    scalar = base
    while scalar.startswith("list<") and scalar.endswith(">"):
        scalar = scalar[len("list<") : -1]
    if match is None or scalar not in SCALARS:
        raise CofireError(f"{where}: unknown type {text}; use {', '.join(SCALARS)}, list<...> or words joined by |")
    if match["range"] and scalar not in ("integer", "float"):
        raise CofireError(f"{where}: a {base} has no bounds")
    low, high = (None if match[end] is None else float(match[end]) for end in ("low", "high"))
    return ValueType(base, match["null"] is not None, low, high, choices)


def _unique(kind: str, names: list[str], file: str) -> None:
    for name in names:
        if names.count(name) > 1:
            raise CofireError(f"{file}:1: {kind} {name} stands twice in the header")


def _same_parameters(declared: set[str], text: str, where: str) -> None:
    used = set(re.findall(r"\$(\w+)", _OPAQUE.sub(" ", text)))
    if used - declared:
        raise CofireError(f"{where}: ${min(used - declared)} is used, but the header does not declare it")
    if declared - used:
        raise CofireError(
            f"{where}: the header declares {min(declared - used)}, but ${min(declared - used)} is not used"
        )
