"""Which Cypher texts pass the read-only guard, by its lexer alone. test_store.py sends them to real servers too."""

from __future__ import annotations

import pytest

from cofire.errors import QueryError, WriteRefused
from cofire.store.guard import ALLOWED_PROCEDURES, check

READING = [
    "RETURN 1",
    "RETURN 1;",
    "  \n match (n) return count(n) ; ",
    "MATCH (n:Latent {index: $i})-[r:CO_FIRES]-(b) WHERE n.sae = $s RETURN b.index, r.count",
    "EXPLAIN MATCH (n) RETURN n",
    "PROFILE MATCH (n) RETURN n",
    # words of writing clauses as property, label, type, key, alias, parameter, variable
    "MATCH (n) RETURN n.set",
    "MATCH (n) WHERE n . create = 1 RETURN n.delete, n.merge",
    "MATCH (n:Set) RETURN n",
    "MATCH (n:A|Set&!Create) RETURN n",
    "MATCH (n)-[r:SET|CREATE]->(m) RETURN type(r)",
    "RETURN {create: 1, set: 2, `merge`: 3} AS m",
    "MATCH (n {create: 1}) RETURN n",
    "RETURN {a: 1, delete: {remove: 2}}.delete.remove",
    "RETURN 1 AS set",
    "RETURN 1 AS set, 2 AS create",
    "RETURN 1 AS set ORDER BY set",
    "MATCH (n) WITH n.x AS merge ORDER BY `merge` RETURN merge",
    "MATCH (n) WITH n AS set MATCH (set)-[r]-(m) RETURN set, m",
    "MATCH (set) RETURN set",
    "MATCH (create:Set)-->(drop) RETURN create.name, drop.name",
    "WITH {a: 1} AS n RETURN n {.create, .set, merge: 2} AS v",
    "RETURN $create + $set",
    "RETURN $`set`",
    "MATCH (n) RETURN any(`create` IN [1] WHERE create = 1)",
    "RETURN [1, 2, 3][0..2] AS start",
    "MATCH (start)-[:CO_FIRES*1..3]->(stop) RETURN start, stop",
    "MATCH (load) RETURN load AS use",
    "RETURN [x IN [1] | x] AS alter",
    # in strings, comments and backticks
    "RETURN 'CREATE (n)'",
    'RETURN "it\'s; DELETE n"',
    "RETURN 'it\\'s CREATE (n)'",
    "RETURN 'a\\\\' AS v",
    "RETURN 1 // CREATE (n)",
    "RETURN 1 // it's\n AS v",
    "RETURN 1 /* CREATE (n); ' ` */ AS v",
    "/* SET */ // MERGE\n RETURN 1",
    "MATCH (n) RETURN n.`CREATE (x)` AS `SET ``y`` = 1`",
    "RETURN '//' AS a, '/*' AS b",
    # subqueries
    "MATCH (n) CALL { WITH n MATCH (n)--(m) RETURN count(m) AS c } RETURN c",
    "MATCH (n) CALL (n) { MATCH (n)--(m) RETURN count(m) AS c } RETURN c",
    "MATCH (n) CALL (*) { RETURN 1 AS c } RETURN c",
    "MATCH (n) WHERE EXISTS { MATCH (n)--() } RETURN COUNT { (n)--() }, COLLECT { MATCH (n)--(m) RETURN m.uid }",
    "MATCH (n) RETURN n UNION ALL MATCH (m) RETURN m AS n",
    "OPTIONAL MATCH (n) RETURN n.call, n.foreach",
    "SHOW INDEXES",
    "SHOW CONSTRAINTS YIELD name RETURN name",
    "SHOW ALL CONSTRAINTS",
    "show functions",
    "SHOW PROCEDURES YIELD name",
    "CALL `db`.labels()",
    "CALL db . labels ( )",
    "MATCH (n) WHERE n.x STARTS WITH 'a' RETURN n",
    *[f"CALL {name}()" for name in ALLOWED_PROCEDURES],
]

