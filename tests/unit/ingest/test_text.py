from __future__ import annotations

import codecs
import gzip
import hashlib
import json
import os
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cofire.errors import InputError
from cofire.ingest.capture_dir.text_file import hash_of_tokens, read_tokens, write_tokens
from cofire.ingest.capturing.pieces import PIECE, pieces, pieces_of
from cofire.ingest.capturing.text import open_text
from cofire.ingest.capturing.windows import CHARACTERS_AT_ONCE, shards_of, tokenise, windows


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


@pytest.mark.parametrize("name", ["a.txt", "a.txt.gz", "a.jsonl", "a.jsonl.gz"])
def test_a_byte_order_mark_is_no_text(tmp_path: Path, name: str) -> None:
    data = codecs.BOM_UTF8 + (b'{"text": "x"}\n' if ".jsonl" in name else b"x")
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    assert [text for _, text in open_text(tmp_path / name).documents()] == ["x"]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_end_in_three_ways(tmp_path: Path, end: str) -> None:
    (tmp_path / "a.jsonl").write_bytes(f'{{"text": "x"}}{end}{end}{{"text": "y"}}{end}'.encode())
    (tmp_path / "a.txt").write_bytes(f"x{end}{end}y".encode())
    assert list(open_text(tmp_path / "a.jsonl").documents()) == [("a.jsonl:1", "x"), ("a.jsonl:3", "y")]
    assert list(open_text(tmp_path / "a.txt").documents()) == [("a.txt", "x\n\ny")]


def test_half_a_character_becomes_the_replacement_character(tmp_path: Path) -> None:
    lines = [r'{"text": "a\ud83d", "title": "b\udc00"}', r'{"text": "\ud83d\ude00"}', r'{"te\ud800xt": "x"}']
    (tmp_path / "a.jsonl").write_text("\n".join(lines[:2]))
    assert list(open_text(tmp_path / "a.jsonl").documents()) == [
        ("b\ufffd (a.jsonl:1)", "a\ufffd"),
        ("a.jsonl:2", "\U0001f600"),
    ]
    (tmp_path / "b.jsonl").write_text(lines[2])
    with pytest.raises(InputError, match="te\ufffdxt"):
        list(open_text(tmp_path / "b.jsonl").documents())


def test_names_that_are_not_utf_8_are_read_too(tmp_path: Path) -> None:
    name = os.fsdecode(b"a\xff.txt")
    (tmp_path / name).write_text("x")
    source = open_text(tmp_path / name)
    assert list(source.documents()) == [("a\\xff.txt", "x")]
    assert len(source.fingerprint()) == 64
    with pytest.raises(InputError, match=r"--text-field b\\xff is not UTF-8"):
        open_text(tmp_path / name, os.fsdecode(b"b\xff"))
    # A directory of a dataset is found too, but `datasets` does not read it.
    data = tmp_path / os.fsdecode(b"d\xff")
    data.mkdir()
    (data / "train.jsonl").write_text('{"text": "y"}\n')
    with pytest.raises(InputError, match=r"the path .*/d\\xff is not UTF-8, .*: rename it") as caught:
        open_text(f"hf:{data}")
    str(caught.value).encode()
    # Nor is half a character any byte.
    with pytest.raises(InputError, match="no text at a\ufffd"):
        open_text("a\ud83d.txt")


def test_what_json_cannot_hold_is_told_with_its_line(tmp_path: Path) -> None:
    deep = '{"text": "x", "more": ' + "[" * 100_000 + "]" * 100_000 + "}"
    for line, message in [
        (deep, "is nested too deep"),
        ('{"text": "x", "id": ' + "9" * 5000 + "}", "has a number of too many digits"),
        ('{"text": NaN}', "has no string in the field 'text'"),
        ('{"text": "x\0"}', "is not JSON"),
        ('{"text": "caf\udce9"}', r"is not UTF-8 \(byte 13 of the line\)"),
    ]:
        (tmp_path / "a.jsonl").write_bytes(b'{"text": "fine"}\n' + line.encode(errors="surrogateescape") + b"\n")
        with pytest.raises(InputError, match=rf"text a\.jsonl:2 {message}"):
            list(open_text(tmp_path / "a.jsonl").documents())
    # These are JSON enough for Python, and no part of the text.
    write_lines(tmp_path / "a.jsonl", {"text": "a\0b", "x": float("nan")}, {"text": "y", "title": "t\0"})
    assert list(open_text(tmp_path / "a.jsonl").documents()) == [("a.jsonl:1", "a\0b"), ("t\0 (a.jsonl:2)", "y")]


