"""Say whether a Cypher text typed by a user only reads.

1. Split the text into tokens: words, names in backticks, strings, numbers, parameters and signs. Comments and
   blanks fall away. Neo4j decodes backslash-u escapes in the whole text first; ArcadeDB only inside strings.
2. The first word must be that of a reading clause (MATCH, RETURN, CALL, SHOW, ...).
3. A word such as CREATE or SET is refused wherever it could begin a clause. It is a name, and passes, where it
   stands as a property (n.set), label or type (:Set), map key ({set: 1}), alias (AS set), or before a sign that no
   clause starts with.
4. CALL may be followed by a subquery, or by a procedure of a short list.

Where a text is unclear it is refused: the user can put a name into backticks. The rules were tried against
Neo4j 5.26 and ArcadeDB 26.10, whose lexers agree on comments (ended by CR or LF, not nested), strings and backticks.
The stores add their own checks to this one (see `cofire.store.connect`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from cofire.errors import QueryError, WriteRefused
from cofire.store.lexer import Token, sign_at, tokenize

__all__ = ["ALLOWED_PROCEDURES", "Statement", "check"]

ALLOWED_PROCEDURES = (
    "db.labels",
    "db.relationshipTypes",
    "db.propertyKeys",
    "db.schema.visualization",
    "db.schema.nodeTypeProperties",
    "db.schema.relTypeProperties",
    "db.index.fulltext.queryNodes",
    "db.index.vector.queryNodes",
    "dbms.components",
)

_ALLOWED_LOWER = frozenset(name.lower() for name in ALLOWED_PROCEDURES)


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_FIRST_WORDS = _words("MATCH OPTIONAL WITH UNWIND RETURN CALL SHOW FINISH FILTER LET FOR WHEN")

# Words that begin a clause or command that writes, or that leaves the database.
_REFUSED = _words(
    "CREATE INSERT MERGE SET DELETE DETACH NODETACH REMOVE DROP ALTER FOREACH LOAD USE GRANT DENY REVOKE "
    "RENAME TERMINATE START STOP ENABLE DEALLOCATE REALLOCATE DRYRUN BEGIN COMMIT ROLLBACK USING"
)

# Some of them only with the word that follows, so that `start`, `load` and the like stay free for names.
_ONLY_BEFORE = {
    "LOAD": frozenset({"CSV"}),
    "DETACH": frozenset({"DELETE"}),
    "NODETACH": frozenset({"DELETE"}),
    "USING": frozenset({"PERIODIC"}),
    "START": frozenset({"DATABASE"}),
    "STOP": frozenset({"DATABASE"}),
    "ENABLE": frozenset({"SERVER"}),
    "DEALLOCATE": frozenset({"DATABASE", "DATABASES"}),
    "REALLOCATE": frozenset({"DATABASE", "DATABASES"}),
    "TERMINATE": frozenset({"TRANSACTION", "TRANSACTIONS"}),
}

_SHOWN = _words("INDEX INDEXES CONSTRAINT CONSTRAINTS FUNCTION FUNCTIONS PROCEDURE PROCEDURES")
_SHOW_KINDS = _words("ALL RANGE VECTOR FULLTEXT TEXT POINT LOOKUP UNIQUE UNIQUENESS")

# After these signs a word is a property, a label or a type; before those of _BEFORE it is no clause's first word.
_AFTER = frozenset(":|&!")
_BEFORE = frozenset("),]}.=<>;|:")

# Words after which an expression follows, so that an AS behind them is a name itself and makes no alias.
_EXPRESSION_FOLLOWS = _words(
    "WITH RETURN DISTINCT WHERE AND OR XOR NOT IN BY ASC ASCENDING DESC DESCENDING UNWIND SKIP LIMIT OFFSET "
    "CASE WHEN THEN ELSE CONTAINS AS YIELD ON CALL SET DELETE REMOVE FILTER LET FOR IS UNION ALL MATCH "
    "OPTIONAL"
)

_ESCAPE = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|(.))", re.DOTALL)


@dataclass(frozen=True)
class Statement:
    """A text that passed `check`.

    Attributes:
        body: the text without a leading EXPLAIN or PROFILE.
        shows: whether it is a SHOW command.
        procedures: the procedures that it calls, in order.
    """

    body: str
    shows: bool
    procedures: list[str] = field(default_factory=list)


def check(text: str, *, unicode_escapes: bool) -> Statement:
    r"""Pass a text that only reads.

    Args:
        text: one Cypher statement; a semicolon at its end is allowed.
        unicode_escapes: whether the server decodes \uXXXX in the whole text (Neo4j) or in strings only (ArcadeDB).

    Raises:
        WriteRefused: it would write, change the schema, read files, leave the database, or call a procedure that
            is not in ALLOWED_PROCEDURES.
        QueryError: it is empty, has an open string or comment, or holds more than one statement.
    """
    decoded = _ESCAPE.sub(lambda m: chr(int(m[1], 16)) if m[1] else m[0], text) if unicode_escapes else text
    tokens = tokenize(decoded)
    first, body = _first(tokens, decoded)
    procedures = []
    for i, token in enumerate(tokens):
        if token.kind == "word" and not _is_name(tokens, i):
            if token.upper in _REFUSED:
                _refuse(tokens, i)
            elif token.upper == "CALL":
                procedures += _procedure(tokens, i)
    if any(token.text == ";" for token in tokens[:-1]):
        raise QueryError("more than one statement in a query; run them one at a time")
    opening = tokens[first]
    if opening.upper not in _FIRST_WORDS:
        raise WriteRefused(f"a query must start with MATCH, RETURN or another reading clause, not {opening.text[:40]}")
    if opening.upper == "SHOW":
        _check_show(tokens, first)
    # The server decodes what it is sent: text that was decoded here must not go there.
    body = body if decoded == text else text
    return Statement(body=body, shows=opening.upper == "SHOW", procedures=procedures)


def _first(tokens: list[Token], text: str) -> tuple[int, str]:
    """The place of the token after EXPLAIN, PROFILE and `CYPHER option=value`; the text without EXPLAIN and PROFILE."""
    i = 0
    body = text
    while i < len(tokens):
        if tokens[i].upper in ("EXPLAIN", "PROFILE"):
            start = tokens[i].start
            body = body[:start] + " " * len(tokens[i].text) + body[start + len(tokens[i].text) :]
            i += 1
        elif tokens[i].upper == "CYPHER":
            i += 1
            while i < len(tokens) and (tokens[i].kind == "number" or sign_at(tokens, i + 1) == "="):
                i += 1 if tokens[i].kind == "number" else 3
        else:
            return i, body
    raise QueryError("the query is empty")


def _is_name(tokens: list[Token], i: int) -> bool:
    """Whether the word at place i cannot be the first word of a clause."""
    before = sign_at(tokens, i - 1)
    if before == ".":
        # `1..set` is a range up to a variable, `n.set` a property.
        return sign_at(tokens, i - 2) != "."
    if before in _AFTER:
        return True
    if i + 1 == len(tokens) or sign_at(tokens, i + 1) in _BEFORE:
        return True
    wanted = _ONLY_BEFORE.get(tokens[i].upper)
    if wanted and tokens[i + 1].upper not in wanted:
        return True
    return i >= 2 and tokens[i - 1].upper == "AS" and _ends_expression(tokens, i - 2)


def _ends_expression(tokens: list[Token], i: int) -> bool:
    """Whether an expression ends at place i, so that an AS after it makes an alias."""
    token = tokens[i]
    if token.kind == "sign":
        return token.text in ")]}"
    if token.kind == "word" and token.upper in _EXPRESSION_FOLLOWS:
        return sign_at(tokens, i - 1) == "."
    return True


def _refuse(tokens: list[Token], i: int) -> None:
    word = tokens[i].text
    what = "reads files" if word.upper() == "LOAD" else "would write or change the database"
    raise WriteRefused(f"{word} {what}; a query only reads (put {word} into backticks if it is meant as a name)")


def _procedure(tokens: list[Token], i: int) -> list[str]:
    """The procedure that the CALL at place i names; none for a subquery."""
    if sign_at(tokens, i + 1) in ("{", "("):
        return []
    parts = []
    i += 1
    while i < len(tokens) and tokens[i].kind in ("word", "name"):
        parts.append(tokens[i].text.strip("`"))
        if sign_at(tokens, i + 1) != ".":
            break
        i += 2
    name = ".".join(parts)
    if name.lower() not in _ALLOWED_LOWER:
        raise WriteRefused(f"CALL {name}: only these procedures may be called: {', '.join(ALLOWED_PROCEDURES)}")
    return [name]


def _check_show(tokens: list[Token], first: int) -> None:
    words = [token.upper for token in tokens[first + 1 : first + 3]]
    shown = words[1:2] if words[:1] and words[0] in _SHOW_KINDS else words[:1]
    if not shown or shown[0] not in _SHOWN:
        raise WriteRefused("SHOW is only for INDEXES, CONSTRAINTS, FUNCTIONS and PROCEDURES")
