"""The store on both servers: values, transactions, limits, refusals, and the life of the embedded server."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from cofire.errors import QueryError, StoreError, TimeLimit, WriteRefused
from cofire.store import Store, embedded, open_store
from cypher_texts import READING, WRITING
from servers import ROOT, Neo4jServer, exported, free_port, neo4j_script

SLOW = "UNWIND range(1, 100000) AS a UNWIND range(1, 100000) AS b WITH a, b WHERE (a * b) % 7 = 1 RETURN count(*) AS c"

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


def count(store: Store) -> int:
    return int(store.read("MATCH (n) RETURN count(n)").rows[0][0])


def one_line(error: pytest.ExceptionInfo[BaseException]) -> str:
    text = str(error.value)
    assert text
    assert "\n" not in text
    assert "Traceback" not in text
    return text


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


@pytest.mark.parametrize("text", WRITING)
def test_the_guard_refuses_and_the_data_stay(store, text):
    store.write([("CREATE (:X {a: 1})-[:R]->(:Y {b: 2})", {})])
    with pytest.raises(WriteRefused):
        store.guard(text)
    assert store.read(
        "MATCH (n) OPTIONAL MATCH (n)-[r]->() RETURN labels(n)[0] AS l, n.a, n.b, type(r) ORDER BY l"
    ).rows == [
        ("X", 1, None, "R"),
        ("Y", None, 2, None),
    ]


# What the lexer passes is not always there on both servers: these need an index by that name, or a newer server.
_NOT_RUN = ("CALL db.index.", "CALL db.schema.nodeTypeProperties", "CALL db.schema.relTypeProperties")


@pytest.mark.parametrize("text", [text for text in READING if not text.startswith(_NOT_RUN)])
def test_the_guard_passes_what_only_reads(store, text):
    parameters = {"i": 1, "s": "x", "create": 1, "set": 2}
    store.write([("CREATE (:Latent {uid: 'a'})", {})])
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
        began = time.monotonic()
        with pytest.raises(TimeLimit) as caught:
            run()
        one_line(caught)
        assert time.monotonic() - began < 20
        assert store.read("MATCH (n) RETURN count(n)", timeout=60).rows == [(1,)]


def test_a_stream_that_is_cut_by_the_limit_says_so(store):
    text = "UNWIND range(1, 100000) AS a UNWIND range(1, 100000) AS b RETURN a, b"
    rows = store.stream(text, timeout=2.0)
    assert next(rows)[1] == (1, 1)
    with pytest.raises(TimeLimit):
        list(rows)


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


@pytest.mark.parametrize(
    "url", ["http://localhost:7474", "bolt://", "redis://u:geheim@h", "bolt://u:geheim@localhost:7687"]
)
def test_a_wrong_url_is_one_line_without_its_secret(url):
    with pytest.raises(StoreError) as caught:
        open_store(url)
    assert "geheim" not in one_line(caught)


def test_a_missing_store_is_one_line_and_nothing_is_made(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").write_text("x")
    for name in ("missing", "empty", "other"):
        with pytest.raises(StoreError, match="cofire ingest") as caught:
            open_store(tmp_path / name)
        one_line(caught)
    assert sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*")) == ["empty", "other", "other/file"]


def test_a_store_is_not_made_where_something_else_is(tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").write_text("x")
    (tmp_path / "plain").write_text("x")
    for name in ("other", "plain", "plain/below"):
        with pytest.raises(StoreError) as caught:
            open_store(tmp_path / name, create=True)
        one_line(caught)
    assert [p.name for p in (tmp_path / "other").iterdir()] == ["file"]


@pytest.mark.parametrize("marker", ['{"format": 99, "engine": "arcadedb"}', "{", '{"format": 1}', "[]"])
def test_a_store_of_another_format_is_one_line(tmp_path, marker):
    (tmp_path / "store.json").write_text(marker)
    with pytest.raises(StoreError, match="new directory") as caught:
        open_store(tmp_path, create=True)
    one_line(caught)


# --- the embedded server's life ---

PROCESS = """
import sys
from cofire.errors import StoreError
from cofire.store import open_store
with open_store(sys.argv[1]) as store:
    {body}
