"""The swap of databases is right in every state that a kill can leave, and damage is seen."""

from __future__ import annotations

from pathlib import Path

import pytest

from cofire.store.embedded.database_files import damage, forget_files, new_database, put_in_place, record_files, settle


def lay(directory: Path, *names: str) -> Path:
    databases = directory / "databases"
    databases.mkdir(parents=True)
    for name in names:
        (databases / name).mkdir()
        (databases / name / "data").write_text(name)
    return directory


def left(directory: Path) -> dict[str, str]:
    return {p.name: (p / "data").read_text() for p in sorted((directory / "databases").iterdir())}


@pytest.mark.parametrize(
    ("names", "wanted"),
    [
        ((), {}),
        (("cofire",), "cofire"),
        (("cofire", "cofire.new"), "cofire"),  # killed while it was filled
        (("cofire.new",), {}),
        (("cofire", "cofire.ready"), "cofire.ready"),  # killed just after it was whole
        (("cofire.old", "cofire.ready"), "cofire.ready"),  # killed between the two renames
        (("cofire", "cofire.old", "cofire.ready"), "cofire.ready"),
        (("cofire", "cofire.old"), "cofire"),  # killed before the old one was removed
        (("cofire.ready",), "cofire.ready"),
    ],
)
def test_settling_leaves_one_whole_database(tmp_path: Path, names: tuple[str, ...], wanted: object) -> None:
    lay(tmp_path, *names)
    settle(tmp_path)
    assert left(tmp_path) == ({"cofire": wanted} if wanted else {})
    settle(tmp_path)
    assert left(tmp_path) == ({"cofire": wanted} if wanted else {})


def test_a_new_database_takes_its_place(tmp_path: Path) -> None:
    lay(tmp_path, "cofire", "cofire.new")
    new = new_database(tmp_path)
    assert not new.exists()
    new.mkdir()
    (new / "data").write_text("fresh")
    record_files(tmp_path)
    put_in_place(tmp_path)
    assert left(tmp_path) == {"cofire": "fresh"}
    assert damage(tmp_path) is None


def test_damage_is_seen_until_it_is_forgotten(tmp_path: Path) -> None:
    lay(tmp_path, "cofire")
    data = tmp_path / "databases" / "cofire" / "data"
    assert damage(tmp_path) == ""
    record_files(tmp_path)
    assert damage(tmp_path) is None
    assert damage(tmp_path) == ""  # it has been in use since
    record_files(tmp_path)
    data.write_text("cof")
    for _ in range(2):
        assert damage(tmp_path) == "data is 3 bytes, and was 6 bytes when the store was closed"
    data.unlink()
    assert damage(tmp_path) == "data is gone, and was 6 bytes when the store was closed"
    forget_files(tmp_path)
    assert damage(tmp_path) == ""
