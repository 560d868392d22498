"""The store on both servers: values, transactions, refusals, time limits, and what opening can meet."""

from __future__ import annotations

import math
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from cofire.errors import QueryError, StoreError, TimeLimit, WriteRefused
from cofire.store import Store, open_store
from cypher_texts import READING, WRITING
from processes import forked
from servers import SLOW, count, free_port, one_line

VALUES = {
    "zero": 0,
    "beyond_double": 2**53 + 1,
    "largest": 2**63 - 1,
    "smallest": -(2**63),
    "tiny": 5e-324,
    "float": 0.1,
    "whole_float": 3.0,
    "infinite": math.inf,
    "true": True,
    "false": False,
    "empty": "",
    "quotes": 'it\'s "quoted" `back` \\ \\u0041 $x {y} // z',
    "lines": "a\nb\r\n\tc\u2028",
    "unicode": "naïve 漢字 🙂 «Ġof» \u0000 end",
    "integers": [1, 2**60, -5],
    "floats": [0.5, -1.0, 1e300],
    "strings": ["", "é", "'"],
    "booleans": [True, False],
    "no_items": [],
}


# --- values and answers ---


def test_parameters_come_back_as_they_were_sent(store):
    rows = store.read("RETURN $v AS v, $none AS none, $nested AS nested", {
        "v": VALUES, "none": None, "nested": [[1, None], {"a": {"b": [1]}}],
    })  # fmt: skip
    assert rows.columns == ("v", "none", "nested")
    assert rows.rows == [(VALUES, None, [[1, None], {"a": {"b": [1]}}])]


@pytest.mark.parametrize("name", VALUES)
def test_stored_values_come_back_with_their_type(store, name):
    value = VALUES[name]
    store.write([("CREATE (n:Value {uid: 'x', v: $v, gone: null})", {"v": value})])
    rows = store.read("MATCH (n:Value) RETURN n.v AS v, n.gone AS gone, properties(n) AS p").rows
    assert rows == [(value, None, {"uid": "x", "v": value})]
    assert type(rows[0][0]) is type(value)


def test_nodes_relationships_and_paths_become_dicts(store):
    store.write([("CREATE (a:L {uid: 'a', i: 1})-[:CO_FIRES {count: 7}]->(b:L {uid: 'b', i: 2})", {})])
    rows = store.read("MATCH p = (a:L {uid: 'a'})-[r]->(b) RETURN a, r, collect(b) AS bs, p").rows
    a, b, r = {"uid": "a", "i": 1}, {"uid": "b", "i": 2}, {"count": 7}
    assert rows == [(a, r, [b], [a, r, b])]


def test_dates_and_points_become_plain(store):
    text = "RETURN date('2026-01-02') AS d, duration('P1DT2S') AS t, point({x: 1, y: 2}) AS p"
    assert store.read(text).rows == [("2026-01-02", "P1DT2S", [1.0, 2.0])]


def test_an_empty_answer_keeps_its_columns(store):
    rows = store.read("MATCH (n:Nothing) RETURN n.a AS first, n.b AS second")
    assert rows.columns == ("first", "second")
    assert rows.rows == []


def test_a_stream_gives_every_row_and_may_be_left_early(store):
    text = "UNWIND range(1, $n) AS i RETURN i, i * i AS square"
    streamed = list(store.stream(text, {"n": 2500}))
    assert [row for _, row in streamed] == [(i, i * i) for i in range(1, 2501)]
    assert {columns for columns, _ in streamed} == {("i", "square")}
    left = store.stream(text, {"n": 2500})
    assert next(left) == (("i", "square"), (1, 1))
    left.close()
    assert list(store.stream("MATCH (n:Nothing) RETURN n")) == []
    assert count(store) == 0


# --- writing ---


def test_write_returns_the_rows_of_each_statement(store):
    answers = store.write([
        ("CREATE (n:X {i: $i}) RETURN n.i AS i", {"i": 1}),
        ("UNWIND $rows AS row CREATE (n:X {i: row[0], t: row[1]})", {"rows": [[2, "b"], [3, "c"]]}),
        ("MATCH (n:X) RETURN count(n) AS c", {}),
    ])  # fmt: skip
    assert [a.rows for a in answers] == [[(1,)], [], [(3,)]]


@pytest.mark.parametrize(
    "bad", ["CREATE (n:X {i: 1 / 0})", "CREATE (n:X", "MATCH (n) RETURN missing", "RETURN $unknown"]
)
def test_a_failing_statement_leaves_nothing(store, bad):
    with pytest.raises(QueryError) as caught:
        store.write([("UNWIND range(1, 100) AS i CREATE (:X {i: i})", {}), (bad, {}), ("CREATE (:X {i: 0})", {})])
    one_line(caught)
    assert count(store) == 0


