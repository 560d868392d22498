"""`cofire motifs`: what it prints in each format, how it streams, what it refuses."""

from __future__ import annotations

import csv
import io
import json
import math
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from builders import make_capture, random_arrays
from cofire.analysis.motifs.sources import capture_sources
from cofire.ingest.capture_dir.directory import CaptureDir
from cofire.ingest.capture_dir.table_files import read_table, save_tables, table_infos
from cofire.ingest.count import CountSettings, count
from cofire.queries.motif_sources import motif_columns, stream_motifs
from cofire.schema.tables import MOTIF_COUNTS, TOKENS


@pytest.fixture(scope="module")
def captures(tmp_path_factory: pytest.TempPathFactory) -> list[CaptureDir]:
    folder = tmp_path_factory.mktemp("captures")
    made = [
        make_capture(folder / name, random_arrays(seed, n_latents=14), sae_id=name)
        for seed, name in enumerate(("z", "a"))
    ]
    for capture in made:
        count(capture, CountSettings(edges="all", min_count=1))
    return made


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Any]:
    from cofire.cli import run as run_line

    def call(*arguments: str, expect: int = 0) -> tuple[str, str]:
        code = run_line(["motifs", *arguments])
        said = capsys.readouterr()
        assert code == expect, said.err
        return said.out, said.err

    return call


def distinctive(capture: CaptureDir, latent: int) -> list[str]:
    """The three tokens of the highest positive score."""
    rows = [row for row in read_table(capture, TOKENS).to_pylist() if row["latent"] == latent and row["score"] > 0]
    return [row["text"] for row in sorted(rows, key=lambda row: (-row["score"], row["token"]))][:3]


def test_motifs_around_a_latent_of_a_capture(captures: list[CaptureDir], run: Any) -> None:
    paths, uid = [str(capture.path) for capture in captures], captures[0].uid
    options = ["--kind", "path", "--min-size", "3", "--limit", "0", "--format", "json"]
    out, _ = run(*paths, *options)
    whole = [row for row in json.loads(out) if row["sae"] == uid and 0 in (row["members"][0], row["members"][-1])]
    out, _ = run(*paths, *options, "--at", f"{uid}/0")
    found = json.loads(out)
    assert all(row["members"][0] == 0 for row in found)
    assert sorted(min(row["members"], row["members"][::-1]) for row in found) == sorted(row["members"] for row in whole)
    assert [row["score"] for row in found] == sorted((row["score"] for row in whole), reverse=True)
    out, _ = run(*paths, *options, "--limit", "2", "--at", f"{uid}/0")
    assert json.loads(out) == found[:2]
    for at, said in (
        ("test/none/0", "none of the captures is of test/none; they are of"),
        (f"{uid}/999", "its latents are 0 to"),
    ):
        _, error = run(*paths, *options, "--at", at, expect=2)
        assert said in error


def test_an_import_without_tokens_is_searched(tmp_path: Path, run: Any) -> None:
    arrays = random_arrays(0, n_latents=14)
    del arrays["token"], arrays["token_text"]
    capture = make_capture(tmp_path, arrays)
    count(capture, CountSettings(edges="all", min_count=1))
    out, _ = run(str(capture.path), "--kind", "path", "--min-size", "3", "--format", "json")
    rows = json.loads(out)
    assert len(rows) > 20
    assert all(row["member_tokens"] == [[], [], []] for row in rows)


