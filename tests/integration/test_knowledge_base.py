"""The Python API on both stores."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
from query_oracle import ORACLES
from query_worlds import DELETING, LOADING, READY, World, load_world, make_world

from builders import make_capture, random_arrays
from cofire import KnowledgeBase, QueryError, StoreError, TimeLimit, WriteRefused
from cofire.analysis.report.page import COLUMNS
from cofire.cli import run
from cofire.pipeline import ingest
from cofire.queries.library import library
from cofire.schema.tables import TABLES
from cofire.settings import load_settings
from cofire.store import Store
from servers import Neo4jServer

A, B = READY
COUNT = "MATCH (n) RETURN count(n) AS n"


@pytest.fixture
def kb(store: Store, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[KnowledgeBase]:
    if store.kind == "neo4j":
        server = request.getfixturevalue("neo4j_server")
        monkeypatch.setenv("NEO4J_USERNAME", "nobody")  # what is given to the class wins
        opened = KnowledgeBase(store.location, username=server.username, password=server.password)
    else:
        opened = KnowledgeBase(store.location)
    with opened:
        yield opened


@pytest.fixture
def world(store: Store) -> World:
    made = make_world(5, 12, 0.5)
    load_world(store, made)
    return made


def test_a_frame_has_the_declared_columns_and_types(kb: KnowledgeBase, world: World) -> None:
    frame = kb.query("strongest_neighbours", sae=B, index=0, by="count")
    wanted = ORACLES["strongest_neighbours"](world, sae=B, index=0, by="count", limit=0)
    assert [None if pd.isna(x) else x for x in frame["phi"]] == [row["phi"] for row in wanted]
    assert frame["index"].tolist() == [row["index"] for row in wanted]
    for tokens in ("distinctive_tokens", "top_tokens"):
        assert frame[tokens].tolist() == [row[tokens] for row in wanted]
    types = frame.dtypes.astype(str).to_dict()
    assert types["index"] == "Int64"
    assert types["phi"] == "Float64"
    assert types["cluster"] == "string"
    assert types["top_tokens"] == "object"
    empty = kb.query("strongest_neighbours", sae=B, index=3)
    assert empty.empty
    assert empty.dtypes.astype(str).to_dict() == types


def test_only_ready_saes_are_listed(kb: KnowledgeBase, world: World) -> None:
    frame = kb.saes()
    assert frame["uid"].tolist() == sorted(READY)
    assert frame["n_latents"].tolist() == [12, 12]


def test_the_library_is_a_frame(kb: KnowledgeBase, world: World) -> None:
    frame = kb.queries()
    assert frame["name"].tolist() == list(library())
    assert frame.set_index("name").loc["latent_card", "signature"] == "latent_card(sae: string, index: integer 0..)"


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("latent_card", {"sae": A[:-1], "index": 0}, rf"unknown SAE .* \(did you mean {A}\?\); ready are"),
        ("dead_latents", {"sae": "no/such"}, f"unknown SAE no/such; ready are .*{A}"),
        ("dead_latents", {"sae": LOADING}, f"^{LOADING} is still loading.*`cofire ingest` again"),
        ("dead_latents", {"sae": DELETING}, f"^{DELETING} is being deleted.*`cofire delete` again"),
        ("latent_card", {"sae": A, "index": 12}, f"latent 12 of {A}: its latents are 0 to 11"),
        ("edge_between", {"sae": A, "a": 1, "b": 99}, "latent 99 of"),
        ("edges_among", {"sae": A, "indices": [1, -1]}, "latent -1 of"),
        ("edges_among", {"sae": A, "indices": [0, 1, 2, 12]}, "latent 12 of"),  # 0 has edges to 1 and 2
        ("compare_saes", {"sae_a": A, "sae_b": A[:-1]}, rf"unknown SAE .* \(did you mean {A}\?\)"),
        ("matched_latents", {"sae_a": LOADING, "sae_b": A}, f"{LOADING} is still loading"),
        ("nearest_decoders", {"sae": A, "index": 12}, "latent 12 of"),
        ("cluster_card", {"cluster": f"{A}/c-0"}, f"unknown cluster {A}/c-0"),
        ("latent_cards", {}, r"unknown query latent_cards \(did you mean latent_card\?\)"),
        ("latent_card", {"sea": A, "index": 1}, r"unknown parameter sea \(did you mean sae\?\)"),
    ],
)
def test_what_is_unknown_is_named(
    kb: KnowledgeBase, world: World, name: str, parameters: dict[str, object], message: str
) -> None:
    with pytest.raises(QueryError, match=message):
        kb.query(name, **parameters)
    with pytest.raises(QueryError, match=message):
        list(kb.iter(name, **parameters))


def test_an_empty_store_says_what_to_do(kb: KnowledgeBase) -> None:
    assert kb.saes().empty
    with pytest.raises(QueryError, match="the store holds none; load one with `cofire ingest`"):
        kb.query("dead_latents", sae=A)


def test_cypher_parameters_may_have_any_name(kb: KnowledgeBase) -> None:
    text = "RETURN $self AS a, $text AS b, $name AS c, $timeout AS d, $query AS e, $parameters AS f"
    given = {"self": 1, "text": 2.5, "name": "n", "timeout": True, "query": None, "parameters": [1, 2]}
    frame = kb.cypher(text, **given)
    assert [str(t) for t in frame.dtypes] == ["Int64", "Float64", "string", "boolean", "object", "object"]
    assert frame.iloc[0].tolist() == [1, 2.5, "n", True, None, [1, 2]]
    assert list(kb.iter(text, **given)) == [dict(zip("abcdef", given.values(), strict=True))]


@pytest.mark.parametrize("text", ["CREATE (n:Latent)", "MATCH (n) SET n.index = 1", "MATCH (n) DETACH DELETE n"])
def test_nothing_is_written(kb: KnowledgeBase, world: World, text: str) -> None:
    before = kb.cypher(COUNT)["n"].tolist()
    with pytest.raises(WriteRefused):
        kb.cypher(text)
    with pytest.raises(WriteRefused):
        kb.iter(text)
    assert kb.cypher(COUNT)["n"].tolist() == before


def test_wrong_cypher_is_an_error_of_the_query(kb: KnowledgeBase) -> None:
    with pytest.raises(QueryError):
        kb.cypher("MATCH (n RETURN n")
    with pytest.raises(QueryError, match="unknown query RETURN"):
        kb.iter("RETURN")


def test_rows_stream(kb: KnowledgeBase, world: World) -> None:
    rows = kb.iter("latent_tokens", sae=A, index=0)
    wanted = ORACLES["latent_tokens"](world, sae=A, index=0, limit=0)
    assert list(rows) == wanted
    many = kb.iter("UNWIND range(1, 1000000) AS i RETURN i, i * 2 AS twice")
    assert next(many) == {"i": 1, "twice": 2}
    many.close()  # type: ignore[attr-defined]  # a generator
    assert kb.cypher("RETURN 1 AS one")["one"].tolist() == [1]


def test_a_time_limit_holds(kb: KnowledgeBase, store: Store, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    if store.kind == "neo4j":
        server = request.getfixturevalue("neo4j_server")
        limited = KnowledgeBase(store.location, username=server.username, password=server.password, timeout=0.5)
    else:
        # Giving a query up ends the server, so it gets one of its own.
        from cofire.store import open_store

        open_store(tmp_path / "own", create=True).close()
        limited = KnowledgeBase(tmp_path / "own", timeout=0.5)
    with limited, pytest.raises(TimeLimit):
        limited.cypher("UNWIND range(1, 100000) AS a UNWIND range(1, 100000) AS b RETURN count(a % 7 = b % 3) AS c")


def test_no_store_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StoreError, match="nowhere"):
        KnowledgeBase(tmp_path / "nowhere")
    monkeypatch.setenv("COFIRE_STORE", str(tmp_path / "elsewhere"))
    with pytest.raises(StoreError, match="elsewhere"):
        KnowledgeBase()


def test_a_report_has_the_tables_of_the_capture(kb: KnowledgeBase, store: Store, tmp_path: Path) -> None:
    capture = make_capture(tmp_path, random_arrays(7))
    ingest(capture, store, load_settings(edges="all"))
    uid = capture.manifest.uid
    data = kb.report_data(uid)
    assert data.sae["uid"] == uid
    for table in (table for table in TABLES if table.name in COLUMNS):
        wanted = pq.read_table(capture.tables / f"{table.name}.parquet", columns=list(COLUMNS[table.name])).to_pandas()
        found = getattr(data, table.name)
        assert len(wanted) > 0, table.name
        if table.name == "tokens":  # the report shows them in this order
            wanted = wanted.sort_values(["latent", "count", "token"], ascending=[True, False, True], ignore_index=True)
        pd.testing.assert_frame_equal(found, wanted)
    page = kb.report(uid, tmp_path / "report")
    assert uid in page.read_text(encoding="utf-8")
    with pytest.raises(QueryError, match=f"unknown SAE {uid}x"):
        kb.report(uid + "x", tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_the_first_rows_alone_are_read_and_typed(kb: KnowledgeBase, world: World) -> None:
    wanted = kb.query("strongest_neighbours", sae=B, index=0)
    frame, more = kb.first_rows("strongest_neighbours", 2, sae=B, index=0)
    pd.testing.assert_frame_equal(frame, wanted.head(2))
    assert more
    frame, more = kb.first_rows("strongest_neighbours", len(wanted), sae=B, index=0)
    pd.testing.assert_frame_equal(frame, wanted)
    assert not more
    frame, more = kb.first_rows("strongest_neighbours", 2, sae=B, index=3)  # dead: no neighbours
    assert frame.empty
    assert frame.dtypes.equals(wanted.dtypes)
    assert not more
    with pytest.raises(QueryError, match="latent 12 of"):
        kb.first_rows("strongest_neighbours", 2, sae=B, index=12)
    frame, more = kb.first_cypher_rows("UNWIND range(1, 1000000) AS i RETURN i, $x AS x", 3, x="a")
    assert (frame["i"].tolist(), frame["x"].tolist(), more) == ([1, 2, 3], ["a"] * 3, True)
    frame, more = kb.first_cypher_rows("MATCH (n:Nothing) RETURN n.a AS a, n.b", 3)
    assert (list(frame.columns), frame.empty, more) == (["a", "n.b"], True, False)
    with pytest.raises(WriteRefused):
        kb.first_cypher_rows("CREATE (n)", 3)
    with pytest.raises(WriteRefused, match="not saes"):  # the name of a query, but no Cypher
        kb.first_cypher_rows("saes", 3)


@pytest.mark.parametrize("text", ["MATCH (s:Sae) RETURN *", "SHOW INDEXES", "CALL db.labels()"])
def test_columns_that_no_text_names(kb: KnowledgeBase, world: World, text: str) -> None:
    whole = kb.cypher(text)
    assert len(whole) > 1
    frame, more = kb.first_cypher_rows(text, 1)
    assert list(frame.columns) == list(whole.columns)
    assert (len(frame), more) == (1, True)
    frame, more = kb.first_cypher_rows(text, len(whole))
    assert (len(frame), more) == (len(whole), False)


OWN = """\
// name: {name}
// description: The latents of one SAE.
// param sae: string - uid of the SAE
// returns index: integer - index

