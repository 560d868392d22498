"""The write path: who may load, what happens to the second one, and what a load leaves when it cannot go on."""

from __future__ import annotations

import json
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from builders import make_capture, random_arrays
from cofire.analysis.analyses import analysis_settings
from cofire.analysis.analyze import analyze
from cofire.errors import ConflictError, StoreError
from cofire.ingest.capture_dir.directory import CaptureDir
from cofire.ingest.count import CountSettings, count
from cofire.ingest.import_activations import import_activations
from cofire.schema.nodes import LATENT, RELEASE, TOKEN
from cofire.schema.relationships import CO_FIRES, FIRES_ON
from cofire.store import Store, ensure_schema, open_store
from cofire.store.load import holder, write
from cofire.store.load.journal import check_conflicts
from cofire.store.load.write import delete_sae, load_sae
from cofire.store.plan.plan import load_plan
from cofire.store.plan.section import LoadPlan, Section
from cofire.store.versions import VERSION
from graphs import dump_graph, wipe
from jobs import fork_server, load_job


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(write, "BATCH_ROWS", 50)
    monkeypatch.setattr(write, "BATCH_VALUES", 2000)


def planned(folder: Path, seed: int, sae_id: str = "one") -> LoadPlan:
    capture = make_capture(folder / f"{sae_id}-{seed}", random_arrays(seed, n_latents=40), sae_id=sae_id)
    count(capture, CountSettings(edges="all"))
    analyze(capture, analysis_settings(resolution=1.0, seed=0, rewires=3))
    return load_plan(capture)


class Paused:
    """A load in a thread of its own that waits after its first batches until it is told to go on."""

    def __init__(self, store: Store, plan: LoadPlan, **options: Any) -> None:
        self.reached, self.go, self.outcome = threading.Event(), threading.Event(), None
        self.error: BaseException | None = None

        def progress(done: int, _total: int) -> None:
            if done > 20:
                self.reached.set()
                assert self.go.wait(120)

        def run() -> None:
            try:
                self.outcome = load_sae(store, plan, progress=progress, **options)
            except BaseException as error:  # noqa: BLE001 - looked at by the test
                self.error = error
                self.reached.set()

        self.thread = threading.Thread(target=run)
        self.thread.start()
        assert self.reached.wait(120)

    def finish(self) -> None:
        self.go.set()
        self.thread.join(120)
        assert not self.thread.is_alive()


def test_the_second_loader_of_an_sae_is_refused(store: Store, tmp_path: Path) -> None:
    plan, other = planned(tmp_path, 1), planned(tmp_path, 2)
    first = Paused(store, plan)
    for again in (
        lambda: load_sae(store, plan),
        lambda: load_sae(store, plan, replace=True),
        lambda: load_sae(store, other, replace=True),
        lambda: delete_sae(store, plan.uid),
    ):
        with pytest.raises(
            ConflictError, match=f"process {os.getpid()} on .* is loading test/one .* wait for it"
        ) as error:
            again()
        assert "\n" not in str(error.value)
    first.finish()
    assert (first.outcome, first.error) == ("loaded", None)
    graph = dump_graph(store)
    assert load_sae(store, plan) == "unchanged"
    wipe(store)
    load_sae(store, plan)
    assert dump_graph(store) == graph


def test_two_saes_are_loaded_at_once(store: Store, tmp_path: Path) -> None:
    plans = [planned(tmp_path, 1, "one"), planned(tmp_path, 2, "two")]
    for plan in plans:
        load_sae(store, plan)
    wanted = dump_graph(store)
    wipe(store)
    errors: list[BaseException] = []

    def run(plan: LoadPlan) -> None:
        try:
            assert load_sae(store, plan) == "loaded"
        except BaseException as error:  # noqa: BLE001 - looked at below
            errors.append(error)

    threads = [threading.Thread(target=run, args=(plan,)) for plan in plans]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert dump_graph(store) == wanted