WRITING = [
    "CREATE (n)",
    "create (n) return n",
    "CrEaTe(n)",
    "MATCH (n) SET n.a = 1",
    "MATCH (n) SET n:Foo",
    "MATCH (n) SET n += {a: 1}",
    "MATCH (n) REMOVE n.a RETURN n",
    "MATCH (n) DELETE n",
    "MATCH (n) DETACH DELETE n",
    "MATCH (n) NODETACH DELETE n",
    "MATCH (n) DELETE [n][0]",
    "MATCH (n) DELETE {a: n}.a",
    "MERGE (n:X {a: 1})",
    "MERGE (n) ON CREATE SET n.a = 1",
    "INSERT (:X)",
    "MATCH (n) FOREACH (x IN [1] | SET n.a = x)",
    "UNWIND [1] AS x CREATE (n {a: x})",
    "RETURN 1 CREATE (n)",
    "MATCH (n) WHERE n.create CREATE (m) RETURN m",
    "CALL { CREATE (n) }",
    "MATCH (n) CALL (n) { SET n.a = 1 }",
    "MATCH (n) CALL { WITH n DELETE n } IN TRANSACTIONS OF 100 ROWS",
    "EXPLAIN CREATE (n)",
    "PROFILE MATCH (n) SET n.a = 1",
    "CYPHER 5 CREATE (n)",
    "CYPHER runtime=slotted planner = cost CREATE (n)",
    "CYPHER 5 EXPLAIN DROP INDEX x",
    # schema, administration, files, other databases
    "CREATE INDEX x IF NOT EXISTS FOR (n:X) ON (n.a)",
    "CREATE CONSTRAINT x FOR (n:X) REQUIRE n.a IS UNIQUE",
    "DROP INDEX x",
    "DROP DATABASE neo4j",
    "ALTER USER neo4j SET PASSWORD 'x'",
    "ALTER CURRENT USER SET PASSWORD FROM 'a' TO 'b'",
    "GRANT ROLE a TO b",
    "REVOKE ROLE a FROM b",
    "DENY ALL ON DATABASE * TO b",
    "TERMINATE TRANSACTIONS 'x'",
    "STOP DATABASE neo4j",
    "START DATABASE neo4j",
    "RENAME USER a TO b",
    "ENABLE SERVER 'x'",
    "SHOW USERS",
    "SHOW DATABASES",
    "SHOW TRANSACTIONS YIELD * TERMINATE TRANSACTIONS 'x'",
    "SHOW SETTINGS",
    "SHOW",
    "LOAD CSV FROM 'file:///etc/passwd' AS l RETURN l",
    "LOAD /* x */ CSV WITH HEADERS FROM 'file:///x' AS l RETURN l",
    "MATCH (n) LOAD CSV FROM n.url AS l RETURN l",
    "USING PERIODIC COMMIT 500 LOAD CSV FROM 'x' AS l CREATE (n)",
    "USE system SHOW USERS",
    "CALL { USE other MATCH (n) RETURN n } RETURN n",
    "BEGIN",
    "COMMIT",
    "ROLLBACK;",
    # procedures
    "CALL apoc.create.node(['X'], {})",
    "CALL db.createLabel('X')",
    "CALL db.labels() YIELD label CALL dbms.killQuery('x') YIELD a RETURN a",
    "CALL `apoc`.`cypher`.`doIt`('CREATE (n)', {})",
    "CALL `db.labels``;`()",
    "CALL dbms.setConfigValue('a', 'b')",
    "CALL db.labels.x()",
    "CALL merge.node(['X'], {})",
    "OPTIONAL CALL refactor.mergeNodes([])",
    "CALL $x()",
    # other languages
    "SELECT FROM X",
    "INSERT INTO X SET a = 2",
    "UPDATE X SET a = 3",
    "TRUNCATE TYPE X",
    "g.V().drop()",
    # attempts to hide a clause
    "MATCH (n) /* ' */ DELETE n /* ' */",
    "MATCH (n) // '\n DELETE n // '",
    "MATCH (n) // '\r DELETE n // '",
    "MATCH (n) WHERE n.x = '\\\\' DELETE n //'",
    'MATCH (n) WHERE n.x = "\'" DELETE n //"',
    "MATCH (n) WHERE n.`x\\` = 1 DELETE n //`",
    "MATCH (n) RETURN n.x /**/DELETE n",
    "/**/CREATE/**/(n)",
    "MATCH (n) WHERE n.x = 1DELETE n",
    "RETURN 1\u00a0CREATE\u2003(n)",
    "WITH 1 AS as WITH as CREATE (n)",
    "WITH 1 AS AS CREATE (n)",
    "MATCH (n) WHERE n.as CREATE (m)",
    "MATCH (n) WITH n, 1 AS as WHERE as SET n.a = 1",
    "MATCH (n) WITH n, 1 AS as ORDER BY as DELETE n",
    "WITH 1 AS x, 2 AS as WITH x, as CREATE (n)",
    "MATCH (n) WHERE n.x IN as DELETE n",
    "MATCH (n)-[*1.. CREATE (m)",
    "WITH 1 AS as WITH as CALL apoc.x()",
    "RETURN 1; CREATE (n)",
]

MALFORMED = [
    "",
    "   ",
    "// only a comment",
    ";;",
    "EXPLAIN",
    "RETURN 'open",
    'RETURN "open',
    "RETURN `open",
    "RETURN $`open",
    "RETURN 1 /* open",
    "RETURN 'ends in a backslash\\'",
    "RETURN 1; RETURN 2",
]


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