def test_names_and_messages_stay_short(tmp_path: Path) -> None:
    write_lines(tmp_path / "a.jsonl", {"text": "x", "title": "t" * 10_000})
    ((name, _),) = open_text(tmp_path / "a.jsonl").documents()
    assert len(name) < 250
    write_lines(tmp_path / "b.jsonl", {f"{number:03}" * 100: "x" for number in range(100)})
    with pytest.raises(InputError) as caught:
        list(open_text(tmp_path / "b.jsonl").documents())
    assert len(str(caught.value)) < 600


def test_the_byte_that_is_not_utf_8_is_counted_from_the_beginning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cofire.ingest.capturing.pieces.PIECE", 8)
    (tmp_path / "a.txt").write_bytes(b"x\n" * 20 + b"y\xe9")
    with pytest.raises(InputError, match=r"is not UTF-8 \(byte 41\)"):
        list(open_text(tmp_path / "a.txt").documents())


@given(
    text=st.text(st.sampled_from("a\n\r é日\U0001f600"), max_size=60),
    size=st.integers(4, 12),
    step=st.integers(1, 7),
)
def test_pieces_are_the_text_and_end_at_lines_or_characters(text: str, size: int, step: int) -> None:
    data = text.encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cofire.ingest.capturing.pieces.PIECE", size)
        source = BytesIO(data)
        found = list(pieces(lambda most: source.read(min(step, most))))
        named = list(pieces_of("d", text))
    assert b"".join(piece for _, piece, _ in found) == data
    end = 0
    for number, (offset, piece, more) in enumerate(found, 1):
        assert more == (number < len(found))
        assert (offset, 0 < len(piece) <= size) == (end, True)
        piece.decode()
        end += len(piece)
        # It ends after the last line end that it could have, and without one at the last character.
        possible = data[offset : offset + size]
        assert end == len(data) or piece == possible[: possible.rfind(b"\n") + 1] or b"\n" not in possible
        assert end == len(data) or piece.endswith(b"\n") or len(piece) >= size - 3
        assert data[end - 1 : end + 1] != b"\r\n" or len(piece) == 1
    assert "".join(part for _, part in named) == text
    if len(data) <= size:
        assert named == [("d", text)]
    else:
        assert [name for name, _ in named] == [f"d (part {number + 1})" for number in range(len(found))]


