from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from cofire.errors import InputError
from cofire.ingest.capture_dir.text_file import hash_of_tokens, read_tokens, write_tokens
from cofire.ingest.capturing.text import open_text
from cofire.ingest.capturing.windows import shards_of, tokenise, windows


def write_lines(path: Path, *records: object) -> Path:
    data = "".join(json.dumps(record) + "\n" for record in records).encode()
    path.write_bytes(gzip.compress(data) if path.name.endswith(".gz") else data)
    return path


def letters(texts: list[str]) -> list[list[int]]:
    """A tokenizer of one token a letter."""
    return [[ord(letter) for letter in text] for text in texts]


def test_a_text_file_is_one_document(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one\ntwo é\n", encoding="utf-8")
    (tmp_path / "b.txt.gz").write_bytes(gzip.compress("drei ü".encode()))
    assert list(open_text(tmp_path / "a.txt").documents()) == [("a.txt", "one\ntwo é\n")]
    assert list(open_text(str(tmp_path / "b.txt.gz")).documents()) == [("b.txt.gz", "drei ü")]


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz"])
def test_json_lines_are_documents_named_by_title_and_line(tmp_path: Path, name: str) -> None:
    path = write_lines(tmp_path / name, {"text": "x", "title": "T"}, {"text": ""}, {"id": 3, "text": "y"})
    assert list(open_text(path).documents()) == [(f"T ({name}:1)", "x"), (f"{name}:3", "y")]


def test_blank_lines_are_no_documents_and_the_field_can_be_named(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('\n{"body": "x"}\n\n')
    assert list(open_text(path, "body").documents()) == [("a.jsonl:2", "x")]


def test_a_directory_is_read_in_the_order_of_its_paths(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "c.txt").write_text("3")
    (tmp_path / "b" / "z.txt").write_text("2")
    write_lines(tmp_path / "a.jsonl", {"text": "1"})
    (tmp_path / "notes.md").write_text("no")
    (tmp_path / ".hidden.txt").write_text("no")
    assert list(open_text(tmp_path).documents()) == [("a.jsonl:1", "1"), ("b/z.txt", "2"), ("c.txt", "3")]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", b'{"text": "x"}\n{"text": ', "a.jsonl:2 is not JSON"),
        ("a.jsonl", b"[1]\n", "a.jsonl:1 is not a JSON object"),
        ("a.jsonl", b'{"body": "x", "n": 1}\n', "a.jsonl:1 has no string in the field 'text'.*body"),
        ("a.jsonl", b'{"text": 3}\n', "has no string field at all"),
        ("a.txt", b"\xff\xfe", "is not UTF-8"),
        ("a.txt.gz", b"plain", "cannot read text"),
        ("a.txt.gz", gzip.compress(b"some text that is long", mtime=0)[:-12], "cannot read text"),
        ("a.jsonl.gz", gzip.compress(b'{"text": "x"}\n', mtime=0)[:-4], "cannot read text"),
    ],
)
def test_malformed_text_gives_one_line(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        list(open_text(tmp_path / name).documents())
    assert "\n" not in str(caught.value)


def test_text_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.pdf").write_bytes(b"")
    for text, message in [
        (tmp_path / "none.txt", "no text at"),
        (tmp_path / "empty", "it holds no"),
        (tmp_path / "a.pdf", "unknown kind"),
        ("hf:", "names no dataset"),
        ("", "no text named"),
    ]:
        with pytest.raises(InputError, match=message):
            open_text(text)


def test_the_fingerprint_changes_with_a_byte_and_not_with_the_place(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.txt").write_text("abc")
    first = open_text(tmp_path / "one").fingerprint()
    assert open_text(tmp_path / "two").fingerprint() == first
    (tmp_path / "two" / "a.txt").write_text("abd")
    assert open_text(tmp_path / "two").fingerprint() != first


def test_tokenise_cuts_the_last_document() -> None:
    documents = [("a", "xyz"), ("none", ""), ("b", "uvw"), ("c", "never")]
    found = [(name, tokens.tolist()) for name, tokens in tokenise(documents, letters, 5)]
    assert found == [("a", [120, 121, 122]), ("b", [117, 118])]
    assert sum(len(tokens) for _, tokens in tokenise(documents, letters)) == 11


def test_a_bad_line_behind_the_limit_does_not_matter(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "abc"}\n{"text": "def"}\nbroken\n')
    assert len(list(tokenise(open_text(tmp_path / "a.jsonl").documents(), letters, 5))) == 2


def test_tokens_come_back_from_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cofire.ingest.capture_dir.text_file.ROW_GROUP_TOKENS", 4)
    documents = [(name, np.arange(size, dtype=np.int32)) for name, size in (("a", 3), ("b", 5), ("c", 1))]
    info = write_tokens(tmp_path / "text.parquet", documents, ["somewhere"])
    assert (info.documents, info.tokens, info.sources) == (3, 9, ["somewhere"])
    assert [tokens.tolist() for tokens in read_tokens(tmp_path / "text.parquet")] == [
        tokens.tolist() for _, tokens in documents
    ]
    assert hash_of_tokens(tmp_path / "text.parquet") == info.sha256
    # The same tokens in other documents are another text.
    other = write_tokens(tmp_path / "other.parquet", [("a", np.arange(8, dtype=np.int32))], [])
    assert other.sha256 != info.sha256


def test_windows_stay_within_documents() -> None:
    documents = [np.arange(5, dtype=np.int32), np.arange(10, 12, dtype=np.int32)]
    found = [(window.document, window.start, window.tokens.tolist()) for window in windows(documents, 3)]
    assert found == [(0, 0, [0, 1, 2]), (0, 3, [3, 4]), (1, 0, [10, 11])]
    assert [len(shard) for shard in shards_of(windows(documents, 3), 2)] == [2, 1]
