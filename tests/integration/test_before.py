"""What an earlier cofire made is read, and made again, as it was; what has changed since is told by name here."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from before import CAPTURES, answers, unpack
from cofire import KnowledgeBase
from cofire.analysis.analyze import analyze
from cofire.errors import CaptureError, ConflictError, SchemaError
from cofire.ingest.capture_dir.directory import CaptureDir
from cofire.ingest.capture_dir.table_files import drop_tables, read_table, table_infos
from cofire.ingest.count import count
from cofire.pipeline import count_settings, ingest, settings_of_analyses
from cofire.queries.anchored_motifs import store_motifs_at
from cofire.queries.library import GONE, library
from cofire.schema.tables import TABLES, TOKENS
from cofire.settings import load_settings
from cofire.store import Store, open_store
from cofire.store.plan.plan import load_plan
from cofire.store.versions import migrate
from differing import differing, files_of

LAST_BITS = 1e-5
"""Of the largest number in a column: what float32 products end with, and what is made of them, is the processor's."""
NEW_TABLES = {"twins"}
NEW_COLUMNS = {"edges": {"direct", "direct_log_odds", "direct_log_odds_se", "explained_by"}}
GROWN = {"edges": {"q"}}
"""Columns that may be larger now: pairs of too small an effect have a q of 1, which only raises the q of the others."""
OTHER_TOKENS = {
    "distinctive_tokens", "tokens_a", "tokens_b", "tokens_c", "tokens_d", "member_tokens", "hub_tokens", "spoke_tokens",
    "contained_tokens", "container_tokens", "score",
}  # fmt: skip
"""Columns of queries that are new, or show distinctive tokens where they showed the most frequent ones."""


