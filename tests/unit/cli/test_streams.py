"""Standard streams that are closed, full, gone, of another encoding, or a terminal."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from builders import arrays_of
from terminals import terminal, text_of

COFIRE = Path(sys.executable).with_name("cofire")
SAID = "naïve 日本 \U0001f642 \x1b[31mred\u202e"
ODD = f"""// name: odd
// description: {SAID}.
// returns one: integer - 1

RETURN 1 AS one
"""


@pytest.fixture(scope="module")
def queries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a query whose description has what a terminal, or an encoding, does not take."""
    folder = tmp_path_factory.mktemp("queries")
    (folder / "odd.cypher").write_text(ODD, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def acts(queries: Path) -> Path:
    """Activations to import."""
    np.savez(queries / "acts.npz", **arrays_of([{0: 1.0}], 1))
    return queries / "acts.npz"


def shell(queries: Path, line: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """Run a line of bash; $LIST lists the queries, $FULL is a device that is always full."""
    variables = os.environ | {"LIST": f"{COFIRE} query list --queries {queries}", "COFIRE": str(COFIRE)} | environment
    return subprocess.run(["bash", "-c", line], env=variables, cwd=queries, capture_output=True, check=False)


def listed(out: str) -> str:
    return next(row["description"] for row in json.loads(out) if row["name"] == "odd")


def test_csv_and_json_are_utf8_and_a_table_has_escapes(queries: Path) -> None:
    done = shell(queries, "$LIST --format json && $LIST --format csv >&2 && $LIST", PYTHONIOENCODING="ascii")
    assert done.returncode == 0, done.stderr
    text, table = done.stdout.decode().split("\n]\n")
    assert listed(f"{text}]") == f"{SAID}."
    assert SAID in done.stderr.decode()
    assert table.isascii()
    assert "na\\xefve \\u65e5\\u672c \\U0001f642 U+001B[31mredU+202E" in table


def test_closed_streams(queries: Path) -> None:
    done = shell(queries, "$LIST >&- 2>&- <&- && $LIST --format csv 2>&- <&- | head -1; $COFIRE count x 2>&-")
    assert done.returncode == 2
    assert done.stdout.decode() == "name,parameters,description\n"
    assert done.stderr == b""


@pytest.mark.parametrize("command", ["$LIST", "$LIST --format parquet", "$COFIRE query show saes"])
def test_standard_output_is_full(queries: Path, command: str) -> None:
    done = shell(queries, f"{command} > /dev/full")
    assert done.returncode == 2
    said = b"cofire: standard output: No space left on device; make room there, or give another place\n"
    assert done.stderr == said


def test_standard_error_is_full_or_the_reader_gone(queries: Path) -> None:
    done = shell(queries, "$COFIRE count x 2>/dev/full; echo $?; $LIST | true; echo ${PIPESTATUS[0]}")
    assert done.stdout == b"2\n0\n"
    assert done.stderr == b""


def test_the_working_directory_is_gone(queries: Path, acts: Path) -> None:
    commands = f"$COFIRE import activations {acts} --out x --release r --sae-id s; $COFIRE saes --store x"
    done = shell(queries, f"mkdir gone; cd gone; rmdir ../gone; {commands}")
    assert done.returncode == 2
    assert done.stderr == b"cofire: the working directory was removed; go to one that exists\n" * 2


def on_a_terminal(columns: int, *arguments: str) -> tuple[int, str]:
    """Run cofire on a terminal of so many columns; returns its exit code and what the terminal got."""
    with terminal(columns) as (file, got):
        code = subprocess.run([COFIRE, *arguments], stdin=file, stdout=file, stderr=file, check=False).returncode
    return code, text_of(got)


def test_a_terminal(queries: Path) -> None:
    code, got = on_a_terminal(0, "query", "list", "--queries", str(queries))
    assert code == 0
    assert got.replace("\n", "").isprintable()
    assert "naïve 日本 \U0001f642 U+001B[31mredU+202E" in got
    assert got.startswith("name: ")


def test_a_terminal_gets_no_raw_bytes(queries: Path) -> None:
    code, got = on_a_terminal(80, "query", "list", "--queries", str(queries), "--format", "json")
    assert code == 0
    assert got.replace("\n", "").isprintable()
    assert listed(got) == f"{SAID}."
    code, got = on_a_terminal(80, "query", "list", "--format", "parquet")
    assert code == 2
    assert got == "cofire: --format parquet is no text for a terminal; send it to a file with > FILE\n"
    code, got = on_a_terminal(80, "query", "show", "odd", "--queries", str(queries))
    assert code == 0
    assert got == ODD.replace("\x1b", "\\u001b").replace("\u202e", "\\u202e")
    code, got = on_a_terminal(80, "count", "a\x1b[31m\u202eb")
    assert code == 2
    assert got.startswith("cofire: no capture at aU+001B[31mU+202Eb: ")
