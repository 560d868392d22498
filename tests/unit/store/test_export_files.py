"""Exports from captures: what is in the files of each format, and what happens to the directory."""

from __future__ import annotations

import csv
import fcntl
import json
import math
import os
import re
import shutil
import struct
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import igraph
import pyarrow.parquet as pq
import pytest

from cofire.errors import CaptureError, InputError
from cofire.ingest.capture_dir.directory import CaptureDir
from cofire.schema.base import Node
from cofire.schema.nodes import LATENT, NODES, RELEASE, SAE, TOKEN
from cofire.schema.relationships import CO_FIRES, RELATIONSHIPS
from cofire.store.export import directory as exporting
from cofire.store.export import rows as export_rows
from cofire.store.export.directory import Format, capture_rows, export
from cofire.store.export.formats import columns, sort_name
from cofire.store.export.neo4j_admin import MARKS
from cofire.store.plan.plan import load_plan
from cofire.store.plan.shared_nodes import SharedNodes
from differing import differing, files_of
from export_graphs import DEAD_LATENT, EMPTY_TOKEN_LATENT, HOSTILE, collected, csv_rows, hostile_captures

FORMATS: tuple[Format, ...] = ("neo4j-admin", "parquet", "graphml", "csv")
KINDS = {sort_name(kind): kind for kind in (*NODES, *RELATIONSHIPS)}


@pytest.fixture(scope="module")
def captures(tmp_path_factory: pytest.TempPathFactory) -> list[CaptureDir]:
    return hostile_captures(tmp_path_factory.mktemp("captures"))