@pytest.fixture(autouse=True)
def settings_as_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("COFIRE_RUNS", "COFIRE_REWIRES"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def capture(request: pytest.FixtureRequest, tmp_path: Path) -> CaptureDir:
    return CaptureDir.open(unpack("captures", tmp_path) / request.param)


def made_again(capture: CaptureDir) -> tuple[bool, tuple[str, ...]]:
    settings = load_settings()
    counted = count(capture, count_settings(capture, settings))
    return counted, analyze(capture, settings_of_analyses(capture, settings))


@pytest.mark.parametrize("capture", CAPTURES, indirect=True)
def test_a_capture_is_counted_and_analysed_anew(capture: CaptureDir) -> None:
    """Its edges tell nothing of which are direct, and everything is made from the edges."""
    before, shown = files_of(capture.path), rows_of(capture)
    with pytest.raises(
        CaptureError, match=r"tokens.parquet was made by an earlier cofire and has no score; run `cofire"
    ):
        load_plan(capture).sections[1].rows(0, 1)
    counted, analysed = made_again(capture)
    assert counted
    assert analysed
    after = files_of(capture.path)
    new = NEW_TABLES | ({"stars"} if capture.keeps_activations else set())
    assert after.keys() - before.keys() == {f"tables/{name}.parquet" for name in new}
    changed = {name for name in before if before[name] != after.get(name)}
    assert {"tables/edges.parquet", "tables/tokens.parquet", "tables/manifest.json"} <= changed
    assert all(name.startswith("tables/") for name in changed)
    now = rows_of(capture)
    # What is made of the edges is not compared: an edge less is another graph.
    counted_tables = {table.name for table in TABLES if table.maker == "count"} & shown.keys() - {"tokens"}
    without_lost_edges(shown, now)
    assert_same_tables({name: shown[name] for name in counted_tables}, now)
    shared = {(row["latent"], row["token"]): {k: v for k, v in row.items() if k != "score"} for row in now["tokens"]}
    assert [shared[row["latent"], row["token"]] for row in shown["tokens"]] == shown["tokens"]
    assert len(now["tokens"]) > len(shown["tokens"])
    assert made_again(capture) == (False, ())


@pytest.mark.parametrize("capture", CAPTURES, indirect=True)
def test_the_same_tables_are_counted_from_it(capture: CaptureDir) -> None:
    before, settings = rows_of(capture), load_settings()
    counting = count_settings(capture, settings)
    shutil.rmtree(capture.tables)
    assert count(capture, counting)
    after = rows_of(capture)
    made = {table.name for table in TABLES if table.maker == "count"} & before.keys()
    assert made | NEW_TABLES == after.keys()
    without_lost_edges(before, after)
    assert_same_tables({name: before[name] for name in made - {"tokens"}}, after)


def without_lost_edges(before: dict[str, list[dict[str, Any]]], after: dict[str, list[dict[str, Any]]]) -> None:
    """Take from `before` the edge that its grown q has put out of the rule: one of 532, near the bound before."""
    kept = {(row["a"], row["b"]) for row in after["edges"]}
    lost = [row for row in before["edges"] if (row["a"], row["b"]) not in kept]
    assert len(lost) <= 1
    assert all(row["q"] > 0.005 for row in lost)
    gone = {pair for row in lost for pair in ((row["a"], row["b"]), (row["b"], row["a"]))}
    for name, ends in (("edges", ("a", "b")), ("conditionals", ("latent", "given"))):
        if name in before:
            before[name] = [row for row in before[name] if (row[ends[0]], row[ends[1]]) not in gone]


@pytest.mark.parametrize("capture", CAPTURES, indirect=True)
def test_the_same_analyses_are_made_of_its_counts(capture: CaptureDir) -> None:
    before, analysing = rows_of(capture), settings_of_analyses(capture, load_settings())
    made = [table.name for table in TABLES if table.maker == "analyze" and table.name in before]
    drop_tables(capture, made)
    analyze(capture, analysing)
    after = rows_of(capture)
    # Its edges do not say which are direct: there are no stars.
    assert after.pop("stars", []) == []
    assert after.keys() == before.keys()
    assert_same_tables({name: before[name] for name in made}, after)


def assert_same_tables(before: dict[str, list[dict[str, Any]]], after: dict[str, list[dict[str, Any]]]) -> None:
    for name, rows in before.items():
        assert len(after[name]) == len(rows), name
        scale = {column: max((largest(row[column]) for row in rows), default=0.0) for column in (rows or [{}])[0]}
        for number, (now, then) in enumerate(zip(after[name], rows, strict=True)):
            assert now.keys() - NEW_COLUMNS.get(name, set()) == then.keys(), name
            same = {c: alike(then[c], now[c], LAST_BITS * scale[c]) for c in then}
            same |= {c: same[c] or then[c] <= now[c] <= 1 for c in GROWN.get(name, set())}
            far = [(c, then[c], now[c]) for c in then if not same[c]]
            assert far == [], f"{name}, row {number}"


@pytest.fixture
def old_store(tmp_path: Path) -> Path:
    return unpack("store", tmp_path / "old") / "store"


@pytest.fixture
def migrated(old_store: Path) -> Iterator[Store]:
    with open_store(old_store, any_version=True) as store:
        assert [step.to for step in migrate(store)] == [4, 5]
    with open_store(old_store) as store:
        yield store


def test_a_store_is_asked_as_before(old_store: Path, migrated: Store) -> None:
    """Every query that there was gives the rows that it gave."""
    asked = answers()
    assert {one["query"] for one in asked} >= set(library()) - {"motif_counts"}
    for one in asked:
        name, given, rows = one["query"], one["parameters"], one["rows"]
        if name in GONE:
            assert_same_motifs(migrated, name, given, rows)
            continue
        found = library()[name](migrated, **given)
        now = [dict(zip(found.columns, row, strict=True)) for row in found.rows]
        assert_same_rows(f"{name} {given}", now, rows)


def test_an_old_store_says_what_to_do_and_takes_the_new_tables(old_store: Path, tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match=r"`cofire migrate --store .*: \(4\) ranks the tokens of each latent"):
        open_store(old_store)
    with open_store(old_store, any_version=True) as store:
        migrate(store)
    capture = CaptureDir.open(unpack("captures", tmp_path) / "kept")
    before = files_of(capture.path)
    with open_store(old_store) as store:
        scores = "MATCH (a:Latent)-[f:FIRES_ON]->(t:Token) WHERE a.sae = $sae RETURN a.index, t.token, f.score"
        migrated = {(a, t): score for a, t, score in store.read(scores, {"sae": capture.uid}).rows}
        with pytest.raises(ConflictError, match="or by another cofire"):
            ingest(capture, store, load_settings())
        assert differing(files_of(capture.path), before) == []
        assert ingest(capture, store, load_settings(), replace=True) == "replaced"
        made = {(a, t): score for a, t, score in store.read(scores, {"sae": capture.uid}).rows}
        # What the migration works out from count, share and lift is what a count of all tokens finds.
        assert migrated.keys() < made.keys()
        assert all(math.isclose(migrated[pair], made[pair], rel_tol=1e-9, abs_tol=1e-9) for pair in migrated)
        texts = [row["text"] for row in sorted(
            (row for row in read_table(capture, TOKENS).to_pylist() if row["latent"] == 3 and row["score"] > 0),
            key=lambda row: (-row["score"], row["token"]),
        )]  # fmt: skip
        with KnowledgeBase(old_store) as kb:
            assert kb.query("latent_card", sae=capture.uid, index=3)["distinctive_tokens"][0] == texts[:10]


def rows_of(capture: CaptureDir) -> dict[str, list[dict[str, Any]]]:
    """Every table's rows, as the file has them."""
    import pyarrow.parquet as pq

    known = [table.name for table in TABLES if table.name in table_infos(capture)]
    return {name: pq.read_table(capture.tables / f"{name}.parquet").to_pylist() for name in known}


def largest(value: Any) -> float:
    """The largest floating-point number of a value, without its sign; 0 where there is none."""
    if isinstance(value, list):
        return max(map(largest, value), default=0.0)
    return abs(value) if isinstance(value, float) and math.isfinite(value) else 0.0


def alike(a: Any, b: Any, off: float = 0.0) -> bool:
    """Equal, but for the last bits of floating-point numbers, in lists too, or `off`."""
    if isinstance(a, float) and isinstance(b, float):
        return math.isclose(a, b, rel_tol=1e-9, abs_tol=max(off, 1e-12))
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(alike(one, other, off) for one, other in zip(a, b, strict=True))
    return type(a) is type(b) and bool(a == b)


def assert_same_rows(what: str, now: list[dict[str, Any]], then: list[dict[str, Any]]) -> None:
    order = "latent_tokens" in what  # by score now, by count before
    key = [(row.get("token"), row) for row in now] if order else []
    ordered = [row for _, row in sorted(key, key=lambda one: one[0])] if order else now
    wanted = sorted(then, key=lambda row: row["token"]) if order else then
    assert len(ordered) == len(wanted), what
    for number, (row, old) in enumerate(zip(ordered, wanted, strict=True)):
        assert row.keys() - OTHER_TOKENS == old.keys() - OTHER_TOKENS, what
        differs = [(c, old[c], row[c]) for c in old.keys() - OTHER_TOKENS if not alike(old[c], row[c])]
        assert differs == [], f"{what}, row {number}"


def assert_same_motifs(store: Store, name: str, given: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    kind: Any = {"cliques": "clique", "chains": "path", "bifans": "bifan"}[name.partition("_")[0]]
    size = given.get("size", 3 if kind == "path" else 4)  # the defaults that there were
    found, _ = store_motifs_at(store, given["sae"], given["index"], kind, min_size=size, max_size=size, limit=100)
    if kind == "bifan":
        pairs = [[sorted((given["index"], row["opposite"])), sorted((row["c"], row["d"]))] for row in rows]
        wanted = [tuple(i for pair in sorted(two) for i in pair) for two in pairs]
    else:
        wanted = [tuple(row["members"]) for row in rows]
    assert [motif.members for motif in found] == wanted, f"{name} {given}"
    assert all(alike(motif.score, row["weakest_log_odds"]) for motif, row in zip(found, rows, strict=True))
