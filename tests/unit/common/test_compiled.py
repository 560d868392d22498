"""Compiled loops are kept where they can be: beside the code, at the user's, in a temporary directory, or nowhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from cofire.common.compiled import _temporary

LOOP = """
from cofire.common.compiled import compiled

@compiled
def double(x):
    return x + x
"""
# No place beside the code, where a file stands, nor at home, where none can be made.
RUN = """
import json, os, resource, sys, tempfile
from pathlib import Path
import numba
here, temporary = Path(sys.argv[1]), Path(sys.argv[2])

def again():
    sys.modules.pop("loop", None)
    numba.config.CACHE_DIR = ""
    import loop
    return loop.double(21)

sys.path.insert(0, str(here))
tempfile.tempdir = str(temporary)
said = [again(), sorted(p.name.split("-")[0] for p in temporary.rglob("*.nbc"))]
tempfile.tempdir = str(here / "loop.py")
said.append(again())
tempfile.tempdir = str(temporary / "other")
(temporary / "other").mkdir()
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
said.append(again())
print(json.dumps(said), flush=True)
"""


def test_a_place_for_what_was_compiled(tmp_path: Path) -> None:
    here, temporary = tmp_path / "here", tmp_path / "temporary"
    here.mkdir()
    temporary.mkdir()
    (here / "loop.py").write_text(LOOP)
    (here / "__pycache__").write_text("no directory")
    environment = {k: v for k, v in os.environ.items() if k not in ("XDG_CACHE_HOME", "NUMBA_CACHE_DIR")}
    done = subprocess.run(
        [sys.executable, "-B", "-c", RUN, str(here), str(temporary)],
        env=environment | {"HOME": "/proc/nohome"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    # Kept in a temporary directory; nowhere to keep it; no room to keep it.
    assert json.loads(done.stdout) == [42, ["loop.double"], 42, 42]


@pytest.mark.parametrize("how", ["open to others", "a link", "a file"])
def test_what_another_user_could_write_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    place = tmp_path / f"cofire-numba-{os.geteuid()}"
    assert _temporary() == str(place)
    assert place.stat().st_mode & 0o777 == 0o700
    if how == "open to others":
        place.chmod(0o777)
    else:
        place.rmdir()
        if how == "a file":
            place.write_text("")
        else:
            (tmp_path / "elsewhere").mkdir()
            place.symlink_to(tmp_path / "elsewhere")
    assert _temporary() == ""