def test_the_command_prints_the_same_in_every_format(captures: list[CaptureDir], run: Any) -> None:
    paths = [str(capture.path) for capture in captures]
    options = ["--kind", "path", "--min-size", "3", "--by", "count", "--min-log-odds", "0.1"]
    tokens = {(capture.uid, latent): distinctive(capture, latent) for capture in captures for latent in range(14)}
    wanted = [
        (sae, motif.kind, 3, motif.score, list(motif.members), [tokens[sae, latent] for latent in motif.members])
        for sae, motif in stream_motifs(capture_sources(captures, "count", 0.1), "path", min_size=3)
    ]
    assert any(any(of) for *_, of in wanted)
    assert len(wanted) > 60
    out, _ = run(*paths, *options, "--limit", "0", "--format", "json")
    assert [tuple(row.values()) for row in json.loads(out)] == wanted
    out, _ = run(*paths, *options, "--format", "csv")
    rows = list(csv.reader(io.StringIO(out)))
    assert rows[0] == ["sae", "kind", "size", "score", "members", "member_tokens"]
    assert [(r[0], r[1], int(r[2]), int(r[3]), json.loads(r[4]), json.loads(r[5])) for r in rows[1:]] == wanted
    # Streamed and at once, CSV is the same to the byte.
    some, _ = run(*paths, *options, "--format", "csv", "--limit", "5")
    streamed = out.splitlines(keepends=True)
    assert set(some.splitlines(keepends=True)) <= set(streamed)
    assert "日本" in out
    out, said = run(*paths, *options)
    assert out.count("path") == 50
    assert "--limit 0 prints all" in said
    out, _ = run(*paths, *options, "--limit", "0", "--format", "table")
    assert out.count("path") == len(wanted)


def test_parquet_goes_out_in_row_groups(captures: list[CaptureDir], monkeypatch: pytest.MonkeyPatch) -> None:
    import pyarrow.parquet as pq

    from cofire.cli import output as streaming

    class Out(io.StringIO):
        buffer = io.BytesIO()

    monkeypatch.setattr(sys, "stdout", Out())
    monkeypatch.setattr(streaming, "PARQUET_ROWS", 2)

    def rows() -> Iterator[tuple[Any, ...]]:
        for number in range(5):
            yield "sae", "path", number, None, [number], [[" a", "b"], []]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        streaming.write_stream(rows(), motif_columns("log_odds"), "parquet")
    file = pq.ParquetFile(io.BytesIO(Out.buffer.getvalue()))
    assert file.metadata.num_row_groups == 3
    found = file.read().to_pylist()
    assert [row["size"] for row in found] == [0, 1, 2, 3, 4]
    assert found[2]["member_tokens"] == [[" a", "b"], []]


@pytest.fixture
def compared(captures: list[CaptureDir], tmp_path: Path) -> CaptureDir:
    """A capture with z-scores: cliques of 4 and 5 stand out, of 5 without a z; of 3 and 6 not; paths of 3 alone."""
    rows = [
        ("clique", 3, 900, 880.0, 10.0, 2.0),
        ("clique", 4, 60, 20.0, 5.0, 8.0),
        ("clique", 5, 7, 0.0, 0.0, None),
        ("clique", 6, 2, None, None, None),
        ("path", 3, 100, 900.0, 5.0, -160.0),
    ]
    names = ("kind", "size", "count", "null_mean", "null_sd", "z")
    table = pa.Table.from_pylist(
        [{**dict(zip(names, row, strict=True)), "rewires": 200} for row in rows], schema=MOTIF_COUNTS.arrow_schema()
    )
    capture = CaptureDir.open(shutil.copytree(captures[0].path, tmp_path / "capture"))
    settings = {"edges": table_infos(capture)["edges"].sha256}
    save_tables(capture, {"motif_counts": table}, "", settings, {})
    return capture


def test_min_z_leaves_out_the_sizes_that_chance_gives(compared: CaptureDir, run: Any) -> None:
    bounds = ["--kind", "clique", "--min-size", "3", "--max-size", "6"]
    every = [
        motif.members
        for _, motif in stream_motifs(capture_sources([compared]), "clique", min_size=3, max_size=6)
        if len(motif.members) in (4, 5)
    ]
    assert {len(members) for members in every} == {4, 5}
    out, _ = run(str(compared.path), *bounds, "--min-z", "3", "--limit", "0", "--format", "json")
    found = [tuple(row["members"]) for row in json.loads(out)]
    assert sorted(found) == sorted(every)
    out, _ = run(str(compared.path), *bounds, "--min-z", "3", "--limit", "9", "--format", "json")
    best = [row["score"] for row in json.loads(out)]
    assert best == sorted(best, reverse=True)
    assert len(best) == 9


