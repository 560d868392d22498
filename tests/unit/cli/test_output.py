"""Rows on stdout: whole, plain, and one line where a format cannot hold them."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from cofire.cli.output import emit, most_rows, records
from cofire.errors import InputError


def frame() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "n": pd.Series([1, None], dtype="Int64"),
            "x": pd.Series([0.5, float("inf")], dtype="Float64"),
            "t": [[" a", '"b"'], None],
            "s": pd.Series(["[bold]not markup[/bold]", "日本"], dtype="string"),
        }
    )


def test_json_has_null_for_what_json_cannot_say(capsys: pytest.CaptureFixture[str]) -> None:
    emit(frame(), "json")
    assert json.loads(capsys.readouterr().out) == [
        {"n": 1, "x": 0.5, "t": [" a", '"b"'], "s": "[bold]not markup[/bold]"},
        {"n": None, "x": None, "t": None, "s": "日本"},
    ]
    nested = pd.DataFrame({"x": [[1.0, float("nan")], {"k": float("-inf")}]})
    assert records(nested) == [{"x": [1.0, None]}, {"x": {"k": None}}]


def test_csv_keeps_lists_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    emit(frame()[["n", "t"]], "csv")
    assert capsys.readouterr().out.splitlines() == ["n,t", '1,"["" a"", ""\\""b\\""""]"', ","]


def test_a_table_shows_text_as_it_is_and_says_when_it_was_cut(capsys: pytest.CaptureFixture[str]) -> None:
    emit(frame(), "table", cut=True)
    shown = capsys.readouterr()
    assert "[bold]not markup[/bold]" in shown.out
    assert '␣a "b"' in shown.out
    assert "the first 2 rows; --limit 0 prints all" in shown.err


def test_parquet_refuses_a_column_of_several_types() -> None:
    with pytest.raises(InputError, match="several types"):
        emit(pd.DataFrame({"x": [1, "a"]}), "parquet")


def test_how_many_rows() -> None:
    assert most_rows("table", None) == 50
    assert most_rows("csv", None) == 0
    assert most_rows("csv", 7) == 7
    assert most_rows("table", 0) == 0
