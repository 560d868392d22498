"""Which Cypher texts pass the read-only guard, by its lexer alone. test_store.py sends them to real servers too."""

from __future__ import annotations

import pytest

from cofire.errors import QueryError, WriteRefused
from cofire.store.guard import check
from cofire.store.lexer import returned_columns
from cypher_texts import MALFORMED, READING, WRITING


@pytest.mark.parametrize("escapes", [False, True])
@pytest.mark.parametrize("text", READING)
def test_a_reading_text_passes(text, escapes):
    check(text, unicode_escapes=escapes)


@pytest.mark.parametrize("escapes", [False, True])
@pytest.mark.parametrize("text", WRITING)
def test_a_writing_text_is_refused(text, escapes):
    with pytest.raises(WriteRefused) as caught:
        check(text, unicode_escapes=escapes)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["MATCH (set) WHERE set IN [1] RETURN 1", "WITH 1 AS merge ORDER BY merge RETURN merge"]
)
def test_what_could_be_a_clause_is_refused_with_a_hint(text):
    with pytest.raises(WriteRefused, match="backticks"):
        check(text, unicode_escapes=True)


@pytest.mark.parametrize("text", MALFORMED)
def test_a_malformed_text_is_a_query_error(text):
    with pytest.raises(QueryError):
        check(text, unicode_escapes=True)


@pytest.mark.parametrize(
    "text",
    [
        "CRE\\u0041TE (n)",
        "\\u0043REATE (n)",
        "MATCH (n) WHERE n.x = '\\u0027 DELETE n //'",
        "RETURN 1 //\\u000a CREATE (n)",
    ],
)
def test_escapes_count_where_the_server_decodes_them(text):
    with pytest.raises(WriteRefused):
        check(text, unicode_escapes=True)


def test_escapes_in_strings_stay_in_strings_where_only_those_are_decoded():
    check("RETURN 'it\\u0027s CREATE (n)'", unicode_escapes=False)
    # An escaped backslash before a u is no escape of a character.
    check("RETURN 'a\\\\u0027 CREATE (n)'", unicode_escapes=True)


def test_the_body_leaves_explain_and_profile_out():
    assert check("PROFILE MATCH (n) RETURN n", unicode_escapes=True).body.strip() == "MATCH (n) RETURN n"
    assert check(" explain\nRETURN 'EXPLAIN'", unicode_escapes=True).body.strip() == "RETURN 'EXPLAIN'"


def test_text_with_escapes_goes_to_the_server_as_it_was_typed():
    text = "RETURN '\\u005cu0041'"
    assert check(text, unicode_escapes=True).body == text


def test_a_long_text_is_quick():
    check("RETURN [" + "'a\\'b', " * 50_000 + "1] /*" + "*" * 100_000 + "*/", unicode_escapes=True)


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("MATCH (n) RETURN n.a AS first, count(*)", ("first", "count(*)")),
        ("MATCH (n) RETURN DISTINCT n . a, [1, 2] AS b ORDER BY b LIMIT 5", ("n . a", "b")),
        ("MATCH (n) RETURN f(n, 'a, b') AS `x, ``y```, n SKIP 1;", ("x, `y`", "n")),
        ("RETURN 1 AS limit, 2 AS order, n.skip /* , 3 */", ("limit", "order", "n.skip")),
        ("CALL { MATCH (n) RETURN n } RETURN n {.a, b: 1} AS m, n.return", ("m", "n.return")),
        ("RETURN 1 AS a UNION ALL RETURN 2 AS a", ("a",)),
        ("MATCH (n) RETURN *", ()),
        ("MATCH (n) RETURN *, 1 AS x", ()),
        ("CALL db.labels() YIELD label", ()),
        ("SHOW INDEXES", ()),
    ],
)
def test_the_columns_of_a_return(text, columns):
    assert returned_columns(text) == columns
