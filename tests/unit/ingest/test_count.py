"""Counting against brute force, and tables worked by hand."""

from __future__ import annotations

import math
import tracemalloc
from math import log
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from builders import arrays_of, make_capture, random_arrays
from cofire.common.files import exclusive
from cofire.errors import CaptureError
from cofire.ingest.capture_dir.directory import write_vocabulary
from cofire.ingest.capture_dir.table_files import read_table, table_infos
from cofire.ingest.capture_dir.token_bytes import TokenText
from cofire.ingest.count import CountSettings, count
from cofire.ingest.edges.measures import pair_measures
from cofire.schema.tables import CONDITIONALS, CONTEXTS, EDGES, LATENTS, TOKENS
from differing import differing, files_of


def test_memory_stays_within_its_bound(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = [dict.fromkeys(rng.choice(1500, 60, replace=False).tolist(), 1.0) for _ in range(2000)]
    capture = make_capture(tmp_path, arrays_of(rows, 1500))
    bound = 32 * 1024**2
    tracemalloc.start()
    try:
        count(capture, CountSettings(memory=bound))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # The counters, one piece of pairs with their measures, one shard in a few forms, the histograms of 1,500 latents.
    assert peak < bound + 262_144 * 150 + 2000 * 60 * 100 + 1500 * 256 * 8 * 4


def test_measures_by_hand() -> None:
    # 10 tokens; a fires on 4, b on 5, both on 3.
    m = {k: float(v[0]) for k, v in pair_measures(np.array([3]), np.array([4]), np.array([5]), 10).items()}
    assert m["lift"] == 1.5
    assert m["jaccard"] == 0.5
    assert m["p_b_given_a"] == 0.75
    assert m["p_a_given_b"] == 0.6
    assert m["phi"] == pytest.approx((10 * 3 - 20) / math.sqrt(4 * 6 * 5 * 5))
    assert m["npmi"] == pytest.approx(math.log(1.5) / -math.log(0.3))


def test_measures_where_they_are_undefined() -> None:
    m = pair_measures(np.array([10, 4]), np.array([10, 10]), np.array([10, 4]), 10)
    assert np.isnan(m["phi"]).all()
    assert m["npmi"][0] == 1.0
    assert m["npmi"][1] == 0.0


def test_edge_rule(tmp_path: Path) -> None:
    # 0 and 1 go together 30 times of 100; 2 fires always, so its lift is 1.
    rows = [{0: 1.0, 1: 1.0, 2: 1.0}] * 30 + [{2: 1.0}] * 70
    capture = make_capture(tmp_path, arrays_of(rows, 3))
    count(capture, CountSettings(min_count=30))
    edges = read_table(capture, EDGES).to_pylist()
    assert [(e["a"], e["b"], e["count"]) for e in edges] == [(0, 1, 30)]
    assert edges[0]["decoder_cosine"] is None
    assert edges[0]["phi"] == pytest.approx(1.0)
    figures = table_infos(capture)["edges"].figures
    assert (figures["pairs_that_co_fired"], figures["pairs_kept"]) == (3, 1)
    count(capture, CountSettings(min_count=31))
    assert read_table(capture, EDGES).num_rows == 0
    count(capture, CountSettings(edges="all"))
    assert read_table(capture, EDGES).num_rows == 3


def test_latents_by_hand(tmp_path: Path) -> None:
    capture = make_capture(tmp_path, arrays_of([{0: 1.0}, {0: 3.0, 1: 5.0}, {}, {}], 3))
    count(capture)
    zero, one, dead = read_table(capture, LATENTS).to_pylist()
    assert (zero["firing_count"], zero["frequency"], zero["mean"], zero["std"], zero["max"]) == (2, 0.5, 2.0, 1.0, 3.0)
    assert (zero["mu"], zero["mu_rule"]) == (2.0, "mean")
    # u = .5 and 1.5, in bins of 1/64
    assert [i for i, k in enumerate(zero["histogram"]) if k] == [32, 96]
    assert sum(one["histogram"]) == 1
    assert dead["dead"] is True
    assert dead["firing_count"] == 0
    assert [dead[k] for k in ("mean", "std", "max", "mu", "mu_rule", "histogram")] == [None] * 6


def test_tokens_and_contexts_by_hand(tmp_path: Path) -> None:
    rows = [{0: 1.0}, {0: 2.0}, {}, {0: 4.0}]
    extra = {"token": np.array([1, 1, 0, 2]), "token_text": np.array(["x", " y", " z"]), "doc": np.array([7, 7, 7, 9])}
    capture = make_capture(tmp_path, arrays_of(rows, 1, **extra))
    count(capture)
    tokens = read_table(capture, TOKENS).to_pylist()
    assert [(t["text"], t["count"]) for t in tokens] == [(" y", 2), (" z", 1)]
    # Fires 3 times of 4 tokens: on " y" 2 of 2, on " z" 1 of 1; G^2 by hand.
    x, z = 2 * (2 * log(4 / 3) + log(2 / 3) + log(2)), 2 * (log(4 / 3) + 2 * log(8 / 9) + log(4 / 3))
    assert [t["score"] for t in tokens] == [pytest.approx(x), pytest.approx(z)]
    assert tokens[0]["share"] == pytest.approx(2 / 3)
    assert tokens[0]["lift"] == pytest.approx((2 / 3) / (2 / 4))
    contexts = read_table(capture, CONTEXTS).to_pylist()
    assert [(c["rank"], c["activation"], c["text"]) for c in contexts] == [
        (0, 4.0, "« z»"),
        (1, 2.0, " y« y»x"),
        (2, 1.0, "« y» yx"),
    ]


def test_contexts_are_the_bytes_of_tokens_decoded_together(tmp_path: Path) -> None:
    parts = ["我".encode()[:1], "我".encode()[1:]]
    texts = {
        0: TokenText("<0xE6>", parts[0]),
        1: TokenText("<0x88><0x91>", parts[1]),
        2: TokenText("the", b" the", b"the"),
    }
    extra = {"token": np.array([2, 0, 1, 2, 0]), "token_text": np.array(["a", "b", "c"])}
    capture = make_capture(tmp_path, arrays_of([{0: 5.0}, {0: 4.0}, {0: 3.0}, {0: 2.0}, {}], 1, **extra))
    count(capture)
    assert read_table(capture, CONTEXTS).column("text").to_pylist() == ["«c»abca", "c«a»bca", "ca«b»ca", "cab«c»a"]
    write_vocabulary(capture.path, texts)
    assert capture.vocabulary() == {0: "<0xE6>", 1: "<0x88><0x91>", 2: "the"}
    # Another vocabulary: the tables are of another capture.
    assert count(capture)
    assert read_table(capture, CONTEXTS).column("text").to_pylist() == [
        "«the»我 the", "the«我» the", "the«我» the", "the我« the»",
    ]  # fmt: skip
    assert read_table(capture, TOKENS).column("text").to_pylist() == ["the", "<0xE6>", "<0x88><0x91>"]


def test_contexts_span_the_activation_range(tmp_path: Path) -> None:
    values = np.linspace(1, 101, 5000)
    arrays = arrays_of([{0: float(v)} for v in values], 1, token=np.zeros(5000, int))
    capture = make_capture(tmp_path, arrays)
    count(capture)
    activations = [c["activation"] for c in read_table(capture, CONTEXTS).to_pylist()]
    assert len(activations) == 10
    assert activations[0] == 101
    assert [int((a - 1) // 10) for a in activations[1:]] == [8, 7, 6, 5, 4, 3, 2, 1, 0]


def test_without_tokens_the_token_tables_are_absent(tmp_path: Path) -> None:
    capture = make_capture(tmp_path, arrays_of([{0: 1.0}], 1))
    count(capture)
    assert sorted(p.name for p in capture.tables.glob("*.parquet")) == [
        "conditionals.parquet",
        "edges.parquet",
        "latents.parquet",
        "twins.parquet",
    ]


def test_same_input_same_bytes_and_no_second_count(tmp_path: Path) -> None:
    arrays = random_arrays(3)
    first, second = make_capture(tmp_path / "1", arrays), make_capture(tmp_path / "2", arrays)
    assert count(first, CountSettings(memory=10**9))
    assert count(second, CountSettings(memory=500))
    assert differing(files_of(first.tables), files_of(second.tables)) == []
    assert not count(first)
    (first.tables / "edges.parquet").write_bytes(b"damaged")
    with pytest.raises(CaptureError, match="not the file that was recorded"):
        read_table(first, EDGES)
    assert count(first)
    assert differing(files_of(first.tables), files_of(second.tables)) == []


def test_who_only_looks_needs_no_lock(tmp_path: Path) -> None:
    capture = make_capture(tmp_path, random_arrays(3))
    count(capture)
    with exclusive(capture.path):
        assert not count(capture)
        with pytest.raises(CaptureError, match="another cofire"):
            count(capture, CountSettings(edges="all"))


def test_a_pass_that_died_is_taken_up_again(tmp_path: Path) -> None:
    capture = make_capture(tmp_path / "1", random_arrays(4))
    stages: list[str] = []

    def stop_at_the_examples(stage: str, _done: int, _total: int) -> None:
        stages.append(stage)
        if stage == "examples":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        count(capture, progress=stop_at_the_examples)
    assert not list(capture.tables.glob("*.parquet"))
    again: list[str] = []
    assert count(capture, progress=lambda stage, _done, _total: again.append(stage))
    # A step that took less than a minute is not kept on the disk.
    assert again == ["conditionals 1/1", "examples"]
    undisturbed = make_capture(tmp_path / "2", random_arrays(4))
    count(undisturbed)
    for name in ("latents", "edges", "tokens", "contexts"):
        file = f"{name}.parquet"
        assert (capture.tables / file).read_bytes() == (undisturbed.tables / file).read_bytes()
    assert not list(capture.tables.glob(".work-*"))


def test_tables_have_just_their_declared_columns(tmp_path: Path) -> None:
    capture = make_capture(tmp_path, random_arrays(5))
    count(capture, CountSettings(edges="all"))
    for table in (LATENTS, EDGES, TOKENS, CONTEXTS, CONDITIONALS):
        read = pq.read_table(capture.tables / f"{table.name}.parquet")
        assert read.schema.equals(table.arrow_schema())
        for column in table.columns:
            values = read.column(column.name)
            assert column.nullable or values.null_count == 0
            if column.type == "float64":
                assert np.isfinite([v for v in values.to_pylist() if v is not None]).all()


def test_an_activation_that_is_not_finite_is_told(tmp_path: Path) -> None:
    """Compiled code would put it into a bin that is not there."""
    capture = make_capture(tmp_path, random_arrays(1))
    file = capture.path / capture.manifest.shards[0].file
    shard = pq.read_table(file)
    place = shard.schema.get_field_index("values")
    values = shard.column("values").combine_chunks()
    flat = values.values.to_numpy().copy()
    flat[3] = np.nan
    odd = pa.ListArray.from_arrays(values.offsets, pa.array(flat), type=values.type)
    pq.write_table(shard.set_column(place, shard.schema.field(place), odd), file)
    with pytest.raises(CaptureError, match="has an activation that is not finite"):
        count(capture)


def test_a_damaged_shard_is_named(tmp_path: Path) -> None:
    capture = make_capture(tmp_path, random_arrays(6))
    (capture.path / "shards/shard-00000.parquet").write_bytes(b"no parquet")
    with pytest.raises(CaptureError, match=r"shard-00000\.parquet cannot be read"):
        count(capture)