"""


def start(directory: Path, body: str) -> subprocess.Popen[str]:
    """Another process that opens the store and runs `body`."""
    code = PROCESS.format(body=body.replace("\n", "\n    "))
    return subprocess.Popen(
        [sys.executable, "-c", code, str(directory)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def server_pid(directory: Path) -> int:
    return int(json.loads((directory / "owner.json").read_text())["pid"])


def ended(pid: int, seconds: float = 15.0) -> bool:
    """Whether the process is gone, or a zombie that nobody has waited for yet, within the time."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state == "Z":
            return True
        time.sleep(0.05)
    return False


def test_data_stay_and_the_server_ends_with_its_owner(embedded_dir):
    with open_store(embedded_dir) as store:
        store.write([("CREATE (:X {v: $v})", {"v": 2**60})])
        pid = server_pid(embedded_dir)
        assert (embedded_dir / "owner.json").stat().st_mode & 0o777 == 0o600
        password = json.loads((embedded_dir / "owner.json").read_text())["password"]
        assert password not in Path(f"/proc/{pid}/cmdline").read_text()
    assert ended(pid)
    assert not (embedded_dir / "owner.json").exists()
    with open_store(embedded_dir) as store:
        assert store.read("MATCH (n:X) RETURN n.v").rows == [(2**60,)]
        assert json.loads((embedded_dir / "owner.json").read_text())["password"] != password


def test_nothing_is_said_on_the_terminal(embedded_dir):
    body = "store.write([('CREATE (:X)', {})]); print(store.read('MATCH (n:Nothing) RETURN n.nope').rows)"
    process = start(embedded_dir, body)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (0, "[]\n", "")
    assert (embedded_dir / "server.log").read_text()


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


def test_a_second_process_shares_the_server(embedded_dir):
    with open_store(embedded_dir) as store:
        process = start(embedded_dir, "store.write([('CREATE (:X)', {})]); print(store._embedded.owned)")
        out, err = process.communicate(timeout=60)
        assert (process.returncode, out, err) == (0, "False\n", "")
        # It has left, and the server has stayed.
        assert count(store) == 1


def test_who_shares_is_told_when_the_owner_goes_and_then_takes_over(embedded_dir):
    owner = start(embedded_dir, "store.write([('CREATE (:X)', {})]); print('ready', flush=True); sys.stdin.read()")
    assert owner.stdout.readline() == "ready\n"
    with open_store(embedded_dir) as store:
        assert count(store) == 1
        pid = server_pid(embedded_dir)
        owner.communicate(timeout=60)
        assert ended(pid)
        with pytest.raises(StoreError, match="has ended; run the command again") as caught:
            count(store)
        one_line(caught)
        assert count(store) == 1


def test_a_time_limit_leaves_a_shared_server_to_its_owner(embedded_dir):
    with open_store(embedded_dir) as store:
        body = (
            f"try: store.read({SLOW.replace('100000', '4000')!r}, timeout=0.5)\n"
            "except Exception as error: print(type(error).__name__)\n"
            "print(store.read('RETURN 1').rows)"
        )
        process = start(embedded_dir, body)
        out, err = process.communicate(timeout=60)
        assert (process.returncode, out, err) == (0, "TimeLimit\n[(1,)]\n", "")
        assert count(store) == 0


def test_when_the_server_dies_its_owner_is_told_and_can_go_on(embedded_dir):
    with open_store(embedded_dir) as store:
        store.write([("CREATE (:X)", {})])
        os.kill(server_pid(embedded_dir), signal.SIGKILL)
        with pytest.raises(StoreError, match=r"server\.log") as caught:
            count(store)
        one_line(caught)
        assert count(store) == 1


