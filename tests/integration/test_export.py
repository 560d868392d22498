"""Exports of stores; the real import of neo4j-admin files; exports that are killed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cofire import KnowledgeBase
from cofire.cli import run
from cofire.errors import QueryError, StoreError
from cofire.ingest.capture_dir.directory import CaptureDir
from cofire.store import Store
from cofire.store.export.directory import Format, capture_rows, export, store_rows
from cofire.store.export.rows import LATENT_SLICE_ROWS
from cofire.store.load.write import load_sae
from cofire.store.plan.plan import load_plan
from differing import differing, files_of
from export_graphs import collected, export_job, hostile_captures
from graphs import dump_graph
from jobs import run_and_kill, run_undisturbed
from repository import ROOT
from servers import Neo4jServer, exported, free_port, neo4j_script

JARS = ROOT / ".cache" / f"neo4j-{os.environ.get('COFIRE_NEO4J_VERSION') or '5.26.30'}" / "lib"
FORMATS: tuple[Format, ...] = ("neo4j-admin", "parquet", "graphml", "csv")


@pytest.fixture(scope="module")
def captures(tmp_path_factory: pytest.TempPathFactory) -> list[CaptureDir]:
    return hostile_captures(tmp_path_factory.mktemp("captures"))


def load_all(store: Store, captures: list[CaptureDir]) -> None:
    for capture in captures:
        load_sae(store, load_plan(capture))


@pytest.fixture
def imported(captures: list[CaptureDir], tmp_path: Path) -> Iterator[tuple[Neo4jServer, Path]]:
    """A Neo4j of its own whose database was made by the real import, and the export that it was made from."""
    home, folder = tmp_path / "home", tmp_path / "export"
    started = neo4j_script("start", home, free_port())
    assert started.returncode == 0, started.stderr
    assert neo4j_script("stop", home).returncode == 0
    export(lambda: capture_rows(captures), folder, "neo4j-admin")
    java = f"{os.environ['JAVA_HOME']}/bin/java" if os.environ.get("JAVA_HOME") else "java"
    admin = tmp_path / "neo4j-admin"
    # What Neo4j's own script passes; 2026.08 cannot do without.
    opens = " ".join(f"--add-opens=java.base/{name}=ALL-UNNAMED" for name in ("java.nio", "java.io", "sun.nio.ch"))
    admin.write_text(f'#!/bin/sh\nexec {java} {opens} -cp "{JARS}/*" org.neo4j.cli.AdminTool "$@"\n')
    admin.chmod(0o755)
    done = subprocess.run(
        [folder / "import.sh", "--overwrite-destination"],
        env={**os.environ, "NEO4J_ADMIN": str(admin), "NEO4J_HOME": str(home), "NEO4J_CONF": str(home / "conf")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "schema.cypher" in done.stderr
    again = neo4j_script("start", home, free_port())
    assert again.returncode == 0, again.stderr
    variables = exported(again.stdout)
    try:
        yield Neo4jServer(*(variables[f"NEO4J_{name}"] for name in ("URI", "USERNAME", "PASSWORD"))), folder
    finally:
        neo4j_script("stop", home)


def indexes(store: Store) -> set[str]:
    text = "SHOW INDEXES YIELD name, type, labelsOrTypes, properties RETURN name, type, labelsOrTypes, properties"
    return {repr(row) for row in store.read(text).rows}


def test_the_real_import_gives_the_graph_of_the_online_load(
    captures: list[CaptureDir], neo4j_store: Store, imported: tuple[Neo4jServer, Path]
) -> None:
    load_all(neo4j_store, captures)
    server, folder = imported
    with server.open() as store:
        for statement in (folder / "schema.cypher").read_text(encoding="utf-8").split(";\n")[:-1]:
            store.ddl([statement])
        # Its last line waited for the indexes.
        assert store.read("SHOW INDEXES YIELD state RETURN DISTINCT state").rows == [("ONLINE",)]
        nodes, links = dump_graph(store)
        wanted_nodes, wanted_links = dump_graph(neo4j_store)
        assert nodes == wanted_nodes
        assert links == wanted_links
        assert len(links) > 500
        assert indexes(neo4j_store) <= indexes(store)
        # It is a store of cofire's: loading the same again changes nothing.
        assert load_sae(store, load_plan(captures[0])) == "unchanged"
        assert dump_graph(store) == (nodes, links)
    with KnowledgeBase(server.uri, username=server.username, password=server.password) as kb:
        assert sorted(kb.saes()["uid"]) == sorted(capture.uid for capture in captures)
    # The import's report (5.26 always writes one) does not stand in the way of the next export.
    (folder / "import.report").touch()
    export(lambda: capture_rows(captures), folder, "csv", force=True)


def test_a_store_gives_what_its_captures_give(store: Store, captures: list[CaptureDir]) -> None:
    load_all(store, captures)
    assert collected(store_rows(store)) == collected(capture_rows(captures))
    one, two, bare = captures
    assert collected(store_rows(store, [bare.uid])) == collected(capture_rows([bare]))
    assert collected(store_rows(store, [two.uid, one.uid])) == collected(capture_rows([one, two]))


def test_what_is_not_ready_is_left_out(store: Store, captures: list[CaptureDir]) -> None:
    load_all(store, captures)
    one, two, bare = captures
    store.write([("MATCH (s:Sae {uid: $uid}) SET s.status = 'loading'", {"uid": one.uid})])
    store.write([("CREATE (:LoadJournal {uid: 'x', sae: $uid, writer: 0, done: 1})", {"uid": one.uid})])
    assert collected(store_rows(store)) == collected(capture_rows([two, bare]))
    with pytest.raises(QueryError, match="unknown SAE"):
        list(store_rows(store, [one.uid]))
    for capture in (two, bare):
        store.write([("MATCH (s:Sae {uid: $uid}) SET s.status = 'deleting'", {"uid": capture.uid})])
    with pytest.raises(QueryError, match="holds no SAE"):
        list(store_rows(store))


def test_relationships_between_saes_need_both(store: Store, captures: list[CaptureDir]) -> None:
    one, two, _ = captures
    load_all(store, [one, two])
    text = (
        "MATCH (a:Latent {uid: $a}) MATCH (b:Latent {uid: $b}) "
        "CREATE (a)-[:MATCHES {score: 0.5, method: 'm', kind: 'split'}]->(b)"
    )
    store.write([(text, {"a": f"{one.uid}/0", "b": f"{two.uid}/1"})])
    both = collected(store_rows(store))
    assert both.pop("Latent-MATCHES-Latent") == [json.dumps([f"{one.uid}/0", f"{two.uid}/1", 0.5, "m", "split"])]
    assert both == collected(capture_rows([one, two]))
    assert "Latent-MATCHES-Latent" not in collected(store_rows(store, [one.uid]))


def test_an_sae_that_changes_meanwhile_is_noticed(store: Store, captures: list[CaptureDir], tmp_path: Path) -> None:
    load_all(store, captures[:1])

    def rows() -> Iterator[Any]:
        for number, part in enumerate(store_rows(store)):
            if number == 3:
                store.write([("MATCH (s:Sae) SET s.contentHash = 'other'", {})])
            yield part

    with pytest.raises(StoreError, match="export again"):
        export(rows, tmp_path / "out", "parquet")
    assert list(tmp_path.iterdir()) == []


def test_the_command_exports_a_store(
    embedded_session_store: Store,
    embedded_store: Store,
    captures: list[CaptureDir],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    load_all(embedded_store, captures)
    where = ["--store", embedded_session_store.location]
    for format_ in FORMATS:
        assert run(["export", *where, "--out", str(tmp_path / format_), "--format", format_]) == 0, capsys.readouterr()
    record = json.loads((tmp_path / "csv/export.json").read_text())
    assert sorted(record["saes"]) == sorted(capture.uid for capture in captures)
    assert record["rows"] == json.loads((tmp_path / "neo4j-admin/export.json").read_text())["rows"]
    assert record["rows"]["Latent"] == 48 < LATENT_SLICE_ROWS
    wanted = ["export", *where, "--out", str(tmp_path / "csv"), "--format", "csv", "--sae", captures[0].uid]
    assert run(wanted) == 2
    assert "--force" in capsys.readouterr().err
    assert run([*wanted, "--force"]) == 0
    assert list(json.loads((tmp_path / "csv/export.json").read_text())["saes"]) == [captures[0].uid]
    assert run([*wanted[:-1], "nobody", "--force"]) == 2
    assert "unknown SAE nobody" in capsys.readouterr().err
    assert (tmp_path / "csv/Latent.csv").is_file()


@pytest.mark.timeout(600)
def test_a_killed_export_leaves_the_earlier_one_or_the_new_one(captures: list[CaptureDir], tmp_path: Path) -> None:
    folders = [str(capture.path) for capture in captures]
    out = tmp_path / "out"
    whole = {name: export(lambda: capture_rows(captures), tmp_path / name, name) for name in FORMATS}

    wanted = {name: files_of(folder) for name, folder in whole.items()}
    seconds = run_undisturbed(export_job, (folders, str(out), "csv"))
    killed = 0
    for trial in range(24):
        format_ = FORMATS[trial % 4]
        if run_and_kill(export_job, (folders, str(out), format_), seconds * (trial + 1) / 26):
            killed += 1
        else:
            # The run that was measured met a busy machine.
            seconds *= 0.8
        # Between its last two renames nothing stands there; the next run puts the earlier one back.
        if out.exists():
            assert files_of(out) in wanted.values()
    assert killed > 5
    run_undisturbed(export_job, (folders, str(out), "graphml"))
    assert differing(files_of(out), wanted["graphml"]) == []
    shutil.rmtree(out)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(FORMATS)
