"""What the name of a store stands for, and what is refused as it may be meant for something else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cofire import KnowledgeBase
from cofire.cli import run
from cofire.errors import InputError, StoreError
from cofire.store import open_store
from cofire.store.place import named_store

URLS = [
    "bolt://localhost:7687",
    "bolt://localhost",
    "bolt://localhost:7687/",
    "bolt://[::1]:7687",
    "bolt+s://db.example.org",
    "bolt+ssc://127.0.0.1:7688",
    "neo4j://h:7687",
    "neo4j+s://abcd1234.databases.neo4j.io",
    "neo4j+ssc://h",
    "neo4j://h:7687?policy=eu",  # for the driver, which routes by it
]
# An emoji of three signs, of which the middle one does not print; a zero-width space; bytes that are no UTF-8.
UNPRINTABLE = ["\U0001f469\u200d\U0001f4bb", "a\u200bb", "a\xa0b", "a\u3000b", os.fsdecode(b"x\xff")]
REFUSED = [
    ("", "--store is empty: give a directory, or a URL"),
    (" ", "--store is empty"),
    ("\n", "--store is empty"),
    ("localhost:7687", "localhost:7687: did you mean bolt://localhost:7687?"),
    ("db.example.org:7687", "did you mean bolt://db.example.org:7687?"),
    ("127.0.0.1:7687", "did you mean bolt://127.0.0.1:7687?"),
    ("[::1]:7687", "did you mean bolt://[::1]:7687?"),
    ("neo4j:geheim@db:7687", "db:7687: did you mean bolt://db:7687?; its user and password belong in NEO4J_USERNAME"),
    ("localhost", "localhost: did you mean bolt://localhost:7687?"),
    ("10.0.0.7", "did you mean bolt://10.0.0.7:7687?"),
    ("bolt:localhost:7687", "did you mean bolt://localhost:7687?"),
    ("neo4j+s:/h", "did you mean neo4j+s://h?"),
    ("bolt:/u:geheim@h:7687", "bolt:h:7687: did you mean bolt://h:7687?"),
    ("bolt://localhost:7687/otherdb", "bolt://localhost:7687/otherdb: give the database in NEO4J_DATABASE"),
    ("neo4j+s://h/otherdb/", "neo4j+s://h/otherdb: give the database in NEO4J_DATABASE"),
    ("bolt://h:7687?database=x", "the database in NEO4J_DATABASE"),
    ("neo4j://h?password=geheim", "user and password in NEO4J_USERNAME and NEO4J_PASSWORD"),
    ("bolt://h:7687#x", "bolt://h:7687 has something behind it"),
    (
        "http://localhost:7474",
        "http://localhost:7474 is no store: cofire speaks Bolt, not HTTP; did you mean bolt://lo",
    ),
    ("https://u:geheim@h:7473/browser", "did you mean bolt+s://h:7687?"),
    ("file:///data/store", "file:///data/store is no store: give the directory itself, /data/store"),
    ("bolt://", "bolt:// is no store"),
    ("redis://u:geheim@h", "h is no store"),
    ("bolt://u:geheim@localhost:7687", "give the user of localhost in NEO4J_USERNAME and NEO4J_PASSWORD, not in the"),
    ("bolt://:geheim@h", "not in the URL"),
    ("bolt://localhost:notaport", "bolt://localhost:notaport has a malformed host or port"),
    ("bolt://localhost:70000", "bolt://localhost:70000 has a malformed host or port"),
    ("bolt://[::1", "has a malformed host or port"),
    ("bolt://u:geheim/@localhost:7687", "localhost:7687 has a malformed host or port"),
    (" bolt://localhost:7687", "has blanks around it"),
    ("bolt://localhost:7687\n", "has blanks around it"),
    ("bolt://h\u200b:7687", "has a character in it that no URL has"),
    ("sto\x1bre", "has blanks around it, or a line break or another control character in it"),
    ("store\xa0", "has blanks around it"),
    ("bolt://neo4j:12/geheim@h", "give the user of h in NEO4J_USERNAME and NEO4J_PASSWORD, not in the URL"),
    ("bolt://neo4j:12?geheim@h:7687", "give the user of h:7687 in NEO4J_USERNAME"),
    ("neo4j+s://neo4j:12#geheim@h/db", "give the user of h/db in NEO4J_USERNAME"),
    ("https://neo4j:12/geheim@h", "give the user of h in NEO4J_USERNAME"),
    ("store\n", "has blanks around it"),
    ("sto\0re", "has a NUL character in it"),
    ("C:\\Users\\me\\store", "looks like a path of Windows"),
    ("D:/store", "looks like a path of Windows"),
    ("\\\\server\\share", "looks like a path of Windows"),
    ("~no-such-user-of-the-test/store", "there is no user of that name"),
]


@pytest.mark.parametrize("url", URLS)
def test_a_url_of_a_server_stays_as_it_is(url: str) -> None:
    assert named_store(url) == url


@pytest.mark.parametrize(("name", "said"), REFUSED)
def test_what_is_no_store_is_wrong_input_in_one_line_without_its_secret(
    name: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for create in (False, True):
        with pytest.raises(InputError) as caught:
            open_store(name, create=create)
        message = str(caught.value)
        assert said in message
        assert "geheim" not in message
        assert message.isprintable()
    assert list(tmp_path.iterdir()) == []


def test_a_path_is_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is there is meant, whatever it looks like; and what cannot be a server's name need not be there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    there = ["localhost:7687", "localhost", "bolt:h", "C:\\store", " store ", "a\nb", "~x", "~"]
    for name in there:
        Path(name).mkdir()
        assert named_store(name) == Path(name)
    for name in ["store", "./localhost:7688", "a/b:7687", "run:2", "café", "-", "a@b", "x:y", *UNPRINTABLE]:
        assert named_store(name) == Path(name)
    assert named_store("~/store") == tmp_path / "store"
    # A Path is one, whatever it looks like.
    for there_not in (Path("bolt://h:7687"), Path("localhost:7689"), Path("~/nowhere")):
        for opened in (open_store, KnowledgeBase):
            with pytest.raises(StoreError, match="no store at "):
                opened(there_not)


def test_an_empty_store_is_told_wherever_it_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["saes", "--store", ""]) == 2
    assert capfd.readouterr().err.startswith("cofire: --store is empty")
    monkeypatch.setenv("COFIRE_STORE", "")
    assert run(["saes"]) == 2
    assert "COFIRE_STORE" in capfd.readouterr().err
    with pytest.raises(InputError, match="--store is empty"):
        KnowledgeBase()
    monkeypatch.delenv("COFIRE_STORE")
    with pytest.raises(InputError, match="--store is empty"):
        KnowledgeBase("")
    (tmp_path / "cofire.toml").write_text('store = ""\n')
    assert run(["query", "run", "saes"]) == 2
    assert capfd.readouterr().err.startswith("cofire: --store is empty")
    assert [p.name for p in tmp_path.iterdir()] == ["cofire.toml"]