def test_kill_9_of_the_owner_leaves_no_orphan_and_no_acknowledged_batch_is_lost(embedded_dir):
    body = (
        "import itertools\n"
        "for batch in itertools.count():\n"
        "    rows = [[batch, i] for i in range(100)]\n"
        "    store.write([('UNWIND $rows AS row CREATE (:X {batch: row[0], i: row[1]})', {'rows': rows})])\n"
        "    print(batch, flush=True)"
    )
    for kill_after in (3, 17):
        process = start(embedded_dir, body)
        acknowledged = [int(process.stdout.readline()) for _ in range(kill_after)]
        pid = server_pid(embedded_dir)
        process.kill()
        acknowledged += [int(line) for line in process.communicate()[0].splitlines()]
        # The next one may come while the server of the killed one is still stopping.
        with open_store(embedded_dir) as store:
            rows = store.read("MATCH (n:X) RETURN n.batch AS batch, count(*) AS c ORDER BY batch").rows
            store.write([("MATCH (n:X) DELETE n", {})])
        assert ended(pid)
        assert [c for _, c in rows] == [100] * len(rows)
        assert {batch for batch, _ in rows} >= set(acknowledged)


def test_kill_9_of_the_owner_ends_a_server_that_is_busy(embedded_dir):
    process = start(embedded_dir, f"print('go', flush=True); store.read({SLOW!r})")
    process.stdout.readline()
    time.sleep(1.0)
    pid = server_pid(embedded_dir)
    process.kill()
    process.communicate()
    assert ended(pid, 30.0)


def test_opening_has_a_time_limit(embedded_dir, monkeypatch):
    monkeypatch.setattr(embedded, "OPEN_SECONDS", 0.3)
    with pytest.raises(StoreError, match="cofire ingest") as caught:
        open_store(embedded_dir)
    one_line(caught)
    monkeypatch.undo()
    open_store(embedded_dir).close()


def test_a_store_without_its_database_is_not_made_anew(embedded_dir):
    (embedded_dir / "databases" / "cofire").rename(embedded_dir / "gone")
    with pytest.raises(StoreError, match="is missing") as caught:
        open_store(embedded_dir)
    one_line(caught)


# --- scripts/neo4j ---


def test_the_neo4j_script_uses_a_server_that_is_there(tmp_path):
    environment = os.environ | {"NEO4J_URI": "bolt://h:1", "NEO4J_USERNAME": "u", "NEO4J_PASSWORD": "p w'"}
    environment["COFIRE_NEO4J_HOME"] = str(tmp_path)
    done = subprocess.run(
        [ROOT / "scripts/neo4j", "start"], env=environment, capture_output=True, text=True, check=True
    )
    assert exported(done.stdout) == {"NEO4J_URI": "bolt://h:1", "NEO4J_USERNAME": "u", "NEO4J_PASSWORD": "p w'"}
    assert list(tmp_path.iterdir()) == []


def test_the_neo4j_script_starts_once_keeps_data_and_stops(tmp_path):
    home, port = tmp_path / "home", free_port()
    assert neo4j_script("status", home).returncode == 1
    first = neo4j_script("start", home, port)
    try:
        assert first.returncode == 0, first.stderr
        assert neo4j_script("start", home, port).stdout == first.stdout
        assert neo4j_script("status", home).returncode == 0
        assert (home / "password").stat().st_mode & 0o777 == 0o600
        server = exported(first.stdout)
        with Neo4jServer(server["NEO4J_URI"], server["NEO4J_USERNAME"], server["NEO4J_PASSWORD"]).open() as store:
            store.write([("CREATE (:X)", {})])
    finally:
        stopped = neo4j_script("stop", home)
    assert stopped.returncode == 0
    assert neo4j_script("stop", home).returncode == 0
    assert neo4j_script("status", home).returncode == 1


def test_the_neo4j_script_explains_itself(tmp_path):
    assert "usage" in neo4j_script("--help", tmp_path).stdout
    wrong = neo4j_script("begin", tmp_path)
    assert wrong.returncode == 2
    assert "usage" in wrong.stderr
