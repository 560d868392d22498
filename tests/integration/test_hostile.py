"""Hostile inputs through everything that a user can give: no injection, no write, no trace, one line of error.

What an input of no meaning gives is what any other unknown value gives: no rows, or an error of cofire's own. After
each test the graph, its indexes and the working directory are what they were.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from builders import arrays_of, make_capture, random_arrays
from cofire import KnowledgeBase
from cofire.analysis.report.visible import visible_cell
from cofire.cli import run as run_cofire
from cofire.errors import CofireError, InputError, QueryError, WriteRefused
from cofire.ingest.import_activations import import_activations
from cofire.pipeline import ingest
from cofire.queries.library import Parameter, Query, library
from cofire.settings import load_settings
from cofire.store import Store
from cofire.store.load.write import delete_sae
from graphs import dump_graph, wipe
from hostile_inputs import ESCAPED, EXTREMES, LONGEST, NUMBERS, STATEMENTS, TEXTS, TOO_LARGE, TYPED
from terminals import terminal, text_of

SAE, OTHER = "test/a/b", "test/a/c"
UNKNOWN = "nosuchthing"
KNOWN: dict[str, Any] = {"sae": SAE, "sae_a": SAE, "sae_b": OTHER, "index": 0, "a": 0, "b": 1, "indices": [0, 1]}
WORDS = [" of", " the", "ing", " house", "Mr", " sister", " went", " back", " now", " all"]


def test_there_are_sixty_inputs_and_more() -> None:
    assert len(set(TEXTS)) == len(TEXTS) >= 60
    assert len(set(STATEMENTS)) == len(STATEMENTS) >= 40


@dataclass(frozen=True)
class Target:
    """A store with two SAEs, opened by the Python API."""

    store: Store
    kb: KnowledgeBase
    environment: dict[str, str]


@pytest.fixture(scope="module", params=["neo4j", "embedded"])
def opened(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    store: Store = request.getfixturevalue(f"{request.param}_session_store")
    wipe(store)
    folder = tmp_path_factory.mktemp("hostile")
    for seed, name in enumerate(("a/b", "a/c")):
        arrays = {**random_arrays(seed, tokens=600, n_latents=16), "token_text": np.array(WORDS)}
        ingest(make_capture(folder / name, arrays, sae_id=name), store, load_settings(edges="all"))
    environment = {}
    if store.kind == "neo4j":
        server = request.getfixturevalue("neo4j_server")
        environment = {"NEO4J_USERNAME": server.username, "NEO4J_PASSWORD": server.password}
    login = {key.removeprefix("NEO4J_").lower(): value for key, value in environment.items()}
    with KnowledgeBase(store.location, **login) as kb:
        yield Target(store, kb, environment)
    wipe(store)


def everything(store: Store) -> Any:
    """The graph, what has other labels and types than ours, and the names of indexes and constraints."""
    counts = store.read("MATCH (n) RETURN labels(n)[0] AS label, count(*) AS n ORDER BY label").rows
    links = store.read("MATCH ()-[r]->() RETURN type(r) AS type, count(*) AS n ORDER BY type").rows
    names = [sorted(store.read(f"SHOW {kind} YIELD name RETURN name").rows) for kind in ("INDEXES", "CONSTRAINTS")]
    return dump_graph(store), counts, links, names


@pytest.fixture
def target(opened: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Target]:
    """The store, in an empty working directory; afterwards both must be what they were."""
    monkeypatch.chdir(tmp_path)
    for name in ("COFIRE_STORE", "NEO4J_URI", "NEO4J_USERNAME", "NEO4J_PASSWORD", "NEO4J_DATABASE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in opened.environment.items():
        monkeypatch.setenv(name, value)
    before = everything(opened.store)
    yield opened
    assert everything(opened.store) == before
    assert list(tmp_path.iterdir()) == []


def is_text(parameter: Parameter) -> bool:
    return parameter.type.base == "string"


def ordinary(query: Query) -> dict[str, Any]:
    """Values under which a query runs."""
    given = {p.name: KNOWN.get(p.name, UNKNOWN) for p in query.parameters if p.required}
    query.bind(given)
    return given


def answer(kb: KnowledgeBase, name: str, given: dict[str, Any]) -> pd.DataFrame | str:
    """The rows, or "refused" for an error line of ours about what was given."""
    try:
        return kb.query(name, **given)
    except QueryError as error:
        one_line(str(error))
        return "refused"


def one_line(text: str) -> None:
    assert text.strip()
    assert len(text.strip().splitlines()) == 1
    assert "Traceback" not in text
    assert "a fault of cofire" not in text


def refused(text: str) -> None:
    """What stands on standard error is one line of ours."""
    one_line(text)
    assert text.startswith("cofire: ")


# --- the library's parameters ---


@pytest.mark.parametrize(("number", "name"), list(enumerate(sorted(library()))))
def test_texts_in_a_query(target: Target, number: int, name: str) -> None:
    """A third of the texts in turn through each parameter, so each through some twenty queries; all through Lucene."""
    query = library()[name]
    for parameter in filter(is_text, query.parameters):
        usual = answer(target.kb, name, ordinary(query) | {parameter.name: UNKNOWN})
        assert isinstance(usual, str) or usual.empty, f"{name}: {parameter.name} has a row for {UNKNOWN}"
        for text in TEXTS if parameter.name in ("word", "phrase") else TEXTS[number % 3 :: 3]:
            found = answer(target.kb, name, ordinary(query) | {parameter.name: text})
            if isinstance(found, pd.DataFrame):
                assert not isinstance(usual, str), f"{name}: {parameter.name} = {text[:60]!r} is accepted"
                pd.testing.assert_frame_equal(found, usual, obj=f"{name}: {parameter.name} = {text[:60]!r}")


@pytest.mark.parametrize("name", sorted(library()))
def test_numbers_in_a_query(target: Target, name: str) -> None:
    query = library()[name]
    for parameter in query.parameters:
        kind = parameter.type
        if kind.base not in ("integer", "float", "boolean", "list<integer>"):
            continue
        for value in NUMBERS:
            if (value is None and kind.nullable) or (kind.base == "boolean" and value is True):
                continue
            if kind.base == "float" and type(value) in (int, float, bool) and value == value and value is not True:
                continue  # a number like any other, if perhaps a large one
            if kind.base == "list<integer>" and value == [1]:
                continue
            with pytest.raises(QueryError) as caught:
                target.kb.query(name, **{**ordinary(query), parameter.name: value})
            one_line(str(caught.value))
        for number in EXTREMES:
            value = [number] if kind.base == "list<integer>" else number
            answer(target.kb, name, ordinary(query) | {parameter.name: value})
        if parameter.name == "limit" and parameter.default == 0:
            found, every = (answer(target.kb, name, ordinary(query) | {"limit": n}) for n in (2**63 - 1, 0))
            if isinstance(every, str):
                assert found == every
            else:
                pd.testing.assert_frame_equal(found, every)


def test_lists_in_a_query(target: Target) -> None:
    for value in ("1,2", [[0]], ["0"], [None], [True], [float("nan")], [2**63], {"a": 0}, [0, "' //"], b"\x00"):
        with pytest.raises(QueryError) as caught:
            target.kb.query("edges_among", sae=SAE, indices=value)
        one_line(str(caught.value))
    assert len(target.kb.query("edges_among", sae=SAE, indices=list(range(16)) * 1000)) > 0


# --- KnowledgeBase: names, values, texts ---


def test_names_of_queries_and_parameters(target: Target) -> None:
    for text in TEXTS:
        for call in (
            lambda text=text: target.kb.query(text),
            lambda text=text: target.kb.explain(text),
            lambda text=text: target.kb.query("saes", **{text: 1}),
            lambda text=text: target.kb.iter("saes", **{text: 1}),
        ):
            with pytest.raises(QueryError) as caught:
                call()
            one_line(str(caught.value))
        # Cypher takes any names, but those that are no Unicode text.
        try:
            assert target.kb.cypher("RETURN 1 AS one", **{text: text})["one"].tolist() == [1]
        except QueryError as error:
            one_line(str(error))
            assert text == "\ud800"


def test_values_in_cypher_stay_values(target: Target) -> None:
    for text in TEXTS:
        if text == "\ud800":
            with pytest.raises(QueryError):
                target.kb.cypher("RETURN $v AS v", v=text)
            continue
        given: dict[str, Any] = {"v": text, "list": [text], "map": {"key": text}}
        asked = "RETURN $v AS v, $list AS list, $map AS map, $v + $v = $v AS none"
        assert target.kb.cypher(asked, **given).iloc[0].tolist() == [text, [text], {"key": text}, False]
        assert [row["v"] for row in target.kb.iter("RETURN $v AS v", v=text)] == [text]
        assert target.kb.cypher("MATCH (n:Latent {uid: $v}) RETURN n.uid", v=text).empty
        assert target.kb.cypher("MATCH (n:Cluster) WHERE n.uid STARTS WITH 'test' + $v RETURN n.uid", v=text).empty
    for number in TOO_LARGE:
        with pytest.raises(QueryError) as caught:
            target.kb.cypher("RETURN $v AS v", v=number)
        one_line(str(caught.value))


def test_texts_are_no_cypher(target: Target) -> None:
    for text in [*TEXTS, *STATEMENTS]:
        for call in (
            lambda text=text: target.kb.cypher(text, sae=SAE),
            lambda text=text: list(target.kb.iter(text, sae=SAE)),
        ):
            if target.store.kind == "embedded" and text == ESCAPED:
                assert len(call()) == 0
                continue
            with pytest.raises((QueryError, WriteRefused)) as caught:
                call()
            one_line(str(caught.value))


# --- the command line ---


COMMANDS = [
    ("query", "run"),
    ("query", "show"),
    ("query", "explain"),
    ("query", "run", "latent_card", "-p", "sae=" + SAE, "-p"),
    ("query", "run", "latent_card", "-p", "index=0", "-p", "sae="),
    ("query", "run", "latent_card", "-p", "sae=" + SAE, "-p", "index="),
    ("query", "run", "edges_among", "-p", "sae=" + SAE, "-p", "indices="),
    ("query", "run", "cluster_card", "-p", "cluster="),
    ("cypher", "RETURN $x AS x", "-p"),
    ("cypher",),
    ("saes", "--format"),
    ("query", "run", "saes", "--limit"),
    ("cypher", "RETURN 1", "--timeout"),
    ("report", "--out", "page", "--sae"),
    ("motifs", "--kind", "star", "--sae"),
    ("motifs", "--kind", "star", "--release"),
    ("motifs", "--all", "--kind"),
    ("motifs", "--all", "--kind", "star", "--by"),
    ("motifs", "--all", "--kind", "star", "--min-size"),
    ("motifs", "--all", "--kind", "star", "--max-size"),
    ("motifs", "--all", "--kind", "star", "--min-log-odds"),
    ("delete",),
]


@pytest.mark.parametrize("before", COMMANDS, ids=" ".join)
def test_texts_on_the_command_line(target: Target, before: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    """They come last, or are glued to what ends in `=`. Each is refused: exit code 2, or 4 for what would write.

    A third of them in turn: each through seven commands on each store.
    """
    for text in [*TYPED[COMMANDS.index(before) % 3 :: 3], *(STATEMENTS if before == ("cypher",) else [])]:
        last = [before[-1] + text] if before[-1].endswith("=") else [before[-1], text]
        code = run_cofire([*before[:-1], *last, "--store", target.store.location])
        said = capsys.readouterr()
        shown = f"{' '.join(before)} {text[:80]!r}: {code} {said.err[:300]}"
        if code == 0:
            assert text in ("--help", *HARMLESS.get(before[-1], ())), shown
            continue
        assert code in (2, 4), shown
        assert said.out == "", shown
        refused(said.err)


# Values that are good ones in that place.
HARMLESS = {
    "indices=": ("[]", "-0", "\n\r\t"),
    "index=": ("-0",),
    "--limit": ("-0", "9" * 400),
    "--min-size": ("-0", "9" * 400),
    "--max-size": ("9" * 400,),
    "--min-log-odds": ("-0", "9" * 400, "1e999"),  # the last two are infinite
    "cypher": (ESCAPED,),
}


def test_values_on_the_command_line_stay_values(target: Target, capsys: pytest.CaptureFixture[str]) -> None:
    for text in TYPED:
        code = run_cofire(
            ["cypher", "RETURN $v AS v", "-p", f"v={text}", "--store", target.store.location, "--format", "json"]
        )
        said = capsys.readouterr()
        if code:
            refused(said.err)
            assert code == 2
            assert text in ("9" * 400, "[" * 50_000), text[:80]
            continue
        try:
            given = json.loads(text)
        except ValueError:
            given = text
        expected = None if text in ("NaN", "1e999") else given
        assert json.loads(said.out) == [{"v": expected}], text[:80]


def test_texts_as_the_store(target: Target, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for text in TYPED:
        for command in (["saes"], ["cypher", "RETURN 1"]):
            code = run_cofire([*command, "--store", text])
            refused(capsys.readouterr().err)
            assert code in (2, 3), text[:80]
        with pytest.raises(CofireError) as caught:
            KnowledgeBase(text)
        one_line(str(caught.value))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("columns", [40, 80, 120])
def test_texts_on_a_terminal(target: Target, columns: int) -> None:
    """No control byte, nothing missing: each text under its name, with a number that is whole and the uid beside it."""
    texts = [text for text in TYPED if len(text) < 200]
    asked = (
        "UNWIND $texts AS text RETURN text, size(text) AS size, [text] AS list, '" + SAE + "' AS sae, 123456789 AS n"
    )
    given = ["-p", f"texts={json.dumps(texts)}", "--limit", "0", "--store", target.store.location]
    shown: dict[str, str] = {}
    for form in ("table", "csv", "json"):
        with (
            terminal(columns) as (file, got),
            open(file, "w", encoding="utf-8", closefd=False) as stdout,
            redirect_stdout(stdout),
        ):
            assert run_cofire(["cypher", asked, *given, "--format", form]) == 0
        shown[form] = text_of(got)
        assert shown[form].replace("\n", "").isprintable()
    lines = shown["table"].split("\n")
    assert lines.count(f"sae: {SAE}") == lines.count("n: 123456789") == len(texts)
    for text in texts:
        assert f"text: {visible_cell(text)}" in lines
    assert [row["text"] for row in json.loads(shown["json"])] == texts


# --- names that become uids ---


def test_names_of_releases_and_saes(target: Target, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An import refuses a name, or the name goes through the graph and back as it is, and out again by a delete.

    Each store takes every other text as a release and as an SAE id.
    """
    npz = tmp_path / "acts.npz"
    np.savez(npz, **arrays_of([{0: 1.0, 1: 2.0}] * 30 + [{1: 1.0}] * 30 + [{2: 1.0}] * 30, 3))
    loaded = []
    try:
        for number, text in enumerate(TYPED[target.store.kind == "neo4j" :: 2]):
            identity = [("--release", text, "--sae-id", "s"), ("--release", "r", "--sae-id", text)][number % 2]
            out = tmp_path / f"out-{number}"
            code = run_cofire(["import", "activations", str(npz), "--out", str(out), *identity])
            said = capsys.readouterr()
            if code:
                assert code == 2, text[:80]
                refused(said.err)
                assert not out.exists()
                continue
            assert len(text) <= LONGEST, "Neo4j cannot index a name of this length"
            uid = f"{identity[1]}/{identity[3]}"
            capture = import_activations(npz, out, release=identity[1], sae_id=identity[3])
            assert capture.uid == uid
            ingest(capture, target.store, load_settings(edges="all"))
            loaded.append(uid)
        assert len(loaded) > 10
        assert sorted(target.kb.saes()["uid"]) == sorted([SAE, OTHER, *loaded])
        for uid in loaded:
            neighbours = target.kb.query("strongest_neighbours", sae=uid, index=0)
            assert neighbours[["index", "count"]].to_numpy().tolist() == [[1, 30]]
            clusters = target.kb.query("densest_clusters", sae=uid)["cluster"].tolist()
            for cluster in clusters:
                assert cluster.startswith(uid + "/c-")
                assert sorted(target.kb.query("cluster_card", cluster=cluster)["index"]) == [0, 1]
            assert target.kb.cypher("MATCH (l:Latent {sae: $u}) RETURN count(l) AS n", u=uid)["n"].tolist() == [3]
    finally:
        for uid in loaded:
            delete_sae(target.store, uid)
        for release in target.store.read("MATCH (r:Release) WHERE NOT (r)<-[:IN_RELEASE]-() RETURN r.name").rows:
            target.store.write([("MATCH (r:Release {name: $name}) DELETE r", {"name": release[0]})])
        for entry in (npz, *tmp_path.glob("out-*")):
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()


def test_an_import_of_a_bad_name_says_so(tmp_path: Path) -> None:
    npz = tmp_path / "acts.npz"
    np.savez(npz, **arrays_of([{0: 1.0}], 1))
    for text in (
        "",
        "a b",
        "a:b",
        "/a",
        "a/",
        "a//b",
        "\x00",
        "\u202ea",
        "a\u200bb",
        "\n",
        "\ud800",
        "x" * (LONGEST + 1),
    ):
        for release, sae_id in ((text, "s"), ("r", text)):
            with pytest.raises(InputError) as caught:
                import_activations(npz, tmp_path / "out", release=release, sae_id=sae_id)
            one_line(str(caught.value))
    assert not (tmp_path / "out").exists()


def test_an_argument_that_is_no_text(tmp_path: Path) -> None:
    cofire = str(Path(sys.executable).with_name("cofire"))
    for before in (["query", "run"], ["query", "show"], ["cypher", "RETURN 1", "-p"], ["saes", "--store"]):
        done = subprocess.run([cofire, *before, b"x\xff"], cwd=tmp_path, capture_output=True, check=False)
        refused(done.stderr.decode())
        assert done.returncode in (2, 3)
        assert done.stdout == b""
    assert list(tmp_path.iterdir()) == []