{text}
"""
LATENTS = "MATCH (s:Sae {uid: $sae, status: 'ready'})<-[:OF]-(a:Latent) RETURN a.index AS index ORDER BY index"


def test_queries_of_ones_own(
    store: Store, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    texts = {
        "mine": LATENTS,
        "writes": "MATCH (s:Sae {uid: $sae}) SET s.layer = 1 RETURN s.layer AS index",
        "other_column": LATENTS.replace("AS index ORDER BY index", "AS place"),
        "other_type": LATENTS.replace("a.index AS", "a.uid AS"),
        "no_cypher": "MATCH (n {uid: $sae} RETURN n.index AS index",
    }
    for name, text in texts.items():
        (tmp_path / f"{name}.cypher").write_text(OWN.format(name=name, text=text))
    if store.kind == "neo4j":
        server = request.getfixturevalue("neo4j_server")
        monkeypatch.setenv("NEO4J_USERNAME", server.username)
        monkeypatch.setenv("NEO4J_PASSWORD", server.password)
    before = store.read("MATCH (s:Sae) RETURN s.uid, s.layer ORDER BY s.uid").rows
    with KnowledgeBase(store.location, queries=tmp_path) as kb:
        assert set(kb.queries()["name"]) == {*library(), *texts}
        assert kb.query("mine", sae=A)["index"].tolist() == list(range(12))
        assert [row["index"] for row in kb.iter("mine", sae=A)] == list(range(12))
        assert kb.first_rows("mine", 2, sae=A)[0]["index"].tolist() == [0, 1]
        assert "Sae" in kb.explain("mine", sae=A)
        with pytest.raises(QueryError, match="unknown SAE"):
            kb.query("mine", sae=A + "x")
        for ask in (kb.query, kb.iter, kb.explain):
            with pytest.raises(WriteRefused, match=r"writes\.cypher:6: SET would write"):
                ask("writes", sae=A)
        for name in ("other_column", "other_type", "no_cypher"):
            with pytest.raises(QueryError, match=rf"{name}\.cypher:6: ") as error:
                kb.query(name, sae=A)
            assert error.value.exit_code == 2
    assert store.read("MATCH (s:Sae) RETURN s.uid, s.layer ORDER BY s.uid").rows == before
    monkeypatch.setenv("COFIRE_QUERIES", str(tmp_path))
    with KnowledgeBase(store.location) as kb:
        assert kb.query("mine", sae=B)["index"].tolist() == list(range(12))


def test_explain_shows_the_plan(store: Store) -> None:
    query = library()["saes"]
    assert "Sae" in store.explain(query.text, query.bind({}))
    with pytest.raises(QueryError):
        store.explain("MATCH (n RETURN n")


def test_a_cluster_is_called_by_its_short_name(
    kb: KnowledgeBase,
    store: Store,
    world: World,
    neo4j_server: Neo4jServer,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first, second = (next(c for c, row in world.clusters.items() if row["sae"] == sae) for sae in READY)
    rename = "MATCH (c:Cluster {uid: $uid}) SET c.uid = $other"
    for uid in (first, second):
        store.write([(rename, {"uid": uid, "other": f"{world.clusters[uid]['sae']}/c-both"})])
    wanted = f"c-both is a cluster of 2 SAEs; give its uid: {', '.join(f'{sae}/c-both' for sae in sorted(READY))}"
    own = next(c for c, row in world.clusters.items() if row["sae"] == A and c != first)
    with pytest.raises(QueryError, match=f"^{re.escape(wanted)}$"):
        kb.query("cluster_card", cluster="c-both")
    whole, short = kb.query("cluster_card", cluster=own), own.rpartition("/")[2]
    assert len(whole)
    pd.testing.assert_frame_equal(kb.query("cluster_card", cluster=short), whole)
    pd.testing.assert_frame_equal(kb.first_rows("cluster_card", 100, cluster=short)[0], whole)
    with pytest.raises(QueryError, match=r"^unknown cluster c-none; "):
        kb.query("cluster_card", cluster="c-none")
    monkeypatch.setenv("NEO4J_USERNAME", neo4j_server.username)
    monkeypatch.setenv("NEO4J_PASSWORD", neo4j_server.password)
    line = ["query", "run", "densest_clusters", "--store", store.location, "-p", f"sae={A}", "-p", "min_size=2"]
    assert run([*line, "--format", "json"]) == 0
    assert f'"{own}"' in capsys.readouterr().out
    assert run([*line, "--limit", "0"]) == 0
    shown = capsys.readouterr().out
    assert f"cluster: {short}\n" in shown
    assert f"{A}/c-" not in shown
