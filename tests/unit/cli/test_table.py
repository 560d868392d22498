"""Tables and rows as lines: nothing missing, nothing broken, nothing that acts on a terminal."""

from __future__ import annotations

import pytest
from rich.cells import cell_len

from cofire.cli.table import lines_of, shown
from hostile_inputs import TEXTS

WIDTHS = [40, 80, 120]
UID = "gemma-scope-2b-pt-res-canonical/layer_12/width_16k/canonical/12345"
NAMES = ["uid", "count", "log_odds", "weak_only", "top_tokens", "text"]
ROW = [UID, 12_345_678_901, 0.123456789, False, [" of", "\n", "日本", ""], " a text  with spaces "]


@pytest.mark.parametrize("width", WIDTHS)
def test_a_row_that_does_not_fit_is_lines(width: int) -> None:
    lines = lines_of(NAMES, [ROW, [None] * 6], width)
    assert f"uid: {UID}" in lines  # whole, to be copied
    assert "count: 12345678901" in lines
    assert "log_odds: 0.1235" in lines
    assert "text: ␣a text  with spaces␣" in lines
    assert "top_tokens: ␣of ⏎ 日本 ∅" in lines
    assert lines[6] == ""
    assert lines[7:] == [f"{name}: -" for name in NAMES]


def test_what_fits_is_a_table() -> None:
    rows = [["日本", 7, None], ["a", 1234, 2.5]]
    lines = lines_of(["text", "n", "x"], rows, 40)
    assert lines == ["text     n    x", "────  ────  ───", "日本     7    -", "a     1234  2.5"]
    width = max(map(cell_len, lines))
    assert lines_of(["text", "n", "x"], rows, width) == lines
    assert lines_of(["text", "n", "x"], rows, width - 1)[:3] == ["text: 日本", "n: 7", "x: -"]
    assert lines_of(["a", "b"], [], 40) == ["a  b", "─  ─"]
    assert lines_of(["a" * 30, "b" * 30], [], 40) == [f"no rows of {'a' * 30}, {'b' * 30}"]


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1"])
def test_hostile_texts(width: int, encoding: str) -> None:
    texts = [text for text in TEXTS if len(text) < 200]
    for text in texts:
        for names, rows in ((["text", "n"], [[text, 1]]), ([text], [[[text, text]]]), (["m"], [[{text: text}]])):
            lines = lines_of(names, rows, width, encoding)
            assert all(line.isprintable() for line in lines), text
            assert all(line.encode(encoding) for line in lines if line)
            joined = "".join(lines)
            assert len(lines) > 2 or ": " in joined
    # Different texts look different, but for what a person cannot tell apart either.
    cells = {shown(text) for text in texts}
    assert len(cells) == len(set(texts))


def test_lists_break_between_items() -> None:
    numbers = list(range(1_000_000, 1_000_100))
    lines = lines_of(["histogram", "n"], [[numbers, 1]], 40)
    assert all(len(line) <= 40 for line in lines)
    words = " ".join(lines).replace("…", "").split("(")[0].split()
    assert words == ["histogram:", *map(str, numbers[: len(words) - 1])]
    assert f"({100 - len(words) + 1} more)" in " ".join(line.strip() for line in lines)
    assert shown([]) == "[]"


def test_a_mark_stands_on_a_circle() -> None:
    assert shown("\u0301") == "◌\u0301"
    assert shown("e\u0301") == "e\u0301"
    assert shown("   ") == "␣␣␣"
    assert shown("") == "∅"
    assert shown("\u202e\u200b\x1b[31m\x7f") == "U+202EU+200BU+001B[31mU+007F"
