"""Split Cypher into tokens, and read the result columns off a RETURN clause.

The lexers of Neo4j 5.26 and ArcadeDB 26.10 were found to agree: a // comment ends with CR or LF, comments do not nest,
a backslash escapes in strings and not in backticks, and strings may hold line ends.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from cofire.errors import QueryError

__all__ = ["Token", "returned_columns", "sign_at", "tokenize"]

_TOKEN = re.compile(
    r"""
      (?P<blank>\s+|//[^\r\n]*|/\*.*?\*/)
    | (?P<string>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")
    | (?P<name>`(?:[^`]|``)*`)
    | (?P<parameter>\$(?:`(?:[^`]|``)*`|\w+))
    | (?P<number>\d+)
    | (?P<word>[^\W\d]\w*)
    | (?P<sign>.)
    """,
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True)
class Token:
    """One token: its kind (string, name in backticks, parameter, number, word, sign), text and place."""

    kind: str
    text: str
    start: int

    @property
    def upper(self) -> str:
        """The keyword that a bare word may be; of anything else its text."""
        return self.text.upper() if self.kind == "word" else self.text

    @property
    def end(self) -> int:
        """The place behind it."""
        return self.start + len(self.text)


def tokenize(text: str) -> list[Token]:
    """Split `text`; comments and blanks are left out.

    Raises:
        QueryError: nothing is left, or a quote or comment is never closed.
    """
    tokens = []
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup or "sign"
        if kind == "blank":
            continue
        found = match.group()
        # A quote or comment that were closed would have matched above as a whole.
        if kind == "sign" and (found in "'\"`" or text.startswith("/*", match.start())):
            what = "comment" if found == "/" else "quote"
            raise QueryError(f"a {what} is opened and never closed: {text[match.start() :][:40]}")
        tokens.append(Token(kind, found, match.start()))
    if not tokens:
        raise QueryError("the query is empty")
    return tokens


def sign_at(tokens: list[Token], i: int) -> str:
    """The sign at place i, "" where there is another token or none."""
    return tokens[i].text if 0 <= i < len(tokens) and tokens[i].kind == "sign" else ""


_AFTER_ITEMS = frozenset({"ORDER", "SKIP", "LIMIT", "OFFSET", "UNION"})


def returned_columns(text: str) -> tuple[str, ...]:
    """The columns that the last RETURN of a statement names; () where it names none (RETURN *, a lone CALL or SHOW)."""
    tokens = tokenize(text)
    items: list[list[Token]] | None = None
    depth = 0
    for i, token in enumerate(tokens):
        plain = token.kind == "word" and sign_at(tokens, i - 1) not in (".", ":") and tokens[i - 1].upper != "AS"
        depth += (token.text in ("(", "[", "{")) - (token.text in (")", "]", "}"))
        if depth == 0 and plain and token.upper == "RETURN":
            items = [[]]
        elif items is None:
            continue
        elif depth == 0 and (token.text == ";" or (plain and token.upper in _AFTER_ITEMS and items[-1])):
            break
        elif depth == 0 and token.text == ",":
            items.append([])
        elif not (items == [[]] and token.upper == "DISTINCT"):
            items[-1].append(token)
    if items is None or any(not item or item[0].text == "*" for item in items):
        return ()
    return tuple(_column(item, text) for item in items)


def _column(item: list[Token], text: str) -> str:
    """The alias of an item of RETURN, else its text."""
    alias = item[-1] if len(item) == 1 or (len(item) > 2 and item[-2].upper == "AS") else None
    if alias is None:
        return text[item[0].start : item[-1].end]
    return alias.text[1:-1].replace("``", "`") if alias.kind == "name" else alias.text