def test_a_breach_of_uniqueness_leaves_nothing_and_ddl_can_be_repeated(store):
    made = "CREATE CONSTRAINT store_test_unique IF NOT EXISTS FOR (n:Unique) REQUIRE n.uid IS UNIQUE"
    store.ddl([made, made, "CREATE INDEX store_test_index IF NOT EXISTS FOR (n:Unique) ON (n.i)"])
    store.ddl([made])
    with pytest.raises(StoreError) as caught:
        store.write([("CREATE (:Unique {uid: 'a'})", {}), ("CREATE (:Unique {uid: 'a'})", {})])
    one_line(caught)
    assert count(store) == 0


def test_two_writers_lose_no_update(store):
    store.write([("CREATE (:Counter {v: 0})", {})])

    def add() -> None:
        for _ in range(20):
            store.write([("MATCH (n:Counter) SET n.v = n.v + 1", {})])

    writers = [threading.Thread(target=add) for _ in range(2)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert store.read("MATCH (n:Counter) RETURN n.v").rows == [(40,)]


def test_a_value_that_cannot_be_sent_is_one_line(store):
    for value in (2**63, object()):
        with pytest.raises(QueryError) as caught:
            store.read("RETURN $v", {"v": value})
        one_line(caught)


# --- refusing to write ---


def passes(store: Store, text: str) -> bool:
    try:
        store.guard(text)
    except WriteRefused:
        return False
    return True


def test_the_guard_refuses_and_the_data_stay(store):
    store.write([("CREATE (:X {a: 1})-[:R]->(:Y {b: 2})", {})])
    assert [text for text in WRITING if passes(store, text)] == []
    after = store.read("MATCH (n) OPTIONAL MATCH (n)-[r]->() RETURN labels(n)[0] AS l, n.a, n.b, type(r) ORDER BY l")
    assert after.rows == [("X", 1, None, "R"), ("Y", None, 2, None)]


# What the lexer passes is not always there on both servers: these need an index by that name, or are Neo4j's alone.
_NOT_RUN = ("CALL db.index.", "CALL db.schema.nodeTypeProperties", "CALL db.schema.relTypeProperties")


def test_the_guard_passes_what_only_reads_and_both_servers_run_it(store):
    parameters = {"i": 1, "s": "x", "create": 1, "set": 2}
    store.write([("CREATE (:Latent {uid: 'a'})", {})])
    for text in READING:
        if not text.startswith(_NOT_RUN):
            store.guard(text, parameters)
            store.read(text, parameters)
    assert count(store) == 1


@pytest.mark.parametrize(
    "text",
    [
        "CREATE (n:X)",
        "MATCH (n) SET n.a = 2 RETURN n",
        "MATCH (n) DETACH DELETE n",
        "MERGE (n:Z {a: 1}) RETURN n",
        "INSERT (:X)",
        "WITH 1 AS as WITH as CREATE (:Q)",
        "CALL { CREATE (:X) }",
        "PROFILE CREATE (:X)",
    ],
)
def test_a_write_that_gets_past_the_guard_still_writes_nothing(store, text):
    store.write([("CREATE (:X {a: 1})", {})])
    with pytest.raises(WriteRefused):
        store.read(text)
    with pytest.raises(WriteRefused):
        list(store.stream(text))
    assert store.read("MATCH (n) RETURN labels(n), n.a").rows == [(["X"], 1)]


def test_neo4j_decodes_escapes_before_it_reads_and_so_does_the_guard(neo4j_store):
    for text in ("CRE\\u0041TE (n)", "LO\\u0041D CSV FROM 'file:///x' AS l RETURN l", "C\\u0041LL dbms.listConfig()"):
        with pytest.raises(WriteRefused):
            neo4j_store.guard(text)


@pytest.mark.parametrize(
    "text", ["MATCH (n RETURN n", "RETURN missing", "RETURN foo(1)", "RETURN 'open", "", "RETURN 1; RETURN 2"]
)
def test_a_text_that_is_not_cypher_is_a_query_error_of_one_line(store, text):
    with pytest.raises(QueryError) as caught:
        store.guard(text)
    assert len(one_line(caught)) < 400


def test_the_place_of_an_error_is_that_in_the_users_text(neo4j_store):
    with pytest.raises(QueryError, match=r"\(line 1, column 10\)"):
        neo4j_store.guard("MATCH (n RETURN n")
    with pytest.raises(QueryError, match=r"\(line 2, column 3\)"):
        neo4j_store.guard("MATCH (n)\n  RETRUN n")


def test_a_missing_parameter_is_named(store):
    with pytest.raises(QueryError, match="limit"):
        store.read("MATCH (n) RETURN n LIMIT $limit")


# --- time limits ---


def test_a_query_that_takes_too_long_is_given_up_and_the_store_goes_on(store):
    store.write([("CREATE (:X)", {})])
    for run in (lambda: store.read(SLOW, timeout=1.0), lambda: list(store.stream(SLOW, timeout=1.0))):
        with pytest.raises(TimeLimit) as caught:
            run()
        one_line(caught)
        assert store.read("MATCH (n) RETURN count(n)", timeout=60).rows == [(1,)]


def test_a_stream_that_is_cut_by_the_limit_says_so(store):
    text = "UNWIND range(1, 100000) AS a UNWIND range(1, 100000) AS b RETURN a, b"
    # Long enough for the first rows of a server that has just started.
    rows = store.stream(text, timeout=10.0)
    assert next(rows)[1] == (1, 1)
    with pytest.raises(TimeLimit):
        for _ in rows:
            pass


# --- opening ---


def test_a_wrong_password_is_one_line_that_says_what_to_set(neo4j_server):
    with pytest.raises(StoreError, match="NEO4J_PASSWORD") as caught:
        open_store(neo4j_server.uri, "neo4j", "wrong-password")
    assert "wrong-password" not in one_line(caught)
    with pytest.raises(StoreError, match="NEO4J_USERNAME"):
        open_store(neo4j_server.uri)


def test_an_unknown_database_is_one_line(neo4j_server):
    with pytest.raises(StoreError, match="NEO4J_DATABASE") as caught:
        open_store(neo4j_server.uri, neo4j_server.username, neo4j_server.password, database="nosuch")
    one_line(caught)


@pytest.mark.parametrize("scheme", ["bolt", "neo4j", "bolt+s"])
def test_a_refused_port_is_one_line(scheme):
    with pytest.raises(StoreError, match="cannot reach") as caught:
        open_store(f"{scheme}://127.0.0.1:{free_port()}", "neo4j", "x")
    one_line(caught)


def test_a_missing_store_is_one_line_and_nothing_is_made(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").write_text("x")
    (tmp_path / "plain").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "away")
    before = sorted(tmp_path.rglob("*"))
    for name, said in {
        "missing": "run `cofire ingest",
        "empty": "run `cofire ingest",
        "other": "holds other files and is no store; name the directory of one",
        "plain": "is a file",
        "link": "is a link to .*away, which is not there",
    }.items():
        with pytest.raises(StoreError, match=said) as caught:
            open_store(tmp_path / name)
        one_line(caught)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_store_is_not_made_where_something_else_is(tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").write_text("x")
    (tmp_path / "plain").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "away")
    for name in ("other", "plain", "plain/below", "link"):
        with pytest.raises(StoreError) as caught:
            open_store(tmp_path / name, create=True)
        one_line(caught)
    assert [p.name for p in (tmp_path / "other").iterdir()] == ["file"]


def test_a_store_of_somebody_else_is_one_line(embedded_dir):
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)  # tmp_path lies where another user cannot look
        place = Path(shutil.copytree(embedded_dir, Path(folder) / "store"))
        for path in [place, *place.rglob("*")]:
            path.chmod(0o555 if path.is_dir() else 0o444)

        def work() -> str:
            if os.geteuid() == 0:
                os.seteuid(65534)
            open_store(place).close()
            return "opened"

        said = forked(work)()
        (place / "lock").chmod(0o666)
        said_later = forked(work)()
        place.chmod(0o755)
    assert said == f"StoreError: the store {place} cannot be used: Permission denied ({place / 'lock'})"
    assert said_later.startswith(f"StoreError: the store {place} cannot be used: Permission denied ({place}/")


@pytest.mark.parametrize("marker", ['{"format": 99, "engine": "arcadedb"}', "{", '{"format": 1}', "[]"])
def test_a_store_of_another_format_is_one_line(tmp_path, marker):
    (tmp_path / "store.json").write_text(marker)
    with pytest.raises(StoreError, match="new directory") as caught:
        open_store(tmp_path, create=True)
    one_line(caught)


def test_neo4j_says_nothing_on_the_terminal(neo4j_server):
    code = (
        "import sys; from cofire.store import open_store\n"
        "with open_store(*sys.argv[1:]) as s: print(s.read('MATCH (n:Nope) WHERE id(n) = 1 RETURN n.nope').rows)"
    )
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-c", code, neo4j_server.uri, neo4j_server.username, neo4j_server.password],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "[]\n", "")