def test_min_z_says_where_nothing_stands_out(compared: CaptureDir, run: Any) -> None:
    for arguments in (["--kind", "path", "--min-size", "3"], ["--kind", "star"]):
        out, said = run(str(compared.path), *arguments, "--min-z", "3", "--format", "json")
        assert json.loads(out) == []
        assert "has z >= 3 against rewired graphs" in said
    out, said = run(str(compared.path), "--kind", "path", "--min-size", "5", "--min-z", "3", expect=2)
    assert out == ""
    assert "no z of a path of 5; there are those of sizes 3" in said


@pytest.mark.parametrize("format_", ["json", "csv", "table"])
def test_an_interrupt_leaves_whole_output(format_: str, capsys: pytest.CaptureFixture[str]) -> None:
    from cofire.cli.output import write_stream

    def rows() -> Iterator[tuple[Any, ...]]:
        yield "a", [1, 2]
        yield "b", [3]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_stream(rows(), {"sae": "string", "members": "list<integer>"}, format_)
    out = capsys.readouterr().out
    if format_ == "json":
        assert json.loads(out) == [{"sae": "a", "members": [1, 2]}, {"sae": "b", "members": [3]}]
    elif format_ == "csv":
        assert out == 'sae,members\na,"[1, 2]"\nb,[3]\n'
    else:
        assert "1 2" in out
        assert "b" in out


@pytest.mark.parametrize("format_", ["json", "csv", "table", "parquet"])
def test_values_that_are_not_finite_are_printed_as_without_streaming(
    format_: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pyarrow.parquet as pq

    from cofire.cli.output import emit, write_stream
    from cofire.queries.frames import typed_frame

    class Out(io.StringIO):
        def __init__(self) -> None:
            super().__init__()
            self.buffer = io.BytesIO()

    def forbidden(word: str) -> Any:
        raise AssertionError(word)

    types = {"sae": "string", "score": "float"}
    rows = [("a", math.nan), ("b", math.inf), ("c", -math.inf), ("d", None), ("e", 0.1)]
    said = []
    for streamed in (True, False):
        out = Out()
        monkeypatch.setattr(sys, "stdout", out)
        if streamed:
            write_stream(iter(rows), types, format_)
        else:
            emit(typed_frame(list(types), list(types.values()), rows), format_)
        if format_ == "json":
            said.append(json.loads(out.getvalue(), parse_constant=forbidden))
        elif format_ == "parquet":
            said.append(pq.read_table(io.BytesIO(out.buffer.getvalue())).to_pylist())
        else:
            said.append(out.getvalue())
    assert said[0] == said[1]
    if format_ == "json":
        assert [row["score"] for row in said[0]] == [None, None, None, None, 0.1]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--kind", "clique"], "--sae UID"),
        (["--kind", "clique", "--sae", "x", "--all"], "--sae UID"),
        (["--kind", "clique", "CAPTURE", "--all"], "--all is for a store"),
        (["--kind", "clique", "CAPTURE", "--store", "s"], "--store is for a store"),
        (["--kind", "clique", "--min-size", "9", "CAPTURE"], "3 to 6"),
        (["--kind", "clique", "--min-log-odds", "nan", "CAPTURE"], "--min-log-odds is NaN"),
        (["--kind", "ring", "CAPTURE"], "ring"),
        (["--kind", "clique", "--by", "p", "CAPTURE"], "'p'"),
        (["--kind", "clique", "nowhere"], "no capture at nowhere"),
        (["--kind", "clique", "--min-z", "3", "CAPTURE"], "--only nulls"),
        (["--kind", "clique", "--min-z", "nan", "CAPTURE"], "--min-z is NaN"),
    ],
)
def test_wrong_input_is_one_line(captures: list[CaptureDir], run: Any, arguments: list[str], words: str) -> None:
    arguments = [str(captures[0].path) if a == "CAPTURE" else a for a in arguments]
    out, said = run(*arguments, expect=2)
    assert out == ""
    assert words in said
    assert said.count("\n") == 1
