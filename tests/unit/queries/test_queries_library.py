"""The query files' headers, and the check of a query's parameters."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import cofire.queries
from cofire.errors import CofireError, QueryError
from cofire.queries.docs import queries_page
from cofire.queries.frames import typed_frame, untyped_frame
from cofire.queries.knowledge_base import KnowledgeBase
from cofire.queries.library import (
    Parameter,
    Query,
    find_query,
    library,
    parse_parameters,
    queries_with,
    read_query,
)
from cofire.queries.value_types import ValueType
from cofire.store.guard import check

FILES = sorted(Path(cofire.queries.__file__).parent.glob("*.cypher"))
HEADER = """\
// name: sample
// description: What it
//   answers.
// param sae: string - uid - of the SAE
// param n: integer 1..9 = 3 - how many
// param share: float or null = null - a share
// param by: count|log_odds = "count" - measure
// param spaced: boolean = true - with a space
// param some: list<integer> = [1, 2] - indices
// returns index: integer - the index
// returns names: list<list<string>> or null - the names

"""
TEXT = "MATCH (n {a: $sae}) // $comment\nWHERE $n < $share OR $by = '$quoted' OR $spaced\nRETURN $some"


def sample() -> Query:
    return read_query(HEADER + TEXT + "\n", "sample.cypher")


def test_a_header_is_read() -> None:
    query = sample()
    assert query.description == "What it answers."
    assert query.parameters[:3] == (
        Parameter("sae", ValueType("string"), "uid - of the SAE"),
        Parameter("n", ValueType("integer", low=1, high=9), "how many", required=False, default=3),
        Parameter("share", ValueType("float", nullable=True), "a share", required=False),
    )
    assert query.parameters[3].type.choices == ("count", "log_odds")
    assert [str(column.type) for column in query.columns] == ["integer", "list<list<string>> or null"]
    assert query.text == TEXT
    assert query.line == 13
    assert query.signature == (
        'sample(sae: string, n: integer 1..9 = 3, share: float or null = null, by: count|log_odds = "count", '
        "spaced: boolean = true, some: list<integer> = [1, 2])"
    )


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("// name: sample", "// name: other", r"sample\.cypher:1: .*name: sample"),
        ("// name: sample\n", "", r"sample\.cypher:1: .*name: sample"),
        ("// description: What it", "// descripton: What it", r"sample\.cypher:2: not a header line: 'descripton: "),
        ("// description: What it\n//   answers.\n", "", r"sample\.cypher:1: .*description"),
        ("// param n: integer 1..9 = 3 - how many", "// param n: int = 3 - how many", r":5: unknown type int"),
        ("integer 1..9 = 3 - how", "integer 1..9 = 12 - how", r":5: the default is 12; give a value in 1\.\.9"),
        ("integer 1..9 = 3 - how", "integer 1..9 = three - how", r":5: the default three is not JSON"),
        ("integer 1..9 = 3 - how", "integer 1..9 = 3.5 - how", r":5: the default is 3\.5 \(float\); give an integer"),
        ("integer 1..9 = 3 - how many", "integer 1..9 = 3", r":5: not a header line"),
        ("uid - of the SAE", "", r":4: not a header line"),
        ("param sae: string -", "param sae: string 1..2 -", r":4: a string has no bounds"),
        ('= "count" -', '= "cuont" -', r":7: the default is 'cuont'; give one of count, log_odds"),
        ("returns index: integer", "returns index: whole", r":10: unknown type whole"),
        ("list<list<string>>", "list<list<thing>>", r":11: unknown type list<list<thing>>"),
        ("returns names", "returns index", r"sample\.cypher:1: returns index stands twice"),
        ("param share", "param n", r"sample\.cypher:1: param n stands twice"),
        ("OR $spaced", "OR $spacde", r"sample\.cypher:13: \$spacde is used, but"),
        ("OR $spaced", "", r"sample\.cypher:13: the header declares spaced, but"),
        ("OR $spaced", "OR $`spacde`", r"sample\.cypher:13: \$spacde is used, but"),
        (TEXT, "", r"sample\.cypher:12: there is no Cypher"),
        pytest.param("= [1, 2] -", f"= {'[' * 2000} -", r":9: the default has .* nested more than 50 deep", id="deep"),
        pytest.param("= [1, 2] -", f"= [{'9' * 5000}] -", r":9: the default .* is not JSON", id="long"),
    ],
)
def test_a_wrong_header_is_reported_with_file_and_line(old: str, new: str, message: str) -> None:
    source = (HEADER + TEXT).replace(old, new)
    assert source != HEADER + TEXT
    with pytest.raises(CofireError, match=message):
        read_query(source, "sample.cypher")


def test_a_parameter_may_stand_in_backticks() -> None:
    query = read_query(HEADER + TEXT.replace("$spaced", "$`spaced`") + " AS `$none`", "sample.cypher")
    assert query.parameters == sample().parameters


TWO = "// only: neo4j\n" + TEXT + "\n\n// only: embedded\n\n" + TEXT.replace("RETURN", "RETURN DISTINCT") + "\n"


def test_a_file_may_have_a_text_for_each_store() -> None:
    query = read_query(HEADER + TWO, "sample.cypher")
    assert query.text == query.text_for("neo4j") == TEXT
    assert query.text_for("embedded") == TEXT.replace("RETURN", "RETURN DISTINCT")
    assert query.line == 14
    assert sample().text_for("embedded") == sample().text_for("neo4j") == TEXT


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("// only: embedded", "// only: arcadedb", r"sample\.cypher:13: a file with two texts"),
        ("// only: embedded", "// only: neo4j", r"sample\.cypher:13: a file with two texts"),
        ("// only: embedded\n", "", r"sample\.cypher:13: a file with two texts"),
        ("// only: neo4j\n", "", r"sample\.cypher:17: a file with two texts"),
        ("RETURN DISTINCT $some", "RETURN 1", r"sample\.cypher:20: the header declares some, but"),
        ("RETURN $some", "RETURN $more", r"sample\.cypher:14: \$more is used, but"),
        (
            "// only: neo4j\n" + TEXT,
            "// only: neo4j\n",
            r":13: there is no Cypher after `// only: neo4j`",
        ),
    ],
)
def test_two_texts_are_checked_one_by_one(old: str, new: str, message: str) -> None:
    source = (HEADER + TWO).replace(old, new)
    assert source != HEADER + TWO
    with pytest.raises(QueryError, match=message):
        read_query(source, "sample.cypher")


def test_a_folder_of_ones_own_stands_beside_the_library(tmp_path: Path) -> None:
    assert queries_with(None) is library()
    (tmp_path / "sample.cypher").write_text(HEADER + TEXT)
    (tmp_path / "notes.txt").write_text("not a query")
    queries = queries_with(tmp_path)
    assert set(queries) == {*library(), "sample"}
    assert not queries["sample"].trusted
    (tmp_path / "sample.cypher").write_text(HEADER + TEXT, encoding="utf-8-sig")  # with a byte order mark
    assert queries_with(tmp_path)["sample"].source == HEADER + TEXT
    assert find_query("sample", queries).file == str(tmp_path / "sample.cypher")
    with pytest.raises(QueryError, match=r"unknown query sampel \(did you mean sample\?\)"):
        find_query("sampel", queries)
    (tmp_path / "saes.cypher").write_text((FILES[0].parent / "saes.cypher").read_text(encoding="utf-8"))
    with pytest.raises(QueryError, match=r"saes\.cypher:1: the library has a query saes; give this one another name"):
        queries_with(tmp_path)


def test_a_wrong_folder_is_the_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(QueryError, match=r"nowhere cannot be read: .*give a directory"):
        queries_with(tmp_path / "nowhere")
    with pytest.raises(QueryError, match=r"has no \.cypher file"):
        queries_with(tmp_path)
    (tmp_path / "mine.cypher").write_text("// name: mine\n// descripton: x\nRETURN 1")
    with pytest.raises(QueryError, match=r"mine\.cypher:2: not a header line") as error:
        queries_with(tmp_path)
    assert error.value.exit_code == 2
    (tmp_path / "mine.cypher").write_bytes(b"\xff")
    with pytest.raises(QueryError, match="cannot be read"):
        queries_with(tmp_path)


def test_columns_are_needed() -> None:
    source = "".join(line for line in (HEADER + TEXT).splitlines(keepends=True) if "returns" not in line)
    with pytest.raises(CofireError, match=r"sample\.cypher:1: .*returns NAME: TYPE"):
        read_query(source, "sample.cypher")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_query_file_keeps_the_rules(path: Path) -> None:
    query = library()[path.stem]
    assert query.source == path.read_text(encoding="utf-8")
    assert query.source.splitlines()[query.line - 1] == query.text.splitlines()[0]
    assert all(len(line) <= 120 for line in query.source.splitlines())
    assert query.description.endswith(".")
    for kind in ("neo4j", "embedded"):
        text = query.text_for(kind)
        assert re.search(r"status: 'ready'|s\.status = 'ready'", text)
        check(text, unicode_escapes=True)  # it only reads, whatever the server thinks
        if query.name not in (
            "latent_card",
            "edge_between",
            "sae_summary",
            "hub_overlap",
            "cluster_numbers",
        ):  # of these there is one row
            assert re.findall(r"^ORDER BY .*\n?(?:LIMIT .*)?\Z", text, re.MULTILINE)
        banned = r"\b(?:id|elementId|exists)\s*\(|\bSHORTEST\b|\bapoc\b|\*\]|\*\d+\.\.\]"
        if query.embedded_text is None or kind == "neo4j":  # ArcadeDB's maps have element ids for keys
            assert not re.search(banned, text), "not portable: see shared/STORES.md"
    wanted = [p for p in query.parameters if p.required]
    assert query.parameters[: len(wanted)] == tuple(wanted), "required parameters come first"


def test_the_library_has_every_file_and_the_page_every_query() -> None:
    assert list(library()) == [path.stem for path in FILES]
    assert len(library()) >= 40
    page = queries_page()
    for query in library().values():
        assert f"\n## {query.name}\n" in page


def test_an_unknown_query_names_the_nearest() -> None:
    with pytest.raises(QueryError, match=r"unknown query latent_crad \(did you mean latent_card\?\)"):
        find_query("latent_crad")
    with pytest.raises(QueryError, match="unknown query 7; `cofire query list`"):
        find_query("7")


def test_defaults_are_filled_in() -> None:
    assert sample().bind({"sae": "r/s", "n": 9, "share": 1}) == {
        "sae": "r/s", "n": 9, "share": 1.0, "by": "count", "spaced": True, "some": [1, 2],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, r"query sample: missing sae; it is sample\(sae: string"),
        ({"sae": "x", "spcaed": True}, r"unknown parameter spcaed \(did you mean spaced\?\); it takes sae, n, "),
        ({"sae": "x", "zzz": True}, r"unknown parameter zzz; it takes"),
        ({"sae": 5}, r"parameter sae is 5 \(int\); give a string"),
        ({"sae": None}, "parameter sae is null; give a string"),
        ({"sae": "\ud800"}, "not Unicode text"),
        ({"sae": "x", "n": True}, r"parameter n is True \(bool\); give an integer"),
        ({"sae": "x", "n": 3.0}, r"parameter n is 3\.0 \(float\); give an integer"),
        ({"sae": "x", "n": "3"}, r"parameter n is '3' \(str\); give an integer"),
        ({"sae": "x", "n": 0}, r"parameter n is 0; give a value in 1\.\.9"),
        ({"sae": "x", "n": 10}, r"parameter n is 10; give a value in 1\.\.9"),
        ({"sae": "x", "n": None}, "parameter n is null; give an integer"),
        ({"sae": "x", "share": False}, r"parameter share is False \(bool\); give a number"),
        ({"sae": "x", "share": float("nan")}, "parameter share is NaN"),
        ({"sae": "x", "share": 10**400}, "too large for a float"),
        ({"sae": "x", "by": "jaccard"}, r"parameter by is 'jaccard'; give one of count, log_odds"),
        ({"sae": "x", "spaced": 1}, r"parameter spaced is 1 \(int\); give true or false"),
        ({"sae": "x", "some": 1}, r"parameter some is 1 \(int\); give a list \(list<integer>\)"),
        ({"sae": "x", "some": [1, "2"]}, r"parameter some\[1\] is '2' \(str\); give an integer"),
        ({"sae": "x", "n": [10**5000]}, r"a list that cannot be shown \(list\); give an integer"),
        ({"sae": "x", "some": [2**63]}, "beyond the 64-bit range"),
        ({"sae": "x", "some": [-(2**63) - 1]}, "beyond the 64-bit range"),
    ],
)
def test_a_wrong_parameter_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(QueryError, match=message):
        sample().bind(given)


def test_numpy_and_pandas_values_will_do() -> None:
    given = {"sae": np.str_("x"), "n": np.int32(4), "share": np.float32(0.5), "spaced": np.bool_(False)}
    bound = sample().bind(given | {"some": np.arange(3)})
    assert bound == {"sae": "x", "n": 4, "share": 0.5, "by": "count", "spaced": False, "some": [0, 1, 2]}
    assert {type(v) for v in bound.values()} == {str, int, float, bool, list}
    assert sample().bind({"sae": "x", "some": pd.Series([7, 8])})["some"] == [7, 8]
    assert sample().bind({"sae": "x", "some": range(2)})["some"] == [0, 1]


def test_parameters_of_the_command_line_are_read_by_type() -> None:
    given = {"sae": "3", "n": "4", "share": "1e-2", "spaced": "false", "some": "5,6"}
    assert parse_parameters(sample(), given) == {"sae": "3", "n": 4, "share": 0.01, "spaced": False, "some": [5, 6]}
    assert parse_parameters(sample(), {"share": "null", "sae": "null"}) == {"share": None, "sae": "null"}
    assert parse_parameters(sample(), {"some": "[]"}) == {"some": []}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("n", "4.0", r"parameter n is '4\.0'; give an integer"),
        ("n", "1_0", "give an integer"),
        ("n", "12", r"give a value in 1\.\.9"),
        ("n", "null", "give an integer"),
        ("share", "half", "give a number"),
        ("share", "1_0", "give a number"),
        ("share", "nan", "NaN"),
        ("spaced", "True", "give true or false"),
        ("some", "1,x", r"give a list \(list<integer>\)"),
        ("some", "1.5", r"parameter some\[0\] is 1\.5 \(float\); give an integer"),
        pytest.param("some", "[" * 100_000, "parameter some has .* nested more than 50 deep", id="deep"),
        pytest.param("some", "[" * 51 + "]" * 51, "parameter some has .* nested more than 50 deep", id="deeper"),
        pytest.param("some", "[" * 50 + "]" * 50, r"some\[0\] is .* \(list\); give an integer", id="not so deep"),
        ("by", "lift", "give one of count, log_odds"),
        ("sea", "x", r"unknown parameter sea \(did you mean sae\?\)"),
    ],
)
def test_a_wrong_text_of_the_command_line_is_refused(name: str, text: str, message: str) -> None:
    with pytest.raises(QueryError, match=message):
        parse_parameters(sample(), {name: text})


def test_a_parameter_may_have_any_name() -> None:
    of_the_api = KnowledgeBase.query, KnowledgeBase.cypher, KnowledgeBase.iter
    for method in (*of_the_api, KnowledgeBase.first_rows, KnowledgeBase.first_cypher_rows, Query.__call__):
        named = [p for p in inspect.signature(method).parameters.values() if p.kind is not p.POSITIONAL_ONLY]
        assert [p.kind for p in named] == [inspect.Parameter.VAR_KEYWORD], method


def test_declared_types_hold_without_rows_and_with_nulls() -> None:
    names, types = ("i", "f", "b", "s", "l"), ("integer", "float", "boolean", "string", "list<list<string>>")
    dtypes = ["Int64", "Float64", "boolean", "string", "object"]
    empty = typed_frame(names, types, [])
    assert [str(t) for t in empty.dtypes] == dtypes
    assert list(empty.columns) == list(names)
    frame = typed_frame(names, types, [(2**62 + 1, 1, True, "", [["a"], ["b"]]), (None, None, None, None, None)])
    assert [str(t) for t in frame.dtypes] == dtypes
    assert frame["i"][0] == 2**62 + 1
    assert frame["l"][0] == [["a"], ["b"]]
    assert frame.iloc[1].isna().all()


def test_types_of_cypher_are_found_in_the_values() -> None:
    rows = [(1, 1, True, "x", 1, None, [1]), (None, 0.5, None, None, "x", None, [2]), (2, 2, False, "y", 3, None, [])]
    frame = untyped_frame(tuple("abcdefg"), rows)
    assert [str(t) for t in frame.dtypes] == ["Int64", "Float64", "boolean", "string", "object", "object", "object"]
    mixed = untyped_frame(("a",), [(2**53 + 1,), (0.5,)])
    assert mixed["a"].tolist() == [2**53 + 1, 0.5]
    assert list(untyped_frame(("a", "b"), []).columns) == ["a", "b"]
