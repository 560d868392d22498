"""What is asked of a store, and what is said about its answers; the store here is a stand-in."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from cofire import KnowledgeBase, QueryError
from cofire.cli import run
from cofire.queries.library import library
from cofire.queries.motif_sources import store_sources
from cofire.store import Rows, Store
from cofire.store.guard import check

SAES = [("r/cut", "deleting", 5), ("r/half", "loading", None), ("r/whole", "ready", 5)]


class StandIn:
    """A store that gives one answer, and keeps what it was asked."""

    kind = "embedded"
    location = "here"

    def __init__(self) -> None:
        self.saes: list[tuple[Any, ...]] = list(SAES)
        self.answer = Rows(("x",), [])
        self.asked: list[str] = []

    def guard(self, text: str, parameters: Mapping[str, Any] | None = None, timeout: float | None = None) -> None:
        check(text, unicode_escapes=False)

    def read(self, text: str, parameters: Mapping[str, Any] | None = None, timeout: float | None = None) -> Rows:
        if text.startswith("MATCH (s:Sae) RETURN s.uid AS uid, s.status"):
            return Rows(("uid", "status", "latents"), self.saes)
        if "s.status <> 'ready'" in text:
            return Rows(("uid",), [row[:1] for row in self.saes if row[1] != "ready"][:1])
        if "s.contentHash AS hash, s.nEdges" in text:
            ready = [(uid, uid.partition("/")[0], "hash", 0) for uid, status, _ in self.saes if status == "ready"]
            return Rows(("uid", "release", "hash", "edges"), ready)
        self.asked.append(text)
        return self.answer

    def stream(
        self, text: str, parameters: Mapping[str, Any] | None = None, timeout: float | None = None
    ) -> Iterator[tuple[tuple[str, ...], tuple[Any, ...]]]:
        rows = self.read(text, parameters, timeout)
        return ((rows.columns, row) for row in rows.rows)

    def close(self, *, hurried: bool = False) -> None:
        """Nothing is held."""


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> StandIn:
    made = StandIn()
    monkeypatch.setattr("cofire.queries.knowledge_base.open_store", lambda *_args, **_kwargs: made)
    monkeypatch.delenv("COFIRE_QUERIES", raising=False)
    return made


def rows_of(name: str, number: int) -> Rows:
    """So many rows of a query of the library, of nulls."""
    names = tuple(column.name for column in library()[name].columns)
    return Rows(names, [(None,) * len(names)] * number)


# --- Cypher ---


@pytest.mark.parametrize("options", [(), ("--format", "csv"), ("--limit", "1"), ("--limit", "0")])
@pytest.mark.parametrize("text", ["MATCH (s:Sae) RETURN *", "SHOW INDEXES", "CALL db.labels()"])
def test_columns_that_only_the_answer_names(
    store: StandIn, text: str, options: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    store.answer = Rows(("first", "second"), [({"uid": "r/whole"}, 1), (None, 2)])
    assert run(["cypher", text, *options]) == 0
    said = capsys.readouterr()
    assert "first" in said.out
    assert "second" in said.out
    assert "r/whole" in said.out


def test_without_rows_the_text_names_the_columns(store: StandIn) -> None:
    with KnowledgeBase() as kb:
        assert list(kb.first_cypher_rows("MATCH (n) RETURN n.a AS a, 1", 3)[0].columns) == ["a", "1"]
        assert kb.first_cypher_rows("SHOW INDEXES", 3)[0].empty


@pytest.mark.parametrize("options", [(), ("--format", "csv"), ("--limit", "0")])
def test_the_name_of_a_query_is_no_cypher(
    store: StandIn, options: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["cypher", "saes", *options]) == 4
    assert "a query must start with MATCH, RETURN or another reading clause, not saes" in capsys.readouterr().err
    assert store.asked == []


@pytest.mark.parametrize("value", ["[" * 100_000, "[" * 51 + "]" * 51, '{"a":' * 60 + "1" + "}" * 60])
def test_a_value_nested_too_deep(store: StandIn, value: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["cypher", "RETURN $v AS v", "-p", f"v={value}"]) == 2
    assert capsys.readouterr().err == (
        "cofire: -p v has lists or maps nested more than 50 deep; give a flatter value\n"
    )
    assert store.asked == []


# --- limits ---


def notices(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    """What a run of a query says on stderr."""
    assert run(["query", "run", *arguments]) == 0
    return capsys.readouterr().err.splitlines()


@pytest.mark.parametrize("options", [(), ("--format", "json"), ("--limit", "0"), ("--limit", "20")])
def test_a_query_that_stops_at_its_own_limit_says_so(
    store: StandIn, options: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["similar_hubs", "-p", "sae=r/whole", "-p", "index=1", *options]
    store.answer = rows_of("similar_hubs", 20)
    assert notices(capsys, *asked) == ["the query's own limit of 20 rows was reached; -p limit=0 gives all"]
    assert notices(capsys, *asked, "-p", "limit=20") == []
    store.answer = rows_of("similar_hubs", 19)
    assert notices(capsys, *asked) == []


def test_a_query_whose_limit_cannot_be_0(store: StandIn, capsys: pytest.CaptureFixture[str]) -> None:
    store.answer = rows_of("nearest_decoders", 10)
    asked = ["nearest_decoders", "-p", "sae=r/whole", "-p", "index=1"]
    assert notices(capsys, *asked) == ["the query's own limit of 10 rows was reached; -p limit=N gives more"]


def test_rows_that_are_not_printed_come_first(store: StandIn, capsys: pytest.CaptureFixture[str]) -> None:
    store.answer = rows_of("strongest_edges", 100)
    assert notices(capsys, "strongest_edges", "-p", "sae=r/whole") == [
        "the first 50 rows; --limit 0 prints all",
        "the query itself gives at most 100 rows; -p limit=0 gives all",
    ]
    store.answer = rows_of("strongest_neighbours", 100)
    asked = ["strongest_neighbours", "-p", "sae=r/whole", "-p", "index=1"]
    assert notices(capsys, *asked) == ["the first 50 rows; --limit 0 prints all"]
    assert notices(capsys, *asked, "--limit", "0") == []


def test_what_0_means_to_a_query_of_ones_own_is_not_known(
    store: StandIn, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own_query(tmp_path, "limit: integer 0.. = 2", "limit")
    store.answer = Rows(("index",), [(1,), (2,)])
    said = notices(capsys, "mine", "--queries", str(tmp_path))
    assert said == ["the query's own limit of 2 rows was reached; -p limit=N gives more"]


# --- what is not there ---


def own_query(folder: Path, parameter: str, name: str) -> None:
    (folder / "mine.cypher").write_text(
        f"// name: mine\n// description: One of a user's own.\n// param {parameter} - what the user means\n"
        f"// returns index: integer - index\n\nMATCH (n) WHERE n.x = ${name} RETURN n.index AS index\n"
    )


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("index: integer", 99),
        ("a: string", "x"),
        ("a: float", 5000.0),
        ("indices: list<integer> or null = null", None),
        ("indices: list<string> = []", ["x"]),
        ("sae: string or null = null", None),
        ("sae: integer", 5),
        ("sae: list<string>", ["r/none"]),
        ("sae_a: integer", 5),
        ("cluster: integer", 5),
    ],
)
def test_what_a_users_parameters_mean_is_not_guessed(
    store: StandIn, tmp_path: Path, parameter: str, value: Any
) -> None:
    name = parameter.partition(":")[0]
    own_query(tmp_path, parameter, name)
    store.answer = Rows(("index",), [])
    with KnowledgeBase(queries=tmp_path) as kb:
        assert kb.query("mine", **{name: value}).empty
        assert list(kb.iter("mine", **{name: value})) == []
        assert kb.first_rows("mine", 3, **{name: value})[0].empty


def test_an_sae_that_a_users_query_names_is_looked_for(store: StandIn, tmp_path: Path) -> None:
    own_query(tmp_path, "sae: string", "sae")
    store.answer = Rows(("index",), [])
    with KnowledgeBase(queries=tmp_path) as kb:
        assert kb.query("mine", sae="r/whole").empty
        with pytest.raises(QueryError, match=r"unknown SAE r/whale \(did you mean r/whole\?\); ready are r/whole$"):
            kb.query("mine", sae="r/whale")


def test_each_latent_of_a_list_is_looked_for(store: StandIn) -> None:
    store.answer = rows_of("edges_among", 1)
    given = {"sae": "r/whole", "indices": [0, 4, 5]}
    with KnowledgeBase() as kb:
        for ask in (
            lambda: kb.query("edges_among", **given),
            lambda: kb.iter("edges_among", **given),
            lambda: kb.first_rows("edges_among", 3, **given),
        ):
            with pytest.raises(QueryError, match="latent 5 of r/whole: its latents are 0 to 4"):
                ask()
        assert len(kb.query("edges_among", sae="r/whole", indices=[0, 4])) == 1


UNREADY = [
    ("r/half", r"^r/half is still loading, .*run `cofire ingest` again to finish$"),
    ("r/cut", r"^r/cut is being deleted, .*run `cofire delete` again to finish, or `cofire ingest` to load it anew$"),
]


@pytest.mark.parametrize(("uid", "message"), UNREADY)
def test_an_sae_that_is_not_complete_is_not_called_unknown(store: StandIn, uid: str, message: str) -> None:
    with KnowledgeBase() as kb:
        for ask in (
            lambda: kb.query("dead_latents", sae=uid),
            lambda: list(kb.iter("compare_saes", sae_a="r/whole", sae_b=uid)),
            lambda: kb.report_data(uid),
            lambda: store_sources(cast(Store, store), sae=uid),
        ):
            with pytest.raises(QueryError, match=message):
                ask()


def test_a_search_for_motifs_of_what_is_unknown(store: StandIn) -> None:
    searched = cast(Store, store)
    with pytest.raises(QueryError, match=r"unknown SAE r/whale \(did you mean r/whole\?\)"):
        store_sources(searched, sae="r/whale")
    for sae in (None, "r/whole"):
        with pytest.raises(QueryError, match="unknown release other; `cofire saes`"):
            store_sources(searched, sae=sae, release="other")
    store.saes = store.saes[:2]
    with pytest.raises(QueryError, match="here holds no SAE whose load is complete"):
        store_sources(searched)


def test_a_list_of_no_sae_says_what_is_there(store: StandIn, capsys: pytest.CaptureFixture[str]) -> None:
    columns = rows_of("saes", 0)
    store.answer, store.saes = columns, SAES[1:2]
    assert run(["saes", "--format", "json"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out) == []
    assert said.err.startswith("r/half is still loading, or being deleted; run `cofire ingest` again")
    store.saes = []
    assert run(["saes"]) == 0
    assert capsys.readouterr().err.startswith("the store holds no SAE yet")
