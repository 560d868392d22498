"""Running scripts/demo as a newcomer runs it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from repository import ROOT

QUESTIONS = ("Which clusters of layer 12", "Which latents of layer 18", "In your own Cypher")


def demo(*arguments: str, **environment: str) -> str:
    """Run it; returns what it prints."""
    # Not the few runs that tests/conftest.py asks for, but what a newcomer gets, unless told otherwise.
    own = {name: value for name, value in os.environ.items() if name not in ("COFIRE_RUNS", "COFIRE_REWIRES")}
    done = subprocess.run(
        [str(ROOT / "scripts/demo"), *arguments],
        env={**own, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def written(place: Path) -> dict[str, int]:
    """When each file of the captures was written."""
    return {str(p): p.stat().st_mtime_ns for p in sorted((place / "capture").rglob("*")) if p.is_file()}