@pytest.fixture(scope="module")
def exported(captures: list[CaptureDir], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("exports")
    return {name: export(lambda: capture_rows(captures), folder / name, name) for name in FORMATS}


@pytest.fixture(scope="module")
def wanted(captures: list[CaptureDir]) -> dict[str, list[str]]:
    return collected(capture_rows(captures))


def test_captures_give_the_rows_of_their_plans_and_shared_nodes_once(
    captures: list[CaptureDir], wanted: dict[str, list[str]]
) -> None:
    plans = [load_plan(capture) for capture in captures]
    everything: dict[str, list[str]] = collected(
        (section.kind, section.rows(0, section.count)) for plan in plans for section in plan.sections
    )
    for name, rows in everything.items():
        kind = KINDS[name]
        shared = isinstance(kind, Node) and kind.shared
        assert wanted[name] == (sorted(set(rows)) if shared else rows), name
    assert len(everything["Token"]) > len(wanted["Token"]) == len(HOSTILE)
    assert len(wanted["Release"]) == 2
    saes = [dict(zip((p.name for p in SAE.properties), json.loads(row), strict=True)) for row in wanted["Sae"]]
    assert {s["uid"]: (s["status"], s["contentHash"]) for s in saes} == {
        plan.uid: ("ready", plan.content_hash) for plan in plans
    }
    assert "LoadJournal" not in wanted
    assert len(wanted["SchemaVersion"]) == 1


def test_a_shared_node_is_filled_up_and_never_contradicted() -> None:
    shared = SharedNodes()
    shared.add(TOKEN, [["t/1", 1, None], ["t/2", 2, "two"]], "r/a")
    shared.add(TOKEN, [["t/1", 1, "one"], ["t/2", 2, None], ["t/3", 3, "three"]], "r/b")
    shared.add(RELEASE, [["r"]], "r/b")
    with pytest.raises(
        InputError, match="r/b and r/c both have the Token t/1, whose text is one for the one and other"
    ):
        shared.add(TOKEN, [["t/1", 1, "other"]], "r/c")
    tokens = [["t/1", 1, "one"], ["t/2", 2, "two"], ["t/3", 3, "three"]]
    assert list(shared.slices(10, 10**6)) == [(TOKEN, tokens), (RELEASE, [["r"]])]
    for rows, size in ((2, 10**6), (10, 61)):
        parts = list(shared.slices(rows, size))
        assert [len(part) for _, part in parts] == [2, 1, 1]
        assert [row for node, part in parts if node == TOKEN for row in part] == tokens


def test_the_captures_have_what_is_hard(wanted: dict[str, list[str]]) -> None:
    place = {p.name: i for i, p in enumerate(LATENT.properties)}
    latents = [json.loads(row) for row in wanted["Latent"]]
    top = {(row[place["sae"]], row[place["index"]]): row[place["topTokens"]] for row in latents}
    for sae in ("rel-'x'/layer_1/\"ü\"", "rel-'x'/layer_2;b"):
        assert top[sae, DEAD_LATENT] == []
        assert top[sae, EMPTY_TOKEN_LATENT] == [""]
    assert any(row[place["decoder"]] for row in latents)
    assert any(row[place["decoder"]] is None for row in latents)
    assert {json.loads(row)[2] for row in wanted["Token"]} == set(HOSTILE)


def test_parquet_holds_every_value(exported: dict[str, Path], wanted: dict[str, list[str]]) -> None:
    found = {}
    for path in exported["parquet"].glob("*.parquet"):
        table = pq.read_table(path)
        assert table.column_names == [p.name for p in columns(KINDS[path.stem])]
        rows = [list(row.values()) for row in table.to_pylist()]
        found[path.stem] = sorted(json.dumps(row) for row in rows)
    assert {name: rows for name, rows in found.items() if rows} == wanted
    assert found["Model"]
    assert "Peak" not in found


def test_csv_holds_every_value(exported: dict[str, Path], wanted: dict[str, list[str]]) -> None:
    for name, rows in wanted.items():
        path = exported["csv"] / f"{name}.csv"
        assert sorted(json.dumps(row) for row in csv_rows(path, KINDS[name], header=True)) == rows, name
    # Any reader of RFC 4180 sees the same cells, but for nulls.
    with (exported["csv"] / "Token.csv").open(encoding="utf-8", newline="") as file:
        texts = {row["text"] for row in csv.DictReader(file)}
    assert texts == set(HOSTILE)


def test_graphml_is_xml_and_igraph_reads_it(exported: dict[str, Path], wanted: dict[str, list[str]]) -> None:
    path = exported["graphml"] / "graph.graphml"
    assert [p.name for p in exported["graphml"].iterdir()].count("edges.part") == 0
    tree = ET.parse(path)  # noqa: S314 - our own file
    space = "{http://graphml.graphdrawing.org/xmlns}"
    assert tree.getroot().tag == f"{space}graphml"
    graph = igraph.Graph.Read_GraphML(str(path))
    nodes = sum(len(rows) for name, rows in wanted.items() if isinstance(KINDS[name], Node))
    assert (graph.vcount(), graph.ecount()) == (nodes, sum(map(len, wanted.values())) - nodes)
    assert graph.is_directed()
    tokens = {v["text"] for v in graph.vs if v["type"] == "Token"}
    bad = {"a\x00b": "a\\u0000b", "\x01": "\\u0001", "\x1f": "\\u001f", "\ufffe": "\\ufffe", "\uffff": "\\uffff"}
    assert tokens == {bad.get(text, text) for text in HOSTILE}
    places = {p.name: i + 2 for i, p in enumerate(CO_FIRES.properties)}
    edges = {(row[0], row[1]): row for row in map(json.loads, wanted["Latent-CO_FIRES-Latent"])}
    found = [e for e in graph.es if e["type"] == "CO_FIRES"]
    assert len(found) == len(edges)
    for edge in found:
        row = edges[graph.vs[edge.source]["uid"], graph.vs[edge.target]["uid"]]
        assert edge["count"] == row[places["count"]]
        assert edge["logOdds"] == row[places["logOdds"]]
        assert math.isnan(edge["decoderCosine"]) == (row[places["decoderCosine"]] is None)
    latent = next(v for v in graph.vs if v["type"] == "Latent" and v["histogram"])
    assert len(json.loads(latent["histogram"])) == 256


def test_graphml_declares_each_name_once(exported: dict[str, Path]) -> None:
    text = (exported["graphml"] / "graph.graphml").read_text()
    keys = re.findall(r'<key id="(\w+)" for="(node|edge)" attr.name="(\w+)" attr.type="(\w+)"/>', text)
    assert len({(domain, name) for _, domain, name, _ in keys}) == len(keys) == text.count("<key ")
    kinds = {("node", n): t for _, domain, n, t in keys if domain == "node"}
    # A context's is an integer, a peak's a float.
    assert kinds["node", "position"] == "double"
    assert kinds["node", "firingCount"] == "long"
    names = {p.name for kind in KINDS.values() for p in kind.properties}
    assert "type" not in names  # the name under which GraphML has the label or type


def test_neo4j_admin_files_hold_every_value(exported: dict[str, Path], wanted: dict[str, list[str]]) -> None:
    folder = exported["neo4j-admin"]
    between, empty, one_empty = MARKS[1]  # a token is the first mark of MARKS[0]
    arguments = (folder / "import-arguments.txt").read_text().splitlines()
    assert arguments[0] == f"--array-delimiter=U+{ord(between):04X}"
    assert arguments[1:3] == [
        "--multiline-fields-format=v2",
        "--multiline-fields=./Context.csv,./Latent.csv,./Token.csv",
    ]
    assert "--nodes=Latent=./Latent.header.csv,./Latent.csv" in arguments
    assert "--relationships=CO_FIRES=./Latent-CO_FIRES-Latent.header.csv,./Latent-CO_FIRES-Latent.csv" in arguments
    header = (folder / "Latent.header.csv").read_text()
    assert header.startswith("uid:ID(Latent),sae:string,index:long,firingCount:long,frequency:double,")
    assert "histogram:long[],dead:boolean,distinctiveTokens:string[],topTokens:string[]" in header
    header = (folder / "Latent-CO_FIRES-Latent.header.csv").read_text()
    assert header.startswith(":START_ID(Latent),:END_ID(Latent),count:long,clearCount:long,weakOnly:boolean,expected:")

    def listed(text: str, kind: str) -> list[Any]:
        if text in (empty, one_empty):
            return [] if text == empty else [""]
        item: Any = {"list<integer>": int, "list<float>": float, "list<string>": str}[kind]
        return [item(part) for part in text.split(between)]

    for name, rows in wanted.items():
        kind = KINDS[name]
        lists = {i: p.type for i, p in enumerate(columns(kind)) if p.type.startswith("list")}
        text_columns = [p if i not in lists else p.__class__(p.name, "string", "") for i, p in enumerate(columns(kind))]
        plain = Node("X", "", tuple(text_columns))
        found = csv_rows(folder / f"{name}.csv", plain, header=False)
        for row in found:
            for place, type_ in lists.items():
                row[place] = None if row[place] is None else listed(row[place], type_)
        assert sorted(map(json.dumps, found)) == rows, name
    statements = (folder / "schema.cypher").read_text().splitlines()
    assert statements[:4] == [
        f"MATCH (n:Latent) WHERE n.{name} = ['\\u{ord(sign):04X}'] SET n.{name} = {value};"
        for name in ("distinctiveTokens", "topTokens")
        for sign, value in ((empty, "[]"), (one_empty, "['']"))
    ]
    assert any("CREATE CONSTRAINT latent_uid_unique" in s for s in statements)
    assert any("VECTOR INDEX" in s for s in statements)
    assert statements[-1] == "CALL db.awaitIndexes(300);"
    assert os.access(folder / "import.sh", os.X_OK)


def rows_of(*parts: tuple[Any, list[list[Any]]]) -> Any:
    return lambda: iter(parts)


def latent(uid: str, **properties: Any) -> list[Any]:
    return [properties.get(p.name, uid if p.name == "uid" else None) for p in LATENT.properties]


def test_numbers_come_back_bit_by_bit(tmp_path: Path) -> None:
    floats = [0.1, 1e-5, 5e-324, -0.0, 1.7976931348623157e308, 2 / 3, 1e22, 123456789012345680.0]
    counts = [2**53 + 1, 2**63 - 1, -(2**63), 0]
    rows = [latent(str(i), mean=x, decoder=[x, 1.0]) for i, x in enumerate(floats)]
    rows += [latent(f"c{i}", firingCount=c, histogram=[c]) for i, c in enumerate(counts)]
    for format_ in FORMATS:
        export(rows_of((LATENT, rows)), tmp_path / format_, format_)
    place = {p.name: i for i, p in enumerate(LATENT.properties)}
    for found in (
        csv_rows(tmp_path / "csv/Latent.csv", LATENT, header=True),
        [list(row.values()) for row in pq.read_table(tmp_path / "parquet/Latent.parquet").to_pylist()],
    ):
        assert [struct.pack("<d", row[place["mean"]]) for row in found[:8]] == [struct.pack("<d", x) for x in floats]
        assert [struct.pack("<d", row[place["decoder"]][0]) for row in found[:8]] == [
            struct.pack("<d", x) for x in floats
        ]
        assert [(row[place["firingCount"]], row[place["histogram"]]) for row in found[8:]] == [(c, [c]) for c in counts]
    graphml = (tmp_path / "graphml/graph.graphml").read_text()
    for value in (*floats, *counts):
        assert f">{value!r}</data>" in graphml
    admin = (tmp_path / "neo4j-admin/Latent.csv").read_text()
    for value in floats:
        assert f'"{value!r}{MARKS[0][0]}1.0"' in admin


def test_marks_that_are_taken_give_way_to_the_next(tmp_path: Path) -> None:
    texts = [mark for marks in MARKS[:3] for mark in marks[:1]]
    export(rows_of((LATENT, [latent("x", topTokens=texts)])), tmp_path / "out", "neo4j-admin")
    arguments = (tmp_path / "out/import-arguments.txt").read_text()
    assert arguments.startswith(f"--array-delimiter=U+{ord(MARKS[3][0]):04X}\n")
    everything = [mark for marks in MARKS for mark in marks]
    with pytest.raises(InputError, match="use another format"):
        export(rows_of((LATENT, [latent("x", topTokens=everything)])), tmp_path / "none", "neo4j-admin")
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_an_empty_list_of_numbers_is_refused_where_it_would_be_lost(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="histogram"):
        export(rows_of((LATENT, [latent("x", histogram=[])])), tmp_path / "out", "neo4j-admin")


@pytest.mark.parametrize("format_", FORMATS)
def test_an_export_is_the_same_each_time(
    captures: list[CaptureDir], exported: dict[str, Path], tmp_path: Path, format_: Format
) -> None:
    again = export(lambda: capture_rows(captures), tmp_path / "again", format_)
    assert differing(files_of(again), files_of(exported[format_])) == []


def test_the_record_says_what_there_is(exported: dict[str, Path], captures: list[CaptureDir]) -> None:
    for format_, folder in exported.items():
        record = json.loads((folder / "export.json").read_text())
        assert record["format"] == format_
        assert set(record["saes"]) == {capture.uid for capture in captures}
        assert {*record["files"], "export.json"} == {p.name for p in folder.iterdir()}
        assert record["rows"]["Latent"] == 48


SMALL = rows_of((LATENT, [latent("x")]))


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def test_a_directory_with_anything_in_it_is_refused(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.tex").write_text("...")
    for force in (False, True):
        with pytest.raises(InputError, match=r"thesis\.tex"):
            export(SMALL, mine, "csv", force=force)
    with pytest.raises(InputError, match="is a file"):
        export(SMALL, mine / "thesis.tex", "csv", force=True)
    with pytest.raises(InputError, match="give a directory in it"):
        export(SMALL, "/", "csv", force=True)
    (mine / "export.json").write_text('{"files": ["thesis.tex"]}')
    with pytest.raises(InputError, match="is of no export"):
        export(SMALL, mine, "csv", force=True)
    assert names(mine) == ["export.json", "thesis.tex"]
    assert names(tmp_path) == ["mine"]


def test_a_place_below_a_home_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The shell expands no ~ behind --out=, nor in a script of Python."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert export(SMALL, "~/graph", "csv") == tmp_path / "graph"
    assert export(SMALL, "~no-such-user-of-the-test", "csv") == tmp_path / "~no-such-user-of-the-test"
    assert names(tmp_path) == ["graph", "~no-such-user-of-the-test"]


def test_force_replaces_an_export_and_nothing_else(tmp_path: Path) -> None:
    out = tmp_path / "new" / "out"
    out.mkdir(parents=True)
    export(SMALL, out, "csv")
    with pytest.raises(InputError, match="--force"):
        export(SMALL, out, "parquet")
    assert "Latent.csv" in names(out)
    (out / "import.report").write_text("left by neo4j-admin")
    export(SMALL, out, "parquet", force=True)
    assert "Latent.parquet" in names(out)
    assert not [n for n in names(out) if n.endswith((".csv", ".report"))]
    (out / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"notes\.txt"):
        export(SMALL, out, "csv", force=True)
    assert names(out.parent) == ["out"]


@pytest.mark.parametrize("format_", FORMATS)
def test_a_failure_leaves_nothing(tmp_path: Path, format_: Format) -> None:
    def rows() -> Any:
        yield LATENT, [latent("x")]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export(rows, tmp_path / "out", format_)
    assert names(tmp_path) == []


def test_what_a_killed_run_left_is_cleared(tmp_path: Path) -> None:
    out = tmp_path / "out"
    left = exporting._beside(out, "part")
    left.mkdir()
    (left / "Latent.csv").write_text("half")
    export(SMALL, out, "graphml")
    assert names(tmp_path) == ["out"]
    assert "Latent.csv" not in names(out)
    # Killed between the two renames of a replacement: the earlier export comes back.
    out.rename(exporting._beside(out, "replaced"))
    with pytest.raises(InputError, match="--force"):
        export(SMALL, out, "csv")
    assert names(tmp_path) == ["out"]
    # Killed before the replaced one was removed.
    shutil.copytree(out, exporting._beside(out, "replaced"))
    export(SMALL, out, "csv", force=True)
    assert names(tmp_path) == ["out"]


def test_two_exports_to_one_place_do_not_mix(tmp_path: Path) -> None:
    out = tmp_path / "out"
    left = [exporting._beside(out, name) for name in ("part", "replaced")]
    for folder in left:
        folder.mkdir()
    with exporting._alone(out), pytest.raises(InputError, match="out is being written by another cofire"):
        export(SMALL, out, "csv")
    assert all(folder.is_dir() for folder in left)  # nothing is cleared or put back that the other one works with
    assert not out.exists()


def test_an_export_holds_its_place_to_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    removed: list[tuple[str, bool]] = []
    rmtree = shutil.rmtree

    def watched(path: Path, *, ignore_errors: bool = False) -> None:
        # A second export begins at each of the first one's steps.
        with pytest.raises(InputError, match="another cofire"):
            export(SMALL, out, "csv", force=True)
        removed.append((path.name, out.exists()))
        rmtree(path, ignore_errors=ignore_errors)

    export(SMALL, out, "csv")
    monkeypatch.setattr(shutil, "rmtree", watched)
    export(SMALL, out, "graphml", force=True)
    # The last one after the last rename; the work directory, which was renamed, is not among them.
    assert removed == [(".out.cofire-export-replaced", True)] * 2
    assert names(tmp_path) == ["out"]
    assert "graph.graphml" in names(out)


def test_a_lock_that_went_with_the_export_before_is_taken_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    lock, flock, calls = exporting._beside(out, "lock"), fcntl.flock, []

    def late(file: Any, operation: int) -> None:
        if not calls:
            lock.unlink()  # the other one ends between our opening of its file and our hold on it
        calls.append(operation)
        flock(file, operation)

    def rows() -> Any:
        assert lock.exists()
        yield LATENT, [latent("x")]

    monkeypatch.setattr(fcntl, "flock", late)
    export(rows, out, "csv")
    assert len(calls) == 2
    assert names(tmp_path) == ["out"]


def test_an_uncounted_capture_is_refused(tmp_path: Path) -> None:
    from builders import make_capture, random_arrays

    capture = make_capture(tmp_path / "c", random_arrays(1))
    with pytest.raises(CaptureError, match="cofire count"):
        export(lambda: capture_rows([capture]), tmp_path / "out", "csv")
    assert names(tmp_path) == ["c"]


def test_the_command(
    captures: list[CaptureDir], exported: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from cofire.cli import run

    paths = [str(capture.path) for capture in captures]
    for format_ in FORMATS:
        out = tmp_path / format_
        assert run(["export", *paths, "--out", str(out), "--format", format_]) == 0
        said = capsys.readouterr()
        assert said.out == ""
        assert str(out) in said.err.replace("\n", "")
        assert differing(files_of(out), files_of(exported[format_])) == []
    for arguments, words in (
        ([*paths, "--out", str(tmp_path / "csv"), "--format", "csv"], "--force"),
        ([*paths, "--out", str(tmp_path / "x"), "--format", "xml"], "xml"),
        ([*paths, "--out", str(tmp_path / "x"), "--format", "csv", "--sae", "y"], "--sae is for a store"),
        (["nowhere", "--out", str(tmp_path / "x"), "--format", "csv"], "no capture at nowhere"),
    ):
        assert run(["export", *arguments]) == 2
        said = capsys.readouterr()
        assert words in said.err
        assert said.err.count("\n") == 1
    assert names(tmp_path) == sorted(FORMATS)


def test_the_command_leaves_decoder_directions_out_as_ingest_does(
    captures: list[CaptureDir], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from cofire.cli import run

    monkeypatch.chdir(tmp_path)
    line = ["export", str(captures[0].path), "--format", "parquet", "--out"]

    def exported_directions(out: str, *options: str) -> tuple[int, str]:
        assert run([*line, out, *options]) == 0, capsys.readouterr().err
        capsys.readouterr()
        hashes: list[str] = pq.read_table(f"{out}/Sae.parquet")["contentHash"].to_pylist()
        directions = pq.read_table(f"{out}/Latent.parquet")["decoder"]
        return len(directions) - directions.null_count, hashes[0]

    with_them, without = (
        (16, load_plan(captures[0]).content_hash),
        (0, load_plan(captures[0], decoders=False).content_hash),
    )
    assert exported_directions("plain") == with_them
    assert exported_directions("flag", "--no-decoders") == without
    (tmp_path / "cofire.toml").write_text("decoders = false\n")
    assert exported_directions("setting") == without
    for store in ([], ["--store", "s"]):
        assert run(["export", *store, "--out", "x", "--format", "csv", "--no-decoders"]) == 2
        said = capsys.readouterr().err
        assert "--no-decoders is for captures" in said
        assert said.count("\n") == 1
    assert not (tmp_path / "x").exists()


def test_progress_reaches_its_end(captures: list[CaptureDir]) -> None:
    told: list[tuple[str, int, int]] = []
    for _ in capture_rows(captures, lambda *step: told.append(step)):
        pass
    for capture in captures:
        steps = [(done, total) for uid, done, total in told if uid == capture.uid]
        assert steps[-1][0] == steps[-1][1] == load_plan(capture).rows


def test_slices_bound_the_memory(captures: list[CaptureDir], monkeypatch: pytest.MonkeyPatch) -> None:
    whole = collected(capture_rows(captures))
    monkeypatch.setattr(export_rows, "SLICE_ROWS", 7)
    monkeypatch.setattr(export_rows, "LATENT_SLICE_ROWS", 3)
    sizes: dict[str, int] = {}
    parts = []
    for kind, rows in capture_rows(captures):
        sizes[sort_name(kind)] = max(len(rows), sizes.get(sort_name(kind), 0))
        parts.append((kind, rows))
    assert max(sizes.values()) == 7
    assert sizes["Latent"] == 3
    assert collected(parts) == whole


def test_a_text_that_neo4j_could_not_index_is_not_exported_for_it(tmp_path: Path) -> None:
    """An embedded store takes such texts, and made before there was a limit it may hold one."""
    rows = [["t/1", 1, "short"], ["t/2", 2, "é" * 5000]]
    with pytest.raises(InputError, match="the text of Token t/2 has 10,000 bytes"):
        export(lambda: [(TOKEN, rows)], tmp_path / "out", "neo4j-admin")
    assert not (tmp_path / "out").exists()
    export(lambda: [(TOKEN, rows)], tmp_path / "out", "csv")
