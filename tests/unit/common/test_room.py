"""What the system refused the embedded server, read off its log and the disk."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from cofire.common.room import LOG, new_log, refused
from cofire.store.faults import translate


@pytest.mark.parametrize("code", [errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EMFILE])
def test_what_the_log_says_last(tmp_path: Path, code: int) -> None:
    said = f"SEVER Error on flushing page\njava.io.IOException: {os.strerror(code)}\n"
    (tmp_path / LOG).write_text("x" * 5000 + said)
    assert refused(tmp_path) == f"{tmp_path}: {os.strerror(code)}; give it what it lacks and run the command again"
    # It was long ago.
    (tmp_path / LOG).write_text(said + "x" * 5000)
    assert refused(tmp_path) is None


def test_what_a_server_before_has_said(tmp_path: Path) -> None:
    """It is no cause of what befalls the next one, which may be well."""
    old = os.strerror(errno.EMFILE) + "\n"
    (tmp_path / LOG).write_text(old)
    with new_log(tmp_path) as log:
        assert refused(tmp_path) is None
        log.write(b"it is up\n")
        assert refused(tmp_path) is None
        log.write(os.strerror(errno.EROFS).encode())
    assert "Read-only" in str(refused(tmp_path))
    assert (tmp_path / LOG).read_text().startswith(old)
    (tmp_path / LOG).write_text(old * 100_000)
    new_log(tmp_path).close()
    assert (tmp_path / LOG).stat().st_size < 100


def test_room_that_is_there_again(tmp_path: Path) -> None:
    (tmp_path / LOG).write_text(os.strerror(errno.ENOSPC))
    disk = os.statvfs(tmp_path)
    assert disk.f_bavail * disk.f_frsize > 16 * 1024**2, "this test needs 16 MB"
    assert refused(tmp_path) is None
    assert refused(tmp_path / "nowhere") is None


def test_an_answer_of_the_server_that_does_not_say_it(tmp_path: Path) -> None:
    from neo4j.exceptions import Neo4jError

    error = Neo4jError._basic_hydrate(neo4j_code="Neo.DatabaseError.General.UnknownError", message="Error executing")
    assert "UnknownError" in str(translate(error, str(tmp_path)))
    (tmp_path / LOG).write_text(os.strerror(errno.EDQUOT))
    assert "Disk quota exceeded" in str(translate(error, str(tmp_path)))
    assert "UnknownError" in str(translate(error, "bolt://host"))