def test_a_text_as_long_as_a_piece_is_one_document_and_a_longer_one_several(tmp_path: Path) -> None:
    line = "word " * 10 + "\n"
    fits = line * (PIECE // len(line)) + "x" * (PIECE % len(line))
    assert len(fits) == PIECE
    (tmp_path / "a.txt").write_text(fits)
    assert list(open_text(tmp_path / "a.txt").documents()) == [("a.txt", fits)]
    (tmp_path / "b.txt.gz").write_bytes(gzip.compress((fits + "yz").encode(), 1))
    write_lines(tmp_path / "c.jsonl", {"text": fits + "yz", "title": "T"}, {"text": "short"})
    whole = fits[: -(PIECE % len(line))]
    parts = [whole, fits[len(whole) :] + "yz"]
    assert list(open_text(tmp_path / "b.txt.gz").documents()) == [
        (f"b.txt.gz (part {number})", text) for number, text in enumerate(parts, 1)
    ]
    assert list(open_text(tmp_path / "c.jsonl").documents()) == [
        *((f"T (c.jsonl:1) (part {number})", text) for number, text in enumerate(parts, 1)),
        ("c.jsonl:2", "short"),
    ]


def test_no_more_of_a_text_is_read_and_tokenised_than_is_wanted(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"x" * (4 * PIECE) + b"\xff")
    given: list[int] = []

    def count(texts: list[str]) -> list[list[int]]:
        given.append(sum(map(len, texts)))
        return letters([text[:5000] for text in texts])

    found = list(tokenise(open_text(tmp_path / "a.txt").documents(), count, 6000))
    assert [(name, len(tokens)) for name, tokens in found] == [("a.txt (part 1)", 5000), ("a.txt (part 2)", 1000)]
    assert given == [PIECE, PIECE]
    # Nor does it matter what is not UTF-8 behind the piece that suffices.
    (tmp_path / "b.txt").write_bytes(b"x" * PIECE + b"\xff")
    assert len(list(tokenise(open_text(tmp_path / "b.txt").documents(), count, 10))) == 1
    given.clear()
    # Many short documents go to the tokenizer together, long ones do not.
    given.clear()
    list(tokenise([("d", "x" * (CHARACTERS_AT_ONCE // 4))] * 9 + [("d", "x")] * 130, count))
    assert max(given) <= 2 * CHARACTERS_AT_ONCE
    assert len(given) == 3 + 2


def test_a_line_that_has_no_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cofire.ingest.capturing.text.LINE", 2**20)
    line = json.dumps({"text": "x" * (2**20 - 12)}).encode()
    assert len(line) == 2**20
    (tmp_path / "a.jsonl").write_bytes(line)
    assert [len(text) for _, text in open_text(tmp_path / "a.jsonl").documents()] == [2**20 - 12]
    # 20 KB that would be 20 MB.
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(b'{"text": "x"}\n{"text": "' + b"x" * (20 * 2**20), 9))
    with pytest.raises(InputError, match=r"text b\.jsonl\.gz:2 is longer than 1 MiB"):
        list(open_text(tmp_path / "b.jsonl.gz").documents())


def test_a_directory_of_a_dataset_is_known_by_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "a:b"
    (place / "data").mkdir(parents=True)
    (place / "data" / "train.jsonl").write_text('{"text": "x"}\n')
    source = open_text(f"hf:{place}")
    first = source.fingerprint()
    assert source.dataset is not None
    assert (source.dataset.name, source.dataset.split) == (str(place), "train")
    assert open_text(f"hf:{place}:train").fingerprint() == first
    assert open_text(f"hf:{place}:test").fingerprint() != first
    # An earlier cofire took the name alone.
    assert source.earlier_fingerprint() == hashlib.sha256(f"hf:{place}:train".encode()).hexdigest()
    (place / ".cache").write_text("not of the data")
    assert open_text(f"hf:{place}").fingerprint() == first
    place.rename(tmp_path / "c")
    assert open_text(f"hf:{tmp_path / 'c'}").fingerprint() == first
    for change in ("data/train.jsonl", "data/new.jsonl", "README.md"):
        before = open_text(f"hf:{tmp_path / 'c'}").fingerprint()
        (tmp_path / "c" / change).write_text('{"text": "y"}\n')
        assert open_text(f"hf:{tmp_path / 'c'}").fingerprint() != before
    with pytest.raises(InputError, match="no such directory"):
        open_text(f"hf:{place}")
    monkeypatch.chdir(tmp_path)
    for spelled in ("./c", "c/", "c", "../" + tmp_path.name + "/c"):
        expected = hashlib.sha256(f"hf:{spelled}:train".encode()).hexdigest()
        assert open_text(f"hf:{spelled}").earlier_fingerprint() == expected
    monkeypatch.setenv("HOME", str(tmp_path))
    assert open_text("hf:~/c").fingerprint() == open_text(f"hf:{tmp_path / 'c'}").fingerprint()


def test_a_directory_whose_path_is_a_pattern_is_refused(tmp_path: Path) -> None:
    """`datasets` would read others, as of a?b the files of a*b too, or find none."""
    for name in ("a*b", "a?b", "a[1]", "a]", "a::b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "train.jsonl").write_text('{"text": "x"}\n')
        with pytest.raises(InputError, match=r"takes for a pattern: rename it"):
            open_text(f"hf:{tmp_path / name}")
    for name in ("a:b", "50%20", "#h", "a{b,c}", "é", "x y"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "train.jsonl").write_text(json.dumps({"text": name}))
        assert [text for _, text in open_text(f"hf:{tmp_path / name}").documents()] == [name]


def test_a_dataset_of_the_hub_is_known_by_its_name_and_revision(monkeypatch: pytest.MonkeyPatch) -> None:
    source = open_text("hf:org/name:test")
    assert source.fingerprint() == hashlib.sha256(b"hf:org/name:test").hexdigest()
    assert source.earlier_fingerprint() is None
    asked: list[str] = []

    def answer(_: object, name: str, **__: object) -> SimpleNamespace:
        asked.append(name)
        return SimpleNamespace(sha="abc")

    monkeypatch.setattr("huggingface_hub.HfApi.dataset_info", answer)
    pinned = source.pinned().dataset
    assert pinned is not None
    assert (asked, pinned.revision, pinned.unknown) == (["org/name"], "abc", None)

    def refuse(*_: object, **__: object) -> None:
        raise ConnectionError("no network\nat all")

    monkeypatch.setattr("huggingface_hub.HfApi.dataset_info", refuse)
    pinned = source.pinned().dataset
    assert pinned is not None
    assert (pinned.revision, pinned.unknown) == (None, "no network")