def test_saes_of_one_model_are_loaded_at_once_into_a_new_store(store: Store) -> None:
    """They make the same releases, tokens and schema at the same moment; ArcadeDB fails the loser of each."""
    tokens = [[f"m/token/{i}", i, f"t{i}"] for i in range(200)]

    def plan(uid: str) -> LoadPlan:
        latents = [[f"{uid}/{i}", uid, i, *[None] * (len(LATENT.properties) - 3)] for i in range(60)]
        links = [[f"{uid}/{i % 60}", f"m/token/{i}", i, 0.5, 1.0] for i in range(200)]
        sections = (
            Section(RELEASE, 1, lambda a, b: [["r"]][a:b]),
            Section(LATENT, 60, lambda a, b: latents[a:b]),
            Section(TOKEN, 200, lambda a, b: tokens[a:b]),
            Section(FIRES_ON, 200, lambda a, b: links[a:b]),
        )
        return LoadPlan(uid, {"uid": uid}, "h", sections)

    errors: list[BaseException] = []

    def run(uid: str) -> None:
        try:
            assert load_sae(store, plan(uid)) == "loaded"
        except BaseException as error:  # noqa: BLE001 - looked at below
            errors.append(error)

    threads = [threading.Thread(target=run, args=(uid,)) for uid in ("r/1", "r/2", "r/3")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    counts = [
        store.read(f"MATCH {p} RETURN count(*)", {}).rows[0][0]
        for p in ("(:Token)", "()-[:FIRES_ON]->()", "(:Release)")
    ]
    assert counts == [200, 600, 1]


def test_two_processes_load_into_one_embedded_store(embedded_dir: Path, tmp_path: Path) -> None:
    """The one that began ends first, and its server with it: the other goes on with a server of its own."""
    captures = []
    for k, tokens in ((1, 1500), (2, 4000)):
        arrays = random_arrays(k, tokens=tokens, n_latents=60 * k, documents=40)
        captures.append(make_capture(tmp_path / str(k), arrays, sae_id=str(k)))
        count(captures[-1], CountSettings(edges="all"))
        analyze(captures[-1], analysis_settings(resolution=0.7, seed=0, rewires=3))
    processes = [
        fork_server().Process(target=load_job, args=(str(c.path), str(embedded_dir), None, None)) for c in captures
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(300)
    assert [process.exitcode for process in processes] == [0, 0]
    with open_store(embedded_dir) as store:
        together = dump_graph(store)
    with open_store(tmp_path / "alone", create=True) as store:
        for capture in captures:
            load_sae(store, load_plan(capture))
        assert together == dump_graph(store)


def test_an_sae_named_like_a_model_leaves_the_model_its_tokens(store: Store) -> None:
    ensure_schema(store)
    store.write([("CREATE (:Sae {uid: 'a/b', status: 'ready'}), (:Latent {uid: 'x/y/0', sae: 'x/y'})", {})])
    link = "MATCH (l:Latent) CREATE (l)-[:FIRES_ON]->(:Token {uid: 'a/b/token/7'}), (:Token {uid: 'a/b/token/8'})"
    store.write([(link, {})])
    delete_sae(store, "a/b")
    assert store.read("MATCH (t:Token) RETURN t.uid", {}).rows == [("a/b/token/7",)]


def test_of_two_that_begin_at_once_one_loads(store: Store, tmp_path: Path) -> None:
    plan = planned(tmp_path, 1)
    load_sae(store, plan)
    wanted = dump_graph(store)
    for _ in range(3):
        wipe(store)
        outcomes: list[str] = []
        barrier = threading.Barrier(3)

        def run(outcomes: list[str] = outcomes, barrier: threading.Barrier = barrier) -> None:
            barrier.wait()
            try:
                outcomes.append(load_sae(store, plan))
            except ConflictError:
                outcomes.append("refused")

        threads = [threading.Thread(target=run) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(outcomes) == 3
        assert outcomes.count("loaded") == 1
        assert set(outcomes) <= {"loaded", "refused", "unchanged"}
        assert dump_graph(store) == wanted


def test_a_sleeping_process_keeps_its_claim_and_a_dead_one_loses_it(
    neo4j_store: Store, neo4j_server: Any, tmp_path: Path
) -> None:
    capture = make_capture(tmp_path, random_arrays(8, tokens=3000, n_latents=120, documents=40))
    count(capture, CountSettings(edges="all"))
    analyze(capture, analysis_settings(resolution=0.7, seed=0, rewires=3))
    process = fork_server().Process(target=load_job, args=(str(capture.path), *neo4j_server))
    process.start()
    text = "MATCH (j:LoadJournal) RETURN sum(j.done)"
    while not (neo4j_store.read(text, {}).rows[0][0] or 0):
        assert process.is_alive()
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGSTOP)
    with pytest.raises(ConflictError, match=f"process {process.pid} on "):
        load_sae(neo4j_store, load_plan(capture))
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert load_sae(neo4j_store, load_plan(capture)) == "resumed"
    graph = dump_graph(neo4j_store)
    wipe(neo4j_store)
    load_sae(neo4j_store, load_plan(capture))
    assert dump_graph(neo4j_store) == graph


def test_a_loader_whose_claim_was_taken_writes_no_more(store: Store, tmp_path: Path) -> None:
    plan = planned(tmp_path, 1)
    first = Paused(store, plan)
    store.write([("MATCH (j:LoadJournal) SET j.holder = ''", {})])  # as if it had been silent for too long elsewhere
    assert load_sae(store, plan) == "resumed"
    graph = dump_graph(store)
    first.finish()
    assert isinstance(first.error, StoreError)
    assert "taken over by another process" in str(first.error)
    assert dump_graph(store) == graph


def test_a_loader_elsewhere_counts_as_alive_for_a_minute(store: Store, tmp_path: Path) -> None:
    plan = planned(tmp_path, 1)
    stopped = Paused(store, plan)
    there = json.dumps({"host": "elsewhere", "boot": "b", "ids": "i", "pid": 7, "start": "1", "load": "x"})
    store.write([("MATCH (j:LoadJournal) SET j.holder = $h, j.beat = timestamp() - 30000", {"h": there})])
    stopped.finish()
    with pytest.raises(ConflictError, match=r"process 7 on elsewhere is loading test/one .* [345][0-9] s ago"):
        load_sae(store, plan)
    silent = int(holder.LEASE_SECONDS * 1000) + 1
    store.write([("MATCH (j:LoadJournal) SET j.beat = timestamp() - $ms", {"ms": silent})])
    assert load_sae(store, plan) == "resumed"


def test_a_load_that_failed_goes_on_in_the_same_process(store: Store, tmp_path: Path) -> None:
    plan = planned(tmp_path, 1)

    def stop(done: int, _total: int) -> None:
        if done > 100:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load_sae(store, plan, progress=stop)
    assert store.read("MATCH (s:Sae) RETURN s.status", {}).rows == [("loading",)]
    assert load_sae(store, plan) == "resumed"
    assert store.read("MATCH (j:LoadJournal) RETURN count(j)", {}).rows == [(0,)]


def test_a_deletion_that_was_cut_short_is_finished(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, other = planned(tmp_path, 1), planned(tmp_path, 2)
    keep = planned(tmp_path, 3, "two")
    load_sae(store, keep)
    load_sae(store, plan)
    monkeypatch.setattr(write, "DELETE_ROWS", 30)

    def stop(_done: int, _total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        delete_sae(store, plan.uid, stop)
    assert ("deleting",) in store.read("MATCH (s:Sae) RETURN s.status", {}).rows
    assert load_sae(store, other) == "replaced"  # no --replace: what is being deleted is nobody's any more
    graph = dump_graph(store)
    wipe(store)
    load_sae(store, keep)
    load_sae(store, other)
    assert dump_graph(store) == graph
    assert delete_sae(store, other.uid)
    assert not delete_sae(store, other.uid)


def test_a_relationship_without_its_end_fails_the_load(store: Store, tmp_path: Path) -> None:
    plan = planned(tmp_path, 1)

    def wrong(section: Section) -> Callable[[int, int], list[list[Any]]]:
        def rows(start: int, stop: int) -> list[list[Any]]:
            found = section.rows(start, stop)
            if start == 0:
                found[0] = [*found[0]]
                found[0][1] = f"{plan.uid}/99999"
            return found

        return rows

    sections = tuple(
        Section(s.kind, s.count, wrong(s)) if s.kind.description == "The SAE of the latent." else s
        for s in plan.sections
    )
    broken = LoadPlan(plan.uid, plan.sae, plan.content_hash, sections)
    with pytest.raises(StoreError, match=r"1 of .* rows found no node"):
        load_sae(store, broken)
    assert store.read("MATCH ()-[r:OF]->() RETURN count(r)", {}).rows[0][0] < plan.sae["nLatents"]
    assert load_sae(store, plan) == "resumed"


def test_the_batch_size_follows_the_time_that_a_batch_takes() -> None:
    section = Section(CO_FIRES, 10, lambda start, stop: [["a", "b", *range(10)]] * (stop - start))
    size = write._BatchSize(section, 0)
    assert size.rows == 50
    size.took(5.0)
    assert size.rows == 25
    size.took(2.0)
    assert size.rows == 25
    size.took(5.0)
    assert size.rows == write.LEAST_ROWS
    for _ in range(5):
        size.took(0.1)
    assert size.rows == 50


@pytest.fixture
def with_weights(tmp_path: Path) -> Callable[[int], Any]:
    from safetensors.numpy import save_file

    def make(width: int) -> Any:
        arrays = random_arrays(1, n_latents=6)
        np.savez(tmp_path / "a.npz", **arrays)
        rng = np.random.default_rng(0)
        directions = rng.normal(size=(6, width)).astype(np.float32) * 3
        directions[2] = 0
        save_file({"W_dec": directions}, tmp_path / "w.safetensors")
        capture = import_activations(
            tmp_path / "a.npz", tmp_path / f"c{width}", release="r", sae_id="s", weights=tmp_path / "w.safetensors"
        )
        count(capture)
        analyze(capture, analysis_settings(resolution=1.0, seed=0, rewires=3))
        return capture, directions

    return make


def test_decoder_directions_are_loaded_at_norm_1(store: Store, with_weights: Any) -> None:
    capture, directions = with_weights(5)
    load_sae(store, load_plan(capture))
    rows = dict(store.read("MATCH (a:Latent) RETURN a.index, a.decoder", {}).rows)
    assert rows[2] is None
    for i in (0, 1, 3, 4, 5):
        np.testing.assert_allclose(rows[i], directions[i] / np.linalg.norm(directions[i]), rtol=1e-6)
        assert all(isinstance(x, float) for x in rows[i])
    without = load_plan(capture, decoders=False)
    assert without.content_hash != load_plan(capture).content_hash
    assert load_sae(store, without, replace=True) == "replaced"
    assert store.read("MATCH (a:Latent) WHERE a.decoder IS NOT NULL RETURN count(a)", {}).rows == [(0,)]


def test_another_sae_of_the_same_name_is_not_called_a_version_of_it(
    store: Store, with_weights: Any, tmp_path: Path
) -> None:
    """The advice for a version, --replace, would delete what was never meant: SAEs of directories called alike."""
    from safetensors.numpy import save_file

    capture, directions = with_weights(5)
    plan = load_plan(capture)
    load_sae(store, plan)
    before = dump_graph(store)
    shutil.copytree(capture.path, tmp_path / "other")
    save_file({"W_dec": directions + np.float32(0.1)}, tmp_path / "other" / "weights.safetensors")
    another = load_plan(CaptureDir.open(tmp_path / "other"))
    hook = replace(plan, sae=plan.sae | {"hook": "blocks.1.hook_resid_pre"}, content_hash="x")
    larger = replace(plan, sae=plan.sae | {"nLatents": 7}, content_hash="x")
    store.write([("MATCH (s:Sae) SET s.hook = 'blocks.1.hook_resid_post'", {})])
    for given, difference in [
        (another, "the decoder direction of latent 0 is another"),
        (hook, "hook blocks.1.hook_resid_post, here blocks.1.hook_resid_pre"),
        (larger, "number of latents 6, here 7"),
    ]:
        for refuse in (lambda plan: load_sae(store, plan), lambda plan: check_conflicts(store, [plan])):
            with pytest.raises(ConflictError) as caught:
                refuse(given)
            assert f"holds another SAE under the name r/s ({difference})" in str(caught.value)
            assert "import this one again (--release, --sae-id) under a name of its own" in str(caught.value)
            assert str(caught.value).endswith("add --replace, which deletes the one in the store")
    manifest = CaptureDir.open(tmp_path / "other").manifest
    manifest.kind = "capture"
    manifest.write(tmp_path / "other")
    with pytest.raises(ConflictError, match=r"capture this one again \(--sae RELEASE:SAE_ID=DIR\) under a name of its"):
        load_sae(store, load_plan(CaptureDir.open(tmp_path / "other")))
    # The same SAE over another text is a version, with its directions or without.
    for version in (replace(plan, content_hash="x"), replace(load_plan(capture, decoders=False), content_hash="x")):
        with pytest.raises(ConflictError, match="holds another version of r/s; add --replace to put this one"):
            load_sae(store, version)
    store.write([("MATCH (s:Sae) REMOVE s.hook", {})])
    assert dump_graph(store) == before


def test_directions_that_no_index_takes_stay_out(with_weights: Any) -> None:
    capture, _ = with_weights(4097)
    plan = load_plan(capture)
    assert plan.content_hash == load_plan(capture, decoders=False).content_hash


def test_the_words_of_a_latent_are_those_of_its_tokens(store: Store, tmp_path: Path) -> None:
    load_sae(store, planned(tmp_path, 1))
    text = "MATCH (a:Latent) RETURN a.topTokens + a.distinctiveTokens, a.words"
    for tokens, words in store.read(text, {}).rows:
        expected = {" of": "of", " the": "the", '"quoted"': "quoted", "日本": "日本", " naïve": "naïve", "{x}": "x"}
        assert words == " ".join(sorted({expected[t] for t in tokens if t in expected}))


def test_neo4j_has_the_two_indexes_of_its_own(neo4j_store: Store) -> None:
    ensure_schema(neo4j_store)
    rows = neo4j_store.read(
        "SHOW INDEXES YIELD name, type WHERE type IN ['FULLTEXT', 'VECTOR'] RETURN name, type ORDER BY name"
    )
    assert rows.rows == [("latent_decoder", "VECTOR"), ("latent_words", "FULLTEXT")]


def test_nothing_of_a_load_is_in_another_store(embedded_dir: Path, tmp_path: Path) -> None:
    with open_store(embedded_dir) as store:
        load_sae(store, planned(tmp_path, 1))
        assert store.read("MATCH (v:SchemaVersion) RETURN v.version", {}).rows == [(VERSION,)]
